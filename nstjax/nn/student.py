"""Small networks that imitate VGG-19, with fewer channels and a linear head at each imitated layer.

After PCA-based knowledge distillation (Chiu and Gurari, CVPR 2022): a head gives the teacher's activations
in the leading directions of their uncentred second moments, so that Gram matrices and distances of
activations are about the teacher's own. The paper replaces VGG's channels by their projections and goes on
from these; here the heads are read off a network that runs on beside them.
"""

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.nn.vgg import EMBEDDED, conv_names
from nstjax.typing import Backbone, Params, Preprocessing

PREPROCESSING = Preprocessing("RGB", 1.0, (0.45, 0.45, 0.45), (0.25, 0.25, 0.25))


def init_student(
    key: jax.Array, channels: dict[str, int], heads: dict[str, int], head_scale: float = 0.1
) -> dict[str, dict[str, jax.Array]]:
    """Random weights of a small network.

    Args:
        key: from :func:`jax.random.key`.
        channels: of each convolution, ``{"conv1_1": 16, …}``, shallow to deep.
        heads: outputs of the head after each of some convolutions, ``{"conv1_1": 16, …}``.
        head_scale: factor on the heads' standard deviation; small, so that training begins near zero.

    Returns:
        Kernels by He et al. (2015, arXiv 1502.01852, eq. 10), biases 0, heads ``(channels, outputs)``.
    """
    params: dict[str, dict[str, jax.Array]] = {}
    before = 3
    for name, width in channels.items():
        key, for_kernel, for_head = jax.random.split(key, 3)
        deviation = (2.0 / (9 * before)) ** 0.5
        params[name] = {
            "kernel": deviation * jax.random.normal(for_kernel, (3, 3, before, width)),
            "bias": jnp.zeros(width),
        }
        if name in heads:
            shape = (width, heads[name])
            params[name]["head"] = head_scale * width**-0.5 * jax.random.normal(for_head, shape)
        before = width
    return params


def make_student(
    params: Params, preprocessing: Preprocessing = PREPROCESSING, source: str = "", sha256: str = ""
) -> Backbone:
    """Check the weights of a small network, and wrap them as a :class:`Backbone`.

    Args:
        params: convolutions under VGG-19's names, of which all but the first may be missing and any number of
            channels is allowed; ``"head"`` beside a kernel makes ``relu…`` after it a layer that the network can give.
        preprocessing: what the weights want.
        source: in words, for run records.
        sha256: of the weights, for run records.

    Raises:
        InputError: a name is unknown, a kernel or bias is missing, channels do not fit together, or there is
            no head.
    """
    names = conv_names(EMBEDDED)
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise InputError(f"the weights have {unknown[0]}, which VGG-19 has not: wrong network?")
    ordered = {name: dict(params[name]) for name in names if name in params}
    layers = tuple(f"relu{name.removeprefix('conv')}" for name, layer in ordered.items() if "head" in layer)
    if not layers:
        raise InputError("the weights of the small network have no head: wrong network?")
    if "conv1_1" not in ordered or any({"kernel", "bias"} - set(layer) for layer in ordered.values()):
        raise InputError("the weights of the small network lack conv1_1, a kernel or a bias: wrong network?")
    before = 3
    for name, layer in ordered.items():
        width = layer["bias"].shape[-1] if layer["bias"].ndim else 0
        head = layer["head"].shape if "head" in layer else (width, 1)
        if layer["kernel"].shape != (3, 3, before, width) or len(head) != 2 or head[0] != width:
            raise InputError(
                f"{name} has a kernel of shape {layer['kernel'].shape}, a bias of shape {layer['bias'].shape} and a "
                f"head of shape {head} after {before} channels: they do not fit together"
            )
        before = width
    return Backbone(ordered, EMBEDDED, preprocessing, layers, source, sha256)
