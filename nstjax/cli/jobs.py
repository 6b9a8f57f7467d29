"""From the command line of ``nstjax transfer`` to the pictures to make, everything checked that can be."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nstjax.cli.options import TransferOptions, base_options, preset
from nstjax.cli.parse import parse, value_of
from nstjax.errors import InputError
from nstjax.images import check_output, find_images
from nstjax.reports import read_record
from nstjax.synthesis import TransferConfig

PROG = "nstjax transfer"


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


def parse_transfer(arguments: Sequence[str]) -> tuple[TransferOptions, TransferConfig, dict[str, Any]]:
    """Options, the config they give, and the record of ``--from`` (empty without).

    Raises:
        InputError: they cannot be parsed, contradict each other, or lack something.
    """
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


def check_options(options: TransferOptions) -> None:
    """Raise :class:`InputError` where an option's value makes no sense."""
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


def make_jobs(options: TransferOptions, config: TransferConfig) -> list[Job]:
    """One picture, or one for each photograph of a folder.

    Raises:
        InputError: the output cannot be written, the folder has no photograph, or options name one file
            where there are many.
    """
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
