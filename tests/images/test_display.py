"""Images and results display themselves in notebooks, as PNG files of the rounded pixels."""

import io

import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax.errors import InputError
from nstjax.generators.store import Generator
from nstjax.synthesis import Progress, TransferConfig, TransferResult, TransferState
from nstjax.typing import Backbone


def decode(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def rounded(image: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(image.astype(np.float64), 0, 1)).astype(np.uint8)


@pytest.fixture
def batch() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 1.1, (3, 5, 7, 3)).astype(np.float32)


def test_a_batch_is_shown_side_by_side(batch: np.ndarray) -> None:
    shown = nstjax.show(batch)
    np.testing.assert_array_equal(decode(shown._repr_png_()), rounded(np.concatenate(list(batch), axis=1)))
    assert repr(shown) == "<image of 21×5 pixels>"
    np.testing.assert_array_equal(decode(nstjax.show(batch[1]).png), rounded(batch[1]))


def test_images_of_different_sizes_are_aligned_at_the_top(batch: np.ndarray) -> None:
    pixels = decode(nstjax.show(batch[:1], batch[1, :2, :3])._repr_png_())
    assert pixels.shape == (5, 10, 3)
    np.testing.assert_array_equal(pixels[:, :7], rounded(batch[0]))
    np.testing.assert_array_equal(pixels[:2, 7:], rounded(batch[1, :2, :3]))
    assert (pixels[2:, 7:] == 255).all()


def test_every_rounded_value_is_shown() -> None:
    ramp = (np.arange(256, dtype=np.float32) / 255).repeat(3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(decode(nstjax.show(ramp).png)[..., 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((), "there is no image to show"),
        ((np.zeros((4, 4), np.float32),), r"shape \(4, 4\)"),
        ((np.zeros((0, 4, 4, 3), np.float32),), r"shape \(0, 4, 4, 3\)"),
        ((np.zeros((4, 4, 3), np.uint8),), "type uint8"),
        ((np.full((4, 4, 3), 255.0),), "divide values of 0 to 255 by 255"),
        ((np.full((4, 4, 3), np.nan),), "not finite"),
    ],
)
def test_what_cannot_be_shown(images: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        nstjax.show(*images)


def test_a_result_is_shown_as_its_image(small: Backbone, pictures: tuple[np.ndarray, np.ndarray]) -> None:
    told: list[Progress] = []
    config = TransferConfig(size=16, scales=(16,), iterations=(2,))
    result = nstjax.transfer(*pictures, small, config, callback=told.append)
    np.testing.assert_array_equal(decode(result._repr_png_()), rounded(result.image[0]))
    loss = f"{result.history[-1].loss:.4g}"
    assert repr(result).startswith(f"<TransferResult: image of 16×12 pixels, 2 iterations, loss {loss}, ")
    assert repr(result).endswith(" s, done>")
    assert repr(told[0].state()) == "TransferState(scale=0)"


def test_no_repr_prints_arrays(batch: np.ndarray, small: Backbone) -> None:
    empty = TransferResult(batch[:1], (), "converged", TransferConfig())
    assert repr(empty) == "<TransferResult: image of 7×5 pixels, 0 iterations, converged>"
    generator = nstjax.load_generator("gallery")
    assert isinstance(generator, Generator)
    for value in (small, generator, TransferState(0, None, ())):  # type: ignore[arg-type]
        assert len(repr(value)) < 600
        assert "rray" not in repr(value)
