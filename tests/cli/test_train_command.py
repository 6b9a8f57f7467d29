"""``nstjax train`` as a user runs it: a folder and a data set of photographs, resumption, bad input."""

import json
import shlex
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax.cli.main import main
from nstjax.generators import JohnsonConfig, init_generator
from nstjax.generators.store import load_generator, save_generator
from nstjax.generators.styles import select_style, style_names, with_styles
from nstjax.training import TRAIN_PRESETS, read_metrics
from tests.helpers.datasets import prepare_folder
from tests.helpers.networks import random_params
from tests.helpers.photographs import damage, write_marked
from tests.helpers.training import assert_same_bits
from tests.helpers.weight_files import write_keras_old

QUICK = shlex.split("--preset quick --width 0.125 --residual-blocks 0 --crop 16 --style-size 16 -w embedded")
QUICK += shlex.split("--content-layers relu1_1 --style-layers relu1_1 --batch-size 2")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_marked(Path("photographs"), 5)
    style = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(style).save("painting.png")
    return tmp_path


def train(*arguments: str) -> int:
    return main(["train", *arguments])


@pytest.mark.slow
def test_a_training_that_diverges_says_which_flags_to_change(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = shlex.split("--style painting.png --data photographs -o run -q --steps 30 --learning-rate 1e30")
    assert train(*wild, *QUICK) == 1
    err = capsys.readouterr().err
    assert err.startswith("nstjax: error: the loss")
    assert "lower --learning-rate" in err


@pytest.mark.slow
def test_a_run_with_an_own_statistic_is_resumed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nstjax.losses.statistics.STATISTICS", dict(nstjax.losses.statistics.STATISTICS))
    Path("own.py").write_text(
        "from nstjax.losses.statistics.gram import Gram\n\n\nclass Own(Gram):\n    pass\n"
    )
    own = ["--style-statistic", "own.py:Own"]
    new = shlex.split("--style painting.png --data photographs -o run -q --schedule constant")
    assert train(*new, *QUICK, *own, "--steps", "1") == 0
    capsys.readouterr()
    del nstjax.losses.statistics.STATISTICS["own.py:Own"]  # as in a new process
    assert train("--resume", "-o", "run", "-q", "--steps", "2") == 2
    assert "own.py:Own is not loaded" in capsys.readouterr().err
    assert train("--resume", "-o", "run", "-q", "--steps", "2", *own) == 0
    assert load_generator("run").record["steps"] == 2


@pytest.mark.slow
def test_a_data_set_of_photographs_is_trained_on_and_gone_on_with(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TFDS, prepared of local photographs; one of them damaged; a longer run from the shorter one's end."""
    damage(
        [sorted(Path("photographs").rglob("*.png"))[1], Path("photographs/a.jpg"), Path("photographs/b.jpg")]
    )
    prepare_folder(Path("photographs"), "mine", "sets")
    new = shlex.split("--style painting.png --data tfds:mine --data-dir sets --schedule constant") + QUICK
    watched = shlex.split("--steps 6 -o whole --log-every 1 --keep 1 --samples painting.png")
    assert train(*new, *watched) == 0
    shown = capsys.readouterr()
    assert "nstjax stylize PHOTO --model whole" in shown.out
    assert "cannot be read and is left out" in shown.err
    assert train(*new, "--steps", "4", "-o", "parts", "-q") == 0
    assert train("--resume", "--steps", "6", "-o", "parts", "-q") == 0  # settings are those of the run
    assert capsys.readouterr() == ("", "")
    assert_same_bits(*(load_generator(name).variables for name in ("whole", "parts")))
    assert [line["step"] for line in read_metrics(Path("whole"))] == list(range(1, 7))
    assert {path.name for path in Path("whole").iterdir()} == {
        *("checkpoints", "events", "metrics.jsonl", "model", "samples", "train.json")
    }
    assert [path.name for path in Path("whole/checkpoints").iterdir()] == ["6"]
    record = json.loads(Path("whole/train.json").read_text())
    assert record["config"]["data"]["source"] == "tfds:mine"
    model = load_generator("whole")
    assert model.record["style"]["name"] == "painting.png"
    assert model.record["steps"] == 6
    assert nstjax.load_image("whole/samples/step-0000006.jpg").shape == (1, 40, 30, 3)
    # What an interrupted run must be is what it was begun as.
    for change, said in (
        (["--learning-rate", "0.5"], "--learning-rate was 0.002"),
        (["--generator", "ulyanov"], "--generator was johnson"),
        (["--style", "photographs/00.png"], "the style image is not the one"),
        (["--preset", "quick"], "--batch-size was 2 in the run of parts and is 4 now"),
    ):
        assert train("--resume", "-o", "parts", *change) == 2
        assert said in capsys.readouterr().err
    assert train(*new, "-o", "parts") == 2
    assert "continue the run with --resume" in capsys.readouterr().err
    shutil.rmtree("parts/checkpoints/6/tree")
    Path("parts/train.json").write_text('{"format": 1, "config": {}, "inputs": {}}')
    assert train("--resume", "-o", "parts") == 2
    assert "damaged" in capsys.readouterr().err


def test_the_options_of_the_weights_are_resumed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_keras_old(Path("first_blocks.h5"), random_params("vgg19", 3))
    quick = ["first_blocks.h5" if word == "embedded" else word for word in QUICK]
    new = shlex.split("--style painting.png --data photographs -o run -q --schedule constant --steps 1")
    assert train(*new, *quick, "--network", "vgg19", "--preprocessing", "torchvision") == 0
    assert train("--resume", "-o", "run", "-q", "--steps", "2") == 0
    record = json.loads(Path("run/train.json").read_text())
    assert record["weights_option"]["preprocessing"] == "torchvision"
    assert record["weights"]["preprocessing"]["order"] == "RGB"
    assert train("--resume", "-o", "run", "-q", "--steps", "3", "--preprocessing", "caffe-bgr") == 2
    assert "the feature network is not the one" in capsys.readouterr().err


def test_the_same_command_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the preset that it named, and with the photographs wherever they are now."""
    command = shlex.split("--style painting.png --steps 1 -o run -q --sample-every 0") + QUICK
    Path("run").mkdir()
    Path("run/.nstjax.abc").write_text("")  # as a kill before the first record leaves it
    assert train(*command, "--data", "photographs") == 0
    record = Path("run/train.json").read_bytes()
    assert train(*command, "--data", "photographs", "--resume") == 0
    assert Path("run/train.json").read_bytes() == record
    Path("photographs").rename("moved")
    Path("run").rename("moved/run")  # whose samples are no photographs
    shutil.copytree("moved/more", "moved/run/samples", dirs_exist_ok=True)
    assert train("--data", str(place / "moved"), "--resume", "-o", "moved/run", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert train(*command[:-2], "--batch-size", "3", "--data", "moved", "--resume", "-o", "moved/run") == 2
    assert "--batch-size was 2 in the run of moved/run and is 3 now" in capsys.readouterr().err
    Path("moved/more/04.png").write_bytes(b"")
    assert train("--resume", "-o", "moved/run", "-q") == 2  # with the folder of the last resumption
    assert (
        "moved does not have the photographs that the run was started with (5 then, 5 now"
        in capsys.readouterr().err
    )


BAD: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "--style is missing"),
    "no data": (["--style", "painting.png", "-o", "run"], "--data FOLDER"),
    "no folder for the run": (["--style", "painting.png", "--data", "photographs"], "-o RUN"),
    "no such painting": (["--style", "nowhere.png", "--data", "photographs", "-o", "run"], "nowhere.png"),
    "no such folder": (["--data", "nowhere"], "nowhere"),
    "no photographs": (["--data", "empty"], "empty"),
    "no such data set": (["--data", "tfds:nowhere", "--data-dir", "sets"], "nowhere"),
    "a file for the run's folder": (["-o", "painting.png"], "is a file where a folder is needed"),
    "a full folder for the run": (["-o", "photographs"], "is not empty"),
    "a shipped model's name": (["-o", "gallery"], "is the name of a model that comes with nstjax"),
    "a decay beyond float32": (["--decay-rate", "1e-320"], "--decay-rate is 1e-320: it must be"),
    "the photographs' folder": (["-o", "photographs", "--resume"], "is the folder of the photographs"),
    "a preset": (["--preset", "monet"], "the presets are default, quick"),
    "another network's option": (["--generator", "ulyanov", "--width", "2"], "--width does not go with"),
    "width": (["--width", "0"], "--width"),
    "padding": (["--padding", "circular"], "--padding"),
    "steps": (["--steps", "0"], "--steps is 0"),
    "learning rate": (["--learning-rate", "-1"], "--learning-rate"),
    "epsilon": (["--epsilon", "0"], "--epsilon"),
    "decay": (["--decay-rate", "2"], "--decay-rate"),
    "clip": (["--clip", "0"], "--clip is 0"),
    "warm-up": (["--steps", "5", "--warmup-steps", "5"], "--warmup-steps is 5"),
    "accumulate": (["--accumulate", "0"], "--accumulate is 0"),
    "compute": (["--compute", "float64"], "JAX_ENABLE_X64"),
    "style size": (["--style-size", "1"], "--style-size is 1"),
    "seed": (["--seed", "-1"], "--seed is -1"),
    "data seed": (["--data-seed", "-1"], "--data-seed is -1"),
    "crop": (["--crop", "0"], "--crop is 0"),
    "crop too small for a layer": (["--crop", "2", "--content-layers", "relu3_1"], "too small for layer"),
    "batch": (["--batch-size", "0"], "--batch-size is 0"),
    "log": (["--log-every", "0"], "--log-every is 0"),
    "keep": (["--keep", "0"], "--keep is 0"),
    "layer": (["--style-layers", "relu4_4"], "relu4_4"),
    "hosts": (["--processes", "2"], "--coordinator"),
    "resume without a run": (["--resume", "--style", "nowhere.png"], "nowhere.png"),
    "weights": (["-w", "nowhere"], "nowhere"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("empty").mkdir()
    whole = ["--style", "painting.png", "--data", "photographs", "-o", "run", *QUICK]
    before = sorted(path.relative_to(place) for path in place.rglob("*"))
    bare = ("nothing", "no data", "no folder for the run", "no such painting")
    command = arguments if arguments in [BAD[name][0] for name in bare] else [*whole, *arguments]
    assert train(*command) == 2
    error = capsys.readouterr().err
    assert error.startswith("nstjax: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before


@pytest.mark.slow
def test_quick_starts_from_the_generator_that_comes_with_nstjax(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = shlex.split("--preset quick --steps 1 --crop 16 --style-size 16 --batch-size 2 -w embedded -q")
    tiny += shlex.split("--content-layers relu1_1 --style-layers relu1_1 --sample-every 0")
    new = ["--style", "painting.png", "--data", "photographs", *tiny]
    slow = [*new, "-o", "near", "--learning-rate", "1e-9"]
    assert train(*slow) == 0
    start, near = with_styles(load_generator("gallery"), 1), load_generator("near")
    assert near.config == start.config == TRAIN_PRESETS["quick"].generator
    for one, other in zip(jax.tree.leaves(near.variables), jax.tree.leaves(start.variables), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    record = json.loads(Path("near/train.json").read_text())
    assert record["init_from"]["model"] == "gallery"
    assert train(*slow, "--resume") == 0
    assert train("--resume", "-o", "near", "-q") == 0
    # An option that changes the network: random weights.
    assert train(*new, "-o", "own", "--width", "0.125") == 0
    assert "init_from" not in json.loads(Path("own/train.json").read_text())
    assert train(*new, "-o", "next", "--init-from", "own") == 0
    assert load_generator("next").config == load_generator("own").config
    capsys.readouterr()
    for more, said in (
        (
            [*slow, "--resume", "--init-from", "own"],
            "--init-from is not the model that near was started with",
        ),
        ([*new, "-o", "x", "--init-from", "own", "--add-to", "own"], "--init-from does not go with --add-to"),
        ([*new, "-o", "x", "--init-from", "own", "--noise", "1"], "--noise does not go with --init-from"),
        ([*new, "-o", "x", "--init-from", "nothing"], "there is no model or folder 'nothing'"),
    ):
        assert train(*more) == 2
        assert said in capsys.readouterr().err
    assert not Path("x").exists()


def test_more_styles_than_a_generator_can_have_are_refused_before_training(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = JohnsonConfig(width=1 / 32, residual_blocks=0, styles=255)
    save_generator(place / "many", config, init_generator(config, jax.random.key(0)), {})
    new = shlex.split("--data photographs -o more -q --steps 1 --crop 16 --batch-size 2 -w embedded")
    assert train("--add-to", "many", "--style", "painting.png", "photographs/00.png", *new) == 2
    assert (
        "--add-to many has 255 styles and would have 257, but a generator has at most 256: leave out some of --style"
    ) in capsys.readouterr().err
    assert not Path("more").exists()


@pytest.mark.slow
def test_several_styles_are_trained_selected_shown_and_added(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("b", 1), ("c", 2)):
        pixels = np.random.default_rng(seed).integers(0, 255, (30, 20, 3), np.uint8)
        Image.fromarray(pixels).save(f"{name}.png")
    shutil.copy("b.png", "photographs/b.png")
    common = [*QUICK, "-q", "--steps", "2", "--schedule", "constant"]
    several = ["--style", "painting.png", "b.png", "photographs/b.png", "--data", "photographs", "-o", "run"]
    assert train(*several, *common) == 0
    assert train("--resume", "-o", "run", "-q", "--steps", "3") == 0  # the paintings are those of the record
    assert load_generator("run").record["steps"] == 3
    assert style_names(load_generator("run")) == ("painting", "b", "b-2")
    record = json.loads(Path("run/train.json").read_text())
    assert list(record["inputs"]) == ["style", "style_2", "style_3"]
    assert train("--resume", "-o", "run", "--style", "painting.png", "c.png", "b.png") == 2
    assert "the style images are not those" in capsys.readouterr().err
    assert train("--resume", "-o", "run", "--style", "painting.png") == 2
    capsys.readouterr()

    paint = ["stylize", "photographs/00.png", "--model", "run"]
    assert main([*paint, "-o", "x.png"]) == 2
    assert (
        "--style is missing: the styles of --model run are 1 painting, 2 b, 3 b-2" in capsys.readouterr().err
    )
    assert main([*paint, "-o", "x.png", "--style", "d"]) == 2
    assert "--style d: the generator has no style 'd'" in capsys.readouterr().err
    assert not Path("x.png").exists()
    assert main([*paint, "-o", "x.png", "--style", "b:1,1:3", "-q"]) == 0
    assert json.loads(Path("x.png.run.json").read_text())["model"]["style"] == {"painting": 0.75, "b": 0.25}
    assert main([*paint, "-o", "sheet.jpg", "--sheet", "-q"]) == 0
    assert nstjax.load_image("sheet.jpg").shape[2] > 600
    for more, said in (
        (["-o", "s.png", "--sheet", "--style", "b"], "leave out --style"),
        (["-o", "s.tiff", "--sheet"], "the sheet s.tiff must end in .png or .jpg"),
    ):
        assert main([*paint, *more]) == 2
        assert said in capsys.readouterr().err

    add = ["--style", "c.png", "--add-to", "run", "--data", "photographs", "-o", "more"]
    own = [option for option in common if option not in ("--width", "0.125", "--residual-blocks", "0")]
    assert train(*add, *common) == 2
    assert "does not go with --add-to" in capsys.readouterr().err
    assert train(*add, *own) == 0
    assert train("--resume", "-o", "more", "-q", "--steps", "3") == 0
    grown, before = load_generator("more"), load_generator("run")
    assert style_names(grown) == ("painting", "b", "b-2", "c")
    assert_same_bits(*(select_style(one, "b-2").variables for one in (grown, before)))
    assert train(*add[:3], "more", *add[4:], *own, "--resume") == 2
    assert "--add-to is not the model that more was started with" in capsys.readouterr().err
    assert main(["stylize", "--list"]) == 0
