"""Textures with default settings: ``python -m experiments.textures --weights W19 --images DIR``.

``nstjax texture`` of five paintings at 512 pixels, with the embedded network (with and without the loss of
windows) and with VGG-19. The style loss of every window of 64 pixels shows whether a part has stayed empty.
Run time on 2 cores: about 25 minutes, 10 of them for the embedded network.
"""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

from experiments.common import Arguments, Lab, fit
from nstjax import features, load_backbone
from nstjax.losses import gram_matrix
from nstjax.reports import Cell, contact_sheet
from nstjax.synthesis import TEXTURE, TransferConfig
from nstjax.typing import Backbone

PAINTINGS = ("starry_night", "great_wave", "udnie", "rhone_night", "wheatfield")
SIDE, WINDOW, STEP = 512, 64, 32  # in pixels: image, windows, and the distance of windows


@dataclasses.dataclass(frozen=True)
class TextureArguments(Arguments):
    """Command-line arguments; ``weights`` are those of VGG-19."""

    embedded: str = "embedded"
    """Weights of the network that comes with nstjax."""


def window_losses(image: np.ndarray, exemplar: np.ndarray, backbone: Backbone) -> np.ndarray:
    """Return the relative style loss of every window, averaged over the style layers.

    Windows have 64 pixels per side and are 32 pixels apart.

    Args:
        image: the texture, ``(1, h, w, 3)``.
        exemplar: the style image, ``(1, h', w', 3)``.
        backbone: the network that made the texture.

    Returns:
        ``(rows, columns)``.
    """
    config = TEXTURE.for_backbone(backbone)
    layers = config.objective.style_layers
    own, target = (features(backbone, jnp.asarray(x), layers, config.pooling) for x in (image, exemplar))
    starts = [range(0, side - WINDOW + 1, STEP) for side in image.shape[1:3]]
    total = np.zeros([len(s) for s in starts])
    for layer in layers:
        wanted = np.asarray(gram_matrix(target[layer], "positions"))
        shrunk = image.shape[1] // own[layer].shape[1]
        for i, top in enumerate(starts[0]):
            for j, left in enumerate(starts[1]):
                rows, columns = (slice(s // shrunk, (s + WINDOW) // shrunk) for s in (top, left))
                found = np.asarray(gram_matrix(own[layer][:, rows, columns], "positions"))
                total[i, j] += np.square(found - wanted).sum() / np.square(wanted).sum()
    return total / len(layers)


def _spread(losses: np.ndarray) -> float:
    """Return the ratio of the largest loss to the median, rounded."""
    return round(float(losses.max() / np.median(losses)), 2)


def _texture(lab: Lab, label: str, exemplar: np.ndarray, config: TransferConfig, backbone: Backbone) -> Cell:
    run = lab.run(label, None, exemplar, config, backbone)
    found = window_losses(run.image, exemplar, backbone)
    lab.note(
        label,
        {
            "median": round(float(np.median(found)), 4),
            "worst_over_median": _spread(found),
            "seconds": round(run.seconds, 1),
        },
    )
    return run.image, f"{label.split('-')[1]}: worst window {_spread(found)} of the median"


def textures(lab: Lab, name: str, backbone: Backbone, *kinds: str) -> None:
    """Make a sheet with a row per painting: the exemplar, and a texture of each kind."""
    plain = dataclasses.replace(TEXTURE, objective=dataclasses.replace(TEXTURE.objective, window_weight=0.0))
    configs = {"default": TEXTURE, "no_windows": plain}
    rows: list[list[Cell]] = []
    for painting in PAINTINGS:
        exemplar = fit(lab.picture("style", painting), SIDE)
        lab.note(
            f"{painting}-itself-{name}",
            {"worst_over_median": _spread(window_losses(exemplar, exemplar, backbone))},
        )
        rows.append(
            [
                (exemplar, painting),
                *(
                    _texture(lab, f"{painting}-{kind}-{name}", exemplar, configs[kind], backbone)
                    for kind in kinds
                ),
            ]
        )
    contact_sheet(lab.out / f"textures_{name}.jpg", rows, f"nstjax texture, {SIDE} pixels, {name}", cell=3.6)


def main() -> None:
    """Make the figures."""
    arguments = tyro.cli(TextureArguments, description=__doc__)
    lab = Lab(arguments, Path(__file__).parent)
    embedded = load_backbone(arguments.embedded)
    lab.make(
        embedded=lambda lab: textures(lab, "embedded", embedded, "default", "no_windows"),
        vgg19=lambda lab: textures(lab, "vgg19", lab.backbone, "default"),
    )


if __name__ == "__main__":
    main()
