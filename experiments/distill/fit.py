"""The start of a training: a student fitted to the teacher by linear least squares, layer by layer.

At each layer the channels are kept from which the others can be predicted best. The kernel of a convolution is then the
linear map from 3×3 patches of the student's own activations to the teacher's values before the ReLU, so that each layer
corrects the errors of the ones before it, and stands in for convolutions that the student leaves out (compare He, Zhang
and Sun, "Channel pruning", ICCV 2017, and Luo, Wu and Lin, "ThiNet", ICCV 2017, who choose channels by other rules). The
heads are fitted likewise. Every step has a closed form.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.linalg import cho_factor, cho_solve

import nstjax
from experiments.distill.teacher import Directions, Moments, targets
from nstjax.nn.conv import conv3x3, pool2x2
from nstjax.nn.student import PREPROCESSING
from nstjax.nn.vgg import preprocess
from nstjax.typing import Backbone, Features, Pooling

RECTIFIED = 4  # iterations
RIDGE = 1e-4  # of the patches' second moments, scaled to a diagonal of 1
HEAD_RIDGE = 1e-5  # of the activations' mean second moment
ROWS = 128  # of activations: of larger ones every fourth batch is enough
Batch = tuple[np.ndarray, Pooling]


def choose(moment: np.ndarray, count: int) -> list[int]:
    """Channels chosen one by one, each the one that explains most of what all channels have left.

    Greedy column subset selection (Farahat, Ghodsi and Kamel, ICDM 2011): the gain of channel ``j`` is
    ``Σ_i E_ij² / E_jj``, by which the trace of the residual ``E`` falls.

    Args:
        moment: ``(c, c)``, the second moments.
        count: how many to choose, at most ``c``.
    """
    left = moment.astype(np.float64).copy()
    chosen: list[int] = []
    for _ in range(count):
        gain = np.sum(left**2, 0) / np.maximum(np.diag(left), 1e-12 * np.trace(moment))
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        left -= np.outer(left[:, best], left[best]) / max(left[best, best], 1e-12 * np.trace(moment))
    return chosen


def _first_kernel(teacher: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of conv1_1 for the student's preprocessing in place of the teacher's."""
    kernel = np.asarray(teacher.params["conv1_1"]["kernel"], np.float64)
    bias = np.asarray(teacher.params["conv1_1"]["bias"], np.float64)
    theirs, ours = teacher.preprocessing, PREPROCESSING
    mean, std = np.array(theirs.mean), np.array(theirs.std)
    if theirs.order == "BGR":
        kernel, mean, std = kernel[:, :, ::-1], mean[::-1], std[::-1]
    # x·scale − mean over std, where x is what the student's own preprocessing was made from.
    factor = theirs.scale * np.array(ours.std) / ours.scale / std
    shift = (theirs.scale * np.array(ours.mean) / ours.scale - mean) / std
    return kernel * factor[:, None], bias + np.einsum("ijcd,c->d", kernel, shift)


@jax.jit
def _patches(x: jax.Array) -> jax.Array:
    """3×3 patches, zeros around the image, and a 1 for the bias: ``(n·h·w, 9·c + 1)``."""
    n, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    flat = jnp.concatenate(taps, -1).reshape(n * h * w, 9 * c)
    return jnp.concatenate([flat, jnp.ones((n * h * w, 1))], 1)


@jax.jit
def _products(rows: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``rowsᵀ rows`` and ``rowsᵀ wanted``."""
    exact = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    return exact(rows.T, rows), exact(rows.T, wanted.reshape(len(rows), -1))


def _summed(pairs: list[tuple[jax.Array, jax.Array]]) -> tuple[np.ndarray, np.ndarray]:
    """Sums over batches in float64."""
    first, second = (sum(np.asarray(pair[i], np.float64) for pair in pairs) for i in range(2))
    return np.asarray(first), np.asarray(second)


@jax.jit
def _rectified_product(x: jax.Array, kernel: jax.Array, wanted: jax.Array) -> jax.Array:
    """``rowsᵀ z``, where a negative wanted value is replaced by the fitted one, or 0 if that is positive."""
    rows = _patches(x)
    z = wanted.astype(jnp.float32).reshape(len(rows), -1)
    return _products(rows, jnp.where(z > 0, z, jnp.minimum(rows @ kernel, 0)))[1]


def _fit_kernel(inputs: list[np.ndarray], wanted: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel ``(3, 3, c, d)`` and bias ``(d,)`` with the least squared error after the ReLU.

    Where the wanted value is negative, any negative value has no error: ``Σ (ẑ − z)²`` over positive ``z`` plus
    ``Σ max(ẑ, 0)²`` over the others. It is convex, and majorized by a least-squares problem whose targets are the
    fitted values themselves where they have no error.
    """
    every = 4 if inputs[0].shape[1] >= ROWS else 1
    inputs, wanted = inputs[::every], wanted[::every]
    pairs = [
        _products(_patches(x), jnp.asarray(z, jnp.float32)) for x, z in zip(inputs, wanted, strict=True)
    ]
    left, right = _summed(pairs)
    scale = np.sqrt(np.maximum(np.diag(left), 1e-12 * np.trace(left)))
    factor = cho_factor(left / scale[:, None] / scale + RIDGE * np.eye(len(left)))

    def solve(right: np.ndarray) -> np.ndarray:
        return cho_solve(factor, right / scale[:, None]) / scale[:, None]

    solution = solve(right)
    for _ in range(RECTIFIED):
        kernel = jnp.asarray(solution, jnp.float32)
        products = [
            np.asarray(_rectified_product(x, kernel, z), np.float64)
            for x, z in zip(inputs, wanted, strict=True)
        ]
        solution = solve(np.sum(products, 0))
    return solution[:-1].reshape(3, 3, inputs[0].shape[-1], -1), solution[-1]


def _fit_head(inputs: list[np.ndarray], wanted: list[np.ndarray]) -> np.ndarray:
    """Linear map ``(c, k)`` with the least squared error."""
    flat = [jnp.asarray(x).reshape(-1, x.shape[-1]) for x in inputs]
    left, right = _summed(
        [_products(x, jnp.asarray(y, jnp.float32)) for x, y in zip(flat, wanted, strict=True)]
    )
    return np.linalg.solve(left + HEAD_RIDGE * np.trace(left) / len(left) * np.eye(len(left)), right)


def fit(
    teacher: Backbone,
    batches: Sequence[Batch],
    moments: Moments,
    directions: Directions,
    widths: dict[str, int],
) -> dict[str, dict[str, jax.Array]]:
    """Fit a student to the teacher.

    Args:
        teacher: VGG-19 to the deepest of ``widths``.
        batches: images ``(n, h, w, 3)`` of one shape, each with the pooling of both networks.
        moments: ``{layer: (c, c)}``, the second moments of the ReLU after each of ``widths``.
        directions: of the layers that have a head.
        widths: channels by convolution, shallow to deep, conv1_1 among them; others may be left out.

    Returns:
        Weights for :func:`nstjax.nn.student.make_student`. The kept channels have a root mean square of about 1, and
        a head gives its layer's activations in ``directions``, over the root of their total.
    """
    kept: dict[str, list[int]] = {}
    root: dict[str, np.ndarray] = {}
    for conv, width in widths.items():
        moment = moments[f"relu{conv.removeprefix('conv')}"]
        kept[conv] = choose(moment, width)
        root[conv] = np.sqrt(np.maximum(np.diag(moment)[kept[conv]], 1e-12 * np.trace(moment)))
    layers = tuple(directions.basis)

    @partial(jax.jit, static_argnames="pooling")
    def wanted(teacher: Backbone, images: jax.Array, pooling: Pooling) -> tuple[Features, Features]:
        before = nstjax.features(teacher, images, tuple(widths), pooling, padding="replicate")
        chosen = {conv: before[conv][..., np.array(kept[conv])] / root[conv] for conv in widths}
        found = targets(teacher, images, directions, layers, pooling)
        # Half precision saves gigabytes; only a channel that is hardly ever active has values that it cannot hold.
        return jax.tree.map(lambda x: jnp.clip(x, -6e4, 6e4).astype(jnp.float16), (chosen, found))

    known = [jax.tree.map(np.asarray, wanted(teacher, *batch)) for batch in batches]
    params: dict[str, dict[str, jax.Array]] = {}
    x: list[np.ndarray] = []
    block = 1
    for conv in widths:
        if conv == "conv1_1":  # exact: its input is the image
            kernel, bias = _first_kernel(teacher)
            kernel, bias = kernel[..., kept[conv]] / root[conv], bias[kept[conv]] / root[conv]
        else:
            for _ in range(block, int(conv[4])):
                x = [np.asarray(_pool(each, pooling)) for each, (_, pooling) in zip(x, batches, strict=True)]
            kernel, bias = _fit_kernel(x, [chosen[conv] for chosen, _ in known])
        block = int(conv[4])
        layer = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
        inputs = [preprocess(images, PREPROCESSING) for images, _ in batches] if conv == "conv1_1" else x
        x = [np.asarray(_activations(each, layer["kernel"], layer["bias"], conv)) for each in inputs]
        name = f"relu{conv.removeprefix('conv')}"
        if name in layers:
            layer["head"] = jnp.asarray(_fit_head(x, [found[name] for _, found in known]), jnp.float32)
        params[conv] = layer
    return params


@partial(jax.jit, static_argnames="conv")
def _activations(x: jax.Array, kernel: jax.Array, bias: jax.Array, conv: str) -> jax.Array:
    return jax.nn.relu(conv3x3(x, kernel, bias, "replicate" if conv == "conv1_1" else "zeros"))


@partial(jax.jit, static_argnames="pooling")
def _pool(x: jax.Array, pooling: Pooling) -> jax.Array:
    return pool2x2(x, pooling)
