"""``nstjax demo``: the main job on pictures that ship with the package, offline."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from tyro.conf import arg

from nstjax.cli.jobs import make_output_folder
from nstjax.cli.parse import parse
from nstjax.cli.synthesis_command import run_synthesis
from nstjax.errors import InputError
from nstjax.images import load_image, save_image
from nstjax.images.encode import METADATA_KEY
from nstjax.paintings import paint
from nstjax.reports import contact_sheet

# In scikit-image's wheel; all are in the public domain or CC0.
PHOTOGRAPHS = {
    "coffee": "coffee.png",
    "cat": "chelsea.png",
    "astronaut": "astronaut.png",
    "rocket": "rocket.jpg",
}
SIDE = 768  # of a painting, in pixels


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Paint a photograph that ships with scikit-image in the manner of paintings made by nstjax's own code."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("nstjax-demo")
    """Where the pictures go: content, style and result, a sheet of them, and a plot of the losses."""
    photograph: Literal["coffee", "cat", "astronaut", "rocket"] = "coffee"
    """What is painted."""
    paintings: tuple[Literal["swirls", "waves", "dots", "shards", "glass", "knife"], ...] = ("swirls",)
    """In whose manner; a picture for each."""
    seed: int = 0
    """Of the paintings; another one paints them anew, in other colours."""
    size: int = 384
    """Longer side of the results, in pixels."""
    iterations: int = 100
    """At each scale."""
    weights: Annotated[str, arg(aliases=["-w"])] = "embedded"
    """The feature network; see nstjax transfer --help."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Nothing but errors."""


def photograph(name: str) -> Path:
    """The file of one of :data:`PHOTOGRAPHS`."""
    import skimage

    return Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[name]


def _check_replaceable(path: Path) -> None:
    """Raise :class:`InputError` where a file is there that no demo has written."""
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            ours = METADATA_KEY in image.info
    except OSError:
        ours = False
    if not ours:
        raise InputError(f"{path} is there and is not an earlier demo's: name another folder with -o")


def run_demo(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: bad input, or the folder cannot be written or holds other files of these names.
    """
    options = parse(DemoOptions, arguments, "nstjax demo")
    names = tuple(dict.fromkeys(options.paintings))
    if not names:
        raise InputError("--paintings names none: name at least one")
    folder, content = options.output, options.output / "content.png"
    styles = {name: folder / f"style-{name}.png" for name in names}
    results = {name: folder / f"result-{name}.png" for name in names}
    for path in (content, *styles.values(), *results.values()):
        _check_replaceable(path)
    make_output_folder(folder)
    photo = load_image(photograph(options.photograph))
    pictures = {name: np.asarray(paint(name, SIDE, SIDE, options.seed)) for name in names}
    save_image(content, photo, {"demo": options.photograph})
    for name in names:
        save_image(styles[name], pictures[name], {"demo": name, "seed": options.seed})
        command = [str(content), str(styles[name]), "-o", str(results[name])]
        command += ["--size", str(options.size), "--iterations", str(options.iterations)]
        command += ["--weights", options.weights, "--plot", str(folder / f"loss-{name}.png")]
        code = run_synthesis("transfer", [*command, "--quiet"] if options.quiet else command)
        if code:
            return code
    rows = [
        [
            (photo, options.photograph),
            (pictures[name], f"{name}, seed {options.seed}"),
            (load_image(results[name]), "result"),
        ]
        for name in names
    ]
    contact_sheet(folder / "sheet.png", rows, f"nstjax demo, weights {options.weights}")
    if not options.quiet:
        print(f"wrote {folder / 'sheet.png'}; now your own: nstjax transfer PHOTO PAINTING -o OUT.png")
    return 0
