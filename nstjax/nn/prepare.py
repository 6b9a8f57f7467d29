"""Transforms the kernels of a network in advance, for many evaluations on a CPU."""

import dataclasses

import jax

from nstjax.nn.conv import freeze, gains
from nstjax.nn.vgg import operations
from nstjax.typing import Backbone


def prepared(backbone: Backbone, layers: tuple[str, ...]) -> Backbone:
    """Return the network with transformed kernels, for many evaluations with the same weights on a CPU.

    On other devices the network is returned unchanged. Kernels with too few channels are not transformed.

    Args:
        backbone: feature network from :func:`nstjax.load_backbone`.
        layers: layers whose activations will be computed. The kernels of deeper convolutions are not
            transformed.

    Returns:
        A network whose activations are the same to rounding. A kernel with its transforms takes nine times
        the memory, and is a constant: do not differentiate with respect to the weights.
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
