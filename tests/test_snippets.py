"""Every command and every Python code block of the README and of the documentation works.

The blocks of a page run in order, in one folder with small stand-in files and in one namespace. ``nstjax`` commands are
first resolved as they are written, by the real command line, and then run in this process at a tiny size with the embedded
network in place of VGG-19. What cannot be run is in :data:`NOT_RUN` and :data:`OTHER_PROGRAMS`, with the reason.
"""

import dataclasses
import re
import shutil
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nstjax import optim
from nstjax.cli import train_command
from nstjax.cli.cache_command import CACHE_ACTIONS
from nstjax.cli.completion_command import OPTIONS, WHERE
from nstjax.cli.main import main
from nstjax.cli.options_train import TrainOptions
from nstjax.cli.parse import parse
from nstjax.cli.resolve import resolve_command
from nstjax.cli.weights_command import ACTIONS as WEIGHTS_ACTIONS
from nstjax.errors import InputError
from nstjax.losses import statistics
from nstjax.synthesis import TransferConfig
from nstjax.training import TrainConfig
from nstjax.weights import load_backbone
from tests.helpers import weight_files
from tests.helpers.documents import (
    Block,
    Command,
    blocks_of,
    commands_of,
    extras_of,
    pages,
    stand_in_files,
    values_of,
    without,
)
from tests.helpers.networks import random_params
from tests.helpers.paths import ROOT

NOT_RUN = {
    r"weights fetch": "downloads",
    r"weights (info|normalize|export) vgg19": "VGG-19 is not installed",
    r"--preset gatys$": "needs the whole VGG-19",
    r"--data tfds:coco": "downloads 25 GB",
    r"--coordinator": "needs a second process; tests/training/test_training_runs.py has one",
    r"^nstjax web": "needs the extra web and does not end; tests/web has it",
    r"--cluster tcp://": "needs a scheduler on another machine; tests/cli/test_many.py starts one",
    r"demo --photograph cat": "draws six paintings; tests/cli/test_demo.py and tests/paintings do",
    r"clip\.mp4": "needs the extra video; tests/cli/test_stylize.py and tests/cli/test_transfer_video.py have videos",
}
"""``nstjax`` commands that are resolved by the real command line and not run, by a pattern, with the reason."""
OTHER_PROGRAMS = {
    "python3": "makes a virtual environment",
    "pip": "installs packages; the extras are compared with pyproject.toml",
    "git": "needs a network",
    "cd": "follows git",
    "docker": "needs docker",
    "dask": "starts servers that do not end",
    "mkdocs": ".ci/run does it",
    "python": "an experiment or the tests: its module and its options are looked up",
}
"""Programs that are not run, with the reason."""
SLOW = {
    *("docs/tutorials/training.md", "docs/tutorials/large.md", "docs/tutorials/devices.md"),
    *("docs/tutorials/textures.md", "docs/tutorials/regions.md", "docs/how-to/settings.md"),
}
"""Pages whose programs take XLA long to compile."""

SIDE = 32
_SYNTHESIS = ("transfer", "texture", "reconstruct")


def resolve(arguments: list[str]) -> None:
    """Check a command line of nstjax as it is written, by its own parsers and checks.

    Raises:
        InputError: it would be refused.
    """
    if "--help" in arguments or arguments[0] == "--version":
        return  # it does nothing else, and is run
    command, rest = arguments[0], arguments[1:]
    if command in _SYNTHESIS:
        resolve_command(command, rest)
        return
    if command == "train":
        base, _, known = train_command._base(rest)
        parse(TrainOptions, rest, "nstjax train", TrainOptions(**known)).config(base)
        return
    if command == "completion":
        assert rest[0] in WHERE
        return
    if command in ("weights", "cache"):
        assert rest[0] in {**WEIGHTS_ACTIONS, **CACHE_ACTIONS}, rest[0]
        command, rest = f"{command} {rest[0]}", rest[1:]
    if command not in OPTIONS:
        raise InputError(f"there is no command {command!r}")
    parse(OPTIONS[command], rest, f"nstjax {command}")


def tiny(arguments: list[str]) -> list[str]:
    """A command line with small sizes, few iterations, and the embedded network."""
    words = list(arguments)

    def put(flag: str, *values: str | int) -> None:
        nonlocal words
        words = [*without(words, flag), flag, *map(str, values)]

    if values_of(words, "--weights"):
        put("--weights", "embedded")
    if words[0] in _SYNTHESIS and "--help" not in words:
        scales = len(values_of(words, "--scales"))
        if scales:
            put("--scales", *range(SIDE - scales + 1, SIDE + 1))
            put("--iterations", *[1] * len(values_of(words, "--iterations")))
        elif "--from" not in words:
            put("--size", 2 * SIDE if "--style-scale" in words else SIDE)
            put("--iterations", 1)
        if "--tile" in words:
            put("--size", SIDE + 8)
            put("--tile", SIDE)
    elif words[0] == "demo":
        put("--size", SIDE)
        put("--iterations", 1)
    elif words[0] == "train" and "--resume" not in words:
        for flag, value in (("--steps", 2), ("--crop", 16), ("--style-size", 32), ("--sample-every", 0)):
            put(flag, value)
        # Its generator is then not that of the preset quick, which tests/cli/test_train_command.py trains.
        if "--add-to" not in words:  # which has the network of another generator
            put("--width", 0.1)
            put("--residual-blocks", 1)
    elif words[0] == "stylize" and "--size" in words:
        put("--size", SIDE)
    elif words[:2] == ["weights", "convert"]:
        put("--network", "vgg19")
    return words


def reason_not_to_run(line: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, line)), None)


def run_nstjax(command: Command, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    arguments = list(command.words[1:])
    with monkeypatch.context() as patch:
        if arguments[0] in ("cache", "weights"):  # not the cache that all tests share
            patch.setenv("NSTJAX_CACHE", str(folder / "cache"))
        try:
            resolve(arguments)
            if reason_not_to_run(str(command)) is None:
                assert main(tiny(arguments)) == 0, f"{command.where}: {command}"
        except InputError as error:
            raise AssertionError(f"{command.where}: {command}: {error}") from error
        except SystemExit as end:  # after --help
            if end.code:
                raise AssertionError(f"{command.where}: {command}") from end


def check_other(command: Command) -> None:
    """A command of another program: its place in the list, the extras, the experiment's module and options."""
    words = list(command.words)
    program = words[0].removeprefix(".venv/bin/")
    assert program in OTHER_PROGRAMS, f"{command.where}: {program} is not in OTHER_PROGRAMS"
    if program == "pip":
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for word in words:
            assert extras_of(word) <= set(known), f"{command.where}: {word}"
    if program == "python" and words[1:2] == ["-m"] and words[2].startswith("experiments"):
        check_experiment(command.where, words[2], words[3:])


def check_experiment(where: str, module: str, arguments: list[str]) -> None:
    """The module of ``python -m`` exists, and its options are fields in it or in what the experiments share."""
    path = ROOT / module.replace(".", "/")
    files = [path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__main__.py"]
    assert files[0].exists(), f"{where}: there is no module {module}"
    files += [ROOT / "experiments" / name for name in ("common.py", "trained.py")]
    files += path.glob("train.py")  # its recipe, whose fields are options
    code = "\n".join(file.read_text() for file in files)
    for flag in (word for word in arguments if word.startswith("--")):
        name = flag.removeprefix("--").replace("-", "_")
        assert re.search(rf"\b{name}\b", code), f"{where}: {module} has no option {flag}"


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    if block.title:
        Path(block.title).write_text(block.text)
    code = compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec")
    exec(code, namespace)


def run_page(page: str, monkeypatch: pytest.MonkeyPatch, folder: Path, text: str | None = None) -> None:
    module = types.ModuleType("snippets")
    monkeypatch.setitem(sys.modules, "snippets", module)
    for block in blocks_of(page, text):
        if block.language == "python":
            run_python(block, vars(module))
        elif block.language == "sh":
            for command in commands_of(block):
                if command.words[0].removeprefix(".venv/bin/") == "nstjax":
                    run_nstjax(command, monkeypatch, folder)
                else:
                    check_other(command)
        else:
            assert block.language == "text", f"{page}:{block.line}: a block is python, sh or text"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents name, small."""
    folder = tmp_path_factory.mktemp("stand_ins")
    stand_in_files(folder)
    weight_files.write_keras_old(folder / "vgg19_weights.h5", random_params("vgg19", 3))
    return folder


@pytest.fixture
def place(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own with the stand-in files, and small settings in place of the defaults."""
    shutil.copytree(stand_ins, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nstjax.cli.demo_command.SIDE", 64)
    monkeypatch.setattr("nstjax.weights.store.load_backbone", lambda *_: load_backbone("embedded"))
    transfers, trainings = TransferConfig.for_backbone, TrainConfig.for_backbone

    def small_transfer(self: TransferConfig, backbone: Any) -> TransferConfig:
        most = dataclasses.replace(self.optimizer, iterations=min(self.optimizer.iterations, 2))
        scales = self.scales if self.scales and self.scales[-1] <= SIDE else ()
        side = 2 * SIDE if self.style_scale < 1 else SIDE  # the smaller style image must fit relu5_1
        size = min(self.size, side + 8 if self.tile else side)
        tile = min(self.tile, SIDE)
        iterations = self.iterations if scales else self.iterations[:1]
        small = dataclasses.replace(
            self, size=size, scales=scales, iterations=iterations, tile=tile, optimizer=most
        )
        return transfers(small, backbone)

    def small_training(self: TrainConfig, backbone: Any) -> TrainConfig:
        data = dataclasses.replace(self.data, size=16)
        return trainings(
            dataclasses.replace(self, steps=min(self.steps, 2), data=data, style_size=32), backbone
        )

    monkeypatch.setattr(TransferConfig, "for_backbone", small_transfer)
    monkeypatch.setattr(TrainConfig, "for_backbone", small_training)
    registered = dict(statistics.STATISTICS), dict(optim.OPTIMIZERS)
    yield tmp_path
    for registry, before in zip((statistics.STATISTICS, optim.OPTIMIZERS), registered, strict=True):
        registry.clear()
        registry.update(before)


@pytest.mark.filterwarnings("ignore::nstjax.errors.InputWarning")  # regions are thin at this size
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in SLOW else ())
        for page in pages()
        if {block.language for block in blocks_of(page)} - {"text"}
    ],
)
def test_the_code_of_a_page_runs(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, monkeypatch, place)


@pytest.mark.parametrize("page", sorted(SLOW))
def test_the_commands_of_a_slow_page_are_resolved(
    page: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow pages are in the default run, too, with their commands resolved and not run."""
    for block in blocks_of(page):
        for command in commands_of(block) if block.language == "sh" else ():
            if command.words[0] == "nstjax":
                resolve(list(command.words[1:]))
            else:
                check_other(command)
        if block.language == "python":
            compile(block.text, page, "exec")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*/README.md")), ids=lambda p: p.parent.name
)
def test_the_commands_of_an_experiment_exist(path: Path) -> None:
    for block in blocks_of(path.relative_to(ROOT).as_posix()):
        for command in commands_of(block) if block.language == "sh" else ():
            if command.words[:2] == ("python", "-m"):
                check_experiment(command.where, command.words[2], list(command.words[3:]))


def _all_commands() -> list[str]:
    blocks = [block for page in pages() for block in blocks_of(page) if block.language == "sh"]
    return [str(command) for block in blocks for command in commands_of(block)]


def test_the_lists_of_what_is_not_run_are_used() -> None:
    commands = _all_commands()
    for pattern in NOT_RUN:
        assert any(re.search(pattern, command) for command in commands), pattern
    for program in OTHER_PROGRAMS:
        assert any(command.removeprefix(".venv/bin/").split()[0] == program for command in commands), program
    assert set(pages()) >= SLOW


@pytest.mark.parametrize(
    "block",
    [
        "```sh\nnstjax transfer photo.jpg painting.jpg -o out.png --style-scael 0.5\n```",  # a misspelled option
        "```sh\nnstjax transfer photo.jpg painting.jpg -o out.png --colors luminanze\n```",  # a misspelled value
        "```sh\nnstjax transfer photo.jpg missing.jpg -o out.png\n```",
        "```sh\nnstjax stylise photo.jpg --model gallery -o out.png\n```",  # a misspelled command
        "```sh\nnstjax weights fetch vgg19 --form mirror\n```",  # of a command that is not run
        "```sh\nnstjax cache empty\n```",
        "```sh\npip install '.[cud]'\n```",
        "```sh\npython -m experiments.galery\n```",
        "```sh\npython -m experiments.benchmarks.precision --sizes-of 3\n```",
        "```sh\ncurl example.org\n```",  # a program that is not in the list
        "```python\nimport nstjax\nnstjax.tranfer\n```",
        "```python\nimport nstjax\nnstjax.TransferConfig(style_scael=0.5)\n```",
        "```pyhton\n```",
    ],
)
def test_stale_code_is_found(block: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        run_page("README.md", monkeypatch, place, block)


def test_commands_are_taken_apart() -> None:
    text = (
        "```sh\nA=1 nstjax info > file && cd x   # a comment\nnstjax transfer a.png#ff0000 \\\n  '.[b]'\n```"
    )
    (block,) = blocks_of("page.md", text)
    assert [(c.where, c.words) for c in commands_of(block)] == [
        ("page.md:2", ("nstjax", "info")),
        ("page.md:2", ("cd", "x")),
        ("page.md:3", ("nstjax", "transfer", "a.png#ff0000", ".[b]")),
    ]
