"""Flicker with and without ``--steady``: ``python -m experiments.video --weights VGG19 --images DIR``.

Stylizes clips with known motion frame by frame, and with :func:`nstjax.inference.steady.steady`. It measures the
warping error (the mean squared difference between a picture and its warped predecessor, where both are visible) and
the style loss. ``--footage FILE`` adds a video, whose motion is estimated. Run time: about ten minutes on 2 cores.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tyro

import nstjax
from experiments import common
from experiments.common import EQUAL_WEIGHTS, Lab, fit
from experiments.distill.score import photograph, teacher_terms
from experiments.video.clips import Clip, panned, passing
from nstjax import TransferConfig
from nstjax.arbitrary.apply import prepare_style, stylize_arbitrary
from nstjax.arbitrary.store import load_decoder
from nstjax.images.flow import optical_flow, reliable, warp
from nstjax.images.video_input import open_video_source, packets, shown
from nstjax.inference import stylize
from nstjax.inference.steady import Shot, SteadyConfig, steady
from nstjax.reports import Cell, contact_sheet, environment

HEIGHT, WIDTH = 288, 384  # of the frames, in pixels
COUNT = 16  # frames of a clip
AMPLIFIED = 4  # factor on the differences that are shown


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    painting: str = "the_scream"
    """Name of the style image."""
    footage: tuple[Path, ...] = ()
    """Videos to add; the first frames of each are used."""


def footage(path: Path) -> Clip:
    """Return the first frames of a video, with the motion that optical flow finds."""
    with open_video_source(path) as source:
        pictures = (frame for _, frames in packets(path, source, print) for frame in frames)
        frames = [fit(shown(frame, path), WIDTH) for frame in itertools.islice(pictures, COUNT)]
    pairs = list(itertools.pairwise(frames))
    flows = [optical_flow(after, before) for before, after in pairs]
    back = [optical_flow(before, after) for before, after in pairs]
    seen = [reliable(flow, other) for flow, other in zip(flows, back, strict=True)]
    return Clip(tuple(frames), tuple(flows), tuple(seen))


def warping_error(pictures: list[np.ndarray], clip: Clip) -> float:
    """Return the mean squared difference between pictures and their warped predecessors, where both are visible."""
    errors = [
        np.square(after - warp(before, flow))[0][seen].mean()
        for (before, after), flow, seen in zip(
            itertools.pairwise(pictures), clip.flows, clip.seen, strict=True
        )
    ]
    return float(np.mean(errors))


def difference_cells(pictures: list[np.ndarray], clip: Clip, name: str) -> list[Cell]:
    """Return the cells of a sheet with the last picture, and its difference to the warped picture before it."""
    moved = np.abs(pictures[-1] - warp(pictures[-2], clip.flows[-1])) * clip.seen[-1][None, ..., None]
    return [(pictures[-1], name), ((AMPLIFIED * moved).clip(0, 1), f"difference × {AMPLIFIED}")]


def measured(
    pictures: list[np.ndarray], clip: Clip, numbers: Iterable[int], score: Callable[[int], dict[str, float]]
) -> dict[str, float]:
    """Return the warping error of the pictures of a clip, and the mean losses of some of them.

    Args:
        pictures: the pictures.
        clip: the clip.
        numbers: the pictures whose losses are averaged, counted from 0.
        score: returns the terms of the loss of a picture.
    """
    terms = [score(number) for number in numbers]
    style = [sum(v for k, v in term.items() if k.startswith("style")) for term in terms]
    return {
        "warping error": round(warping_error(pictures, clip), 7),
        "style": round(float(np.mean(style)), 4),
        "total": round(float(np.mean([term["total"] for term in terms])), 4),
    }


def main(arguments: Arguments) -> None:
    """Make and measure the clips."""
    lab = Lab(arguments, Path(__file__).parent)
    lab.refuse_figures()
    town, bridge, face = (photograph(lab, name) for name in ("tubingen", "golden_gate", "astronaut"))
    clips = {
        "pan and zoom": panned(fit(town, 640), COUNT, HEIGHT, WIDTH),
        "a disk passes": passing(fit(bridge, WIDTH), fit(face, WIDTH), COUNT),
        **{path.stem: footage(path) for path in arguments.footage},
    }
    painting = lab.picture("style", arguments.painting)
    decoder, embedded = load_decoder(), nstjax.load_backbone("embedded")
    prepared = (prepare_style(embedded, painting, 512),)
    generator = nstjax.load_generator("gallery")
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "any style": lambda frame: stylize_arbitrary(decoder, embedded, frame, prepared),
        "gallery": lambda frame: stylize(generator, frame, style=arguments.painting),
    }
    config = TransferConfig(objective=EQUAL_WEIGHTS)
    found: dict[str, dict[str, dict[str, float]]] = {}
    rows: list[list[Cell]] = []
    for (title, clip), (method, paint) in itertools.product(clips.items(), methods.items()):
        single = [paint(frame) for frame in clip.frames]
        last: Shot | None = None
        blended: list[np.ndarray] = []
        for frame, picture in zip(clip.frames, single, strict=True):
            last = steady(frame, picture, last, SteadyConfig())
            blended.append(last.picture)
        entry = {}
        for name, pictures in (("video", list(clip.frames)), ("frame by frame", single), ("steady", blended)):
            shown_at = (len(pictures) // 2, len(pictures) - 1)

            def score(i: int, pictures: list[np.ndarray] = pictures, clip: Clip = clip) -> dict[str, float]:
                return teacher_terms(pictures[i], clip.frames[i], painting, lab.backbone, config)

            entry[name] = measured(pictures, clip, shown_at, score)
        entry["ratio"] = {
            kind: round(entry["steady"][kind] / entry["frame by frame"][kind], 3)
            for kind in ("warping error", "style", "total")
        }
        found[f"{title}, {method}"] = entry
        print(title, method, json.dumps(entry), flush=True)
        cells: list[Cell] = [(clip.frames[-1], f"{title}, {method}")]
        for name, pictures in (("frame by frame", single), ("steady", blended)):
            cells += difference_cells(pictures, clip, name)
        rows.append(cells)
    contact_sheet(lab.out / "video.jpg", rows, cell=2.6)
    record = {"clips": found, "environment": environment()}
    (lab.out / "video.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
