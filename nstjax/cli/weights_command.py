"""``nstjax weights``: fetches, converts, exports, lists, describes and normalizes network weights."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from nstjax.checkpoints import load_record
from nstjax.cli.options_weights import (
    ConvertOptions,
    ExportWeightsOptions,
    FetchOptions,
    ListOptions,
    NormalizeOptions,
    WeightsInfoOptions,
)
from nstjax.cli.parse import Action, parse, run_action
from nstjax.cli.pictures import print_damaged, print_skipped
from nstjax.cli.runtime import check_device
from nstjax.errors import InputError, within
from nstjax.files import cache_folder, shipped_folder
from nstjax.images import find_images, fit_long_side, load_image, resize
from nstjax.images.encode import check_place
from nstjax.images.folder import Skipped
from nstjax.typing import Backbone
from nstjax.weights import REGISTRY, load_backbone, normalize, read_weights
from nstjax.weights.store import AUTO, fetch, installed, resolve, save_backbone
from nstjax.weights.write import SUFFIX, write_safetensors

_USAGE = """usage: nstjax weights ACTION ...

actions:
  fetch      download published weights, check their hash, install them
  convert    convert and install a weights file of another program
  export     write weights as a .safetensors file
  list       what is installed, and what can be fetched
  info       network, layers, preprocessing and hash of weights
  normalize  rescale filters to a mean activation of 1 over photographs
"""


def _store(folder: Path | None, name: str) -> Path:
    """Return the path of a store; raise :class:`InputError` if its name is not allowed."""
    if not name or "/" in name or name.startswith(".") or "." in name:
        raise InputError(f"--name {name!r} cannot name weights: use letters, digits, '-' and '_'")
    if name == AUTO or (shipped_folder() / name).exists():
        raise InputError(f"--name {name} is the name of what nstjax comes with: choose another")
    return (folder or cache_folder() / "weights") / name


def _fetch(arguments: Sequence[str], prog: str) -> None:
    options = parse(FetchOptions, arguments, prog)

    def report(message: str) -> None:
        if not options.quiet:
            print(f"nstjax: {message}", file=sys.stderr)

    store = fetch(options.name, options.to, options.url, progressbar=not options.quiet, report=report)
    if not options.quiet:
        print(f"installed {options.name} in {store}")
        print(f"source         {load_record(store)['source']}")


def _convert(arguments: Sequence[str], prog: str) -> None:
    options = parse(ConvertOptions, arguments, prog)
    backbone = read_weights(options.file, options.network, options.preprocessing)
    store = _store(options.to, options.name or options.file.name.split(".")[0])
    save_backbone(backbone, store)
    print(f"installed {store.name} in {store}: {backbone.arch} to {backbone.layers[-1]}")
    _print_origin(backbone)


def _export(arguments: Sequence[str], prog: str) -> None:
    options = parse(ExportWeightsOptions, arguments, prog)
    if options.output.suffix != SUFFIX:
        raise InputError(f"the output {options.output} must end in {SUFFIX}")
    check_place(options.output)
    check_device()
    backbone = load_backbone(options.weights, options.network)
    write_safetensors(backbone, options.output)
    print(f"wrote {options.output} ({options.output.stat().st_size / 1e6:.1f} MB)")
    _print_origin(backbone)


def _list(arguments: Sequence[str], prog: str) -> None:
    parse(ListOptions, arguments, prog)
    table = Table("name", "network", "installed in", "what it is")
    damaged: list[Path] = []
    found = installed(damaged)
    print_damaged(damaged)
    for name, (path, record) in found.items():
        table.add_row(name, record["arch"], str(path), record["source"])
    for name, entry in REGISTRY.items():
        if name not in found:
            table.add_row(name, entry.arch, "-", f"nstjax weights fetch {name}: {entry.note}")
    Console(markup=False).print(table)


def _print_origin(backbone: Backbone) -> None:
    """Print the preprocessing, and where the weights came from and how the preprocessing was found."""
    p = backbone.preprocessing
    mean, std = (tuple(round(value, 6) for value in values) for values in (p.mean, p.std))
    print(f"preprocessing  {p.order}, ×{p.scale:g}, minus {mean}, over {std}")
    print(f"source         {backbone.source}")


def _info(arguments: Sequence[str], prog: str) -> None:
    options = parse(WeightsInfoOptions, arguments, prog)
    check_device()
    backbone = load_backbone(options.weights, options.network)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(backbone.params))
    print(f"network        {backbone.arch}, {len(backbone.params)} convolutions, {parameters:,} parameters")
    print(f"layers         {backbone.layers[0]} … {backbone.layers[-1]}")
    _print_origin(backbone)
    print(f"sha256         {backbone.sha256 or '-'}")


def _photographs(folder: Path, size: int, skipped: list[Skipped]) -> Iterator[np.ndarray]:
    """Yield the photographs in a folder, resized to a long side of ``size`` pixels, ``(1, h, w, 3)`` in [0, 1]."""
    for path in find_images(folder, skipped):
        try:
            image = load_image(path, size)
        except InputError:
            skipped.append(Skipped(path, "cannot be read"))
            continue
        yield resize(image, *fit_long_side(image.shape[1], image.shape[2], size)).clip(0, 1)


def _normalize(arguments: Sequence[str], prog: str) -> None:
    options = parse(NormalizeOptions, arguments, prog)
    within("size", options.size, 32, 4096, " pixels")
    check_device()
    backbone = load_backbone(options.weights, options.network)
    store = _store(
        options.to, options.name or f"{Path(resolve(options.weights)).name.split('.')[0]}-normalized"
    )
    skipped: list[Skipped] = []
    save_backbone(normalize(backbone, _photographs(options.photographs, options.size, skipped)), store)
    print(f"installed {store.name} in {store}")
    print_skipped(skipped)


ACTIONS: dict[str, Action] = {
    "fetch": _fetch,
    "convert": _convert,
    "export": _export,
    "list": _list,
    "info": _info,
    "normalize": _normalize,
}


def run_weights(arguments: Sequence[str]) -> int:
    """Run ``nstjax weights``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid.
    """
    return run_action("nstjax weights", _USAGE, ACTIONS, arguments)
