"""The Brown report: ``python -m experiments.brown_gatys --weights VGG19 --images DIR``.

Gatys's method with SciPy's L-BFGS-B, called 20 times with maxfun 20, and a 3×3 median filter applied to saved
images. The settings are those of the preset ``brown``, where the source of each is given. Run time at 400
pixels: about 4 minutes per full run on 2 cores, 8 full runs.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.common import Arguments, Lab, Run, caption, detail_correlation, fit
from nstjax import PRESETS, TransferConfig
from nstjax.images import median_filter
from nstjax.losses import total_variation
from nstjax.optim import ScipyLbfgsb
from nstjax.reports import Cell, contact_sheet, loss_plot
from nstjax.synthesis.pyramid import first_image

LONG_SIDE = PRESETS["brown"].size
SNAPSHOTS = (0, 10, 15, 20)  # iterations in Fig. 9, here rounds; the last is the preset's number of rounds
MAP_LAYERS = (
    "relu1_1",
    "relu2_1",
    "relu3_1",
    "relu4_1",
    "relu5_1",
    "relu4_2",
)  # layers of Fig. 7, which section 2 names
MAPS = 6  # feature maps shown for each layer
PHOTO, PAINTING = "tubingen", "starry_night"
# Fig. 13 has van Gogh, Munch, Picasso and Kandinsky. Matisse and Picabia replace the last two.
PAINTINGS = (PAINTING, "the_scream", "woman_with_hat", "udnie")


def config(maxfun: int | None = None, rounds: int | None = None, **changes: Any) -> TransferConfig:
    """Return the preset at this experiment's size, with the changes of a figure.

    Args:
        maxfun: largest number of evaluations in a round; the preset's by default.
        rounds: number of calls of SciPy; the preset's by default.
        changes: fields of the config or of its objective.
    """
    preset = PRESETS["brown"]
    assert isinstance(preset.optimizer, ScipyLbfgsb)
    optimizer = dataclasses.replace(
        preset.optimizer,
        maxfun=preset.optimizer.maxfun if maxfun is None else maxfun,
        rounds=preset.optimizer.rounds if rounds is None else rounds,
    )
    own = {field.name for field in dataclasses.fields(TransferConfig)}
    objective = dataclasses.replace(
        preset.objective, **{name: value for name, value in changes.items() if name not in own}
    )
    return dataclasses.replace(
        preset,
        objective=objective,
        optimizer=optimizer,
        size=LONG_SIDE,
        scales=(LONG_SIDE,),
        **{name: value for name, value in changes.items() if name in own},
    )


def _images(lab: Lab, painting: str = PAINTING) -> tuple[np.ndarray, np.ndarray]:
    return fit(lab.picture("content", PHOTO), LONG_SIDE), fit(lab.picture("style", painting), LONG_SIDE)


def _full(lab: Lab, painting: str = PAINTING, label: str = "report", **changes: Any) -> Run:
    """Run all rounds."""
    content, style = _images(lab, painting)
    return lab.run(f"{PHOTO}_{painting}_{label}", content, style, config(**changes), snapshots=SNAPSHOTS)


def figure_7(lab: Lab) -> None:
    """Make Fig. 7: the feature maps with the largest means for the photograph, one row per layer."""
    content, _ = _images(lab)
    found = nstjax.features(lab.backbone, jnp.asarray(content), MAP_LAYERS, PRESETS["brown"].pooling)
    rows: list[list[Cell]] = []
    for name in MAP_LAYERS:
        maps = np.asarray(found[name])[0]
        strongest = np.argsort(-maps.mean((0, 1)))[:MAPS]
        row: list[Cell] = []
        for channel in strongest:
            one = maps[..., channel]
            gray = np.repeat((one / max(float(one.max()), 1e-12))[None, ..., None], 3, axis=-1)
            row.append((gray, f"{name}, filter {channel}\nmean {one.mean():.3g}, largest {one.max():.3g}"))
        rows.append(row)
    lab.note(
        "fig7_share_of_filters_that_respond",
        {name: round(float((np.asarray(f).max((0, 1, 2)) > 0).mean()), 3) for name, f in found.items()},
    )
    title = f"Brown Fig. 7 — {lab.backbone.arch}, {lab.backbone.source}"
    contact_sheet(lab.out / "figure_7.jpg", rows, title, cell=2.2)


def figure_10(lab: Lab) -> None:
    """Make Fig. 10: the first iteration with maxfun 10 and with maxfun 50."""
    content, style = _images(lab)
    cells: list[Cell] = []
    for maxfun in (10, 50):
        run = lab.run(f"maxfun_{maxfun}", content, style, config(maxfun, rounds=1))
        loss = run.history[-1]["loss"]
        lab.note(f"fig10_loss_maxfun_{maxfun}", float(f"{loss:.4g}"))
        cells.append((run.image, f"maxfun {maxfun}, loss {loss:.3g}"))
    contact_sheet(
        lab.out / "figure_10.jpg", [cells], f"Brown Fig. 10 — {caption(run, lab.backbone)}", cell=4.2
    )


def figure_9(lab: Lab) -> None:
    """Make Fig. 9: the image at iterations 0, 10, 15 and 20.

    As saved images are, these are filtered; the iterate of the optimizer is not.
    """
    content, style = _images(lab)
    full = _full(lab)
    start = np.asarray(first_image(full.config, content.shape[1:3], content, style, None))
    pictures = {**full.frames, 0: start, SNAPSHOTS[-1]: full.image}
    # If SciPy reports convergence, the run ends early; the last image is then used for later iterations.
    cells = [(median_filter(pictures.get(i, full.image)), f"iteration {i}") for i in SNAPSHOTS]
    contact_sheet(lab.out / "figure_9.jpg", [cells], f"Brown Fig. 9 — {caption(full, lab.backbone)}")


def figure_2(lab: Lab) -> None:
    """Make Fig. 2: an image before and after the 3×3 median filter."""
    run = _full(lab)
    filtered = median_filter(run.image)
    before, after = (float(total_variation(x, "absolute", "mean")) for x in (run.image, filtered))
    lab.note("fig2_total_variation", {"before": round(before, 4), "after": round(after, 4)})
    cells = [
        (run.image, f"before (total variation {before:.3f})"),
        (filtered, f"after (total variation {after:.3f})"),
    ]
    contact_sheet(lab.out / "figure_2.jpg", [cells], f"Brown Fig. 2 — {caption(run, lab.backbone)}", cell=4.2)


def figure_12(lab: Lab) -> None:
    """Make Fig. 12: the loss against the iteration. The report calls its decrease exponential."""
    run = _full(lab)
    loss_plot(lab.out / "figure_12.png", run.history, f"Brown Fig. 12 — {PHOTO}, {PAINTING}")
    loss = np.log([entry["loss"] for entry in run.history])
    steps = np.arange(1, len(loss) + 1)
    fits = {
        name: float(np.corrcoef(x, loss)[0, 1] ** 2)
        for name, x in (("exponential", steps), ("power", np.log(steps)))
    }
    values = np.exp(loss)
    halfway = (values[0] - values[len(values) // 2]) / (values[0] - values[-1])
    lab.note("fig12_share_of_the_fall_in_the_first_half", round(float(halfway), 4))
    lab.note("fig12_r2_of_decrease", {name: round(value, 3) for name, value in fits.items()})


def figures_11_and_13(lab: Lab) -> None:
    """Make Fig. 11 and 13: the photograph, and its transfers in the styles of several painters."""
    rows: list[list[Cell]] = []
    for painting in PAINTINGS:
        content, style = _images(lab, painting)
        run = _full(lab, painting)
        kept = detail_correlation(run.image, content)
        lab.note(f"fig13_detail_kept_{painting}", round(kept, 3))
        rows.append(
            [
                (content, "photograph (Fig. 11)"),
                (style, painting),
                (median_filter(run.image), f"result, filtered\ndetail kept {kept:.3f}"),
            ]
        )
    contact_sheet(
        lab.out / "figures_11_and_13.jpg", rows, f"Brown Fig. 11 and 13 — {caption(run, lab.backbone)}"
    )


def _compare(lab: Lab, name: str, title: str, variants: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Make a figure of variants of the report's run.

    Args:
        lab: the lab.
        name: name of the figure.
        title: its title.
        variants: for each caption, the label of the run and the changed fields.
    """
    content, style = _images(lab)
    cells: list[Cell] = [(content, "photograph"), (style, PAINTING)]
    for text, (label, changes) in variants.items():
        run = _full(lab, label=label, **changes)
        variation = float(total_variation(run.image, "absolute", "mean"))
        kept = detail_correlation(run.image, content)
        lab.note(f"{name}_{label}", {"total_variation": round(variation, 4), "detail_kept": round(kept, 3)})
        cells.append((median_filter(run.image), f"{text}\ndetail kept {kept:.3f}"))
    style_layers = ", ".join(run.config.objective.style_layers)
    contact_sheet(
        lab.out / f"{name}.jpg",
        [cells],
        f"Brown, {title} — {lab.backbone.arch}, {lab.backbone.source}\nstyle {style_layers}",
    )


def poolings(lab: Lab) -> None:
    """Section 1.2: compare maximum pooling with average pooling, which Gatys et al. recommend."""
    _compare(
        lab,
        "poolings",
        "section 1.2: pooling",
        {"maximum": ("report", {}), "average": ("average_pooling", {"pooling": "average"})},
    )


def starts(lab: Lab) -> None:
    """Section 1.2: compare the start from white noise with the start from the photograph."""
    _compare(
        lab,
        "starts",
        "section 1.2: start",
        {"from the photograph": ("report", {}), "from white noise": ("noise", {"init": "noise"})},
    )


def content_layers(lab: Lab) -> None:
    """Section 1.2: compare content layers of block 4 and block 5."""
    _compare(
        lab,
        "content_layers",
        "section 1.2: content layer",
        {"relu4_2": ("report", {}), "relu5_2": ("block5", {"content_layers": ("relu5_2",)})},
    )


def ratios(lab: Lab) -> None:
    """Compare the weights of section 1.2 (content 0.025, style 1) with the inverse in section 4.2."""
    preset = PRESETS["brown"].objective
    inverse = {"content_weight": preset.style_weight, "style_weight": preset.content_weight}
    _compare(
        lab,
        "ratios",
        "content and style weight",
        {
            "0.025 and 1 (1.2)": ("report", {}),
            "1 and 0.025 (4.2)": ("inverse", inverse),
        },
    )


def main() -> None:
    """Make the figures."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    lab.make(
        *(figure_7, figure_10, figure_9, figure_2, figure_12, starts),
        *(figures_11_and_13, poolings, content_layers, ratios),
    )


if __name__ == "__main__":
    main()
