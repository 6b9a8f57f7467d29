"""``nstjax demo``: stylizes a photograph that comes with scikit-image, without network access."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import arg

from nstjax.cli.parse import parse
from nstjax.cli.runtime import check_device, make_output_folder
from nstjax.cli.synthesis_command import run_synthesis
from nstjax.errors import InputError, within
from nstjax.files import write_atomically
from nstjax.images import load_image, save_image
from nstjax.locks import lock
from nstjax.paintings import paint
from nstjax.plain import read_json
from nstjax.reports import contact_sheet
from nstjax.synthesis import TransferConfig
from nstjax.synthesis.config import MAX_SIDE
from nstjax.weights import load_backbone

# Files in scikit-image's wheel; all are in the public domain or CC0.
PHOTOGRAPHS = {
    "coffee": "coffee.png",
    "cat": "chelsea.png",
    "astronaut": "astronaut.png",
    "rocket": "rocket.jpg",
}
SIDE = 768  # side of a style image, in pixels
LEAST_SIZE = 16
MARKER = "demo.json"  # lists the files that a demo wrote; the next demo replaces only these


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Stylize a photograph that comes with scikit-image with style images made by nstjax."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("nstjax-demo")
    """Output folder for the pictures, the run record, a plot of the losses, and a sheet."""
    photograph: Literal["coffee", "cat", "astronaut", "rocket"] = "coffee"
    """The photograph."""
    paintings: tuple[Literal["swirls", "waves", "dots", "shards", "glass", "knife"], ...] = ("swirls",)
    """The style images; one picture is made for each."""
    seed: int = 0
    """Seed of the style images; another seed gives another drawing in other colors."""
    size: int = 384
    """Longer side of the pictures in pixels."""
    iterations: int = 100
    """Iterations at each scale."""
    weights: Annotated[str, arg(aliases=["-w"])] = "embedded"
    """The feature network; see nstjax transfer --help."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""


def photograph(name: str) -> Path:
    """Return the file of one of :data:`PHOTOGRAPHS`."""
    import skimage

    return Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[name]


def _check_replaceable(folder: Path, names: set[str]) -> None:
    """Raise :class:`InputError` if one of these files exists and was not written by a demo."""
    try:
        ours = set(read_json(folder / MARKER)["written"])
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    for name in sorted(names):
        path = folder / name
        if path.is_dir() or (path.exists() and name not in ours | {MARKER}):
            raise InputError(f"{path} exists and is not from an earlier demo: name another folder with -o")


def run_demo(arguments: Sequence[str]) -> int:
    """Run ``nstjax demo``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid, or the folder cannot be written or contains other files with these
            names.
    """
    options = parse(DemoOptions, arguments, "nstjax demo")
    paintings = tuple(dict.fromkeys(options.paintings))
    if not paintings:
        raise InputError("--paintings is empty: name at least one")
    within("size", options.size, LEAST_SIZE, MAX_SIDE, " pixels")
    within("seed", options.seed, 0, 2**32 - 1)
    TransferConfig(size=options.size, iterations=(options.iterations,))  # checks the ranges
    check_device()
    load_backbone(options.weights)
    folder = options.output
    written = {"content.png", "sheet.png"}
    for name in paintings:
        written |= {
            f"style-{name}.png",
            f"loss-{name}.png",
            f"result-{name}.png",
            f"result-{name}.png.run.json",
        }
    _check_replaceable(folder, written)
    photo = load_image(photograph(options.photograph))
    painted = {str(name): np.asarray(paint(name, SIDE, SIDE, options.seed)) for name in paintings}
    make_output_folder(folder)
    with lock(folder, f"another demo is writing {folder}: wait for its end, or choose another -o"):
        return _make(options, paintings, photo, painted, written)


def _make(
    options: DemoOptions,
    paintings: Sequence[str],
    photo: np.ndarray,
    painted: Mapping[str, np.ndarray],
    written: set[str],
) -> int:
    """Make the pictures; return the exit code."""
    folder = options.output
    write_atomically(folder / MARKER, json.dumps({"written": sorted(written)}).encode())
    save_image(folder / "content.png", photo)
    rows = []
    for name in paintings:
        style, result = folder / f"style-{name}.png", folder / f"result-{name}.png"
        save_image(style, painted[name])
        command = [str(folder / "content.png"), str(style), "-o", str(result), "--weights", options.weights]
        command += [
            "--size",
            str(options.size),
            "--iterations",
            str(options.iterations),
            "--save-state-every",
            "0",
        ]
        command += ["--plot", str(folder / f"loss-{name}.png")]
        code = run_synthesis("transfer", [*command, "--quiet"] if options.quiet else command)
        if code:
            return code
        label = f"{name}, seed {options.seed}"
        rows.append([(photo, options.photograph), (painted[name], label), (load_image(result), "result")])
    contact_sheet(folder / "sheet.png", rows, f"nstjax demo, weights {options.weights}", cell=3.6)
    if not options.quiet:
        print(f"wrote {folder / 'sheet.png'}; next: nstjax transfer PHOTO PAINTING -o OUT.png")
    return 0
