"""``nstjax transfer`` of a video or an animation, frame by frame."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.cli.display import Display
from nstjax.cli.exits import FAILED
from nstjax.cli.flags import with_flags
from nstjax.cli.frame_store import FrameStore, Kept
from nstjax.cli.interrupt import Interrupt, exit_code, stop_on_interrupt
from nstjax.cli.job import Job
from nstjax.cli.media import kind_of
from nstjax.cli.notes import announcement, differences
from nstjax.cli.pictures import LEAST_SIDE, Pictures
from nstjax.cli.run_record import identity_of, is_finished, write_video_record
from nstjax.cli.runtime import warnings_as_notes
from nstjax.cli.synthesise import build_styles, mixed_styles
from nstjax.errors import InputError
from nstjax.files import save_elsewhere, write_atomically
from nstjax.images import median_filter
from nstjax.images.animation import Animation, encode_animation, open_animation
from nstjax.images.video import change_video
from nstjax.images.video_input import first_frame
from nstjax.locks import lock
from nstjax.synthesis import (
    FrameResult,
    FrameState,
    Progress,
    TransferConfig,
    TransferFailed,
    transfer_frame,
)
from nstjax.synthesis.memory import check_transfer_memory
from nstjax.typing import Backbone


class _Stopped(Exception):
    """A signal stopped the run."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """A video or an animation.

    Attributes:
        animation: the animation, or None for a video.
        size: height and width in pixels.
        count: the approximate number of frames; 0 if it is unknown.
    """

    animation: Animation | None
    size: tuple[int, int]
    count: int


def open_clip(path: Path) -> Clip:
    """Read the properties of a video or an animation.

    Raises:
        InputError: If it cannot be read, or is too small.
    """
    if kind_of(path) == "video":
        frame, count = first_frame(path)
        clip = Clip(None, frame.shape[1:3], count)
    else:
        animation = open_animation(path)
        clip = Clip(animation, animation.size, len(animation.milliseconds))
    height, width = clip.size
    if min(height, width) < LEAST_SIDE:
        raise InputError(
            f"{path} has {width}×{height} pixels: it must have at least {LEAST_SIDE}×{LEAST_SIDE}"
        )
    return clip


def make_video(job: Job, pictures: Pictures, clip: Clip, backbone: Backbone, record: dict[str, Any]) -> int:
    """Make one video, with a lock that keeps other runs from writing it; return the exit code.

    Args:
        job: the job, with settings of the video.
        pictures: the decoded images, without the video.
        clip: the properties of the video.
        backbone: the feature network.
        record: the run record that is repeated, or an empty dict.

    Raises:
        InputError: If the input is not valid, or the transfer does not fit into memory.
        OutputError: If the video cannot be written.
    """
    path = job.output.path
    with lock(path, f"another run is writing {path}: wait for its end, or choose another -o"):
        config = job.config.for_backbone(backbone)
        check_transfer_memory(config, backbone, clip.size, pictures.styles)
        with Display(path.name, job.quiet) as display, warnings_as_notes(display.say):
            for what in differences(record, config, backbone, pictures):
                display.say(f"note: {what}; the video will differ")
            return _run(_Run(job, pictures, backbone, config, clip), display)


@dataclasses.dataclass(frozen=True)
class _Run:
    """The inputs of a run: the job, its images and network, the config with all layers named, and the video."""

    job: Job
    pictures: Pictures
    backbone: Backbone
    config: TransferConfig
    clip: Clip

    def work(self) -> tuple[float, float]:
        """Return the work of a frame that starts a scene, and of any other, in iterations times pixels."""
        assert self.job.video is not None
        first, other = (
            sum(side**2 * config.iterations_at(i) for i, side in enumerate(config.pyramid()))
            for config in (self.config, self.job.video.following(self.config))
        )
        return first, other


def _run(run: _Run, display: Display) -> int:
    """Make the video; return the exit code."""
    job, path = run.job, run.job.output.path
    identity = identity_of(job, run.config, run.backbone, run.pictures.facts)
    store = FrameStore(path, identity)
    kept = None
    try:
        kept = store.load()
    except InputError as error:
        display.say(f"note: {error}: starting from the beginning")
    if job.resume and is_finished(job, identity):
        if store.is_own():
            store.end()
        display.say(f"{path} is finished already")
        return 0
    began = time.perf_counter()
    display.say(announcement(run.backbone, run.config))
    store.begin(kept)
    with stop_on_interrupt() as interrupt:
        painter = _Painter(run, store, kept, display, interrupt)
        try:
            if run.pictures.fine is not None:
                styles = mixed_styles(run.pictures, run.backbone, run.config, lambda _: interrupt.stop)
                run = dataclasses.replace(
                    run, pictures=dataclasses.replace(run.pictures, styles=styles, fine=None)
                )
                painter = _Painter(run, store, kept, display, interrupt)
            _write(run, painter, store, display)
            write_video_record(job, run.config, run.backbone, run.pictures.facts, painter.facts, began)
        except TransferFailed as error:
            number = len(painter.facts) + 1
            print(
                f"nstjax: error: {path.name}: frame {number}: {with_flags(str(error))}; no output was written",
                file=sys.stderr,
            )
            return FAILED
        except (_Stopped, KeyboardInterrupt):  # the second: while fine styles were mixed
            again = "" if "frame" in display.failed else "; the same command continues there"
            display.say(f"stopped after frame {len(painter.facts)}{painter.of}{again}")
            return exit_code()
        finally:
            store.release()
    store.end()
    display.say(f"wrote {path} ({len(painter.facts)} frames), {time.perf_counter() - began:.3g} s")
    return 0


def _write(run: _Run, painter: "_Painter", store: FrameStore, display: Display) -> None:
    """Make all frames and write the output.

    Raises:
        InputError: If a frame cannot be read or stylized.
        OutputError: If the output cannot be written. The message says where it is saved instead.
    """
    job, animation = run.job, run.clip.animation
    if animation is not None:
        content = encode_animation(
            job.output.path,
            (painter.paint(frame) for frame in animation.frames()),
            animation.milliseconds,
            animation.loop,
        )
        save_elsewhere(job.output.path, lambda path: write_atomically(path, content), "the animation")
        return
    change_video(job.main_file, store.unfinished, painter.paint, display.say)
    store.publish()


class _Painter:
    """Makes the pictures of the frames in order, and saves each.

    Args:
        run: the inputs of the run.
        store: the store of the finished frames.
        kept: the frames of an interrupted run, which are not made again.
        display: the progress display.
        interrupt: tells when a signal was received.

    Attributes:
        facts: facts about the finished frames, as JSON.
        of: the text `` of N`` with the number of frames, if it is known.
    """

    def __init__(
        self, run: _Run, store: FrameStore, kept: Kept | None, display: Display, interrupt: Interrupt
    ) -> None:
        self._run, self._store, self._display, self._interrupt = run, store, display, interrupt
        self.facts: list[dict[str, Any]] = [] if kept is None else list(kept.facts)
        self._state = None if kept is None else FrameState(kept.tree["frame"], kept.tree["iterate"])
        self._kept, self._shown = len(self.facts), 0
        self.of = f" of {run.clip.count}" if run.clip.count else ""
        if self._kept:
            display.say(f"resuming {run.job.output.path.name} after frame {self._kept}{self.of}")

    def paint(self, frame: np.ndarray) -> np.ndarray:
        """Return the picture of the next frame, ``(1, h, w, 3)`` in [0, 1].

        Raises:
            InputError: If the frame cannot be stylized, or a saved picture cannot be read.
            TransferFailed: If the loss became non-finite.
            _Stopped: If a signal stopped the run.
        """
        if self._interrupt.stop:
            raise _Stopped
        number, self._shown = self._shown, self._shown + 1
        if number < self._kept:
            return self._store.picture(number)
        run, job = self._run, self._run.job
        found = transfer_frame(
            frame,
            build_styles(job.sources.arrangement, frame, run.pictures.styles),
            run.backbone,
            run.config,
            job.video,
            self._state,
            self._show,
        )
        if found.result.status == "stopped":
            raise _Stopped
        picture = median_filter(found.image) if job.output.median_filter else found.image
        self._state = found.state
        self.facts.append(_facts(found))
        if "frame" not in self._display.failed:  # frames after one that is missing are of no use
            tree = {"frame": found.state.frame, "iterate": found.state.iterate}
            self._display.attempt("frame", lambda: self._store.add(picture, tree, self.facts))
        return picture

    def _show(self, progress: Progress) -> bool:
        """Show the progress; return True if the run should stop."""
        first, other = self._run.work()
        done, count = len(self.facts), self._run.clip.count
        own = other if done else first
        share = 0.0
        if count:
            before = first + other * (done - 1) if done else 0.0
            share = min(1.0, (before + own * progress.done) / (first + other * (count - 1)))
        entry = progress.entry
        text = (
            f"{self._run.job.output.path.name}  frame {done + 1}{self.of.replace(' of ', '/')}  "
            f"iteration {entry.iteration}/{progress.iterations}  loss {entry.loss:.4g}"
        )
        self._display.update(share, text)
        return self._interrupt.stop


def _facts(found: FrameResult) -> dict[str, Any]:
    """Return what the run record says about a frame."""
    history = found.result.history
    last = {"loss": history[-1].loss, "terms": history[-1].terms} if history else {}
    return {
        "start": found.is_start,
        "iterations": len(history),
        "status": found.result.status,
        **last,
    }
