"""nstjax: neural style transfer as a JAX functional codebase.

>>> backbone = nstjax.load_backbone("vgg19")
>>> result = nstjax.transfer(nstjax.load_image("photo.jpg"), nstjax.load_image("painting.jpg"), backbone)
>>> nstjax.save_image("out.png", result.image)
"""

from nstjax import images, losses, optim
from nstjax.errors import InputError
from nstjax.images import load_image, save_image
from nstjax.nn.vgg import features
from nstjax.synthesis import (
    PRESETS,
    Style,
    StyleRegion,
    TransferConfig,
    mix_scales,
    reconstruct,
    texture,
    transfer,
)
from nstjax.typing import Backbone, Preprocessing
from nstjax.weights import load_backbone

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Backbone",
    "InputError",
    "Preprocessing",
    "Style",
    "StyleRegion",
    "TransferConfig",
    "__version__",
    "features",
    "images",
    "load_backbone",
    "load_image",
    "losses",
    "mix_scales",
    "optim",
    "reconstruct",
    "save_image",
    "texture",
    "transfer",
]
