"""The options of ``nstjax transfer``, ``nstjax texture`` and ``nstjax reconstruct``, and the settings they start from."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg

from nstjax.cli.help import Choices, Layout, Required
from nstjax.cli.job import Arrangement, Sources
from nstjax.cli.options import SYNTHESIS_GROUPS, RunOptions, shared_defaults
from nstjax.errors import InputError
from nstjax.synthesis import PRESETS, RECONSTRUCT, TEXTURE, TransferConfig, VideoConfig
from nstjax.synthesis.presets import PRESET_NOTES

# Options of losses and controls that a command does not have.
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
_STYLE = ("objective.style_statistic", "optimizer.optimizer")
_RUN = ("network.weights", "resume", "from_record", "gif", "plot", "quiet")


@dataclasses.dataclass(frozen=True)
class StyleOptions(RunOptions):
    """Options of the commands that take style images."""

    preset: Annotated[str, arg(metavar="NAME"), Choices(PRESET_NOTES)] = "default"
    """Settings to start from; other options change them."""
    style_weights: tuple[float, ...] = ()
    """Weight of each STYLE in a blend; equal by default."""
    fine_style: Annotated[Path | None, arg(metavar="FILE")] = None
    """A style image for fine textures; STYLE then gives the larger shapes."""


@dataclasses.dataclass(frozen=True)
class TransferOptions(StyleOptions):
    """Stylize a content image, usually a photograph, with one or more style images."""

    usage: ClassVar[tuple[str, ...]] = (
        "CONTENT STYLE [STYLE ...] -o OUT [OPTIONS]",
        "--from RUN.json -o OUT [OPTIONS]",
    )
    layout: ClassVar[Layout] = Layout(
        essential=(
            *("output", "preset", "settings.size", "settings.iterations", "settings.style_strength"),
            *("settings.style_scale", "settings.colors", "style_weights", "masks"),
            *("settings.seed", *_STYLE, *_RUN),
        ),
        groups=SYNTHESIS_GROUPS,
    )

    content: Positional[Annotated[Path | None, arg(metavar="CONTENT"), Required()]] = None
    """The content image, usually a photograph; or a folder of content images, and OUT is then a folder; or a video or GIF, and OUT is then one too."""
    styles: Positional[Annotated[tuple[Path, ...], arg(metavar="STYLE"), Required()]] = ()
    """A style image. Several are blended, or assigned to one mask each."""
    masks: Annotated[tuple[str, ...], arg(metavar="MASK ...")] = ()
    """Regions of the content image: a gray image FILE (white is inside), FILE#RRGGBB (its pixels of one color), labels:FILE (a region for every color), box:LEFT,TOP,RIGHT,BOTTOM (fractions), brighter:V or darker:V (thresholds), not:MASK, all, or rest (everything outside the other regions)."""
    style_masks: Annotated[tuple[str, ...], arg(metavar="MASK ...")] = ()
    """For each region the part of its style image to use, like --masks; all of it by default."""
    style_regions: tuple[int, ...] = ()
    """The region, counted from 1, of each STYLE, if there are more STYLEs than regions; STYLEs of one region are blended."""
    region_weights: tuple[float, ...] = ()
    """Factor on the style loss of each region; 1 by default."""
    strength_grid: tuple[float, ...] = ()
    """Make a result for each of these values of --style-strength; OUT is a sheet of them."""
    cluster: Annotated[str | None, arg(metavar="ADDRESS|local[:N]")] = None
    """For a folder: make the pictures on a Dask cluster. ADDRESS is that of the scheduler, such as tcp://host:8786; local or local:N starts workers on this machine. Implies --resume. Needs the extra cluster."""
    video: VideoConfig = VideoConfig()

    def sources(self) -> Sources:
        """Return the image files and their arrangement."""
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
    """Make a texture of any size with the statistics of STYLE."""

    usage: ClassVar[tuple[str, ...]] = (
        "STYLE [STYLE ...] -o OUT [OPTIONS]",
        "--from RUN.json -o OUT [OPTIONS]",
    )
    layout: ClassVar[Layout] = Layout(
        essential=(
            *("output", "preset", "settings.size", "proportions", "settings.iterations"),
            *("objective.window_weight", "settings.style_scale", "style_weights"),
            *("settings.init", "settings.seed", *_STYLE, *_RUN),
        ),
        groups=SYNTHESIS_GROUPS,
        refused=(*_CONTENT, *_CONTROLS),
        hidden_values={"settings.init": ("content",)},
    )

    styles: Positional[Annotated[tuple[Path, ...], arg(metavar="STYLE"), Required()]] = ()
    """A style image. Several are blended."""
    proportions: Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")] = (1, 1)
    """Width and height of the texture, whose longer side is --size."""

    def sources(self) -> Sources:
        """Return the image files and their arrangement."""
        arrangement = Arrangement(style_weights=self.style_weights, proportions=self.proportions)
        fields = ("style_weights", "proportions")
        return Sources(None, self.styles, self.fine_style, self.init_image, arrangement, fields)


@dataclasses.dataclass(frozen=True)
class ReconstructOptions(RunOptions):
    """Reconstruct IMAGE from noise by its activations, or by the statistics of its activations."""

    usage: ClassVar[tuple[str, ...]] = (
        "IMAGE -o OUT [OPTIONS]",
        "--from RUN.json -o OUT [OPTIONS]",
    )
    layout: ClassVar[Layout] = Layout(
        essential=(
            *("output", "content_layer", "objective.style_layers", "settings.size", "settings.iterations"),
            *("objective.tv_weight", "settings.seed", *_STYLE, *_RUN),
        ),
        groups=SYNTHESIS_GROUPS,
        refused=(*_CONTROLS, "--blend"),
        hidden_values={"settings.init": ("content", "style")},
    )

    image: Positional[Annotated[Path | None, arg(metavar="IMAGE"), Required()]] = None
    """The image to reconstruct."""
    content_layer: str | None = None
    """The layer to invert; short for `content_layers` with one layer; by default relu4_2, or the nearest layer that the weights have. Not used with `style_layers` alone."""

    def sources(self) -> Sources:
        """Return the image file."""
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
        InputError: If the preset does not exist.
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
