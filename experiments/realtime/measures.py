"""One objective for every method: a picture's loss, a descent with its losses and times, and what pays when."""

import bisect
import dataclasses
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

import nstjax
from nstjax import TransferConfig
from nstjax.losses import make_targets, objective
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.synthesis.pyramid import content_at, style_at
from nstjax.synthesis.solve import Progress
from nstjax.typing import Backbone

_evaluate = jax.jit(lambda fun, image: fun(image))


def loss_of(
    config: TransferConfig, backbone: Backbone, photo: np.ndarray, style: np.ndarray
) -> Callable[[np.ndarray], float]:
    """What :func:`nstjax.transfer` minimises at its last scale, as a function of any picture of that size.

    Args:
        config: of the transfer.
        backbone: the weights.
        photo: the photograph, ``(1, h, w, 3)`` in [0, 1].
        style: the painting, likewise.
    """
    config = config.for_backbone(backbone)
    record, side = config.objective, config.pyramid()[-1]
    apply = FeatureExtractor(config.pooling, config.pooling_scale, config.padding)
    targets = make_targets(
        record,
        apply(backbone, content_at(photo, side), record.used_content_layers),
        apply(backbone, style_at(style, side, config), record.used_style_layers),
    )
    fun = objective(record, apply, backbone, targets)
    return lambda image: float(_evaluate(fun, image)[0])


@dataclasses.dataclass(frozen=True)
class Descent:
    """A minimisation, the start included: entry 0 is before the first iteration.

    Attributes:
        losses: of the pictures as they would be saved, clamped to [0, 1].
        seconds: since the start, everything compiled before, at the :func:`pace` of all iterations.
        pictures: some of them, by iteration.
    """

    losses: tuple[float, ...]
    seconds: tuple[float, ...]
    pictures: dict[int, np.ndarray]

    def reaches(self, loss: float) -> int | None:
        """The first iteration whose picture is as good as that, if there is one."""
        return next((i for i, found in enumerate(self.losses) if found <= loss), None)


def descend(
    config: TransferConfig,
    backbone: Backbone,
    photo: np.ndarray,
    style: np.ndarray,
    start: np.ndarray | None = None,
    marks: Sequence[int] = (),
) -> Descent:
    """Run the per-image method and look at every iterate.

    Args:
        config: one scale, from the content.
        backbone: the weights.
        photo: the photograph.
        style: the painting.
        start: where to begin; the photograph where there is none.
        marks: iterations whose pictures are kept.
    """
    if start is not None:
        config = dataclasses.replace(config, init="image")
    brief = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, iterations=4))
    nstjax.transfer(photo, style, backbone, brief, init_image=start)  # compiles
    pictures = [photo if start is None else start]
    ticks: list[float] = []

    def look(progress: Progress) -> None:
        ticks.append(time.perf_counter())
        pictures.append(progress.image())

    nstjax.transfer(photo, style, backbone, config, look, init_image=start)
    loss = loss_of(config, backbone, photo, style)
    each = pace(np.diff(ticks))
    return Descent(
        losses=tuple(loss(image) for image in pictures),
        seconds=tuple(each * i for i in range(len(pictures))),
        pictures={i: pictures[i] for i in marks if i < len(pictures)},
    )


def pace(durations: Sequence[float] | np.ndarray) -> float:
    """The lower quartile: what a step takes where other work on the machine does not disturb it."""
    return float(np.quantile(durations, 0.25))


def seconds_of(call: Callable[[], object], repeats: int = 12) -> float:
    """Of one call, by :func:`pace`, after one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return pace(found)


def pictures_to_pay(training: float, each: float, otherwise: float) -> float:
    """After how many pictures a training has paid, all in seconds; infinite where it never does.

    Args:
        training: spent once.
        each: for a picture then.
        otherwise: for a picture by the other method.
    """
    return training / (otherwise - each) if otherwise > each else float("inf")


def at_time(descent: Descent, seconds: float) -> float:
    """The loss of the last iterate that was there by then."""
    return descent.losses[bisect.bisect_right(descent.seconds, seconds) - 1]
