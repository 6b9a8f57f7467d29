"""The commands that make a picture: their options, defaults, and what a run record keeps of them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from tyro.conf import Positional, arg

from nstjax.cli.options import RunOptions, shared_defaults
from nstjax.errors import InputError
from nstjax.images.mask_spec import parse_mask
from nstjax.synthesis import PRESETS, RECONSTRUCT, TEXTURE, TransferConfig


@dataclasses.dataclass(frozen=True)
class StyleOptions(RunOptions):
    """What is common to the commands that take paintings."""

    preset: str = "default"
    """Settings to start from: default, fast, gatys, gatys-code, crowson, duke, brown, ahmedabad or stanford; other
    options change them."""
    style_weights: tuple[float, ...] = ()
    """Several STYLEs: the share of each in their blend; none given means equal ones."""
    fine_style: Annotated[Path | None, arg(metavar="FILE")] = None
    """A painting whose fine texture replaces that of every STYLE, whose larger shapes stay."""


@dataclasses.dataclass(frozen=True)
class TransferOptions(StyleOptions):
    """Paint CONTENT (a photograph, or a folder of them) in the manner of STYLE (one painting, or several)."""

    content: Positional[Annotated[Path | None, arg(metavar="CONTENT")]] = None
    """The photograph, or a folder: every photograph in it is done, and OUT is a folder."""
    styles: Positional[Annotated[tuple[Path, ...], arg(metavar="STYLE")]] = ()
    """The painting. Several are blended, or go to one mask each."""
    masks: Annotated[tuple[str, ...], arg(metavar="MASK")] = ()
    """Regions of the photograph, one MASK each: a grey image FILE (white is inside), FILE#RRGGBB (a colour of it),
    labels:FILE (a region for every colour), box:LEFT,TOP,RIGHT,BOTTOM (fractions), brighter:V, darker:V (of the
    photograph), not:MASK, all, or rest (what the others leave)."""
    style_masks: Annotated[tuple[str, ...], arg(metavar="MASK")] = ()
    """For each region the part of its painting that counts, as for --masks; none given means all."""
    style_regions: tuple[int, ...] = ()
    """The region, from 1, of each STYLE, where they are more than the regions; those of one are blended."""
    region_weights: tuple[float, ...] = ()
    """A factor on the style loss of each region; none given means 1."""
    strength_grid: tuple[float, ...] = ()
    """A picture for each of these --style-strength values, beside OUT, which becomes a sheet of them."""


@dataclasses.dataclass(frozen=True)
class TextureOptions(StyleOptions):
    """Make a texture, of any size, with the statistics of STYLE and nothing of its arrangement."""

    styles: Positional[Annotated[tuple[Path, ...], arg(metavar="STYLE")]] = ()
    """The exemplar. Several are blended."""
    proportions: tuple[int, int] = (1, 1)
    """Width and height of the texture, whose longer side is --size."""


@dataclasses.dataclass(frozen=True)
class ReconstructOptions(RunOptions):
    """Show what layers keep of IMAGE: rebuild it from noise by its activations, or by its statistics, alone."""

    image: Positional[Annotated[Path | None, arg(metavar="IMAGE")]] = None
    """The image."""
    content_layer: str | None = None
    """The layer to invert; the same as --content-layers with one layer. With --style-layers alone there is none."""


Options = TransferOptions | TextureOptions | ReconstructOptions
COMMANDS: dict[str, type[Options]] = {
    "transfer": TransferOptions,
    "texture": TextureOptions,
    "reconstruct": ReconstructOptions,
}
USAGE = {
    "transfer": "nstjax transfer CONTENT STYLE -o OUT",
    "texture": "nstjax texture STYLE -o OUT",
    "reconstruct": "nstjax reconstruct IMAGE -o OUT",
}
# What a command's losses have no use for; given, it would be believed to do something.
_CONTENT = (
    "--content-layers",
    "--content-weight",
    "--content-layer-weights",
    "--content-loss",
    "--content-distance",
)
_CONTROLS = (
    "--colors",
    "--colors-of",
    "--style-strength",
    "--mask-carry",
    "--style-mask-carry",
    "--guidance",
)
FOREIGN: dict[str, tuple[str, ...]] = {
    "transfer": (),
    "texture": (*_CONTENT, *_CONTROLS),
    "reconstruct": (*_CONTROLS, "--blend"),
}


class Sources(TypedDict, total=False):
    """How the images are put together, in a run record: options of these names."""

    style_weights: tuple[float, ...]
    masks: tuple[str, ...]
    style_masks: tuple[str, ...]
    style_regions: tuple[int, ...]
    region_weights: tuple[float, ...]
    proportions: tuple[int, int]


def name_of(options: Options) -> str:
    """The command's name."""
    return next(name for name, kind in COMMANDS.items() if kind is type(options))


def base_config(command: str, preset: str | None) -> TransferConfig:
    """The settings that a command, with a preset, starts from.

    Raises:
        InputError: there is no preset of that name.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset {preset!r} does not exist: the presets are {', '.join(PRESETS)}")
    if command == "reconstruct":
        return RECONSTRUCT
    if command == "transfer":
        return PRESETS[preset or "default"]
    if preset in (None, "default"):
        return TEXTURE
    base = PRESETS[preset]
    if base.objective == PRESETS["default"].objective:
        return dataclasses.replace(base, init="noise", objective=TEXTURE.objective)
    objective = dataclasses.replace(base.objective, content_weight=0.0)
    return dataclasses.replace(base, init="noise", objective=objective)


def default_options(command: str, base: TransferConfig) -> Options:
    """The options that a preset or a run record stands for."""
    return COMMANDS[command](**shared_defaults(base))


def _with_path(spec: str, path: Callable[[Path], str]) -> str:
    """A mask's description with its file's path written otherwise."""
    item = parse_mask(spec)
    if item.file is None:
        return spec
    color = f"#{item.color:06x}" if item.kind == "color" else ""
    kind = "labels:" if item.kind == "labels" else ""
    return f"{'not:' if item.inverted else ''}{kind}{path(item.file)}{color}"


def to_sources(options: Options, paths: bool = True) -> dict[str, Any]:
    """What a run record keeps beside config and inputs: how the images are put together.

    Masks' files are named by absolute paths; without ``paths`` by their names alone.
    """
    found = {name: list(getattr(options, name)) for name in Sources.__annotations__ if hasattr(options, name)}
    for name in ("masks", "style_masks"):
        if name in found:
            write = (lambda path: str(path.absolute())) if paths else (lambda path: path.name)
            found[name] = [_with_path(spec, write) for spec in found[name]]
    return found


def from_sources(options: Options, sources: Sources) -> Options:
    """The inverse of :func:`to_sources`."""
    known: dict[str, Any] = {name: value for name, value in sources.items() if hasattr(options, name)}
    return dataclasses.replace(options, **known)


def styles_of(options: Options) -> tuple[Path, ...]:
    """The paintings."""
    if isinstance(options, ReconstructOptions):
        return ()
    return options.styles


def content_of(options: Options) -> Path | None:
    """The photograph, the folder of photographs, or the image to reconstruct."""
    if isinstance(options, TextureOptions):
        return None
    return options.content if isinstance(options, TransferOptions) else options.image
