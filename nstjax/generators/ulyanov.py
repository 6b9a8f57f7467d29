"""The texture network of Ulyanov et al. (2016, arXiv 1603.03417), as in section 2.4 of the Duke report."""

import dataclasses

from nstjax.errors import InputError, check_choices
from nstjax.generators.plan import (
    GeneratorPadding,
    GeneratorPlan,
    LayerStep,
    NormKind,
    OutputKind,
    check_styles,
)

NOISE = 3  # channels of each noise input
SLOPE = 0.1  # slope of the leaky ReLU for negative values


@dataclasses.dataclass(frozen=True)
class UlyanovConfig:
    """Settings of Ulyanov's network. The defaults are those of the Duke report for stylization.

    Attributes:
        norm: ``"batch"`` as in the paper and the report, or ``"instance"`` (Ulyanov et al. 2016, arXiv
            1607.08022).
        padding: ``"zeros"`` as in the report, ``"reflect"``, or ``"circular"`` as in the paper for textures.
        output: ``"linear"``, 0.5 + the last convolution, or ``"tanh"``, 0.5 + 150/255·tanh.
        scales: number of scales of the pyramid, 1 to 10; report and paper have 6 for stylization and 5 for
            textures.
        channels: number of channels that each scale adds, 1 to 256; with 6 scales of 8, the last block has
            48.
        content: whether the network takes a photograph as input besides the noise. If not, it makes textures.
        join_norm: whether both inputs of a concatenation are normalized first, as in the paper (section 4.1).
            The report does not do this; both inputs come from blocks that already end in a normalization and
            a ReLU.
        styles: number of styles, 1 to 256; see :class:`~nstjax.generators.johnson.JohnsonConfig`.

    Raises:
        InputError: If a field is outside its range.
    """

    norm: NormKind = "batch"
    padding: GeneratorPadding = "zeros"
    output: OutputKind = "linear"
    scales: int = 6
    channels: int = 8
    content: bool = True
    join_norm: bool = False
    styles: int = 1

    def __post_init__(self) -> None:
        check_choices(self, output="generator.output")
        if not 1 <= self.scales <= 10:
            raise InputError(f"`scales` is {self.scales}: it must be between 1 and 10, and 6 is the paper's")
        if not 1 <= self.channels <= 256:
            raise InputError(
                f"`channels` is {self.channels}: it must be between 1 and 256, and 8 is the paper's"
            )
        check_styles(self.styles, self.norm)

    def plan(self) -> GeneratorPlan:
        """Return the steps of the network."""
        return ulyanov_plan(self)


def ulyanov_plan(config: UlyanovConfig) -> GeneratorPlan:
    """Return the steps of Ulyanov's network, from the coarsest scale to the finest.

    The network is that of the Duke report, section 2.4.
    """
    steps: list[LayerStep] = []

    def add(
        name: str, op: str, sources: tuple[str, ...], channels: int, level: int, **options: object
    ) -> str:
        steps.append(LayerStep(name, op, sources, channels, level, **options))  # type: ignore[arg-type]
        return name

    def block(name: str, source: str, channels: int, level: int) -> str:
        for i, kernel in enumerate((3, 3, 1)):
            conv = f"{name}_conv{i}"
            add(conv, "conv", (source,), channels, level, kernel=kernel, padding=config.padding)
            add(f"{conv}_norm", "norm", (conv,), channels, level)
            source = add(f"{conv}_relu", "relu", (f"{conv}_norm",), channels, level, slope=SLOPE)
        return source

    def normalized(source: str, channels: int, level: int) -> str:
        if not config.join_norm:
            return source
        return add(f"{source}_join_norm", "norm", (source,), channels, level)

    if config.content:
        add("centred", "center", ("image",), 3, 0)
    before, width = "", 0
    for level in reversed(range(config.scales)):
        source = f"noise{level}"
        if config.content:
            photo = "centred" if level == 0 else f"pooled{level}"
            if level:
                add(photo, "pool", ("centred",), 3, level, stride=2**level)
            source = add(f"input{level}", "concat", (photo, source), 3 + NOISE, level)
        fresh = block(f"scale{level}", source, config.channels, level)
        if before:
            up = add(f"up{level}", "upsample", (before,), width, level)
            sides = (normalized(fresh, config.channels, level), normalized(up, width, level))
            joined = add(f"join{level}", "concat", sides, width + config.channels, level)
            fresh = block(f"joined{level}", joined, width + config.channels, level)
        before, width = fresh, width + config.channels
    add("last", "conv", (before,), 3, 0, bias=True)
    add("picture", "picture", ("last",), 3, 0, output=config.output)
    inputs = ((("image", 3),) if config.content else ()) + tuple(
        (f"noise{level}", NOISE) for level in range(config.scales)
    )
    return GeneratorPlan(tuple(steps), inputs, 2 ** (config.scales - 1), config.norm, config.styles)
