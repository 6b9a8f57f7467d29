"""``--help`` shows the common options of a command, ``--help-all`` every option."""

import contextlib
import dataclasses
import fnmatch
import io
import re
from collections.abc import Iterator

import pytest
import tyro

from nstjax.cli.completion_command import OPTIONS
from nstjax.cli.demo_command import PHOTOGRAPHS
from nstjax.cli.help import HELP_ALL, Layout, asked, group_of, options_of
from nstjax.cli.main import main
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.cli.options_synthesis import COMMANDS, base_config, default_options
from nstjax.cli.options_train import TrainOptions
from nstjax.cli.parse import _CONFIG, parse
from nstjax.generators import GENERATORS
from nstjax.losses.statistics import STATISTICS
from nstjax.optim import OPTIMIZERS
from nstjax.synthesis import PRESETS
from nstjax.synthesis.presets import PRESET_NOTES
from nstjax.training import TRAIN_PRESETS
from nstjax.training.presets import TRAIN_PRESET_NOTES
from nstjax.weights import REGISTRY

LONG = {**COMMANDS, "train": TrainOptions, "stylize": StylizeOptions}
SHORT = {command: kind for command, kind in OPTIONS.items() if command not in LONG}
UNGROUPED = {"preset", "from_record", "style"}
"""Options that are about the whole command and stand in no group of ``--help-all``."""


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@contextlib.contextmanager
def printed() -> Iterator[list[str]]:
    """A list that receives what is printed until the program exits with 0; an encoding makes tyro draw its boxes."""
    text: list[str] = []
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) as stream:
        with pytest.raises(SystemExit) as ended:
            yield text
        stream.seek(0)
        text.append(stream.read())
    assert ended.value.code == 0


def shown(*arguments: str) -> str:
    """The help that a command line prints."""
    with printed() as text:
        main(list(arguments))
    return text[0]


def flags(text: str) -> set[str]:
    """The flags that a help describes: those at the start of a line in a box."""
    found = set()
    for line in re.findall(r"^│ (-.*)│$", text, re.MULTILINE):
        invocation = re.split(r" {2,}", line)[0]
        found |= {word.rstrip(",") for word in invocation.split() if word.startswith("-")}
    return found


def accepted(kind: type) -> set[str]:
    """The flags that tyro's parser of an options class accepts, from tyro's own help."""
    with printed() as text:
        tyro.cli(kind, args=["--help"], config=_CONFIG)
    return flags(text[0])


def words(text: str) -> str:
    """A help without its boxes and line breaks."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("command", [*LONG, *SHORT])
def test_help_is_short_and_help_all_is_whole(command: str) -> None:
    kind = OPTIONS[command]
    common, everything = shown(*command.split(), "--help"), shown(*command.split(), HELP_ALL)
    assert len(common.splitlines()) <= 64
    refused = set(kind.layout.refused) if command in LONG else set()
    whole = accepted(kind) - refused | ({HELP_ALL} if command in LONG else set())
    assert flags(everything) == whole
    assert flags(common) < whole or command in SHORT
    assert (HELP_ALL in flags(common)) == (command in LONG)  # others have no more to show
    assert "(default: )" not in everything
    assert "None" not in everything


@pytest.mark.parametrize("command", LONG)
def test_a_layout_names_options_that_exist(command: str) -> None:
    kind = LONG[command]
    layout: Layout = kind.layout
    options = {option.path: option for option in options_of(kind)}
    assert set(layout.essential) <= set(options)
    assert len(set(layout.essential)) == len(layout.essential)
    assert set(layout.refused) <= {option.flag for option in options.values()}
    assert not {options[path].flag for path in layout.essential} & set(layout.refused)
    for path, option in options.items():
        ungrouped = option.is_positional or (path in UNGROUPED and (command, path) != ("stylize", "style"))
        assert bool(group_of(option, layout)) != ungrouped, path


def test_every_pattern_of_a_group_matches_an_option() -> None:
    paths = {option.path for kind in LONG.values() for option in options_of(kind)}
    for kind in LONG.values():
        for pattern in (pattern for patterns in kind.layout.groups.values() for pattern in patterns):
            assert fnmatch.filter(paths, pattern), pattern


@pytest.mark.parametrize("command", [*LONG, *SHORT])
def test_every_option_has_a_text(command: str) -> None:
    for option in options_of(OPTIONS[command]):
        assert option.text, option.path
    assert "`" not in shown(*command.split(), HELP_ALL)


def test_every_preset_and_choice_is_named() -> None:
    assert PRESET_NOTES.keys() == PRESETS.keys()
    assert TRAIN_PRESET_NOTES.keys() == TRAIN_PRESETS.keys()
    for command, notes in (
        ("transfer", PRESET_NOTES),
        ("texture", PRESET_NOTES),
        ("train", TRAIN_PRESET_NOTES),
    ):
        text = words(shown(command, "--help"))
        for name, note in notes.items():
            assert f"{name} {note}" in text
    transfer, train, fetch = (
        words(shown(*c.split(), HELP_ALL)) for c in ("transfer", "train", "weights fetch")
    )
    assert "--style-statistic" in transfer
    for name in STATISTICS:
        if ":" not in name:
            assert re.search(rf"(?<![\w-]){name}(?![\w-])", transfer), name
    assert "{" + ",".join(OPTIMIZERS) + "}" in transfer
    assert "{" + ",".join(GENERATORS) + "}" in train
    assert "{" + ",".join(PHOTOGRAPHS) + "}" in shown("demo", "--help")
    for name in REGISTRY:
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", fetch), name


def test_help_all_shows_the_values_of_a_preset() -> None:
    assert "(default: 128 181 256 362 512)" in words(shown("transfer", "--preset", "crowson", HELP_ALL))
    assert "(default: 400)" in words(shown("train", "--preset", "quick", HELP_ALL))


def test_help_shows_the_defaults_of_optimizers_and_generators() -> None:
    transfer, train = words(shown("transfer", HELP_ALL)), words(shown("train", HELP_ALL))
    for text in (
        "curvature pairs. (default: 20 for lbfgs and optax-lbfgs, 10 for scipy)",
        "one number for all. (default: 100 for lbfgs, 300 for scipy and optax-lbfgs, 500 for adam, 3000 for sgd)",
        "0 turns it off. (default: 0)",
        "the style loss; by default chosen for the statistic and the network, 8 for Gram matrices and VGG-19.",
    ):
        assert text in transfer
    assert "normalization. (default: instance for johnson, batch for ulyanov)" in train
    assert "β, the weight of the style loss. (default: 60.0)" in words(
        shown("train", "--preset", "pomona", HELP_ALL)
    )
    assert "β, the weight of the style loss. (default: 0.0)" in words(shown("reconstruct", HELP_ALL))
    crowson = words(shown("transfer", "--preset", "crowson", HELP_ALL))
    assert "0 turns it off. (default: 0.99)" in crowson
    assert "one number for all. (default: 1000 500 500 500 500)" in crowson
    assert "residual blocks. (default: 4)" in words(shown("train", "--preset", "quick", HELP_ALL))


def test_help_begins_with_the_usage_and_marks_what_is_required() -> None:
    for command, *lines in (
        ("transfer", "CONTENT STYLE [STYLE ...] -o OUT [OPTIONS]", "--from RUN.json -o OUT [OPTIONS]"),
        (
            "train",
            "--style PAINTING [PAINTING ...] --data FOLDER -o FOLDER [OPTIONS]",
            "-o FOLDER --resume [OPTIONS]",
        ),
        (
            "stylize",
            "PHOTO [PHOTO ...] --style PAINTING -o OUT [OPTIONS]",
            "[PHOTO ...] -m MODEL -o OUT [OPTIONS]",
            "--list",
        ),
    ):
        usage = "\n       ".join(f"nstjax {command} {line}" for line in lines)
        assert shown(command, "--help").startswith(f"usage: {usage}\n\n")
    required = {"transfer": 3, "texture": 2, "reconstruct": 2, "train": 3, "stylize": 1, "export": 2}
    for command, count in required.items():
        assert shown(command, HELP_ALL).count("(required)") == count, command


def test_help_leaves_out_what_a_command_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    for command, starts in (
        ("transfer", "content,noise,style,image"),
        ("texture", "noise,style,image"),
        ("reconstruct", "noise,image"),
    ):
        assert f"--init {{{starts}}}" in shown(command, HELP_ALL)
    for flag in ("--guidance", "--blend"):
        assert flag not in shown("train", HELP_ALL)
        assert main(["train", flag, "x"]) == 2
        assert f"{flag} does not go with nstjax train" in capsys.readouterr().err


def test_placeholders() -> None:
    assert "--bounds MIN MAX" in shown("transfer", HELP_ALL)
    assert "--paintings {swirls,waves,dots,shards,glass,knife} ..." in shown("demo", HELP_ALL)
    train = shown("train", HELP_ALL)
    for flag, default in (("content", True), ("join-norm", False)):
        assert f"--{flag}, --no-{flag}" in train
        for given, value in ((f"--{flag}", True), (f"--no-{flag}", False)):
            parsed = parse(TrainOptions, ["--generator", "ulyanov", given], "nstjax train")
            config = parsed.generator.build(GENERATORS["ulyanov"]())
            assert getattr(config, flag.replace("-", "_")) is value
        assert getattr(GENERATORS["ulyanov"](), flag.replace("-", "_")) is default


def test_an_option_that_help_leaves_out_is_accepted() -> None:
    assert "--kernel-degree" not in flags(shown("transfer", "--help"))
    default = default_options("transfer", base_config("transfer", None))
    parsed = parse(COMMANDS["transfer"], ["--kernel-degree", "3"], "nstjax transfer", default)
    assert parsed == dataclasses.replace(
        default, objective=dataclasses.replace(default.objective, kernel_degree=3)
    )


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["transfer", "--size", "x"], "(see nstjax transfer --help)"),
        (["transfer", "--kernel-degree", "x"], "(see nstjax transfer --help-all)"),
        (["transfer", "--colour"], "(see nstjax transfer --help-all)"),
        (["export", "--size", "x"], "(see nstjax export --help)"),
    ],
)
def test_an_error_names_the_help_that_has_the_option(
    command: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert capsys.readouterr().err.endswith(f"{hint}\n")


def test_where_help_may_stand() -> None:
    assert asked(["a.png", "-h"]) == "--help"
    assert asked(["--help", "a.png", "--help_all"]) == HELP_ALL
    assert asked(["--", "--help"]) is None
    assert "--style-statistic" in shown("transfer", "a.png", "--size", "x", "--help")


def test_commands_with_actions_take_help_all(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["weights"], ["cache"], ["completion"]):
        assert main([*command, HELP_ALL]) == 0
        assert "usage: nstjax" in capsys.readouterr().out
