"""Recognizes the preprocessing of weights from the values of their first convolution.

Files with torchvision's tensor names contain either torchvision's own weights or the original Caffe weights,
which need different inputs. The magnitude of conv1_1's kernel does not distinguish them: its mean absolute value
is 0.157 in the original VGG-19, 0.169 in the original VGG-16, and 0.22 in torchvision's VGG-16 (over the 162
values that PyTorch prints), although torchvision's inputs are 58 times smaller. Both trainings start from random
kernels of a similar size, and the first layer's output simply scales with its input.

Two other quantities distinguish them:

1. ``r[o] = b[o] / mean|K[..., o]|``, the bias of each filter over the mean absolute value of its kernel.
   Multiplying a filter by a constant does not change ``r``. Multiplying all kernels by ``s``, as for another
   range of the input, divides all of ``r`` by ``s``. So the Pearson correlation with the original's ``r``
   identifies the original weights, and the ratio of the two gives the range of the input.
2. The share of each input channel in ``mean|K|``. The original's first channel (blue in Caffe) has 0.87 times the
   share of its third channel (red).
"""

from typing import NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.preprocessing import Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, CAFFE_RGB, TORCHVISION, Arrays

# r of the original VGG-19 (Simonyan and Zisserman, CC BY 4.0), from Keras's file, to two decimals. The original VGG-16
# has nearly the same r (correlation 0.981, ratio 0.91), because both were initialized from the same 11-layer network.
# fmt: off
ORIGINAL_RATIOS = np.array([
    2.87, 0.81, 0.42, 3.41, 1.54, 3.66, -0.12, 2.23, 3.93, 0.60, 2.34, 2.13, 2.90, 1.84, 2.33, 2.55,
    4.17, 2.12, 3.35, 2.18, 2.81, 4.27, 2.20, 3.38, 0.47, 4.24, 1.47, 3.86, 3.75, 4.40, 2.72, 14.17,
    8.49, 2.58, 2.43, 3.49, 4.11, 2.13, 2.22, 1.69, 0.83, 4.73, 1.96, 4.75, 1.75, 3.32, 2.64, 2.12,
    2.48, 2.57, 1.75, 2.77, 3.31, 2.72, 2.51, 0.93, 2.99, 3.52, 2.35, 5.08, 2.13, 11.23, 2.26, 2.00,
])
# fmt: on

# Measured correlations with ORIGINAL_RATIOS: VGG-19 1.000, its 8-bit form 1.000, VGG-16 0.981. A correlation of 64
# independent values has standard deviation 0.125, and torchvision's VGG-16 has biases whose correlation with the
# original's is -0.03.
MIN_CORRELATION = 0.9
# Measured ratios of the first channel's share to the third's: 0.868 (VGG-19) and 0.878 (VGG-16); in reversed order
# 1.153 and 1.139. Multiplying the kernels by torchvision's standard deviations changes the ratio by 2 %.
ORDER_MARGIN = 0.05
# The factors of the input ranges below differ by at least 4.4, and VGG-16's r is 0.91 times VGG-19's.
MAX_FACTOR = 1.5


class Recognised(NamedTuple):
    """A preprocessing, and how it was found, as text for records and messages."""

    preprocessing: Preprocessing
    reason: str


def _mirrored(how: Preprocessing) -> Preprocessing:
    """Return the preprocessing with the channels in reversed order, BGR."""
    return Preprocessing("BGR", how.scale, how.mean[::-1], how.std[::-1])


def _unit(how: Preprocessing) -> Preprocessing:
    """Return the preprocessing for images in [0, 1] that are not multiplied by 255."""
    b, g, r = how.mean
    return Preprocessing(how.order, 1.0, (b / 255, g / 255, r / 255))


# For each factor on the kernels: a description of the input's range, and the preprocessing in BGR and in RGB order.
_RANGES: dict[float, tuple[str, Preprocessing, Preprocessing]] = {
    1.0: ("values 0 to 255 minus the mean", CAFFE_BGR, CAFFE_RGB),
    255 * float(np.mean(TORCHVISION.std)): (
        "values 0 to 1 minus the mean, over torchvision's standard deviation",
        _mirrored(TORCHVISION),
        TORCHVISION,
    ),
    255.0: ("values 0 to 1 minus the mean", _unit(CAFFE_BGR), _unit(CAFFE_RGB)),
}


def recognise_original(tree: Arrays, path: object) -> Recognised | None:
    """Recognize the original VGG weights of Simonyan and Zisserman, and the input that they need.

    The function recognizes VGG-16 and VGG-19, in either channel order, with kernels for inputs of 0 to 255, of 0
    to 1, or with torchvision's normalization. The weights may also be quantized, slightly fine-tuned, or have
    rescaled filters (Gatys's normalized network). It assumes that the mean is not included in the biases.

    Args:
        tree: the canonical tree; ``conv1_1`` has a kernel ``(3, 3, 3, 64)`` and a bias ``(64,)``.
        path: the file, for messages.

    Returns:
        The preprocessing, or None if these are other weights.

    Raises:
        InputError: If these are the original weights, multiplied by a factor that fits no known range of the
            input.
    """
    first = tree.get("conv1_1")
    if first is None or first["kernel"].shape != (3, 3, 3, 64) or first["bias"].shape != (64,):
        return None  # a later check of all shapes names the wrong layer
    magnitude = np.abs(first["kernel"].astype(np.float64)).mean(axis=(0, 1))  # (3, 64)
    size = magnitude.mean(axis=0)
    if not (size > 0).all():
        return None
    ratios = first["bias"].astype(np.float64) / size
    if np.ptp(ratios) == 0 or np.corrcoef(ratios, ORIGINAL_RATIOS)[0, 1] < MIN_CORRELATION:
        return None
    shares = (magnitude / size).mean(axis=1)
    quotient = float(shares[0] / shares[2])
    if abs(quotient - 1) < ORDER_MARGIN:
        return None
    factor = float(ORIGINAL_RATIOS @ ORIGINAL_RATIOS / (ratios @ ORIGINAL_RATIOS))
    nearest = min(_RANGES, key=lambda known: abs(np.log(factor / known)))
    if abs(np.log(factor / nearest)) > np.log(MAX_FACTOR):
        raise InputError(
            f"{path} holds the original VGG weights with conv1_1 multiplied by {factor:.3g}, which fits no known range "
            f"of the input: name the preprocessing with `preprocessing`"
        )
    words, bgr, rgb = _RANGES[nearest]
    order = "BGR" if quotient < 1 else "RGB"
    reason = f"recognized from conv1_1's values as that of the original VGG weights: {order}, {words}"
    return Recognised(bgr if order == "BGR" else rgb, reason)
