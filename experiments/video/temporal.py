"""The temporal loss of ``nstjax transfer``: ``python -m experiments.video.temporal --weights embedded --images DIR``.

Stylizes two clips with known motion frame by frame, and with :func:`nstjax.synthesis.transfer_frame` for several weights
of the temporal loss. It measures the warping error and the style loss. Run time: about 10 minutes on 2 cores.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro

import nstjax
from experiments import common
from experiments.common import EQUAL_WEIGHTS, Lab, fit
from experiments.distill.score import photograph, teacher_terms
from experiments.video.__main__ import difference_cells, measured
from experiments.video.clips import Clip, panned, passing
from nstjax import TransferConfig
from nstjax.reports import Cell, contact_sheet, environment
from nstjax.synthesis import FrameState, VideoConfig, transfer_frame


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    painting: str = "the_scream"
    """Name of the style image."""
    size: int = 256
    """Width of the frames in pixels."""
    count: int = 8
    """Number of frames of a clip."""
    temporal_weights: tuple[float, ...] = (0, 100)
    """Weights of the temporal loss."""


def main(arguments: Arguments) -> None:
    """Make and measure the clips."""
    lab = Lab(arguments, Path(__file__).parent)
    lab.refuse_figures()
    width, count = arguments.size, arguments.count
    height = width * 3 // 4
    town, bridge, face = (photograph(lab, name) for name in ("tubingen", "golden_gate", "astronaut"))
    clips = {
        "pan and zoom": panned(fit(town, width * 5 // 3), count, height, width),
        "a disk passes": passing(fit(bridge, width), fit(face, width), count),
    }
    painting = lab.picture("style", arguments.painting)
    config = TransferConfig(size=width, objective=EQUAL_WEIGHTS)
    found: dict[str, dict[str, dict[str, float]]] = {}
    rows: list[list[Cell]] = []

    def measure(pictures: list[np.ndarray], clip: Clip) -> dict[str, float]:
        def score(i: int) -> dict[str, float]:
            return teacher_terms(pictures[i], clip.frames[i], painting, lab.backbone, config)

        return measured(pictures, clip, range(1, len(pictures)), score)

    for title, clip in clips.items():
        methods = {
            "frame by frame": [
                nstjax.transfer(frame, painting, lab.backbone, config).image for frame in clip.frames
            ]
        }
        entry = {"frame by frame": measure(methods["frame by frame"], clip)}
        print(title, json.dumps(entry), flush=True)
        for weight in arguments.temporal_weights:
            pictures: list[np.ndarray] = []
            state: FrameState | None = None
            for frame in clip.frames:
                made = transfer_frame(
                    frame, painting, lab.backbone, config, VideoConfig(temporal_weight=weight), state
                )
                state = made.state
                pictures.append(made.image)
            name = f"temporal weight {weight:g}"
            methods[name] = pictures
            entry[name] = measure(pictures, clip)
            print(title, name, json.dumps(entry[name]), flush=True)
        found[title] = entry
        cells: list[Cell] = [(clip.frames[-1], title)]
        for name, pictures in methods.items():
            cells += difference_cells(pictures, clip, name)
            for number, picture in enumerate(pictures):
                kept = lab.out / "runs" / f"{title} {name} {number}.png".replace(" ", "_")
                nstjax.save_image(kept, picture)
        rows.append(cells)
    contact_sheet(lab.out / "temporal.jpg", rows, cell=2.0)
    record = {"clips": found, "environment": environment()}
    (lab.out / "temporal.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
