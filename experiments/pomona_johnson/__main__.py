"""The Pomona thesis, chapters 3 to 5.

Run it with ``python -m experiments.pomona_johnson --photographs DIR --images DIR``.

Johnson's network, trained with the settings that the thesis (Barnes 2018) compares: batch and instance
normalization (Fig. 5.2), three kinds of upsampling (section 4.1), L2 and L1 losses (Fig. 5.3 and 5.4), total
variation (Fig. 5.5), the ratio of style to content (Fig. 5.6), and a comparison with Gatys's method (Fig.
5.7). What the thesis shows as images is also measured: checkerboards, contrast, borders. Thirteen short
training runs take 24 minutes on 2 cores. They are cached in figures/runs, and interrupted runs are resumed.
``--full`` has the thesis's size and needs a GPU.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro

import nstjax
from experiments.common import detail_correlation, fit
from experiments.pomona_johnson.measures import (
    border_error,
    checkerboard_amplitude,
    checkerboard_ratio,
    painted_in_quarters,
    rms,
    seam,
    with_contrast,
)
from experiments.pomona_johnson.settings import Studio, objective
from experiments.programs import keep_programs
from experiments.trained import TrainArguments
from nstjax.generators import init_generator
from nstjax.generators.store import Generator
from nstjax.inference import stylize
from nstjax.optim import Lbfgs
from nstjax.reports import contact_sheet

PHOTO, PAINTING = "golden_gate", "starry_night"
CONTRASTS = (0.25, 0.5, 1.0)
UPSAMPLINGS = ("transposed", "nearest", "bilinear")
GRAY_SIDE = 256
BANDS = 64  # height of a band in rows


def enlarged(image: np.ndarray, top: float, left: float, part: float = 0.25) -> np.ndarray:
    """Return a part of an image, enlarged 3 times by repeating pixels.

    Args:
        image: ``(1, h, w, 3)``.
        top: upper edge of the part as a fraction of the height.
        left: left edge of the part as a fraction of the width.
        part: size of the part as a fraction of height and width.
    """
    height, width = image.shape[1:3]
    y, x, h, w = int(top * height), int(left * width), int(part * height), int(part * width)
    return image[:, y : y + h, x : x + w].repeat(3, 1).repeat(3, 2)


def figure_5_2(studio: Studio, photo: np.ndarray) -> None:
    """Make Fig. 5.2: batch and instance normalization, for the photograph at three contrasts."""
    pictures = {
        norm: [studio.paint(name, with_contrast(photo, c)) for c in CONTRASTS]
        for norm, name in (("batch", "batch"), ("instance", "modified"))
    }
    moved = {
        norm: {f"{c:g}": round(rms(image, made[-1]), 2) for c, image in zip(CONTRASTS, made, strict=True)}
        for norm, made in pictures.items()
    }
    studio.lab.note("fig5.2_rms_difference_from_contrast_1", moved)
    rows = []
    for i, c in enumerate(CONTRASTS):
        row = [(with_contrast(photo, c), f"contrast {c:g}")]
        for norm, made in pictures.items():
            away = "" if c == 1 else f"\n{moved[norm][f'{c:g}']:g} levels of 255 from contrast 1"
            row.append((made[i], f"{norm} normalization{away}"))
        rows.append(row)
    contact_sheet(studio.lab.out / "figure_5_2.jpg", rows, f"Pomona Fig. 5.2 — {studio.about()}")


def upsampling(studio: Studio, photo: np.ndarray) -> None:
    """Section 4.1: compare transposed convolution with upsampling and convolution, untrained and trained."""
    names = {how: "modified" if how == "bilinear" else how for how in UPSAMPLINGS}
    gray = np.full((1, GRAY_SIDE, GRAY_SIDE, 3), 0.5, np.float32)
    inner = (slice(None), slice(64, -64), slice(64, -64))  # away from the border
    cells: list[list[tuple[np.ndarray | None, str]]] = [[(photo, "photograph")], [(None, "enlarged")]]
    cells.append([(None, "flat gray, enlarged,\ncontrast ×4")])
    found: dict[str, dict[str, float]] = {}
    for how, name in names.items():
        config = studio.config(name).generator
        fresh = Generator(config, init_generator(config, jax.random.key(0)), {})
        painted, flat = studio.paint(name, photo), studio.paint(name, gray)[inner]
        pictures = {
            "photograph": painted,
            "gray": flat,
            "photograph, untrained": stylize(fresh, photo, tile=0),
        }
        found[how] = {}
        for what, image in pictures.items():
            found[how][f"{what}: ratio"] = float(f"{checkerboard_ratio(image):.3g}")
            found[how][f"{what}: amplitude"] = float(f"{checkerboard_amplitude(image):.3g}")
        cells[0].append((painted, f"{how}\npower at the strides ×{found[how]['photograph: ratio']:g}"))
        cells[1].append((enlarged(painted, 0.1, 0.5), f"{how}"))
        shown = 0.5 + 4 * (flat - flat.mean((1, 2), keepdims=True))
        amplitude = found[how]["gray: amplitude"]
        cells[2].append(
            (shown[:, :64, :64].repeat(3, 1).repeat(3, 2), f"pattern of {amplitude:g} levels of 255")
        )
    studio.lab.note("checkerboard", found)
    contact_sheet(studio.lab.out / "upsampling.jpg", cells, f"Pomona section 4.1 — {studio.about()}")


def figure_5_3(studio: Studio, photo: np.ndarray) -> None:
    """Make Fig. 5.3 and, in the second row, Fig. 5.4: L2 and L1 losses, each result judged by both."""
    pictures = {"L2": studio.paint("l2", photo), "L1": studio.paint("l1", photo)}
    found = {}
    for name, image in pictures.items():
        for by, like in (("L2", "l2"), ("L1", "l1")):
            pair = studio.lost(image, photo, like)
            found[f"trained by {name}, judged by {by}: content, style"] = [round(x, 4) for x in pair]
    studio.lab.note("fig5.3_losses", found)
    rows = [
        [(photo, "photograph"), *((image, f"{name} loss") for name, image in pictures.items())],
        [
            (enlarged(studio.painting, 0.05, 0.68, 0.3), "starry_night"),
            *(
                (enlarged(image, 0.05, 0.5, 0.3), f"{name} loss, the sky enlarged")
                for name, image in pictures.items()
            ),
        ],
    ]
    contact_sheet(studio.lab.out / "figure_5_3.jpg", rows, f"Pomona Fig. 5.3 and 5.4 — {studio.about()}")


def sweep(studio: Studio, figure: str, captions: dict[str, str], photo: np.ndarray) -> None:
    """Make a figure of several values of a weight, with the losses of content and style for each.

    Args:
        studio: the networks.
        figure: name of the figure, such as ``"figure_5_5"``.
        captions: caption for each variant.
        photo: the photograph, ``(1, h, w, 3)``.
    """
    cells, found = [(photo, "photograph")], {}
    for name, caption in captions.items():
        image = studio.paint(name, photo)
        content, style = studio.lost(image, photo)
        found[caption] = {
            "content_lost": round(content, 3),
            "style_lost": round(style, 3),
            "variation": round(float(nstjax.losses.total_variation(image, "absolute", "mean")), 4),
            "detail_kept": round(detail_correlation(image, photo), 3),
        }
        cells.append((image, f"{caption}\ncontent lost {content:.2f}, style lost {style:.2f}"))
    number = figure.replace("figure_", "").replace("_", ".")
    studio.lab.note(f"fig{number}", found)
    contact_sheet(studio.lab.out / f"{figure}.jpg", [cells], f"Pomona Fig. {number} — {studio.about()}")


def figure_5_7(studio: Studio, photo: np.ndarray) -> None:
    """Make Fig. 5.7: Gatys's method, Johnson's network and the thesis's network.

    Johnson's network has batch normalization, transposed convolutions and L2 losses.
    """
    config = nstjax.TransferConfig(
        objective=objective(studio.variants["l2"]), optimizer=Lbfgs(iterations=100), size=studio.scale.side
    )
    rows, found = [], {}
    names = [PHOTO, *(name for name in studio.lab.names("content") if name != PHOTO)][:2]
    for name in names:
        content = photo if name == PHOTO else fit(studio.lab.picture("content", name), studio.scale.side)
        gatys = studio.lab.run(f"gatys_{name}", content, studio.painting, config)
        pictures = {
            "Gatys": gatys.image,
            "Johnson": studio.paint("johnson", content),
            "modified": studio.paint("modified", content),
        }
        row = [(content, name)]
        for method, image in pictures.items():
            pair = studio.lost(image, content)
            found[f"{name}, {method}: content, style"] = [round(x, 3) for x in pair]
            row.append((image, f"{method}\ncontent lost {pair[0]:.2f}, style lost {pair[1]:.2f}"))
        rows.append(row)
    studio.lab.note("fig5.7_lost", found)
    contact_sheet(studio.lab.out / "figure_5_7.jpg", rows, f"Pomona Fig. 5.7 — {studio.about()}")


def borders(studio: Studio) -> None:
    """Measure the effect of padding at borders, and of tiles at their seams."""
    photo = fit(studio.photo, 2 * studio.scale.side)
    margin = min(photo.shape[1:3]) // 16 * 4
    found, row, second = {}, [], []
    for padding, name in (("reflect", "modified"), ("zeros", "zeros")):
        strip, inner = border_error(lambda x, n=name: studio.paint(n, x), photo, margin)  # type: ignore[misc]
        found[padding] = {"strip": round(strip, 2), "inner": round(inner, 2)}
        inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
        alone, within = studio.paint(name, photo[inside]), studio.paint(name, photo)[inside]
        row += [(alone, f"{padding}: part stylized alone"), (within, f"{padding}: within a larger part")]
        gain = np.abs(alone - within).mean(-1, keepdims=True).repeat(3, -1) * 4
        second += [(None, ""), (gain, f"difference ×4\nborder {strip:.1f}, inside {inner:.1f} levels of 255")]
    whole = studio.paint("modified", photo)
    quarters = painted_in_quarters(lambda x: studio.paint("modified", x), photo)
    bands = stylize(studio.model("modified"), photo, tile=BANDS)
    seams = {
        "quarters": {"rms": round(rms(quarters, whole), 3), "step_at_seam": round(seam(quarters, whole), 3)},
        "bands": {"rms": float(f"{rms(bands, whole):.2g}"), "step_at_seam": round(seam(bands, whole), 3)},
    }
    studio.lab.note("borders", found)
    studio.lab.note("seams", seams)
    third = [
        (whole, "in one piece"),
        (quarters, f"in four pieces\nstep at the seams ×{seams['quarters']['step_at_seam']:g}"),
        (bands, f"in bands of {BANDS} rows\n{seams['bands']['rms']:g} levels of 255 from one piece"),
        (None, ""),
    ]
    contact_sheet(
        studio.lab.out / "borders.jpg", [row, second, third], f"Borders and seams — {studio.about()}"
    )


def main(arguments: TrainArguments) -> None:
    """Make the figures."""
    keep_programs()  # most training runs share one compiled program
    studio = Studio(arguments, Path(__file__).parent, PHOTO, PAINTING)
    photo = fit(studio.photo, studio.scale.side)
    variation = {"tv_1": "1", "tv_1_10": "1/10", "tv_1_100": "1/100", "modified": "1/1000"}
    ratios = {"ratio_100": "100", "modified": "500", "ratio_1000": "1000", "ratio_10000": "10000"}
    studio.lab.results["scale"] = dataclasses.asdict(studio.scale)
    studio.lab.make(
        figure_5_2=lambda _: figure_5_2(studio, photo),
        figure_5_3=lambda _: figure_5_3(studio, photo),
        figure_5_7=lambda _: figure_5_7(studio, photo),
        upsampling=lambda _: upsampling(studio, photo),
        figure_5_5=lambda _: sweep(studio, "figure_5_5", variation, photo),
        figure_5_6=lambda _: sweep(studio, "figure_5_6", ratios, photo),
        borders=lambda _: borders(studio),
    )


if __name__ == "__main__":
    main(tyro.cli(TrainArguments, description=__doc__))
