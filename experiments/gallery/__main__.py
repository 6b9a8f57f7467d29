"""The picture at the top of the README: ``python -m experiments.gallery --weights W --images DIR``.

Three photographs in the manner of three paintings by the default settings, untouched. Runtime: about
8 minutes on 2 cores with the three blocks' weights.
"""

import dataclasses
from pathlib import Path

import tyro

from experiments.common import Arguments, Lab, caption, fit
from nstjax import PRESETS
from nstjax.reports import Cell, contact_sheet

SIZE = 384
PAIRS = (("golden_gate", "starry_night"), ("tubingen", "the_scream"), ("timber_houses", "great_wave"))


def gallery(lab: Lab) -> None:
    """A column for each pair: the photograph, the painting, the picture."""
    config = dataclasses.replace(PRESETS["default"], size=SIZE)
    rows: list[list[Cell]] = []
    for photo, painting in PAIRS:
        content, style = lab.picture("content", photo), lab.picture("style", painting)
        run = lab.run(f"{photo}_{painting}", content, style, config)
        rows.append(
            [(fit(content, SIZE), photo), (fit(style, SIZE), painting), (run.image, "nstjax transfer")]
        )
    contact_sheet(lab.out / "gallery.jpg", rows, caption(run, lab.backbone), cell=3.6)


def main() -> None:
    """Make the figure."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    gallery(lab)
    lab.finish()


if __name__ == "__main__":
    main()
