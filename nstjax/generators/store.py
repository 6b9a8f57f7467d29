"""Orbax stores of trained generators, in ``ckpts/`` or the user's cache, and loading them by name."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np
from jax.typing import DTypeLike

from nstjax import checkpoints
from nstjax.eight_bit import dequantize, quantize
from nstjax.errors import InputError
from nstjax.files import RUN_RECORD, shipped_folder, store_folders
from nstjax.generators import GeneratorConfig, config_from_json, config_to_json
from nstjax.plain import checked
from nstjax.stores import find_stores

_KIND = "generator"
_FORMAT, _FORMAT_8_BIT = 1, 2  # an older version refuses a store whose format is larger than it knows
IN_A_RUN = "model"  # name of the store in the folder of a training run


class _Record(TypedDict):
    """The parts of a store's record that are read back."""

    kind: str
    format: int
    config: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Generator:
    """A trained generator: its config, its weights and the record of its training.

    Attributes:
        config: settings of the generator.
        variables: ``{"params": tree, "batch_stats": tree}``, float32.
        record: the record given to :func:`save_generator`. If the generator was read from a store, also
            ``kind``, ``format``, ``config`` and ``dtype``.
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
    """Write a generator to an Orbax store. An existing store is replaced.

    Args:
        path: folder of the store; its name is the name of the model.
        config: settings of the generator.
        variables: its weights, as from :func:`~nstjax.generators.init_generator`.
        record: JSON-able facts of its training: style image, objective, steps, losses, versions, size.
        dtype: dtype of the stored parameters. float16 halves the store and changes the output by less than
            one 8-bit level. int8 stores kernels with :func:`nstjax.eight_bit.quantize` and the other
            parameters as float16; the output then changes by about one 8-bit level on average. Running statistics
            are always float32: a variance may exceed the range of float16.

    Raises:
        InputError: If the store cannot be written, or a parameter exceeds the range of ``dtype``.
    """
    dtype = np.dtype(dtype)
    eight_bit = dtype == np.int8

    def stored(leaf: Any) -> np.ndarray:
        whole = np.asarray(leaf, np.float32)
        with np.errstate(over="ignore"):
            array = whole.astype(np.float16 if eight_bit else dtype)
        if not np.array_equal(np.isfinite(whole), np.isfinite(array)):
            raise InputError(f"the generator {path} has parameters beyond {dtype}: save it as float32")
        return array

    params = jax.tree.map(stored, variables["params"])
    if eight_bit:
        params = {
            **params,
            **quantize({name: variables["params"][name] for name in config.plan().named("conv")}),
        }
    tree = {"params": params}
    if jax.tree.leaves(variables.get("batch_stats", {})):  # Orbax cannot store an empty tree
        as_float32 = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables["batch_stats"])
        tree["batch_stats"] = as_float32
    facts = {
        "kind": _KIND,
        "format": _FORMAT_8_BIT if eight_bit else _FORMAT,
        "config": config_to_json(config),
        "dtype": dtype.name,
    }
    checkpoints.save(Path(path), tree, {**record, **facts})


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(key.key) for key in where): leaf.shape for where, leaf in leaves}


def _wanted(config: GeneratorConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of a network's weights, in the form of :func:`_shapes`."""
    plan = config.plan()
    channels = plan.channels()
    params, running = dict[str, tuple[int, ...]](), dict[str, tuple[int, ...]]()
    for step in plan.steps:
        name, own = step.name, (step.channels,)
        normed = own if plan.styles == 1 else (plan.styles, step.channels)
        if step.op == "conv":
            params[f"{name}/kernel"] = (step.kernel, step.kernel, channels[step.sources[0]], step.channels)
            if step.bias:
                params[f"{name}/bias"] = own
        elif step.op in ("norm", "scale"):
            params |= {f"{name}/scale": normed, f"{name}/bias": normed}
            if step.op == "norm" and plan.norm == "batch":
                running |= {f"{name}/mean": own, f"{name}/var": own}
    return {"params": params, "batch_stats": running}


def read_generator(path: Path) -> Generator:
    """Read a generator from an Orbax store.

    Args:
        path: folder of the store.

    Raises:
        InputError: If the store does not exist, is damaged, holds something else or non-finite values, or has a
            later format.
    """
    record = checkpoints.load_record(path)  # first, so that the arrays of another kind of store are not read
    if record.get("kind") != _KIND:
        what = "a feature network" if record.get("kind") == "backbone" else "something else"
        raise InputError(f"{path} is a checkpoint of {what}, not of a generator: name another")
    damaged = f"the generator {path} is damaged: train or copy it again"
    form = record.get("format")
    if isinstance(form, int) and form > _FORMAT_8_BIT:
        raise InputError(
            f"the generator {path} was written by a newer nstjax (format {form}): upgrade nstjax"
        )
    try:
        config = config_from_json(checked(record, _Record, "its record")["config"])
    except InputError as error:
        raise InputError(f"the generator {path} is damaged ({error}): train or copy it again") from error
    tree, _ = checkpoints.load(path)
    try:
        trees = {"params": dequantize(tree["params"]), "batch_stats": tree.get("batch_stats") or {}}
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), trees)
        whole = {name: _shapes(tree) for name, tree in variables.items()} == _wanted(config)
        finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(damaged) from error
    if not whole:
        raise InputError(damaged)
    if not finite:
        raise InputError(f"the generator {path} holds values that are not finite: train or copy it again")
    return Generator(config, variables, record)


def installed_generators(damaged: list[Path] | None = None) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the folder and the record of each generator that can be loaded by name.

    If two folders hold the same name, the first folder takes precedence.

    Args:
        damaged: list to which unreadable stores, and folders that cannot be listed, are added.
    """
    return find_stores(store_folders("models"), _KIND, _Record, damaged)


def is_shipped(name: str) -> bool:
    """Return True if a generator of this name is part of nstjax.

    Raises:
        InputError: If its record is damaged.
    """
    path = shipped_folder() / name
    return checkpoints.is_checkpoint(path) and checkpoints.load_record(path).get("kind") == _KIND


def is_generator_folder(spec: str | Path) -> bool:
    """Return True if :func:`load_generator` takes ``spec`` for a folder, and not for the name of an installed generator."""
    path = Path(spec)
    stores = (path, path / IN_A_RUN)
    return (
        any(map(checkpoints.is_checkpoint, stores)) or (path / RUN_RECORD).is_file() or path.name != str(spec)
    )


def load_generator(spec: str | Path) -> Generator:
    """Load a generator by folder or name.

    Args:
        spec: folder of a store, folder of a training run (its ``model`` is loaded), or name of an installed
            generator (see :func:`installed_generators`). A folder takes precedence over a name.

    Raises:
        InputError: If there is no such folder or name, or the store cannot be read.
    """
    path = Path(spec)
    if checkpoints.is_checkpoint(path / IN_A_RUN):
        return read_generator(path / IN_A_RUN)
    if checkpoints.is_checkpoint(path):
        return read_generator(path)
    is_run = (
        path / RUN_RECORD
    ).is_file()  # a run without a model: no installed generator of its name replaces it
    if path.name == str(spec) and not is_run:
        for folder in store_folders("models"):
            if checkpoints.is_checkpoint(folder / path):
                return read_generator(folder / path)
    if path.is_dir():
        raise InputError(
            f"the folder {path} contains no trained generator: name a generator's folder, or a training run that contains '{IN_A_RUN}'"
        )
    if path.exists():
        raise InputError(f"{path} is a file where a generator's folder is needed: name a folder or a model")
    names = ", ".join(installed_generators()) or "none yet; nstjax train makes one"
    raise InputError(f"there is no model or folder {str(spec)!r}: the installed models are {names}")
