"""Computes rows of a generator's arrays from the rows on which they depend.

If a convolution reads rows outside the image, these rows are fetched from a stored array by the rule of its
padding (the row that a border reflects, for example) instead of padded on the device, wherever the result is the
same. All bands of an array then share one program.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.generators.plan import GeneratorPlan, LayerStep, RowWindow, window
from nstjax.generators.steps import apply_step, fast_convolve
from nstjax.inference.moments import deviations
from nstjax.nn import winograd

Beyond: TypeAlias = Literal["wrap", "reflect", "edge"]
_OF_PADDING: dict[str, Beyond] = {"circular": "wrap", "reflect": "reflect", "zeros": "edge"}
_POINTWISE = {"center", "concat", "norm", "scale", "relu", "add"}


@dataclasses.dataclass(frozen=True)
class Part:
    """A step on a band. It is hashable, and equal for all bands that share a program.

    Attributes:
        step: the step, with a number instead of its name, so that equal blocks of a network share a program.
        cuts: for each source, the first row and the number of rows to read, relative to the rows that are
            present.
        rows: see :func:`nstjax.generators.plan.window`; without its position in the image.
        columns: the window of all columns.
        masked: True if rows outside the image must be zeros.
    """

    step: LayerStep
    cuts: tuple[tuple[int, int], ...]
    rows: RowWindow
    columns: RowWindow
    masked: bool


@dataclasses.dataclass(frozen=True)
class Read:
    """The rows ``[start, stop)`` of a stored array, and the rule for rows outside of it.

    Attributes:
        name: name of the array.
        start: first row; it may be negative.
        stop: one after the last row; it may be greater than the number of rows.
        beyond: rule for rows outside of the array, as for ``np.pad``; None if there are none.
    """

    name: str
    start: int
    stop: int
    beyond: Beyond | None


@dataclasses.dataclass(frozen=True)
class Band:
    """The computation of a band.

    Attributes:
        reads: the rows of stored arrays that it needs.
        names: the names of its steps, which select their weights and statistics.
        parts: its steps, for which a program is compiled.
        masks: for each step with ``masked``, ``(rows,)`` float32 of 0 and 1; None for all others.
    """

    reads: tuple[Read, ...]
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    masks: tuple[np.ndarray | None, ...]


def fetched(whole: np.ndarray, read: Read) -> np.ndarray:
    """Return the rows of a stored array that a band reads.

    Args:
        whole: the array, ``(h, w, c)``.
        read: the rows. Rows outside of the array are filled by its rule, as ``np.pad`` fills them.

    Returns:
        ``(stop − start, w, c)``.
    """
    size = len(whole)
    if read.start >= 0 and read.stop <= size:
        return whole[read.start : read.stop]
    assert read.beyond is not None
    rows = np.arange(read.start, read.stop)
    if read.beyond == "wrap":
        rows %= size
    elif read.beyond == "edge":
        rows = rows.clip(0, size - 1)
    else:
        period = max(1, 2 * (size - 1))
        rows %= period
        rows = np.where(rows < size, rows, period - rows)
    return whole[rows]


def _fetchable(step: LayerStep, by_name: Mapping[str, LayerStep], kept: Collection[str]) -> bool:
    """Return True if values that a convolution reads outside the image can be fetched instead of padded.

    This is possible if there are only pointwise operations between the convolution and stored arrays. Reflection
    by one row also passes through nearest-neighbor upsampling, where it becomes repetition of the edge.
    """
    if step.op != "conv" or step.padding == "circular":
        return step.op == "conv"
    if step.upsampling is not None:
        return False
    names = list(step.sources)
    while names:
        name = names.pop()
        if name in kept or name not in by_name:
            continue
        source = by_name[name]
        if source.op not in _POINTWISE and not (source.op == "upsample" and step.kernel <= 3):
            return False
        names += source.sources
    return True


def _unclipped(step: LayerStep, start: int, stop: int) -> RowWindow:
    """Return the window of rows that a convolution reads, including rows outside the image."""
    low, high = start * step.stride - step.kernel // 2, (stop - 1) * step.stride + step.kernel // 2 + 1
    return RowWindow(low, high, 0, high - low, 0, 0, 0, stop - start)


def trace(
    plan: GeneratorPlan, kept: Collection[str], target: str, start: int, stop: int, height: int, width: int
) -> Band:
    """Return the computation of rows ``[start, stop)`` of an array from stored arrays.

    Args:
        plan: the generator's plan.
        kept: names of the stored arrays, including the inputs.
        target: name of the array to compute.
        start: first row.
        stop: one after the last row.
        height: height of the image in pixels, padded to the plan's multiple.
        width: width of the image in pixels, padded to the plan's multiple.
    """
    by_name = {step.name: step for step in plan.steps}
    level = plan.levels()
    wanted: dict[str, tuple[int, int]] = {target: (start, stop)}
    beyond: dict[str, Beyond] = {}
    made: list[tuple[LayerStep, RowWindow, RowWindow, bool]] = []
    for step in reversed(plan.steps):
        if step.name not in wanted or step.name in kept:
            continue
        source = level[step.sources[0]]
        fetch = _fetchable(step, by_name, kept)
        here = wanted[step.name]
        rows = _unclipped(step, *here) if fetch else window(step, *here, height >> source)
        columns = window(step, 0, width >> step.level, width >> source)
        rule = _OF_PADDING[step.padding] if fetch else beyond.get(step.name)
        if step.op == "upsample" and rule == "reflect":
            rule = "edge"
        made.append((step, rows, columns, fetch and step.padding == "zeros" and step.kernel > 1))
        for name in step.sources:
            low, high = wanted.get(name, (rows.start, rows.stop))
            wanted[name] = (min(low, rows.start), max(high, rows.stop))
            if rule is not None:
                beyond[name] = rule
    made.reverse()
    names = tuple(step.name for step, *_ in made)
    reads = tuple(Read(name, *span, beyond.get(name)) for name, span in wanted.items() if name not in names)
    number = {name: str(i) for i, name in enumerate([*(read.name for read in reads), *names])}
    parts, masks = list[Part](), list[np.ndarray | None]()
    for step, rows, columns, masked in made:
        anonymous = dataclasses.replace(
            step, name=number[step.name], sources=tuple(number[name] for name in step.sources)
        )
        cuts = tuple((rows.start - wanted[name][0], rows.stop - rows.start) for name in step.sources)
        parts.append(Part(anonymous, cuts, dataclasses.replace(rows, start=0, stop=0), columns, masked))
        read = np.arange(rows.start, rows.stop)
        inside = (read >= 0) & (read < height >> level[step.sources[0]])
        masks.append(inside.astype(np.float32) if masked else None)
    return Band(reads, names, tuple(parts), tuple(masks))


class PartOptions(NamedTuple):
    """What is constant in the program of :func:`run_part`.

    Attributes:
        parts: the steps, ``Band.parts``.
        array: return the band.
        measured: return the band's :func:`~nstjax.inference.moments.deviations`.
        dtype: name of the dtype of the arithmetic.
    """

    parts: tuple[Part, ...]
    array: bool
    measured: bool
    dtype: str


@partial(jax.jit, static_argnums=5)
def run_part(
    sources: Sequence[Array],
    weights: Sequence[Mapping[str, Any]],
    statistics: Sequence[tuple[Array, Array] | None],
    masks: Sequence[Array | None],
    skip: Array,
    options: PartOptions,
) -> tuple[Array | None, tuple[Array, Array] | None]:
    """Compute a band.

    Args:
        sources: the rows of ``Band.reads``, ``(1, rows, w, c)`` each.
        weights: for each step, its weights by parameter.
        statistics: for each norm step, means and variances, ``(1, 1, 1, c)`` each; None for all others.
        masks: the masks, ``Band.masks``.
        skip: number of rows at the beginning that are not measured, int32.
        options: constants.

    Returns:
        The band, ``(1, rows, w, c)``, or None; and its deviations, or None.
    """
    dtype = jnp.dtype(options.dtype)
    inner = winograd.winograd_convolve if jax.default_backend() == "cpu" else fast_convolve
    known = {str(i): source.astype(dtype) for i, source in enumerate(sources)}
    result = known["0"]
    for part, own, of_norm, mask in zip(options.parts, weights, statistics, masks, strict=True):
        cut = [
            known[name][:, first : first + rows]
            for name, (first, rows) in zip(part.step.sources, part.cuts, strict=True)
        ]
        if mask is not None:
            cut = [cut[0] * mask.astype(dtype)[:, None, None]]
        result = apply_step(part.step, own, cut, of_norm, part.rows, part.columns, inner)
        known[part.step.name] = result
    as_float = result.astype(jnp.promote_types(result.dtype, jnp.float32))
    return (result if options.array else None), (deviations(as_float, skip) if options.measured else None)
