"""Initial weights of a student, fitted to the teacher by linear least squares, layer by layer.

At each convolution the student keeps the teacher's channels that best predict the others. Its kernel is the
linear map that best predicts the teacher's values before the ReLU in these channels from 3×3 patches of the
student's own activations. Each convolution therefore corrects errors of the ones before it, and replaces
convolutions that the student leaves out. The kernel of conv1_1 needs no fit: it is the teacher's, restricted
to the kept channels and rescaled. The heads are fitted in the same way as the kernels, without a ReLU. Every
least-squares problem is solved in closed form.

Compare He, Zhang and Sun, "Channel pruning", ICCV 2017, and Luo, Wu and Lin, "ThiNet", ICCV 2017, who choose
channels by other rules.
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

RECTIFIED = 4  # majorization steps of a kernel's fit, which account for the ReLU
RIDGE = 1e-4  # added to the diagonal of the patches' second moments, which are scaled to a diagonal of 1
HEAD_RIDGE = 1e-5  # relative to the mean of the diagonal of the activations' second moments
SHALLOW_EVERY = 8  # blocks 1 to 3 have many positions, so every 8th batch is enough for them
Batch = tuple[np.ndarray, Pooling]  # images (n, h, w, 3) in [0, 1], and the pooling of both networks


def choose(moment: np.ndarray, count: int) -> list[int]:
    """Choose the channels that best predict all channels, one at a time.

    Greedy column subset selection (Farahat, Ghodsi and Kamel, ICDM 2011). ``E`` is the second moment of what
    the chosen channels do not predict. Each step chooses the channel ``j`` with the largest gain
    ``Σ_i E_ij² / E_jj``, which is the decrease of the trace of ``E``.

    Args:
        moment: ``(c, c)``, the second moments of the channels.
        count: number of channels to choose, at most ``c``.

    Returns:
        The indices of the channels, in the order of choice.
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
    """Return the teacher's kernel and bias of conv1_1, converted to the student's preprocessing.

    Returns:
        Kernel ``(3, 3, 3, c)`` and bias ``(c,)``, float64. With replicate padding, they give the teacher's
        values.
    """
    kernel = np.asarray(teacher.params["conv1_1"]["kernel"], np.float64)
    bias = np.asarray(teacher.params["conv1_1"]["bias"], np.float64)
    theirs, ours = teacher.preprocessing, PREPROCESSING
    mean, std = np.array(theirs.mean), np.array(theirs.std)
    if theirs.order == "BGR":
        kernel, mean, std = kernel[:, :, ::-1], mean[::-1], std[::-1]
    # The teacher's input is (x·scale − mean) / std. Here x is written in terms of the student's input.
    factor = theirs.scale * np.array(ours.std) / ours.scale / std
    shift = (theirs.scale * np.array(ours.mean) / ours.scale - mean) / std
    return kernel * factor[:, None], bias + np.einsum("ijcd,c->d", kernel, shift)


@jax.jit
def patches(x: jax.Array) -> jax.Array:
    """Return the 3×3 patch of each position, padded with zeros, followed by a 1 for the bias.

    Args:
        x: activations, ``(n, h, w, c)``.

    Returns:
        ``(n·h·w, 9·c + 1)``. The first ``9·c`` values of a row have the order of a kernel's rows, columns and
        input channels.
    """
    n, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    flat = jnp.concatenate(taps, -1).reshape(n * h * w, 9 * c)
    return jnp.concatenate([flat, jnp.ones((n * h * w, 1))], 1)


@jax.jit
def products(rows: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Compute ``rowsᵀ rows`` and ``rowsᵀ wanted`` in full float32 precision.

    Args:
        rows: ``(r, c)``.
        wanted: ``(…, d)`` with ``r`` positions.

    Returns:
        ``(c, c)`` and ``(c, d)``.
    """
    exact = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    return exact(rows.T, rows), exact(rows.T, wanted.reshape(len(rows), -1))


def _summed(pairs: Iterable[tuple[jax.Array, jax.Array]]) -> tuple[np.ndarray, np.ndarray]:
    """Sum the pairs of :func:`products` over all batches, in float64."""
    first, second = (np.zeros(()) for _ in range(2))
    for left, right in pairs:
        first, second = first + np.asarray(left, np.float64), second + np.asarray(right, np.float64)
    return first, second


@jax.jit
def _rectified_product(x: jax.Array, kernel: jax.Array, wanted: jax.Array) -> jax.Array:
    """Compute ``rowsᵀ t`` for the targets ``t`` of one majorization step; see :func:`_fit_kernel`.

    Where the wanted value ``z`` is positive, the target is ``z``. Elsewhere it is the fitted value, or 0 if
    the fitted value is positive.

    Args:
        x: activations, ``(n, h, w, c)``.
        kernel: current kernel and bias, ``(9·c + 1, d)``.
        wanted: ``(n, h, w, d)``.

    Returns:
        ``(9·c + 1, d)``.
    """
    rows = patches(x)
    z = wanted.astype(jnp.float32).reshape(len(rows), -1)
    return products(rows, jnp.where(z > 0, z, jnp.minimum(rows @ kernel, 0)))[1]


def _fit_kernel(inputs: Sequence[np.ndarray], wanted: Sequence[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Fit a kernel and a bias so that the error after the ReLU is small.

    The error of the fitted values ``ẑ`` is ``Σ (ẑ − z)²`` over the positive wanted values ``z``, plus
    ``Σ max(ẑ, 0)²`` over the others: where ``z`` is negative, a negative ``ẑ`` has no error. The sum is
    convex, and an upper bound of the squared error after the ReLU. It is majorized by a least-squares problem
    in which a fitted value without error is its own target. ``RECTIFIED`` such problems are solved, after a
    first one with the targets ``z``. All have a small ridge.

    Args:
        inputs: the student's activations of each batch, ``(n, h, w, c)``.
        wanted: the teacher's values before the ReLU, ``(n, h, w, d)``.

    Returns:
        Kernel ``(3, 3, c, d)`` and bias ``(d,)``, float64.
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
    """Fit a head by least squares with a small ridge.

    Args:
        inputs: the student's activations of each batch, ``(n, h, w, c)``.
        wanted: the targets of the head, ``(n, h, w, k)``.

    Returns:
        The linear map, ``(c, k)``, float64.
    """
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
    """A batch of images with the values of the teacher to which a student is fitted.

    Attributes:
        images: ``(n, h, w, 3)`` in [0, 1].
        pooling: pooling of both networks.
        before: ``{conv: (n, h', w', c)}`` float16, the teacher's values before the ReLU in the kept channels,
            divided by the channels' root mean square after the ReLU.
        found: ``{layer: (n, h', w', k)}`` float16, the targets of the heads.
    """

    images: np.ndarray
    pooling: Pooling
    before: Features
    found: Features


class Fitter:
    """Least-squares fits of students of one shape to a teacher.

    Args:
        teacher: VGG-19 at least to the deepest convolution of ``widths``.
        moments: ``{layer: (c, c)}``, the teacher's second moments at the ReLU after each convolution of
            ``widths``.
        directions: directions of the layers that have a head.
        widths: number of channels of each convolution of the student, shallow to deep. The first is conv1_1;
            others may be left out.

    Attributes:
        kept: ``{conv: (width,)}``, the indices of the teacher's channels that the student keeps.
        root: ``{conv: (width,)}``, the root mean square of these channels after the ReLU. It is at least 1%
            of the root mean square over all channels of the layer.
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
        return jax.tree.map(lambda x: x.astype(jnp.float16), (before, found))  # float16 saves gigabytes

    def see(self, batches: Iterable[Batch]) -> list[Seen]:
        """Compute the teacher's values for batches of images.

        The first batch and every eighth one after it have values at all convolutions of the student. The
        others have values only at those of blocks 4 and 5.

        Args:
            batches: images ``(n, h, w, 3)`` in [0, 1], each with the pooling to use.
        """
        seen = []
        for i, (images, pooling) in enumerate(batches):
            convs = tuple(conv for conv in self.widths if i % SHALLOW_EVERY == 0 or not _shallow(conv))
            before, found = jax.tree.map(np.asarray, self._answer(self.teacher, images, pooling, convs))
            seen.append(Seen(np.asarray(images), pooling, before, found))
        return seen

    def fit(self, seen: Sequence[Seen]) -> dict[str, dict[str, jax.Array]]:
        """Fit a student.

        Args:
            seen: batches from :meth:`see`. At least one must have values at all convolutions.

        Returns:
            Weights for :func:`nstjax.nn.student.make_student`. After the ReLU, the student's channels have a
            root mean square of about 1. A head predicts the teacher's activations in the directions of its
            layer, divided by the square root of the layer's total in :class:`Directions`.
        """
        params: dict[str, dict[str, jax.Array]] = {}
        for conv in self.widths:
            used = [each for each in seen if conv in each.before]
            if conv == "conv1_1":  # needs no fit, because both networks have the image as input
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
    """Compute the input of a student's next convolution.

    Args:
        params: weights of the convolutions before ``conv``, shallow to deep.
        images: ``(n, h, w, 3)`` in [0, 1].
        conv: name of the next convolution; empty for the activations after the last convolution of
            ``params``.
        pooling: pooling of the student.

    Returns:
        ``(n, h', w', c)``.
    """
    x, block = preprocess(images, PREPROCESSING), 1
    for name in (*params, conv) if conv else params:
        for _ in range(block, int(name[4])):
            x = pool2x2(x, pooling)
        block = int(name[4])
        if name != conv:
            padding: Padding = "replicate" if name == "conv1_1" else "zeros"
            x = jax.nn.relu(conv3x3(x, params[name]["kernel"], params[name]["bias"], padding))
    return x
