"""A generator as a list of steps, which can be computed for whole images or tile by tile.

A :class:`GeneratorPlan` names every array that the network computes, in order, and the arrays it is computed
from. This module has no weights and no arithmetic: see :mod:`nstjax.generators.steps` for the arithmetic and
:mod:`nstjax.generators.network` for the Flax module, which training uses.

A tile executor uses a plan as follows. To compute rows ``[a, b)`` of a step's result, it calls
:func:`window`, which returns the rows of the source that are needed and the padding that remains. It slices
these rows and passes both to :func:`nstjax.generators.steps.apply_step`; columns work the same way. Going
backwards through the steps from a tile of the output gives the windows of all steps, and so the receptive
field; going forwards computes the tile. ``apply_step`` pads only what lies outside the image, so a tile
equals the same part of the whole result.

Steps whose ``op`` is ``"norm"`` are barriers: they need mean and variance of their whole source
(``statistics``). The executor collects these over the tiles with :func:`nstjax.generators.norm.moments`, in
one pass up to each such step, or takes them from ``batch_stats``. It must keep, or compute again, the arrays
that are read after the barrier: the source of the norm, and the sources of later residual additions and
concatenations (:meth:`GeneratorPlan.live`).
"""

import dataclasses
import math
from typing import Literal, TypeAlias

from nstjax.errors import InputError, within

MOST_STYLES = 256

Op: TypeAlias = Literal[
    "center", "pool", "concat", "conv", "norm", "scale", "relu", "add", "upsample", "picture"
]
NormKind: TypeAlias = Literal["batch", "instance"]
Upsampling: TypeAlias = Literal["transposed", "nearest", "bilinear"]
GeneratorPadding: TypeAlias = Literal["reflect", "zeros", "circular"]
OutputKind: TypeAlias = Literal["tanh", "linear"]


@dataclasses.dataclass(frozen=True)
class LayerStep:
    """One array of the network and how it is computed.

    Attributes:
        name: name of the result, and of the step's weights if it has any (``conv``, ``norm``, ``scale``).
        op: the operation: ``center`` (image minus mean), ``pool`` (average of ``stride × stride``),
            ``concat`` (of channels), ``conv``, ``norm``, ``scale`` (scale and bias of a norm without
            normalization), ``relu`` (leaky with ``slope``), ``add``, ``upsample`` (nearest, by 2), ``picture``
            (last step: conversion to sRGB values).
        sources: names of the arrays that the step reads.
        channels: number of channels of the result.
        level: the result has the size of the (padded) image divided by ``2**level``.
        kernel: kernel size of a convolution.
        stride: stride of a convolution or of pooling.
        upsampling: for a convolution that doubles the size: the upsampling before it, or ``"transposed"`` for
            a transposed convolution.
        padding: padding of a convolution.
        bias: whether a convolution has a bias. It has none if a norm step follows, which would cancel it.
        slope: slope of a leaky ReLU for negative values.
        output: activation of the ``picture`` step.
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
    """The steps of a generator, in order.

    Attributes:
        steps: the steps; each comes after the steps whose results it reads.
        inputs: names and numbers of channels of the inputs: ``image``, ``noise0``, ``noise1``, …; the input
            ``noise<k>`` has level ``k``.
        multiple: images are padded to a multiple of this number, and the result is cropped.
        norm: kind of the norm steps.
        styles: number of styles. With more than one, each norm or scale step has a scale and a bias for every
            style.
    """

    steps: tuple[LayerStep, ...]
    inputs: tuple[tuple[str, int], ...]
    multiple: int
    norm: NormKind
    styles: int = 1

    def named(self, op: Op) -> set[str]:
        """Return the names of the steps with an operation."""
        return {step.name for step in self.steps if step.op == op}

    def styled(self) -> set[str]:
        """Return the names of the steps with a scale and a bias, of which each style has its own."""
        return self.named("norm") | self.named("scale")

    def live(self, index: int) -> set[str]:
        """Return the names of the arrays made before step ``index`` that it or a later step reads."""
        made = {step.name for step in self.steps[:index]} | {name for name, _ in self.inputs}
        return made & {name for step in self.steps[index:] for name in step.sources}

    def levels(self) -> dict[str, int]:
        """Return the level of every array by name; its size is that of the image over ``2**level``."""
        inputs = {name: 0 if name == "image" else int(name.removeprefix("noise")) for name, _ in self.inputs}
        return inputs | {step.name: step.level for step in self.steps}

    def values_per_pixel(self, largest: float = math.inf) -> float:
        """Return the largest number of values that exist at the same time, per pixel of the image.

        Args:
            largest: arrays with more values per pixel than this are not counted.
        """
        channels, levels = self.channels(), self.levels()
        size = {name: channels[name] / 4 ** levels[name] for name in channels}
        return max(
            sum(size[name] for name in self.live(index) | {step.name} if size[name] <= largest)
            for index, step in enumerate(self.steps)
        )

    def channels(self) -> dict[str, int]:
        """Return the number of channels of every array by name."""
        return dict(self.inputs) | {step.name: step.channels for step in self.steps}


def check_styles(styles: int, norm: NormKind) -> None:
    """Check a generator's number of styles.

    Raises:
        InputError: If it is outside its range, or the normalization cannot have several styles.
    """
    within("styles", styles, 1, MOST_STYLES)
    if styles > 1 and norm != "instance":
        raise InputError(f"`norm` is {norm}: a generator of several styles needs instance normalization")


@dataclasses.dataclass(frozen=True)
class RowWindow:
    """The part of its source, along one axis, that a step reads to compute a part of its result.

    Attributes:
        start: first row of the source.
        stop: row after the last one.
        skip: number of rows to drop at the start, after any upsampling.
        keep: number of rows to keep after that.
        before: rows of padding before them, for rows outside the image.
        after: rows of padding after them.
        offset: number of padded rows at the start that are there only as the source of the reflection.
        length: number of rows of the result.
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
    """Return the part of the source that is needed for rows (or columns) ``[start, stop)`` of the result.

    Args:
        step: the step. For a convolution with circular padding, the whole result must be requested.
        start: first row of the result.
        stop: row of the result after the last one.
        size: number of rows of the whole source.
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
    if step.padding == "reflect":  # the rows to reflect must be in the window
        high = max(high, min(before + 1, whole)) if before else high
        low = min(low, max(0, whole - after - 1)) if after else low
    inner = (high - low, before, after, first - low, length)
    if step.upsampling is None:
        return RowWindow(low, high, 0, *inner)
    if step.upsampling == "nearest":
        return RowWindow(low // 2, -(-high // 2), low % 2, *inner)
    coarse = max(0, (low - 1) // 2)
    return RowWindow(coarse, min(high // 2 + 1, size), low - 2 * coarse, *inner)
