"""Students: small networks that imitate VGG-19, with fewer channels and a linear head at each imitated layer.

They follow PCA-based knowledge distillation (Chiu and Gurari, CVPR 2022). A head predicts VGG-19's
activations in the leading directions of their uncentered second moments. Gram matrices and distances of
activations are therefore approximately those of VGG-19. The paper replaces VGG's channels by their
projections and computes deeper layers from these. Here the heads are side outputs, and deeper layers do not
depend on them.
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
    """Return random weights of a student.

    Args:
        key: key from :func:`jax.random.key`.
        channels: number of output channels of each convolution, ``{"conv1_1": 16, …}``, shallow to deep.
        heads: number of outputs of each head, ``{"conv1_1": 16, …}``, for some of the convolutions.
        head_scale: factor on the standard deviation of the heads. It is small so that the outputs of the
            heads are near 0 at the start of a training.

    Returns:
        By convolution: ``"kernel"``, ``(3, 3, in, out)``, initialized as by He et al. (2015, arXiv
        1502.01852, eq. 10); ``"bias"``, ``(out,)``, zeros; and with a head ``"head"``, ``(out, outputs)``.
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
    """Check the weights of a student, and return it as a :class:`Backbone`.

    Args:
        params: weights of convolutions with VGG-19's names. All but conv1_1 may be missing, and any number of
            channels is allowed. If a convolution has a ``"head"``, the ``relu…`` after it is a layer of the
            network, whose activations are the outputs of the head.
        preprocessing: preprocessing of the images that the weights were trained with.
        source: description of the source of the weights, for run records.
        sha256: hash of the weights, for run records.

    Raises:
        InputError: A name is unknown; conv1_1, a kernel or a bias is missing; shapes do not fit together; or
            there is no head.
    """
    names = conv_names(EMBEDDED)
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise InputError(f"the weights have {unknown[0]}, which VGG-19 does not have: is it another network?")
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
