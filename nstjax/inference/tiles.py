"""Large photographs in bands of rows, with the statistics of the whole, equal to what one piece would give.

A norm wants mean and variance of all of its source before a pixel of its result can be known. So the network is
evaluated one array after another, each of them a band of rows at a time with the rows around that convolutions
reach, and what is normalised is measured over all bands on the way (:mod:`nstjax.inference.moments`). Between the
passes the arrays that norms and residual additions read lie in the host's memory, unnormalised. Those of the
full resolution that are too large are not kept but computed again, normalised, inside the bands of what reads
them: in Johnson's network the first layer's and the last but one's, twice each, for a sixth more work.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from nstjax.generators import GeneratorConfig, Variables
from nstjax.generators.plan import Plan, Step
from nstjax.inference.bands import run, trace
from nstjax.inference.moments import Moments, merge, on_host

KEPT_BYTES = 2**29  # of a full-resolution array; larger ones are computed again
BAND_PIXELS = 2**19  # of a band at full resolution


def rows_for(width: int) -> int:
    """Rows of a band that make about :data:`BAND_PIXELS`."""
    return max(32, BAND_PIXELS // max(1, width))


class _Executor:
    """The arrays at hand, and what is known of those that are not."""

    def __init__(
        self,
        plan: Plan,
        variables: Variables,
        inputs: dict[str, np.ndarray],
        size: tuple[int, int],
        rows: int,
        kept_bytes: int,
        dtype: DTypeLike,
    ) -> None:
        self._plan, self._dtype, self._kept_bytes = plan, jnp.dtype(dtype), kept_bytes
        self._arrays = inputs  # (h, w, c) each
        self._height, self._width = size
        # Even: where sizes double, all bands but the outermost then begin at the same place of a source's pixel.
        self._rows = max(2, rows + rows % 2)
        self._weights = dict(variables["params"])
        self._by_name = {step.name: step for step in plan.steps}
        self._statistics: dict[str, tuple[jax.Array, jax.Array]] = {}
        if plan.norm == "batch":
            for name, running in variables["batch_stats"].items():
                self._statistics[name] = (running["mean"], running["var"])

    def _band(self, name: str, start: int, stop: int) -> jax.Array:
        """Rows of an array at hand, ``(1, rows, w, c)``; beyond a border those of the opposite one."""
        whole = self._arrays[name]
        if start < 0 or stop > len(whole):
            return jnp.asarray(whole.take(range(start, stop), axis=0, mode="wrap")[None])
        return jnp.asarray(whole[None, start:stop])

    def _readers(self, step: Step) -> list[Step]:
        return [other for other in self._plan.steps if step.name in other.sources]

    def _keep(self, step: Step) -> bool:
        """Whether a step's result is kept: a sum, or a convolution that a norm reads, and not too large."""
        normed = any(reader.op == "norm" for reader in self._readers(step))
        if step.op != "add" and not (step.op == "conv" and normed):
            return False
        pixels = (self._height >> step.level) * (self._width >> step.level)
        return step.level > 0 or pixels * step.channels * self._dtype.itemsize <= self._kept_bytes

    def evaluate(self, step: Step, write: Callable[[int, np.ndarray], None] | None, measured: bool) -> None:
        """Compute a step's result in bands, to write it, to measure it for the norms that read it, or both."""
        height = self._height >> step.level
        found: Moments | None = None
        for start in range(0, height, self._rows):
            stop = min(start + self._rows, height)
            band = trace(self._plan, self._arrays, step.name, start, stop, self._height, self._width)
            result, seen = run(
                band.parts,
                [self._band(*read) for read in band.reads],
                [self._weights.get(name, {}) for name in band.names],
                [self._statistics.get(name) for name in band.names],
                array=write is not None,
                statistics_too=measured,
                dtype=self._dtype,
            )
            if write is not None:
                write(start, np.asarray(result)[0])
            if seen is not None:
                pixels = (stop - start) * (self._width >> step.level)
                found = merge(found, on_host(pixels, seen))
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
        for name in set(self._arrays) - wanted:
            del self._arrays[name]

    def pass_over(self, step: Step) -> None:
        """Keep a step's result or measure it, if either is called for."""
        measured = self._plan.norm == "instance" and any(r.op == "norm" for r in self._readers(step))
        if self._keep(step):
            height, width = self._height >> step.level, self._width >> step.level
            kept = np.empty((height, width, step.channels), self._dtype)

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
    executor = _Executor(plan, variables, inputs, (height, width), rows, kept_bytes, dtype)
    work = np.cumsum([_work(plan, step) for step in plan.steps])
    for index, step in enumerate(plan.steps[:-1]):
        executor.pass_over(step)
        executor.forget(index + 1)
        progress(float(work[index] / work[-1]))
    picture = np.empty((1, *size, 3), np.float32)

    def write(start: int, band: np.ndarray) -> None:
        picture[0, start : start + len(band)] = band[: max(0, size[0] - start), : size[1]]

    executor.evaluate(plan.steps[-1], write, measured=False)
    progress(1.0)
    return picture


def _work(plan: Plan, step: Step) -> float:
    """Multiplications of a step for each pixel of the picture; something for those that have none."""
    if step.op != "conv":
        return 1.0
    inputs = plan.channels()[step.sources[0]]
    return step.kernel**2 * inputs * step.channels / 4**step.level
