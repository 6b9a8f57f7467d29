"""Bands: some rows of one of a generator's arrays, computed from the rows of others that they depend on."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from nstjax.generators.plan import Plan, Step, Window, window
from nstjax.generators.steps import apply_step
from nstjax.inference.moments import deviations


@dataclasses.dataclass(frozen=True)
class Part:
    """A step on a band: hashable, and the same for all bands whose programs are.

    Attributes:
        step: under a number instead of its name, so that equal blocks of a network share a program.
        cuts: first row and number of rows that it takes of what is there of each source.
        rows: see :func:`nstjax.generators.plan.window`; without its place in the picture.
        columns: of the whole width.
    """

    step: Step
    cuts: tuple[tuple[int, int], ...]
    rows: Window
    columns: Window


@dataclasses.dataclass(frozen=True)
class Band:
    """How to compute a band.

    Attributes:
        reads: name, first row and end of what it wants of the arrays that are kept; rows outside of the picture are
            those of the opposite border (circular padding).
        names: of the steps, for their weights and statistics.
        parts: what a program is compiled for.
    """

    reads: tuple[tuple[str, int, int], ...]
    names: tuple[str, ...]
    parts: tuple[Part, ...]


def _rows(step: Step, start: int, stop: int, size: int) -> Window:
    """:func:`window`, but circular padding is no padding: rows are taken as if the picture went on for ever."""
    if step.op == "conv" and step.padding == "circular":
        half = step.kernel // 2
        low, high = start * step.stride - half, (stop - 1) * step.stride + half + 1
        return Window(low, high, 0, high - low, 0, 0, 0, stop - start)
    return window(step, start, stop, size)


def trace(
    plan: Plan, kept: Collection[str], target: str, start: int, stop: int, height: int, width: int
) -> Band:
    """What rows ``[start, stop)`` of an array are made of, back to arrays that are kept.

    Args:
        plan: of the generator.
        kept: names of the arrays that are at hand; inputs always are.
        target: name of the array wanted; computed though it be kept.
        start: first row.
        stop: after the last row.
        height: of the picture, padded to the plan's multiple.
        width: likewise.
    """
    level = {name: 0 if name == "image" else int(name.removeprefix("noise")) for name, _ in plan.inputs}
    level |= {step.name: step.level for step in plan.steps}
    wanted: dict[str, tuple[int, int]] = {target: (start, stop)}
    made: list[tuple[Step, Window, Window]] = []
    for step in reversed(plan.steps):
        if step.name not in wanted or (step.name in kept and step.name != target):
            continue
        source = level[step.sources[0]]
        rows = _rows(step, *wanted[step.name], height >> source)
        made.append((step, rows, window(step, 0, width >> step.level, width >> source)))
        for name in step.sources:
            low, high = wanted.get(name, (rows.start, rows.stop))
            wanted[name] = (min(low, rows.start), max(high, rows.stop))
    made.reverse()
    names = tuple(step.name for step, _, _ in made)
    reads = tuple((name, *span) for name, span in wanted.items() if name not in names)
    number = {name: str(i) for i, name in enumerate([*(read[0] for read in reads), *names])}
    parts = tuple(
        Part(
            dataclasses.replace(
                step, name=number[step.name], sources=tuple(number[name] for name in step.sources)
            ),
            tuple((rows.start - wanted[name][0], rows.stop - rows.start) for name in step.sources),
            dataclasses.replace(rows, start=0, stop=0),
            columns,
        )
        for step, rows, columns in made
    )
    return Band(reads, names, parts)


@partial(jax.jit, static_argnames=("parts", "array", "statistics_too", "dtype"))
def run(
    parts: tuple[Part, ...],
    sources: Sequence[Array],
    weights: Sequence[Mapping[str, Any]],
    statistics: Sequence[tuple[Array, Array] | None],
    array: bool,
    statistics_too: bool,
    dtype: DTypeLike,
) -> tuple[Array | None, tuple[Array, Array] | None]:
    """Compute a band.

    Args:
        parts: of :class:`Band`.
        sources: its reads, ``(1, rows, w, c)`` each.
        weights: of its steps, by parameter.
        statistics: of its norm steps: means and variances, ``(1, 1, 1, c)``; else None.
        array: whether the band is wanted.
        statistics_too: whether its :func:`~nstjax.inference.moments.deviations` are.
        dtype: of the arithmetic.
    """
    at_hand = {str(i): source.astype(dtype) for i, source in enumerate(sources)}
    result = at_hand["0"]
    for part, own, of_norm in zip(parts, weights, statistics, strict=True):
        cut = [
            at_hand[name][:, first : first + rows]
            for name, (first, rows) in zip(part.step.sources, part.cuts, strict=True)
        ]
        result = apply_step(part.step, own, cut, of_norm, part.rows, part.columns)
        at_hand[part.step.name] = result
    as_float = result.astype(jnp.promote_types(result.dtype, jnp.float32))
    return (result if array else None), (deviations(as_float) if statistics_too else None)
