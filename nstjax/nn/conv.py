"""3×3 convolution and 2×2 pooling.

On a CPU, :func:`conv3x3` uses the algorithm that was measured to be the fastest for the shape (jaxlib 0.10.2,
AVX-512, two cores; ``python -m experiments.benchmarks.convolution``). From 32 channels on it is Winograd's
algorithm, if the image is large enough to make up for the transformation of the kernel. For the gradient of
the first layer, which has 3 channels, it is one matrix product with all taps of the kernel side by side. In
all other cases, and on other devices, XLA's own convolution is used.
"""

import dataclasses
import functools
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from nstjax.linear import bilinear, linear
from nstjax.nn.fast_conv import kernel_gradient
from nstjax.nn.winograd import transformed, winograd
from nstjax.typing import FeatureMap, Padding, Pooling, Precision

Method = Literal["auto", "plain"]
_FEW = 4  # largest number of output channels that counts as few
# HIGH is TF32 on a GPU, and three bfloat16 products on a TPU. With bfloat16 operands there is no choice.
LAX_PRECISION = {"float32": lax.Precision.HIGHEST, "tf32": lax.Precision.HIGH}
CHANNELS = 32  # smallest number of channels for which Winograd's algorithm is faster
POSITIONS = 2048  # smallest number of positions of all images together, likewise
POSITIONS_FROZEN = 256  # likewise, for a kernel that is already transformed


def _plain(x: Array, kernel: Array, precision: Precision | None = None) -> Array:
    """Compute the convolution with XLA's own algorithm."""
    how = LAX_PRECISION.get(precision or "")
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout, precision=how)


def _zeros_around(x: Array) -> Array:
    """Pad with one pixel of zeros on each side."""
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _side_by_side(x: Array, kernel: Array) -> Array:
    """Compute the products of every tap at every position, and add up the shifted results."""
    h, w, c, d = *x.shape[1:3], *kernel.shape[2:]
    taps = _zeros_around(x) @ kernel.transpose(2, 0, 1, 3).reshape(c, 9 * d)
    first, *others = (
        taps[:, i : i + h, j : j + w, (3 * i + j) * d :][..., :d] for i in range(3) for j in range(3)
    )
    return sum(others, first)


def _on_cpu(x: Array, kernel: Array) -> Array:
    """Compute the convolution with the fastest algorithm for the shape."""
    c, d = kernel.shape[2:]
    if d <= _FEW < c:
        return _side_by_side(x, kernel)
    if _pays(x, kernel, POSITIONS):
        return winograd(_zeros_around(x), transformed(kernel))
    return _plain(x, kernel)


def _pays(x: Array, kernel: Array, positions: int) -> bool:
    """Return True if Winograd's algorithm is used.

    It is never used in half precision, whose rounding error it would increase.

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(3, 3, c, d)``.
        positions: smallest number of positions of all images for which it is faster.
    """
    n, h, w, _ = x.shape
    return gains(kernel) and n * h * w >= positions and x.dtype.itemsize >= 4


class Frozen(NamedTuple):
    """A constant kernel, transformed once for the convolution and for its gradient.

    Attributes:
        forward: ``(36, c, d)``.
        backward: ``(36, d, c)``.
    """

    forward: Array
    backward: Array


def gains(kernel: Float[Array, "3 3 c d"]) -> bool:
    """Return True if a kernel has enough channels for Winograd's algorithm."""
    return bool(min(kernel.shape[2:]) >= CHANNELS)


def freeze(kernel: Float[Array, "3 3 c d"]) -> Frozen:
    """Transform a constant kernel for :func:`conv3x3`. The result is eight times as large."""
    known = np.asarray(kernel)  # transformed on the host, where nothing needs to be compiled
    return Frozen(*jax.device_put((transformed(known), transformed(_reversed(known)))))


def _reversed(kernel: Any) -> Any:
    """Return the kernel of the gradient with respect to the input."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


@jax.jit  # traced once for each shape, and the gradient often has the same shape
def _by_constant(x: Array, kernels: Array) -> Array:
    """Convolve with transformed kernels ``(36, c, d)``."""
    return winograd(_zeros_around(x), kernels)


def _constant_forward(forward: Array, backward: Array, x: Array) -> tuple[Array]:
    """Compute the convolution with a constant kernel."""
    return (_by_constant(x, forward),)


def _constant_backward(forward: Array, backward: Array, dy: Array) -> tuple[Array]:
    """Compute the transpose of :func:`_constant_forward`."""
    return (_by_constant(dy, backward),)


@dataclasses.dataclass(frozen=True)
class _Quick:
    """The convolution and its two transposes. Two are equal if their precisions are."""

    precision: Precision | None

    def product(self, x: Array, kernel: Array) -> Array:
        """Compute the convolution."""
        return lax.platform_dependent(
            x, kernel, cpu=_on_cpu, default=partial(_plain, precision=self.precision)
        )

    def of_x(self, kernel: Array, dy: Array) -> Array:
        """Compute the gradient with respect to the input, which is also a convolution."""
        return self.product(dy, _reversed(kernel))

    def of_kernel(self, x: Array, dy: Array) -> Array:
        """Compute the gradient with respect to the kernel."""

        def on_cpu(x: Array, dy: Array) -> Array:
            return kernel_gradient(_zeros_around(x), dy)

        def plain(x: Array, dy: Array) -> Array:
            kernel = jax.ShapeDtypeStruct((3, 3, x.shape[-1], dy.shape[-1]), x.dtype)
            return jax.linear_transpose(lambda k: _plain(x, k, self.precision), kernel)(dy)[0]

        return lax.platform_dependent(x, dy, cpu=on_cpu, default=plain)


def _quick(x: Array, kernel: Array, precision: Precision | None) -> Array:
    """Compute the convolution, with a fast algorithm on a CPU for it and its gradients."""
    how = _Quick(precision)
    return bilinear(how.product, how.of_x, how.of_kernel, x, kernel)


def conv3x3(
    x: FeatureMap,
    kernel: Float[Array, "3 3 c d"],
    bias: Float[Array, " d"],
    padding: Padding = "zeros",
    method: Method = "auto",
    frozen: Frozen | None = None,
    precision: Precision | None = None,
) -> Float[Array, "n h w d"]:
    """Compute a 3×3 convolution of stride 1 (a cross-correlation, as in all deep learning libraries).

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(3, 3, c, d)``, HWIO.
        bias: ``(d,)``.
        padding: padding by one pixel on each side: ``"zeros"``, as VGG was trained, or ``"replicate"``, which
            repeats the border so that an image does not get darker there.
        method: ``"auto"``, which on a CPU uses Winograd's algorithm where it is faster (Lavin and Gray 2016,
            arXiv 1509.09308; relative error 1e-5 in float32), or ``"plain"`` for XLA's own convolution.
        frozen: from :func:`freeze` of the same kernel, for a CPU. The kernel is then a constant: its gradient
            is 0 wherever Winograd's algorithm is used.
        precision: precision of the products, ``"float32"`` or ``"tf32"``, on devices that have a choice (a
            CPU has none). None uses JAX's default (``jax.default_matmul_precision``). ``"bfloat16"`` has no
            effect here: it is a matter of the dtype of ``x``.

    Returns:
        ``(n, h, w, d)``.
    """
    if padding == "replicate":
        wider = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        return conv3x3(wider, kernel, bias, "zeros", method, frozen, precision)[:, 1:-1, 1:-1]
    if method == "plain":
        return _plain(x, kernel, precision) + bias
    if frozen is not None and frozen.forward.dtype == x.dtype and _pays(x, kernel, POSITIONS_FROZEN):
        return linear(_constant_forward, _constant_backward, frozen, (x,))[0] + bias
    return _quick(x, kernel, precision) + bias


@jax.custom_jvp
def _largest(windows: Array) -> Array:
    """Return the maximum of ``(n, h, 2, w, 2, c)`` over both axes of length 2."""
    return windows.max(axis=(2, 4))


def _to_largest(windows: Array, y: Array, tangent: Array) -> tuple[Array]:
    """Return the mean of the tangents of the largest values of each window."""
    chosen = jnp.where(windows == y[:, :, None, :, None], tangent, 0)
    return (chosen.sum((2, 4)) / _ties(windows, y, tangent.dtype),)


def _from_largest(windows: Array, y: Array, dy: Array) -> tuple[Array]:
    """Compute the transpose of :func:`_to_largest`."""
    y, share = (part[:, :, None, :, None] for part in (y, dy / _ties(windows, y, dy.dtype)))
    return (jnp.where(windows == y, share, 0),)


def _ties(windows: Array, y: Array, dtype: Any) -> Array:
    """Return the number of values in each window that equal its maximum."""
    equal = ((windows[:, :, i, :, j] == y).astype(dtype) for i in range(2) for j in range(2))
    return functools.reduce(jnp.add, equal)


@_largest.defjvp
def _largest_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # Equal values share the derivative, as in JAX's own rule, which also stores an array of floats for them.
    (windows,), (tangent,) = primals, tangents
    y = _largest(windows)
    return y, linear(_to_largest, _from_largest, (windows, y), (tangent,))[0]


def pool2x2(x: FeatureMap, pooling: Pooling = "max", scale: float = 1.0) -> FeatureMap:
    """Compute 2×2 pooling of stride 2. An odd last row or column is dropped, as in VGG.

    If several values of a window are equal to its maximum, they share its derivative equally.

    Args:
        x: ``(n, h, w, c)`` with ``h, w ≥ 2``.
        pooling: ``"max"``, or ``"average"``, which Gatys et al. (2016, section 2) recommend for synthesis.
        scale: factor on the result. Averages of activations after a ReLU are smaller than their maxima; a
            factor of 2 for average pooling compensates for this (as in style-transfer-pytorch).

    Returns:
        ``(n, ⌊h/2⌋, ⌊w/2⌋, c)``.
    """
    n, h, w, c = x.shape
    windows = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    y = _largest(windows) if pooling == "max" else windows.mean(axis=(2, 4))
    return y if scale == 1.0 else y * scale


def computed_apart(x: Array) -> Array:
    """Return ``x``; in half precision on a CPU, prevent XLA from fusing it with later operations.

    jaxlib 0.11.2 fuses convolutions in bfloat16 with the pooling after them into one kernel, and its results
    are wrong.
    """
    if x.dtype.itemsize >= 4:
        return x
    return lax.platform_dependent(x, cpu=lax.optimization_barrier, default=lambda x: x)
