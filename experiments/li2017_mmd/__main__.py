"""Li et al. 2017 (arXiv 1701.01036): ``python -m experiments.li2017_mmd --weights VGG19 --images DIR``.

Style transfer as minimization of maximum mean discrepancies: the paper's four losses on several styles, the
balance of style and content for each, and the accuracy of the cheap estimates of the Gaussian one. They are
compared with absolute values (Pomona thesis, section 4.3), the Wasserstein distance of
style-transfer-pytorch, and three statistics of other papers. The paper's fusion of two losses is left out,
because an objective in nstjax has one statistic. Run time: about 40 minutes on 2 cores.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.common import (
    ABSOLUTE_STYLE_WEIGHT,
    CONTENT_LAYERS,
    STYLE_WEIGHTS,
    Arguments,
    Lab,
    Run,
    caption,
    fit,
)
from nstjax import TransferConfig
from nstjax.losses import Objective, mmd2, mmd2_linear_time
from nstjax.losses.mmd import median_bandwidth
from nstjax.nn.table import FIRST_RELUS
from nstjax.optim import Lbfgs
from nstjax.reports import contact_sheet

SIDE = 224
PHOTO = "tubingen"
STYLES = ("starry_night", "the_scream", "great_wave")
LAYERS = Objective(content_layers=CONTENT_LAYERS, style_layers=FIRST_RELUS)
BASE = TransferConfig(objective=LAYERS, optimizer=Lbfgs(iterations=100), size=SIDE, scales=(SIDE // 2, SIDE))
LI = ("linear", "polynomial", "gaussian", "moments")  # the paper's table 1, section 4.2; moments: its BN
ESTIMATES_LAYER = "relu3_1"  # has more positions than the block of an estimate
LATER = ("covariance", "sliced", "long-range")  # statistics of other papers


def _run(lab: Lab, label: str, style: np.ndarray, **how: Any) -> Run:
    """Run a transfer with the layers of :data:`LAYERS`, by default with the style weight of its statistic."""
    how = {"style_weight": STYLE_WEIGHTS[how.get("style_statistic", "gram")]} | how
    photo = fit(lab.picture("content", PHOTO), SIDE)
    return lab.run(
        label, photo, style, dataclasses.replace(BASE, objective=dataclasses.replace(LAYERS, **how))
    )


def _painting(lab: Lab, name: str) -> np.ndarray:
    return fit(lab.picture("style", name), 2 * SIDE)


def gram_distances(lab: Lab, image: np.ndarray, style: np.ndarray) -> float:
    """Return the Gram loss of an image relative to that of the photograph.

    It is a common measure for images made with different statistics.
    """
    photo = fit(lab.picture("content", PHOTO), SIDE)
    layers = BASE.for_backbone(lab.backbone).objective.style_layers
    grams = [
        {
            name: nstjax.losses.gram_matrix(f, "positions")
            for name, f in nstjax.features(lab.backbone, jnp.asarray(x), layers, padding=BASE.padding).items()
        }
        for x in (image, photo, fit(style, SIDE))
    ]
    left, whole = (
        np.mean([float(nstjax.losses.style_loss(g[n], grams[2][n], "relative")) for n in layers])
        for g in grams[:2]
    )
    return float(left / whole)


def _table(lab: Lab, statistics: tuple[str, ...], figure: str, title: str) -> None:
    """Make a sheet of styles (rows) and statistics (columns), and record the Gram loss left by each image."""
    rows, left = [], {}
    for name in STYLES:
        style = _painting(lab, name)
        row: list[Any] = [(style, name)]
        for statistic in statistics:
            run = _run(lab, f"{statistic}_{name}", style, style_statistic=statistic)
            share = round(gram_distances(lab, run.image, style), 4)
            left[f"{statistic}, {name}"] = {"share": share, "seconds": round(run.seconds, 1)}
            row.append((run.image, f"{statistic}\nGram loss left {share:.3f}"))
        rows.append(row)
    lab.note(f"share_of_the_gram_loss_left_{figure}", left)
    contact_sheet(lab.out / f"{figure}.jpg", rows, f"{title} — {caption(run, lab.backbone)}")


def losses(lab: Lab) -> None:
    """Compare the paper's statistics and Wasserstein on every style, with the default weights."""
    _table(lab, (*LI, "wasserstein"), "losses", "Style losses as MMD")


def later(lab: Lab) -> None:
    """Compare the Gram loss and the statistics of :data:`LATER` on every style."""
    _table(lab, ("gram", *LATER), "later", "Statistics of later papers")


def balance(lab: Lab) -> None:
    """Vary the style weight: 0.1, 1 and 10 times that of :data:`STYLE_WEIGHTS`."""
    style = _painting(lab, STYLES[0])
    rows = []
    for statistic in LI:
        once = STYLE_WEIGHTS[statistic]
        row = []
        for factor in (0.1, 1.0, 10.0):
            label = f"{statistic}_{STYLES[0]}" if factor == 1 else f"balance_{statistic}_{factor}"
            run = _run(lab, label, style, style_statistic=statistic, style_weight=factor * once)
            row.append((run.image, f"{statistic}, weight {factor * once:g}"))
        rows.append(row)
    contact_sheet(lab.out / "balance.jpg", rows, f"Style and content — {caption(run, lab.backbone)}")


def absolute(lab: Lab) -> None:
    """Compare squares with absolute values, in the style loss and in both (Pomona thesis, section 4.3)."""
    style = _painting(lab, STYLES[0])
    row: list[Any] = [(style, STYLES[0])]
    style_absolute = {"style_distance": "absolute", "style_weight": ABSOLUTE_STYLE_WEIGHT}
    for label, how in (
        ("squares", {}),
        ("style absolute", style_absolute),
        ("both absolute", {**style_absolute, "content_distance": "absolute"}),
    ):
        run = _run(lab, f"distance_{label.replace(' ', '_')}", style, **how)
        row.append((run.image, f"{label}, weight {run.config.objective.beta:g}"))
    contact_sheet(lab.out / "absolute.jpg", [row], f"L1 and L2 — {caption(run, lab.backbone)}")


def bandwidths(lab: Lab) -> None:
    """Vary the Gaussian kernel's bandwidth, in median distances, and the number of sampled positions."""
    style = _painting(lab, STYLES[0])
    widths = [
        (
            _run(lab, f"bandwidth_{b}", style, style_statistic="gaussian", bandwidth=b).image,
            f"bandwidth {b:g} medians",
        )
        for b in (0.25, 0.5, 1.0, 2.0, 4.0)
    ]
    counts = []
    for n in (2, 32, 128, 512):
        run = _run(lab, f"samples_{n}", style, style_statistic="gaussian", kernel_samples=n)
        counts.append((run.image, f"{n} positions, {run.seconds:.0f} s"))
    contact_sheet(
        lab.out / "gaussian.jpg", [widths, counts], f"The Gaussian kernel — {caption(run, lab.backbone)}"
    )


def estimates(lab: Lab) -> None:
    """Measure the spread of the cheap estimates of the exact Gaussian MMD², on features of one layer."""
    photo, painting = (fit(lab.picture(k, n), 160) for k, n in (("content", PHOTO), ("style", STYLES[0])))
    layer = ESTIMATES_LAYER
    maps = [
        nstjax.features(lab.backbone, jnp.asarray(i), (layer,), BASE.pooling, padding=BASE.padding)[layer]
        for i in (photo, painting)
    ]
    x, y = (found.reshape(-1, found.shape[-1]) for found in maps)
    sigma = median_bandwidth(x, y)
    keys = jax.random.split(jax.random.key(0), 50)
    linear = np.array([float(mmd2_linear_time(x, y, key, "gaussian", bandwidth=sigma)) for key in keys])
    blocks = []
    for key in keys:
        order = jax.random.permutation(key, len(x))[:256], jax.random.permutation(key, len(y))[:256]
        blocks.append(float(mmd2(x[order[0]], y[order[1]], "gaussian", bandwidth=sigma, estimate="unbiased")))
    lab.note(
        "gaussian_mmd2_estimates",
        {
            "layer": layer,
            "positions": [len(x), len(y)],
            "exact, biased": round(float(mmd2(x, y, "gaussian", bandwidth=sigma)), 5),
            "exact, unbiased": round(float(mmd2(x, y, "gaussian", bandwidth=sigma, estimate="unbiased")), 5),
            "linear time, mean": round(float(linear.mean()), 5),
            "linear time, deviation": round(float(linear.std()), 5),
            "one block of 256, mean": round(float(np.mean(blocks)), 5),
            "one block of 256, deviation": round(float(np.std(blocks)), 5),
        },
    )


def main() -> None:
    """Make the figures."""
    lab = Lab(tyro.cli(Arguments, description=__doc__), Path(__file__).parent)
    lab.make(estimates, losses, later, absolute, bandwidths, balance)


if __name__ == "__main__":
    main()
