"""Losses of all methods by one objective, the course of an optimization, and the cost of training."""

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
    """Return the objective of :func:`nstjax.transfer` at its last scale, as a function of an image.

    Args:
        config: settings of the transfer.
        backbone: the feature network.
        photo: the photograph, ``(1, h, w, 3)`` in [0, 1].
        style: the style image, ``(1, h, w, 3)`` in [0, 1].

    Returns:
        A function that takes an image of the photograph's size at that scale and returns its loss.
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
    """The course of an optimization, including its start: entry 0 is before the first iteration.

    Attributes:
        losses: losses of the images as they would be saved, clipped to [0, 1].
        seconds: seconds since the start, without compilation; every iteration counts with the same
            :func:`pace`.
        pictures: some of the images, by iteration.
    """

    losses: tuple[float, ...]
    seconds: tuple[float, ...]
    pictures: dict[int, np.ndarray]

    def reaches(self, loss: float) -> int | None:
        """Return the first iteration whose loss is at most ``loss``, or None."""
        return next((i for i, found in enumerate(self.losses) if found <= loss), None)


def descend(
    config: TransferConfig,
    backbone: Backbone,
    photo: np.ndarray,
    style: np.ndarray,
    start: np.ndarray | None = None,
    marks: Sequence[int] = (),
) -> Descent:
    """Run the per-image optimization and measure every iterate.

    Args:
        config: settings with one scale and ``init="content"``.
        backbone: the feature network.
        photo: the photograph, ``(1, h, w, 3)`` in [0, 1].
        style: the style image, ``(1, h, w, 3)`` in [0, 1].
        start: the image to start from; by default the photograph.
        marks: iterations whose images are kept.
    """
    if start is not None:
        config = dataclasses.replace(config, init="image")
    brief = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, iterations=4))
    nstjax.transfer(photo, style, backbone, brief, init_image=start)  # compiles the program
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
    """Return the lower quartile of durations, which is little affected by other load on the machine."""
    return float(np.quantile(durations, 0.25))


def seconds_of(call: Callable[[], object], repeats: int = 12) -> float:
    """Measure the duration of a call in seconds: the :func:`pace` of several calls.

    Args:
        call: the function; one call before the measurement is not counted.
        repeats: number of calls.
    """
    call()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return pace(found)


def pictures_to_pay(training: float, each: float, otherwise: float) -> float:
    """Return the number of images after which a training has paid off; infinite if it never does.

    Args:
        training: duration of the training in seconds.
        each: seconds per image with the trained generator.
        otherwise: seconds per image with the other method.
    """
    return training / (otherwise - each) if otherwise > each else float("inf")


def at_time(descent: Descent, seconds: float) -> float:
    """Return the loss of the last iterate that was finished after ``seconds``."""
    return descent.losses[bisect.bisect_right(descent.seconds, seconds) - 1]
