"""Convolutions with fast gradients on a CPU.

``fast_convolve`` is ``lax.conv_general_dilated`` without padding, with the same values and derivatives. On a
CPU, the convolution and its two gradients are written so that XLA selects a fast routine for each of them.
Measured with jaxlib 0.10.2 on two cores, batch 4, in milliseconds of CPU time:

* XLA passes convolutions to YNNPACK. Its kernel gradients take up to ten times as long as Eigen's (128 to 128
  channels at 64×64: 592 against 80), and its convolutions without padding take two to five times as long as
  those with padding (171 against 61). A convolution goes to Eigen if the "kernel" is taller than the image,
  so :func:`kernel_gradient` extends the gradient by rows of zeros. A convolution without padding is computed
  with one more row of padding, which is cut off again.
* With a stride of two, three quarters of the gradient's multiplications are by zero. :func:`_input_gradient`
  and :func:`_kernel_gradient_strided` compute it as four dense convolutions, one for each phase.
* A convolution to 3 channels gives a matrix product with only three columns. :func:`_tall` makes one column
  for each row of the kernel and output channel, and adds up the results.

On other platforms XLA's own convolution is used.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from nstjax.linear import bilinear
from nstjax.typing import FeatureMap

LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW = 4  # largest number of output channels that counts as few
YNN_CHANNELS = 16  # with at most this many, XLA uses Eigen, which is slow for few output channels


def _plain(x: Array, kernel: Array, stride: int) -> Array:
    """Compute the convolution with XLA's own algorithm."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=LAYOUT)


def interleaved(phases: list[list[Array]]) -> Array:
    """Interleave phases: ``phases[r][u][:, i, j]`` goes to row ``2i + r`` and column ``2j + u``."""
    n, h, w, c = phases[0][0].shape
    return jnp.stack([jnp.stack(row, 3) for row in phases], 2).reshape(n, 2 * h, 2 * w, c)


def _forward(x: Array, kernel: Array, stride: int) -> Array:
    """Compute the convolution on a CPU."""
    k, _, c, d = kernel.shape
    if kernel.shape[:2] == (1, 1) and stride == 1:
        return jnp.einsum("nhwc,cd->nhwd", x, kernel[0, 0])
    if d <= _FEW and c <= YNN_CHANNELS and k >= 5 and stride == 1:
        return _tall(x, kernel)
    padding = [(0, stride), (0, 0)]
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT)[:, :-1]


def _tall(x: Array, kernel: Array) -> Array:
    """Convolve with the rows of the kernel as separate outputs, then shift and add the results."""
    k, wide, c, d = kernel.shape
    rows = kernel.transpose(1, 2, 0, 3).reshape(1, wide, c, k * d)
    z = _forward(x, rows, 1)
    high = x.shape[1] - k + 1
    return functools.reduce(jnp.add, [z[:, i : i + high, :, i * d : (i + 1) * d] for i in range(k)])


def _input_gradient(x_shape: tuple[int, ...], kernel: Array, dy: Array, stride: int) -> Array:
    """Compute the gradient with respect to ``x``; it is 0 in rows and columns that were not read."""
    high, wide = kernel.shape[:2]
    flipped = kernel.swapaxes(2, 3)
    if stride == 1:
        padding = [(high - 1, high - 1), (wide - 1, wide - 1)]
        return lax.conv_general_dilated(dy, flipped[::-1, ::-1], (1, 1), padding, dimension_numbers=LAYOUT)
    most = (-(-high // 2), -(-wide // 2))

    def phase(r: int, u: int) -> Array:
        part = flipped[r::2, u::2][::-1, ::-1]
        a, b = part.shape[:2]
        if a * b == 1:
            y = jnp.einsum("nhwd,dc->nhwc", dy, part[0, 0])
        else:
            padding = [(a - 1, a - 1), (b - 1, b - 1)]
            y = lax.conv_general_dilated(dy, part, (1, 1), padding, dimension_numbers=LAYOUT)
        return jnp.pad(y, ((0, 0), (0, most[0] - a), (0, most[1] - b), (0, 0)))

    y = interleaved([[phase(r, u) for u in range(2)] for r in range(2)])
    h, w = x_shape[1:3]
    y = y[:, :h, :w]
    return jnp.pad(y, ((0, 0), (0, h - y.shape[1]), (0, w - y.shape[2]), (0, 0)))


def kernel_gradient(x: Array, dy: Array) -> Array:
    """Compute the gradient with respect to the kernel of a convolution without padding, of stride 1.

    It is the correlation of the two arguments over images and positions.

    Args:
        x: input of the convolution, ``(n, h, w, c)``.
        dy: gradient with respect to the result, ``(n, h − k + 1, w − l + 1, d)``.

    Returns:
        ``(k, l, c, d)``.
    """
    high, wide = (a - b + 1 for a, b in zip(x.shape[1:3], dy.shape[1:3], strict=True))
    if high * wide == 1:
        return (x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1]))[None, None]
    d = dy.shape[-1]
    if d <= _FEW and high >= 5:  # as in _tall
        shifted = [jnp.pad(dy, ((0, 0), (i, high - 1 - i), (0, 0), (0, 0))) for i in range(high)]
        rows = kernel_gradient(x, jnp.concatenate(shifted, -1))
        return rows.reshape(wide, -1, high, d).transpose(2, 0, 1, 3)
    if wide == 1:  # XLA has no good routine for results one column wide
        return kernel_gradient(x.swapaxes(1, 2), dy.swapaxes(1, 2)).swapaxes(0, 1)
    lengthened = jnp.pad(dy, ((0, 0), (0, high), (0, 0), (0, 0)))
    dimensions = ("CHWN", "IHWO", "HWNC")
    return lax.conv_general_dilated(x, lengthened, (1, 1), [(0, high), (0, 0)], dimension_numbers=dimensions)


def _kernel_gradient_strided(x: Array, dy: Array, high: int, wide: int) -> Array:
    """Compute the gradient with respect to the kernel for stride 2, phase by phase."""
    h, w = dy.shape[1:3]
    phases = {
        (r, u): kernel_gradient(
            x[:, r::2, u::2][:, : h + len(range(r, high, 2)) - 1, : w + len(range(u, wide, 2)) - 1], dy
        )
        for r in range(min(2, high))
        for u in range(min(2, wide))
    }
    rows = [jnp.stack([phases[i % 2, j % 2][i // 2, j // 2] for j in range(wide)]) for i in range(high)]
    return jnp.stack(rows)


@dataclasses.dataclass(frozen=True)
class _Convolution:
    """A convolution of given shapes, with the functions that compute its two gradients.

    Instances with equal fields are equal and share a compiled program.

    Attributes:
        stride: 1 or 2.
        x: shape of the input. The gradients need the shapes, because with stride 2 the last rows and columns may
            not be read, so the output does not determine them.
        kernel: shape of the kernel.
    """

    stride: int
    x: tuple[int, ...]
    kernel: tuple[int, ...]

    def product(self, x: Array, kernel: Array) -> Array:
        """Compute the convolution."""
        cpu, default = (functools.partial(f, stride=self.stride) for f in (_forward, _plain))
        return lax.platform_dependent(x, kernel, cpu=cpu, default=default)

    def of_x(self, kernel: Array, dy: Array) -> Array:
        """Compute the gradient with respect to the input."""

        def cpu(kernel: Array, dy: Array) -> Array:
            return _input_gradient(self.x, kernel, dy, self.stride)

        def default(kernel: Array, dy: Array) -> Array:
            x = jax.ShapeDtypeStruct(self.x, dy.dtype)
            return jax.linear_transpose(lambda x: _plain(x, kernel, self.stride), x)(dy)[0]

        return lax.platform_dependent(kernel, dy, cpu=cpu, default=default)

    def of_kernel(self, x: Array, dy: Array) -> Array:
        """Compute the gradient with respect to the kernel."""

        def cpu(x: Array, dy: Array) -> Array:
            if self.stride == 2:
                return _kernel_gradient_strided(x, dy, *self.kernel[:2])
            return kernel_gradient(x, dy)

        def default(x: Array, dy: Array) -> Array:
            kernel = jax.ShapeDtypeStruct(self.kernel, x.dtype)
            return jax.linear_transpose(lambda k: _plain(x, k, self.stride), kernel)(dy)[0]

        return lax.platform_dependent(x, dy, cpu=cpu, default=default)


def fast_convolve(x: FeatureMap, kernel: Float[Array, "k l c d"], stride: int = 1) -> FeatureMap:
    """Compute a cross-correlation without padding.

    Args:
        x: ``(n, h, w, c)``, no smaller than the kernel.
        kernel: ``(k, l, c, d)``, HWIO.
        stride: 1 or 2.

    Returns:
        ``(n, ⌊(h − k) / stride⌋ + 1, ⌊(w − l) / stride⌋ + 1, d)``.
    """
    how = _Convolution(stride, x.shape, kernel.shape)
    return bilinear(how.product, how.of_x, how.of_kernel, x, kernel)
