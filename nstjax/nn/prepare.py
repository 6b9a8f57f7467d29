"""Transforms the kernels of a network in advance, for many evaluations on a CPU."""

import dataclasses

import jax

from nstjax.nn.conv import freeze, gains
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
    params = dict(backbone.params)
    for name in wanted:
        if name in params and gains(params[name]["kernel"]):
            params[name] = {**params[name], "frozen": freeze(params[name]["kernel"])}
    return dataclasses.replace(backbone, params=params)
