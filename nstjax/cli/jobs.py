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
LONGEST_WEBP_SIDE = 16383


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to make: everything resolved and checked that can be before work begins."""

    content: Path
    style: Path
    init: Path | None
    output: Path
    options: TransferOptions
    config: TransferConfig


def _recorded_defaults(record: dict[str, Any], default: TransferOptions) -> TransferOptions:
    """The options that a run record stands for."""
    inputs, output = record["inputs"], record["output"]
    return dataclasses.replace(
        default,
        content=Path(inputs["content"]["path"]),
        style=Path(inputs["style"]["path"]),
        init_image=Path(inputs["init"]["path"]) if "init" in inputs else None,
        output=Path(output["path"]),
        bits=int(output["bits"]),
        quality=int(output["quality"]),
        median_filter=bool(output["median_filter"]),
        network=dataclasses.replace(default.network, **record["weights_option"]),
    )


def _check_raw(arguments: Sequence[str]) -> None:
    """What can be told from the arguments alone, where a default would hide it."""
    if "" in arguments:
        raise InputError("an argument is empty: is a variable of the shell not set?")
    if value_of(arguments, "--from") is not None and value_of(arguments, "--preset") is not None:
        raise InputError(
            "--from and --preset contradict each other: a record has all settings; give one of them"
        )
    init, image = value_of(arguments, "--init"), value_of(arguments, "--init-image")
    if image is not None and init not in (None, "image"):
        raise InputError(f"--init {init} and --init-image contradict each other: leave one of them out")


def parse_transfer(arguments: Sequence[str]) -> tuple[TransferOptions, TransferConfig, dict[str, Any]]:
    """Options, the config they give, and the record of ``--from`` (empty without).

    Raises:
        InputError: they cannot be parsed, contradict each other, or lack something.
    """
    _check_raw(arguments)
    record: dict[str, Any] = {}
    source = value_of(arguments, "--from")
    if source is None:
        base = preset(value_of(arguments, "--preset") or "default")
        default = base_options(base)
    else:
        record = read_record(Path(source))
        try:
            base = TransferConfig.from_json(record["config"])
            default = _recorded_defaults(record, base_options(base))
            str(record["weights"]["sha256"])
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{source} is a damaged run record: name another, or give the options"
            ) from error
        if value_of(arguments, "--init") not in (None, "image"):
            default = dataclasses.replace(default, init_image=None)
    options = parse(TransferOptions, arguments, PROG, default)
    for what, value in (("CONTENT", options.content), ("STYLE", options.style), ("-o OUT", options.output)):
        if value is None:
            raise InputError(f"{what} is missing: nstjax transfer CONTENT STYLE -o OUT (see {PROG} --help)")
    size, scales = value_of(arguments, "--size"), options.settings.scales
    if size is not None and scales and value_of(arguments, "--scales") and int(size) != scales[-1]:
        raise InputError(
            f"--size {size} and --scales ending in {scales[-1]} contradict each other: give one of them"
        )
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
        if path is not None and path.is_dir():
            raise InputError(f"{path} is a folder: name a file in it")
    if options.resume and options.save_state_every == 0:
        raise InputError("--resume and --save-state-every 0 contradict each other: leave one of them out")


def _check_overwriting(options: TransferOptions, jobs: Sequence[Job]) -> None:
    """Raise :class:`InputError` where an output would replace an input, or another output."""
    inputs = {
        "STYLE": options.style,
        "--init-image": options.init_image,
        "--weights": Path(options.network.weights),
    }
    outputs = {"--gif": options.gif, "--plot": options.plot}
    taken = {path.resolve(): name for name, path in inputs.items() if path is not None}
    taken |= {job.content.resolve(): "CONTENT" for job in jobs}
    written = [("-o", job.output) for job in jobs] + [(name, path) for name, path in outputs.items() if path]
    for name, path in written:
        other = taken.get(path.resolve())
        if other is not None:
            raise InputError(f"{name} {path} is also {other}, which would be overwritten: name another file")
        taken[path.resolve()] = name


def make_jobs(options: TransferOptions, config: TransferConfig) -> list[Job]:
    """One picture, or one for each photograph of a folder.

    Raises:
        InputError: the output cannot be written or would replace an input, the folder has no photograph,
            or options name one file where there are many.
    """
    assert options.content is not None
    assert options.style is not None
    assert options.output is not None
    content, output = options.content, options.output
    if content.is_dir():
        photographs = find_images(content)
        if options.gif is not None or options.plot is not None:
            raise InputError("--gif and --plot name one file, but CONTENT is a folder: leave them out")
        if (output.suffix and not output.is_dir()) or output.is_file():
            raise InputError(
                f"CONTENT is a folder, so -o {output} must be a folder too: leave out the suffix"
            )
        if output.exists() and output.resolve() == content.resolve():
            raise InputError(
                f"-o {output} is the folder of the photographs, which would be overwritten: name another"
            )
        # Two photographs that differ in suffix alone must not write one picture.
        plain = len({photograph.stem for photograph in photographs}) == len(photographs)
        targets = [output / f"{p.stem if plain else p.name}.png" for p in photographs]
    else:
        photographs, targets = [content], [output]
        kind = check_output(output, options.bits)
        if kind == "WEBP" and config.pyramid()[-1] > LONGEST_WEBP_SIDE:
            raise InputError(
                f"the output {output} can have {LONGEST_WEBP_SIDE} pixels a side: choose .png or .tiff"
            )
    jobs = [
        Job(photograph, options.style, options.init_image, target, options, config)
        for photograph, target in zip(photographs, targets, strict=True)
    ]
    _check_overwriting(options, jobs)
    return jobs


def make_output_folder(folder: Path) -> None:
    """Make the folder of a folder's pictures, when all else is known to be well.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place"
        ) from error
    check_output(folder / "picture.png")
