"""Bands of rows against the whole picture."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.generators import JohnsonConfig, UlyanovConfig, draw_noise, generate
from nstjax.generators.store import Generator
from nstjax.inference import banded, bands
from nstjax.inference.banded import generate_in_bands
from nstjax.inference.bands import Read, fetched, trace
from nstjax.inference.moments import deviations, merge_moments, on_host
from tests.helpers.generators import shuffled
from tests.helpers.paths import ROOT

WHOLE = jax.jit(generate, static_argnames=("config", "size"))


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth with edges, and of uneven brightness: statistics of parts are not those of the whole."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    steps = np.stack([np.sin(0.1 * x) > 0, y > height / 2, (x + 2 * y) % 29 > 14], -1)
    image = 0.3 * y[..., None] / height + 0.4 * steps + 0.3 * rng.uniform(size=(height, width, 3))
    return image[None].astype(np.float32)


def both(config, height: int, width: int, rows: int, kept_bytes: int, image: bool = True):
    """The whole picture, and that of bands."""
    variables = shuffled(config)
    photo = photograph(height, width) if image else None
    noise = draw_noise(config, jax.random.key(1)[None], height, width)
    whole = np.asarray(WHOLE(config, variables, photo, noise, size=(height, width)))
    size = (height, width)
    return whole, generate_in_bands(config, variables, photo, noise, size, rows=rows, kept_bytes=kept_bytes)


NOTHING, EVERYTHING = 0, 2**30
NARROW = {"width": 1 / 16, "residual_blocks": 1}
QUICK = [
    (JohnsonConfig(**NARROW, downsamplings=3), 37, 43, NOTHING),  # odd: padded to a multiple, and cropped
    (UlyanovConfig(scales=2, channels=2), 36, 33, EVERYTHING),
    (
        JohnsonConfig(**NARROW, downsamplings=2, skips=True, noise=2, upsampling="nearest", up_norm=False),
        37,
        43,
        NOTHING,
    ),
]
MORE = [
    *((JohnsonConfig(norm=norm, upsampling=up, padding=padding, width=0.1, residual_blocks=1), 45, 51, kept)
      for norm, up, padding, kept in (
          ("instance", "transposed", "reflect", NOTHING),
          ("instance", "transposed", "zeros", EVERYTHING),
          ("instance", "nearest", "reflect", EVERYTHING),
          ("instance", "nearest", "zeros", NOTHING),
          ("instance", "bilinear", "reflect", EVERYTHING),
          ("instance", "bilinear", "zeros", NOTHING),
          ("batch", "bilinear", "reflect", EVERYTHING),
          ("batch", "nearest", "zeros", EVERYTHING),
      )),
    *((UlyanovConfig(norm=norm, padding=padding, scales=2, channels=2, join_norm=join), 45, 51, kept)
      for norm, padding, join, kept in (
          ("instance", "zeros", True, NOTHING),
          ("instance", "reflect", False, EVERYTHING),
          ("instance", "circular", False, NOTHING),
          ("batch", "reflect", True, EVERYTHING),
          ("batch", "circular", False, EVERYTHING),
      )),
]  # fmt: skip


def name_of(value: object) -> str | None:
    if isinstance(value, JohnsonConfig | UlyanovConfig):
        parts = [type(value).__name__[:-6], value.norm, getattr(value, "upsampling", ""), value.padding]
        return "-".join(part for part in parts if part)
    return {NOTHING: "recomputed", EVERYTHING: "kept"}.get(value) if isinstance(value, int) else None


@pytest.mark.parametrize(("config", "height", "width", "kept"), QUICK, ids=name_of)
def test_bands_are_the_whole(config, height: int, width: int, kept: int) -> None:
    whole, found = both(config, height, width, 16, kept)
    assert found.shape == (1, height, width, 3)
    assert whole.std() > 0.01
    assert np.abs(found - whole).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("config", "height", "width", "kept"), MORE, ids=name_of)
def test_bands_are_the_whole_for_every_network(config, height: int, width: int, kept: int) -> None:
    whole, found = both(config, height, width, 16, kept)
    # Of the largest value: Ulyanov's network ends without a tanh, at values up to 8 with these weights.
    assert np.abs(found - whole).max() < 2e-5 * max(1, np.abs(whole).max())


@pytest.mark.slow
@pytest.mark.optimized  # computing takes longer than compiling
@pytest.mark.parametrize(
    ("config", "size"),
    [
        (JohnsonConfig(width=0.5), (1024, 1024)),
        (JohnsonConfig(width=0.25), (1021, 1023)),
        (UlyanovConfig(), (1024, 1024)),
        (UlyanovConfig(norm="instance", padding="reflect"), (1001, 1023)),
    ],
    ids=name_of,
)
def test_a_megapixel_in_bands_of_256(config, size: tuple[int, int]) -> None:
    """No seam: the criterion is 1/255; this is far below."""
    whole, found = both(config, *size, 256, 2**20)
    assert np.abs(found - whole).max() < 1e-4 * max(1, whole.std())


@pytest.mark.slow
def test_a_texture() -> None:
    whole, found = both(
        UlyanovConfig(scales=2, channels=2, content=False, padding="circular"),
        35,
        20,
        16,
        EVERYTHING,
        image=False,
    )
    assert np.abs(found - whole).max() < 1e-5


def test_bands_share_their_programs() -> None:
    """However many bands there are, and however high the picture is."""
    config = JohnsonConfig(**NARROW)
    plan = config.plan()
    kept = {"image", "down0", "down1", "down2", "block0_conv0", "block0_conv1", "block0", "up1", "up0"}

    def programs(target: str, height: int) -> set[tuple[bands.Part, ...]]:
        level = next(step.level for step in plan.steps if step.name == target)
        rows = range(0, height >> level, 16)
        at_hand = kept - {target}
        return {trace(plan, at_hand, target, r, r + 16, height, 64).parts for r in rows}

    for target in ("down0", "down1", "block0_conv0", "picture"):
        assert len(programs(target, 256)) == 1
        assert programs(target, 256) == programs(target, 512)
    assert (
        len(programs("up0", 512)) == 3
    )  # reflection of what is bilinear is not bilinear of what is reflected
    # Equal blocks are one program too.
    assert programs("block0_conv1", 256) == {trace(plan, {"down2"}, "block0_conv0", 16, 32, 256, 64).parts}


@pytest.mark.parametrize(("beyond", "mode"), [("wrap", "wrap"), ("reflect", "reflect"), ("edge", "edge")])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_rows_beyond_the_picture(beyond, mode: str, size: int) -> None:
    whole = np.random.default_rng(0).uniform(size=(size, 3, 2))
    padded = np.pad(whole, ((4, 4), (0, 0), (0, 0)), mode=mode)
    np.testing.assert_array_equal(fetched(whole, Read("a", -4, size + 4, beyond)), padded)
    np.testing.assert_array_equal(fetched(whole, Read("a", 0, size, None)), whole)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(loc=(0, 1000, -3), scale=(1, 0.01, 5), size=(1, 50, 7, 3)).astype(np.float32)
    found = None
    for start, stop in ((0, 20), (20, 21), (21, 50)):
        found = merge_moments(
            found, on_host((stop - start) * 7, deviations(jnp.asarray(whole[:, start:stop])))
        )
    exact = whole[0].astype(np.float64)
    assert found is not None
    assert found.count == 350
    np.testing.assert_allclose(found.mean, exact.mean((0, 1)), rtol=1e-6, atol=1e-6)
    # A deviation of 0.01 beside a mean of 1000: in E[x²] − E[x]² nothing of it would be left in float32.
    np.testing.assert_allclose(found.variance, exact.var((0, 1)), rtol=0.02)
    np.testing.assert_allclose(found.variance[[0, 2]], exact.var((0, 1))[[0, 2]], rtol=1e-5)


def test_moments_without_rows_that_were_measured_before() -> None:
    whole = jnp.asarray(np.random.default_rng(1).normal(size=(1, 9, 4, 2)), jnp.float32)
    for one, other in zip(deviations(whole, 3), deviations(whole[:, 3:]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_narrow_bands_half_precision_and_progress() -> None:
    config = JohnsonConfig(width=1 / 32, residual_blocks=0)
    variables, photo = shuffled(config), photograph(16, 9)
    exact, seen = np.asarray(WHOLE(config, variables, photo)), list[float]()
    found = generate_in_bands(  # narrower than what the first layer reflects
        config, variables, photo, (), (16, 9), rows=2, progress=seen.append
    )
    assert np.abs(found - exact).max() < 1e-5
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert seen[0] < 0.5
    rough = generate_in_bands(config, variables, photo, (), (16, 9), rows=16, dtype=jnp.bfloat16)
    assert rough.dtype == np.float32
    assert 1e-4 < np.abs(rough - exact).max() < 0.1


MEMORY = """
import jax, numpy as np
from experiments.benchmarks.memory import peak_gib
from nstjax.generators import JohnsonConfig, UlyanovConfig, init_generator
from nstjax.generators.store import Generator
from nstjax.inference import stylize
config = {config}
generator = Generator(config, init_generator(config, jax.random.key(0)), {{}})
y, x = np.mgrid[0:4096, 0:4096].astype(np.float32) / 4096
picture = stylize(generator, np.stack([x, y, x * y], -1)[None])
assert picture.shape == (1, 4096, 4096, 3) and np.isfinite(picture).all()
print(peak_gib())
"""


def test_a_child_does_not_count_the_peak_of_its_parent() -> None:
    held = np.ones(2**27, np.float32)  # 0.5 GiB
    script = "from experiments.benchmarks.memory import peak_gib; print(peak_gib())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert held.sum() > 0
    assert float(done.stdout) < 0.4


@pytest.mark.toy
@pytest.mark.parametrize("config", ["JohnsonConfig()", "UlyanovConfig(norm='instance')"])
def test_sixteen_megapixels_in_four_gigabytes(config: str) -> None:
    """The whole process, Python and XLA included."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY.format(config=config)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 4


def test_bands_have_the_settings_of_the_calling_thread() -> None:
    config = JohnsonConfig("batch", **NARROW)  # with instance normalization, bands use statistics in float32
    variables, photo = shuffled(config), photograph(96, 43)

    def stylized(tile: int) -> np.ndarray:
        with jax.enable_x64(True):
            return nstjax.stylize(Generator(config, variables, {}), photo, tile=tile, dtype=np.float64)

    bands, whole = stylized(64), stylized(0)
    assert bands.dtype == whole.dtype == np.float32
    np.testing.assert_allclose(bands, whole, atol=1e-7)  # in float32 arithmetic 1e-5


def test_bands_are_computed_in_threads_on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of photographs sets the default device of each of its threads."""
    monkeypatch.setattr(banded, "_ThisThread", None)  # a call would fail
    config = QUICK[0][0]
    generator, photo = Generator(config, shuffled(config), {}), photograph(96, 43)
    with jax.default_device(jax.devices()[0]):
        bands = nstjax.stylize(generator, photo, tile=64)
    np.testing.assert_array_equal(bands, nstjax.stylize(generator, photo, tile=64))
