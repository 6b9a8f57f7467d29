"""Videos by optimization on the command line: outputs, records, and continuation after a kill."""

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

from nstjax.checkpoints import Series
from nstjax.cli import frame_store, transfer_video
from nstjax.cli.main import main
from tests.helpers.command import QUICK, transfer
from tests.helpers.paths import ROOT
from tests.helpers.videos import Encoded, facts, texture, write_video

pytest.importorskip("cv2")
SHORT = ("--iterations", "2")


class Kill(BaseException):
    """Ends a run as kill -9 does: nothing is cleaned up but what ``finally`` and ``with`` do."""


def moving(count: int = 4) -> list[np.ndarray]:
    scene = np.rint(255 * texture(36, 48 + 2 * count)[0]).astype(np.uint8)
    return [scene[:, 2 * k : 2 * k + 48] for k in range(count)]


@pytest.fixture
def clip(folder: Path) -> Path:
    write_video(folder / "in.mp4", moving(), ["aac"], rate="24000/1001")
    return folder


def make(*extra: str, output: str = "out.mp4", content: str = "in.mp4") -> int:
    return transfer(*extra, output=output, content=content)


def frames(path: str) -> np.ndarray:
    return np.stack(facts(path)[2])


def test_a_video_keeps_sound_and_times(clip: Path) -> None:
    assert make("--temporal-weight", "30", "--frame-iterations", "3") == 0
    rate, times, shown, sounds = facts("out.mp4")
    before = facts("in.mp4")
    assert rate == pytest.approx(before[0], rel=0.01)
    np.testing.assert_allclose(np.diff(times), np.diff(before[1]), atol=0.002)
    assert sounds == ["aac"]
    assert np.stack(shown).shape == (4, 18, 24, 3)
    record = json.loads(Path("out.mp4.run.json").read_text())
    assert record["video"] == {"temporal_weight": 30, "frame_iterations": 3}
    assert [one["start"] for one in record["frames"]] == [True, False, False, False]
    assert [one["iterations"] for one in record["frames"]] == [16, 3, 3, 3]
    assert all("temporal" in one["terms"] for one in record["frames"][1:])
    assert sorted(set(os.listdir(clip)) - {"painting.png", "photo.png", "weights.npz", "in.mp4"}) == [
        "out.mp4",
        "out.mp4.run.json",
    ]


def test_a_record_is_repeated_with_changes(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = Encoded(monkeypatch)
    assert make("--temporal-weight", "30", "--median-filter") == 0
    first = encoded.take()
    again = ["--from", "out.mp4.run.json", "-q"]
    assert main(["transfer", *again, "-o", "same.mp4"]) == 0
    np.testing.assert_array_equal(encoded.take(), first)
    assert main(["transfer", *again, "-o", "other.mp4", "--temporal-weight", "0"]) == 0
    other = encoded.take()
    assert (other[0] == first[0]).all()
    assert (other[1:] != first[1:]).any()
    assert json.loads(Path("other.mp4.run.json").read_text())["video"]["temporal_weight"] == 0


def test_an_animation(folder: Path) -> None:
    images = [Image.fromarray(frame) for frame in moving(3)]
    images[0].save("in.gif", save_all=True, append_images=images[1:], duration=[40, 70, 100], loop=3)
    assert make(*SHORT, output="out.gif", content="in.gif") == 0
    with Image.open("out.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (3, (24, 18), 3)
        durations = []
        for number in range(3):
            gif.seek(number)
            durations.append(gif.info["duration"])
    assert durations == [40, 70, 100]
    assert make(*SHORT, output="out.png", content="in.gif") == 0  # the first frame
    with Image.open("out.png") as picture:
        assert picture.size == (24, 18)


@pytest.mark.slow
def test_masks_styles_and_fine_textures(clip: Path) -> None:
    two = [
        "painting.png",
        "--masks",
        "box:0,0,0.5,1",
        "rest",
        "--fine-style",
        "photo.png",
        "--padding",
        "zeros",
    ]
    assert regions(two) == 0
    assert frames("out.mp4").shape == (4, 18, 24, 3)
    assert json.loads(Path("out.mp4.run.json").read_text())["sources"]["masks"] == ["box:0,0,0.5,1", "rest"]


def regions(extra: list[str]) -> int:
    return main(
        ["transfer", "in.mp4", "painting.png", *extra, "-o", "out.mp4", "-w", "weights.npz", *QUICK, *SHORT]
    )


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_finished_frame(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each file that is written: the pixels are those of the uninterrupted run."""
    encoded = Encoded(monkeypatch)
    assert make(*SHORT, output="whole.mp4") == 0
    whole = encoded.take()
    made: list[int] = []
    real = transfer_video.transfer_frame
    monkeypatch.setattr(transfer_video, "transfer_frame", lambda *args: made.append(1) or real(*args))
    moment, counts = 0, []
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

        with monkeypatch.context() as patch:
            patch.setattr(frame_store, "save_image", around(frame_store.save_image))
            patch.setattr(Series, "save", around(Series.save))
            patch.setattr(frame_store, "save_elsewhere", around(frame_store.save_elsewhere))
            patch.setattr(transfer_video, "write_video_record", around(transfer_video.write_video_record))
            try:
                assert make(*SHORT) == 0
                break
            except Kill:
                pass
        made.clear()
        encoded.clear()
        assert make(*SHORT) == 0
        counts.append(len(made))
        np.testing.assert_array_equal(encoded.take(), whole, str(moment))
        assert not list(clip.glob("*.state")) + list(clip.glob(".nstjax*"))
        record = json.loads(Path("out.mp4.run.json").read_text())
        assert [one["start"] for one in record["frames"]] == [True, False, False, False]
        Path("out.mp4").unlink()
        Path("out.mp4.run.json").unlink()
    assert counts == [4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def killed_after_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make half of the video, with ``--iterations 2``."""
    real, done = Series.save, []

    def save(*args) -> None:
        real(*args)
        done.append(1)
        if len(done) == 2:
            raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(Series, "save", save)
        with pytest.raises(Kill):
            make(*SHORT)
    assert (Path("out.mp4.state") / "frames").is_dir()


LOUD = [flag for flag in QUICK if flag != "-q"]


def loud(*extra: str) -> int:
    base = ["transfer", "in.mp4", "painting.png", "-o", "out.mp4", "-w", "weights.npz", *LOUD, *SHORT]
    return main([*base, *extra])


def test_a_killed_run_continues_to_the_same_pixels(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoded = Encoded(monkeypatch)
    assert make(*SHORT, output="whole.mp4") == 0
    whole = encoded.take()
    killed_after_two(monkeypatch)
    assert not Path("out.mp4").exists()
    encoded.clear()
    assert loud() == 0
    assert "resuming out.mp4 after frame 2 of 4" in capsys.readouterr().err
    np.testing.assert_array_equal(encoded.take(), whole)
    assert not list(clip.glob("*.state")) + list(clip.glob(".nstjax*"))


def test_another_video_painting_or_option_starts_over(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other_video() -> None:
        write_video(clip / "in.mp4", moving(5))

    def other_painting() -> None:
        Image.open("photo.png").save("painting.png")

    changes = {
        "video.temporal_weight": (lambda: None, ["--temporal-weight", "1"]),
        "config.colors": (lambda: None, ["--colors", "luminance"]),
        "inputs.content": (other_video, []),
        "inputs.style": (other_painting, []),
    }
    for name, (change, extra) in changes.items():
        killed_after_two(monkeypatch)
        change()
        assert loud(*extra) == 0
        said = capsys.readouterr().err
        assert f"the saved frames are of a run with another {name}: starting from the beginning" in said
        assert "resuming" not in said
        assert not Path("out.mp4.state").exists()


def test_a_run_that_fails_at_its_first_frame_leaves_the_frames_of_the_earlier_run(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_after_two(monkeypatch)
    Image.new("L", (24, 18)).save("empty.png")
    assert loud("--masks", "empty.png") == 2
    assert "empty.png" in capsys.readouterr().err
    assert loud() == 0
    assert "resuming out.mp4 after frame 2 of 4" in capsys.readouterr().err


def test_damaged_frames_start_over(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_after_two(monkeypatch)
    (Path("out.mp4.state") / "frames" / "frame000001.png").unlink()
    assert loud() == 0
    said = capsys.readouterr().err
    assert "frames are damaged: starting from the beginning" in said
    assert len(frames("out.mp4")) == 4


def test_resume_knows_that_a_video_is_finished(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(*SHORT) == 0
    before = Path("out.mp4").stat().st_mtime_ns
    assert loud("--resume") == 0
    assert "out.mp4 is finished already" in capsys.readouterr().err
    assert Path("out.mp4").stat().st_mtime_ns == before


def test_an_interrupt_stops_between_two_iterations(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = transfer_video.transfer_frame
    calls: list[int] = []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(transfer_video, "transfer_frame", interrupted)
    assert loud() == 130
    assert "stopped after frame 2 of 4; the same command continues there" in capsys.readouterr().err
    assert not Path("out.mp4").exists()
    assert loud() == 0
    assert len(calls) == 5


@pytest.mark.slow
def test_kill_9(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process, killed while it makes the third frame."""
    encoded = Encoded(monkeypatch)
    assert make(*SHORT, output="whole.mp4") == 0
    whole = encoded.take()
    program = f"""
import time
from nstjax.cli import transfer_video
real, calls = transfer_video.transfer_frame, []
def slow(*args):
    calls.append(1)
    if len(calls) == 3:
        time.sleep(600)
    return real(*args)
transfer_video.transfer_frame = slow
from tests.helpers.command import transfer
transfer(*{SHORT!r}, output="out.mp4", content="in.mp4")
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        until = time.monotonic() + 120
        while not (clip / "out.mp4.state" / "2").is_dir() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert make(*SHORT) == 0
    np.testing.assert_array_equal(encoded.take(), whole)
    assert not list(clip.glob("*.state")) + list(clip.glob(".nstjax*"))
