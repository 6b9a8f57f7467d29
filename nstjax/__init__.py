"""nstjax: neural style transfer in JAX.

>>> backbone = nstjax.load_backbone("vgg19")
>>> result = nstjax.transfer(nstjax.load_image("photo.jpg"), nstjax.load_image("painting.jpg"), backbone)
>>> nstjax.save_image("out.png", result.image)

A trained generator stylizes a photograph in one forward pass:

>>> generator = nstjax.load_generator("runs/starry")
>>> nstjax.save_image("fast.png", nstjax.stylize(generator, nstjax.load_image("photo.jpg")))
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstjax import heap, images, losses, optim
    from nstjax.errors import InputError
    from nstjax.generators.store import load_generator
    from nstjax.images import load_image, save_image, show
    from nstjax.inference import stylize
    from nstjax.nn.vgg import features
    from nstjax.preprocessing import Preprocessing
    from nstjax.synthesis import PRESETS, Style, StyleRegion, TransferConfig, mix_scales

    # Imported from the modules that define them: each of these modules has the name of its function, and from
    # nstjax.synthesis mypy would import the module instead of the function.
    from nstjax.synthesis.reconstruct import reconstruct
    from nstjax.synthesis.texture import texture
    from nstjax.synthesis.transfer import transfer
    from nstjax.typing import Backbone
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
    "heap",
    "images",
    "load_backbone",
    "load_generator",
    "load_image",
    "losses",
    "mix_scales",
    "optim",
    "reconstruct",
    "save_image",
    "show",
    "stylize",
    "texture",
    "transfer",
]

# These names are imported on first use: importing JAX and Flax takes seconds, and the process that reads untrusted
# weights files starts without them.
_LATE = {
    "InputError": "nstjax.errors",
    "load_generator": "nstjax.generators.store",
    "load_image": "nstjax.images",
    "save_image": "nstjax.images",
    "show": "nstjax.images",
    "stylize": "nstjax.inference",
    "features": "nstjax.nn.vgg",
    "Preprocessing": "nstjax.preprocessing",
    **dict.fromkeys(
        (
            "PRESETS",
            "Style",
            "StyleRegion",
            "TransferConfig",
            "mix_scales",
            "reconstruct",
            "texture",
            "transfer",
        ),
        "nstjax.synthesis",
    ),
    "Backbone": "nstjax.typing",
    "load_backbone": "nstjax.weights",
}
_MODULES = ("errors", "heap", "images", "losses", "nn", "optim", "synthesis", "typing", "weights")


def __getattr__(name: str) -> Any:
    """Import a public name or submodule on first use."""
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"nstjax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the module, including those that are imported on first use."""
    return sorted({*globals(), *_LATE, *_MODULES})
