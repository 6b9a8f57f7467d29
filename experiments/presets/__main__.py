"""Every preset at its own size: ``python -m experiments.presets --weights W19 --images DIR``.

The presets of ``nstjax transfer`` on one photograph and one painting, with the layers, iterations and sizes
of their sources. ``--figures NAME ...`` makes some of them; ``sheet`` shows all that have been made on one
sheet. Run time on 2 cores: from a minute (``fast``) and 4 minutes (``default``) to hours (``crowson``).
"""

from pathlib import Path

import numpy as np
import tyro

from experiments.common import Arguments, Lab, fit
from experiments.yardstick import Yardstick
from nstjax import PRESETS, save_image
from nstjax.images import load_image
from nstjax.reports import Cell, contact_sheet

PHOTO, PAINTING = "tubingen", "starry_night"  # Gatys et al. 2016, Fig. 2
COLUMNS = 3


def _picture(lab: Lab, name: str) -> Path:
    return lab.out / f"{name}.jpg"


def preset(lab: Lab, yardstick: Yardstick, name: str) -> None:
    """Make and measure the image of one preset."""
    content, style = lab.picture("content", PHOTO), lab.picture("style", PAINTING)
    run = lab.run(name, content, style, PRESETS[name])
    found = yardstick.measure(run.image, PHOTO, PAINTING)
    lab.note(name, {**found, "seconds": round(run.seconds, 1)})
    save_image(_picture(lab, name), run.image)


def sheet(lab: Lab) -> None:
    """Make a sheet of the images that exist, beside the photograph and the painting."""
    cells: list[Cell] = [
        (fit(lab.picture(k, n), 512), n) for k, n in (("content", PHOTO), ("style", PAINTING))
    ]
    for name, config in PRESETS.items():
        if _picture(lab, name).exists():
            image: np.ndarray = load_image(_picture(lab, name))
            cells.append((image, f"{name}, {config.pyramid()[-1]} pixels"))
    rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
    contact_sheet(lab.out / "presets.jpg", rows, "nstjax transfer --preset, on VGG-19", cell=3.4)


def main() -> None:
    """Make the image of every preset, then the sheet."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    yardstick = Yardstick(lab)
    lab.make(**{name: lambda lab, name=name: preset(lab, yardstick, name) for name in PRESETS}, sheet=sheet)


if __name__ == "__main__":
    main()
