"""Content lost and style missing of any picture, measured with the whole VGG-19."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np

import nstjax
from experiments.common import CONTENT_LAYERS, Lab, fit
from nstjax.losses import content_loss, gram_matrix, style_loss
from nstjax.nn.vgg import check_layers
from nstjax.synthesis.presets import FIRST_RELUS
from nstjax.typing import Features


class Yardstick:
    """Measures pictures with VGG-19 and maximum pooling, whichever network made them.

    Args:
        lab: its network is VGG-19.
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
        """Of a picture ``(1, h, w, 3)``, with the relative losses of content and style.

        Returns:
            ``content_lost``: 0 for the photograph itself, about 1 for a picture that has nothing of it.
            ``style_missing``: the style loss over that of the photograph: 0 for the painting, 1 for the photograph.
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
