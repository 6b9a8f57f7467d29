"""Measures of lost content and missing style of an image, made with the whole VGG-19."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np

import nstjax
from experiments.common import CONTENT_LAYERS, Lab, fit
from nstjax.losses import content_loss, gram_matrix, style_loss
from nstjax.nn.table import FIRST_RELUS
from nstjax.nn.vgg import check_layers
from nstjax.typing import Features


class Yardstick:
    """A measure of images with VGG-19 and maximum pooling, whichever network made them.

    Args:
        lab: a lab whose feature network is VGG-19.

    Raises:
        InputError: the network lacks one of the layers.
    """

    def __init__(self, lab: Lab) -> None:
        check_layers(lab.backbone, (*CONTENT_LAYERS, *FIRST_RELUS))
        self._backbone = lab.backbone
        self._of = lru_cache(maxsize=32)(
            lambda kind, name, side: self._seen(fit(lab.picture(kind, name), side))
        )

    def _seen(self, image: np.ndarray) -> Features:
        return nstjax.features(self._backbone, jnp.asarray(image), (*FIRST_RELUS, *CONTENT_LAYERS), "max")

    def measure(self, image: np.ndarray, photo: str, painting: str) -> dict[str, float]:
        """Measure an image with the relative losses of content and style.

        Args:
            image: ``(1, h, w, 3)`` in [0, 1].
            photo: name of the photograph it was made from.
            painting: name of the style image.

        Returns:
            ``content_lost``: 0 for the photograph itself, about 1 for an image without any of its content.
            ``style_missing``: the style loss divided by that of the photograph: 0 for the style image, 1 for
            the photograph.
        """
        side = max(image.shape[1:3])
        content, style = self._of("content", photo, side), self._of("style", painting, side)
        found = self._seen(image)

        def distance(of: Features) -> float:
            grams = [[gram_matrix(f[layer], "positions") for f in (of, style)] for layer in FIRST_RELUS]
            return float(np.mean([float(style_loss(own, target, "relative")) for own, target in grams]))

        layer = CONTENT_LAYERS[0]
        lost = float(content_loss(found[layer], content[layer], "relative"))
        return {
            "content_lost": round(lost, 3),
            "style_missing": round(distance(found) / distance(content), 4),
        }
