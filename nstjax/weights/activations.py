"""Rescales a network so that the mean activation of every filter is 1 (Gatys et al. 2015, section 2)."""

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np

from nstjax.digests import tree_digest
from nstjax.errors import InputError
from nstjax.nn.vgg import EMBEDDED, features
from nstjax.typing import Backbone, Images


def mean_activations(backbone: Backbone, images: Iterable[Images]) -> dict[str, np.ndarray]:
    """Compute each filter's mean activation after its ReLU, over all positions of all images.

    Args:
        backbone: the feature network.
        images: batches ``(n, h, w, 3)`` in [0, 1]; different batches may have different sizes.

    Returns:
        ``{"conv1_1": (64,), …}`` in float64.

    Raises:
        InputError: If there is no image.
    """
    relus = tuple(layer for layer in backbone.layers if layer.startswith("relu"))
    sums: dict[str, np.ndarray] = {}
    positions = dict.fromkeys(relus, 0)
    for batch in images:
        for name, activation in features(backbone, batch, relus).items():
            n, h, w, _ = activation.shape
            total = np.asarray(activation.mean(axis=(0, 1, 2)), np.float64) * (n * h * w)
            sums[name] = sums.get(name, 0.0) + total
            positions[name] += n * h * w
    if not sums:
        raise InputError("there is no photograph to measure activations on: name a folder that has some")
    return {relu.replace("relu", "conv"): sums[relu] / positions[relu] for relu in relus}


def normalize(backbone: Backbone, images: Iterable[Images]) -> Backbone:
    """Rescale a feature network so that each filter's mean activation over ``images`` is 1.

    With the means ``m_l`` of layer ``l``, the new kernel is ``K[i, o]·m_{l−1}[i] / m_l[o]`` and the new bias is
    ``b[o] / m_l[o]``. This divides the activations of layer ``l`` by ``m_l`` and changes nothing else, because
    ReLU and both kinds of pooling commute with a positive factor. A filter that is never active (``m = 0``)
    keeps its scale.

    Args:
        backbone: the feature network; its preprocessing does not change.
        images: batches of photographs, see :func:`mean_activations`.

    Returns:
        The rescaled feature network.

    Raises:
        InputError: If there is no image, or the network is the embedded network.
    """
    if backbone.arch == EMBEDDED:
        raise InputError(
            "the weights embedded cannot be normalized, since they give linear maps of their filters: name VGG's weights"
        )
    means = mean_activations(backbone, images)
    params = {}
    before = np.ones(3)
    for conv, weights in backbone.params.items():
        scale = np.where(means[conv] > 0, means[conv], 1.0)
        kernel = np.asarray(weights["kernel"], np.float64) * before[:, None] / scale
        params[conv] = {
            "kernel": jnp.asarray(kernel, weights["kernel"].dtype),
            "bias": jnp.asarray(np.asarray(weights["bias"], np.float64) / scale, weights["bias"].dtype),
        }
        before = scale
    source = f"{backbone.source}; activations normalized to mean 1"
    # Not the hash of the file: networks that were rescaled with different photographs differ.
    digest = tree_digest(params)
    assert digest is not None, "all arrays are local"
    return dataclasses.replace(backbone, params=params, source=source, sha256=digest)
