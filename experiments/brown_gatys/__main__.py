"""Report 001: ``python -m experiments.brown_gatys --weights W --images DIR``.

White noise, content from conv4_2 and style from conv1_1…conv5_1 (Keras's layers, which are after the
ReLU), ½Σ content loss and Σ/(4N²M²) style loss, α = 0.025 and β = 1, SciPy's L-BFGS-B called 20 times
with maxfun 20, a 3×3 median filter of what is saved. Runtime: about 4 minutes a full run on 2 cores with
the three blocks' weights, 4 runs.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

from experiments.common import Arguments, Lab, Run, caption, fit, nearest_layers
from nstjax import TransferConfig
from nstjax.images import median_filter
from nstjax.losses import Objective, total_variation
from nstjax.optim import ScipyLbfgsb
from nstjax.reports import contact_sheet, loss_plot
from nstjax.synthesis.pyramid import first_image
from nstjax.typing import Backbone, Pooling

LONG_SIDE = 320  # the report does not say; chosen for 2 cores
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # section 2
CONTENT_LAYERS = ("relu4_2",)  # section 2
ALPHA, BETA = 0.025, 1.0  # section 1.2 (section 4.2 names them the other way round)
MAXFUN, ROUNDS = 20, 20  # section 4.2
SNAPSHOTS = (0, 10, 15, 20)  # Fig. 9
PHOTO, PAINTING = "tubingen", "starry_night"


def config(
    backbone: Backbone, pooling: Pooling = "max", maxfun: int = MAXFUN, rounds: int = ROUNDS
) -> TransferConfig:
    """The report's settings, on the nearest layers that the weights have."""
    return TransferConfig(
        objective=Objective(
            content_layers=nearest_layers(backbone, CONTENT_LAYERS),
            style_layers=nearest_layers(backbone, STYLE_LAYERS),
            content_weight=ALPHA,
            style_weight=BETA,
            tv_weight=0.0,
            content_loss="half_sum",
            style_loss="gatys",
        ),
        # An iteration of the report is a call of SciPy; maxfun alone ends it.
        optimizer=ScipyLbfgsb(iterations=10**6, maxfun=maxfun, rounds=rounds),
        size=LONG_SIDE,
        scales=(LONG_SIDE,),
        init="noise",
        pooling=pooling,
        padding="zeros",
    )


def _full(lab: Lab, painting: str = PAINTING, pooling: Pooling = "max") -> tuple[np.ndarray, np.ndarray, Run]:
    content, style = (
        fit(lab.picture("content", PHOTO), LONG_SIDE),
        fit(lab.picture("style", painting), LONG_SIDE),
    )
    run = lab.run(
        f"{PHOTO}_{painting}_{pooling}", content, style, config(lab.backbone, pooling), snapshots=SNAPSHOTS
    )
    return content, style, run


def figure_9(lab: Lab) -> None:
    """The picture at iterations 0, 10, 15 and 20, as saved: filtered, while the iterate is not."""
    content, style, full = _full(lab)
    start = np.asarray(first_image(full.config, jnp.asarray(content), jnp.asarray(style), None))
    pictures = {0: start, **full.frames, ROUNDS: full.image}
    cells = [(median_filter(pictures[i]), f"iteration {i}") for i in SNAPSHOTS]
    contact_sheet(lab.out / "figure_9.jpg", [cells], f"Brown Fig. 9 — {caption(full, lab.backbone)}")


def figure_2(lab: Lab) -> None:
    """Before and after the 3×3 median filter."""
    _, _, run = _full(lab)
    filtered = median_filter(run.image)
    before, after = (float(total_variation(x, "absolute", "mean")) for x in (run.image, filtered))
    lab.note("fig2_total_variation", {"before": round(before, 4), "after": round(after, 4)})
    cells = [
        (run.image, f"before (total variation {before:.3f})"),
        (filtered, f"after (total variation {after:.3f})"),
    ]
    contact_sheet(lab.out / "figure_2.jpg", [cells], f"Brown Fig. 2 — {caption(run, lab.backbone)}", cell=4.2)


def figure_10(lab: Lab) -> None:
    """The first iteration with maxfun 10 and with maxfun 50."""
    content, style = (
        fit(lab.picture("content", PHOTO), LONG_SIDE),
        fit(lab.picture("style", PAINTING), LONG_SIDE),
    )
    cells = []
    for maxfun in (10, 50):
        run = lab.run(f"maxfun_{maxfun}", content, style, config(lab.backbone, maxfun=maxfun, rounds=1))
        cells.append((run.image, f"maxfun {maxfun}, loss {run.history[-1]['loss']:.3g}"))
    contact_sheet(
        lab.out / "figure_10.jpg", [cells], f"Brown Fig. 10 — {caption(run, lab.backbone)}", cell=4.2
    )


def figure_12(lab: Lab) -> None:
    """Loss against iteration; the report calls the decrease exponential."""
    _, _, run = _full(lab)
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


def poolings(lab: Lab) -> None:
    """Section 1.2: maximum pooling, where the paper recommends the average."""
    content, style, by_max = _full(lab)
    _, _, by_average = _full(lab, pooling="average")
    tv = {
        name: float(total_variation(r.image, "absolute", "mean"))
        for name, r in (("max", by_max), ("average", by_average))
    }
    lab.note("pooling_total_variation", {name: round(value, 4) for name, value in tv.items()})
    cells = [
        (content, "photograph"),
        (style, "painting"),
        (median_filter(by_max.image), "maximum pooling"),
        (median_filter(by_average.image), "average pooling"),
    ]
    contact_sheet(lab.out / "poolings.jpg", [cells], f"Brown, poolings — {caption(by_max, lab.backbone)}")


def figure_13(lab: Lab) -> None:
    """Other styles: the report's Munch, and a second painter."""
    rows = []
    for painting in ("the_scream", "woman_with_hat"):
        content, style, run = _full(lab, painting)
        rows.append(
            [(content, "photograph"), (style, painting), (median_filter(run.image), "result, filtered")]
        )
    contact_sheet(lab.out / "figure_13.jpg", rows, f"Brown Fig. 13 — {caption(run, lab.backbone)}")


def main() -> None:
    """Make every figure."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    for figure in (figure_10, figure_12, figure_2, figure_9, poolings, figure_13):
        figure(lab)
        lab.finish()


if __name__ == "__main__":
    main()
