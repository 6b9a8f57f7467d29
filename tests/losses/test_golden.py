"""Losses of real pictures with the real VGG-19, against published numbers and against PyTorch's."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax.losses import content_loss, gram_matrix, style_loss
from tests.helpers.paths import whole_network

# neural-style-pt, INSTALL.md, first losses of its example: tubingen.jpg and seated-nude.jpg (which is not here), 512
# pixels, from the mean colour. It multiplies the mean of squared differences of relu4_2 by its content weight, 5.
PUBLISHED_CONTENT = 1616196.0
CONTENT_WEIGHT, STYLE_WEIGHT = 5.0, 100.0

# By PyTorch 2.13 on a CPU: functional.conv2d, relu and max_pool2d in float32 with the weights of
# vgg19_keras_layout.h5, sums in float64; pictures by Pillow's bilinear resize, BGR in 0 to 255 less the mean colour
# (103.939, 116.779, 123.68); neural-style's losses, 5·mean((F − P)²) and 100·mean((F'F − S'S)²), F'F divided by c·h·w.
TORCH_CONTENT = 1605051.9814148624
TORCH_STYLE = {  # starry_night.jpg
    "relu1_1": 73817.81221536653,
    "relu2_1": 8923787.954714166,
    "relu3_1": 3087078.120558437,
    "relu4_1": 116378154.68730594,
    "relu5_1": 6613.945796761951,
}
MEAN_COLOR = np.array([123.68, 116.779, 103.939], np.float32) / 255  # RGB; zero after preprocessing


def picture(path: Path, side: int = 512) -> np.ndarray:
    """Longer side of ``side`` pixels, resized as neural-style-pt does."""
    with Image.open(path) as image:
        factor = side / max(image.size)
        size = (round(image.width * factor), round(image.height * factor))
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    return pixels[None].astype(np.float32) / 255


@pytest.fixture(scope="module")
def vgg19() -> nstjax.Backbone:
    return nstjax.load_backbone(whole_network("vgg19"))


@pytest.mark.shared
def test_the_content_loss_from_the_mean_colour(vgg19: nstjax.Backbone, shared: Path) -> None:
    photo = picture(shared / "images" / "content" / "tubingen.jpg")
    assert photo.shape == (1, 384, 512, 3)
    start = np.broadcast_to(MEAN_COLOR, photo.shape)
    mine, target = (
        nstjax.features(vgg19, jnp.asarray(image), ("relu4_2",), "max")["relu4_2"] for image in (start, photo)
    )
    found = CONTENT_WEIGHT * float(content_loss(mine, target, "mean"))
    assert found == pytest.approx(TORCH_CONTENT, rel=1e-4)
    # The published picture was decoded and resized by other versions: 0.7 % away.
    assert found == pytest.approx(PUBLISHED_CONTENT, rel=0.012)


@pytest.mark.shared
def test_the_style_losses_from_the_mean_colour(vgg19: nstjax.Backbone, shared: Path) -> None:
    painting = picture(shared / "images" / "style" / "starry_night.jpg")
    start = np.broadcast_to(MEAN_COLOR, (1, 384, 512, 3))
    mine, target = (
        nstjax.features(vgg19, jnp.asarray(image), tuple(TORCH_STYLE), "max") for image in (start, painting)
    )
    for name, expected in TORCH_STYLE.items():
        grams = [gram_matrix(found[name], "positions") for found in (mine, target)]
        assert STYLE_WEIGHT * float(style_loss(*grams, "johnson")) == pytest.approx(expected, rel=1e-4)
