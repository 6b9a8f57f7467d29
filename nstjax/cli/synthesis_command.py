"""``nstjax transfer``, ``nstjax texture`` and ``nstjax reconstruct``."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.cli.arguments import check_options, parse_command
from nstjax.cli.commands import TransferOptions, content_of
from nstjax.cli.display import Display
from nstjax.cli.flags import with_flags
from nstjax.cli.frames import Frames
from nstjax.cli.interrupt import exit_code, stop_on_interrupt
from nstjax.cli.jobs import Job, make_jobs, make_output_folder
from nstjax.cli.pictures import about, failure_code, load_picture, load_pictures, needed_side, print_skipped
from nstjax.cli.resume import RunState
from nstjax.cli.run_record import identity_of, is_finished, write_outputs
from nstjax.cli.runtime import check_device, keep_programs, warnings_as_notes
from nstjax.cli.synthesise import synthesise
from nstjax.errors import InputError
from nstjax.images import load_image, median_filter
from nstjax.images.folder import Skipped
from nstjax.images.io import load_with_alpha
from nstjax.images.mask_spec import mask_files
from nstjax.locks import lock
from nstjax.nn.vgg import EMBEDDED
from nstjax.reports import contact_sheet
from nstjax.synthesis import Progress, TransferConfig, TransferFailed, TransferResult
from nstjax.synthesis.memory import check_memory
from nstjax.typing import Backbone
from nstjax.weights import load_backbone
from nstjax.weights.store import AUTO

BY_SIGNAL, FAILED = 128, 1
HOW_TO_GET_VGG = "VGG-19 is not installed: using the embedded network, which imitates it; 'nstjax weights fetch vgg19' gets VGG-19"


def _do(job: Job, backbone: Backbone, record: dict[str, Any]) -> int:
    """Make one picture, alone; returns the exit code."""
    with lock(job.output, f"another run is writing {job.output}: wait for its end, or choose another -o"):
        return _make(job, backbone, record)


def _make(job: Job, backbone: Backbone, record: dict[str, Any]) -> int:
    options = job.options
    pictures = load_pictures(job)
    inputs = pictures.facts
    config = job.config.for_backbone(backbone)
    if pictures.content is not None:
        proportions = (pictures.content.shape[1], pictures.content.shape[2])
    else:
        width, height = options.proportions  # type: ignore[union-attr]
        proportions = (height, width)
    check_memory(config, backbone, proportions, pictures.styles)
    with (
        Display(job.output.name, options.quiet) as display,
        warnings_as_notes(display.say),
        stop_on_interrupt() as interrupt,
    ):
        for name, facts in record.get("inputs", {}).items():
            if name not in inputs or inputs[name]["sha256"] != facts["sha256"]:
                display.say(f"note: the {name} image is not the one of the record; the picture will differ")
        if record and record["weights"]["sha256"] != backbone.sha256:
            display.say("note: the weights are not those of the record; the picture will differ")
        if (
            record
            and config.style_strength
            and record["config"].get("objective", {}).get("style_weight") is None
        ):
            display.say("note: the record's style strength had another scale; the picture will differ")
        identity = identity_of(job, config, backbone, inputs)
        states = RunState(job.output, identity)
        frames = Frames(job.output, options.snapshot_every, options.gif)
        # First, since a kill may have left a part of the state of a run whose outputs are all written.
        if options.resume and is_finished(job, identity):
            if states.is_own():
                states.remove()
                frames.finish()
            display.say(f"{job.output} is finished already")
            return 0
        resume = states.load() if options.resume else None
        if resume is not None:
            scale, iteration = resume.scale + 1, resume.saved.iteration
            display.say(f"resuming {job.output.name} at scale {scale}, iteration {iteration}")
        elif options.resume:
            display.say("no saved state: starting from the beginning")

        def finish(image: np.ndarray) -> np.ndarray:
            return median_filter(image) if options.median_filter else image

        begun: list[bool] = []
        failed: set[str] = set()

        def try_to_save(what: str, save: Callable[[], None]) -> None:
            """Save what the run can do without: a failure is reported once, and the run goes on."""
            try:
                save()
                failed.discard(what)
            except InputError as error:
                if what not in failed:
                    display.say(f"note: the {what} was not saved: {with_flags(str(error))}")
                failed.add(what)

        def on_progress(progress: Progress) -> bool:
            if not begun:  # not before: bad input must not cost an earlier run its state
                begun.append(True)
                if resume is None:
                    frames.begin()
                    states.remove()
                else:
                    frames.begin(resume.scale, resume.saved.iteration)
            display.show(progress)
            if frames.due(progress):
                try_to_save("snapshot", lambda: frames.add(progress, finish(progress.image())))
            due = options.save_state_every and progress.entry.iteration % options.save_state_every == 0
            if due or (interrupt.stop and options.save_state_every):
                try_to_save("state", lambda: states.save(progress.state()))
            return interrupt.stop

        began = time.perf_counter()
        display.say(_announcement(backbone, config))
        write = partial(write_outputs, job, config, backbone, inputs)
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
            print(f"nstjax: error: {job.output.name}: {with_flags(str(error))}; {kept}", file=sys.stderr)
            if error.image is not None:
                write(finish(error.image), error.history, "failed", began, frames)
            return FAILED
        write(finish(result.image), result.history, result.status, began, frames)
        if result.status == "stopped":
            again = "; --resume goes on" if options.save_state_every and "state" not in failed else ""
            display.say(f"stopped: {job.output} holds the picture so far{again}")
            return exit_code()
        states.remove()
        frames.finish()
        display.say(_summary(job.output, result))
        return 0


def _announcement(backbone: Backbone, config: TransferConfig) -> str:
    """Weights and layers that will be used."""
    objective = config.objective
    used = [
        f"{what} {', '.join(layers)}"
        for what, layers, weight in (
            ("style", objective.style_layers, objective.beta),
            ("content", objective.content_layers, objective.content_weight),
        )
        if weight
    ]
    return f"{backbone.arch} ({backbone.source}): {'; '.join(used)}"


def _summary(output: Path, result: TransferResult) -> str:
    height, width = result.image.shape[1:3]
    if not result.history:
        return f"wrote {output} ({width}×{height}) as it began: no step lowers the loss"
    last = result.history[-1]
    return f"wrote {output} ({width}×{height}), loss {last.loss:.4g}, {last.seconds:.0f} s"


def run_synthesis(command: str, arguments: Sequence[str]) -> int:
    """Run a command that makes pictures; returns the exit code.

    Raises:
        InputError: bad input; in a folder's run only what concerns every photograph.
    """
    options, config, record = parse_command(command, arguments)
    check_options(options)
    skipped: list[Skipped] = []
    jobs = make_jobs(options, config, skipped)
    check_device()
    keep_programs(options.compilation_cache, options.quiet)
    content, network = content_of(options), options.network
    folder = content is not None and content.is_dir()
    # A bad image is told before seconds of loading weights.
    for path in (*([] if folder or content is None else [content]), *jobs[0].styles):
        load_picture(path, needed_side(config))
    if isinstance(options, TransferOptions):
        for path in mask_files((*options.masks, *options.style_masks)):
            load_with_alpha(path)
    backbone = load_backbone(network.weights, network.network, network.preprocessing)
    if network.weights == AUTO and backbone.arch == EMBEDDED and not options.quiet:
        print(HOW_TO_GET_VGG, file=sys.stderr)
    if folder:
        target = jobs[0].output.parent
        make_output_folder(target)
        with lock(target, f"another run is writing into {target}: wait for its end, or choose another -o"):
            code = _do_all(jobs, backbone, record)
        if not options.quiet:
            print_skipped(skipped)
        return code
    if isinstance(options, TransferOptions) and options.strength_grid:
        return _do_grid(jobs, backbone, record, options.output)
    try:
        return _do(jobs[0], backbone, record)
    except InputError as error:
        raise about(error, jobs[0].content or jobs[0].styles[0]) from error


def _do_grid(jobs: Sequence[Job], backbone: Backbone, record: dict[str, Any], sheet: Path | None) -> int:
    """A picture for each strength, and a sheet of them."""
    assert sheet is not None
    for job in jobs:
        code = _do(job, backbone, record)
        if code:
            return code
    cells = [(load_image(job.output), f"strength {job.config.style_strength:.10g}") for job in jobs]
    contact_sheet(sheet, [cells], jobs[0].label)
    return 0


def _do_all(jobs: Sequence[Job], backbone: Backbone, record: dict[str, Any]) -> int:
    """Make the pictures of a folder, going on past a bad photograph and saying so at the end."""
    bad: list[str] = []
    worst = 0
    for job in jobs:
        try:
            code = _do(job, backbone, record)
        except Exception as error:  # a damaged file can raise nearly anything
            message = str(about(error, job.content or job.styles[0]))
            bad.append(message)
            worst = failure_code(error, worst)
            print(f"nstjax: error: {message}", file=sys.stderr)
            continue
        if code > BY_SIGNAL:
            return code
        if code:
            bad.append(f"{job.label}: the run failed")
            worst = worst or code
    if bad:
        print(f"nstjax: {len(jobs) - len(bad)} of {len(jobs)} pictures made; not made:", file=sys.stderr)
        for reason in bad:
            print(f"  {reason}", file=sys.stderr)
    return worst
