"""Pictures and losses of the one pass beside other methods: ``python -m experiments.one_pass.compare``.

All methods make pictures of the same size from the same files. Each picture is measured with VGG-19 by the
default objective: five style layers, content at relu4_2, and total variation. The seconds of the one pass are
those of a second call; those of the other methods include their start and compilation. The command needs
``--weights`` with VGG-19 and ``--images``; it writes ``compare.json`` and ``compare.jpg``. Another program is
compared if ``--other`` names its executable, which is called as ``OTHER stylize PHOTO --style-image PAINTING
-o OUT --max-size SIDE``.
"""

import dataclasses
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import tyro

import nstjax
from experiments import common
from experiments.common import Lab, fit
from experiments.distill.score import PHOTOGRAPHS, photograph, teacher_terms
from nstjax import TransferConfig
from nstjax.arbitrary.apply import stylize_arbitrary
from nstjax.arbitrary.store import load_decoder
from nstjax.arbitrary.transport import TransportMethod
from nstjax.digests import tree_digest
from nstjax.optim import Lbfgs
from nstjax.reports import Cell, contact_sheet, environment
from nstjax.synthesis import Progress

SIDE = 512  # longer side of the pictures in pixels
PAINTINGS = ("starry_night", "great_wave", "wheatfield", "woman_with_hat", "shipwreck")  # not in the training
METHODS: tuple[TransportMethod, ...] = ("optimal", "whitening", "adain")


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    pairs: int = 40
    """Number of pairs: the first ones of a list in which photographs and paintings alternate."""
    iterations: tuple[int, ...] = (10, 50, 200)
    """Iterations of the per-image optimization with VGG-19, from the photograph, to compare with; none leaves it out."""
    optimized: int = 40
    """Number of the first pairs with the per-image optimization."""
    shown: int = 12
    """Number of the first pairs that the sheet shows."""
    other: str | None = None
    """Executable of another program."""
    decoder: Path | None = None
    """Folder of the decoder's store; by default the one that comes with nstjax."""


def pairs_of(count: int) -> list[tuple[str, str]]:
    """Return names of photographs and paintings: each photograph once before one comes again."""
    both = [
        (PHOTOGRAPHS[i], PAINTINGS[(i + shift) % len(PAINTINGS)])
        for shift in range(len(PAINTINGS))
        for i in range(len(PHOTOGRAPHS))
    ]
    return both[:count]


def _by_other(executable: str, photo: np.ndarray, painting: np.ndarray, folder: Path) -> np.ndarray:
    files = [folder / f"other_{name}.png" for name in ("photo", "painting", "out")]
    nstjax.save_image(files[0], photo)
    nstjax.save_image(files[1], painting)
    command = [executable, "stylize", str(files[0]), "--style-image", str(files[1]), "-o", str(files[2])]
    subprocess.run([*command, "--max-size", str(SIDE)], check=True, capture_output=True)
    return nstjax.load_image(files[2])


def _optimized(
    lab: Lab, photo: np.ndarray, painting: np.ndarray, config: TransferConfig, arguments: Arguments
) -> dict[int, tuple[np.ndarray, float]]:
    """Return the picture and the seconds of the per-image optimization after each number of iterations."""
    found: dict[int, tuple[np.ndarray, float]] = {}
    began = time.perf_counter()

    def keep(state: Progress) -> None:
        if (count := state.entry.iteration) in arguments.iterations:
            found[count] = state.image(), time.perf_counter() - began

    longest = Lbfgs(iterations=max(arguments.iterations))
    brief = dataclasses.replace(config, scales=(SIDE,), optimizer=longest)
    nstjax.transfer(photo, painting, lab.backbone, brief, keep)
    return found


def _means(entries: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Return the mean loss of each method that all pairs have."""
    names = [name for name in entries[0] if all(name in entry for entry in entries)] if entries else []
    return {name: float(np.mean([entry[name]["total"] for entry in entries])) for name in names}


def main(arguments: Arguments) -> None:
    """Make and measure the pictures."""
    lab = Lab(arguments, Path(__file__).parent)
    decoder, embedded = load_decoder(arguments.decoder), nstjax.load_backbone("embedded")
    config = TransferConfig(size=SIDE)
    rows: list[list[Cell]] = []
    found: dict[str, dict[str, dict[str, float]]] = {}
    for photo_name, painting_name in pairs_of(arguments.pairs):
        photo, painting = fit(photograph(lab, photo_name), SIDE), lab.picture("style", painting_name)
        pictures: dict[str, np.ndarray] = {"photograph": photo}
        seconds: dict[str, float] = {}
        for method in METHODS:
            stylize_arbitrary(decoder, embedded, photo, painting, method=method)  # compiles the programs
            began = time.perf_counter()
            pictures[method] = stylize_arbitrary(decoder, embedded, photo, painting, method=method)
            seconds[method] = time.perf_counter() - began
        if arguments.iterations and len(found) < arguments.optimized:
            for iterations, (image, took) in _optimized(lab, photo, painting, config, arguments).items():
                pictures[f"L-BFGS {iterations}"], seconds[f"L-BFGS {iterations}"] = image, took
        if arguments.other is not None:
            began = time.perf_counter()
            pictures["other"] = _by_other(arguments.other, photo, painting, lab.out / "runs")
            seconds["other"] = time.perf_counter() - began
        entry = {
            name: {
                "seconds": round(seconds.get(name, 0.0), 3),
                **teacher_terms(fit(image, SIDE), photo, painting, lab.backbone, config),
            }
            for name, image in pictures.items()
        }
        found[f"{photo_name}_{painting_name}"] = entry
        print(
            photo_name, painting_name, {name: round(e["total"], 3) for name, e in entry.items()}, flush=True
        )
        shown = [(name, image) for name, image in pictures.items() if name not in METHODS[1:]]
        rows.append([(fit(painting, 384), painting_name), *((image, name) for name, image in shown)])
        for name, image in pictures.items():
            nstjax.save_image(lab.out / "runs" / f"{photo_name}_{painting_name}_{name}.png", image)
    contact_sheet(lab.out / "compare.jpg", rows[: arguments.shown], cell=2.3)
    optimized = [
        entry for entry in found.values() if f"L-BFGS {max(arguments.iterations, default=0)}" in entry
    ]
    means = {"mean": _means(list(found.values())), "mean_of_optimized_pairs": _means(optimized)}
    print(json.dumps(means))
    record = {
        **means,
        "pairs": found,
        "decoder": tree_digest(decoder.params),
        "networks": [lab.backbone.sha256, embedded.sha256],
        "environment": environment(),
    }
    (lab.out / "compare.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
