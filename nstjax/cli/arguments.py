"""From a command line to checked options and the config that they give."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nstjax.cli.commands import (
    COMMANDS,
    FOREIGN,
    USAGE,
    Options,
    ReconstructOptions,
    TransferOptions,
    base_config,
    content_of,
    default_options,
    from_sources,
)
from nstjax.cli.parse import flags, hyphens, parse, value_of
from nstjax.cli.regions import check_regions
from nstjax.cli.run_record import RunRecord, check_replaceable
from nstjax.cli.wants import check_wants
from nstjax.errors import MOST, InputError, within
from nstjax.images.encode import check_place
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


def _recorded_defaults(record: RunRecord, default: Options) -> Options:
    """The options that a run record stands for."""
    output = record["output"]
    paths = {name: Path(facts["path"]) for name, facts in record["inputs"].items()}
    known: dict[str, Any] = {
        "output": Path(output["path"]),
        "init_image": paths.get("init"),
        "bits": output["bits"],
        "quality": output["quality"],
        "median_filter": output["median_filter"],
        "network": record["weights_option"],
    }
    if isinstance(default, ReconstructOptions):
        return dataclasses.replace(default, image=paths.get("content"), **known)
    known["styles"] = tuple(path for name, path in paths.items() if name.split("_")[0] == "style")
    known["fine_style"] = paths.get("fine")
    if isinstance(default, TransferOptions):
        known["content"] = paths.get("content")
    return from_sources(dataclasses.replace(default, **known), record.get("sources", {}))


def _with_earlier_defaults(config: TransferConfig) -> TransferConfig:
    """The config of a run record; an older record leaves out the style weight that it used."""
    objective = config.objective
    if objective.style_weight is not None:
        return config
    weight = EARLIER_STYLE_WEIGHTS[objective.style_distance].get(objective.style_statistic)
    return dataclasses.replace(config, objective=dataclasses.replace(objective, style_weight=weight))


def _check_raw(command: str, arguments: Sequence[str]) -> None:
    """What can be told from the arguments alone, where a default would hide it."""
    if "" in arguments:
        place = arguments.index("")
        after = f"the argument after {arguments[place - 1]}" if place else "the first argument"
        raise InputError(f"{after} is empty: is a variable of the shell not set?")
    given = flags(arguments)

    def contradict(one: str, other: str, why: str = "") -> None:
        if {one, other} <= given:
            raise InputError(f"{one} and {other} contradict each other{why}: give one of them")

    contradict("--from", "--preset", " (a record has all settings)")
    for weight in ("--content-weight", "--style-weight"):
        for strength in ("--style-strength", "--strength-grid"):
            contradict(strength, weight, " (the strength finds the weights)")
    contradict("--style-strength", "--strength-grid")
    contradict("--content-layer", "--content-layers")
    for flag in FOREIGN[command]:
        if flag in given:
            raise InputError(
                f"{flag} does not go with nstjax {command}, which has no use for it: leave it out"
            )
    init, image = value_of(arguments, "--init"), value_of(arguments, "--init-image")
    if image is not None and init not in (None, "image"):
        raise InputError(f"--init {init} and --init-image contradict each other: leave one of them out")


def _base(command: str, arguments: Sequence[str]) -> tuple[TransferConfig, Options, dict[str, Any]]:
    """What a preset or a run record gives before the options are read, and the record."""
    source = value_of(arguments, "--from")
    if source is None:
        base = base_config(command, value_of(arguments, "--preset"))
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
        if flags(arguments) & {"--style-weight", "--content-weight"}:
            base = dataclasses.replace(base, style_strength=None)  # weights that are given are meant
        whole: RunRecord = checked(record, RunRecord, "the record")
        default = _recorded_defaults(whole, default_options(command, base))
    except InputError as error:
        raise InputError(
            f"{source} is a damaged run record ({error}): name another, or give the options"
        ) from error
    if value_of(arguments, "-o") is None and value_of(arguments, "--output") is None:
        check_replaceable(Path(source), whole)
    if value_of(arguments, "--init") not in (None, "image"):
        default = dataclasses.replace(default, init_image=None)
    return base, default, record


def _reconstruction(options: ReconstructOptions, config: TransferConfig, given: set[str]) -> TransferConfig:
    """Which of the losses count: those whose layers are named here; the base's if none are."""
    objective = config.objective
    content = bool(given & {"--content-layer", "--content-layers"})
    style = "--style-layers" in given
    if options.content_layer is not None and content:
        objective = dataclasses.replace(objective, content_layers=(options.content_layer,))
    weights: dict[str, Any] = {}
    if content or style:
        weights["content_weight"] = (objective.content_weight or 1.0) if content else 0.0
        weights["style_weight"] = (objective.style_weight or None) if style else 0.0
    for name in ("content_weight", "style_weight"):
        if f"--{name.replace('_', '-')}" in given:
            weights.pop(name, None)
    return dataclasses.replace(config, objective=dataclasses.replace(objective, **weights))


def parse_command(command: str, arguments: Sequence[str]) -> tuple[Options, TransferConfig, dict[str, Any]]:
    """Options, the config they give, and the record of ``--from`` (empty without).

    Raises:
        InputError: they cannot be parsed, contradict each other, or lack something.
    """
    prog = f"nstjax {command}"
    arguments = [hyphens(argument) for argument in arguments]
    _check_raw(command, arguments)
    base, default, record = _base(command, arguments)
    options = parse(type(default), arguments, prog, default)
    missing = [("-o OUT", options.output is None)]
    if not isinstance(options, ReconstructOptions):
        missing.insert(0, ("STYLE", not options.styles))
    if command != "texture":
        missing.insert(0, ("IMAGE" if command == "reconstruct" else "CONTENT", content_of(options) is None))
    for what, absent in missing:
        if absent:
            raise InputError(f"{what} is missing: {USAGE[command]} (see {prog} --help)")
    size, scales = value_of(arguments, "--size"), options.settings.scales
    if size is not None and scales and value_of(arguments, "--scales") and int(size) != scales[-1]:
        raise InputError(
            f"--size {size} and --scales ending in {scales[-1]} contradict each other: give one of them"
        )
    given = flags(arguments)
    check_wants(options, given)
    config = options.config(base)
    if isinstance(options, ReconstructOptions):
        config = _reconstruction(options, config, given)
    return options, config, record


def check_options(options: Options) -> None:
    """Raise :class:`InputError` where an option's value makes no sense."""
    for field, count in (
        ("save_state_every", options.save_state_every),
        ("snapshot_every", options.snapshot_every),
    ):
        within(field, count, 0, MOST, " (0 is never)")
    within("quality", options.quality, 1, 100)
    if options.gif is not None and options.gif.suffix.lower() != ".gif":
        raise InputError(f"the animation {options.gif} must end in .gif")
    if options.plot is not None and options.plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"the plot {options.plot} must end in .png, .svg or .pdf")
    for path in (options.gif, options.plot):
        if path is not None:
            check_place(path)
    if not isinstance(options, ReconstructOptions):
        check_regions(options)
    if options.resume and options.save_state_every == 0:
        raise InputError("--resume and --save-state-every 0 contradict each other: leave one of them out")
