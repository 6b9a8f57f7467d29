"""``nstjax stylize`` of a video that was interrupted: it continues, and ends in the same pixels."""

from pathlib import Path

import jax
import numpy as np
import pytest

from nstjax.checkpoints import Series
from nstjax.cli import stylize_video
from nstjax.cli.main import main
from nstjax.generators import JohnsonConfig, init_generator
from nstjax.generators.store import save_generator
from tests.helpers.videos import Encoded, facts, texture, write_video

pytest.importorskip("cv2")


class Kill(BaseException):
    """Ends a run as kill -9 does: nothing is cleaned up but what ``finally`` and ``with`` do."""


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a video and a generator; every frame is saved at once."""
    config = JohnsonConfig(width=1 / 32, residual_blocks=0)
    save_generator(tmp_path / "model", config, init_generator(config, jax.random.key(5)), {"steps": 1})
    scene = np.rint(255 * texture(36, 60)[0]).astype(np.uint8)
    write_video(tmp_path / "in.mp4", [scene[:, 2 * k : 2 * k + 48] for k in range(5)], ["aac"])
    monkeypatch.setattr(stylize_video, "SAVE_EVERY_S", 0.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*extra: str, output: str = "out.mp4") -> int:
    base = ["stylize", "in.mp4", "-m", "./model", "-o", output, "--no-compilation-cache"]
    return main([*base, *extra])


def frames(path: str) -> np.ndarray:
    return np.stack(facts(path)[2])


def killed(after: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch, *extra: str) -> None:
    """Make the first frames of the video."""
    real, done = Series.save, []

    def save(*args) -> None:
        real(*args)
        done.append(1)
        if len(done) == after:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(Series, "save", save)
        if error is KeyboardInterrupt:
            assert make(*extra) == 130
        else:
            with pytest.raises(error):
                make(*extra)
    assert not Path("out.mp4").exists()
    assert len(list((Path("out.mp4.state") / "frames").glob("*"))) == after


@pytest.mark.parametrize("error", [Kill, KeyboardInterrupt])
@pytest.mark.parametrize("extra", [(), ("--steady",)])
def test_it_continues_to_the_same_pixels(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], extra, error
) -> None:
    encoded = Encoded(monkeypatch)
    assert make(*extra, output="whole.mp4") == 0
    whole = encoded.take()
    killed(3, error, monkeypatch, *extra)
    encoded.clear()
    painted: list[int] = []
    real = stylize_video.SteadyConfig
    monkeypatch.setattr(stylize_video, "SteadyConfig", lambda: painted.append(1) or real())
    assert make(*extra) == 0
    assert "resuming out.mp4 after frame 3 of 5" in capsys.readouterr().err
    assert len(painted) == (2 if extra else 0)
    np.testing.assert_array_equal(encoded.take(), whole)
    assert facts("out.mp4")[3] == ["aac"]
    assert not list(clip.glob("*.state")) + list(clip.glob(".nstjax*"))


def test_another_option_starts_over(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(2, Kill, monkeypatch)
    encoded = Encoded(monkeypatch)
    assert make("--strength", "0.5") == 0
    said = capsys.readouterr().err
    assert "the saved frames are of a run with another config.strength: starting from the beginning" in said
    found = encoded.take()
    assert make("--strength", "0.5", output="whole.mp4") == 0
    np.testing.assert_array_equal(found, encoded.take())


def test_a_short_video_saves_no_state(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stylize_video, "SAVE_EVERY_S", 1000.0)
    monkeypatch.setattr(Series, "save", lambda *args: pytest.fail("a state was saved"))
    assert make("-q") == 0
    assert len(frames("out.mp4")) == 5
    assert not Path("out.mp4.state").exists()
