"""A generator as a list of steps, computed by a Flax module for whole pictures, or in tiles.

A :class:`GeneratorPlan` names every array that the network makes, in order, and what it is made of. Nothing here knows
of weights or arrays: :mod:`nstjax.generators.steps` has the arithmetic, :mod:`nstjax.generators.network` the
Flax module.

How a tile executor uses it. To have rows ``[a, b)`` of a step's result, ask :func:`window` which rows of its
source that takes and what is left to pad, cut these rows, and give both to
:func:`nstjax.generators.steps.apply_step`; columns likewise. Walking the steps backwards from a tile of the
output gives the windows of all (the receptive field, without any being written down), walking forwards
computes it. What ``apply_step`` pads is only what lies outside the picture, so that tiles are equal to the same
part of the whole. Steps whose ``op`` is ``"norm"`` are the barriers: they want mean and variance of the whole
of their source (``statistics``), which the executor collects over the tiles by
:func:`nstjax.generators.norm.moments` in one pass up to each such step, or takes from ``batch_stats``.
Arrays that are read after the barrier (the source of the norm, and of the residual additions and
concatenations to come: :meth:`GeneratorPlan.live`) are what it must keep or compute again.
"""

import dataclasses
import math
from typing import Literal, TypeAlias

Op: TypeAlias = Literal["center", "pool", "concat", "conv", "norm", "relu", "add", "upsample", "picture"]
NormKind: TypeAlias = Literal["batch", "instance"]
Upsampling: TypeAlias = Literal["transposed", "nearest", "bilinear"]
GeneratorPadding: TypeAlias = Literal["reflect", "zeros", "circular"]
OutputKind: TypeAlias = Literal["tanh", "linear"]


@dataclasses.dataclass(frozen=True)
class LayerStep:
    """One array and how it is made.

    Attributes:
        name: of the result, and of the step's weights, if it has any (``conv``, ``norm``).
        op: ``center`` (image minus mean), ``pool`` (averages of ``stride × stride``), ``concat`` (channels),
            ``conv``, ``norm``, ``relu`` (leaky by ``slope``), ``add``, ``upsample`` (nearest, by two),
            ``picture`` (the last: to sRGB values).
        sources: names of what it is made of.
        channels: of the result.
        level: the result has the (padded) picture's size over ``2**level``.
        kernel: side of a convolution's kernel.
        stride: of a convolution or of pooling.
        upsampling: what a convolution that doubles the size does first; ``"transposed"``: it is one itself.
        padding: of a convolution.
        bias: whether a convolution has one; not where a norm follows, which would take it away again.
        slope: of a leaky ReLU below 0.
        output: of ``picture``.
    """

    name: str
    op: Op
    sources: tuple[str, ...]
    channels: int
    level: int
    kernel: int = 1
    stride: int = 1
    upsampling: Upsampling | None = None
    padding: GeneratorPadding = "zeros"
    bias: bool = False
    slope: float = 0.0
    output: OutputKind = "linear"


@dataclasses.dataclass(frozen=True)
class GeneratorPlan:
    """Steps in order.

    Attributes:
        steps: every one after those whose results it reads.
        inputs: names and channels of what is given: ``image``, ``noise0``, ``noise1``, …; an input
            ``noise<k>`` has level ``k``.
        multiple: pictures are padded to a multiple of this and the result is cropped.
        norm: of the norm steps.
    """

    steps: tuple[LayerStep, ...]
    inputs: tuple[tuple[str, int], ...]
    multiple: int
    norm: NormKind

    def live(self, index: int) -> set[str]:
        """Names of the arrays, made before step ``index``, that it or later steps read."""
        made = {step.name for step in self.steps[:index]} | {name for name, _ in self.inputs}
        return made & {name for step in self.steps[index:] for name in step.sources}

    def levels(self) -> dict[str, int]:
        """Level of every array by its name: it has the picture's size over ``2**level``."""
        inputs = {name: 0 if name == "image" else int(name.removeprefix("noise")) for name, _ in self.inputs}
        return inputs | {step.name: step.level for step in self.steps}

    def values_per_pixel(self, largest: float = math.inf) -> float:
        """Return how many values are needed at once, at most, for each pixel of the picture.

        Args:
            largest: arrays with more values for each pixel do not count.
        """
        channels, levels = self.channels(), self.levels()
        size = {name: channels[name] / 4 ** levels[name] for name in channels}
        return max(
            sum(size[name] for name in self.live(index) | {step.name} if size[name] <= largest)
            for index, step in enumerate(self.steps)
        )

    def channels(self) -> dict[str, int]:
        """Channels of every array by its name."""
        return dict(self.inputs) | {step.name: step.channels for step in self.steps}


@dataclasses.dataclass(frozen=True)
class RowWindow:
    """The part of its input, along one axis, that a step reads for a part of its result.

    Attributes:
        start: first row of the source.
        stop: one after its last.
        skip: rows to leave out in front, after upsampling where there is any.
        keep: rows to keep then.
        before: rows of padding in front of these: outside of the picture.
        after: likewise behind.
        offset: of the padded rows, those in front that are there only to be reflected.
        length: rows of the result.
    """

    start: int
    stop: int
    skip: int
    keep: int
    before: int
    after: int
    offset: int
    length: int


def window(step: LayerStep, start: int, stop: int, size: int) -> RowWindow:
    """The part of the source that rows (or columns) ``[start, stop)`` of the result are made of.

    Args:
        step: any, but no convolution with circular padding unless the whole is asked for.
        start: of the result.
        stop: of the result.
        size: of the whole source, along this axis.
    """
    length = stop - start
    if step.op == "pool":
        start, stop = start * step.stride, stop * step.stride
        return RowWindow(start, stop, 0, stop - start, 0, 0, 0, length)
    if step.op == "upsample":
        return RowWindow(start // 2, -(-stop // 2), start % 2, length, 0, 0, 0, length)
    if step.op != "conv":
        return RowWindow(start, stop, 0, length, 0, 0, 0, length)
    if step.upsampling == "transposed":
        return RowWindow(start // 2, min(stop // 2 + 1, size), start % 2, length, 0, 0, 0, length)
    half, whole = step.kernel // 2, size * (2 if step.upsampling else 1)
    first, high = start * step.stride - half, (stop - 1) * step.stride + half + 1
    before, after = max(0, -first), max(0, high - whole)
    first = low = max(0, first)
    high = min(high, whole)
    if step.padding == "reflect":  # what is reflected must be there
        high = max(high, min(before + 1, whole)) if before else high
        low = min(low, max(0, whole - after - 1)) if after else low
    inner = (high - low, before, after, first - low, length)
    if step.upsampling is None:
        return RowWindow(low, high, 0, *inner)
    if step.upsampling == "nearest":
        return RowWindow(low // 2, -(-high // 2), low % 2, *inner)
    coarse = max(0, (low - 1) // 2)
    return RowWindow(coarse, min(high // 2 + 1, size), low - 2 * coarse, *inner)
