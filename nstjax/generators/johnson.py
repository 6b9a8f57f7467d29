"""The image transformation network of Johnson et al. (2016, arXiv 1603.08155, and its supplement, table 1)."""

import dataclasses
from typing import Literal

from nstjax.errors import InputError, check_choices
from nstjax.generators.plan import (
    GeneratorPlan,
    LayerStep,
    NormKind,
    OutputKind,
    Upsampling,
)

_KERNELS = (9, 3, 3)  # of the convolutions on the way down


@dataclasses.dataclass(frozen=True)
class JohnsonConfig:
    """The network; the defaults are report 004's last one (chapter 4).

    Attributes:
        norm: ``"batch"`` as the paper, or ``"instance"`` (Ulyanov et al. 2016, arXiv 1607.08022); with a factor
            and an offset for each channel either way.
        upsampling: ``"transposed"`` convolution as the paper, or ``"nearest"`` or ``"bilinear"`` upsampling
            followed by a convolution (Odena et al. 2016), which leaves no checkerboard.
        padding: ``"reflect"`` or ``"zeros"``, at every convolution but the transposed ones, which have none. (The
            paper pads its input by 40 pixels and not inside the residual blocks; that is not here.)
        output: ``"tanh"``, 0.5 + 150/255·tanh; ``"linear"``, 0.5 + the last convolution. ``"tanh"`` is the released
            code (fast-neural-style, ``tanh_constant`` 150), which adds 150·tanh to the mean colour in units of 0 to 255;
            the constant offset here is mid-grey. The paper (section 3.1) instead has "a scaled tanh" whose range is
            [0, 255], 0.5 + 0.5·tanh here. The default is the code's: at black and white its tanh still has a slope of
            0.28, where the paper's has none.
        width: factor on the numbers of filters, 32, 64 and 128 in the paper.
        residual_blocks: the paper's 5.
        last_kernel: side of the last convolution, 9 or 3. The default is 9, as in Johnson et al. (supplement, table 1)
            and their code, and in every checkpoint so far; report 004, table 3.1, has 3.
    """

    norm: NormKind = "instance"
    upsampling: Upsampling = "bilinear"
    padding: Literal["reflect", "zeros"] = "reflect"
    output: OutputKind = "tanh"
    width: float = 1.0
    residual_blocks: int = 5
    last_kernel: int = 9

    @property
    def content(self) -> bool:
        """True: the network stylizes photographs."""
        return True

    def __post_init__(self) -> None:
        check_choices(self, output="generator.output")
        if not 1 / 32 <= self.width <= 16:
            raise InputError(f"`width` is {self.width}: it must be between 1/32 and 16, and 1 is the paper's")
        if not 0 <= self.residual_blocks <= 100:
            raise InputError(f"`residual_blocks` is {self.residual_blocks}: it must be between 0 and 100")
        if self.last_kernel not in (3, 9):
            raise InputError(
                f"`last_kernel` is {self.last_kernel}: it must be 9 (Johnson et al.) or 3 (report 004)"
            )

    def plan(self) -> GeneratorPlan:
        """The network's steps."""
        return johnson_plan(self)


def johnson_plan(config: JohnsonConfig) -> GeneratorPlan:
    """Report 004, table 3.1, as steps; its last row's 3×3 convolution only where ``last_kernel`` is 3."""
    steps = [LayerStep("centred", "center", ("image",), 3, 0)]

    def conv(name: str, channels: int, level: int, **options: object) -> None:
        source = steps[-1].name
        steps.append(LayerStep(name, "conv", (source,), channels, level, padding=config.padding, **options))  # type: ignore[arg-type]

    def norm(relu: bool = True) -> None:
        last = steps[-1]
        steps.append(LayerStep(f"{last.name}_norm", "norm", (last.name,), last.channels, last.level))
        if relu:
            steps.append(
                LayerStep(f"{last.name}_relu", "relu", (f"{last.name}_norm",), last.channels, last.level)
            )

    filters = [max(1, round(config.width * n)) for n in (32, 64, 128)]
    for level, (kernel, channels) in enumerate(zip(_KERNELS, filters, strict=True)):
        conv(f"down{level}", channels, level, kernel=kernel, stride=2 if level else 1)
        norm()
    for block in range(config.residual_blocks):
        into = steps[-1].name
        conv(f"block{block}_conv0", filters[2], 2, kernel=3)
        norm()
        conv(f"block{block}_conv1", filters[2], 2, kernel=3)
        norm(relu=False)
        steps.append(LayerStep(f"block{block}", "add", (into, steps[-1].name), filters[2], 2))
    for level in (1, 0):
        conv(f"up{level}", filters[level], level, kernel=3, upsampling=config.upsampling)
        norm()
    conv("last", 3, 0, kernel=config.last_kernel, bias=True)
    steps.append(LayerStep("picture", "picture", ("last",), 3, 0, output=config.output))
    return GeneratorPlan(tuple(steps), (("image", 3),), 4, config.norm)
