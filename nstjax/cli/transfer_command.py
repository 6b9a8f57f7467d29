"""``nstjax transfer``."""

import dataclasses
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.cli.display import Display
from nstjax.cli.frames import Frames
from nstjax.cli.jobs import Job, check_options, make_jobs, make_output_folder, parse_transfer
from nstjax.cli.resume import RunState
from nstjax.cli.run_record import identity_of, is_finished, write_outputs
from nstjax.cli.runtime import check_device, enable_compilation_cache
from nstjax.errors import InputError
from nstjax.images import load_image, median_filter
from nstjax.reports import file_facts, loss_plot
from nstjax.synthesis import Progress, TransferFailed, TransferResult, transfer
from nstjax.typing import Backbone
from nstjax.weights import load_backbone

INTERRUPTED, BAD_INPUT, FAILED = 130, 2, 1
LEAST_SIDE = 8


def load_picture(path: Path) -> np.ndarray:
    """An image large enough to paint or to paint from.

    Raises:
        InputError: it cannot be read, or has fewer than :data:`LEAST_SIDE` pixels on a side.
    """
    image = load_image(path)
    height, width = image.shape[1:3]
    if min(height, width) < LEAST_SIDE:
        raise InputError(f"{path} has {width}×{height} pixels: at least {LEAST_SIDE}×{LEAST_SIDE} are wanted")
    return image


@contextmanager
def _stop_on_interrupt() -> Iterator[dict[str, bool]]:
    """The first Ctrl-C asks the run to stop after its iteration; the second breaks it off."""
    asked = {"stop": False}

    def ask(*_: object) -> None:
        if asked["stop"]:
            raise KeyboardInterrupt
        asked["stop"] = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread: whoever called keeps the signal
        yield asked
        return
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _do(job: Job, backbone: Backbone, record: dict[str, Any]) -> int:
    """Make one picture; the exit code."""
    options = job.options
    content, style = load_picture(job.content), load_picture(job.style)
    init = None if job.init is None else load_picture(job.init)
    inputs = {"content": file_facts(job.content), "style": file_facts(job.style)}
    if job.init is not None:
        inputs["init"] = file_facts(job.init)
    config = job.config.for_backbone(backbone)
    with Display(job.output.name, options.quiet) as display, _stop_on_interrupt() as interrupt:
        for name, facts in record.get("inputs", {}).items():
            if inputs.get(name, {}).get("sha256") != facts["sha256"]:
                display.say(f"note: the {name} image is not the one of the record; the picture will differ")
        if record and record["weights"]["sha256"] != backbone.sha256:
            display.say("note: the weights are not those of the record; the picture will differ")
        identity = identity_of(job, config, backbone, inputs)
        states = RunState(job.output, identity)
        resume = states.load() if options.resume else None
        if options.resume and resume is None:
            if is_finished(job, identity):
                display.say(f"{job.output} is finished already")
                return 0
            display.say("no saved state: starting from the beginning")
        elif resume is not None:
            scale, iteration = resume.scale + 1, resume.saved.iteration
            display.say(f"resuming {job.output.name} at scale {scale}, iteration {iteration}")
        else:
            states.remove()
        frames = Frames(job.output, options.snapshot_every, options.gif, resumed=resume is not None)

        def finish(image: np.ndarray) -> np.ndarray:
            return median_filter(image) if options.median_filter else image

        def on_progress(progress: Progress) -> bool:
            display.show(progress)
            if frames.due(progress):
                frames.add(progress, finish(progress.image()))
            due = options.save_state_every and progress.entry.iteration % options.save_state_every == 0
            if due or (interrupt["stop"] and options.save_state_every):
                try:
                    states.save(progress.state())
                except InputError as error:  # the run is worth more than the chance to resume it
                    display.say(f"note: the state was not saved: {error}")
            return interrupt["stop"]

        began = time.perf_counter()
        layers = ", ".join(config.objective.style_layers)
        display.say(
            f"{backbone.arch} ({backbone.source}): style {layers}; content {', '.join(config.objective.content_layers)}"
        )
        try:
            result = transfer(content, style, backbone, config, on_progress, init_image=init, resume=resume)
        except TransferFailed as error:
            write_outputs(job, config, backbone, inputs, finish(error.image), error.history, "failed", began)
            print(f"nstjax: error: {job.output.name}: {error}", file=sys.stderr)
            return FAILED
        picture, stopped = finish(result.image), result.status == "stopped"
        write_outputs(job, config, backbone, inputs, picture, result.history, result.status, began)
        frames.finish(picture, stopped)
        if options.plot is not None and result.history:
            loss_plot(options.plot, [dataclasses.asdict(e) for e in result.history], job.output.name)
        if stopped:
            again = "; --resume goes on" if options.save_state_every else ""
            display.say(f"stopped: {job.output} holds the picture so far{again}")
            return INTERRUPTED
        states.remove()
        display.say(_summary(job.output, result))
        return 0


def _summary(output: Path, result: TransferResult) -> str:
    height, width = result.image.shape[1:3]
    if not result.history:
        return f"wrote {output} ({width}×{height}) as it began: no step lowers the loss"
    last = result.history[-1]
    return f"wrote {output} ({width}×{height}), loss {last.loss:.4g}, {last.seconds:.0f} s"


def run_transfer(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: bad input; in a folder's run only what concerns every photograph.
    """
    options, config, record = parse_transfer(arguments)
    check_options(options)
    jobs = make_jobs(options, config)
    check_device()
    if options.compilation_cache:
        enable_compilation_cache()
    assert options.content is not None
    folder, network = options.content.is_dir(), options.network
    if not folder:
        load_picture(jobs[0].content)  # a bad image is told before seconds of loading weights
    load_picture(jobs[0].style)
    backbone = load_backbone(network.weights, network.network, network.preprocessing)
    if not folder:
        return _do(jobs[0], backbone, record)
    make_output_folder(jobs[0].output.parent)
    return _do_all(jobs, backbone, record)


def _do_all(jobs: Sequence[Job], backbone: Backbone, record: dict[str, Any]) -> int:
    """Make the pictures of a folder, going on past a bad photograph and saying so at the end."""
    bad: list[str] = []
    worst = 0
    for job in jobs:
        try:
            code = _do(job, backbone, record)
        except InputError as error:
            bad.append(str(error))
            worst = BAD_INPUT
            print(f"nstjax: error: {error}", file=sys.stderr)
            continue
        if code == INTERRUPTED:
            return code
        if code:
            bad.append(f"{job.content.name}: the run failed")
            worst = worst or code
    if bad:
        print(f"nstjax: {len(jobs) - len(bad)} of {len(jobs)} pictures made; not made:", file=sys.stderr)
        for reason in bad:
            print(f"  {reason}", file=sys.stderr)
    return worst
