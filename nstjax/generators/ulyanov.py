"""The texture network of Ulyanov et al. (2016, arXiv 1603.03417), as report 000 describes it (section 2.4)."""

import dataclasses

import jax
from jax import Array

from nstjax.errors import InputError, check_choices
from nstjax.generators.plan import GeneratorPadding, GeneratorPlan, LayerStep, NormKind, OutputKind

NOISE = 3  # channels
SLOPE = 0.1  # of the leaky ReLU


@dataclasses.dataclass(frozen=True)
class UlyanovConfig:
    """The network; the defaults are report 000's for stylisation.

    Attributes:
        norm: ``"batch"`` as paper and report, or ``"instance"`` (Ulyanov et al. 2016, arXiv 1607.08022).
        padding: ``"zeros"`` as the report, ``"reflect"``, or ``"circular"`` as the paper for textures.
        output: ``"linear"``, 0.5 + the last convolution; ``"tanh"``, 0.5 + 150/255·tanh.
        scales: of the pyramid; report and paper have 6 for stylisation and 5 for textures.
        channels: that each scale brings; 6 scales of 8 end in 48.
        content: whether a photograph goes in beside the noise; without, the network makes a texture.
        join_norm: whether both sides of a concatenation are normalised first, as in the paper (section 4.1); the
            report does not, and the blocks on both sides have normalised already.
    """

    norm: NormKind = "batch"
    padding: GeneratorPadding = "zeros"
    output: OutputKind = "linear"
    scales: int = 6
    channels: int = 8
    content: bool = True
    join_norm: bool = False

    def __post_init__(self) -> None:
        check_choices(self, output="generator.output")
        if not 1 <= self.scales <= 10:
            raise InputError(f"`scales` is {self.scales}: it must be between 1 and 10, and 6 is the paper's")
        if not 1 <= self.channels <= 256:
            raise InputError(
                f"`channels` is {self.channels}: it must be between 1 and 256, and 8 is the paper's"
            )

    def plan(self) -> GeneratorPlan:
        """The network's steps."""
        return ulyanov_plan(self)


def ulyanov_plan(config: UlyanovConfig) -> GeneratorPlan:
    """Report 000, section 2.4, as steps, from the coarsest scale to the finest."""
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

    def normalised(source: str, channels: int, level: int) -> str:
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
            sides = (normalised(fresh, config.channels, level), normalised(up, width, level))
            joined = add(f"join{level}", "concat", sides, width + config.channels, level)
            fresh = block(f"joined{level}", joined, width + config.channels, level)
        before, width = fresh, width + config.channels
    add("last", "conv", (before,), 3, 0, bias=True)
    add("picture", "picture", ("last",), 3, 0, output=config.output)
    inputs = ((("image", 3),) if config.content else ()) + tuple(
        (f"noise{level}", NOISE) for level in range(config.scales)
    )
    return GeneratorPlan(tuple(steps), inputs, 2 ** (config.scales - 1), config.norm)


def pyramid_noise(
    config: UlyanovConfig, keys: Array, height: int, width: int, scale: float | Array
) -> tuple[Array, ...]:
    """U[0, scale] at every scale, each image's from its own key; see :func:`nstjax.generators.draw_noise`."""
    multiple = 2 ** (config.scales - 1)
    h, w = -(-height // multiple) * multiple, -(-width // multiple) * multiple

    def one(key: Array) -> tuple[Array, ...]:
        levels = range(config.scales)
        return tuple(
            scale * jax.random.uniform(jax.random.fold_in(key, k), (h // 2**k, w // 2**k, NOISE))
            for k in levels
        )

    return jax.vmap(one)(keys)
