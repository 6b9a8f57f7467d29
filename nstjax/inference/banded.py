"""Applies a generator in bands of rows. The result is the same as for the whole image.

A norm needs the mean and variance of all of its input before any pixel of its output can be computed. So the
arrays of the network are evaluated one after another, each in bands of rows, together with the surrounding rows
that the convolutions read. The mean and variance of the inputs of norms are accumulated over the bands in the
same pass (:mod:`nstjax.inference.moments`). Between the passes, the arrays that norms and residual additions
read are stored in the host's memory, before normalization. Arrays of full resolution that are too large are not
stored. They are recomputed, with normalization, inside the bands of the arrays that read them: in Johnson's
network these are the first layer's and the second to last layer's, twice each, for a sixth more work.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from nstjax import programs
from nstjax.free_memory import default_device
from nstjax.generators import GeneratorConfig, Variables
from nstjax.generators.plan import GeneratorPlan, LayerStep
from nstjax.inference.bands import Band, Part, PartOptions, fetched, run_part, trace
from nstjax.inference.moments import ChannelMoments, merge_moments, on_host

KEPT_BYTES = 2**29  # largest array of full resolution that is stored; larger ones are recomputed
REUSED_BYTES = 2**28  # memory of arrays up to this size is reused; that of larger ones is freed at once
# Bands in progress at once. On a CPU, XLA computes most of a band in one thread; on other devices one band is copied
# while the next is computed.
AT_ONCE = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class _Executor:
    """The evaluation of a generator: its stored arrays, and the statistics of its norms.

    Args:
        plan: the generator's plan.
        variables: the generator's weights.
        inputs: the image and the noise, ``(h, w, c)`` each.
        size: height and width of the image, padded to the plan's multiple.
        rows: rows of a band.
        kept_bytes: size of the largest array of full resolution that is stored, in bytes.
        dtype: dtype of the arithmetic and of the stored arrays.
        workers: threads that compute bands.
    """

    def __init__(
        self,
        plan: GeneratorPlan,
        variables: Variables,
        inputs: dict[str, np.ndarray],
        size: tuple[int, int],
        rows: int,
        kept_bytes: int,
        dtype: DTypeLike,
        workers: Executor,
    ) -> None:
        self._workers = workers
        self._device = default_device()  # the workers do not inherit it
        self._plan, self._dtype, self._kept_bytes = plan, jnp.dtype(dtype), kept_bytes
        self._arrays = inputs  # (h, w, c) each
        self._height, self._width = size
        # An even number: where a step doubles the size, all bands but the outermost then start at the same position
        # within a pixel of the source, and share a program.
        self._rows = max(2, rows + rows % 2)
        self._free: dict[int, list[np.ndarray]] = {}
        self._weights = dict(variables["params"])
        self._by_name = {step.name: step for step in plan.steps}
        self._statistics: dict[str, tuple[jax.Array, jax.Array]] = {}
        if plan.norm == "batch":
            for name, running in variables["batch_stats"].items():
                self._statistics[name] = (running["mean"], running["var"])

    def _readers(self, step: LayerStep) -> list[LayerStep]:
        """Return the steps that read the result of a step."""
        return [other for other in self._plan.steps if step.name in other.sources]

    def _keep(self, step: LayerStep) -> bool:
        """Return True if the result of a step is stored: other bands start from it, and it is not too large."""
        read_by = {reader.op for reader in self._readers(step)}
        scaled = step.level > 0 and "scale" in read_by  # at level 0 the last pass computes the rest at once
        if step.op not in ("add", "pool") and not (step.op == "conv" and ("norm" in read_by or scaled)):
            return False
        if step.level > 0:
            return True
        # The statistics of batch norms are already known and need no pass of their own, so nothing is recomputed.
        return self._plan.norm == "instance" and self._bytes(step) <= self._kept_bytes

    def _bytes(self, step: LayerStep) -> int:
        """Return the size of a step's result in bytes."""
        pixels = (self._height >> step.level) * (self._width >> step.level)
        return pixels * step.channels * self._dtype.itemsize

    def _room(self, step: LayerStep) -> np.ndarray:
        """Return memory for a step's result. Memory of an earlier result is reused, because new memory costs time."""
        old = self._free.get(self._bytes(step))
        if old:
            return old.pop()
        shape = (self._height >> step.level, self._width >> step.level, step.channels)
        return np.empty(shape, self._dtype)

    def evaluate(
        self, step: LayerStep, write: Callable[[int, np.ndarray], None] | None, measured: bool
    ) -> None:
        """Compute a step's result in bands.

        Args:
            step: the step.
            write: called with the first row and the rows ``(rows, w, c)`` of each band, or None.
            measured: compute the mean and variance of the result for the norms that read it.
        """
        height, width = self._height >> step.level, self._width >> step.level
        found: ChannelMoments | None = None
        rows = min(self._rows, height)

        def compute(wanted: int, start: int, band: Band) -> ChannelMoments | None:
            arguments = (
                [fetched(self._arrays[read.name], read)[None] for read in band.reads],
                [self._weights.get(name, {}) for name in band.names],
                [self._statistics.get(name) for name in band.names],
                list(band.masks),
                np.int32(wanted - start),
            )
            options = PartOptions(band.parts, write is not None, measured, self._dtype.name)
            with jax.default_device(self._device):
                result, seen = programs.run(run_part, arguments, options)
            if write is not None:
                write(wanted, np.asarray(result)[0, wanted - start :])
            return None if seen is None else on_host((start + rows - wanted) * width, seen)

        begun: deque[Future[ChannelMoments | None]] = deque()
        compiled: set[tuple[Part, ...]] = set()
        for wanted in range(0, height, rows):
            # The last band starts earlier instead of being shorter, because a shorter band needs another program.
            start = min(wanted, height - rows)
            band = trace(self._plan, self._arrays, step.name, start, start + rows, self._height, self._width)
            begun.append(self._workers.submit(compute, wanted, start, band))
            if band.parts not in compiled:  # otherwise several threads would compile the same program
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
        """Drop the arrays that no step after the first ``done`` steps needs, directly or to recompute another array."""
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
        """Store a step's result, or measure it for norms, or both, if later steps need this."""
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


class _ThisThread(Executor):
    """Calls functions in the thread that submits them."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Call the function; return a future with its result."""
        done: Future[Any] = Future()
        done.set_result(function(*arguments, **keywords))
        return done


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
    """Generate one image with little memory; the result is that of :func:`nstjax.generators.generate`.

    Args:
        config: the generator's config.
        variables: the generator's weights.
        image: ``(1, h, w, 3)`` in [0, 1], or None for a texture network.
        noise: the noise of one image, from :func:`nstjax.generators.draw_noise`.
        size: height and width of the result in pixels.
        rows: rows of a band, at every scale; an odd number is increased by one.
        dtype: dtype of the arithmetic and of the stored arrays.
        kept_bytes: size of the largest array of full resolution that is stored rather than recomputed, in bytes.
        progress: called with the fraction of the work that is done, in [0, 1].

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

    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Other threads do not see JAX's context managers, such as enable_x64; the device is given to each band.
        same = pool.submit(programs.jax_settings).result() == programs.jax_settings()
        workers = pool if same else _ThisThread()
        executor = _Executor(plan, variables, inputs, (height, width), rows, kept_bytes, dtype, workers)
        for index, step in enumerate(plan.steps[:-1]):
            executor.pass_over(step)
            executor.forget(index + 1)
            progress(float(work[index] / work[-1]))
        executor.evaluate(plan.steps[-1], write, measured=False)
    progress(1.0)
    return picture


def _work(plan: GeneratorPlan, step: LayerStep) -> float:
    """Return the approximate work of a step, for the progress.

    For a convolution it is the number of multiplications per pixel of the image (for a transposed one, an upper bound);
    for all other steps it is 1.
    """
    if step.op != "conv":
        return 1.0
    inputs = plan.channels()[step.sources[0]]
    return step.kernel**2 * inputs * step.channels / 4**step.level
