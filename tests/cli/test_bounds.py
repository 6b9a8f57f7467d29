"""Numbers out of range are refused before any work, by every command: one sentence with the option and its limit."""

import dataclasses
import re
from pathlib import Path

import pytest
from PIL import Image

import nstjax
from nstjax import free_memory
from nstjax.cli.main import main
from nstjax.data import DataConfig
from nstjax.generators import JohnsonConfig, UlyanovConfig
from nstjax.inference import memory
from nstjax.inference.photograph import rows_for
from nstjax.losses import Objective
from nstjax.training import TRAIN_PRESETS, TrainConfig
from nstjax.training import memory as training_memory

HUGE = "99999999999999999999"
TRANSFER = ["transfer", "a.png", "a.png", "-o", "o.png"]
STYLIZE = ["stylize", "a.png", "-m", "gallery", "--style", "dots", "-o", "o.png"]
EXPORT = ["export", "-m", "gallery", "--style", "dots", "-o", "o.stablehlo"]
TRAIN = ["train", "--style", "a.png", "--data", "fake:8", "-o", "run"]


@pytest.fixture
def folder(tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    nstjax.save_image("a.png", pictures[0])
    return tmp_path


@pytest.mark.parametrize(
    ("command", "option", "values", "limit"),
    [
        (STYLIZE, "--size", ["1000000", "4294967295", "-1", "0"], "between 8 and 32768 pixels"),
        (STYLIZE, "--size", ["4294967296", HUGE, f"-{HUGE}"], "between -4294967295 and 4294967295"),
        (STYLIZE, "--tile", ["-1", "99999"], "between 16 and 32768 rows, or 0 for one piece"),
        (STYLIZE, "--noise-scale", ["1e29", "-1e5"], "between -1000 and 1000"),
        (STYLIZE, "--noise-scale", ["nan", "inf"], "a finite number"),
        (STYLIZE, "--strength", ["1.5", "-0.1"], "between 0 and 1"),
        (STYLIZE, "--seed", ["-1"], "between 0 and 4294967295"),
        (EXPORT, "--size", ["60000 60000", "0 9", "9 -1"], "between 1 and 32768 pixels"),
        (EXPORT, "--size", [f"9 {HUGE}"], "between -4294967295 and 4294967295"),
        (TRAIN, "--crop", ["5000", "0"], "from 1 to 4096"),
        (TRAIN, "--crop", [HUGE], "between -4294967295 and 4294967295"),
        (TRAIN, "--steps", ["0", "4000000000"], "between 1 and 1000000000"),
        (TRAIN, "--decay-steps", ["0", "4000000000"], "between 1 and 1000000000"),
        (TRAIN, "--log-every", ["0", HUGE], "between 1 and 1000000000"),
        (TRAIN, "--keep", [HUGE], "between 1 and 1000000000"),
        ([*TRAIN, "--coordinator", "h:1"], "--processes", ["0", "99999"], "between 1 and 65536"),
        (
            [*TRAIN, "--coordinator", "h:1", "--processes", "2"],
            "--process-index",
            ["2", "-1"],
            "between 0 and 1",
        ),
        (TRANSFER, "--size", ["1000000", HUGE], "between 1 and 16384 pixels"),
        (TRANSFER, "--iterations", ["0", HUGE], "between 1 and 1000000000"),
        ([*TRANSFER, "--optimizer", "scipy"], "--maxfun", ["0", "2000000000"], "between 1 and 1000000000"),
        ([*TRANSFER, "--optimizer", "scipy"], "--rounds", ["-1"], "between 1 and 1000000000"),
        (TRANSFER, "--save-state-every", ["-1", "2000000000"], "between 0 and 1000000000"),
        (TRANSFER, "--snapshot-every", ["-1"], "between 0 and 1000000000"),
        (TRANSFER, "--bits", [HUGE], "between -4294967295 and 4294967295"),
        (TRANSFER, "--quality", ["101"], "between 1 and 100"),
        (TRANSFER, "--style-regions", [HUGE], "between -4294967295 and 4294967295"),
        (TRANSFER, "--style-weights", ["nan", "inf"], "a finite number"),
        (
            ["texture", "a.png", "-o", "o.png"],
            "--proportions",
            ["0 1", f"1 {2**20}"],
            "between 1 and 16384",
        ),
        (["reconstruct", "a.png", "-o", "o.png"], "--size", ["0"], "between 1 and 16384 pixels"),
        (["demo"], "--size", ["5", "99999"], "between 16 and 16384 pixels"),
        (["demo"], "--seed", ["-1"], "between 0 and 4294967295"),
        (["weights", "normalize", "embedded", "."], "--size", ["5", "9999"], "between 32 and 4096 pixels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_every_number_has_a_limit(
    folder: Path, capsys, command: list[str], option: str, values: list[str], limit: str
) -> None:
    for value in values:
        assert main([*command, option, *value.split()]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"nstjax: error: {option} is ")
        assert f"it must be {limit}" in said
        assert said.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ([*STYLIZE, "--size", "x"], "--size is 'x': it must be a whole number"),
        ([*STYLIZE, "--strength", "x"], "--strength is 'x': it must be a number"),
        ([*STYLIZE, "--seed", "9" * 5000], "--seed has too many digits"),
        ([*STYLIZE, "--size"], "--size has no value"),
        ([*EXPORT, "--size", "5"], "--size is '5': it must be INT INT"),
        (["weights", "fetch"], "NAME is missing"),
        (["weights", "normalize", "vgg19"], "PHOTOGRAPHS is missing"),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_what_cannot_be_parsed(folder: Path, capsys, command: list[str], sentence: str) -> None:
    assert main(command) == 2
    assert capsys.readouterr().err == f"nstjax: error: {sentence} (see {_prog(command)} --help)\n"


def _prog(command: list[str]) -> str:
    return f"nstjax {' '.join(command[: 2 if command[0] == 'weights' else 1])}"


# Sides that a format cannot hold.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["in/a.png", "--size", "20000", "-o", "o.webp"], "o.webp can have 16383 pixels a side, not 20000"),
        (["in", "--size", "20000", "--format", "webp", "-o", "out"], "out/a.webp can have 16383 pixels"),
        (["in/long.png", "-o", "o.webp"], "o.webp can have 16383 pixels a side, not 65501: choose .png"),
        (["in/long.png", "-o", "o.jpg"], "o.jpg can have 65500 pixels a side, not 65501"),
        (["long.gif", "-o", "o.webp"], "o.webp can have 16383 pixels a side, not 16384"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_side_that_the_format_cannot_hold_is_refused_before_painting(
    folder: Path, capsys, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    (folder / "in").mkdir()
    (folder / "a.png").rename("in/a.png")
    Image.new("RGB", (65501, 8)).save("in/long.png")
    frames = [Image.new("RGB", (16384, 8), color) for color in ("red", "blue")]
    frames[0].save("long.gif", save_all=True, append_images=frames[1:])
    monkeypatch.setattr("nstjax.cli.painters.stylize", None)  # a call would be a TypeError
    command = ["stylize", *options, "-m", "gallery", "--style", "dots", "-q", "--no-compilation-cache"]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["in", "long.gif"]


# Memory that is not there.


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose control group leaves 1 GiB."""
    monkeypatch.setattr(free_memory, "cgroup_bytes", lambda root=None: 2.0**30)


def test_the_estimate_of_a_pass() -> None:
    plan = JohnsonConfig(width=0.5, upsampling="nearest", residual_blocks=4).plan()
    assert plan.values_per_pixel() == 32  # half of 32 filters, before and after a step
    small, large = (memory.generator_bytes(plan, 2**k, 2**k, 0) - memory._BASE for k in (10, 11))
    assert large == pytest.approx(4 * small)
    # Peaks of whole processes: 0.96 GiB for 1536×1200 pixels in one piece, 0.54 GiB for 512×400.
    assert memory.generator_bytes(plan, 1200, 1536, 0) / 2**30 == pytest.approx(0.96, rel=0.2)
    assert memory.generator_bytes(plan, 400, 512, 0) / 2**30 == pytest.approx(0.54, rel=0.2)
    assert memory.generator_bytes(plan, 8000, 8000, 64) < 0.6 * memory.generator_bytes(plan, 8000, 8000, 0)
    tile = rows_for(8000, 8000)
    assert memory.generator_bytes(plan, 8000, 8000) == memory.generator_bytes(plan, 8000, 8000, tile)
    assert UlyanovConfig(scales=2, channels=1).plan().values_per_pixel() > 3


def test_the_estimate_of_a_training(small: nstjax.Backbone) -> None:
    layers = Objective(("relu2_1",), ("relu1_1", "relu2_1"))
    config = TrainConfig(objective=layers, generator=JohnsonConfig(width=0.5))

    def needed(**changes: object) -> float:
        data = DataConfig("fake", **changes)
        changed = TrainConfig(objective=layers, generator=config.generator, data=data, style_size=16)
        return training_memory.training_bytes(changed, small) - training_memory._BASE

    # XLA allocates 490 values a pixel for a step of this network and the embedded one.
    network = JohnsonConfig(width=0.5, upsampling="nearest", residual_blocks=4)
    quick, embedded = TRAIN_PRESETS["quick"], nstjax.load_backbone("embedded")
    quick = dataclasses.replace(quick, generator=network, style_size=256)
    step = training_memory.training_bytes(quick.for_backbone(embedded), embedded) - training_memory._BASE
    ahead = 3 * (1 + quick.data.prefetch)
    assert step / 4 / (4 * 128**2) - ahead == pytest.approx(490, rel=0.1)
    assert needed(size=512) == pytest.approx(4 * needed(size=256))
    assert needed(batch_size=8) == pytest.approx(2 * needed(batch_size=4))
    assert needed(size=4096) > 100 * 2**30


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            [*STYLIZE, "--size", "8000", "--tile", "0"],
            "--size: a picture of 8000×6000 pixels needs about .* try --tile 64, or a smaller --size",
        ),
        ([*STYLIZE, "--size", "30000"], "--size: a picture of 30000×22500 pixels has more than"),
        ([*EXPORT, "--size", "9000", "9000"], "--size: a picture of 9000×9000 pixels needs about"),
        (
            [*TRAIN, "--crop", "4096", "-w", "embedded"],
            "a batch of 4 photographs of 4096 pixels a side needs about .* 1.0 GiB are free: try a smaller --crop",
        ),
        ([*TRANSFER, "--size", "4000", "-w", "embedded"], "a picture of 4000×3000 pixels needs about"),
    ],
    ids=lambda value: " ".join(value[:1] + value[-2:]) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused(folder: Path, little, capsys, command: list[str], said: str) -> None:
    assert main([*command, "-q", *(["--no-compilation-cache"] if command[0] != "export" else [])]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["a.png"]
