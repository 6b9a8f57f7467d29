"""The two operations that VGG is made of: 3×3 convolution and 2×2 pooling.

On a CPU :func:`conv3x3` takes the form that was measured to be the fastest for its shape (jaxlib 0.10.2, AVX-512,
two cores; ``python -m experiments.benchmarks.convolution``): Winograd's from 32 channels on, where the picture
is large enough to make up for transforming the kernel, and one product with a kernel's taps side by side for the
gradient of the first layer, which has 3 channels. Elsewhere XLA's own convolution is taken.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from nstjax.nn.fast_conv import kernel_gradient
from nstjax.nn.winograd import winograd
from nstjax.typing import FeatureMap, Padding, Pooling

Method = Literal["auto", "plain"]
FEW = 4  # outputs
CHANNELS = 32  # from which Winograd's form is the faster one
POSITIONS = 2048  # likewise, of all images together


def _plain(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _zeros_around(x: Array) -> Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _side_by_side(x: Array, kernel: Array) -> Array:
    """Every tap's product at every position; the shifted results' sum."""
    h, w, c, d = *x.shape[1:3], *kernel.shape[2:]
    taps = _zeros_around(x) @ kernel.transpose(2, 0, 1, 3).reshape(c, 9 * d)
    first, *others = (
        taps[:, i : i + h, j : j + w, (3 * i + j) * d :][..., :d] for i in range(3) for j in range(3)
    )
    return sum(others, first)


def _on_cpu(x: Array, kernel: Array) -> Array:
    """In the form that is fastest for the shape."""
    c, d = kernel.shape[2:]
    if d <= FEW < c:
        return _side_by_side(x, kernel)
    if min(c, d) >= CHANNELS and x.shape[0] * x.shape[1] * x.shape[2] >= POSITIONS and x.dtype.itemsize >= 4:
        return winograd(_zeros_around(x), kernel)
    return _plain(x, kernel)


@jax.custom_vjp
def _quick(x: Array, kernel: Array) -> Array:
    return lax.platform_dependent(x, kernel, cpu=_on_cpu, default=_plain)


def _quick_fwd(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _quick(x, kernel), (x, kernel)


def _quick_bwd(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved

    def on_cpu(x: Array, kernel: Array, dy: Array) -> Array:
        return kernel_gradient(_zeros_around(x), dy)

    def plain(x: Array, kernel: Array, dy: Array) -> Array:
        return jax.linear_transpose(lambda k: _plain(x, k), kernel)(dy)[0]

    # Where the kernel is a constant, as VGG's are, XLA leaves its gradient out.
    of_kernel = lax.platform_dependent(x, kernel, dy, cpu=on_cpu, default=plain)
    return _quick(dy, kernel[::-1, ::-1].swapaxes(2, 3)), of_kernel


_quick.defvjp(_quick_fwd, _quick_bwd)


def conv3x3(
    x: FeatureMap,
    kernel: Float[Array, "3 3 c d"],
    bias: Float[Array, " d"],
    padding: Padding = "zeros",
    method: Method = "auto",
) -> Float[Array, "n h w d"]:
    """A 3×3 convolution (cross-correlation, as in every deep-learning library) of stride 1.

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(3, 3, c, d)``, HWIO.
        bias: ``(d,)``.
        padding: one pixel on each side: ``"zeros"``, as VGG was trained, or ``"replicate"``, which
            repeats the border so that a picture does not darken there.
        method: ``"auto"``, which on a CPU takes Winograd's form where that is faster (Lavin and Gray 2016, arXiv
            1509.09308; relative error 1e-5 in float32; no forward-mode derivative), or ``"plain"``, XLA's own.

    Returns:
        ``(n, h, w, d)``.
    """
    convolve = _quick if method == "auto" else _plain
    if padding == "zeros":
        return convolve(x, kernel) + bias
    y = convolve(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge"), kernel)
    return y[:, 1:-1, 1:-1] + bias


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
