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
from nstjax.cli.options import TransferOptions, base_options, preset
from nstjax.cli.parse import parse, value_of
from nstjax.cli.resume import RunState
from nstjax.cli.runtime import enable_compilation_cache
from nstjax.errors import InputError
from nstjax.images import check_output, find_images, load_image, median_filter, save_image
from nstjax.reports import environment, file_facts, loss_plot, read_record, write_record
from nstjax.synthesis import Progress, TransferConfig, TransferFailed, TransferResult, transfer
from nstjax.typing import Backbone
from nstjax.weights import load_backbone

PROG = "nstjax transfer"
INTERRUPTED, BAD_INPUT, FAILED = 130, 2, 1


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make: everything resolved and checked that can be before work begins."""

    content: Path
    style: Path
    init: Path | None
    output: Path
    options: TransferOptions
    config: TransferConfig
    weights: str


def record_path(output: Path) -> Path:
    """``OUT``'s stem with ``.run.json``, beside it."""
    return output.with_name(f"{output.stem}.run.json")


def _parse(arguments: Sequence[str]) -> tuple[TransferOptions, TransferConfig, dict[str, Any]]:
    """Options, the config they give, and the record of ``--from`` (empty without)."""
    record: dict[str, Any] = {}
    source, name = value_of(arguments, "--from"), value_of(arguments, "--preset")
    if source is not None and name is not None:
        raise InputError(
            "--from and --preset contradict each other: a record has all settings; give one of them"
        )
    if source is not None:
        record = read_record(Path(source))
        base = TransferConfig.from_json(record["config"])
    else:
        base = preset(name or "default")
    default = base_options(base)
    if record:
        inputs, output = record["inputs"], record["output"]
        default = dataclasses.replace(
            default,
            content=Path(inputs["content"]["path"]),
            style=Path(inputs["style"]["path"]),
            init_image=Path(inputs["init"]["path"]) if "init" in inputs else None,
            output=Path(output["path"]),
            bits=output["bits"],
            quality=output["quality"],
            median_filter=output["median_filter"],
            network=dataclasses.replace(default.network, **record["weights_option"]),
        )
    options = parse(TransferOptions, arguments, PROG, default)
    for what, value in (("CONTENT", options.content), ("STYLE", options.style), ("-o OUT", options.output)):
        if value is None:
            raise InputError(f"{what} is missing: nstjax transfer CONTENT STYLE -o OUT (see {PROG} --help)")
    return options, options.config(base), record


def _check_options(options: TransferOptions) -> None:
    for flag, count in (
        ("--save-state-every", options.save_state_every),
        ("--snapshot-every", options.snapshot_every),
    ):
        if count < 0:
            raise InputError(f"{flag} is {count}: it must be 0 (never) or more")
    if not 1 <= options.quality <= 100:
        raise InputError(f"--quality is {options.quality}: it must be between 1 and 100")
    if options.gif is not None and options.gif.suffix.lower() != ".gif":
        raise InputError(f"the animation {options.gif} must end in .gif")
    if options.plot is not None and options.plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"the plot {options.plot} must end in .png, .svg or .pdf")
    for path in (options.gif, options.plot):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"the folder {path.parent} of {path.name} does not exist: make it first")
    if options.resume and options.save_state_every == 0:
        raise InputError("--resume and --save-state-every 0 contradict each other: leave one of them out")


def _jobs(options: TransferOptions, config: TransferConfig) -> list[Job]:
    assert options.content is not None
    assert options.output is not None
    content, output = options.content, options.output

    def job(source: Path, target: Path) -> Job:
        assert options.style is not None
        return Job(
            source, options.style, options.init_image, target, options, config, options.network.weights
        )

    if not content.is_dir():
        check_output(output, options.bits)
        return [job(content, output)]
    if options.gif is not None or options.plot is not None:
        raise InputError("--gif and --plot name one file, but CONTENT is a folder: leave them out")
    photographs = find_images(content)
    if output.suffix and not output.is_dir():
        raise InputError(f"CONTENT is a folder, so -o {output} must be a folder too: leave out the suffix")
    if output.exists() and output.resolve() == content.resolve():
        raise InputError(
            f"-o {output} is the folder of the photographs, which would be overwritten: name another"
        )
    stems = [photograph.stem for photograph in photographs]
    # Two photographs that differ in suffix alone must not write one picture.
    names = [p.stem if stems.count(p.stem) == 1 else p.name.replace(".", "_") for p in photographs]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {output}: {error.strerror}; choose another place"
        ) from error
    jobs = [job(source, output / f"{name}.png") for source, name in zip(photographs, names, strict=True)]
    check_output(jobs[0].output, options.bits)
    return jobs


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


def _identity(job: Job, config: TransferConfig, backbone: Backbone, inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "config": config.to_json(),
        "content": inputs["content"]["sha256"],
        "style": inputs["style"]["sha256"],
        "init": inputs.get("init", {}).get("sha256"),
        "weights": backbone.describe(),
    }


def _do(job: Job, backbone: Backbone, record: dict[str, Any]) -> int:
    """Make one picture; the exit code."""
    options = job.options
    content, style = load_image(job.content), load_image(job.style)
    init = None if job.init is None else load_image(job.init)
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
        identity = _identity(job, config, backbone, inputs)
        states = RunState(job.output, identity)
        resume = states.load() if options.resume else None
        if options.resume and resume is None:
            if _finished(job.output, identity):
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
            _write(job, config, backbone, inputs, finish(error.image), error.history, "failed", began)
            print(f"nstjax: error: {job.output.name}: {error}", file=sys.stderr)
            return FAILED
        _write(job, config, backbone, inputs, finish(result.image), result.history, result.status, began)
        frames.finish(finish(result.image))
        if options.plot is not None:
            loss_plot(options.plot, [dataclasses.asdict(e) for e in result.history], job.output.name)
        if result.status == "stopped":
            display.say(f"stopped: {job.output} holds the picture so far; --resume goes on")
            return INTERRUPTED
        states.remove()
        display.say(_summary(job.output, result))
        return 0


def _summary(output: Path, result: TransferResult) -> str:
    last = result.history[-1]
    height, width = result.image.shape[1:3]
    return f"wrote {output} ({width}×{height}), loss {last.loss:.4g}, {last.seconds:.0f} s"


def _finished(output: Path, identity: dict[str, Any]) -> bool:
    """Whether the output is there with the record of a run of the same identity that came to its end."""
    path = record_path(output)
    if not output.exists() or not path.exists():
        return False
    found = read_record(path)
    same = found["config"] == _plain(identity["config"]) and found["weights"] == _plain(identity["weights"])
    hashes = all(
        found["inputs"].get(k, {}).get("sha256") == identity[k] for k in ("content", "style", "init")
    )
    return same and hashes and found["status"] not in ("stopped", "failed")


def _plain(data: Any) -> Any:
    """As JSON would give it back."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, tuple | list) else data


def _write(
    job: Job,
    config: TransferConfig,
    backbone: Backbone,
    inputs: dict[str, Any],
    image: np.ndarray,
    history: Sequence[Any],
    status: str,
    began: float,
) -> None:
    options = job.options
    settings = {"config": config.to_json(), "weights": backbone.describe(), "inputs": inputs}
    record = {
        **settings,
        "seed": config.seed,
        "weights_option": _weights_option(options),
        "output": {
            "path": str(job.output.absolute()),
            "bits": options.bits,
            "quality": options.quality,
            "median_filter": options.median_filter,
        },
        "status": status,
        "seconds": {"this_process": round(time.perf_counter() - began, 3)},
        "environment": environment(),
        "history": [_finite(dataclasses.asdict(entry)) for entry in history],
    }
    save_image(job.output, image, settings, options.bits, options.quality)
    write_record(record_path(job.output), record)


def _weights_option(options: TransferOptions) -> dict[str, Any]:
    network = dataclasses.asdict(options.network)
    if Path(network["weights"]).exists():
        network["weights"] = str(Path(network["weights"]).absolute())
    return network


def _finite(entry: dict[str, Any]) -> dict[str, Any]:
    """Non-finite numbers are no JSON; a failed run's last entries may hold one."""
    terms = {name: value if np.isfinite(value) else None for name, value in entry["terms"].items()}
    return {**entry, "terms": terms}


def run_transfer(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: bad input; in a folder's run only what concerns every photograph.
    """
    options, config, record = _parse(arguments)
    _check_options(options)
    jobs = _jobs(options, config)
    if options.compilation_cache:
        enable_compilation_cache()
    network = options.network
    if len(jobs) == 1 and not Path(options.content or "").is_dir():
        load_image(jobs[0].content)  # a bad image is told before seconds of loading weights
    load_image(jobs[0].style)
    backbone = load_backbone(network.weights, network.network, network.preprocessing)
    if len(jobs) == 1 and not Path(options.content or "").is_dir():
        return _do(jobs[0], backbone, record)
    bad: list[str] = []
    for job in jobs:
        try:
            code = _do(job, backbone, record)
        except InputError as error:
            bad.append(str(error))
            print(f"nstjax: error: {error}", file=sys.stderr)
            continue
        if code == INTERRUPTED:
            return code
        if code:
            bad.append(job.content.name)
    if bad:
        print(f"nstjax: {len(jobs) - len(bad)} of {len(jobs)} pictures made; not made:", file=sys.stderr)
        for reason in bad:
            print(f"  {reason}", file=sys.stderr)
        return BAD_INPUT
    return 0
