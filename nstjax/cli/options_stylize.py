"""The options of ``nstjax stylize`` and ``nstjax export``."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from nstjax.cli.help import Layout, Required

Colors = Literal["style", "luminance", "histogram", "cholesky", "pca", "symmetric"]


@dataclasses.dataclass(frozen=True)
class StylizeOptions:
    """Stylize photographs, animations and videos in one pass, in the style of any image or with a trained generator."""

    usage: ClassVar[tuple[str, ...]] = (
        "PHOTO [PHOTO ...] --style PAINTING -o OUT [OPTIONS]",
        "[PHOTO ...] -m MODEL -o OUT [OPTIONS]",
        "--list",
    )
    layout: ClassVar[Layout] = Layout(
        essential=(
            "model",
            "style",
            "output",
            "list",
            "sheet",
            "size",
            "strength",
            "colors",
            "seed",
            "steady",
            "tile",
            "quiet",
        ),
        groups={
            "generator": ("model", "style", "list", "sheet", "seed", "noise_scale"),
            "any style image": ("masks", "transport", "style_size", "scale_count"),
            "picture": ("size", "colors", "strength"),
            "video": ("steady",),
            "output": ("output", "format", "bits", "quality"),
            "runtime": ("tile", "resume", "cluster", "quiet", "compilation_cache"),
        },
    )

    photographs: Positional[Annotated[tuple[Path, ...], arg(metavar="PHOTO")]] = ()
    """One or more photographs, animations (.gif, .webp, .png), videos (.mp4, .webm, .mov, .mkv) or folders of photographs. A model that makes textures takes none and needs --size."""
    model: Annotated[str | None, arg(aliases=["-m"], metavar="NAME|FOLDER")] = None
    """The generator: the name of an installed one (see --list), or the folder of a checkpoint or a training run."""
    style: Annotated[str | None, arg(metavar="PAINTING|NAME")] = None
    """Without --model: any style image, or several with weights, such as a.jpg:0.5,b.jpg:0.5. With a model of several styles: the name or number (from 1) of a style, or several with weights, such as 3:0.5,waves:0.5; without it, a message lists them."""
    masks: Annotated[tuple[str, ...], arg(metavar="MASK ...")] = ()
    """Without --model: a region of the photograph for each style image, as for nstjax transfer; what no region covers keeps the photograph."""
    transport: Literal["optimal", "whitening", "adain"] = "optimal"
    """Without --model: map of the activations to those of the style: optimal transport, whitening and coloring, or means and variances only."""
    style_size: int = 512
    """Without --model: longer side of the resized style images in pixels; a smaller one gives finer strokes."""
    scale_count: Annotated[int | None, arg(metavar="N")] = None
    """Without --model: number of scales, from 1 to 8. Each scale has twice the size of the one before; 1 gives fine strokes only. By default the longer side at the coarsest scale is about 256 pixels."""
    sheet: FlagCreatePairsOff[bool] = False
    """Write a sheet with the photograph in every style of the model."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT"), Required()] = None
    """The output: a picture, an animation (.gif, .webp or .png) or a video, like PHOTO; a folder for several PHOTOs or a folder."""
    list: FlagCreatePairsOff[bool] = False
    """List the installed generators and exit."""
    size: int | None = None
    """Longer side of the result in pixels; by default that of the photograph."""
    seed: int = 0
    """Seed of the noise: without --model, and for generators that have a noise input; all frames of an animation or a video use the same noise."""
    noise_scale: float = 1.0
    """With --model: amplitude of that noise, which is uniform in [0, noise-scale]; generators are trained with 1."""
    colors: Colors = "style"
    """Colors of the result: style keeps those of the stylized picture; luminance keeps the photograph's chrominance; histogram, cholesky, pca and symmetric match the distribution of the photograph's colors."""
    strength: float = 1.0
    """Strength of the style, from 0 to 1: with --model the weight of the stylized picture in a blend with the photograph; without it that of the style's activations in a blend with the photograph's."""
    steady: FlagCreatePairsOff[bool] = False
    """For videos and animations: blend each stylized frame with the previous one, moved along the optical flow, which reduces flicker. It needs the extra video."""
    tile: int | None = None
    """With --model: rows in each band, at least 16: computing a picture in bands needs less memory and gives the same result; 0 uses no bands. By default bands are used for results of more than 2 megapixels on a CPU, and of more than 4 megapixels on other devices."""
    format: Literal["png", "jpg", "webp", "tiff"] = "png"
    """Format of the pictures in an output folder."""
    bits: int = 8
    """Bits per channel: 8, or 16 for .png and .tiff."""
    quality: int = 95
    """Quality of .jpg and .webp files, from 1 to 100."""
    resume: FlagCreatePairsOff[bool] = False
    """With several PHOTOs: keep each picture that an earlier run made from the same files with the same settings; animations and videos are made again."""
    cluster: Annotated[str | None, arg(metavar="ADDRESS|local[:N]")] = None
    """With several PHOTOs: make the outputs on a Dask cluster. ADDRESS is that of the scheduler, such as tcp://host:8786; local or local:N starts workers on this machine. Implies --resume. Needs the extra cluster."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache, so that the next run starts sooner."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Write a trained generator as one file that contains its weights: a StableHLO program, which needs only JAX to run, or an ONNX model.

    Load a .stablehlo file with nstjax.inference.load_exported or jax.export.deserialize, on CPU, CUDA or TPU. The file OUT.stablehlo.json, which must stay beside it, describes its inputs and outputs. An .onnx file runs in ONNX Runtime and other programs; it needs the extra onnx.
    """

    usage: ClassVar[tuple[str, ...]] = (
        "-m MODEL -o OUT.stablehlo [OPTIONS]",
        "-m MODEL -o OUT.onnx [OPTIONS]",
    )

    model: Annotated[str | None, arg(aliases=["-m"], metavar="NAME|FOLDER"), Required()] = None
    """The generator: the name of an installed one (see nstjax stylize --list), or the folder of a checkpoint or a training run."""
    style: Annotated[str | None, arg(metavar="NAME[:WEIGHT],...")] = None
    """For a model of several styles: the style to export, as for nstjax stylize."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT"), Required()] = None
    """The output file; its suffix, .stablehlo or .onnx, selects the format."""
    size: Annotated[tuple[int, int] | None, arg(metavar="HEIGHT WIDTH")] = None
    """.stablehlo: size of the photographs; by default the program takes all sizes that are multiples of 2^downsamplings (Johnson's network; 8 for gallery) or 2^(scales − 1) (Ulyanov's network), and load_exported pads other sizes. Required for textures."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Print errors only."""
