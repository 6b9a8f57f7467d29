"""The image transformation network of Johnson et al. (2016, arXiv 1603.08155, and its supplement, table 1)."""

import dataclasses
from typing import Literal

from nstjax.errors import InputError, check_choices, within
from nstjax.generators.plan import (
    GeneratorPlan,
    LayerStep,
    NormKind,
    OutputKind,
    Upsampling,
    check_styles,
)


@dataclasses.dataclass(frozen=True)
class JohnsonConfig:
    """Settings of Johnson's network.

    The defaults, except ``last_kernel``, are those of the Pomona thesis's last network (Barnes 2018,
    chapter 4).

    Attributes:
        norm: ``"batch"`` as in the paper, or ``"instance"`` (Ulyanov et al. 2016, arXiv 1607.08022). Both
            have a scale and a bias for each channel.
        upsampling: ``"transposed"`` convolutions as in the paper, or ``"nearest"`` or ``"bilinear"``
            upsampling followed by a convolution (Odena et al. 2016), which avoids checkerboard artifacts.
        padding: ``"reflect"`` or ``"zeros"``, for all convolutions except the transposed ones, which have
            none. (The paper instead pads its input by 40 pixels and does not pad inside the residual blocks.
            That is not implemented.)
        output: ``"tanh"``, 0.5 + 150/255·tanh, or ``"linear"``, 0.5 + the last convolution. ``"tanh"``
            follows the released code (fast-neural-style, ``tanh_constant`` 150), which adds 150·tanh to the
            mean color in units of 0 to 255; here the constant is mid-gray. The paper (section 3.1) instead
            has "a scaled tanh" with range [0, 255], which would be 0.5 + 0.5·tanh here. In the code's form,
            the tanh still has a slope of 0.28 at black and white; in the paper's form it has none.
        width: factor on the numbers of filters, which are 32, 64 and 128 in the paper; 1/32 to 16.
        downsamplings: number of convolutions of stride 2, and of upsamplings, 1 to 5; 2 in the paper. Each
            further one doubles the number of filters and the receptive field of the residual blocks.
        residual_blocks: number of residual blocks, 0 to 100; 5 in the paper.
        skips: after each upsampling, concatenate the array of the same size before the downsampling, and merge both
            with a convolution, as in U-Net (Ronneberger et al. 2015, arXiv 1505.04597). With three or more
            downsamplings the residual blocks alone lose the details of the photograph. Not in the paper.
        noise: number of channels of noise at every level, 0 to 64. They are inputs of the merging convolutions. A flat
            area of the photograph, where all positions are equal, gets strokes from them; without noise it is filled
            with a periodic pattern. Not in the paper; Ulyanov's network has such inputs.
        up_norm: normalize after the upsamplings too, as in the paper. If False, their convolutions are followed by a
            scale and a bias only. An instance normalization fixes the mean square of each channel over the image. A
            deep network then learns to make one small spot very bright, which lets it choose the contrast of the rest
            (Karras et al. 2020, arXiv 1912.04958, section 2, "droplet artifacts").
        last_kernel: kernel size of the last convolution, 9 or 3. The default is 9, as in Johnson et al.
            (supplement, table 1), in their code and in all checkpoints so far. Table 3.1 of the Pomona thesis
            has 3.
        styles: number of styles, 1 to 256. With more than one, each instance normalization has a scale and a
            bias for every style (Dumoulin et al. 2017, arXiv 1610.07629, section 2.2).

    Raises:
        InputError: If a field is outside its range.
    """

    norm: NormKind = "instance"
    upsampling: Upsampling = "bilinear"
    padding: Literal["reflect", "zeros"] = "reflect"
    output: OutputKind = "tanh"
    width: float = 1.0
    downsamplings: int = 2
    residual_blocks: int = 5
    skips: bool = False
    noise: int = 0
    up_norm: bool = True
    last_kernel: int = 9
    styles: int = 1

    @property
    def content(self) -> bool:
        """True: the network takes a photograph as input."""
        return True

    def __post_init__(self) -> None:
        check_choices(self, output="generator.output")
        if not 1 / 32 <= self.width <= 16:
            raise InputError(f"`width` is {self.width}: it must be between 1/32 and 16, and 1 is the paper's")
        within("downsamplings", self.downsamplings, 1, 5)
        if not 0 <= self.residual_blocks <= 100:
            raise InputError(f"`residual_blocks` is {self.residual_blocks}: it must be between 0 and 100")
        within("noise", self.noise, 0, 64)
        if self.last_kernel not in (3, 9):
            raise InputError(
                f"`last_kernel` is {self.last_kernel}: it must be 9 (Johnson et al.) or 3 (the Pomona thesis)"
            )
        check_styles(self.styles, self.norm)

    def plan(self) -> GeneratorPlan:
        """Return the steps of the network."""
        return johnson_plan(self)


def johnson_plan(config: JohnsonConfig) -> GeneratorPlan:
    """Return the steps of Johnson's network: table 3.1 of the Pomona thesis.

    The table's last row is a 3×3 convolution, which applies only where ``last_kernel`` is 3.
    """
    steps = [LayerStep("centred", "center", ("image",), 3, 0)]

    def conv(name: str, channels: int, level: int, **options: object) -> None:
        source = steps[-1].name
        steps.append(LayerStep(name, "conv", (source,), channels, level, padding=config.padding, **options))  # type: ignore[arg-type]

    def norm(relu: bool = True, up: bool = False) -> None:
        last, op = steps[-1], "scale" if up and not config.up_norm else "norm"
        steps.append(LayerStep(f"{last.name}_norm", op, (last.name,), last.channels, last.level))  # type: ignore[arg-type]
        if relu:
            steps.append(
                LayerStep(f"{last.name}_relu", "relu", (f"{last.name}_norm",), last.channels, last.level)
            )

    def merge(level: int, *beside: str, up: bool = True) -> None:
        """Concatenate the last array with others of its level and with the noise, and merge them."""
        sources = (steps[-1].name, *beside, *((f"noise{level}",) if config.noise else ()))
        if len(sources) == 1:
            return
        channels = (1 + len(beside)) * filters[level] + config.noise
        steps.append(LayerStep(f"join{level}", "concat", sources, channels, level))
        conv(f"merge{level}", filters[level], level, kernel=3)
        norm(up=up)

    deepest = config.downsamplings
    filters = [max(1, round(config.width * 32 * 2**level)) for level in range(deepest + 1)]
    for level, channels in enumerate(filters):
        conv(f"down{level}", channels, level, kernel=3 if level else 9, stride=2 if level else 1)
        norm()
    merge(deepest, up=False)
    for block in range(config.residual_blocks):
        into = steps[-1].name
        conv(f"block{block}_conv0", filters[-1], deepest, kernel=3)
        norm()
        conv(f"block{block}_conv1", filters[-1], deepest, kernel=3)
        norm(relu=False)
        steps.append(LayerStep(f"block{block}", "add", (into, steps[-1].name), filters[-1], deepest))
    for level in reversed(range(deepest)):
        conv(f"up{level}", filters[level], level, kernel=3, upsampling=config.upsampling)
        norm(up=True)
        merge(level, *((f"down{level}_relu",) if config.skips else ()))
    conv("last", 3, 0, kernel=config.last_kernel, bias=True)
    steps.append(LayerStep("picture", "picture", ("last",), 3, 0, output=config.output))
    levels = range(deepest + 1) if config.noise else ()
    inputs = (("image", 3), *((f"noise{level}", config.noise) for level in levels))
    return GeneratorPlan(tuple(steps), inputs, 2**deepest, config.norm, config.styles)
