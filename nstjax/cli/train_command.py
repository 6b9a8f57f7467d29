"""``nstjax train``: trains a generator, or resumes a training run."""

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax

from nstjax.cli.display import Display
from nstjax.cli.exits import FAILED
from nstjax.cli.flags import flag_of, with_flags
from nstjax.cli.interrupt import exit_code, stop_on_interrupt
from nstjax.cli.models import digest
from nstjax.cli.options import NetworkOptions
from nstjax.cli.options_train import TrainOptions, generator_fallbacks, train_defaults
from nstjax.cli.parse import hyphens, import_own_statistic, parse, scan
from nstjax.cli.pictures import load_picture
from nstjax.cli.run_record import recorded_network, weights_option
from nstjax.cli.runtime import check_device, keep_programs, make_output_folder, warnings_as_notes
from nstjax.cli.train_styles import generator_options, names_of, start_of
from nstjax.errors import InputError, within
from nstjax.files import RUN_RECORD, TEMPORARY
from nstjax.generators.store import IN_A_RUN, is_shipped
from nstjax.images import resize
from nstjax.images.display import thumbnail
from nstjax.locks import lock
from nstjax.nn.table import EMBEDDED
from nstjax.plain import checked
from nstjax.reports import FileFacts, NetworkFacts, environment, file_facts, read_record, write_record
from nstjax.training import (
    TRAIN_PRESET_STARTS,
    TRAIN_PRESETS,
    TrainConfig,
    TrainingFailed,
    TrainProgress,
    train,
)
from nstjax.training.identity import changed_setting, settings_identity
from nstjax.training.memory import check_training_memory
from nstjax.training.parallel import join_hosts
from nstjax.weights import load_backbone
from nstjax.weights.store import resolve

SAMPLE_HEIGHT = 256
MAX_PROCESSES = 2**16


class _Model(TypedDict):
    model: str
    sha256: str


class _Record(TypedDict):
    """The fields of a training run's record that are read back."""

    config: dict[str, Any]
    inputs: dict[str, FileFacts]  # "style", "style_2", ...
    weights: NetworkFacts
    add_to: NotRequired[_Model]
    init_from: NotRequired[_Model]
    weights_option: NotRequired[NetworkOptions]


def _with_pooling(record: dict[str, Any]) -> object:
    """The config of a record; the pooling "network" of earlier versions is replaced by the one it stood for."""
    config, weights = record["config"], record.get("weights")
    if not isinstance(config, dict) or config.get("pooling") != "network":
        return config
    embedded = isinstance(weights, dict) and weights.get("arch") == EMBEDDED
    return {**config, "pooling": "average" if embedded else "max"}


def _read(path: Path) -> tuple[TrainConfig, _Record]:
    """Read a training run's record; an :class:`InputError` names the file."""
    record = read_record(path)
    try:
        config = TrainConfig.from_json(_with_pooling(record))
        whole: _Record = checked({**record, "config": config.to_json()}, _Record, "the record")
        if len(whole["inputs"]) != config.generator.styles:
            raise InputError("it does not name a style image for each style")
        return config, whole
    except InputError as error:
        raise InputError(f"{path} is damaged ({error}): start a new run") from error


def _base(arguments: Sequence[str]) -> tuple[TrainConfig, _Record | None, dict[str, Any]]:
    """Return the settings that the options change, the record of the run to resume, and the options' defaults.

    The settings are those of the preset if ``--preset`` is given, else those of the run to resume, else those of
    the default preset. So the command that started a run resumes it if ``--resume`` is added.
    """
    given = scan(arguments)
    import_own_statistic(given)
    preset, folder = given.get("--preset"), given.get("--output") or given.get("-o")
    record, known, base = None, {}, TRAIN_PRESETS["default"]
    if "--resume" in given and folder is not None and (Path(folder) / RUN_RECORD).is_file():
        base, record = _read(Path(folder) / RUN_RECORD)
        known = {
            "style": tuple(Path(facts["path"]) for facts in record["inputs"].values()),
            "output": Path(folder),
            "add_to": record["add_to"]["model"] if "add_to" in record else None,
            "init_from": record["init_from"]["model"] if "init_from" in record else None,
        }
        if "weights_option" in record:
            known["network"] = recorded_network(record["weights_option"], record["weights"])
        source = train_defaults(base)["data"].data
    if preset is not None:
        if preset not in TRAIN_PRESETS:
            raise InputError(
                f"--preset {preset!r} does not exist: the presets are {', '.join(TRAIN_PRESETS)}"
            )
        base = TRAIN_PRESETS[preset]
    defaults = train_defaults(base)
    if preset in TRAIN_PRESET_STARTS and "--add-to" not in given and not generator_options(given):
        defaults["init_from"] = TRAIN_PRESET_STARTS[preset]
    if record is not None:
        defaults["data"] = dataclasses.replace(defaults["data"], data=source)
    return base, record, {**defaults, **known}


def _check(options: TrainOptions, config: TrainConfig) -> Path:
    """Check that the required options are given and the folder is usable; return the folder of the run.

    Raises:
        InputError: If they are not.
    """
    if not options.style:
        raise InputError("--style is missing: nstjax train --style PAINTING --data FOLDER -o RUN")
    if options.output is None:
        raise InputError("no folder is given for the run: name one with -o RUN")
    if options.data.data is None and config.generator.content:
        raise InputError("no photographs are given: name a folder with --data FOLDER, or --data tfds:NAME")
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"-o {options.output} is a file where a folder is needed: name another")
    named = str(options.output) == options.output.name  # a bare name, which --model would look up
    if named and not options.resume and is_shipped(options.output.name):
        raise InputError(f"-o {options.output} is the name of a model that comes with nstjax: choose another")
    # A run that was killed before its record was complete leaves at most a temporary file.
    entries = options.output.iterdir() if options.output.is_dir() else ()
    if not options.resume and any(not entry.name.startswith(TEMPORARY) for entry in entries):
        hint = "continue the run with --resume, or " if (options.output / RUN_RECORD).is_file() else ""
        raise InputError(f"-o {options.output} exists and is not empty: {hint}name another folder")
    if options.data.data is not None and options.output.exists():
        source = Path(options.data.data)
        if source.exists() and options.output.samefile(source):
            raise InputError(f"-o {options.output} is the folder of the photographs: name another")
    hosts = options.hosts
    if hosts.coordinator is None and (hosts.processes, hosts.process_index) != (None, None):
        raise InputError("--processes and --process-index need --coordinator HOST:PORT: give it too")
    if hosts.processes is not None:
        within("processes", hosts.processes, 1, MAX_PROCESSES)
    if hosts.process_index is not None:
        within("process_index", hosts.process_index, 0, (hosts.processes or MAX_PROCESSES) - 1)
    return options.output


def _check_same(record: _Record | None, now: dict[str, Any], folder: Path) -> None:
    """Raise :class:`InputError` if a run would be resumed with another style image, network or settings."""
    if record is None:
        return
    hashes = [[facts["sha256"] for facts in one["inputs"].values()] for one in (record, now)]
    if hashes[0] != hashes[1]:
        raise InputError(
            f"the style image is not the one that {folder} was started with: start a new run"
            if len(hashes[0]) == len(hashes[1]) == 1
            else f"the style images are not those that {folder} was started with: start a new run"
        )
    for option in ("add_to", "init_from"):
        models: list[Any] = [one.get(option) or {} for one in (record, now)]
        if models[0].get("sha256") != models[1].get("sha256"):
            raise InputError(
                f"{flag_of(option)} is not the model that {folder} was started with: start a new run"
            )
    network = json.loads(json.dumps(now["weights"]))
    if any(network[fact] != value for fact, value in record["weights"].items()):
        raise InputError(
            f"the feature network is not the one that {folder} was started with: see --weights in its {RUN_RECORD}"
        )
    changed = changed_setting(*(settings_identity(one["config"]) for one in (record, now)))
    if changed is not None:
        name, was, value = changed
        raise InputError(
            f"{flag_of(name)} was {was} in the run of {folder} and is {value} now: leave it as it was, or start a new "
            f"run"
        )


class _Display(Display):
    """The progress display of a training run.

    Args:
        label: name of the run.
        quiet: show nothing.
        every: steps between lines if there is no bar.
    """

    def __init__(self, label: str, quiet: bool, every: int) -> None:
        super().__init__(label, quiet)
        self._every, self._skipped = every, 0

    def report(self, progress: TrainProgress) -> None:
        """Show the progress after a training step."""
        for name in progress.skipped[self._skipped :]:
            self.say(f"note: {name} cannot be read and is left out")
        self._skipped = len(progress.skipped)
        if progress.sample is not None:
            self.say(f"samples: {progress.sample}")
        share, speed = "", ""
        if progress.unchanged > 0 and math.isfinite(progress.loss):
            share = f" ({progress.loss / progress.unchanged:.3g} × that of the unchanged photographs)"
        if not math.isnan(progress.images_per_second):
            speed = f"  {progress.images_per_second:.3g} images/s"
        text = f"{self._label}  step {progress.step}/{progress.steps}  loss {progress.loss:.4g}{share}{speed}"
        due = progress.step % self._every == 0 or progress.step == progress.steps
        self.update(progress.step / progress.steps, text, due)


def run_train(arguments: Sequence[str]) -> int:
    """Run ``nstjax train``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid, or the folder cannot be written.
    """
    arguments = [hyphens(argument) for argument in arguments]
    TrainOptions.layout.check("train", scan(arguments))
    base, record, known = _base(arguments)
    unset = generator_fallbacks(base.generator)
    options = parse(TrainOptions, arguments, "nstjax train", TrainOptions(**known), unset)
    start = start_of(options.add_to, options.init_from, len(options.style), scan(arguments))
    config = options.config(base)
    config = dataclasses.replace(
        config,
        generator=start.config
        if start
        else dataclasses.replace(config.generator, styles=len(options.style) or 1),
    )
    folder = _check(options, config)
    # Before any use of JAX, which would otherwise be initialized for this machine only.
    if options.hosts.coordinator is not None:
        auto = options.hosts.coordinator == "auto"
        join_hosts(
            None if auto else options.hosts.coordinator, options.hosts.processes, options.hosts.process_index
        )
    styles = [load_picture(path) for path in options.style]
    photographs = [load_picture(path) for path in options.samples]
    heights = [min(SAMPLE_HEIGHT, photo.shape[1]) for photo in photographs]
    samples = [resize_to_height(photo, min(heights)) for photo in photographs] or None
    check_device()
    keep_programs(options.compilation_cache, options.quiet)
    network = options.network
    spec = resolve(network.weights, network.network)
    backbone = load_backbone(spec, network.network, network.preprocessing)
    config = config.for_backbone(backbone)
    layers = set(backbone.layers)
    if layers.issuperset(config.objective.layers):  # else training reports the missing layer
        check_training_memory(config, backbone)
    facts = [file_facts(path) for path in options.style]
    names = names_of(options.style)
    now = {
        "command": "train",
        "config": config.to_json(),
        "inputs": {"style" if i == 0 else f"style_{i + 1}": one for i, one in enumerate(facts)},
        "weights_option": weights_option(network),
        "weights": backbone.describe(),
        "environment": environment(),
    }
    if start is not None:
        option = "add_to" if start.adds else "init_from"
        now[option] = {"model": str(getattr(options, option)), "sha256": digest(start.earlier)}
    _check_same(record, now, folder)
    first = jax.process_index() == 0
    entries = [
        {"name": name, "sha256": one["sha256"], "thumbnail": thumbnail(style)}
        for name, one, style in zip(names, facts, styles, strict=True)
    ]
    about: dict[str, Any] = {"styles": entries}
    if len(facts) == 1:
        about["style"] = {"name": options.style[0].name, "sha256": facts[0]["sha256"]}
    display = _Display(folder.name, options.quiet or not first, options.cadence.log_every)
    kind = type(config.generator).__name__.removesuffix("Config")

    def begin() -> None:
        display.say(f"{kind}'s network, {spec} as feature network, on {jax.device_count()} device(s)")
        if first:
            make_output_folder(folder)
            if record is None:
                hold()
            write_record(folder / RUN_RECORD, now)

    def hold() -> None:
        busy = f"another run is training in {folder}: wait for its end, or choose another -o"
        held.enter_context(lock(folder / RUN_RECORD, busy))

    with (
        display,
        warnings_as_notes(display.say),
        contextlib.ExitStack() as held,
        stop_on_interrupt() as interrupt,
    ):

        def tell(progress: TrainProgress) -> bool:
            display.report(progress)
            return interrupt.stop

        try:
            if first and record is not None:
                hold()  # before the newest checkpoint is read, because another run may still write one
            train(
                config,
                styles,
                backbone,
                folder,
                tell,
                cadence=options.cadence,
                about=about,
                samples=samples,
                begin=begin,
                start=start.variables if start else None,
                finish=start.finish if start else None,
            )
        except TrainingFailed as error:
            print(f"nstjax: error: {with_flags(str(error))}", file=sys.stderr)
            return FAILED
    if interrupt.stop:
        print(f"nstjax: interrupted; continue with: nstjax train -o {folder} --resume", file=sys.stderr)
        return exit_code()
    if first and not options.quiet:
        print(f"wrote {folder / IN_A_RUN}; next: nstjax stylize PHOTO --model {folder} -o OUT.png")
    return 0


def resize_to_height(image: Any, height: int) -> Any:
    """Resize an image to a height and keep its aspect ratio.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
        height: height of the result in pixels.

    Returns:
        ``(1, height, width, 3)``, clipped to [0, 1]; the width is at least 8.
    """
    width = max(8, round(image.shape[2] * height / image.shape[1]))
    return resize(image, height, width).clip(0, 1)
