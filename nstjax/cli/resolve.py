"""Resolves a command line to jobs: parses it once, and runs every check that needs no image."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nstjax.cli.checks import (
    check_given,
    check_overwriting,
    check_sources,
    check_values,
    check_video,
    check_wants,
)
from nstjax.cli.job import Job, OutputFiles
from nstjax.cli.media import check_alone, check_side, is_video, kind_of
from nstjax.cli.options import optimizer_fallbacks
from nstjax.cli.options_synthesis import COMMANDS, Options, base_config, default_options
from nstjax.cli.parse import hyphens, import_own_statistic, parse, scan
from nstjax.cli.run_record import RunRecord, check_output_of, recorded_network
from nstjax.errors import InputError
from nstjax.files import check_replaceable
from nstjax.images import check_output, find_images
from nstjax.images.flow import opencv
from nstjax.images.folder import Skipped
from nstjax.images.video_input import pyav
from nstjax.plain import checked
from nstjax.reports import read_record
from nstjax.synthesis import TransferConfig

EARLIER_STYLE_WEIGHTS: dict[str, dict[str, float]] = {
    "squared": {
        "gram": 180.0,
        "linear": 260.0,
        "moments": 300.0,
        "polynomial": 180.0,
        "gaussian": 600.0,
        "wasserstein": 40.0,
    },
    "absolute": {"gram": 60.0, "linear": 70.0, "moments": 70.0},
}
"""Default style weights of the versions whose run records name none, by distance and statistic."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A resolved command line.

    Attributes:
        jobs: one; or one for each photograph of a folder, or for each strength.
        record: the run record of ``--from``; empty without.
        folder: where the pictures of a folder of photographs go.
        sheet: the sheet of a strength grid.
        skipped: files of a folder that are not used, with the reasons.
        compilation_cache: keep compiled programs for the next run.
        quiet: print errors only.
        cluster: the option ``--cluster``; None without.
    """

    jobs: tuple[Job, ...]
    record: dict[str, Any]
    folder: Path | None
    sheet: Path | None
    skipped: tuple[Skipped, ...]
    compilation_cache: bool
    quiet: bool
    cluster: str | None = None


def resolve_command(command: str, arguments: Sequence[str]) -> Request:
    """Resolve a command line.

    Args:
        command: ``"transfer"``, ``"texture"`` or ``"reconstruct"``.
        arguments: those after the command's name.

    Raises:
        InputError: If the arguments cannot be parsed, contradict each other or lack something; an output cannot
            be written or would replace an input; or the folder of photographs has none.
    """
    options, config, record = _parse(command, arguments)
    check_values(options)
    sources = options.sources()
    check_sources(sources)
    path = options.output
    assert path is not None  # checked when parsed
    output = OutputFiles(
        path,
        options.bits,
        options.quality,
        options.median_filter,
        options.gif,
        options.plot,
        options.snapshot_every,
    )
    first = Job(
        command,
        sources,
        config,
        options.network,
        output,
        options.resume,
        options.save_state_every,
        options.quiet,
        getattr(options, "video", None) if is_video(command, sources.content, path) else None,
    )
    folder, sheet = None, None
    skipped: list[Skipped] = []
    if first.video is not None:
        assert sources.content is not None
        check_alone(sources.content, path, options.bits)
        if kind_of(sources.content) == "video":
            pyav(sources.content)
        opencv()
        jobs = [first]
    elif sources.content is not None and sources.content.is_dir():
        folder, jobs = path, _one_for_each_photograph(first, sources.content, skipped)
    else:
        kind = check_output(path, options.bits)
        check_side(path, config.pyramid()[-1])
        jobs = [first]
        if sources.strength_grid:
            sheet, jobs = path, _one_for_each_strength(first, kind)
    cluster = getattr(options, "cluster", None)
    if cluster is not None and folder is None:
        raise InputError("--cluster is for a folder of photographs: give one as CONTENT, or leave it out")
    check_overwriting(jobs, sheet)
    for job in jobs:
        if job.output.path.parent.is_dir():  # a folder's output is made later
            check_replaceable(job.output.record)
    return Request(
        tuple(jobs), record, folder, sheet, tuple(skipped), options.compilation_cache, options.quiet, cluster
    )


def _parse(command: str, arguments: Sequence[str]) -> tuple[Options, TransferConfig, dict[str, Any]]:
    """The options, the config they give, and the record of ``--from`` (empty without)."""
    prog = f"nstjax {command}"
    arguments = [hyphens(argument) for argument in arguments]
    if "" in arguments:
        place = arguments.index("")
        after = f"the argument after {arguments[place - 1]}" if place else "the first argument"
        raise InputError(f"{after} is empty: check for a shell variable that is not set")
    given = scan(arguments)
    check_given(command, given)
    import_own_statistic(given)
    base, default, record = _base(command, given)
    options = parse(type(default), arguments, prog, default, optimizer_fallbacks(base))
    sources = options.sources()
    for what, there, wanted in (
        ("IMAGE" if command == "reconstruct" else "CONTENT", sources.content, command != "texture"),
        ("STYLE", sources.styles, command != "reconstruct"),
        ("-o OUT", options.output, True),
    ):
        if wanted and not there:
            raise InputError(
                f"{what} is missing: {prog} {options.usage[0].removesuffix(' [OPTIONS]')} (see {prog} --help)"
            )
    size, scales = given.get("--size"), options.settings.scales
    if size is not None and scales and given.get("--scales") and int(size) != scales[-1]:
        raise InputError(
            f"--size {size} and --scales ending in {scales[-1]} contradict each other: give one of them"
        )
    config = options.config(base)
    check_wants(sources, config, given)
    assert options.output is not None
    check_video(is_video(command, sources.content, options.output), given)
    if command == "reconstruct":
        config = _reconstruction(getattr(options, "content_layer", None), config, given)
    return options, config, record


def _base(command: str, given: Mapping[str, str | None]) -> tuple[TransferConfig, Options, dict[str, Any]]:
    """Return the settings to start from: those of ``--preset`` or of the run record of ``--from``.

    Args:
        command: ``"transfer"``, ``"texture"`` or ``"reconstruct"``.
        given: the options on the command line.

    Returns:
        The config; the options of the command with the config's values as defaults; and the run record, which is
        empty without ``--from``.

    Raises:
        InputError: If the preset does not exist; or the run record cannot be read, is damaged, or is of another
            command.
    """
    source = given.get("--from")
    if source is None:
        base = base_config(command, given.get("--preset"))
        return base, default_options(command, base), {}
    record = read_record(Path(source))
    made_by = record.get("command", "transfer")
    if made_by not in tuple(COMMANDS):
        raise InputError(
            f"{source} is a record of an unknown command, {str(made_by)[:40]!r}: is it of a later version?"
        )
    if made_by != command:
        raise InputError(
            f"{source} is a record of nstjax {made_by}, not of nstjax {command}: use that command"
        )
    try:
        base = _with_earlier_defaults(TransferConfig.from_json(record["config"]))
        if "--style-weight" in given or "--content-weight" in given:
            base = dataclasses.replace(base, style_strength=None)  # weights that are given are meant
        whole: RunRecord = checked(record, RunRecord, "the record")
        default = _recorded_options(whole, default_options(command, base))
    except InputError as error:
        raise InputError(
            f"{source} is a damaged run record ({error}): name another, or give the options"
        ) from error
    if given.get("-o") is None and given.get("--output") is None:
        check_output_of(whole, Path(source))
    if given.get("--init") not in (None, "image"):
        default = dataclasses.replace(default, init_image=None)
    return base, default, record


def _recorded_options(record: RunRecord, default: Options) -> Options:
    """The options that a run record stands for, in place of those of ``default`` that the command has."""
    output = record["output"]
    paths = {name: Path(facts["path"]) for name, facts in record["inputs"].items()}
    arrangement = record.get("sources")
    known: dict[str, Any] = {
        "output": Path(output["path"]),
        "bits": output["bits"],
        "quality": output["quality"],
        "median_filter": output["median_filter"],
        "network": recorded_network(record["weights_option"], record["weights"]),
        "content": paths.get("content"),
        "image": paths.get("content"),
        "styles": tuple(path for name, path in paths.items() if name.split("_")[0] == "style"),
        "init_image": paths.get("init"),
        "fine_style": paths.get("fine"),
        **({"video": record["video"]} if "video" in record else {}),
        **({} if arrangement is None else vars(arrangement)),
    }
    own = {field.name for field in dataclasses.fields(default)}
    return dataclasses.replace(default, **{name: value for name, value in known.items() if name in own})


def _with_earlier_defaults(config: TransferConfig) -> TransferConfig:
    """The config of a run record; an older record leaves out the style weight that it used."""
    objective = config.objective
    if objective.style_weight is not None:
        return config
    weight = EARLIER_STYLE_WEIGHTS[objective.style_distance].get(objective.style_statistic)
    return dataclasses.replace(config, objective=dataclasses.replace(objective, style_weight=weight))


def _reconstruction(
    layer: str | None, config: TransferConfig, given: Mapping[str, str | None]
) -> TransferConfig:
    """The config of a reconstruction: the losses whose layers are given count; those of the base if none are."""
    objective = config.objective
    content = "--content-layer" in given or "--content-layers" in given
    style = "--style-layers" in given
    if layer is not None and content:
        objective = dataclasses.replace(objective, content_layers=(layer,))
    weights: dict[str, Any] = {}
    if content or style:
        weights["content_weight"] = (objective.content_weight or 1.0) if content else 0.0
        weights["style_weight"] = (objective.style_weight or None) if style else 0.0
    for name in ("content_weight", "style_weight"):
        if f"--{name.replace('_', '-')}" in given:
            weights.pop(name, None)
    return dataclasses.replace(config, objective=dataclasses.replace(objective, **weights))


def _one_for_each_photograph(first: Job, folder: Path, skipped: list[Skipped]) -> list[Job]:
    """A job for each photograph of a folder; ``skipped`` receives the files that are none."""
    output, path = first.output, first.output.path
    if first.command == "reconstruct":
        raise InputError(f"{folder} is a folder where an image file is needed: name one file in it")
    photographs = find_images(folder, skipped)
    if output.gif is not None or output.plot is not None:
        raise InputError("--gif and --plot name one file, but CONTENT is a folder: leave them out")
    if first.sources.strength_grid:
        raise InputError("--strength-grid needs one photograph, but CONTENT is a folder: name one in it")
    if (path.suffix and not path.is_dir()) or path.is_file():
        raise InputError(f"CONTENT is a folder, so -o {path} must be a folder too: leave out the suffix")
    if path.exists() and path.resolve() == folder.resolve():
        raise InputError(
            f"-o {path} is the folder of the photographs, which would be overwritten: name another"
        )
    # Two photographs that differ in suffix alone must not write one picture. Some file systems ignore case.
    plain = len({photograph.stem.casefold() for photograph in photographs}) == len(photographs)
    return [
        dataclasses.replace(
            first,
            sources=dataclasses.replace(first.sources, content=photograph),
            output=dataclasses.replace(
                output, path=path / f"{photograph.stem if plain else photograph.name}.png"
            ),
        )
        for photograph in photographs
    ]


def _one_for_each_strength(first: Job, kind: str) -> list[Job]:
    """A job for each strength, whose pictures go beside the sheet, a file of this kind."""
    output, path = first.output, first.output.path
    if output.gif is not None or output.plot is not None:
        raise InputError("--gif and --plot name one file, but --strength-grid makes many: leave them out")
    if kind not in ("PNG", "JPEG"):
        raise InputError(f"the sheet {path} of --strength-grid must end in .png or .jpg")
    return [
        dataclasses.replace(
            first,
            config=dataclasses.replace(first.config, style_strength=strength),
            output=dataclasses.replace(
                output, path=path.with_name(f"{path.stem}_strength{strength:.10g}{path.suffix}")
            ),
        )
        for strength in first.sources.strength_grid
    ]
