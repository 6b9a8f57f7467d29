"""Reads a weights file as a feature network."""

import stat
from pathlib import Path

from nstjax.errors import InputError, one_of
from nstjax.files import file_digest
from nstjax.nn.vgg import make_backbone
from nstjax.typing import Backbone
from nstjax.weights.apart import read_apart
from nstjax.weights.canonical import PREPROCESSINGS, recognise_arch
from nstjax.weights.recognise import Recognised, recognise_original
from nstjax.weights.torchvision import STATED

# Formats whose tensor names do not show which training the weights are from; the values show it.
_TOLD_BY_VALUES = ("pth", "safetensors", "wheel")
MAX_BYTES = 4 * 2**30  # bytes of a file; VGG-19 with its classifier has 1.15 GB in float64


def _check_file(path: Path) -> None:
    """Raise :class:`InputError` unless a path is a regular file of a reasonable size.

    Reading another kind of file, such as a pipe or a device, might never end.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}; check the path") from error
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"cannot read the weights {path}: not a regular file; check the path")
    if facts.st_size == 0:
        raise InputError(f"the weights {path} are an empty file: fetch or copy them again")
    if facts.st_size > MAX_BYTES:
        raise InputError(
            f"the weights {path} have {facts.st_size / 2**30:.1f} GiB, more than any VGG: save the network's weights alone"
        )


def read_weights(path: str | Path, arch: str | None = None, preprocessing: str | None = None) -> Backbone:
    """Read a weights file of any supported format, in a separate process (:mod:`nstjax.weights.apart`).

    The file's format determines the preprocessing. PyTorch's tensor names do not determine it, so the original
    VGG weights are recognized by their values (:func:`nstjax.weights.recognise.recognise_original`); for other
    values the names suggest the preprocessing. ``source`` of the result states how it was found.

    Args:
        path: the file; its format is recognized from its content, not from its name.
        arch: ``"vgg16"`` or ``"vgg19"``; needed only if a file ends before the two networks differ.
        preprocessing: ``"caffe-bgr"``, ``"caffe-rgb"`` or ``"torchvision"``; replaces the recognized
            preprocessing.

    Returns:
        The feature network.

    Raises:
        InputError: If the file cannot be read, its preprocessing is invalid, or it does not contain the weights
            of VGG-16 or VGG-19.
    """
    path = Path(path)
    _check_file(path)
    sha256 = file_digest(path)
    kind, tree, implied, reason = read_apart(path, sha256)
    if preprocessing is not None:
        one_of("preprocessing", preprocessing, tuple(PREPROCESSINGS))
        found = Recognised(PREPROCESSINGS[preprocessing], f"{preprocessing}, given by the user")
    elif implied is None:
        raise InputError(f"{path}: its preprocessing cannot be read: give one with `preprocessing`")
    else:
        found = Recognised(implied, reason)
        if kind in _TOLD_BY_VALUES and reason != STATED:
            found = recognise_original(tree, path) or found
    network = recognise_arch(tree, path, arch)
    source = f"{kind} file {path.name}; preprocessing: {found.reason}"
    try:
        return make_backbone(tree, network, found.preprocessing, source, sha256)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
