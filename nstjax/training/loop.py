"""The training loop. The result of a run that resumes from a checkpoint is bit-identical."""

import contextlib
import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax
import numpy as np

from nstjax.checkpoints import Course
from nstjax.errors import InputError, InputWarning, OutputError
from nstjax.files import make_folder, save_elsewhere
from nstjax.generators import GeneratorConfig, Variables, draw_noise, generate
from nstjax.generators.store import IN_A_RUN, Generator, save_generator
from nstjax.images import fit_long_side, resize
from nstjax.losses import Targets
from nstjax.nn.prepare import prepared
from nstjax.nn.vgg import check_layers, check_size
from nstjax.pixels import check_image
from nstjax.plain import checked
from nstjax.reports import environment
from nstjax.training import parallel
from nstjax.training.cadence import Cadence, TrainCallback, TrainProgress
from nstjax.training.config import TrainConfig
from nstjax.training.identity import check_identity, run_identity
from nstjax.training.metrics import Log, MetricSums, MetricWindow
from nstjax.training.photographs import first_photographs, open_share
from nstjax.training.state import (
    TrainState,
    from_arrays,
    init_state,
    make_optimizer,
    make_schedule,
    to_arrays,
)
from nstjax.training.step import targets_of_styles, unchanged_loss
from nstjax.typing import Backbone, Images

CHECKPOINTS = "checkpoints"
SAMPLES = 4  # photographs of the sample pictures, unless they are given
MOST_SAMPLES = 16  # sample pictures of a generator of many styles


def _check(config: TrainConfig, backbone: Backbone, styles: int) -> None:
    record = config.objective
    if styles != config.generator.styles:
        raise InputError(
            f"`styles` is {config.generator.styles} and there are {styles} style images: give one for each style"
        )
    check_layers(backbone, record.used_content_layers, "content_layers")
    check_layers(backbone, record.used_style_layers, "style_layers")
    check_size(record.layers, config.data.size, config.data.size, "`data.size`: an image")
    parallel.check_batch(config.data.batch_size)


def scaled_style(config: TrainConfig, style: Images) -> np.ndarray:
    """Resize the style image so that its longer side has ``config.style_size`` pixels. It is never enlarged.

    Args:
        config: only ``style_size`` is used.
        style: ``(1, h, w, 3)`` in [0, 1].

    Returns:
        ``(1, h', w', 3)`` float32 in [0, 1].
    """
    height, width = style.shape[1:3]
    side = min(config.style_size, max(height, width))
    return np.asarray(resize(style, *fit_long_side(height, width, side)), np.float32).clip(0, 1)


def train(
    config: TrainConfig,
    style: Images | Sequence[Images],
    backbone: Backbone,
    folder: Path | None = None,
    callback: TrainCallback | None = None,
    *,
    cadence: Cadence | None = None,
    about: dict[str, Any] | None = None,
    samples: list[np.ndarray] | None = None,
    begin: Callable[[], None] | None = None,
    start: Variables | None = None,
    finish: Callable[[Generator], Generator] | None = None,
) -> Generator:
    """Train a generator. If ``folder`` has checkpoints, the run resumes from the newest one.

    In a run on several hosts, every process calls this function with the same arguments. Metrics and sample
    pictures that cannot be written give an :class:`~nstjax.errors.InputWarning`, and the run continues.

    Args:
        config: all settings that determine the result.
        style: the style image, ``(1, h, w, 3)`` in [0, 1], or a sequence of ``config.generator.styles`` of them. Of
            several, each photograph of a batch gets one, in turns.
        backbone: the feature network.
        folder: folder for checkpoints, metrics, sample pictures and the model; None to write nothing.
        callback: function called after every step. If it returns True, a checkpoint is written and the
            training stops; with several processes only at a step whose metrics are logged. If there is a callback,
            the first process computes the loss of the unchanged photographs before the first step.
        cadence: intervals of metrics, checkpoints and sample pictures; by default ``Cadence()``.
        about: JSON-able values to store in the model's record, for example the name of the style image.
        samples: photographs ``(1, h, w, 3)`` in [0, 1], all of one height, for the sample pictures; by
            default the first ones of the training data.
        begin: function called once, after all checks and before anything is written.
        start: weights to begin with, of a generator of this config; by default random ones. A checkpoint in
            ``folder`` takes precedence.
        finish: function applied to the generator before it is stored and returned, for example to add the trained
            styles to those of another generator.

    Returns:
        The trained generator, with NumPy arrays as variables and the record of its training.

    Raises:
        InputError: If a setting is invalid, the data cannot be read, the folder cannot be written, or its
            checkpoint belongs to another run.
        OutputError: If a checkpoint or the model cannot be written.
        TrainingFailed: If the loss stays non-finite.
    """
    cadence = cadence or Cadence()
    config = config.for_backbone(backbone)
    styles = [style] if isinstance(style, np.ndarray | jax.Array) else list(style)
    styles = [check_image("style image", image) for image in styles]
    samples = None if samples is None else [check_image("sample photograph", image) for image in samples]
    _check(config, backbone, len(styles))
    batches = open_share(config)
    identity = run_identity(config, styles, backbone)
    course = None if folder is None else Course(folder / CHECKPOINTS, cadence.keep, cadence.keep_period)
    first = jax.process_index() == 0
    log = None
    try:
        state, sums = init_state(config, start), MetricSums()
        kept = course.load_newest() if course else None
        if course is not None and kept is not None:
            state, sums = _restored(state, *kept, batches, course.directory, identity)
            if int(state.step) > config.steps * config.accumulate:
                raise InputError(
                    f"`steps` is {config.steps}, and the checkpoint in {course.directory} has "
                    f"{int(state.step) // config.accumulate}: give at least as many, or another folder"
                )
        targets = targets_of_styles(config, backbone, [scaled_style(config, image) for image in styles])
        sampled = first and folder is not None and cadence.sample_every != 0
        photographs: list[np.ndarray] = []
        if first and (callback is not None or (sampled and samples is None)):
            photographs = first_photographs(config, max(SAMPLES, min(config.generator.styles, MOST_SAMPLES)))
        unchanged = math.nan
        if callback is not None and photographs and config.generator.content:
            unchanged = _loss_of_photographs(config, backbone, targets, photographs)
        state, network, targets = parallel.on_every_device(
            (state, prepared(backbone, config.objective.layers), targets)
        )
        run = _Run(config, cadence, folder, course, about or {}, backbone.describe(), identity, sums, finish)
        run.unchanged = unchanged
        if begin is not None:
            begin()
        if folder is not None and first:
            make_folder(folder)
            # The last step writes a line even between two regular ones. If a finished run is extended, that
            # line is removed: its steps are part of the next regular line.
            log = Log(folder, sums.since if int(state.step) < run.total else int(state.step))
            run.log = log
            if sampled:
                run.samples = samples if samples is not None else photographs[:SAMPLES]
        finished = int(state.step) == run.total
        state = run.go(state, lambda s, b: run.step((s, network, targets), b), batches, callback)
        if finished and first and folder is not None:
            # A process may be killed, or the disk may be full, after the last checkpoint and before the model.
            run.save_model(state)
        if course is not None:
            course.close()
        return run.generator(state)
    except BaseException:
        if course is not None:
            with contextlib.suppress(InputError):  # the error being raised already says more
                course.close()
        raise
    finally:
        batches.close()
        if log is not None:
            log.close()


class _Record(TypedDict):
    """The part of a checkpoint that is not arrays."""

    data: dict[str, Any]
    metrics: NotRequired[MetricSums]  # missing in checkpoints of earlier versions
    identity: NotRequired[dict[str, Any]]  # likewise


def _restored(
    template: TrainState, arrays: Any, record: Any, batches: Any, where: Path, identity: dict[str, Any]
) -> tuple[TrainState, MetricSums]:
    """Restore the state and the sums of the metrics from a checkpoint, and the position of ``batches``.

    Raises:
        InputError: If the checkpoint is damaged or belongs to another run.
    """
    try:
        state = from_arrays(template, checked(arrays, dict[str, np.ndarray], "the state"))
        whole: _Record = checked(record, _Record, "the record")
    except InputError as error:
        raise InputError(f"cannot resume from {where}: {error}") from error
    if "identity" in whole:
        check_identity(whole["identity"], identity, where)
    batches.set_state(whole["data"])
    return state, whole.get("metrics", MetricSums(int(state.step)))


def _loss_of_photographs(
    config: TrainConfig, backbone: Backbone, targets: Targets, photographs: Sequence[np.ndarray]
) -> float:
    """Return the mean of :func:`unchanged_loss` over photographs, one at a time to save memory."""
    loss = jax.jit(unchanged_loss, static_argnums=0)
    return float(np.mean([loss(config, backbone, targets, p, i) for i, p in enumerate(photographs)]))


@partial(jax.jit, static_argnums=0)
def _paint(config: GeneratorConfig, variables: Any, photograph: Any, style: Any) -> jax.Array:
    """Stylize one photograph, always with the same noise; return ``(h, w, 3)`` in [0, 1]."""
    height, width = photograph.shape[1:3]
    noise = draw_noise(config, jax.random.key(0)[None], height, width)
    image = photograph if config.content else None
    return generate(config, variables, image, noise, size=(height, width), style=style)[0].clip(0, 1)


class _Run:
    """The state shared by the parts of the training loop."""

    def __init__(
        self,
        config: TrainConfig,
        cadence: Cadence,
        folder: Path | None,
        course: Course | None,
        about: dict[str, Any],
        network: dict[str, Any],
        identity: dict[str, Any],
        sums: MetricSums,
        finish: Callable[[Generator], Generator] | None,
    ) -> None:
        self.config, self.cadence, self.folder, self.course = config, cadence, folder, course
        self.step = parallel.step_on_devices(config, make_optimizer(config))
        self.identity = identity
        self.total = config.steps * config.accumulate
        self.log: Log | None = None
        self.samples: list[np.ndarray] = []
        self.unchanged = math.nan
        self._finish = finish
        self._about = {**about, "weights": network, "environment": environment()}
        self._rate = make_schedule(config)
        self._window = MetricWindow(sums)

    def record(self, state: TrainState) -> dict[str, Any]:
        """Return the record of the run that is stored with the model."""
        return {**self._about, "training": self.config.to_json(), "steps": int(state.step)}

    def generator(self, state: TrainState) -> Generator:
        """Return the generator to store for a state."""
        variables = jax.tree.map(np.asarray, state.variables)
        generator = Generator(self.config.generator, variables, self.record(state))
        return generator if self._finish is None else self._finish(generator)

    def go(self, state: TrainState, step: Any, batches: Any, callback: TrainCallback | None) -> TrainState:
        """Train until the last step, or until the callback stops the run; return the last state."""
        window, speed = self._window, math.nan
        done = counted = int(state.step)
        began = time.perf_counter()
        while done < self.total:
            state, metrics = step(state, next(batches))
            done += 1
            window.add(done, metrics)
            last, line = done == self.total, done % self.cadence.log_every == 0
            if last or line:
                values, now = window.averages(), time.perf_counter()
                speed = self.config.data.batch_size * (done - counted) / (now - began)
                counted, began = done, now
                self._write_line(done, values, speed)
            if line:
                window.restart(done)
            if last:
                window.check_learning(done)
            sample = None
            if self.samples and self.cadence.samples_due(done, self.total):
                sample = self._write_samples(done, state)
            stop = False
            if callback is not None:
                skipped = tuple(batches.skipped)
                progress = TrainProgress(
                    done, self.total, window.loss, self.unchanged, speed, skipped, sample
                )
                stop = bool(callback(progress))
                # All processes must agree, which takes time: they ask each other only when a line is written.
                stop = (line and parallel.any_process(stop)) if jax.process_count() > 1 else stop
            every = self.cadence.checkpoint_every
            if self.course and (last or stop or (every and done % every == 0)):
                self._save(
                    done, state, batches, window.sums()
                )  # window.sums() raises if the run has failed, so nothing is written then
            if stop:
                break
        return state

    def _write_line(self, step: int, values: dict[str, float], speed: float) -> None:
        if self.log is not None:
            rate = float(self._rate((step - 1) // self.config.accumulate))
            line = {**values, "learning_rate": rate, "images_per_second": speed}
            self._try(lambda log: log.scalars(step, line))

    def _try(self, write: Callable[[Log], Path | None]) -> Path | None:
        """Write something optional and return its path. If that fails, warn, return None, and continue the run."""
        assert self.log is not None
        try:
            return write(self.log)
        except InputError as error:
            warnings.warn(str(error), InputWarning, stacklevel=2)
        return None

    def _save(self, step: int, state: TrainState, batches: Any, sums: MetricSums) -> None:
        assert self.course is not None
        assert self.folder is not None
        failure = None
        record = {
            "data": batches.get_state(),
            "metrics": dataclasses.asdict(sums),
            "identity": self.identity,
        }
        try:
            self._check_folder()
            self.course.save(step, to_arrays(state), record)
        except OutputError as error:
            failure = error
        if jax.process_index() == 0 and sums.bad_in_a_row < step:  # otherwise nothing was trained
            self.save_model(state)
        if failure is not None:
            raise failure

    def save_model(self, state: TrainState) -> None:
        """Write the model of a state to the run's folder, or elsewhere if that fails."""
        assert self.folder is not None
        made = self.generator(state)

        def write(path: Path) -> None:
            if path.parent == self.folder:
                self._check_folder()
            save_generator(path, made.config, made.variables, made.record)

        save_elsewhere(self.folder / IN_A_RUN, write, "the model")

    def _check_folder(self) -> None:
        """Raise :class:`OutputError` if the run's folder was deleted; writers would silently create it."""
        if self.folder is not None and not self.folder.is_dir():
            raise OutputError(f"the run's folder {self.folder} does not exist any more")

    def _write_samples(self, step: int, state: TrainState) -> Path | None:
        assert self.log is not None
        variables = jax.tree.map(np.asarray, state.variables)
        styles = self.config.generator.styles
        photographs, pictures = [], []
        for number in range(max(len(self.samples), min(styles, MOST_SAMPLES))):  # every style once
            photo = self.samples[number % len(self.samples)]
            style = None if styles == 1 else np.eye(styles, dtype=np.float32)[number % styles]
            photographs.append(np.asarray(photo)[0])
            pictures.append(np.asarray(_paint(self.config.generator, variables, photo, style)))
        if not all(np.isfinite(picture).all() for picture in pictures):
            return None  # the training diverges; the loss says so
        return self._try(lambda log: log.samples(step, photographs, pictures))
