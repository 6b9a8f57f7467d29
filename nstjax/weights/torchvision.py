"""PyTorch sources: torchvision's ``.pth`` and ``.safetensors``, and Gatys's ``vgg_conv.pth``."""

from pathlib import Path

from nstjax.errors import InputError
from nstjax.typing import Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, TORCHVISION, Arrays, from_torch_names
from nstjax.weights.torch_pickle import read_state_dict

# Files with torchvision's names but the original Caffe weights, by the start of their SHA-256 (which
# is in their names: vgg19-d01eb7cb.pth, vgg16-00b39a1b.pth, made by jcjohnson/pytorch-vgg).
CAFFE_IN_TORCH_NAMES = ("d01eb7cb", "00b39a1b")


def _with_preprocessing(tree: Arrays, torchvision_names: bool, sha256: str) -> tuple[Arrays, Preprocessing]:
    caffe = not torchvision_names or sha256.startswith(CAFFE_IN_TORCH_NAMES)
    return tree, CAFFE_BGR if caffe else TORCHVISION


def read_pth(path: Path, sha256: str) -> tuple[Arrays, Preprocessing]:
    """Read a ``.pth`` state dict to the canonical tree; see :func:`read_state_dict` for errors."""
    return _with_preprocessing(*from_torch_names(read_state_dict(path), path), sha256)


def read_safetensors(path: Path, sha256: str) -> tuple[Arrays, Preprocessing]:
    """Read a ``.safetensors`` file with torchvision's or Gatys's names to the canonical tree.

    Raises:
        InputError: the file is damaged or holds no VGG.
    """
    import safetensors
    import safetensors.numpy

    try:
        state = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError, TypeError) as error:
        raise InputError(f"{path} is a damaged safetensors file: fetch or copy it again") from error
    return _with_preprocessing(*from_torch_names(state, path), sha256)
