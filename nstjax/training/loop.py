"""The loop: batches in, a generator out, everything kept so that a kill costs nothing but time."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nstjax.checkpoints import Course
from nstjax.generators import GeneratorConfig, draw_noise, generate
from nstjax.generators.store import Generator, save_generator
from nstjax.images import fit_long_side, resize
from nstjax.nn.prepare import prepared
from nstjax.nn.vgg import check_layers, check_size
from nstjax.reports import environment
from nstjax.training import parallel
from nstjax.training.cadence import Cadence, Callback, Progress
from nstjax.training.config import TrainConfig
from nstjax.training.metrics import Log, Window
from nstjax.training.photographs import first_photographs, open_share
from nstjax.training.state import (
    TrainState,
    from_arrays,
    init_state,
    make_optimizer,
    make_schedule,
    to_arrays,
)
from nstjax.training.step import style_targets
from nstjax.typing import Backbone, Images

CHECKPOINTS, MODEL = "checkpoints", "model"


def _check(config: TrainConfig, backbone: Backbone) -> None:
    record = config.objective
    check_layers(backbone, record.used_content_layers, "--content-layers")
    check_layers(backbone, record.used_style_layers, "--style-layers")
    check_size(record.layers, config.data.size, config.data.size, "--crop: an image")
    parallel.check_batch(config.data.batch_size)


def scaled_style(config: TrainConfig, style: Images) -> np.ndarray:
    """The painting at the size at which its statistics are taken; never enlarged."""
    height, width = style.shape[1:3]
    side = min(config.style_size, max(height, width))
    return np.asarray(resize(style, *fit_long_side(height, width, side)), np.float32).clip(0, 1)


def train(
    config: TrainConfig,
    style: Images,
    backbone: Backbone,
    folder: Path | None = None,
    callback: Callback | None = None,
    *,
    cadence: Cadence | None = None,
    about: dict[str, Any] | None = None,
    samples: list[np.ndarray] | None = None,
    begin: Callable[[], None] | None = None,
) -> Generator:
    """Train a generator, from the newest checkpoint in ``folder`` where there is one.

    Every process of a run on several hosts calls this with the same arguments.

    Args:
        config: everything that decides the result.
        style: the painting, ``(1, h, w, 3)`` in [0, 1].
        backbone: the feature network.
        folder: of the run: checkpoints, metrics, samples, and the model; none to keep nothing.
        callback: called after every step; a true answer stops, after a checkpoint.
        cadence: how often what is written.
        about: kept in the model's record, for example the painting's name.
        samples: photographs ``(1, h, w, 3)`` for the samples; the first ones of the data by default.
        begin: called once when everything has been checked and nothing written.

    Returns:
        The generator, as :func:`nstjax.generators.store.load_generator` gives it.

    Raises:
        InputError: a setting makes no sense, data cannot be read, the folder cannot be written, or holds the
            checkpoint of another generator.
        TrainingFailed: the loss stays non-finite.
    """
    cadence = cadence or Cadence()
    config = config.for_backbone(backbone)
    _check(config, backbone)
    batches = open_share(config)
    course = None if folder is None else Course(folder / CHECKPOINTS, cadence.keep, cadence.keep_period)
    first = jax.process_index() == 0
    log = None
    try:
        state = init_state(config)
        kept = course.load_newest() if course else None
        if kept is not None:
            state = from_arrays(state, kept[0])
            batches.set_state(kept[1]["data"])
        targets = style_targets(config, backbone, scaled_style(config, style))
        state, network, targets = parallel.on_every_device(
            (state, prepared(backbone, config.objective.layers), targets)
        )
        run = _Run(config, cadence, folder, course, about or {}, backbone.describe())
        if begin is not None:
            begin()
        if folder is not None and first:
            folder.mkdir(parents=True, exist_ok=True)
            log = Log(folder, int(state.step))
            run.log = log
            if cadence.sample_every:
                run.samples = samples if samples is not None else first_photographs(config)
        state = run.go(state, lambda s, b: run.step((s, network, targets), b), batches, callback)
        return Generator(config.generator, jax.tree.map(np.asarray, state.variables), run.record(state))
    finally:
        batches.close()
        if log is not None:
            log.close()
        if course is not None:
            course.close()


@partial(jax.jit, static_argnums=0)
def _paint(config: GeneratorConfig, variables: Any, photograph: Any) -> jax.Array:
    """One picture, ``(h, w, 3)`` in [0, 1], with the same noise whenever it is made."""
    height, width = photograph.shape[1:3]
    noise = draw_noise(config, jax.random.key(0)[None], height, width)
    image = photograph if getattr(config, "content", True) else None
    return generate(config, variables, image, noise, size=(height, width))[0].clip(0, 1)


class _Run:
    """The parts of one run that the loop hands around."""

    def __init__(
        self,
        config: TrainConfig,
        cadence: Cadence,
        folder: Path | None,
        course: Course | None,
        about: dict[str, Any],
        network: dict[str, Any],
    ) -> None:
        self.config, self.cadence, self.folder, self.course = config, cadence, folder, course
        self.step = parallel.pmap_step(config, make_optimizer(config))
        self.total = config.steps * config.accumulate
        self.log: Log | None = None
        self.samples: list[np.ndarray] = []
        self._about = {**about, "weights": network, "environment": environment()}
        self._rate = make_schedule(config)

    def record(self, state: TrainState) -> dict[str, Any]:
        """What the model says of its training."""
        return {**self._about, "training": self.config.to_json(), "steps": int(state.step)}

    def go(self, state: TrainState, step: Any, batches: Any, callback: Callback | None) -> TrainState:
        """Train to the end, or until the callback asks to stop."""
        window, speed = Window(), math.nan
        done = counted = int(state.step)
        began = time.perf_counter()
        while done < self.total:
            state, metrics = step(state, parallel.split(next(batches)))
            done += 1
            window.add(done, metrics)
            last, line = done == self.total, done % self.cadence.log_every == 0
            if last or line:
                values, now = window.take(), time.perf_counter()
                speed = self.config.data.batch_size * (done - counted) / (now - began)
                counted, began = done, now
                self._write_line(done, values, speed)
            stop = False
            if callback is not None:
                stop = bool(callback(Progress(done, self.total, window.loss, speed, tuple(batches.skipped))))
                # Processes must agree, which costs: on several hosts only where a line is written.
                stop = (line and parallel.any_process(stop)) if jax.process_count() > 1 else stop
            every = self.cadence.checkpoint_every
            if self.course and (last or stop or (every and done % every == 0)):
                window.flush()  # a run that has failed writes nothing more
                self._save(done, state, batches)
            if self.samples and (last or done % self.cadence.sample_every == 0):
                self._write_samples(done, state)
            if stop:
                break
        return state

    def _write_line(self, step: int, values: dict[str, float], speed: float) -> None:
        if self.log is not None:
            rate = float(self._rate((step - 1) // self.config.accumulate))
            self.log.scalars(step, {**values, "learning_rate": rate, "images_per_second": speed})

    def _save(self, step: int, state: TrainState, batches: Any) -> None:
        assert self.course is not None
        assert self.folder is not None
        self.course.save(step, to_arrays(state), {"data": batches.get_state()})
        if jax.process_index() == 0:
            variables = jax.tree.map(np.asarray, state.variables)
            save_generator(self.folder / MODEL, self.config.generator, variables, self.record(state))

    def _write_samples(self, step: int, state: TrainState) -> None:
        assert self.log is not None
        variables = jax.tree.map(np.asarray, state.variables)
        pictures = [np.asarray(_paint(self.config.generator, variables, photo)) for photo in self.samples]
        self.log.samples(step, [np.asarray(photo)[0] for photo in self.samples], pictures)
