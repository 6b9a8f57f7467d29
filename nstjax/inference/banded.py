"""Applies a generator in bands of rows, with the same result as for the whole picture.

A norm needs mean and variance of all of its source before a pixel of its result can be known. So the network is
evaluated one array after another, each of them a band of rows at a time with the rows around that convolutions
reach, and what is normalised is measured over all bands on the way (:mod:`nstjax.inference.moments`). Between the
passes the arrays that norms and residual additions read lie in the host's memory, unnormalised. Those of the
full resolution that are too large are not kept but computed again, normalised, inside the bands of what reads
them: in Johnson's network the first layer's and the last but one's, twice each, for a sixth more work.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from nstjax.generators import GeneratorConfig, Variables
from nstjax.generators.plan import GeneratorPlan, LayerStep
from nstjax.inference.bands import Band, Part, fetched, run_part, trace
from nstjax.inference.moments import ChannelMoments, merge_moments, on_host

KEPT_BYTES = 2**29  # of a full-resolution array; larger ones are computed again
REUSED_BYTES = 2**28  # arrays up to this size are handed on; larger ones make room at once
# XLA computes most of a band in one thread on a CPU; elsewhere one is copied while the next is computed.
AT_ONCE = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class _Executor:
    """The arrays in memory, and the facts about those that are not."""

    def __init__(
        self,
        plan: GeneratorPlan,
        variables: Variables,
        inputs: dict[str, np.ndarray],
        size: tuple[int, int],
        rows: int,
        kept_bytes: int,
        dtype: DTypeLike,
        workers: ThreadPoolExecutor,
    ) -> None:
        self._workers = workers
        self._plan, self._dtype, self._kept_bytes = plan, jnp.dtype(dtype), kept_bytes
        self._arrays = inputs  # (h, w, c) each
        self._height, self._width = size
        # Even: where sizes double, all bands but the outermost then begin at the same place of a source's pixel.
        self._rows = max(2, rows + rows % 2)
        self._free: dict[int, list[np.ndarray]] = {}
        self._weights = dict(variables["params"])
        self._by_name = {step.name: step for step in plan.steps}
        self._statistics: dict[str, tuple[jax.Array, jax.Array]] = {}
        if plan.norm == "batch":
            for name, running in variables["batch_stats"].items():
                self._statistics[name] = (running["mean"], running["var"])

    def _readers(self, step: LayerStep) -> list[LayerStep]:
        return [other for other in self._plan.steps if step.name in other.sources]

    def _keep(self, step: LayerStep) -> bool:
        """Return True if the result of a step is stored: other bands start from it, and it is not too large."""
        normed = any(reader.op == "norm" for reader in self._readers(step))
        if step.op not in ("add", "pool") and not (step.op == "conv" and normed):
            return False
        if step.level > 0:
            return True
        # Known statistics do not ask for a pass of their own: nothing is computed twice.
        return self._plan.norm == "instance" and self._bytes(step) <= self._kept_bytes

    def _bytes(self, step: LayerStep) -> int:
        pixels = (self._height >> step.level) * (self._width >> step.level)
        return pixels * step.channels * self._dtype.itemsize

    def _room(self, step: LayerStep) -> np.ndarray:
        """Memory for a step's result: an earlier one's, since it costs time to get new."""
        old = self._free.get(self._bytes(step))
        if old:
            return old.pop()
        shape = (self._height >> step.level, self._width >> step.level, step.channels)
        return np.empty(shape, self._dtype)

    def evaluate(
        self, step: LayerStep, write: Callable[[int, np.ndarray], None] | None, measured: bool
    ) -> None:
        """Compute a step's result in bands, to write it, to measure it for the norms that read it, or both."""
        height, width = self._height >> step.level, self._width >> step.level
        found: ChannelMoments | None = None
        rows = min(self._rows, height)

        def compute(wanted: int, start: int, band: Band) -> ChannelMoments | None:
            result, seen = run_part(
                band.parts,
                [jnp.asarray(fetched(self._arrays[read.name], read)[None]) for read in band.reads],
                [self._weights.get(name, {}) for name in band.names],
                [self._statistics.get(name) for name in band.names],
                list(band.masks),
                wanted - start,
                array=write is not None,
                measured=measured,
                dtype=self._dtype,
            )
            if write is not None:
                write(wanted, np.asarray(result)[0, wanted - start :])
            return None if seen is None else on_host((start + rows - wanted) * width, seen)

        begun: deque[Future[ChannelMoments | None]] = deque()
        compiled: set[tuple[Part, ...]] = set()
        for wanted in range(0, height, rows):
            # The last band begins earlier rather than be shorter, which would be another program.
            start = min(wanted, height - rows)
            band = trace(self._plan, self._arrays, step.name, start, start + rows, self._height, self._width)
            begun.append(self._workers.submit(compute, wanted, start, band))
            if band.parts not in compiled:  # two threads would both compile it
                compiled.add(band.parts)
                wait(begun)
            while len(begun) > (0 if wanted + rows >= height else AT_ONCE):
                seen = begun.popleft().result()
                found = found if seen is None else merge_moments(found, seen)
        if found is not None:
            shape = (1, 1, 1, -1)
            known = (
                jnp.asarray(found.mean.reshape(shape), jnp.float32),
                jnp.asarray(found.variance.reshape(shape), jnp.float32),
            )
            for reader in self._readers(step):
                if reader.op == "norm":
                    self._statistics[reader.name] = known

    def forget(self, done: int) -> None:
        """Drop the arrays that no step after the first ``done`` will want, computed again or not."""
        open_, wanted = list(self._plan.live(done)), set[str]()
        while open_:
            name = open_.pop()
            if name in self._arrays:
                wanted.add(name)
            else:
                open_ += self._by_name[name].sources
        later = {self._bytes(step) for step in self._plan.steps[done:] if self._keep(step)}
        self._free = {size: rooms for size, rooms in self._free.items() if size in later}
        for name in set(self._arrays) - wanted:
            room = self._arrays.pop(name)
            if name in self._by_name and room.nbytes in later and room.nbytes <= REUSED_BYTES:
                self._free.setdefault(room.nbytes, []).append(room)

    def pass_over(self, step: LayerStep) -> None:
        """Keep a step's result or measure it, if either is called for."""
        measured = self._plan.norm == "instance" and any(r.op == "norm" for r in self._readers(step))
        if self._keep(step):
            kept = self._room(step).reshape(
                self._height >> step.level, self._width >> step.level, step.channels
            )

            def write(start: int, rows: np.ndarray) -> None:
                kept[start : start + len(rows)] = rows

            self.evaluate(step, write, measured)
            self._arrays[step.name] = kept
        elif measured:
            self.evaluate(step, None, measured)


def generate_in_bands(
    config: GeneratorConfig,
    variables: Variables,
    image: np.ndarray | None,
    noise: Sequence[Any],
    size: tuple[int, int],
    *,
    rows: int,
    dtype: DTypeLike = jnp.float32,
    kept_bytes: int = KEPT_BYTES,
    progress: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """:func:`nstjax.generators.generate` for one image, with little memory.

    Args:
        config: of the network.
        variables: its weights.
        image: ``(1, h, w, 3)``, or None for a texture network.
        noise: from :func:`nstjax.generators.draw_noise`, one image's.
        size: height and width of the result.
        rows: of a band, at every scale.
        dtype: of the arithmetic, and of the arrays that are kept.
        kept_bytes: how large an array of full resolution may be that is kept rather than computed twice.
        progress: called with the share of the work that is done.

    Returns:
        ``(1, h, w, 3)`` float32, not clipped.
    """
    plan = config.plan()
    height, width = (-(-side // plan.multiple) * plan.multiple for side in size)
    inputs = {f"noise{k}": np.asarray(z)[0] for k, z in enumerate(noise)}
    if image is not None:
        margin = ((0, height - image.shape[1]), (0, width - image.shape[2]), (0, 0))
        inputs["image"] = np.pad(image[0], margin, mode="reflect") if any(map(any, margin)) else image[0]
    work = np.cumsum([_work(plan, step) for step in plan.steps])
    picture = np.empty((1, *size, 3), np.float32)

    def write(start: int, band: np.ndarray) -> None:
        picture[0, start : start + len(band)] = band[: max(0, size[0] - start), : size[1]]

    with ThreadPoolExecutor(AT_ONCE) as workers:
        executor = _Executor(plan, variables, inputs, (height, width), rows, kept_bytes, dtype, workers)
        for index, step in enumerate(plan.steps[:-1]):
            executor.pass_over(step)
            executor.forget(index + 1)
            progress(float(work[index] / work[-1]))
        executor.evaluate(plan.steps[-1], write, measured=False)
    progress(1.0)
    return picture


def _work(plan: GeneratorPlan, step: LayerStep) -> float:
    """Multiplications of a step for each pixel of the picture; something for those that have none."""
    if step.op != "conv":
        return 1.0
    inputs = plan.channels()[step.sources[0]]
    return step.kernel**2 * inputs * step.channels / 4**step.level
