"""The program, as a person runs it: in this process where that is the same, else in one of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nstjax
import nstjax.cli.pictures
from nstjax.cli.main import main
from nstjax.cli.parse import scan
from tests.helpers import weight_files
from tests.helpers.command import QUICK, pixels, transfer
from tests.helpers.networks import like_the_original

COMMAND = ["transfer", "photo.png", "painting.png", "-o", "out.png", "-w", "weights.npz"]


def test_a_picture_and_its_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transfer() == 0
    assert capsys.readouterr() == ("", "")  # -q
    assert pixels("out.png").shape == (18, 24, 3)
    record = json.loads((folder / "out.png.run.json").read_text())
    assert record["config"]["scales"] == [16, 24]
    assert record["config"]["objective"]["style_layers"] == ["relu1_1", "relu2_1"]
    assert record["status"] == "done"
    assert len(record["history"]) == 16
    assert record["inputs"]["content"]["path"] == str(folder / "photo.png")
    assert len(record["weights"]["sha256"]) == 64
    assert record["environment"]["versions"]["jax"]
    with Image.open("out.png") as picture:
        inside = json.loads(picture.info["nstjax"])
    assert inside["config"] == record["config"]
    assert inside["inputs"]["content"]["path"] == "photo.png"  # no folder of this machine
    assert record["config"]["size"] == 24
    assert sorted(p.name for p in folder.iterdir()) == [
        "out.png",
        "out.png.run.json",
        "painting.png",
        "photo.png",
        "weights.npz",
    ]


def test_a_record_is_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = [
        "--init",
        "noise",
        "--seed",
        "5",
        "--style-weight",
        "50",
        "--optimizer",
        "adam",
        "--average",
        "0.9",
    ]
    assert transfer(*extra, "--median-filter") == 0
    os.replace("out.png", "first.png")
    assert main(["transfer", "--from", "out.png.run.json", "-q"]) == 0
    np.testing.assert_array_equal(pixels("first.png"), pixels("out.png"))
    assert main(["transfer", "--from", "out.png.run.json", "-o", "other.png", "--seed", "6", "-q"]) == 0
    assert not np.array_equal(pixels("other.png"), pixels("out.png"))
    config = json.loads((folder / "other.png.run.json").read_text())["config"]
    assert (config["seed"], config["optimizer"]["average"]) == (6, 0.9)
    nstjax.save_image("photo.png", np.zeros((1, 40, 40, 3)))
    capsys.readouterr()
    assert main(["transfer", "--from", "out.png.run.json", "-o", "changed.png"]) == 0
    assert "the content image is not the one of the record" in capsys.readouterr().err


def test_plain_lines_where_there_is_no_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*COMMAND, *QUICK]
    arguments.remove("-q")
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "style relu1_1, relu2_1; content relu1_2" in err
    assert "scale 2/2 (24×18)  iteration 8/8  loss" in err
    assert "wrote out.png (24×18)" in err
    assert "\x1b" not in err


def test_live_display_on_a_terminal(folder: Path) -> None:
    script = f"import pty, sys; sys.exit(pty.spawn([{sys.executable!r}, '-m', 'nstjax', *sys.argv[1:]]) >> 8)"
    arguments = [*COMMAND, *QUICK[:-1]]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert "iteration" in done.stdout
    assert "\x1b[" in done.stdout


def test_snapshots_animation_plot_and_other_formats(folder: Path) -> None:
    assert transfer("--snapshot-every", "4", "--gif", "run.gif", "--plot", "loss.png", output="out.jpg") == 0
    names = sorted(p.name for p in (folder / "out.jpg.snapshots").iterdir())
    assert names == [f"scale{s}_iteration0000{i}.png" for s in (1, 2) for i in (4, 8)]
    with Image.open("run.gif") as gif:
        # The last snapshot is the result, and Pillow joins equal frames.
        assert (gif.n_frames, gif.size) == (4, (24, 18))
    assert pixels("loss.png").shape[1] > 300
    assert pixels("out.jpg").shape == (18, 24, 3)
    assert transfer("--gif", "run.gif", "--bits", "16", output="deep.tiff") == 0
    assert not (folder / "deep.tiff.snapshots").exists()


def test_a_folder_goes_on_past_a_bad_photograph(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = folder / "photos"
    photos.mkdir()
    for name in ("a.png", "c.png", "c.jpg"):
        nstjax.save_image(photos / name, nstjax.load_image("photo.png"))
    (photos / "b.jpg").write_bytes(b"\xff\xd8\xff garbage")
    (photos / "notes.txt").write_text("no picture")
    assert transfer(content="photos", output="done") == 2
    names = [f"{name}.png{suffix}" for name in ("a.png", "c.jpg", "c.png") for suffix in ("", ".run.json")]
    assert sorted(p.name for p in (folder / "done").iterdir()) == sorted(names)
    err = capsys.readouterr().err
    assert "3 of 4 made; not made:" in err
    assert err.count("b.jpg") == 2
    os.remove(photos / "b.jpg")
    before = (folder / "done" / "a.png.png").stat().st_mtime_ns
    assert transfer("--resume", content="photos", output="done") == 0
    assert (folder / "done" / "a.png.png").stat().st_mtime_ns == before  # finished already
    capsys.readouterr()
    (photos / "drawing.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    loud = [word for word in QUICK if word != "-q"]
    assert (
        main(["transfer", "photos", "painting.png", "-o", "done", "-w", "weights.npz", *loud, "--resume"])
        == 0
    )
    lines = capsys.readouterr().err.splitlines()[-2:]
    assert "nstjax: skipped notes.txt: it is not an image" in lines
    assert any(line.startswith("nstjax: skipped drawing.jpg: it is a PostScript file") for line in lines)


def test_a_folder_goes_on_past_an_error_of_any_type(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "photos").mkdir()
    for name in ("a.png", "b.png"):
        nstjax.save_image(folder / "photos" / name, nstjax.load_image("photo.png"))
    load = nstjax.cli.pictures.load_picture

    def failing(path: Path, long_side: int = 0) -> np.ndarray:
        if path.name == "a.png":
            raise RuntimeError("no such decoder\nand more")
        return load(path, long_side)

    monkeypatch.setattr(nstjax.cli.pictures, "load_picture", failing)
    assert transfer("--iterations", "1", content="photos", output="done") == 1
    assert sorted(p.name for p in (folder / "done").iterdir()) == ["b.png", "b.png.run.json"]
    error = capsys.readouterr().err
    assert error.startswith("nstjax: error: photos/a.png: RuntimeError: no such decoder\n")
    assert "1 of 2 made; not made:" in error


def test_a_record_overwrites_its_own_picture_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transfer("--iterations", "1") == 0
    record = json.loads((folder / "out.png.run.json").read_text())
    again = ["transfer", "--from", "out.png.run.json", "-q"]
    assert main(again) == 0  # what it replaces is this record's
    (folder / "mine.png").write_bytes((folder / "photo.png").read_bytes())
    for change in ({"path": str(folder / "mine.png")}, {"path": str(folder)}, {"sha256": "0"}):
        changed = {**record, "output": {**record["output"], **change}}
        (folder / "shared.run.json").write_text(json.dumps(changed))
        before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        assert main(["transfer", "--from", "shared.run.json", "-q"]) == 2
        error = capsys.readouterr().err
        assert "shared.run.json names the output " in error
        assert (
            "which exists and is not the picture that this record describes: name an output with -o" in error
        )
        assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    assert main(["transfer", "--from", "shared.run.json", "-o", "mine.png", "-q"]) == 0


def run_command(folder: Path, *extra: str) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "nstjax",
        "transfer",
        "photo.png",
        "painting.png",
        "-w",
        "weights.npz",
        "--network",
    ]
    return [
        *command,
        "vgg19",
        "--scales",
        "16",
        "24",
        "--iterations",
        "400",
        "--save-state-every",
        "20",
        *extra,
    ]


@pytest.mark.optimized
@pytest.mark.slow
def test_kill_9_then_resume_is_bit_identical(folder: Path) -> None:
    env = {**os.environ, "NSTJAX_CACHE": str(folder / "cache")}
    whole = run_command(folder, "-o", "whole.png", "-q", "--init", "noise")
    assert subprocess.run(whole, env=env, timeout=300).returncode == 0
    broken = run_command(folder, "-o", "broken.png", "--init", "noise", "--resume")
    kills = 0
    for _ in range(6):
        states = folder / "broken.png.state"
        before = {p.name for p in states.glob("*")} if states.exists() else set()
        process = subprocess.Popen(broken, env=env, stderr=subprocess.PIPE)
        # Killed as soon as a state newer than the ones before is there: in the middle of the work.
        while process.poll() is None:
            now = {p.name for p in states.glob("[0-9]*")} if states.exists() else set()
            if now - before:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        _, err = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        assert not (folder / "broken.png").exists()
        kills += 1
    if process.returncode != 0:
        assert subprocess.run(broken, env=env, timeout=300, capture_output=True).returncode == 0
    assert kills >= 2
    np.testing.assert_array_equal(pixels("broken.png"), pixels("whole.png"))
    records = [
        json.loads((folder / name).read_text()) for name in ("broken.png.run.json", "whole.png.run.json")
    ]
    losses = [[entry["loss"] for entry in record["history"]] for record in records]
    assert losses[0] == losses[1]
    assert not (folder / "broken.png.state").exists()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)],
)
def test_a_signal_keeps_the_picture_and_the_state(folder: Path, number: int, code: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this process ignores the signal, as under nohup, and so do its children")
    env = {**os.environ, "NSTJAX_CACHE": str(folder / "cache")}
    command = run_command(folder, "-o", "out.png", "--iterations", "20000")
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    while not (folder / "out.png.state").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "holds the picture so far; --resume continues" in err
    assert (folder / "out.png").exists()
    assert json.loads((folder / "out.png.run.json").read_text())["status"] == "stopped"
    assert (folder / "out.png.state").exists()


def test_resume_refuses_another_run_s_state(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    from nstjax.cli import synthesise

    real = synthesise.transfer

    def stops(*args, **kwargs):
        told = args[4]
        return real(*args[:4], lambda p: told(p) or p.entry.iteration == 6, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(synthesise, "transfer", stops)
        assert transfer("--save-state-every", "3") == 130
    assert transfer("--save-state-every", "3", "--resume", "--seed", "9") == 2
    assert "another config.seed" in capsys.readouterr().err
    assert transfer("--save-state-every", "3", "--resume", "--style-weight", "9") == 2
    assert "another config.objective.style_weight" in capsys.readouterr().err
    assert transfer("--save-state-every", "3", "--resume") == 0
    assert transfer() == 0  # without --resume an old state is no obstacle


def test_a_run_that_diverges_keeps_its_last_good_picture(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "out.png").write_bytes(b"the picture of yesterday")
    assert transfer("--optimizer", "sgd", "--learning-rate", "1e30") == 1
    err = capsys.readouterr().err
    assert "the loss is not finite at iteration 1" in err
    assert "a smaller --learning-rate, or --optimizer lbfgs; no output" in err
    assert "no output was written" in err
    assert (folder / "out.png").read_bytes() == b"the picture of yesterday"  # not the start image
    assert not (folder / "out.png.run.json").exists()

    from nstjax.synthesis import solve

    real = solve.optim.minimize

    def fails_at_the_second_scale(fun, x0, config, *rest):
        if x0.shape[2] == 24:
            raise solve.NonFiniteLoss(x0, 0, {"style": np.inf})
        return real(fun, x0, config, *rest)

    monkeypatch.setattr(solve.optim, "minimize", fails_at_the_second_scale)
    assert transfer() == 1
    assert "the last good picture is kept" in capsys.readouterr().err
    assert pixels("out.png").shape == (18, 24, 3)
    assert json.loads((folder / "out.png.run.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_presets_and_sizes(folder: Path) -> None:
    base = [*COMMAND, "--network", "vgg19", "-q"]
    assert main([*base, "--preset", "fast", "--size", "20", "--iterations", "2"]) == 0
    layers = ["--style-layers", "relu1_1", "--content-layers", "relu1_2", "--style-layer-weights", "1"]
    assert main([*base, "--preset", "crowson", "--size", "64", "--iterations", "2", *layers]) == 0
    record = json.loads((folder / "out.png.run.json").read_text())["config"]
    assert record["scales"] == [16, 23, 32, 45, 64]
    assert record["optimizer"]["average"] == 0.99
    assert main([*base, "--preset", "gatys", "--iterations", "2"]) == 2  # the layers are not there


def test_a_finished_picture_in_another_depth_is_not_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer(output="out.tiff") == 0
    before = (folder / "out.tiff").stat().st_mtime_ns
    assert transfer("--resume", output="out.tiff") == 0
    assert (folder / "out.tiff").stat().st_mtime_ns == before
    assert transfer("--resume", "--bits", "16", output="out.tiff") == 0
    assert (folder / "out.tiff").stat().st_mtime_ns != before
    (folder / "out.tiff.run.json").write_text("no record")
    assert transfer("--resume", "--bits", "16", output="out.tiff") == 0  # nothing is known: made again


def test_nothing_to_improve_is_told_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = ["--initial-step", "1e-30", "--scales", "24", "--plot", "p.png"]
    assert main([*COMMAND, "--network", "vgg19", *extra]) == 0
    assert "no step lowers the loss" in capsys.readouterr().err
    assert pixels("out.png").shape == (18, 24, 3)


def test_a_link_stays_a_link_and_folders_of_the_user_s_stay(folder: Path) -> None:
    (folder / "real.png").write_bytes(b"old")
    (folder / "link.png").symlink_to("real.png")
    for name in ("link.png.state", "link.png.snapshots"):
        (folder / name).mkdir()
        (folder / name / "precious.txt").write_text("mine")
    assert transfer("--snapshot-every", "4", "--gif", "a.gif", output="link.png") == 0
    assert (folder / "link.png").is_symlink()
    assert pixels("real.png").shape == (18, 24, 3)
    for name in ("link.png.state", "link.png.snapshots"):
        assert (folder / name / "precious.txt").read_text() == "mine"


def test_an_unwritable_cache_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("NSTJAX_CACHE", str(folder / "photo.png" / "cache"))
    assert transfer() == 0
    assert capsys.readouterr().err == ""


def test_weights_commands(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTJAX_CACHE", str(folder / "cache"))
    assert main(["weights", "convert", "weights.npz", "--network", "vgg19", "--name", "mine"]) == 0
    assert main(["weights", "convert", "weights.npz", "--network", "vgg19", "--to", "ckpts"]) == 0
    (folder / "photos").mkdir()
    os.replace("photo.png", "photos/photo.png")
    assert main(["weights", "normalize", "mine", "photos", "--size", "32"]) == 0
    out = capsys.readouterr().out
    assert "BGR, ×255, minus (103.939, 116.779, 123.68)" in out
    assert "npz file weights.npz; preprocessing: as stored in the file or implied by its names" in out
    assert main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    for name in ("mine", "weights", "mine-normalized", "vgg19"):
        assert name in out
    assert main(["weights", "info", "mine"]) == 0
    out = capsys.readouterr().out
    assert "vgg19, 3 convolutions, 112,576 parameters" in out
    assert "conv1_1 … relu2_1" in out
    assert main(["info"]) == 0
    assert "weights    weights, mine, mine-normalized" in capsys.readouterr().out


def test_convert_and_info_say_what_was_recognised(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTJAX_CACHE", str(folder / "cache"))
    weight_files.write_pth(folder / "w.pth", weight_files.torch_names(like_the_original(), "vgg19"))
    recognised = "recognized from conv1_1's values as that of the original VGG weights: BGR, values 0 to 255"
    for command in (["info", "w.pth"], ["convert", "w.pth", "--name", "mine"], ["info", "mine"]):
        assert main(["weights", *command, "--network", "vgg19"]) == 0
        out = capsys.readouterr().out
        assert recognised in out
        assert "BGR, ×255, minus (103.939, 116.779, 123.68)" in out
    assert recognised in nstjax.load_backbone("mine").describe()["source"]


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "transfer" in capsys.readouterr().out
    assert main(["weights"]) == 0
    assert main(["--version"]) == 0
    assert nstjax.__version__ in capsys.readouterr().out
    for command in (["transfer"], ["weights", "fetch"], ["weights", "convert"], ["info"]):
        with pytest.raises(SystemExit) as caught:
            main([*command, "--help"])
        assert caught.value.code == 0
        assert "usage" in capsys.readouterr().out


def test_flags_are_found_before_parsing() -> None:
    assert scan(["a", "--preset", "fast"]) == {"--preset": "fast"}
    assert scan(["--preset=fast", "-o", "b"]) == {"--preset": "fast", "-o": "b"}
    assert scan(["--size", "8", "--size", "9", "--preset"]) == {"--size": "9", "--preset": None}
    assert scan(["--", "--preset", "fast"]) == {}


def test_every_optimiser_option_is_some_method_s() -> None:
    import dataclasses

    from nstjax import optim
    from nstjax.cli.options import OptimizerOptions

    own = {f.name for kind in optim.OPTIMIZERS.values() for f in dataclasses.fields(kind)}
    options = {f.name for f in dataclasses.fields(OptimizerOptions)} - {"optimizer"}
    assert options <= own
    assert own - options <= {"iterations", "max_backtracks"}
