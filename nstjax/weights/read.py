"""Any weights file to a backbone, its format and network recognised from its content."""

import contextlib
import struct
import zipfile
from pathlib import Path

from nstjax.errors import InputError, one_of
from nstjax.files import file_digest
from nstjax.nn.vgg import make_backbone
from nstjax.typing import Backbone, Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, PREPROCESSINGS, Arrays, recognise_arch
from nstjax.weights.keras_h5 import read_keras_h5
from nstjax.weights.matconvnet import read_matconvnet
from nstjax.weights.npz import read_npz
from nstjax.weights.torchvision import read_pth, read_safetensors


def recognise_format(path: Path) -> str:
    """Name of a weights file's format: ``keras``, ``pth``, ``safetensors``, ``mat`` or ``npz``.

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
            return "npz" if any(name.endswith(".npy") for name in archive.namelist()) else "pth"
    if head.startswith(b"PK"):
        raise InputError(f"the weights {path} are a truncated archive: fetch or copy them again")
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 100_000_000:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pth"
    raise InputError(
        f"the weights {path} are of no known format: a Keras .h5, a PyTorch .pth, .safetensors, a MatConvNet "
        f".mat or an .npz is wanted"
    )


def read_weights(path: str | Path, arch: str | None = None, preprocessing: str | None = None) -> Backbone:
    """Read any supported weights file.

    Args:
        path: the file; its format is recognised from its content, never from its name.
        arch: ``"vgg16"`` or ``"vgg19"``; needed only where a file ends before the two differ.
        preprocessing: ``"caffe-bgr"``, ``"caffe-rgb"`` or ``"torchvision"``, to overrule what the
            format implies: some ``.pth`` files carry the original Caffe weights under torchvision's names.

    Raises:
        InputError: the file cannot be read, or is not the weights of VGG-16 or VGG-19.
    """
    path = Path(path)
    kind = recognise_format(path)
    sha256 = file_digest(path)
    tree: Arrays
    implied: Preprocessing
    if kind == "keras":
        tree, implied = read_keras_h5(path), CAFFE_BGR
    elif kind == "mat":
        tree, implied = read_matconvnet(path)
    elif kind == "npz":
        tree, implied = read_npz(path)
    elif kind == "safetensors":
        tree, implied = read_safetensors(path, sha256)
    else:
        tree, implied = read_pth(path, sha256)
    if preprocessing is not None:
        one_of("--preprocessing", preprocessing, tuple(PREPROCESSINGS))
        implied = PREPROCESSINGS[preprocessing]
    network = recognise_arch(tree, path, arch)
    try:
        return make_backbone(tree, network, implied, f"{kind} file {path.name}", sha256)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
