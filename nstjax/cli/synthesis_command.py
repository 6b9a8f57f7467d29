"""``nstjax transfer``, ``nstjax texture`` and ``nstjax reconstruct``: resolves a command line and runs its jobs."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from nstjax.cli.cluster import check_cluster, new_command_id, on_cluster, once_per_command
from nstjax.cli.display import Display
from nstjax.cli.exits import FAILED, about, make_all
from nstjax.cli.flags import with_flags
from nstjax.cli.frames import Frames
from nstjax.cli.interrupt import exit_code, stop_on_interrupt
from nstjax.cli.job import Job, on_any_machine
from nstjax.cli.many import Runner, on_local_devices, on_this_device, one_by_one
from nstjax.cli.notes import announcement, differences
from nstjax.cli.pictures import Pictures, load_picture, load_pictures, needed_side, print_skipped
from nstjax.cli.resolve import Request, resolve_command
from nstjax.cli.resume import RunState
from nstjax.cli.run_record import identity_of, is_finished, write_outputs
from nstjax.cli.runtime import check_device, keep_programs, make_output_folder, warnings_as_notes
from nstjax.cli.synthesise import synthesise
from nstjax.cli.transfer_video import make_video, open_clip
from nstjax.errors import InputError
from nstjax.heap import keep_freed_memory
from nstjax.images import load_image, median_filter
from nstjax.images.io import load_with_alpha
from nstjax.locks import lock
from nstjax.losses.statistics import STATISTICS
from nstjax.nn.vgg import EMBEDDED
from nstjax.reports import contact_sheet
from nstjax.synthesis import Progress, TransferConfig, TransferFailed, TransferResult, TransferState
from nstjax.synthesis.memory import check_transfer_memory
from nstjax.typing import Backbone
from nstjax.weights import load_backbone
from nstjax.weights.store import AUTO

HOW_TO_GET_VGG = "VGG-19 is not installed: using the embedded network, which imitates it; 'nstjax weights fetch vgg19' gets VGG-19"


def run_synthesis(
    command: str, arguments: Sequence[str], watch: Callable[[Progress], bool] = lambda progress: False
) -> int:
    """Run a command that makes pictures by optimization.

    Args:
        command: ``"transfer"``, ``"texture"`` or ``"reconstruct"``.
        arguments: the arguments after the command's name.
        watch: called after every iteration; if it returns True, the run stops, and the picture so far is written.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid. For a folder of photographs, an error about one of them is only
            printed.
    """
    request = resolve_command(command, arguments)
    if request.cluster is not None:
        return _run_on_cluster(request, request.cluster)
    check_device()
    keep_programs(request.compilation_cache, request.quiet)
    first = request.jobs[0]
    # Report a bad image before loading the weights, which takes seconds.
    _check_masks(first)
    clip = None if first.video is None else open_clip(first.main_file)
    pictures = None
    if request.folder is None:  # all jobs use the same images
        pictures = load_pictures(first)
    else:
        _check_shared_images(first)
    network = first.network
    backbone = load_backbone(network.weights, network.network, network.preprocessing)
    if network.weights == AUTO and backbone.arch == EMBEDDED and not request.quiet:
        print(HOW_TO_GET_VGG, file=sys.stderr)
    if clip is not None:
        assert pictures is not None
        try:
            return make_video(first, pictures, clip, backbone, request.record)
        except InputError as error:
            raise about(error, first.main_file) from error
    make = partial(_make, backbone=backbone, record=request.record, pictures=pictures, watch=watch)
    if request.folder is not None:
        # With --shard, all devices compute one picture together.
        runner = one_by_one if first.config.shard else on_local_devices
        return _make_folder(request, request.jobs, make, runner)
    for job in request.jobs:
        try:
            code = make(job)
        except InputError as error:
            raise about(error, job.main_file) from error
        if code:
            return code
    if request.sheet is not None:
        cells = [
            (load_image(job.output.path), f"strength {job.config.style_strength:.10g}")
            for job in request.jobs
        ]
        contact_sheet(request.sheet, [cells], first.main_file.name)
    return 0


def _check_masks(job: Job) -> None:
    """Load the files of all masks."""
    for path in job.sources.arrangement.mask_files():
        load_with_alpha(path)


def _check_shared_images(job: Job) -> None:
    """Load the images, except masks, that all photographs of a folder share, so that a bad one is reported once."""
    for name, path in job.sources.files().items():
        if name != "content" and not name.startswith("mask"):
            load_picture(path, needed_side(job.config))


def _make_folder(
    request: Request, jobs: Sequence[Job], make: Callable[[Job], int], runner: Runner[Job]
) -> int:
    """Make the pictures of a folder; return the exit code."""
    folder = request.folder
    assert folder is not None
    make_output_folder(folder)
    with lock(folder, f"another run is writing into {folder}: wait for its end, or choose another -o"):
        _, code = make_all(jobs, make, lambda job: job.main_file, runner)
    if not request.quiet:
        print_skipped(request.skipped)
    return code


def _run_on_cluster(request: Request, cluster: str) -> int:
    """Make the pictures of a folder on the workers of a cluster; return the exit code."""
    first = request.jobs[0]
    if first.config.objective.style_statistic not in STATISTICS:
        raise InputError("--cluster does not work with a style statistic of your own: leave it out")
    if first.config.shard:
        raise InputError("--shard and --cluster contradict each other: give one of them")
    check_cluster(cluster)
    jax.config.update("jax_platforms", "cpu")  # so that the GPUs are free for the workers
    _check_masks(first)
    _check_shared_images(first)
    jobs = [on_any_machine(job) for job in request.jobs]
    make = partial(transfer_on_worker, request.record, new_command_id())
    runner = on_cluster(cluster, request.compilation_cache, request.quiet)
    return _make_folder(request, jobs, make, runner)


def transfer_on_worker(record: dict[str, Any], command_id: str, job: Job) -> int:
    """Make one picture on a worker of a cluster; return the exit code.

    Args:
        record: the run record that is repeated, or an empty dict.
        command_id: from :func:`nstjax.cli.cluster.once_per_command`.
        job: the job.
    """

    def load() -> Backbone:
        keep_freed_memory()  # as `nstjax` does in its own process
        network = job.network
        return load_backbone(network.weights, network.network, network.preprocessing)

    return _make(job, once_per_command(command_id, load), record, None, lambda progress: False)


class _Observer(Protocol):
    """An observer of a run."""

    def begin(self, resume: TransferState | None) -> None:
        """Handle the start. The run calls this once, before the first step, when the input has been checked."""

    def step(self, progress: Progress, stopping: bool) -> None:
        """Handle an iteration. The run calls this after each one; ``stopping`` is True if it will stop then."""

    def end(self) -> None:
        """Handle the end of the run. The run calls this when all outputs are written."""


def _make(
    job: Job,
    backbone: Backbone,
    record: dict[str, Any],
    pictures: Pictures | None,
    watch: Callable[[Progress], bool],
) -> int:
    """Make one picture, with a lock that keeps other runs from writing it; return the exit code.

    Args:
        job: the job.
        backbone: the feature network.
        record: the run record that is repeated, or an empty dict.
        pictures: the job's images, or None to load them.
        watch: see :func:`run_synthesis`.
    """
    path = job.output.path
    with lock(path, f"another run is writing {path}: wait for its end, or choose another -o"):
        pictures, backbone = pictures or load_pictures(job), on_this_device(backbone)
        config = job.config.for_backbone(backbone)
        check_transfer_memory(config, backbone, _proportions(job, pictures), pictures.styles)
        with Display(path.name, job.quiet) as display, warnings_as_notes(display.say):
            return _run(job, pictures, backbone, config, record, display, watch)


def _proportions(job: Job, pictures: Pictures) -> tuple[int, int]:
    """Return two numbers with the ratio of the picture's height and width."""
    if pictures.content is not None:
        return pictures.content.shape[1], pictures.content.shape[2]
    width, height = job.sources.arrangement.proportions
    return height, width


def _run(
    job: Job,
    pictures: Pictures,
    backbone: Backbone,
    config: TransferConfig,
    record: dict[str, Any],
    display: Display,
    watch: Callable[[Progress], bool],
) -> int:
    """Run the synthesis of one job and write its outputs; return the exit code."""
    path = job.output.path
    for what in differences(record, config, backbone, pictures):
        display.say(f"note: {what}; the picture will differ")
    identity = identity_of(job, config, backbone, pictures.facts)

    def finish(image: np.ndarray) -> np.ndarray:
        return median_filter(image) if job.output.median_filter else image

    states = RunState(path, identity, job.save_state_every)
    frames = Frames(path, job.output.snapshot_every, job.output.gif, finish)
    observers: dict[str, _Observer] = {"snapshot": frames, "state": states}
    # Checked first, because a kill may have left part of the state of a run whose outputs are all written.
    if job.resume and is_finished(job, identity):
        if states.is_own():
            states.end()
            frames.end()
        display.say(f"{path} is finished already")
        return 0
    resume = states.load() if job.resume else None
    if resume is not None:
        display.say(f"resuming {path.name} at scale {resume.scale + 1}, iteration {resume.saved.iteration}")
    elif job.resume and not display.beside:
        display.say("no saved state: starting from the beginning")
    began = time.perf_counter()
    display.say(announcement(backbone, config))
    with stop_on_interrupt() as interrupt:
        begun = False

        def on_progress(progress: Progress) -> bool:
            nonlocal begun
            if not begun:  # not earlier, because bad input must not delete the state of an earlier run
                begun = True
                for observer in observers.values():
                    observer.begin(resume)
            display.show(progress)
            interrupt.stop = watch(progress) or interrupt.stop
            for what, observer in observers.items():
                display.attempt(what, partial(observer.step, progress, interrupt.stop))
            return interrupt.stop

        write = partial(write_outputs, job, config, backbone, pictures.facts)
        try:
            result = synthesise(
                job,
                pictures,
                backbone,
                config,
                lambda _: interrupt.stop,
                on_progress,
                init_image=pictures.init,
                resume=resume,
            )
        except TransferFailed as error:
            kept = "no output was written" if error.image is None else "the last good picture is kept"
            display.error(f"nstjax: error: {path.name}: {with_flags(str(error))}; {kept}")
            if error.image is not None:
                write(finish(error.image), error.history, "failed", began, frames)
            return FAILED
        write(finish(result.image), result.history, result.status, began, frames)
        if result.status == "stopped":
            again = "; --resume continues" if job.save_state_every and "state" not in display.failed else ""
            display.say(f"stopped: {path} holds the picture so far{again}")
            return exit_code()
        for observer in reversed(observers.values()):
            observer.end()
        display.say(_summary(path, result))
        return 0


def _summary(output: Path, result: TransferResult) -> str:
    """Return a line with the size and loss of the result."""
    height, width = result.image.shape[1:3]
    if not result.history:
        return f"wrote {output} ({width}×{height}) as it began: no step lowers the loss"
    last = result.history[-1]
    return f"wrote {output} ({width}×{height}), loss {last.loss:.4g}, {last.seconds:.0f} s"
