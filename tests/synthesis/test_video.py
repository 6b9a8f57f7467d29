"""The transfer of videos: consistent frames, scenes, colors, and one compiled program for all frames."""

import dataclasses

import jax
import numpy as np
import pytest

import nstjax
from experiments.video.__main__ import warping_error
from experiments.video.clips import Clip
from nstjax import TransferConfig, programs
from nstjax.images.color import luminance
from nstjax.losses import Objective
from nstjax.optim import Lbfgs
from nstjax.synthesis import FrameResult, FrameState, VideoConfig, transfer, transfer_frame
from nstjax.synthesis.video import TERM, filled
from tests.helpers.videos import texture

pytest.importorskip("cv2")
RECORD = Objective(("relu1_2",), ("relu1_1", "relu2_1"))
CONFIG = TransferConfig(objective=RECORD, optimizer=Lbfgs(iterations=16), scales=(32, 64))
SPEED = 2  # pixels per frame


def panned(count: int = 4, height: int = 48, width: int = 64) -> Clip:
    """A camera that moves to the right by whole pixels, so that the motion is exact."""
    scene = texture(height, width + SPEED * count)
    frames = tuple(scene[:, :, SPEED * k : SPEED * k + width] for k in range(count))
    flow = np.zeros((height, width, 2), np.float32)
    flow[..., 0] = SPEED
    seen = np.ones((height, width), bool)
    seen[:, -SPEED:] = False
    return Clip(frames, (flow,) * (count - 1), (seen,) * (count - 1))


def stylized(
    clip: Clip, style, backbone, config=CONFIG, video: VideoConfig | None = None
) -> list[FrameResult]:
    found: list[FrameResult] = []
    for frame in clip.frames:
        last = found[-1].state if found else None
        found.append(transfer_frame(frame, style, backbone, config, video, last))
    return found


@pytest.mark.slow
def test_the_warping_error_is_at_most_half_of_that_of_independent_frames(small, pictures) -> None:
    clip, style = panned(), pictures[1]
    noise = dataclasses.replace(CONFIG, init="noise")
    # Independent frames from their own noise, as the photographs of a folder with other seeds.
    single = [
        transfer(frame, style, small, dataclasses.replace(noise, seed=seed)).image
        for seed, frame in enumerate(clip.frames)
    ]
    found = stylized(clip, style, small, noise)
    pictures_ = [one.image for one in found]
    assert warping_error(pictures_, clip) < 0.5 * warping_error(single, clip)
    assert [one.is_start for one in found] == [True, False, False, False]
    assert [len(one.result.history) for one in found] == [32, 8, 8, 8]
    assert all(TERM in one.result.history[-1].terms for one in found[1:])
    # The pictures are pictures of their frames, and not the first one moved.
    frames = [one.state.frame for one in found]
    for frame, picture in zip(frames[1:], pictures_[1:], strict=True):
        assert np.square(picture - frame).mean() < np.square(pictures_[0] - frame).mean()


def test_the_temporal_loss_lowers_the_warping_error(small, pictures) -> None:
    clip, style = panned(), pictures[1]
    errors = [
        warping_error([one.image for one in stylized(clip, style, small, video=VideoConfig(weight))], clip)
        for weight in (0, 100)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_frames_share_one_compiled_program(small, pictures) -> None:
    compiled: list[str] = []
    watching = True

    def listen(event: str, duration: float, **_: object) -> None:
        if watching and event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    clip, state = panned(3, 40, 56), None
    config, before = dataclasses.replace(CONFIG, scales=(56,)), []
    for frame in clip.frames:
        before.append((len(compiled), len(programs._loaded)))
        state = transfer_frame(frame, pictures[1], small, config, None, state).state
    watching = False
    assert before[1] > before[0]
    assert before[2] > before[1]  # the temporal loss is new
    assert (len(compiled), len(programs._loaded)) == before[2]


@pytest.mark.slow
def test_a_cut_and_another_size_start_like_a_photograph(small, pictures) -> None:
    style = pictures[1]
    first = transfer_frame(texture(48, 64), style, small, CONFIG)
    for other in (texture(48, 64, 1), texture(64, 48)):
        found = transfer_frame(other, style, small, CONFIG, None, first.state)
        assert found.is_start
        np.testing.assert_array_equal(found.image, transfer(other, style, small, CONFIG).image)


def test_occluded_positions_start_from_the_frame_in_the_colors_of_the_picture(small, pictures) -> None:
    """With a step that is nearly 0 the picture is what the optimization starts from."""
    adam = nstjax.optim.Adam(iterations=1, learning_rate=1e-9, average=0.0)
    still = dataclasses.replace(CONFIG, optimizer=adam)
    clip = panned(2)

    def recolored(frame: np.ndarray) -> np.ndarray:
        return 0.2 + 0.5 * frame[..., ::-1]

    last = FrameState(clip.frames[0], recolored(clip.frames[0]))
    found = transfer_frame(clip.frames[1], pictures[1], small, still, VideoConfig(), last)
    assert not found.is_start
    difference = np.abs(found.image - recolored(clip.frames[1]))[0]
    assert difference[:, -SPEED:].max() < 0.02  # not visible before
    assert difference.mean() < 0.005


def test_the_start_is_the_warped_picture_where_the_flow_is_trusted() -> None:
    warped, frame = texture(20, 30), texture(20, 30, 1)
    trusted = np.ones((20, 30), bool)
    trusted[:, 12:] = False
    found = filled(warped, frame, trusted)
    np.testing.assert_array_equal(found[:, :, :12], warped[:, :, :12])
    affine = np.linalg.pinv(np.c_[frame[0, :, :12].reshape(-1, 3), np.ones(240)])
    colors = np.c_[frame[0, :, 12:].reshape(-1, 3), np.ones(360)]
    wanted = colors @ (affine @ warped[0, :, :12].reshape(-1, 3))
    np.testing.assert_allclose(found[0, :, 12:].reshape(-1, 3), wanted.clip(0, 1), atol=1e-5)


def test_colors_of_the_frames(small, pictures) -> None:
    clip, style = panned(3), pictures[1]
    light = dataclasses.replace(CONFIG, colors="luminance")
    for one in stylized(clip, style, small, light):
        assert (one.state.iterate == one.state.iterate[..., :1]).all()
        # Clipping to [0, 1] changes a few colors; the chrominance of the others is that of the frame.
        chroma = [image - luminance(image) for image in (one.image, one.state.frame)]
        assert np.median(np.abs(chroma[0] - chroma[1])) < 1e-3
    matched = dataclasses.replace(CONFIG, colors="histogram", colors_of="result")
    plain = stylized(clip, style, small)
    for one, other in zip(stylized(clip, style, small, matched), plain, strict=True):
        np.testing.assert_array_equal(one.state.iterate, other.image)
        assert np.abs(one.image.mean((1, 2)) - one.state.frame.mean((1, 2))).max() < 0.02


def test_settings_out_of_range() -> None:
    for field, value in {"temporal_weight": -1.0, "frame_iterations": 0}.items():
        with pytest.raises(nstjax.InputError, match=f"`{field}` is {value}"):
            VideoConfig(**{field: value})
    assert VideoConfig().following(CONFIG).optimizer_at(0).iterations == 8
    assert VideoConfig(frame_iterations=3).following(CONFIG).optimizer_at(0).iterations == 3


def test_iterations_of_following_frames_count_all_rounds_of_scipy() -> None:
    brown = nstjax.PRESETS["brown"]
    assert brown.iterations_at(len(brown.pyramid()) - 1) == 400
    assert VideoConfig().following(brown).iterations_at(0) == 200
    for wanted, found in ((1, 1), (5, 5), (20, 20), (50, 40), (1000, 400)):
        assert VideoConfig(frame_iterations=wanted).following(brown).iterations_at(0) == found
