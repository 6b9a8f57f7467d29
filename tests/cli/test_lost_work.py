"""No finished work is lost: places that refuse, folders that disappear, kills, signals, several runs at once."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import nstjax
from nstjax.checkpoints import Series
from nstjax.cli import run_record, synthesise
from nstjax.cli.frames import Frames
from nstjax.errors import OutputError
from nstjax.files import replacing, save_elsewhere, write_atomically
from nstjax.generators.store import load_generator
from nstjax.locks import lock
from nstjax.training import Cadence, train
from tests.helpers.command import pixels, transfer
from tests.helpers.mounts import run_with_mounts
from tests.helpers.training import CONFIG, NETWORK, ROOT, STYLE

# Tests may run under nohup or in the background, where these are ignored.
DEFAULT_SIGNALS = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def python(code: str, *arguments: str, **how) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DEFAULT_SIGNALS + code, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    )


# Places that refuse.

MOUNT = """
import subprocess, sys
from pathlib import Path
from nstjax.errors import InputError
from nstjax.files import check_replaceable, write_atomically
one, other = Path("one"), Path("other")
for path in (one, other):
    path.write_bytes(b"old")
subprocess.run(["mount", "--bind", one, other], check=True)
check_replaceable(other)
write_atomically(other, b"new")
assert one.read_bytes() == b"new"
subprocess.run(["mount", "-o", "remount,bind,ro", other], check=True)
try:
    check_replaceable(other)
except InputError as error:
    print(error)
"""


def test_a_file_that_is_a_mount_point(tmp_path: Path) -> None:
    """As in a container to which one file is given: nothing can be renamed over it."""
    done = run_with_mounts(MOUNT, tmp_path)
    assert (done.returncode, done.stdout) == (0, "the output other may not be written: choose another\n"), (
        done.stderr
    )
    assert sorted(os.listdir(tmp_path)) == ["one", "other"]


def test_a_file_system_without_modes_or_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "chmod", refuse)
    write_atomically(tmp_path / "new", b"one")
    monkeypatch.setattr(os, "replace", refuse)
    write_atomically(tmp_path / "old", b"two")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"new": b"one", "old": b"two"}
    with pytest.raises(OSError, match="not permitted"), replacing(tmp_path / "old", private=True):
        pass
    assert len(os.listdir(tmp_path)) == 2


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_what_cannot_be_written_is_saved_elsewhere(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="No such file or directory.*; the text is saved as") as caught:
        save_elsewhere(tmp_path / "no" / "a.txt", lambda path: write_atomically(path, b"text"), "the text")
    place = Path(str(caught.value).rpartition(" ")[2])
    assert place.read_bytes() == b"text"
    assert place.is_relative_to(elsewhere)
    shutil.rmtree(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(OutputError, match=f"saved as {tmp_path}/nstjax-"):
        save_elsewhere(tmp_path / "no" / "a.txt", lambda path: write_atomically(path, b"text"), "the text")


def test_a_place_where_nothing_can_be_saved_is_not_left_behind(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(OutputError, match="cannot write .*a.txt: No such file or directory"):
        save_elsewhere(
            tmp_path / "a.txt", lambda path: write_atomically(path / "no" / "a.txt", b""), "the text"
        )
    assert os.listdir(tmp_path) == [elsewhere.name]
    assert os.listdir(elsewhere) == []


def test_the_places_of_all_outputs_are_checked_first(folder: Path, capsys) -> None:
    (folder / "out.png.run.json").mkdir()
    assert transfer() == 2
    assert "out.png.run.json may not be written" in capsys.readouterr().err
    for option, name in (("--gif", "a.gif"), ("--plot", "a.pdf")):
        (folder / name).mkdir()
        assert transfer(option, name, output="other.png") == 2
        assert f"{name} is a folder" in capsys.readouterr().err


# Folders that disappear.


def test_the_output_s_folder_is_deleted(
    folder: Path,
    elsewhere: Path,
    capsys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = synthesise.transfer

    def delete(*args, **kwargs):
        def callback(progress):
            if progress.entry.iteration == 3:
                shutil.rmtree("made", ignore_errors=True)
            return args[4](progress)

        return real(*args[:4], callback, **kwargs)

    (folder / "made").mkdir()
    monkeypatch.setattr(synthesise, "transfer", delete)
    extra = ("--save-state-every", "2", "--snapshot-every", "2", "--gif", "made/a.gif")
    assert transfer(*extra, output="made/out.png") == 1
    err = capsys.readouterr().err
    assert "folder made does not exist" in err
    assert err.count("\n") == 1
    (found,) = elsewhere.glob("*/out.png")
    assert f"the picture is saved as {found}" in err
    assert pixels(found).shape == (18, 24, 3)
    assert not (folder / "made").exists()


def test_a_training_s_folder_is_deleted(tmp_path: Path, elsewhere: Path) -> None:
    run = tmp_path / "run"

    def delete(progress) -> bool:
        shutil.rmtree(run, ignore_errors=True)
        return progress.step == 2

    with pytest.raises(
        OutputError, match=f"folder {run} does not exist any more; the model is saved as"
    ) as caught:
        train(CONFIG, STYLE, NETWORK, run, delete, cadence=Cadence(sample_every=0))
    place = Path(str(caught.value).rpartition(" ")[2])
    assert place.is_relative_to(elsewhere)
    assert load_generator(place).config == CONFIG.generator
    assert not run.exists()


# Kills.


class Kill(BaseException):
    """What no handler of errors sees."""


@pytest.mark.slow
def test_a_kill_at_any_moment_of_the_end_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each output, and with half of the state or of the snapshots removed."""
    extra = ("--gif", "run.gif", "--plot", "loss.png", "--save-state-every", "6")
    monkeypatch.setattr("nstjax.cli.frames.GIF_EVERY", 2)
    assert transfer(*extra, output="whole.png") == 0
    whole = (pixels("whole.png"), Path("run.gif").read_bytes())
    with Image.open("run.gif") as gif:
        assert gif.n_frames == 8
    real_remove, real_remove_frames = Series.remove, Frames._remove
    moment = 0
    while True:
        moment += 1
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1
            if steps == moment:  # noqa: B023
                raise Kill

        def around(real):
            def call(*args, **kwargs):
                step()
                found = real(*args, **kwargs)
                step()
                return found

            return call

        def remove_half(self: Series) -> None:
            if self.steps():
                step()
                shutil.rmtree(self.directory / str(self.steps()[-1]) / "tree")
                step()
            real_remove(self)

        def remove_some(self: Frames, paths: list[Path]) -> None:
            if paths:
                step()
                paths[0].unlink()
                step()
            real_remove_frames(self, paths)

        for name in ("run.gif", "loss.png", "out.png", "out.png.run.json"):
            Path(name).unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(run_record, "save_elsewhere", around(save_elsewhere))
            patch.setattr(run_record, "write_record", around(run_record.write_record))
            patch.setattr(Series, "remove", remove_half)
            patch.setattr(Frames, "_remove", remove_some)
            try:
                assert transfer(*extra) == 0
                break
            except Kill:
                pass
        assert transfer(*extra, "--resume") == 0, moment
        np.testing.assert_array_equal(pixels("out.png"), whole[0])
        assert Path("run.gif").read_bytes() == whole[1], moment
        assert {"out.png", "out.png.run.json", "loss.png"} <= set(os.listdir(folder))
        assert not list(folder.glob("*.state")) + list(folder.glob("*.snapshots"))
    assert moment > 8


def test_a_finished_picture_is_no_reason_to_remove_another_run_s_state(folder: Path, monkeypatch) -> None:
    assert transfer() == 0
    real = synthesise.transfer

    def killed(*args, **kwargs):
        def callback(progress):
            args[4](progress)
            if progress.entry.iteration == 4:
                raise Kill

        return real(*args[:4], callback, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(synthesise, "transfer", killed)
        with pytest.raises(Kill):
            transfer("--seed", "9", "--save-state-every", "3")
    assert transfer("--resume") == 0
    assert (folder / "out.png.state" / "3").is_dir()


# Signals.

QUIET = """
import os, signal, sys
from nstjax.cli.interrupt import exit_code, raise_on_signal, stop_on_interrupt
with stop_on_interrupt() as interrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    assert interrupt.stop and exit_code() == 143
with raise_on_signal():
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        print("ignored")
    except KeyboardInterrupt:
        print(exit_code())
with stop_on_interrupt() as interrupt:
    for _ in range(int(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""


def test_a_second_interrupt_ends_at_once_and_nohup_ignores_hang_ups() -> None:
    out, err = python(QUIET, "1").communicate()
    assert (out, err) == ("129\nwent on\n", "")
    process = python("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + QUIET, "2")
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "nstjax: interrupted\n")
    out, _ = python(
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + QUIET, "1"
    ).communicate()
    assert out == "ignored\nwent on\n"


def test_an_interrupt_while_modules_are_imported() -> None:
    code = """
import os, signal, sys
from nstjax.cli.main import main
class Wait:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("as compiled modules make of it") from None
sys.meta_path.insert(0, Wait())
sys.argv = ["nstjax", "info"]
sys.exit(main())
"""
    process = python(code)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "nstjax: interrupted\n")


# Several runs at once.


def test_a_lock_is_refused_waited_for_and_freed_by_a_kill(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from nstjax.locks import lock\n"
    code += "with lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = python(code, str(tmp_path / "out.png"))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(nstjax.InputError, match="busy"), lock(tmp_path / "out.png", "busy"):
        pass
    with lock(tmp_path / "other.png", "busy") as held:
        assert held
    process.kill()
    with lock(tmp_path / "out.png") as held:
        assert held
    process.communicate()
    assert os.listdir(tmp_path) == []
    with lock(tmp_path / "no" / "out.png", "busy") as held:
        assert not held


def test_the_lock_of_the_root_folder() -> None:
    with lock(Path("/"), "busy") as held:
        assert held == os.access("/", os.W_OK)
    assert not Path("/..lock").exists()


def test_a_second_run_to_one_output_is_refused(folder: Path, capsys) -> None:
    with lock(folder / "out.png"):
        assert transfer() == 2
    assert "another run is writing out.png: wait for its end" in capsys.readouterr().err
    assert not (folder / "out.png").exists()
    assert transfer() == 0


# Workers.

WORKERS = """
import sys, time
from nstjax.data import DataConfig, open_batches
if __name__ == "__main__":
    batches = open_batches(DataConfig("fake:12", size=16, batch_size=2, workers=2))
    next(batches)
    print("begun", flush=True)
    while True:
        next(batches)
        time.sleep(0.01)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_main_process(tmp_path: Path, number: int) -> None:
    (tmp_path / "run.py").write_text(WORKERS)
    command = [sys.executable, str(tmp_path / "run.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.send_signal(number)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
