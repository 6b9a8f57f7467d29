"""Convolutions in the forms that XLA computes fastest on a CPU, equal to its own but for rounding.

XLA's convolution runs there at a fraction of the speed of its matrix product, a tenth of it where outputs are few.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

GROUP = 16  # input channels at once: with more, XLA's convolution to few outputs falls out of the cache
WORTH_IT = 64 * 32  # inputs times outputs from which Winograd's form pays for its compilation
# Of F(4×4, 3×3): Lavin and Gray 2016, arXiv 1509.09308, section 4.3.
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32
)


def _plain(x: Array, kernel: Array, stride: int) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _pad_to(x: Array, height: int, width: int) -> Array:
    """Zeros below and to the right."""
    h, w = x.shape[1:3]
    return jnp.pad(x, ((0, 0), (0, height - h), (0, width - w), (0, 0))) if (h, w) != (height, width) else x


def _combined(matrix: np.ndarray, parts: list[Array]) -> list[Array]:
    """The sums that a matrix with many zeros makes of some arrays."""
    sums = []
    for row in matrix:
        terms = [
            part if factor == 1 else float(factor) * part
            for factor, part in zip(row, parts, strict=True)
            if factor
        ]
        sums.append(sum(terms[1:], terms[0]))
    return sums


def winograd(x: Array, kernel: Array) -> Array:
    """A 3×3 convolution by Winograd's F(4×4, 3×3): a quarter of the multiplications, relative error 1e-5.

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(3, 3, c, d)``.

    Returns:
        ``(n, h - 2, w - 2, d)``.
    """
    n, h, w, c = x.shape
    d = kernel.shape[-1]
    high, wide = -(-(h - 2) // 4), -(-(w - 2) // 4)  # tiles of 4×4
    x = _pad_to(x, 4 * high + 2, 4 * wide + 2)
    kernels = jnp.einsum("ai,ijcd,bj->abcd", _KERNEL, kernel, _KERNEL, precision=lax.Precision.HIGHEST)
    # Few large operations: XLA takes six times as long to compile the 36 products one by one.
    rows = jnp.stack(_combined(_INPUT, [x[:, i : i + 4 * high - 3 : 4] for i in range(6)]))
    columns = [rows[:, :, :, j : j + 4 * wide - 3 : 4] for j in range(6)]
    tiles = jnp.stack(_combined(_INPUT, columns), 1).reshape(36, n * high * wide, c)
    products = tiles @ kernels.reshape(36, c, d)
    products = products.reshape(6, 6, n, high, wide, d)
    of_rows = jnp.stack(_combined(_OUTPUT, list(products)))
    of_both = jnp.stack(_combined(_OUTPUT, [of_rows[:, b] for b in range(6)]))  # columns, rows, n, …
    picture = of_both.transpose(2, 3, 1, 4, 0, 5).reshape(n, 4 * high, 4 * wide, d)
    return picture[:, : h - 2, : w - 2]


def in_groups(x: Array, kernel: Array, stride: int = 1) -> Array:
    """A convolution as the sum of those of :data:`GROUP` input channels each."""
    starts = range(0, x.shape[-1], GROUP)
    parts = [_plain(x[..., i : i + GROUP], kernel[:, :, i : i + GROUP], stride) for i in starts]
    return sum(parts[1:], parts[0])


def to_few(x: Array, kernel: Array) -> Array:
    """A convolution to few channels, with 2×2 pixels of the result as channels of one of stride 2."""
    n, h, w = x.shape[:3]
    k, _, _, d = kernel.shape
    height, width = h - k + 1, w - k + 1
    x = _pad_to(x, h + height % 2, w + width % 2)
    shifted = [jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in range(2) for j in range(2)]
    y = in_groups(x, jnp.concatenate(shifted, -1), 2)
    high, wide = y.shape[1:3]
    y = y.reshape(n, high, wide, 2, 2, d).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * high, 2 * wide, d)
    return y[:, :height, :width]


def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """A convolution without padding, in the form that is fastest for its shape.

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(k, k, c, d)``.
        stride: of the result's pixels.

    Returns:
        ``(n, ⌊(h − k)/stride⌋ + 1, …, d)``.
    """
    k, _, c, d = kernel.shape
    if stride != 1:
        return _plain(x, kernel, stride)
    if k == 1:
        return x @ kernel[0, 0]
    if k == 3 and min(c, d) >= 32 and c * d >= WORTH_IT:
        return winograd(x, kernel)
    if d <= 4 and k > 3:
        return to_few(x, kernel)
    if d <= GROUP < c:
        return in_groups(x, kernel)
    if c <= 4 and d > GROUP and k > 3:
        outputs = [_plain(x, kernel[..., i : i + GROUP], 1) for i in range(0, d, GROUP)]
        return jnp.concatenate(outputs, -1)
    return _plain(x, kernel, stride)
