"""The Pomona thesis, chapter 2: ``python -m experiments.pomona_representations --vgg16 VGG16 --images DIR``.

Content that a layer keeps (Fig. 2.3), style that its statistics keep (Fig. 2.5), a transfer (Fig. 2.6), the
identity of Gram loss and MMD (eq. 2.6 to 2.13) measured on real features, and a comparison of four kernels.
The thesis (Barnes 2018) uses VGG-16. Run time at 256 pixels: about 15 minutes on 2 cores.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.common import (
    CONTENT_LAYERS,
    STYLE_WEIGHTS,
    Arguments,
    Lab,
    caption,
    detail_correlation,
    fit,
)
from nstjax import InputError, TransferConfig
from nstjax.losses import Objective, gram_matrix, mmd2, style_loss
from nstjax.nn.table import FIRST_RELUS
from nstjax.optim import Lbfgs
from nstjax.reports import contact_sheet
from nstjax.synthesis import RECONSTRUCT, TEXTURE

SIDE = 256
ITERATIONS = 150
PHOTO, PAINTING = "golden_gate", "starry_night"
SHOWN_LAYERS = ("relu1_2", "relu2_2", "relu3_1", "relu4_2", "relu5_2")  # Fig. 2.3 shows conv3_1
STYLE_LAYERS = FIRST_RELUS  # Fig. 2.5: conv1_1 to conv5_1
KERNELS = ("linear", "polynomial", "gaussian", "moments")


@dataclasses.dataclass(frozen=True)
class ThesisArguments(Arguments):
    """Command-line arguments; ``vgg16`` replaces ``weights``."""

    weights: Annotated[str, tyro.conf.Suppress] = ""
    vgg16: str = "vgg16"
    """VGG-16: name of installed weights, a weights file, or the folder of a store."""


def figure_2_3(lab: Lab) -> None:
    """Make Fig. 2.3: reconstruct the photograph from one layer's activations, starting from white noise."""
    photo = fit(lab.picture("content", PHOTO), SIDE)
    cells = [(photo, "photograph")]
    kept = {}
    for layer in SHOWN_LAYERS:
        objective = dataclasses.replace(RECONSTRUCT.objective, content_layers=(layer,))
        config = dataclasses.replace(
            RECONSTRUCT,
            objective=objective,
            optimizer=Lbfgs(iterations=ITERATIONS),
            size=SIDE,
            scales=(SIDE,),
        )
        run = lab.run(f"content_{layer}", photo, None, config)
        kept[layer] = round(detail_correlation(run.image, photo), 3)
        cells.append((run.image, f"{layer}, detail kept {kept[layer]:.3f}"))
    lab.note("fig2.3_detail_kept", kept)
    title = f"Pomona Fig. 2.3 — content alone — {lab.backbone.arch}, {lab.backbone.source}"
    contact_sheet(lab.out / "figure_2_3.jpg", [cells], title)


def figure_2_5(lab: Lab) -> None:
    """Make Fig. 2.5: synthesize the style image from its Gram matrices, starting from white noise.

    The columns use the first one to five style layers.
    """
    painting = fit(lab.picture("style", PAINTING), SIDE)
    cells = [(painting, "painting")]
    layers = STYLE_LAYERS
    for count in range(1, len(layers) + 1):
        objective = dataclasses.replace(TEXTURE.objective, style_layers=layers[:count], window_weight=0.0)
        config = dataclasses.replace(
            TEXTURE, objective=objective, optimizer=Lbfgs(iterations=ITERATIONS), size=SIDE, scales=(SIDE,)
        )
        run = lab.run(f"style_{count}", None, painting, config)
        cells.append((run.image, f"{layers[0]} to {layers[count - 1]}"))
    title = f"Pomona Fig. 2.5 — style alone — {lab.backbone.arch}, {lab.backbone.source}"
    contact_sheet(lab.out / "figure_2_5.jpg", [cells], title)


def transfer_config(statistic: str = "gram") -> TransferConfig:
    """Return the settings of this chapter's transfers, at this experiment's size."""
    objective = Objective(
        content_layers=CONTENT_LAYERS,  # chapter 2: conv4_2
        style_layers=STYLE_LAYERS,
        style_statistic=statistic,
        style_weight=STYLE_WEIGHTS[statistic],
    )
    return TransferConfig(objective=objective, optimizer=Lbfgs(iterations=100), size=SIDE)


def figure_2_6(lab: Lab) -> None:
    """Make Fig. 2.6: the bridge in two styles. Turner's Shipwreck replaces his Rain, Steam and Speed."""
    photo = fit(lab.picture("content", PHOTO), SIDE)
    rows = []
    for painting in (PAINTING, "shipwreck"):
        style = fit(lab.picture("style", painting), 2 * SIDE)
        run = lab.run(f"transfer_{painting}", photo, style, transfer_config())
        rows.append([(photo, "photograph"), (style, painting), (run.image, "result")])
    contact_sheet(lab.out / "figure_2_6.jpg", rows, f"Pomona Fig. 2.6 — {caption(run, lab.backbone)}")


def identity(lab: Lab) -> None:
    """Check eq. 2.6 to 2.13 on real features in double precision.

    Σ(G − A)² is compared with M²·MMD², for equal numbers of positions and for M ≠ K.
    """
    photo = fit(lab.picture("content", PHOTO), 128)
    painting = fit(lab.picture("style", PAINTING), 128)
    layers = STYLE_LAYERS
    found = {}
    features = [nstjax.features(lab.backbone, jnp.asarray(image), layers) for image in (photo, painting)]
    with jax.enable_x64(True):
        for layer in layers:
            f, s = (np.asarray(each[layer], np.float64) for each in features)
            rows = min(f.shape[1], s.shape[1])
            errors = {}
            for name, (a, b) in {"equal": (f[:, :rows], s[:, :rows]), "unequal": (f, s)}.items():
                g, h = (gram_matrix(jnp.asarray(x), "positions") for x in (a, b))
                x, y = (jnp.asarray(points.reshape(-1, points.shape[-1])) for points in (a, b))
                left, right = float(style_loss(g, h, "sum")), float(mmd2(x, y, "polynomial"))
                errors[name] = abs(left / right - 1)
            found[layer] = {name: float(f"{error:.1e}") for name, error in errors.items()}
    lab.note("relative_error_of_the_identity", found)


def kernels(lab: Lab) -> None:
    """Compare the style losses of Li et al. 2017, one for each of four kernels."""
    photo = fit(lab.picture("content", PHOTO), SIDE)
    rows = []
    for painting in (PAINTING, "wheatfield"):
        style = fit(lab.picture("style", painting), 2 * SIDE)
        cells = [(style, painting)]
        for kernel in KERNELS:
            run = lab.run(f"{kernel}_{painting}", photo, style, transfer_config(kernel))
            cells.append((run.image, f"{kernel}, weight {STYLE_WEIGHTS[kernel]:g}"))
        rows.append(cells)
    contact_sheet(lab.out / "kernels.jpg", rows, f"Four MMD kernels — {caption(run, lab.backbone)}")


def main() -> None:
    """Make the figures."""
    arguments = tyro.cli(ThesisArguments, description=__doc__)
    lab = Lab(dataclasses.replace(arguments, weights=arguments.vgg16), Path(__file__).parent)
    if lab.backbone.arch != "vgg16":
        raise InputError(f"--vgg16 holds weights of {lab.backbone.arch}: name those of VGG-16")
    lab.make(identity, figure_2_3, figure_2_5, figure_2_6, kernels)


if __name__ == "__main__":
    main()
