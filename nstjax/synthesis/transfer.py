"""Neural style transfer by optimising one image (Gatys et al. 2016, arXiv 1508.06576), coarse to fine."""

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
from nstjax.losses import make_targets, objective
from nstjax.nn.vgg import check_layers, check_size, features
from nstjax.optim import NonFiniteLoss
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.pyramid import content_at, enlarge, enlarge_moment, first_image, style_at
from nstjax.typing import Backbone, Features, Images, Padding, Pooling


@dataclasses.dataclass(frozen=True)
class HistoryEntry:
    """One iteration as it is kept in a run record.

    Attributes:
        scale: index in the pyramid.
        iteration: within the scale, from 1.
        loss: the weighted sum of ``terms``.
        terms: weighted loss terms by name.
        evaluations: of value and gradient within the scale, so far.
        seconds: since the run began, the time before a resumption included.
    """

    scale: int
    iteration: int
    loss: float
    terms: dict[str, float]
    evaluations: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class TransferState:
    """A transfer at rest; given to :func:`transfer` as ``resume`` it goes on to the same bits.

    Attributes:
        scale: index in the pyramid.
        saved: the optimiser's state there.
        history: of all iterations up to it.
    """

    scale: int
    saved: optim.Saved
    history: tuple[HistoryEntry, ...]


@dataclasses.dataclass(frozen=True)
class Progress:
    """What the callback is told after every iteration.

    Attributes:
        entry: loss and terms.
        scales: number of scales.
        size: ``(height, width)`` at this scale.
        iterations: of this scale, at most.
        done: fraction of the whole work done, in [0, 1], weighing iterations by their pixels.
        image: gives the picture so far, ``(1, h, w, 3)`` clamped to [0, 1], on demand.
        state: gives the state to resume from, on demand.
    """

    entry: HistoryEntry
    scales: int
    size: tuple[int, int]
    iterations: int
    done: float
    image: Callable[[], np.ndarray]
    state: Callable[[], TransferState]


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """The outcome of a transfer.

    Attributes:
        image: ``(1, h, w, 3)`` float32, sRGB, clamped to [0, 1].
        history: an entry an iteration.
        status: of the last scale; see :class:`nstjax.optim.Result`.
        config: the record used, its layers named.
    """

    image: np.ndarray
    history: tuple[HistoryEntry, ...]
    status: str
    config: TransferConfig


class TransferFailed(ArithmeticError):
    """The loss became non-finite; ``image`` is the last good one, ``history`` what led there."""

    def __init__(self, message: str, image: np.ndarray, history: tuple[HistoryEntry, ...]) -> None:
        super().__init__(message)
        self.image, self.history = image, history


@dataclasses.dataclass(frozen=True)
class _Apply:
    """:func:`nstjax.features` with its options fixed; equal options compare equal, so programs are shared."""

    pooling: Pooling
    pooling_scale: float
    padding: Padding

    def __call__(self, network: Backbone, images: Images, layers: tuple[str, ...]) -> Features:
        return features(
            network, images, layers, self.pooling, pooling_scale=self.pooling_scale, padding=self.padding
        )


def _clamped(x: Any) -> np.ndarray:
    return np.asarray(jnp.clip(x, 0.0, 1.0))


def _check_image(name: str, image: Any) -> jax.Array:
    array = jnp.asarray(image, jnp.float32)
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[3] != 3 or 0 in array.shape:
        raise InputError(f"the {name} image has shape {array.shape}: it must be (1, height, width, 3)")
    if not bool(jnp.isfinite(array).all()):
        raise InputError(f"the {name} image holds values that are not finite: check where it comes from")
    return array


def transfer(
    content: Images,
    style: Images,
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
    *,
    init_image: Images | None = None,
    resume: TransferState | None = None,
) -> TransferResult:
    """Paint one image in the manner of another.

    Args:
        content: the photograph, ``(1, h, w, 3)`` in [0, 1], at its own size.
        style: the painting, likewise.
        backbone: from :func:`nstjax.load_backbone`.
        config: the default is that of the preset ``default``.
        callback: called after every iteration; a true answer stops, with the image as it is.
        init_image: the start, for ``config.init == "image"``; of any size.
        resume: go on from here; content, style, weights and config must be those of the run it is of.

    Returns:
        A :class:`TransferResult`.

    Raises:
        InputError: a setting makes no sense, a layer is missing, an image is too small for a layer.
        TransferFailed: the loss became non-finite; it carries the last good image.
    """
    config = (config or TransferConfig()).for_backbone(backbone)
    content, style = _check_image("content", content), _check_image("style", style)
    if init_image is not None:
        init_image = _check_image("initial", init_image)
    record, sides = config.objective, config.pyramid()
    check_layers(backbone, record.content_layers + record.style_layers)
    apply = _Apply(config.pooling, config.pooling_scale, config.padding)
    smallest = [content_at(content, sides[0]), style_at(style, sides[0], config)]
    for image, layers in zip(smallest, (record.content_layers, record.style_layers), strict=True):
        check_size(layers, image.shape[1], image.shape[2])
    check_size(record.layers, *smallest[0].shape[1:3])

    history = [] if resume is None else list(resume.history)
    earlier = history[-1].seconds if history else 0.0
    began = time.perf_counter()
    first = 0 if resume is None else resume.scale
    work = [side**2 * config.iterations_at(i) for i, side in enumerate(sides)]
    result: optim.Result | None = None
    carried: optim.Saved | None = None
    for index in range(first, len(sides)):
        here = content_at(content, sides[index])
        painting = style_at(style, sides[index], config)
        fun = objective(
            record,
            apply,
            backbone,
            make_targets(
                record,
                apply(backbone, here, record.content_layers),
                apply(backbone, painting, record.style_layers),
            ),
        )
        settings = config.optimizer_at(index)
        height, width = here.shape[1:3]
        if result is not None:
            x0 = enlarge(result.x, height, width)
            carried = optim.carry(
                settings, result.saved, x0, partial(enlarge_moment, height=height, width=width)
            )
        elif resume is not None:
            x0, carried = here, resume.saved
        else:
            x0 = first_image(config, here, painting, init_image)

        def on_step(
            step: optim.Step,
            index: int = index,
            size: tuple[int, int] = (height, width),
            total: int = config.iterations_at(index),
        ) -> bool:
            seconds = earlier + time.perf_counter() - began
            entry = HistoryEntry(index, step.iteration, step.value, step.terms, step.evaluations, seconds)
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
                        lambda: _clamped(step.x()),
                        lambda: _state_of(index, step.saved(), tuple(history[:told])),
                    )
                )
            )

        try:
            result = optim.minimise(fun, x0, settings, on_step, carried)
        except NonFiniteLoss as error:
            raise TransferFailed(
                f"at scale {sides[index]}: {error}", _clamped(error.x), tuple(history)
            ) from error
        if result.status == "stopped":
            break
    assert result is not None, "a pyramid has at least one scale"
    return TransferResult(_clamped(result.x), tuple(history), result.status, config)


def _state_of(scale: int, saved: optim.Saved, history: tuple[HistoryEntry, ...]) -> TransferState:
    """A state whose history ends where its optimiser's state does (SciPy's lies at the round's start)."""
    kept = tuple(e for e in history if e.scale < scale or e.iteration <= saved.iteration)
    return TransferState(scale, saved, kept)
