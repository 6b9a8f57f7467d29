"""Default settings on every pair: ``python -m experiments.gallery --weights W19 --vgg16 W16 --images DIR``.

Every photograph is combined with every painting by the preset ``default``, with VGG-19, VGG-16 and the
embedded network, at 256 pixels (24 pairs with three photographs and eight paintings). Further figures: three
pairs at 512 pixels, a grid of style strengths, and one pair at 512 and 1024 pixels. Every image is measured
with VGG-19, whichever network made it. Run time on 2 cores: 35 minutes for ``pairs``, 7 for ``shown``, 6 for
``strengths``, 30 for ``sizes``.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tyro

from experiments.common import Arguments, Lab, Run, fit
from experiments.yardstick import Yardstick
from nstjax import PRESETS, load_backbone
from nstjax.reports import Cell, contact_sheet
from nstjax.typing import Backbone

SIDE = 256
LARGE = 512
CORES = os.cpu_count()
# The style weights were chosen on these pairs; the other pairs were looked at only afterwards.
TUNED = (
    ("golden_gate", "starry_night"),
    ("golden_gate", "udnie"),
    ("timber_houses", "great_wave"),
    ("timber_houses", "shipwreck"),
    ("timber_houses", "wheatfield"),
    ("timber_houses", "woman_with_hat"),
    ("tubingen", "shipwreck"),
    ("tubingen", "wheatfield"),
    ("tubingen", "woman_with_hat"),
)
SHOWN = (("golden_gate", "starry_night"), ("tubingen", "the_scream"), ("timber_houses", "great_wave"))
STRENGTH_PAIR = ("golden_gate", "udnie")
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)


@dataclasses.dataclass(frozen=True)
class GalleryArguments(Arguments):
    """Command-line arguments; ``weights`` are those of VGG-19."""

    vgg16: str = "vgg16"
    """Weights of VGG-16: an installed name, a weights file, or the folder of a store."""
    embedded: str = "embedded"
    """Weights of the small network: an installed name or the folder of a store."""


def _run(lab: Lab, label: str, pair: tuple[str, str], backbone: Backbone, side: int, **changes: float) -> Run:
    config = dataclasses.replace(PRESETS["default"], size=side, **changes)  # type: ignore[arg-type]
    content, style = lab.picture("content", pair[0]), lab.picture("style", pair[1])
    return lab.run(label, content, style, config, backbone)


def pairs(lab: Lab, yardstick: Yardstick, backbones: dict[str, Backbone]) -> None:
    """Make a sheet for each photograph, with a row per painting and a column per network, and a table."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for photo in lab.names("content"):
        content = fit(lab.picture("content", photo), SIDE)
        rows: list[list[Cell]] = []
        for painting in lab.names("style"):
            row: list[Cell] = [(content, photo), (fit(lab.picture("style", painting), SIDE), painting)]
            for name, backbone in backbones.items():
                run = _run(lab, f"{photo}_{painting}_{name}", (photo, painting), backbone, SIDE)
                measured = yardstick.measure(run.image, photo, painting)
                found[photo, painting, name] = {**measured, "seconds": round(run.seconds, 1)}
                lab.note(f"{photo}_{painting}_{name}", found[photo, painting, name])
                lost, missing = measured["content_lost"], measured["style_missing"]
                row.append((run.image, f"{name}\ncontent lost {lost:.2f}, style missing {missing:.3f}"))
            rows.append(row)
        title = f"nstjax transfer, default settings, {SIDE} pixels — {photo}"
        contact_sheet(lab.out / f"pairs_{photo}.jpg", rows, title, cell=2.6)
    (lab.out / "pairs.md").write_text(_summary(found) + "\n" + _table(found))


def _summary(found: dict[tuple[str, str, str], dict[str, float]]) -> str:
    """Return a table of means and extremes of each network, over the tuned pairs and over the others."""
    lines = [
        "| network | pairs | content lost: mean, largest | style missing: mean, largest | seconds, median |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(name for _, _, name in found):
        for which, tuned in (("tuned on", True), ("not tuned on", False)):
            cells = [m for (*pair, n), m in found.items() if n == name and (tuple(pair) in TUNED) == tuned]
            if cells:
                lost, missing, seconds = (
                    [cell[kind] for cell in cells] for kind in ("content_lost", "style_missing", "seconds")
                )
                lines.append(
                    f"| {name} | {len(cells)} {which} | {np.mean(lost):.2f}, {max(lost):.2f} | "
                    f"{np.mean(missing):.3f}, {max(missing):.3f} | {np.median(seconds):.0f} |"
                )
    return "\n".join(lines) + "\n"


def _table(found: dict[tuple[str, str, str], dict[str, float]]) -> str:
    lines = [
        "| photograph | painting | network | content lost | style missing | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for (photo, painting, name), cell in found.items():
        lost, missing, seconds = (cell[kind] for kind in ("content_lost", "style_missing", "seconds"))
        lines.append(f"| {photo} | {painting} | {name} | {lost:.2f} | {missing:.3f} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def _large(
    lab: Lab, yardstick: Yardstick, pair: tuple[str, str], name: str, backbone: Backbone, side: int
) -> Run:
    """Make an image at a larger size and record its measures and run time."""
    label = f"{'_'.join(pair)}_{name}_{side}"
    run = _run(lab, label, pair, backbone, side)
    last = [entry for entry in run.history if entry["scale"] == run.history[-1]["scale"]]
    losses = {str(e["iteration"]): round(e["loss"], 3) for e in last if e["iteration"] in (25, 50, 75, 100)}
    measured = yardstick.measure(run.image, *pair)
    lab.note(label, {**measured, "seconds": round(run.seconds, 1), "loss_of_the_last_scale_at": losses})
    return run


def _inputs(lab: Lab, pair: tuple[str, str], side: int) -> list[Cell]:
    return [(fit(lab.picture(k, n), side), n) for k, n in zip(("content", "style"), pair, strict=True)]


def shown(lab: Lab, yardstick: Yardstick, backbones: dict[str, Backbone]) -> None:
    """Make the README's sheet: three pairs with VGG-19 at 512 pixels."""
    rows: list[list[Cell]] = [
        [
            *_inputs(lab, pair, LARGE),
            (_large(lab, yardstick, pair, "vgg19", lab.backbone, LARGE).image, "nstjax transfer"),
        ]
        for pair in SHOWN
    ]
    contact_sheet(lab.out / "gallery.jpg", rows, f"Default settings, {LARGE} pixels, VGG-19", cell=3.6)


def sizes(lab: Lab, yardstick: Yardstick, backbones: dict[str, Backbone]) -> None:
    """Make one pair with every network at 512 and at 1024 pixels, with run times."""
    rows: list[list[Cell]] = []
    for side in (LARGE, 2 * LARGE):
        runs = {
            name: _large(lab, yardstick, SHOWN[0], name, backbone, side)
            for name, backbone in reversed(backbones.items())
        }
        rows.append(
            [
                (runs[name].image, f"{name}, {side} pixels: {runs[name].seconds:.0f} s on {CORES} cores")
                for name in backbones
            ]
        )
    contact_sheet(lab.out / "sizes.jpg", rows, "Default settings, larger pictures", cell=4.2)


def strengths(lab: Lab, yardstick: Yardstick, backbones: dict[str, Backbone]) -> None:
    """Make a sheet of ``--style-strength`` from 0.1 to 10, on every network."""
    pair = STRENGTH_PAIR
    rows: list[list[Cell]] = []
    for name, backbone in backbones.items():
        row: list[Cell] = []
        for strength in STRENGTHS:
            label = f"strength_{strength:g}_{name}"
            run = _run(lab, label, pair, backbone, SIDE, style_strength=strength)
            found = yardstick.measure(run.image, *pair)
            lab.note(label, found)
            lost = found["content_lost"]
            row.append((run.image, f"{name}, strength {strength:g}\ncontent lost {lost:.2f}"))
        rows.append(row)
    contact_sheet(lab.out / "strengths.jpg", rows, f"--style-strength, {SIDE} pixels", cell=2.6)


def main() -> None:
    """Make the figures."""
    arguments = tyro.cli(GalleryArguments, description=__doc__)
    lab = Lab(arguments, Path(__file__).parent)
    backbones = {
        "vgg19": lab.backbone,
        "vgg16": load_backbone(arguments.vgg16),
        "embedded": load_backbone(arguments.embedded),
    }
    yardstick = Yardstick(lab)
    figures = (pairs, shown, strengths, sizes)
    lab.make(
        **{
            figure.__name__: lambda lab, figure=figure: figure(lab, yardstick, backbones)
            for figure in figures
        }
    )


if __name__ == "__main__":
    main()
