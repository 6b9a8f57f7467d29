"""The Stanford poster: ``python -m experiments.stanford_controls --weights VGG19 --images DIR``.

The poster's difficult case, one content image with many styles, and spatial control: results with and without
it, and its effect at the boundary. Then the poster's future work: color control, feature size, blending,
automatic weights. (The real-time method is another experiment.) The poster's own method is the preset
``stanford``; the controls are shown with relative losses. ``--images`` holds content/, style/ and masks/. Run
time: about 30 minutes on 2 cores.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from scipy import ndimage

import nstjax
from experiments.common import (
    CONTENT_LAYERS,
    STYLE_WEIGHTS,
    Arguments,
    Lab,
    Run,
    caption,
    fit,
    luminance,
)
from nstjax import PRESETS, Style, StyleRegion, TransferConfig
from nstjax.images import color
from nstjax.losses import Objective
from nstjax.nn.table import FIRST_RELUS
from nstjax.optim import Lbfgs
from nstjax.reports import contact_sheet
from nstjax.synthesis.pyramid import content_at
from nstjax.synthesis.styles import Styles

SIDE = 256
STYLE_SIDE = 2 * SIDE  # size as loaded; the pyramid then resizes the style image
ITERATIONS = 100
BASE = TransferConfig(
    objective=Objective(
        content_layers=CONTENT_LAYERS, style_layers=FIRST_RELUS, style_weight=STYLE_WEIGHTS["gram"]
    ),
    optimizer=Lbfgs(iterations=ITERATIONS),
    size=SIDE,
)
MANY = ("starry_night", "wheatfield", "the_scream", "woman_with_hat", "great_wave", "shipwreck")
BAND = 6  # width in pixels of the band on either side of a boundary


def _photo(lab: Lab, name: str) -> np.ndarray:
    return fit(lab.picture("content", name), SIDE)


def _painting(lab: Lab, name: str) -> np.ndarray:
    return fit(lab.picture("style", name), STYLE_SIDE)


def _run(lab: Lab, label: str, photo: np.ndarray, style: Styles, **changes: Any) -> Run:
    return lab.run(label, photo, style, dataclasses.replace(BASE, **changes))


def poster(side: int) -> TransferConfig:
    """Return the preset ``stanford`` at another size, with the same balance of its losses.

    The content loss and the variation are sums over positions. The Gram matrices are divided by the number of
    positions, so the style loss is not such a sum, and its weight must be proportional to the number of
    pixels.
    """
    preset = PRESETS["stanford"]
    objective = dataclasses.replace(
        preset.objective, style_weight=preset.objective.beta * (side / preset.size) ** 2
    )
    return dataclasses.replace(preset, objective=objective, size=side, scales=(side,))


def difficult(lab: Lab) -> None:
    """Compare three methods on a wide plain sky.

    The poster's method (noise, Adam, one scale) leaves noise of its start in the sky.
    """
    photo, style = _photo(lab, "golden_gate"), _painting(lab, "woman_with_hat")
    sky = lab.mask("golden_gate_sky", SIDE) > 0.99
    runs = {
        "poster: noise, Adam, 300 iterations": lab.run("difficult_poster", photo, style, poster(SIDE)),
        "noise, L-BFGS, coarse to fine": _run(lab, "difficult_noise", photo, style, init="noise"),
        "default: photograph, coarse to fine": _run(lab, "difficult_default", photo, style),
    }
    residual = {}
    for name, run in runs.items():
        high = luminance(run.image) - ndimage.gaussian_filter(luminance(run.image), 1.0)
        residual[name] = round(float(high[sky].std()), 4)
    lab.note("difficult_fine_contrast_of_the_sky", residual)
    cells = [(photo, "photograph"), (style, "woman_with_hat")]
    cells += [
        (run.image, f"{name}\nfine contrast of the sky {residual[name]:.4f}") for name, run in runs.items()
    ]
    contact_sheet(lab.out / "difficult.jpg", [cells], f"Difficult case — {caption(run, lab.backbone)}")


def styles(lab: Lab) -> None:
    """Transfer several styles to one content image."""
    photo = _photo(lab, "tubingen")
    rows: list[list[Any]] = []
    for i, name in enumerate(MANY):
        if i % 3 == 0:
            rows.append([])
        style = _painting(lab, name)
        run = _run(lab, f"styles_{name}", photo, style)
        rows[-1] += [(style, name), (run.image, "result")]
    contact_sheet(lab.out / "styles.jpg", rows, f"One content, many styles — {caption(run, lab.backbone)}")


def boundary_excess(image: np.ndarray, photo: np.ndarray, mask: np.ndarray) -> float:
    """Return how much stronger edges are along a boundary than beside it, relative to the photograph.

    The measure is the mean gradient of the luminance within :data:`BAND` pixels of the boundary, divided by
    that in the next three bands, and then divided by the same ratio for the photograph. It is 1 if the
    boundary is as strong as in the photograph.

    Args:
        image: ``(1, h, w, 3)``.
        photo: ``(1, h, w, 3)``.
        mask: ``(h, w)`` in [0, 1]; the boundary is where it crosses 0.5.
    """
    inside = mask > 0.5
    distance = np.where(inside, *(ndimage.distance_transform_edt(side) for side in (inside, ~inside)))
    near, beside = distance <= BAND, (distance > BAND) & (distance <= 4 * BAND)

    def ratio(x: np.ndarray) -> float:
        gradient = ndimage.gaussian_gradient_magnitude(luminance(x), 1.0)
        return float(gradient[near].mean() / gradient[beside].mean())

    return ratio(image) / ratio(photo)


def spatial(lab: Lab) -> None:
    """Compare results without and with regions: three ways to carry masks to the layers, and guided sums."""
    rows, excess = [], {}
    for photo_name, above, below in (
        ("tubingen", "starry_night", "wheatfield"),
        ("golden_gate", "wheatfield", "wheatfield"),
    ):
        photo = _photo(lab, photo_name)
        mask = lab.mask(f"{photo_name}_sky", SIDE)
        one, other = _painting(lab, above), _painting(lab, below)
        theirs = lab.mask("wheatfield_sky", STYLE_SIDE)
        sky = Style(one, theirs if above == "wheatfield" else None)
        land = Style(other, 1 - theirs)
        regions = [StyleRegion((sky,), mask, name="sky"), StyleRegion((land,), 1 - mask, name="land")]
        without = [Style(one), Style(other)] if above != below else one
        runs = {"without": _run(lab, f"{photo_name}_without", photo, without)}
        for carry in ("inside", "average", "all"):
            runs[f"regions, {carry}"] = _run(
                lab, f"{photo_name}_{carry}", photo, regions, mask_carry=carry, style_mask_carry=carry
            )
        sums = dataclasses.replace(BASE.objective, guidance="sums")
        runs["guided sums"] = _run(lab, f"{photo_name}_sums", photo, regions, objective=sums)
        found = {name: round(boundary_excess(run.image, photo, mask), 3) for name, run in runs.items()}
        excess[photo_name] = found
        row = [(photo, "photograph"), (one, above)]
        rows.append(
            row + [(run.image, f"{name}\nedges at boundary ×{found[name]:.2f}") for name, run in runs.items()]
        )
    lab.note("boundary_excess", excess)
    run = runs["regions, inside"]
    contact_sheet(lab.out / "spatial.jpg", rows, f"Spatial control — {caption(run, lab.backbone)}")


def color_distance(image: np.ndarray, photo: np.ndarray) -> float:
    """Return the root mean square difference of the mean colors and their standard deviations, in [0, 1]."""
    a, b = (x.reshape(-1, 3) for x in (image, photo))
    return float(np.sqrt(np.square(np.concatenate([a.mean(0) - b.mean(0), a.std(0) - b.std(0)])).mean()))


def colors(lab: Lab) -> None:
    """Keep the photograph's colors: recolor the style image beforehand, or the result afterwards."""
    photo, style = _photo(lab, "tubingen"), _painting(lab, "the_scream")
    plain = _run(lab, "colors_style", photo, style)
    at_end = np.asarray(content_at(photo, SIDE))
    before, after = (
        [(style, "the_scream"), (plain.image, "painting's colors")],
        [(photo, "photograph"), (None, "at the end:")],
    )
    distances = {"style": round(color_distance(plain.image, photo), 4)}
    for name in ("luminance", "histogram", "cholesky", "pca", "symmetric"):
        run = _run(lab, f"colors_{name}", photo, style, colors=name)
        if name == "luminance":
            image = color.combine(color.luminance(plain.image), at_end)
        else:
            image = color.transfer_color(plain.image, at_end, name)
        distances[name] = round(color_distance(run.image, photo), 4)
        distances[f"{name}, at the end"] = round(color_distance(image, photo), 4)
        before.append((run.image, f"{name}: {distances[name]:.3f}"))
        after.append((image, f"{name}: {distances[f'{name}, at the end']:.3f}"))
    lab.note("color_distance_to_the_photograph", distances)
    contact_sheet(lab.out / "colors.jpg", [before, after], f"Colour control — {caption(plain, lab.backbone)}")


def feature_size(lab: Lab) -> None:
    """Vary the size of the style image, and combine the fine texture of one with the forms of another."""
    photo = _photo(lab, "golden_gate")
    style = fit(lab.picture("style", "starry_night"), 4 * SIDE)
    row = [(style, "starry_night")]
    for scale in (0.5, 1.0, 2.0):
        run = _run(lab, f"scale_{scale}", photo, style, style_scale=scale)
        row.append((run.image, f"style scale {scale:g}"))
    fine = _painting(lab, "the_scream")
    mixed = nstjax.mix_scales(style, fine, lab.backbone, SIDE, iterations=ITERATIONS)
    run = _run(lab, "scale_mixed", photo, mixed)
    second = [
        (fine, "the_scream: fine"),
        (style, "starry_night: coarse"),
        (mixed, "mixed style"),
        (run.image, "result"),
    ]
    contact_sheet(lab.out / "feature_size.jpg", [row, second], f"Feature size — {caption(run, lab.backbone)}")


def blending(lab: Lab) -> None:
    """Blend two styles in five proportions, and compare the two ways of blending at equal weights."""
    photo = _photo(lab, "golden_gate")
    one, other = _painting(lab, "starry_night"), _painting(lab, "great_wave")
    row = []
    for share in (1.0, 0.75, 0.5, 0.25, 0.0):
        run = _run(lab, f"blend_{share}", photo, [Style(one, None, share), Style(other, None, 1 - share)])
        row.append((run.image, f"{share:g} starry_night + {1 - share:g} great_wave"))
    by_statistics = dataclasses.replace(BASE.objective, blend="statistics")
    mixture = _run(lab, "blend_statistics", photo, [Style(one), Style(other)], objective=by_statistics)
    second = [
        (one, "starry_night"),
        (other, "great_wave"),
        row[2],
        (mixture.image, "0.5 + 0.5, blended statistics"),
    ]
    contact_sheet(lab.out / "blending.jpg", [row, second], f"Blending — {caption(run, lab.backbone)}")


def strengths(lab: Lab) -> None:
    """Show that equal style strengths give similar results for different images and losses."""
    rows = []
    share: dict[str, dict[str, float]] = {}
    gatys = dataclasses.replace(BASE.objective, style_loss="gatys", content_loss="half_sum")
    for label, photo_name, painting, objective in (
        ("relative losses", "golden_gate", "starry_night", BASE.objective),
        ("relative losses", "timber_houses", "great_wave", BASE.objective),
        ("Gatys's losses", "golden_gate", "starry_night", gatys),
    ):
        photo, style = _photo(lab, photo_name), _painting(lab, painting)
        row = [(style, f"{painting}\n{label}")]
        for strength in (0.03, 0.3, 1.0, 3.0):
            name = f"strength_{strength}_{photo_name}_{label.split()[0]}"
            run = _run(lab, name, photo, style, style_strength=strength, objective=objective)
            terms = run.history[-1]["terms"]
            lost = sum(v for n, v in terms.items() if n.startswith("content"))
            share.setdefault(f"{photo_name}, {label}", {})[f"{strength:g}"] = round(lost, 3)
            row.append((run.image, f"strength {strength:g}, content lost {lost:.2f}"))
        rows.append(row)
    lab.note("share_of_content_lost_by_strength", share)
    contact_sheet(
        lab.out / "strength.jpg", rows, f"Automatic weights — {lab.backbone.arch}, {lab.backbone.source}"
    )


def main() -> None:
    """Make the figures."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    lab.make(spatial, difficult, styles, colors, feature_size, blending, strengths)


if __name__ == "__main__":
    main()
