"""Coarse-to-fine optimization: each scale starts from the enlarged result of the one before."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nstjax import optim
from nstjax.errors import InputError
from nstjax.images import to_png
from nstjax.optim import NonFiniteLoss
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.pyramid import enlarge, enlarge_moment

WINDOW = 20  # iterations over which the decrease of the loss is measured
LEAST_ITERATIONS = 30


@dataclasses.dataclass(frozen=True)
class HistoryEntry:
    """The losses of one iteration, as a run record keeps them.

    Attributes:
        scale: index of the scale in the pyramid.
        iteration: number of the iteration within the scale, from 1.
        loss: the sum of ``terms``.
        terms: weighted loss terms by name.
        evaluations: number of evaluations of value and gradient within the scale so far.
        seconds: time since the start of the run, including the time before a resumption.
        factors: with ``style_strength``, the factors computed from the images for each kind of term,
            ``{"content": …, "style": …, "tv": …}``. Given at the first iteration of a scale, otherwise None.
    """

    scale: int
    iteration: int
    loss: float
    terms: dict[str, float]
    evaluations: int
    seconds: float
    factors: dict[str, float] | None = None


@dataclasses.dataclass(frozen=True)
class TransferState:
    """The state of a synthesis between two iterations.

    If it is given as ``resume`` to the function that made it, the result is bit-identical to that of the
    uninterrupted run.

    Attributes:
        scale: index of the scale in the pyramid.
        saved: state of the optimizer at that scale.
        history: all iterations so far.
    """

    scale: int
    saved: optim.Saved = dataclasses.field(repr=False)
    history: tuple[HistoryEntry, ...] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a synthesis after an iteration, for callbacks.

    Attributes:
        entry: loss and terms.
        scales: number of scales.
        size: ``(height, width)`` at this scale.
        iterations: largest number of iterations at this scale.
        done: fraction of the whole work that is done, in [0, 1]; iterations are weighted by the square of the
            longer side.
        image: returns the image so far, ``(1, h, w, 3)`` clipped to [0, 1].
        state: returns the state to resume from.
    """

    entry: HistoryEntry
    scales: int
    size: tuple[int, int]
    iterations: int
    done: float
    image: Callable[[], np.ndarray]
    state: Callable[[], TransferState]


ProgressCallback = Callable[[Progress], bool | None]


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """The outcome of a synthesis; a notebook displays it as its image.

    Attributes:
        image: ``(1, h, w, 3)`` float32, sRGB, clipped to [0, 1].
        history: one entry for each iteration.
        status: status of the last scale; see :class:`nstjax.optim.Result`.
        config: the config that was used, with its layers named.
    """

    image: np.ndarray
    history: tuple[HistoryEntry, ...]
    status: str
    config: TransferConfig

    def __repr__(self) -> str:
        height, width = self.image.shape[1:3]
        told = [f"image of {width}×{height} pixels", f"{len(self.history)} iterations"]
        if self.history:
            last = self.history[-1]
            told += [f"loss {last.loss:.4g}", f"{last.seconds:.3g} s"]
        return f"<TransferResult: {', '.join(told)}, {self.status}>"

    def _repr_png_(self) -> bytes:
        return to_png(self.image)


class TransferFailed(ArithmeticError):
    """The loss is not finite.

    Attributes:
        image: the last image with a finite loss, ``(1, h, w, 3)`` in [0, 1]; None if that is the initial
            image of the run.
        history: the iterations before.
    """

    def __init__(self, message: str, image: np.ndarray | None, history: tuple[HistoryEntry, ...]) -> None:
        super().__init__(message)
        self.image, self.history = image, history


@dataclasses.dataclass(frozen=True)
class Stage:
    """The optimization problem at one scale.

    Attributes:
        fun: the loss as a function of the image.
        size: ``(height, width)``.
        start: returns the initial image; called only at the first scale.
        factors: factors on the kinds of terms; see :class:`HistoryEntry`.
    """

    fun: optim.ObjectiveFn
    size: tuple[int, int]
    start: Callable[[], jax.Array]
    factors: dict[str, float] | None = None


def _clamped(x: Any) -> np.ndarray:
    """Clip an image to [0, 1] and copy it to the host."""
    return np.asarray(jnp.clip(x, 0.0, 1.0))


def solve(
    config: TransferConfig,
    stage: Callable[[int], Stage],
    callback: ProgressCallback | None = None,
    resume: TransferState | None = None,
    finish: Callable[[np.ndarray], np.ndarray] = lambda image: image,
) -> TransferResult:
    """Minimize the loss at each scale, from coarse to fine.

    With ``config.loss_tolerance``, a scale ends when the loss hardly decreases any more; see :func:`has_settled`.

    Args:
        config: the config, with its layers named.
        stage: returns the problem at a scale, given the longer side in pixels.
        callback: called after every iteration; returning true stops the run, and the image so far is
            returned.
        resume: state from which to continue.
        finish: applied to every image that is returned or given to the callback, never to the iterate.

    Returns:
        The image and the history of the run.

    Raises:
        InputError: If ``resume`` does not belong to these scales, this optimizer or this image size.
        TransferFailed: If the loss became non-finite.
    """
    sides = config.pyramid()
    if resume is not None and not 0 <= resume.scale < len(sides):
        raise InputError("the saved state is of a run with other scales: start without `resume`")
    history = [] if resume is None else list(resume.history)
    earlier = history[-1].seconds if history else 0.0
    began = time.perf_counter()
    work = [side**2 * config.iterations_at(i) for i, side in enumerate(sides)]
    result: optim.Result | None = None
    carried: optim.Saved | None = None
    settled = False
    for index in range(0 if resume is None else resume.scale, len(sides)):
        here, settled = stage(sides[index]), False
        settings = config.optimizer_at(index)
        height, width = here.size
        if result is not None:
            # Through the host, because the last scale may have used another number of devices.
            x0 = enlarge(result.x, height, width)
            resample = partial(enlarge_moment, height=height, width=width)
            carried = settings.carry(result.saved, x0, resample)
        elif resume is not None:
            x0, carried = jnp.zeros((1, height, width, 3), jnp.float32), resume.saved
        else:
            x0 = here.start()

        def on_step(
            step: optim.Step,
            index: int = index,
            size: tuple[int, int] = here.size,
            total: int = config.iterations_at(index),
            factors: dict[str, float] | None = here.factors,
        ) -> bool:
            seconds = earlier + time.perf_counter() - began
            entry = HistoryEntry(
                index,
                step.iteration,
                step.value,
                step.terms,
                step.evaluations,
                seconds,
                factors if step.iteration == 1 else None,
            )
            history.append(entry)
            nonlocal settled
            settled = _ends(history, index, config.loss_tolerance)
            if callback is None:
                return settled
            done = (sum(work[:index]) + work[index] * min(step.iteration / total, 1.0)) / sum(work)
            told = len(history)  # sliced on demand, since a copy at each iteration grows with the run
            asked = bool(
                callback(
                    Progress(
                        entry,
                        len(sides),
                        size,
                        total,
                        done,
                        lambda: finish(_clamped(step.x())),
                        lambda: _state_of(index, step.saved(), tuple(history[:told])),
                    )
                )
            )
            settled = settled and not asked
            return asked or settled

        if carried is not None and _ends(history, index, config.loss_tolerance):
            # The run was interrupted after the last iteration of this scale.
            settled, settings = True, dataclasses.replace(settings, iterations=carried.iteration)
        try:
            result = optim.minimize(here.fun, x0, settings, on_step, carried)
        except NonFiniteLoss as error:
            begun = index > 0 or resume is not None or not np.array_equal(error.x, x0)
            image = finish(_clamped(error.x)) if begun else None
            raise TransferFailed(f"at scale {sides[index]}: {error}", image, tuple(history)) from error
        if settled:
            result = dataclasses.replace(result, status="converged")
        elif result.status == "stopped":
            break
    assert result is not None, "a pyramid has at least one scale"
    return TransferResult(finish(_clamped(result.x)), tuple(history), result.status, config)


def has_settled(losses: Sequence[float], tolerance: float) -> bool:
    """Return True if the last :data:`WINDOW` iterations lowered the loss by less than a fraction of it.

    It is False before iteration :data:`LEAST_ITERATIONS`. It depends on the losses only, so that a resumed run
    stops at the same iteration.

    Args:
        losses: loss of each iteration of the scale.
        tolerance: the fraction; 0 always returns False.
    """
    if tolerance == 0 or len(losses) < LEAST_ITERATIONS:
        return False
    return losses[-1 - WINDOW] - losses[-1] < tolerance * losses[-1 - WINDOW]


def _ends(history: Sequence[HistoryEntry], scale: int, tolerance: float) -> bool:
    """Return True if a scale has settled, from the newest entries alone, because this runs in each iteration."""
    return has_settled([e.loss for e in history[-LEAST_ITERATIONS:] if e.scale == scale], tolerance)


def _state_of(scale: int, saved: optim.Saved, history: tuple[HistoryEntry, ...]) -> TransferState:
    """Return a state whose history ends at the saved iteration.

    For SciPy this is the start of the current round.
    """
    kept = tuple(e for e in history if e.scale < scale or e.iteration <= saved.iteration)
    return TransferState(scale, saved, kept)
