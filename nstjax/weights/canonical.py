"""Converts names and layouts of weights files to the canonical tree, and recognizes the network.

The canonical tree is ``{"conv1_1": {"kernel": (3, 3, in, out), "bias": (out,)}, …}``, with float32 arrays.
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from nstjax.errors import InputError
from nstjax.nn.table import CONVS_PER_BLOCK, conv_names
from nstjax.preprocessing import Preprocessing

MAX_ELEMENTS = 2**24  # elements of an array; VGG's largest kernel has 512·512·9 = 2.4 million
Arrays = dict[str, dict[str, np.ndarray]]

# Simonyan and Zisserman trained on 8-bit BGR images (Caffe) minus the mean pixel of the training set.
CAFFE_BGR = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))
# MatConvNet has the same weights, with the input channels of the first kernel in reverse order.
CAFFE_RGB = Preprocessing("RGB", 255.0, (123.68, 116.779, 103.939))
# torchvision trained its own weights (pytorch/vision, references/classification).
TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

PREPROCESSINGS = {"caffe-bgr": CAFFE_BGR, "caffe-rgb": CAFFE_RGB, "torchvision": TORCHVISION}


def preprocessing_from(record: Any, path: object) -> Preprocessing:
    """Return the preprocessing that a JSON record describes.

    Args:
        record: an object with the fields of :class:`~nstjax.preprocessing.Preprocessing`.
        path: the file, for the message.

    Raises:
        InputError: If a field is missing or invalid.
    """
    try:
        scale, mean, std = float(record["scale"]), record["mean"], record["std"]
        mean, std = tuple(float(v) for v in mean), tuple(float(v) for v in std)
        with np.errstate(over="ignore", under="ignore"):
            single = np.array([scale, *mean, *std], np.float32)  # the precision in which it is used
        whole = len(mean) == len(std) == 3 and np.isfinite(single).all() and min(single[0], *single[4:]) > 0
        if record["order"] not in ("RGB", "BGR") or not whole:
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its preprocessing cannot be read: override it with `preprocessing`"
        ) from error
    return Preprocessing(record["order"], scale, mean, std)


def sequential_indices(arch: str) -> dict[int, str]:
    """Return the convolutions by their index in torchvision's ``features``: ``{0: "conv1_1", 2: "conv1_2", …}``.

    A ReLU follows each convolution, and a pooling layer ends each block.

    Args:
        arch: ``"vgg16"`` or ``"vgg19"``.
    """
    indices: dict[int, str] = {}
    position = 0
    for block, count in enumerate(CONVS_PER_BLOCK[arch], start=1):
        for i in range(1, count + 1):
            indices[position] = f"conv{block}_{i}"
            position += 2
        position += 1
    return indices


def oihw_to_hwio(kernel: np.ndarray) -> np.ndarray:
    """Transpose a kernel from ``(out, in, h, w)`` to ``(h, w, in, out)``."""
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def _is_floating(array: np.ndarray) -> bool:
    """Return True for a real floating-point dtype, including bfloat16."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def from_pairs(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], path: object, *, oihw: bool = False
) -> Arrays:
    """Build a canonical tree from pairs of kernel and bias.

    Args:
        pairs: ``{conv: (kernel, bias)}``; kernels are HWIO by default, and biases may have any shape.
        path: the file, for messages.
        oihw: True if the kernels are OIHW.

    Returns:
        The tree, with float32 arrays.

    Raises:
        InputError: If an array is not real and floating point, is not finite in float32, or is too large, or if
            a kernel does not have 4 axes.
    """
    tree: Arrays = {}
    for name, (kernel, bias) in pairs.items():
        kernel, bias = np.asarray(kernel), np.asarray(bias)
        if max(kernel.size, bias.size) > MAX_ELEMENTS:  # checked before the array is copied
            raise InputError(f"{path}: {name} has the shape {kernel.shape}, too large for VGG: wrong file?")
        bias = bias.reshape(-1)
        if kernel.ndim != 4 or not (_is_floating(kernel) and _is_floating(bias)):
            raise InputError(
                f"{path}: {name} is of type {kernel.dtype} and shape {kernel.shape}, not a convolution's "
                f"weights: wrong file?"
            )
        kernel = oihw_to_hwio(kernel) if oihw else np.ascontiguousarray(kernel)
        with np.errstate(over="ignore"):  # a finite float64 value may overflow float32
            kernel, bias = kernel.astype(np.float32), bias.astype(np.float32)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise InputError(f"{path}: {name} holds values that are not finite: fetch or convert it again")
        tree[name] = {"kernel": kernel, "bias": bias}
    return tree


def recognise_arch(tree: Arrays, path: object, arch: str | None = None) -> str:
    """Return the network of a canonical tree, ``"vgg16"`` or ``"vgg19"``, from the names of its convolutions.

    Args:
        tree: see :data:`Arrays`.
        path: the file, for messages.
        arch: the network that the user named; needed only if the convolutions fit both networks.

    Raises:
        InputError: If the convolutions fit neither network or not the one that the user named, or if they fit
            both and the user named none.
    """
    fits = [a for a in CONVS_PER_BLOCK if set(tree) == set(conv_names(a)[: len(tree)])]
    if not fits:
        raise InputError(f"{path} holds {', '.join(sorted(tree)) or 'nothing'}: neither VGG-16 nor VGG-19")
    if arch is not None:
        if arch not in fits:
            raise InputError(f"{path} holds the weights of {fits[0]}, not {arch}: set `arch` to {fits[0]}")
        return arch
    if len(fits) > 1:
        raise InputError(f"{path} ends before VGG-16 and VGG-19 differ: say which it is with `arch`")
    return fits[0]
