"""The options of ``nstjax transfer``, ``nstjax texture`` and ``nstjax reconstruct``, and the settings they start from."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nstjax.cli.job import Arrangement, Sources
from nstjax.cli.options import RunOptions, shared_defaults
from nstjax.errors import InputError
from nstjax.synthesis import PRESETS, RECONSTRUCT, TEXTURE, TransferConfig


@dataclasses.dataclass(frozen=True)
class StyleOptions(RunOptions):
    """Options of the commands that take paintings."""

    preset: str = "default"
    """Settings to start from: default, fast, gatys, gatys-code, crowson, duke, brown, ahmedabad or stanford; other
    options change them."""
    style_weights: tuple[float, ...] = ()
    """Several STYLEs: the share of each in their blend; none given means equal ones."""
    fine_style: Annotated[Path | None, arg(metavar="FILE")] = None
    """A painting whose fine texture replaces that of every STYLE, whose larger shapes stay."""


@dataclasses.dataclass(frozen=True)
class TransferOptions(StyleOptions):
    """Stylize CONTENT (a photograph, or a folder of them) with one or more STYLE paintings."""

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

    def sources(self) -> Sources:
        """The image files, and how they go together."""
        fields = ("style_weights", "masks", "style_masks", "style_regions", "region_weights")
        return Sources(
            self.content,
            self.styles,
            self.fine_style,
            self.init_image,
            Arrangement(**{name: getattr(self, name) for name in fields}),
            fields,
            self.strength_grid,
        )


@dataclasses.dataclass(frozen=True)
class TextureOptions(StyleOptions):
    """Make a texture, of any size, with the statistics of STYLE and nothing of its arrangement."""

    styles: Positional[Annotated[tuple[Path, ...], arg(metavar="STYLE")]] = ()
    """The exemplar. Several are blended."""
    proportions: tuple[int, int] = (1, 1)
    """Width and height of the texture, whose longer side is --size."""

    def sources(self) -> Sources:
        """The image files, and how they go together."""
        arrangement = Arrangement(style_weights=self.style_weights, proportions=self.proportions)
        fields = ("style_weights", "proportions")
        return Sources(None, self.styles, self.fine_style, self.init_image, arrangement, fields)


@dataclasses.dataclass(frozen=True)
class ReconstructOptions(RunOptions):
    """Show what layers keep of IMAGE: rebuild it from noise by its activations, or by its statistics, alone."""

    image: Positional[Annotated[Path | None, arg(metavar="IMAGE")]] = None
    """The image."""
    content_layer: str | None = None
    """The layer to invert; the same as --content-layers with one layer. With --style-layers alone there is none."""

    def sources(self) -> Sources:
        """The image file."""
        return Sources(self.image, init_image=self.init_image)


Options = TransferOptions | TextureOptions | ReconstructOptions
COMMANDS: dict[str, type[Options]] = {
    "transfer": TransferOptions,
    "texture": TextureOptions,
    "reconstruct": ReconstructOptions,
}


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
    """A command's options, with the defaults that ``base`` stands for."""
    return COMMANDS[command](**shared_defaults(base))
