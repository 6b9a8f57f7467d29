"""Images of integers, and of values of 0 to 255, are refused wherever an image is taken."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.generators import JohnsonConfig, generate, generate_train, init_generator
from nstjax.generators.store import Generator
from nstjax.images.color import luminance, match_luminance, transfer_color
from nstjax.inference import stylize
from nstjax.losses import total_variation
from nstjax.weights.activations import normalize
from tests.helpers.networks import random_backbone

BYTES = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
GOOD = BYTES.astype(np.float32) / 255
BACKBONE = random_backbone(convs=3)
CONFIG = JohnsonConfig(width=1 / 32, residual_blocks=0)
VARIABLES = init_generator(CONFIG, jax.random.key(0))
QUICK = nstjax.TransferConfig(size=16, scales=(16,), iterations=(1,))

TAKERS: dict[str, Callable] = {
    "features": lambda image: nstjax.features(BACKBONE, image, ("relu1_1",)),
    "features under jit": lambda image: jax.jit(lambda x: nstjax.features(BACKBONE, x, ("relu1_1",)))(image),
    "transfer, content": lambda image: nstjax.transfer(image, GOOD, BACKBONE, QUICK),
    "transfer, style": lambda image: nstjax.transfer(GOOD, image, BACKBONE, QUICK),
    "transfer, start": lambda image: nstjax.transfer(GOOD, GOOD, BACKBONE, QUICK, init_image=image),
    "texture": lambda image: nstjax.texture(image, BACKBONE),
    "reconstruct": lambda image: nstjax.reconstruct(image, BACKBONE),
    "mix_scales, coarse": lambda image: nstjax.mix_scales(image, GOOD, BACKBONE),
    "mix_scales, fine": lambda image: nstjax.mix_scales(GOOD, image, BACKBONE),
    "normalize": lambda image: normalize(BACKBONE, [image]),
    "stylize": lambda image: stylize(Generator(CONFIG, VARIABLES, {}), image),
    "generate": lambda image: generate(CONFIG, VARIABLES, image),
    "generate_train": lambda image: generate_train(CONFIG, VARIABLES, image),
    "total_variation": total_variation,
    "luminance": luminance,
    "match_luminance": lambda image: match_luminance(image, GOOD),
    "transfer_color": lambda image: transfer_color(GOOD, image, "cholesky"),
    "save_image": lambda image: nstjax.save_image(Path("never-written.png"), image),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, bool])
@pytest.mark.parametrize("name", TAKERS)
def test_integers_are_refused(
    name: str, dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        nstjax.InputError, match=r"has type .*: it must be floating point with values in \[0, 1\]"
    ):
        TAKERS[name](BYTES.astype(dtype))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", [name for name in TAKERS if name.startswith(("transfer,", "mix", "styl", "tex", "rec"))]
)
def test_values_of_0_to_255_are_refused_where_they_can_be_looked_at(name: str) -> None:
    for scaled in (255 * GOOD, -255 * GOOD):
        with pytest.raises(nstjax.InputError, match=r"has values from .*divide values of 0 to 255 by 255"):
            TAKERS[name](scaled)


@pytest.mark.parametrize(
    "name", [name for name in TAKERS if name.startswith(("transfer,", "mix", "styl", "tex", "rec", "save"))]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(
    name: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = GOOD.copy()
    image[0, 3, 4, 1] = value
    with pytest.raises(nstjax.InputError, match=r"image holds values that are not finite: check where"):
        TAKERS[name](image)
    assert not list(tmp_path.iterdir())


def test_other_floating_types_are_taken() -> None:
    for dtype in (np.float16, jnp.bfloat16, np.float32):
        nstjax.features(BACKBONE, jnp.asarray(GOOD, dtype), ("relu1_1",))
    overshoot = GOOD * 1.4 - 0.2  # as of a sharp filter
    assert np.isfinite(stylize(Generator(CONFIG, VARIABLES, {}), overshoot)).all()
