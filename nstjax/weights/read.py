"""Reads a weights file to a backbone."""

import stat
from pathlib import Path

from nstjax.errors import InputError, one_of
from nstjax.files import file_digest
from nstjax.nn.vgg import make_backbone
from nstjax.typing import Backbone
from nstjax.weights.apart import read_apart
from nstjax.weights.canonical import PREPROCESSINGS, recognise_arch
from nstjax.weights.recognise import Recognised, recognise_original

# Formats whose names do not tell which training the weights are from; their values do.
_TOLD_BY_VALUES = ("pth", "safetensors", "wheel")
MAX_BYTES = 4 * 2**30  # of a file; VGG-19 with its classifier has 1.15 GB in float64


def _check_file(path: Path) -> None:
    """Raise :class:`InputError` unless this is a regular file of a reasonable size.

    Reading another kind, such as a pipe or a device, might never end.
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
    """Read any supported weights file, in a process of its own (:mod:`nstjax.weights.apart`).

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
        if kind in _TOLD_BY_VALUES:
            found = recognise_original(tree, path) or found
    network = recognise_arch(tree, path, arch)
    source = f"{kind} file {path.name}; preprocessing: {found.reason}"
    try:
        return make_backbone(tree, network, found.preprocessing, source, sha256)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
