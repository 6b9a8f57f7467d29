"""Optical flow, warping, and where a flow is reliable."""

import sys

import numpy as np
import pytest

import nstjax
from nstjax.images.flow import LEAST_FLOW_SIDE, motion, optical_flow, reliable, warp
from tests.helpers.videos import texture

pytest.importorskip("cv2")


def test_the_flow_of_a_shift_is_the_shift() -> None:
    large = texture(96, 140)
    first, second = large[:, 10:74, 10:110], large[:, 12:76, 7:107]  # x' = x + 3, y' = y − 2
    flow = optical_flow(first, second)
    assert flow.shape == (64, 100, 2)
    inner = flow[12:-12, 12:-12]
    np.testing.assert_allclose(inner[..., 0], 3, atol=0.3)
    np.testing.assert_allclose(inner[..., 1], -2, atol=0.3)
    trusted = reliable(flow, optical_flow(second, first))
    assert trusted[12:-12, 12:-12].mean() > 0.95
    moved = warp(second, flow)
    assert np.abs(moved - first)[0][trusted].mean() < 0.02
    assert np.abs(second - first).mean() > 0.05


def test_warping_by_whole_pixels_is_exact_and_repeats_the_border() -> None:
    image = np.random.default_rng(0).uniform(size=(1, 5, 6, 3)).astype(np.float32)
    flow = np.zeros((5, 6, 2), np.float32)
    np.testing.assert_array_equal(warp(image, flow), image)
    flow[..., 0], flow[..., 1] = 1, -2
    rows, columns = np.arange(5) - 2, np.arange(6) + 1
    wanted = image[:, rows.clip(0, 4)][:, :, columns.clip(0, 5)]
    np.testing.assert_allclose(warp(image, flow), wanted, atol=1e-6)
    flow[:] = 0.5
    assert image.min() <= warp(image, flow).min()
    assert warp(image, flow).max() <= image.max()


def test_what_leaves_the_frame_or_does_not_return_is_not_reliable() -> None:
    flow = np.zeros((40, 40, 2), np.float32)
    assert reliable(flow, flow).all()
    flow[..., 0] = 4
    trusted = reliable(flow, -flow)
    assert trusted[:, :36].all()
    assert not trusted[:, 36:].any()
    assert not reliable(flow, flow).any()  # there and there again
    step = np.zeros((40, 40, 2), np.float32)
    step[:, 20:, 1] = 8
    trusted = reliable(step, np.zeros_like(step))
    assert trusted[:, :18].all()
    assert not trusted[:, 19:].any()


def test_small_frames_have_no_flow() -> None:
    frame = texture(LEAST_FLOW_SIDE - 1, 30)
    assert not optical_flow(frame, frame).any()
    assert reliable(optical_flow(frame, frame), optical_flow(frame, frame)).all()


@pytest.mark.parametrize("size", [(1, 8), (8, 1), (1, 1), (2, 8)], ids=str)
def test_frames_of_one_pixel_a_side_have_a_motion(size: tuple[int, int]) -> None:
    frame = texture(20, 20)[:, : size[0], : size[1]]
    found = motion(frame, frame)
    assert found.trusted.shape == size
    assert found.trusted.all()
    np.testing.assert_array_equal(found.likeness, 1)
    assert motion(frame, (frame + 0.5) % 1).is_cut


def test_without_opencv_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        nstjax.InputError,
        match=r"^optical flow needs the package opencv-python-headless: pip install 'nstjax\[video\]'",
    ):
        optical_flow(texture(20, 20), texture(20, 20))
