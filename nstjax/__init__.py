"""nstjax: neural style transfer as a JAX functional codebase.

>>> backbone = nstjax.load_backbone("vgg19")
>>> result = nstjax.transfer(nstjax.load_image("photo.jpg"), nstjax.load_image("painting.jpg"), backbone)
>>> nstjax.save_image("out.png", result.image)

A trained generator does it in one pass:

>>> generator = nstjax.load_generator("runs/starry")
>>> nstjax.save_image("fast.png", nstjax.stylize(generator, nstjax.load_image("photo.jpg")))
"""

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from nstjax.generators.store import load_generator
    from nstjax.inference import stylize

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
    "load_generator",
    "load_image",
    "losses",
    "mix_scales",
    "optim",
    "reconstruct",
    "save_image",
    "stylize",
    "texture",
    "transfer",
]

# Imported when they are asked for: Flax takes its time, and most programs have no use for it.
_LATE = {"load_generator": "nstjax.generators.store", "stylize": "nstjax.inference"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
