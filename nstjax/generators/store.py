"""Orbax stores of trained generators, under ``ckpts/`` or in the user's cache, and loading by name."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from nstjax import checkpoints
from nstjax.errors import InputError
from nstjax.files import RUN_RECORD, shipped_folder, store_folders
from nstjax.generators import GeneratorConfig, config_from_json, config_to_json
from nstjax.plain import checked

_KIND = "generator"
_FORMAT = 1  # raised when an older program could not read what this one writes
IN_A_RUN = "model"  # the store in the folder of a training run


class _Record(TypedDict):
    """The parts of a store's record that are read back."""

    kind: str
    format: int
    config: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Generator:
    """A trained network: its shape, its weights, and how it came about.

    Attributes:
        config: of the network.
        variables: ``{"params": tree, "batch_stats": tree}``, float32.
        record: what :func:`save_generator` was given, with ``kind``, ``format``, ``config`` and ``dtype``.
    """

    config: GeneratorConfig
    variables: Mapping[str, Any] = dataclasses.field(repr=False)
    record: dict[str, Any] = dataclasses.field(repr=False)


def save_generator(
    path: Path,
    config: GeneratorConfig,
    variables: Mapping[str, Any],
    record: Mapping[str, Any],
    dtype: DTypeLike = np.float32,
) -> None:
    """Write a generator to an Orbax store, replacing what is there.

    Args:
        path: the store's folder; its name is the model's.
        config: of the network.
        variables: as of :func:`~nstjax.generators.init_generator`.
        record: of its training, JSON-able: style, objective, steps, losses, versions, size.
        dtype: of the parameters on disk; float16 halves the store, and changes a picture by less than a step
            of 8 bits. Running statistics stay float32: a variance may be beyond what float16 holds.

    Raises:
        InputError: it cannot be written, or a parameter is too large for ``dtype``.
    """
    dtype = np.dtype(dtype)

    def stored(leaf: Any) -> np.ndarray:
        whole = np.asarray(leaf, np.float32)
        with np.errstate(over="ignore"):
            array = whole.astype(dtype)
        if not np.array_equal(np.isfinite(whole), np.isfinite(array)):
            raise InputError(f"the generator {path} has parameters beyond {dtype}: save it as float32")
        return array

    tree = {"params": jax.tree.map(stored, variables["params"])}
    if jax.tree.leaves(variables.get("batch_stats", {})):  # Orbax does not keep an empty tree
        as_float32 = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables["batch_stats"])
        tree["batch_stats"] = as_float32
    facts = {"kind": _KIND, "format": _FORMAT, "config": config_to_json(config), "dtype": dtype.name}
    checkpoints.save(Path(path), tree, {**record, **facts})


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(key.key) for key in where): leaf.shape for where, leaf in leaves}


def _wanted(config: GeneratorConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of a network's weights, as :func:`_shapes` gives those that are there."""
    plan = config.plan()
    channels = plan.channels()
    params, running = dict[str, tuple[int, ...]](), dict[str, tuple[int, ...]]()
    for step in plan.steps:
        name, own = step.name, (step.channels,)
        if step.op == "conv":
            params[f"{name}/kernel"] = (step.kernel, step.kernel, channels[step.sources[0]], step.channels)
            if step.bias:
                params[f"{name}/bias"] = own
        elif step.op == "norm":
            params |= {f"{name}/scale": own, f"{name}/bias": own}
            if plan.norm == "batch":
                running |= {f"{name}/mean": own, f"{name}/var": own}
    return {"params": params, "batch_stats": running}


def read_generator(path: Path) -> Generator:
    """Read a generator from an Orbax store.

    Raises:
        InputError: it is not there, is damaged, holds something else, or is of a later format.
    """
    record = checkpoints.load_record(path)  # first: another kind's arrays need not be read
    if record.get("kind") != _KIND:
        what = "a feature network" if record.get("kind") == "backbone" else "something else"
        raise InputError(f"{path} is a checkpoint of {what}, not of a generator: name another")
    damaged = f"the generator {path} is damaged: train or copy it again"
    form = record.get("format")
    if isinstance(form, int) and form > _FORMAT:
        raise InputError(f"the generator {path} is of a later nstjax (format {form}): install a newer one")
    try:
        config = config_from_json(checked(record, _Record, "its record")["config"])
    except InputError as error:
        raise InputError(f"the generator {path} is damaged ({error}): train or copy it again") from error
    tree, _ = checkpoints.load(path)
    try:
        variables = {
            name: jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree.get(name) or {})
            for name in ("params", "batch_stats")
        }
        whole = {name: _shapes(tree) for name, tree in variables.items()} == _wanted(config)
        finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(damaged) from error
    if not whole:
        raise InputError(damaged)
    if not finite:
        raise InputError(f"the generator {path} holds values that are not finite: train or copy it again")
    return Generator(config, variables, record)


def installed_generators(damaged: list[Path] | None = None) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the generators that can be loaded by name, with their records; the first folder's come first.

    Args:
        damaged: receives the stores that cannot be read.
    """
    return checkpoints.find_stores(store_folders("models"), _KIND, _Record, damaged)


def is_shipped(name: str) -> bool:
    """Return whether a generator of this name comes with nstjax."""
    path = shipped_folder() / name
    return checkpoints.is_checkpoint(path) and checkpoints.load_record(path).get("kind") == _KIND


def load_generator(spec: str | Path) -> Generator:
    """Load a generator.

    Args:
        spec: the folder of a store, the folder of a training run, whose ``model`` is taken, or the name of an
            installed generator (see :func:`installed_generators`). A folder takes precedence over a name.

    Raises:
        InputError: nothing of that name is installed, or the store cannot be read.
    """
    path = Path(spec)
    if checkpoints.is_checkpoint(path / IN_A_RUN):
        return read_generator(path / IN_A_RUN)
    if checkpoints.is_checkpoint(path):
        return read_generator(path)
    is_run = (
        path / RUN_RECORD
    ).is_file()  # one without a model yet: another of its name must not take its place
    if path.name == str(spec) and not is_run:
        for folder in store_folders("models"):
            if checkpoints.is_checkpoint(folder / path):
                return read_generator(folder / path)
    if path.is_dir():
        raise InputError(
            f"the folder {path} holds no trained generator: name a store, or a training run whose '{IN_A_RUN}' is there"
        )
    if path.exists():
        raise InputError(f"{path} is a file where a generator's folder is wanted: name a folder or a model")
    names = ", ".join(installed_generators()) or "none yet; nstjax train makes one"
    raise InputError(f"there is no model called {str(spec)!r}, nor such a folder: installed are {names}")
