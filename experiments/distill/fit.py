"""The start of a training: a student fitted to the teacher by linear least squares, layer by layer.

At each layer the channels are kept from which the others can be predicted best. The kernel of a convolution is then the
linear map from 3×3 patches of the student's own activations to the teacher's values before the ReLU, so that each layer
corrects the errors of the ones before it, and stands in for convolutions that the student leaves out (compare He, Zhang
and Sun, "Channel pruning", ICCV 2017, and Luo, Wu and Lin, "ThiNet", ICCV 2017, who choose channels by other rules). The
heads are fitted likewise. Every step has a closed form.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve

import nstjax
from experiments.distill.teacher import Directions, Moments, targets
from nstjax.nn.conv import conv3x3, pool2x2
from nstjax.nn.student import PREPROCESSING
from nstjax.nn.vgg import preprocess
from nstjax.typing import Backbone, Features, Padding, Params, Pooling

RECTIFIED = 4  # iterations
RIDGE = 1e-4  # of the patches' second moments, scaled to a diagonal of 1
HEAD_RIDGE = 1e-5  # of the activations' mean second moment
SHALLOW_EVERY = 8  # blocks 1 to 3 have many positions: every so many-th batch is enough
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
def patches(x: jax.Array) -> jax.Array:
    """3×3 patches, zeros around the image, and a 1 for the bias: ``(n·h·w, 9·c + 1)``."""
    n, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    flat = jnp.concatenate(taps, -1).reshape(n * h * w, 9 * c)
    return jnp.concatenate([flat, jnp.ones((n * h * w, 1))], 1)


@jax.jit
def products(rows: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``rowsᵀ rows`` and ``rowsᵀ wanted``."""
    exact = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    return exact(rows.T, rows), exact(rows.T, wanted.reshape(len(rows), -1))


def _summed(pairs: Iterable[tuple[jax.Array, jax.Array]]) -> tuple[np.ndarray, np.ndarray]:
    """Sums over batches in float64."""
    first, second = (np.zeros(()) for _ in range(2))
    for left, right in pairs:
        first, second = first + np.asarray(left, np.float64), second + np.asarray(right, np.float64)
    return first, second


@jax.jit
def _rectified_product(x: jax.Array, kernel: jax.Array, wanted: jax.Array) -> jax.Array:
    """``rowsᵀ z``, where a negative wanted value is replaced by the fitted one, or 0 if that is positive."""
    rows = patches(x)
    z = wanted.astype(jnp.float32).reshape(len(rows), -1)
    return products(rows, jnp.where(z > 0, z, jnp.minimum(rows @ kernel, 0)))[1]


def _fit_kernel(inputs: Sequence[np.ndarray], wanted: Sequence[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel ``(3, 3, c, d)`` and bias ``(d,)`` with the least squared error after the ReLU.

    Where the wanted value is negative, any negative value has no error: ``Σ (ẑ − z)²`` over positive ``z`` plus
    ``Σ max(ẑ, 0)²`` over the others. It is convex, and majorized by a least-squares problem whose targets are the
    fitted values themselves where they have no error.
    """
    left, right = _summed(
        (products(patches(x), jnp.asarray(z, jnp.float32)) for x, z in zip(inputs, wanted, strict=True))
    )
    scale = np.sqrt(np.maximum(np.diag(left), 1e-12 * np.trace(left)))
    factor = cho_factor(left / scale[:, None] / scale + RIDGE * np.eye(len(left)))

    def solve(right: np.ndarray) -> np.ndarray:
        return cho_solve(factor, right / scale[:, None]) / scale[:, None]

    solution = solve(right)
    for _ in range(RECTIFIED):
        kernel = jnp.asarray(solution, jnp.float32)
        right = np.zeros_like(right)
        for x, z in zip(inputs, wanted, strict=True):
            right += np.asarray(_rectified_product(x, kernel, z), np.float64)
        solution = solve(right)
    return solution[:-1].reshape(3, 3, inputs[0].shape[-1], -1), solution[-1]


def _fit_head(inputs: Sequence[np.ndarray], wanted: Sequence[ArrayLike]) -> np.ndarray:
    """Linear map ``(c, k)`` with the least squared error."""
    left, right = _summed(
        (
            products(jnp.asarray(x).reshape(-1, x.shape[-1]), jnp.asarray(y, jnp.float32))
            for x, y in zip(inputs, wanted, strict=True)
        )
    )
    return np.linalg.solve(left + HEAD_RIDGE * np.trace(left) / len(left) * np.eye(len(left)), right)


def _shallow(conv: str) -> bool:
    return int(conv[4]) < 4


@dataclasses.dataclass(frozen=True)
class Seen:
    """Images and the teacher's answers.

    Attributes:
        images: ``(n, h, w, 3)``.
        pooling: pooling of both networks.
        before: ``{conv: (n, h', w', c)}`` float16, the values before the ReLU of the kept channels, over their root
            mean square.
        found: ``{layer: (n, h', w', k)}`` float16, the targets of the heads.
    """

    images: np.ndarray
    pooling: Pooling
    before: Features
    found: Features


class Fitter:
    """Fits students of one shape to a teacher.

    Args:
        teacher: VGG-19 to the deepest of ``widths``.
        moments: ``{layer: (c, c)}``, the second moments of the ReLU after each of ``widths``.
        directions: of the layers that have a head.
        widths: channels by convolution, shallow to deep, conv1_1 among them; others may be left out.
    """

    def __init__(
        self, teacher: Backbone, moments: Moments, directions: Directions, widths: dict[str, int]
    ) -> None:
        self.teacher, self.directions, self.widths = teacher, directions, widths
        self.kept: dict[str, np.ndarray] = {}
        self.root: dict[str, np.ndarray] = {}
        for conv, width in widths.items():
            moment = moments[f"relu{conv.removeprefix('conv')}"]
            self.kept[conv] = np.array(choose(moment, width))
            power = np.diag(moment)
            self.root[conv] = np.sqrt(np.maximum(power, 1e-4 * power.mean())[self.kept[conv]])
        self._answer = jax.jit(self._answer_to, static_argnames=("pooling", "convs"))

    def _answer_to(
        self, teacher: Backbone, images: jax.Array, pooling: Pooling, convs: tuple[str, ...]
    ) -> tuple[Features, Features]:
        values = nstjax.features(teacher, images, convs, pooling, padding="replicate")
        before = {conv: values[conv][..., self.kept[conv]] / self.root[conv] for conv in convs}
        layers = tuple(
            layer for layer in self.directions.basis if f"conv{layer.removeprefix('relu')}" in convs
        )
        found = targets(teacher, images, self.directions, layers, pooling)
        return jax.tree.map(lambda x: x.astype(jnp.float16), (before, found))  # which saves gigabytes

    def see(self, batches: Iterable[Batch]) -> list[Seen]:
        """Return the teacher's answers: of every eighth batch at all convolutions, of the others at blocks 4 and 5."""
        seen = []
        for i, (images, pooling) in enumerate(batches):
            convs = tuple(conv for conv in self.widths if i % SHALLOW_EVERY == 0 or not _shallow(conv))
            before, found = jax.tree.map(np.asarray, self._answer(self.teacher, images, pooling, convs))
            seen.append(Seen(np.asarray(images), pooling, before, found))
        return seen

    def fit(self, seen: Sequence[Seen]) -> dict[str, dict[str, jax.Array]]:
        """Fit a student.

        Args:
            seen: from :meth:`see`, images of one shape.

        Returns:
            Weights for :func:`nstjax.nn.student.make_student`. The kept channels have a root mean square of about 1,
            and a head gives its layer's activations in ``directions``, over the root of their total.
        """
        params: dict[str, dict[str, jax.Array]] = {}
        for conv in self.widths:
            used = [each for each in seen if conv in each.before]
            if conv == "conv1_1":  # exact: its input is the image
                kernel, bias = _first_kernel(self.teacher)
                kernel = kernel[..., self.kept[conv]] / self.root[conv]
                bias = bias[self.kept[conv]] / self.root[conv]
            else:
                inputs = [np.asarray(inputs_of(params, each.images, conv, each.pooling)) for each in used]
                kernel, bias = _fit_kernel(inputs, [each.before[conv] for each in used])
            params[conv] = {
                "kernel": jnp.asarray(kernel, jnp.float32),
                "bias": jnp.asarray(bias, jnp.float32),
            }
            layer = f"relu{conv.removeprefix('conv')}"
            if layer in self.directions.basis:
                inputs = [np.asarray(inputs_of(params, each.images, "", each.pooling)) for each in used]
                head = _fit_head(inputs, [each.found[layer] for each in used])
                params[conv]["head"] = jnp.asarray(head, jnp.float32)
        return params


@partial(jax.jit, static_argnames=("conv", "pooling"))
def inputs_of(params: Params, images: jax.Array, conv: str, pooling: Pooling) -> jax.Array:
    """The input of ``conv`` in a student that is fitted so far, or its last activations if ``conv`` is empty."""
    x, block = preprocess(images, PREPROCESSING), 1
    for name in (*params, conv) if conv else params:
        for _ in range(block, int(name[4])):
            x = pool2x2(x, pooling)
        block = int(name[4])
        if name != conv:
            padding: Padding = "replicate" if name == "conv1_1" else "zeros"
            x = jax.nn.relu(conv3x3(x, params[name]["kernel"], params[name]["bias"], padding))
    return x
