"""Reads MatConvNet's ``imagenet-vgg-verydeep-{16,19}.mat`` in the old and the new format."""

from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.preprocessing import Preprocessing
from nstjax.weights.canonical import CAFFE_RGB, Arrays, from_pairs

_KERNEL_RANK = 4


def _mean_pixel(network: Any) -> tuple[float, float, float]:
    """Return the mean RGB pixel: ``meta.normalization.averageImage`` (new) or ``normalization.averageImage`` (old).

    If the file has none, it is the mean of the original weights.
    """
    holder = getattr(network, "meta", network)
    average = getattr(getattr(holder, "normalization", None), "averageImage", None)
    if average is None:
        return CAFFE_RGB.mean
    # The old format has an image of means, the new one a single pixel.
    mean = np.asarray(average, np.float64).reshape(-1, 3).mean(axis=0)
    return float(mean[0]), float(mean[1]), float(mean[2])


def _pairs(layers: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the kernel and bias of each convolution, with the kernel's spatial axes in NumPy's order."""
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for layer in np.atleast_1d(layers):
        name = str(getattr(layer, "name", ""))
        if not name.startswith("conv"):
            continue
        weights = getattr(layer, "weights", None)
        kernel, bias = (layer.filters, layer.biases) if weights is None else (weights[0], weights[1])
        kernel = np.asarray(kernel)
        if kernel.ndim == _KERNEL_RANK:
            kernel = kernel.transpose(1, 0, 2, 3)
        pairs[name] = (kernel, np.asarray(bias))
    return pairs


def read_matconvnet(path: Path) -> tuple[Arrays, Preprocessing | None]:
    """Read a MatConvNet file as a canonical tree.

    The kernels in the file are ``(W, H, in, out)``, because MATLAB stores columns first; the spatial axes are
    swapped.

    Returns:
        The tree, and the preprocessing, or None if the mean in the file is not finite.

    Raises:
        InputError: If the file is damaged, is an HDF5 file of MATLAB 7.3, or does not contain a VGG network.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)
    except NotImplementedError as error:
        raise InputError(f"{path} is of MATLAB 7.3: save it with -v7") from error
    except Exception as error:  # SciPy's parser raises nearly any exception on damaged bytes
        raise InputError(f"{path} is a damaged .mat file: fetch or copy it again") from error
    network = content.get("net")
    network = network if network is not None else _Namespace(content)
    layers = getattr(network, "layers", None)
    if layers is None:
        raise InputError(f"{path} is a .mat file, but not of MatConvNet: it has no layers")
    try:
        pairs, mean = _pairs(layers), _mean_pixel(network)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{path} is a MatConvNet file with a layer that cannot be read: fetch it again"
        ) from error
    if not pairs:
        raise InputError(f"{path} is a MatConvNet file, but holds no VGG: wrong network?")
    how = Preprocessing("RGB", 255.0, mean) if np.isfinite(mean).all() else None
    return from_pairs(pairs, path), how


class _Namespace:
    """Gives access to the entries of a dict as attributes.

    In one of the two formats the network is a MATLAB struct, which SciPy returns as an object with attributes; in the
    other its fields are variables of the file, which SciPy returns as a dict. With this class both are read by the
    same code.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.__dict__.update(content)
