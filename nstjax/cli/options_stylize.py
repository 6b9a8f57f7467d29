"""The options of ``nstjax stylize`` and ``nstjax export``."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

Colors = Literal["style", "luminance", "histogram", "cholesky", "pca", "symmetric"]


@dataclasses.dataclass(frozen=True)
class StylizeOptions:
    """Paint photographs, animations and videos with a trained generator, in one pass each."""

    photographs: Positional[Annotated[tuple[Path, ...], arg(metavar="PHOTO")]] = ()
    """A photograph, an animation (.gif, .webp, .png), a video (.mp4, .webm, .mov, .mkv), or a folder of photographs, such as the frames of a video; several are possible. None, for a model that makes textures."""
    model: Annotated[str | None, arg(aliases=["-m"], metavar="NAME|FOLDER")] = None
    """The generator: an installed one's name (see --list), a checkpoint's folder, or a training run's."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT")] = None
    """The picture; of an animation an animation (.gif, .webp or .png), of a video a video; of several PHOTOs or a folder a folder, in which an animation keeps its format."""
    list: FlagCreatePairsOff[bool] = False
    """List the installed generators, and do nothing else."""
    size: int | None = None
    """Longer side of the result, in pixels; by default the photograph's own."""
    seed: int = 0
    """Of the noise that some generators take; the frames of an animation or a video share one noise."""
    noise_scale: float = 1.0
    """Their noise is uniform in [0, this]; 1 is as trained."""
    colors: Colors = "style"
    """luminance keeps the photograph's colours and takes only light and dark from the painting; histogram, cholesky, pca and symmetric put its colours' distribution on the picture."""
    strength: float = 1.0
    """Share of the painting in the picture; the rest is the photograph."""
    tile: int | None = None
    """Rows of a band, 16 or more: a photograph is painted in bands, with little memory, to the same picture as in one piece. 0 paints in one piece. By default bands are used on a CPU, where they are faster too, and elsewhere above 4 megapixels."""
    format: Literal["png", "jpg", "webp", "tiff"] = "png"
    """Of the pictures in a folder."""
    bits: int = 8
    """Bits a channel: 8, or 16 for .png and .tiff."""
    quality: int = 95
    """Of .jpg and .webp, 1 to 100."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """No progress display."""
    compilation_cache: bool = True
    """Keep compiled programs in the user's cache, so that the next run starts sooner."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Write a trained generator as one portable program (StableHLO), weights inside, that needs only JAX to run.

    JAX reads it with jax.export.deserialize, on CPU, CUDA and TPU; nstjax.inference.load_exported does so too. The file OUT.json beside it says what goes in and comes out.
    """

    model: Annotated[str | None, arg(aliases=["-m"], metavar="NAME|FOLDER")] = None
    """The generator: an installed one's name (see nstjax stylize --list), a checkpoint's folder, or a training run's."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT.stablehlo")] = None
    """The file."""
    size: Annotated[tuple[int, int] | None, arg(metavar="HEIGHT WIDTH")] = None
    """Fix the photograph's size; by default the program takes every size."""
    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """Nothing but errors."""
