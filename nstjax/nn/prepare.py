"""A network made ready for many evaluations."""

import dataclasses

import jax
import jax.numpy as jnp

from nstjax.nn.conv import Frozen, freeze, gains
from nstjax.nn.vgg import operations
from nstjax.typing import Backbone


def prepared(backbone: Backbone, layers: tuple[str, ...]) -> Backbone:
    """The network with its kernels transformed, for many evaluations at the same weights on a CPU.

    Elsewhere, and for kernels that gain nothing, it is the network as it was.

    Args:
        backbone: from :func:`nstjax.load_backbone`.
        layers: what will be asked of it; deeper convolutions stay as they are.

    Returns:
        A network that gives the same activations to rounding, takes nine times the memory, and whose weights are
        constants: derivatives with respect to them are not to be had.
    """
    if jax.default_backend() != "cpu" or not layers:
        return backbone
    names = operations(backbone)
    wanted = names[: max(names.index(layer) for layer in layers) + 1]
    kernels = {
        name: jnp.asarray(backbone.params[name]["kernel"]) for name in wanted if name in backbone.params
    }
    found = _freeze({name: kernel for name, kernel in kernels.items() if gains(kernel)})
    params = {
        name: {**weights, "frozen": found[name]} if name in found else weights
        for name, weights in backbone.params.items()
    }
    return dataclasses.replace(backbone, params=params)


@jax.jit  # one program for all of them
def _freeze(kernels: dict[str, jax.Array]) -> dict[str, Frozen]:
    return {name: freeze(kernel) for name, kernel in kernels.items()}
