"""Where a student begins: the teacher with most of its channels taken out, and the others made to stand for them.

At each layer the channels are kept from which the others are best foretold, linearly; the next layer's kernels,
which read all of the teacher's channels, then read the kept ones through that linear map (compare He, Zhang
and Sun, "Channel pruning", ICCV 2017, and Luo, Wu and Lin, "ThiNet", ICCV 2017, who choose by other rules). All of it
follows from second moments; nothing is trained yet.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.distill.teacher import Directions
from nstjax.nn.student import PREPROCESSING
from nstjax.typing import Backbone


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


def prune(
    teacher: Backbone, moments: dict[str, np.ndarray], directions: Directions, widths: dict[str, int]
) -> dict[str, dict[str, jax.Array]]:
    """A student made of the teacher's channels.

    Args:
        teacher: VGG-19 to the deepest of ``widths``.
        moments: ``{layer: (c, c)}`` of every ReLU up to there.
        directions: of the layers that have a head.
        widths: channels by convolution, without a gap.

    Returns:
        Weights for :func:`nstjax.nn.student.make_student`: the kept channels have a root mean square of 1, and
        a head gives its layer's activations in ``directions``, over the root of their total.
    """
    params: dict[str, dict[str, jax.Array]] = {}
    before: np.ndarray | None = None  # (teacher's channels, student's): from kept channels to all
    for conv, width in widths.items():
        layer = f"relu{conv.removeprefix('conv')}"
        moment = moments[layer]
        if before is None:
            kernel, bias = _first_kernel(teacher)
        else:
            kernel = np.asarray(teacher.params[conv]["kernel"], np.float64)
            bias = np.asarray(teacher.params[conv]["bias"], np.float64)
            kernel = np.einsum("ijcd,ck->ijkd", kernel, before)
        kept = choose(moment, width)
        root = np.sqrt(np.maximum(np.diag(moment)[kept], 1e-12 * np.trace(moment)))
        params[conv] = {
            "kernel": jnp.asarray(kernel[..., kept] / root, jnp.float32),
            "bias": jnp.asarray(bias[kept] / root, jnp.float32),
        }
        inner = moment[np.ix_(kept, kept)]
        ridge = 1e-6 * np.trace(inner) / width * np.eye(width)
        before = np.linalg.solve(inner + ridge, moment[kept]).T * root
        if layer in directions.basis:
            head = (
                np.asarray(directions.basis[layer], np.float64).T
                @ before
                / np.sqrt(float(directions.total[layer]))
            )
            params[conv]["head"] = jnp.asarray(head.T, jnp.float32)
    return params
