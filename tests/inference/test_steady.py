"""Videos that do not flicker: the blend of a picture with its warped predecessor."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nstjax
from experiments.video.__main__ import warping_error
from experiments.video.clips import panned, passing
from nstjax.cli.main import main
from nstjax.images.flow import warp
from nstjax.inference.steady import Shot, SteadyConfig, steady
from tests.helpers.videos import texture

pytest.importorskip("cv2")


def noisy(frame: np.ndarray, seed: int) -> np.ndarray:
    """A picture that flickers: the frame with other noise each time."""
    return (frame + np.random.default_rng(seed).normal(0, 0.1, frame.shape)).clip(0, 1).astype(np.float32)


def blended(frames: list[np.ndarray], pictures: list[np.ndarray], config: SteadyConfig) -> list[np.ndarray]:
    last: Shot | None = None
    found = []
    for frame, picture in zip(frames, pictures, strict=True):
        last = steady(frame, picture, last, config)
        found.append(last.picture)
    return found


def test_a_frame_at_rest_is_the_mean_with_exponential_weights() -> None:
    frame, config = texture(40, 50), SteadyConfig(blend=0.5)
    pictures = [noisy(frame, seed) for seed in range(3)]
    found = blended([frame] * 3, pictures, config)
    np.testing.assert_array_equal(found[0], pictures[0])
    wanted = 0.25 * pictures[0] + 0.25 * pictures[1] + 0.5 * pictures[2]
    np.testing.assert_allclose(found[2], wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["panned", "passing"])
def test_the_warping_error_of_flicker_is_less_than_half(kind: str) -> None:
    if kind == "panned":
        clip = panned(texture(150, 200), 5, 96, 128)
    else:
        clip = passing(texture(96, 128), texture(96, 128, 1), 5)
    pictures = [noisy(frame, seed) for seed, frame in enumerate(clip.frames)]
    found = blended(list(clip.frames), pictures, SteadyConfig())
    assert warping_error(found, clip) < 0.5 * warping_error(pictures, clip)
    # No ghosts: nearer to the frame than the flickering picture.
    for frame, picture, other in list(zip(clip.frames, found, pictures, strict=True))[1:]:
        assert np.square(picture - frame).mean() < np.square(other - frame).mean()


def test_the_motion_of_the_clips_is_exact() -> None:
    for clip in (panned(texture(150, 200), 4, 96, 128), passing(texture(96, 128), texture(96, 128, 1), 4)):
        for (before, after), flow, seen in zip(
            itertools.pairwise(clip.frames), clip.flows, clip.seen, strict=True
        ):
            assert 0.5 < seen.mean() < 1
            assert np.abs(warp(before, flow) - after)[0][seen].mean() < 0.012  # the noise of both frames


def test_a_cut_begins_anew() -> None:
    one, other = texture(64, 80), texture(64, 80, 1)
    last = steady(one, noisy(one, 0), None, SteadyConfig())
    picture = noisy(other, 1)
    np.testing.assert_array_equal(steady(other, picture, last, SteadyConfig()).picture, picture)
    smaller = picture[:, :40]
    np.testing.assert_array_equal(steady(other, smaller, last, SteadyConfig()).picture, smaller)


def test_without_blending_nothing_changes() -> None:
    frame = texture(40, 50)
    pictures = [noisy(frame, seed) for seed in range(2)]
    found = blended([frame] * 2, pictures, SteadyConfig(blend=0))
    np.testing.assert_array_equal(found[1], pictures[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"blend": 1}, "`blend` is 1"),
        ({"tolerance": 0}, "`tolerance` is 0"),
        ({"softness": -1}, "`softness` is -1"),
        ({"least": 2}, "`least` is 2"),
    ],
)
def test_settings_out_of_range(fields: dict[str, float], message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        SteadyConfig(**fields)


def test_the_command_steadies_an_animation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = (255 * texture(48, 64)[0]).astype(np.float32)
    frames = [
        Image.fromarray((frame + rng.normal(0, 12, frame.shape)).clip(0, 255).astype(np.uint8))
        for _ in range(4)
    ]
    frames[0].save("clip.png", save_all=True, append_images=frames[1:], duration=50)
    base = ["stylize", "clip.png", "--model", "gallery", "--style", "dots", "-q"]
    assert main([*base, "-o", "plain.png"]) == 0
    assert main([*base, "-o", "steady.png", "--steady"]) == 0

    def flicker(path: str) -> float:
        with Image.open(path) as image:
            found = []
            for number in range(4):
                image.seek(number)
                found.append(np.asarray(image.convert("RGB"), float))
        return float(np.mean([np.square(b - a).mean() for a, b in itertools.pairwise(found)]))

    assert 0 < flicker("steady.png") < 0.5 * flicker("plain.png")
    assert json.loads(Path("steady.png.run.json").read_text())["config"]["steady"] is True
    frames[0].save("photo.jpg")
    assert main(["stylize", "photo.jpg", *base[2:], "-o", "x.png", "--steady"]) == 2
    assert "--steady is for videos and animations" in capsys.readouterr().err
    assert not Path("x.png").exists()


def test_the_command_loads_what_only_videos_need_when_it_is_needed() -> None:
    code = "import sys, nstjax.cli.stylize_command; print({'scipy.ndimage', 'cv2', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
