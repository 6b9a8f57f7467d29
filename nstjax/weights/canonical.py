"""From any source's names and layouts to the canonical tree, and which network it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.nn.vgg import CONVS_PER_BLOCK, conv_names
from nstjax.typing import Preprocessing

Arrays = dict[str, dict[str, np.ndarray]]

# Simonyan and Zisserman trained on 8-bit BGR (Caffe) minus the training set's mean pixel.
CAFFE_BGR = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))
# MatConvNet holds the same weights with the first kernel's channels swapped.
CAFFE_RGB = Preprocessing("RGB", 255.0, (123.68, 116.779, 103.939))
# torchvision's own training (pytorch/vision, references/classification).
TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

PREPROCESSINGS = {"caffe-bgr": CAFFE_BGR, "caffe-rgb": CAFFE_RGB, "torchvision": TORCHVISION}


def preprocessing_from(record: Any, path: object) -> Preprocessing:
    """The preprocessing that a JSON record holds.

    Raises:
        InputError: a field is missing or makes no sense.
    """
    try:
        scale, mean, std = float(record["scale"]), record["mean"], record["std"]
        mean, std = tuple(float(v) for v in mean), tuple(float(v) for v in std)
        whole = (
            len(mean) == len(std) == 3 and np.isfinite([scale, *mean, *std]).all() and min(scale, *std) > 0
        )
        if record["order"] not in ("RGB", "BGR") or not whole:
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its preprocessing cannot be read: overrule it with --preprocessing"
        ) from error
    return Preprocessing(record["order"], scale, mean, std)


def sequential_indices(arch: str) -> dict[int, str]:
    """Where each convolution stands in torchvision's ``features``: ``{0: "conv1_1", 2: "conv1_2", …}``.

    A ReLU follows each convolution and a pooling closes each block.
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
    """``(out, in, h, w)`` to ``(h, w, in, out)``."""
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def from_pairs(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], path: object, *, oihw: bool = False
) -> Arrays:
    """A canonical tree of float32 from ``{conv: (kernel, bias)}``.

    Raises:
        InputError: an array is not of a real floating type, not finite, or of a wrong rank.
    """
    tree: Arrays = {}
    for name, (kernel, bias) in pairs.items():
        kernel, bias = np.asarray(kernel), np.asarray(bias).reshape(-1)
        if kernel.ndim != 4 or kernel.dtype.kind != "f" or bias.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} is of type {kernel.dtype} and shape {kernel.shape}, not a convolution's "
                f"weights: wrong file?"
            )
        kernel = oihw_to_hwio(kernel) if oihw else np.ascontiguousarray(kernel)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise InputError(f"{path}: {name} holds values that are not finite: fetch or convert it again")
        tree[name] = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
    return tree


def recognise_arch(tree: Arrays, path: object, arch: str | None = None) -> str:
    """Which network a canonical tree is: the names of its convolutions tell.

    Args:
        tree: see :data:`Arrays`.
        path: for messages.
        arch: what the user says it is, needed only where both fit.

    Raises:
        InputError: it is neither, it is not what the user says, or it is so shallow that both fit and
            the user did not say.
    """
    fits = [a for a in CONVS_PER_BLOCK if set(tree) == set(conv_names(a)[: len(tree)])]
    if not fits:
        raise InputError(f"{path} holds {', '.join(sorted(tree)) or 'nothing'}: neither VGG-16 nor VGG-19")
    if arch is not None:
        if arch not in fits:
            raise InputError(f"{path} holds the weights of {fits[0]}, not {arch}: say --network {fits[0]}")
        return arch
    if len(fits) > 1:
        raise InputError(f"{path} ends before VGG-16 and VGG-19 differ: say which it is with --network")
    return fits[0]
