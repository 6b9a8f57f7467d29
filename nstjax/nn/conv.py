"""The two operations that VGG is made of: 3×3 convolution and 2×2 pooling."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from nstjax.typing import FeatureMap, Padding, Pooling


def conv3x3(
    x: FeatureMap,
    kernel: Float[Array, "3 3 c d"],
    bias: Float[Array, " d"],
    padding: Padding = "zeros",
) -> Float[Array, "n h w d"]:
    """A 3×3 convolution (cross-correlation, as in every deep-learning library) of stride 1.

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(3, 3, c, d)``, HWIO.
        bias: ``(d,)``.
        padding: one pixel on each side: ``"zeros"``, as VGG was trained, or ``"replicate"``, which
            repeats the border so that a picture does not darken there.

    Returns:
        ``(n, h, w, d)``.
    """
    if padding == "replicate":
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    mode = "VALID" if padding == "replicate" else "SAME"
    y = lax.conv_general_dilated(x, kernel, (1, 1), mode, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + bias


def pool2x2(x: FeatureMap, pooling: Pooling = "max", scale: float = 1.0) -> FeatureMap:
    """2×2 pooling of stride 2; an odd last row or column is dropped, as in VGG.

    Args:
        x: ``(n, h, w, c)`` with ``h, w ≥ 2``.
        pooling: ``"max"``, or ``"average"`` as Gatys et al. (2016, section 2) recommend for synthesis.
        scale: factor on the result. Averages of rectified features are smaller than their maxima;
            a factor of 2 makes up for it in average pooling (style-transfer-pytorch's choice).

    Returns:
        ``(n, ⌊h/2⌋, ⌊w/2⌋, c)``.
    """
    n, h, w, c = x.shape
    windows = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    y = windows.max(axis=(2, 4)) if pooling == "max" else windows.mean(axis=(2, 4))
    return y if scale == 1.0 else y * scale
