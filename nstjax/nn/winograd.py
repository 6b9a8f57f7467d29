"""3×3 convolutions by Winograd's algorithm, for a CPU.

From 32 channels on it is up to twice as fast there as XLA's convolution, with a relative error of 1e-5
(``python -m experiments.benchmarks.convolution``). It takes a third of a second to compile.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.nn import fast_conv

WORTH_IT = 64 * 32  # smallest product of input and output channels that makes up for the compilation
# The matrices of F(4×4, 3×3): Lavin and Gray 2016, arXiv 1509.09308, section 4.3.
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_KERNEL_BOTH = np.kron(_KERNEL, _KERNEL)  # transforms rows and columns at once: (36, 9)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)


def _pad_to(x: Array, height: int, width: int) -> Array:
    """Pad with zeros below and to the right."""
    h, w = x.shape[1:3]
    return jnp.pad(x, ((0, 0), (0, height - h), (0, width - w), (0, 0))) if (h, w) != (height, width) else x


def _combined(matrix: np.ndarray, parts: list[Array]) -> list[Array]:
    """Return the linear combinations of arrays given by the rows of a matrix, skipping its zeros."""
    sums = []
    for row in matrix:
        terms = [
            part if factor == 1 else float(factor) * part
            for factor, part in zip(row, parts, strict=True)
            if factor
        ]
        sums.append(sum(terms[1:], terms[0]))
    return sums


def transformed(kernel: Any) -> Any:
    """Transform a kernel ``(3, 3, c, d)`` for :func:`winograd`.

    Returns:
        ``(36, c, d)``, a NumPy array if ``kernel`` is one.
    """
    with jax.default_matmul_precision("highest"):
        product = _KERNEL_BOTH.astype(kernel.dtype) @ kernel.reshape(9, -1)
    return product.reshape(36, *kernel.shape[2:])


def winograd(x: Array, kernels: Array) -> Array:
    """Compute a 3×3 convolution without padding by Winograd's F(4×4, 3×3).

    It takes a quarter of the multiplications, and has a relative error of 1e-5.

    Args:
        x: ``(n, h, w, c)``.
        kernels: ``(36, c, d)``, from :func:`transformed`.

    Returns:
        ``(n, h - 2, w - 2, d)``.
    """
    n, h, w, c = x.shape
    d = kernels.shape[-1]
    high, wide = -(-(h - 2) // 4), -(-(w - 2) // 4)  # tiles of 4×4
    x = _pad_to(x, 4 * high + 2, 4 * wide + 2)
    # Few large operations, since XLA takes six times as long to compile 36 separate products.
    rows = jnp.stack(_combined(_INPUT, [x[:, i : i + 4 * high - 3 : 4] for i in range(6)]))
    columns = [rows[:, :, :, j : j + 4 * wide - 3 : 4] for j in range(6)]
    tiles = jnp.stack(_combined(_INPUT, columns), 1).reshape(36, n * high * wide, c)
    products = tiles @ kernels
    products = products.reshape(6, 6, n, high, wide, d)
    of_rows = jnp.stack(_combined(_OUTPUT, list(products)))
    of_both = jnp.stack(_combined(_OUTPUT, [of_rows[:, b] for b in range(6)]))  # columns, rows, n, …
    picture = of_both.transpose(2, 3, 1, 4, 0, 5).reshape(n, 4 * high, 4 * wide, d)
    return picture[:, : h - 2, : w - 2]


def winograd_convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Compute a convolution without padding, with the fastest algorithm for its shape on a CPU.

    Args:
        x: ``(n, h, w, c)``.
        kernel: ``(k, k, c, d)``.
        stride: 1 or 2.

    Returns:
        ``(n, ⌊(h − k)/stride⌋ + 1, …, d)``.
    """
    k, _, c, d = kernel.shape
    if stride == 1 and k == 1:
        return x @ kernel[0, 0]
    if stride == 1 and k == 3 and min(c, d) >= 32 and c * d >= WORTH_IT:
        return winograd(x, transformed(kernel))
    return fast_conv.fast_convolve(x, kernel, stride)
