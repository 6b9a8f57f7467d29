"""Coarse to fine: an optimization at each scale, which starts from the enlarged result of the one before."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nstjax import optim
from nstjax.errors import InputError
from nstjax.optim import NonFiniteLoss
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.pyramid import enlarge, enlarge_moment


@dataclasses.dataclass(frozen=True)
class HistoryEntry:
    """One iteration as it is kept in a run record.

    Attributes:
        scale: index in the pyramid.
        iteration: within the scale, from 1.
        loss: the weighted sum of ``terms``.
        terms: weighted loss terms by name.
        evaluations: of value and gradient within the scale, so far.
        seconds: time since the start of the run, including the time before a resumption.
        factors: with ``style_strength``, the factor of each kind of term that was found from the images, ``{"content": …,
            "style": …, "tv": …}``; only in the entry of a scale's first iteration.
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
    """A state to resume from (``resume=``); the result has the same bits as that of an uninterrupted run.

    Attributes:
        scale: index in the pyramid.
        saved: the optimizer's state.
        history: entries of all iterations so far.
    """

    scale: int
    saved: optim.Saved
    history: tuple[HistoryEntry, ...]


@dataclasses.dataclass(frozen=True)
class Progress:
    """The state of a synthesis after an iteration, for callbacks.

    Attributes:
        entry: loss and terms.
        scales: number of scales.
        size: ``(height, width)`` at this scale.
        iterations: largest number of iterations of this scale.
        done: fraction of the work done, in [0, 1], with iterations weighted by their pixels.
        image: returns the picture so far, ``(1, h, w, 3)`` clamped to [0, 1].
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
    """The outcome of a synthesis.

    Attributes:
        image: ``(1, h, w, 3)`` float32, sRGB, clamped to [0, 1].
        history: one entry for each iteration.
        status: of the last scale; see :class:`nstjax.optim.Result`.
        config: the settings used, with layers, style weight and pooling set.
    """

    image: np.ndarray
    history: tuple[HistoryEntry, ...]
    status: str
    config: TransferConfig


class TransferFailed(ArithmeticError):
    """The loss is not finite.

    Attributes:
        image: the last good image, ``(1, h, w, 3)`` in [0, 1]; None if that is the start.
        history: of the iterations before.
    """

    def __init__(self, message: str, image: np.ndarray | None, history: tuple[HistoryEntry, ...]) -> None:
        super().__init__(message)
        self.image, self.history = image, history


@dataclasses.dataclass(frozen=True)
class Stage:
    """One scale's problem.

    Attributes:
        fun: the loss of the image.
        size: ``(height, width)``.
        start: gives the image to start from, if this is the first scale.
        factors: on the kinds of terms; see :class:`HistoryEntry`.
    """

    fun: optim.ObjectiveFn
    size: tuple[int, int]
    start: Callable[[], jax.Array]
    factors: dict[str, float] | None = None


def _clamped(x: Any) -> np.ndarray:
    return np.asarray(jnp.clip(x, 0.0, 1.0))


def solve(
    config: TransferConfig,
    stage: Callable[[int], Stage],
    callback: ProgressCallback | None = None,
    resume: TransferState | None = None,
    finish: Callable[[np.ndarray], np.ndarray] = lambda image: image,
) -> TransferResult:
    """Minimise scale by scale.

    Args:
        config: with its layers named.
        stage: the problem whose longer side has so many pixels.
        callback: called after every iteration; returning true stops the run with the image as it is.
        resume: go on from here.
        finish: applied to every image that is given out, never to the iterate.

    Raises:
        InputError: ``resume`` is a state of another run.
        TransferFailed: the loss became non-finite.
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
    for index in range(0 if resume is None else resume.scale, len(sides)):
        here = stage(sides[index])
        settings = config.optimizer_at(index)
        height, width = here.size
        if result is not None:
            # By the host: the last scale may have been on another number of devices.
            x0 = enlarge(jnp.asarray(np.asarray(result.x)) if config.shard else result.x, height, width)
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
            if callback is None:
                return False
            done = (sum(work[:index]) + work[index] * min(step.iteration / total, 1.0)) / sum(work)
            told = len(history)  # sliced on demand: a copy an iteration would grow with the run
            return bool(
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

        try:
            result = optim.minimise(here.fun, x0, settings, on_step, carried)
        except NonFiniteLoss as error:
            begun = index > 0 or resume is not None or not np.array_equal(error.x, x0)
            image = finish(_clamped(error.x)) if begun else None
            raise TransferFailed(f"at scale {sides[index]}: {error}", image, tuple(history)) from error
        if result.status == "stopped":
            break
    assert result is not None, "a pyramid has at least one scale"
    return TransferResult(finish(_clamped(result.x)), tuple(history), result.status, config)


def _state_of(scale: int, saved: optim.Saved, history: tuple[HistoryEntry, ...]) -> TransferState:
    """A state whose history ends where its optimiser's state does (SciPy's lies at the round's start)."""
    kept = tuple(e for e in history if e.scale < scale or e.iteration <= saved.iteration)
    return TransferState(scale, saved, kept)
