"""The generators: their tables, norms, noise, gradients, and an independent implementation."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.generators import (
    GeneratorConfig,
    JohnsonConfig,
    UlyanovConfig,
    config_from_json,
    config_to_json,
    draw_noise,
    generate,
    generate_train,
    init_generator,
    noise_shapes,
)
from nstjax.generators.norm import moments
from nstjax.generators.plan import window
from nstjax.generators.steps import apply_step
from tests.helpers.generators import shuffled

SMALL = JohnsonConfig(width=1 / 16, residual_blocks=1)
PYRAMID = UlyanovConfig(scales=2, channels=2)
CONFIGS = [
    SMALL,
    JohnsonConfig("batch", "nearest", "zeros", "linear", 1 / 16, residual_blocks=0),
    dataclasses.replace(SMALL, upsampling="transposed", residual_blocks=0),
    dataclasses.replace(SMALL, downsamplings=3, skips=True, noise=2, upsampling="nearest", up_norm=False),
    PYRAMID,
    dataclasses.replace(PYRAMID, content=False, padding="circular", join_norm=True, norm="instance"),
]


painted = jax.jit(generate, static_argnums=0, static_argnames=("size", "dtype"))
painted_in_training = jax.jit(generate_train, static_argnums=0)


def photos(n: int, h: int, w: int, seed: int = 0) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), (n, h, w, 3))


def keys(n: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), n)


def paint(config: GeneratorConfig, variables: Any, n: int, h: int, w: int, seed: int = 0) -> jax.Array:
    images = photos(n, h, w, seed) if getattr(config, "content", True) else None
    noise = draw_noise(config, keys(n, seed), h, w)
    return painted(config, variables, images, noise, size=(h, w))


def count(config: GeneratorConfig) -> int:
    return sum(x.size for x in jax.tree.leaves(init_generator(config, jax.random.key(0))["params"]))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{type(c).__name__[0]}-{c.norm}-{c.padding}")
@pytest.mark.parametrize("size", [(1, 1), (3, 21)], ids=str)
def test_any_size_comes_out_as_it_went_in(config: GeneratorConfig, size: tuple[int, int]) -> None:
    picture = paint(config, init_generator(config, jax.random.key(0)), 2, *size)
    assert picture.shape == (2, *size, 3)
    assert picture.dtype == jnp.float32
    assert jnp.isfinite(picture).all()


def batch_statistics(config: GeneratorConfig, variables: Any, inputs: dict[str, jax.Array]) -> dict[str, Any]:
    """Return the means and variances of a batch before each normalization, step by step."""
    arrays: dict[str, Any] = dict(inputs)
    found = {}
    for step in config.plan().steps:
        sources, known = [arrays[name] for name in step.sources], None
        if step.op == "norm":
            known = moments(sources[0], batch=True)
            found[step.name] = {"mean": known[0].reshape(-1), "var": known[1].reshape(-1)}
        arrays[step.name] = apply_step(step, variables["params"].get(step.name, {}), sources, known)
    return found


@pytest.mark.parametrize(
    "config",
    [*CONFIGS, *(dataclasses.replace(config, styles=3) for config in CONFIGS if config.norm == "instance")],
    ids=lambda c: f"{type(c).__name__[0]}-{c.norm}-{c.padding}-{c.styles}",
)
def test_inference_and_the_flax_module_of_training_agree(config: GeneratorConfig) -> None:
    variables, side = shuffled(config), 2 * config.plan().multiple
    noise = draw_noise(config, keys(2), side, side)
    inputs = {f"noise{k}": z for k, z in enumerate(noise)}
    images = None
    if any(name == "image" for name, _ in config.plan().inputs):
        images = inputs["image"] = photos(2, side, side)
    style = None if config.styles == 1 else jnp.asarray([[0.2, 0.5, 0.3], [0, 0, 1]])
    if config.norm == "batch":  # in training it uses the statistics of the batch: inference gets these
        variables["batch_stats"] = batch_statistics(config, variables, inputs)
    expected, _ = generate_train(config, variables, images, noise, size=(side, side), style=style)
    found = generate(config, variables, images, noise, size=(side, side), style=style)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_noise_has_the_shapes_of_noise_shapes() -> None:
    config = dataclasses.replace(SMALL, downsamplings=3, skips=True, noise=2)
    shapes = [(24, 32, 2), (12, 16, 2), (6, 8, 2), (3, 4, 2)]
    assert noise_shapes(config, 21, 30) == shapes
    assert [z.shape for z in draw_noise(config, keys(3), 21, 30)] == [(3, *shape) for shape in shapes]
    assert noise_shapes(SMALL, 21, 30) == []


def test_parameters_of_report_004_s_table() -> None:
    down = 9 * 9 * 3 * 32 + 3 * 3 * 32 * 64 + 3 * 3 * 64 * 128
    blocks = 5 * 2 * 3 * 3 * 128 * 128
    up = 3 * 3 * 128 * 64 + 3 * 3 * 64 * 32 + 9 * 9 * 32 * 3 + 3
    norms = 2 * (32 + 64 + 128 + 10 * 128 + 64 + 32)
    for upsampling in ("transposed", "nearest", "bilinear"):
        assert count(JohnsonConfig(upsampling=upsampling)) == down + blocks + up + norms == 1_677_635
    sizes = {step.name: step.level for step in JohnsonConfig().plan().steps}
    assert [sizes[name] for name in ("down0", "down1", "down2", "block4", "up1", "up0", "last")] == [
        *(0, 1, 2, 2, 1, 0, 0)
    ]


def test_parameters_of_skips_and_noise() -> None:
    """A merging convolution at every level reads the noise, and above the deepest one twice the filters."""
    filters, noise = (16, 32, 64, 128), 2
    plain = JohnsonConfig(width=0.5, downsamplings=3)
    noisy = sum(9 * (f + noise) * f + 2 * f for f in filters)
    assert count(dataclasses.replace(plain, noise=noise)) - count(plain) == noisy
    skips = sum(9 * 2 * f * f + 2 * f for f in filters[:3])
    assert count(dataclasses.replace(plain, skips=True)) - count(plain) == skips
    both = dataclasses.replace(plain, skips=True, noise=noise)
    assert count(both) - count(plain) == noisy + sum(9 * f * f for f in filters[:3])
    assert dataclasses.replace(plain, skips=False, noise=0).plan() == plain.plan()


def test_noise_fills_a_flat_photograph() -> None:
    """Without noise a flat photograph gives the same value at all positions of one phase, away from the border."""
    flat = jnp.full((1, 96, 96, 3), 0.4)
    for noise in (0, 2):
        config = dataclasses.replace(SMALL, downsamplings=1, noise=noise, skips=True, padding="reflect")
        drawn = draw_noise(config, keys(1), 96, 96)
        assert [z.shape for z in drawn] == ([(1, 96, 96, 2), (1, 48, 48, 2)] if noise else [])
        picture = painted(config, shuffled(config), flat, drawn)[0, 32:64:2, 32:64:2]
        assert bool(picture.std((0, 1)).max() > 1e-3) == (noise > 0)


def test_parameters_of_report_000_s_section_2_4() -> None:
    def block(before: int, after: int) -> int:
        return 9 * before * after + 9 * after * after + after * after + 3 * 2 * after

    total = 6 * block(6, 8) + sum(block(c, c) for c in (16, 24, 32, 40, 48)) + 48 * 3 + 3
    assert count(UlyanovConfig()) == total == 117_267
    texture = 5 * block(3, 8) + sum(block(c, c) for c in (16, 24, 32, 40)) + 40 * 3 + 3
    assert count(UlyanovConfig(scales=5, content=False)) == texture
    joins = 2 * sum((16, 24, 32, 40, 48))
    assert count(UlyanovConfig(join_norm=True)) == total + joins


def test_initial_weights_have_one_type() -> None:
    """A weakly typed array would have another type after the first step, and the step would be compiled twice."""
    for config in CONFIGS:
        leaves = jax.tree.leaves(init_generator(config, jax.random.key(0)))
        assert {(leaf.dtype.name, leaf.weak_type) for leaf in leaves} == {("float32", False)}


def test_initial_weights_are_torch_s() -> None:
    params = init_generator(JohnsonConfig(width=0.5), jax.random.key(0))["params"]
    kernel = params["block0_conv0"]["kernel"]
    bound = (3 * 3 * 64) ** -0.5
    assert 0.99 * bound < jnp.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.01)


def test_instance_norm_takes_contrast_and_brightness_away() -> None:
    images = photos(1, 24, 20)
    for norm, same in (("instance", True), ("batch", False)):
        config = dataclasses.replace(SMALL, norm=norm)
        variables = shuffled(config)
        picture = painted(config, variables, images)
        assert picture.std() > 0.05
        for contrast in (0.7, 1.3):
            difference = jnp.abs(painted(config, variables, contrast * images + 0.1) - picture).max()
            assert bool(difference < 3e-3) == same


def test_noise_is_an_image_s_own() -> None:
    three, scaled = draw_noise(PYRAMID, keys(3), 21, 13), draw_noise(PYRAMID, keys(3), 21, 13, 2.5)
    assert [z.shape for z in three] == [(3, 22, 14, 3), (3, 11, 7, 3)]
    for k, one in enumerate(draw_noise(PYRAMID, keys(3)[1:2], 21, 13)):
        np.testing.assert_array_equal(one[0], three[k][1])
        np.testing.assert_allclose(scaled[k], 2.5 * three[k], rtol=1e-6)
        assert 0 <= three[k].min() < 0.1
        assert 0.9 < three[k].max() <= 1
    assert len({float(z[i, 0, 0, 0]) for z in three for i in range(3)}) == 6
    assert draw_noise(SMALL, keys(3), 21, 13) == ()


def test_without_noise_the_key_says_nothing() -> None:
    variables, images = shuffled(PYRAMID), photos(1, 16, 16)
    pictures = [
        painted(PYRAMID, variables, images, draw_noise(PYRAMID, keys(1, seed), 16, 16, k))
        for seed, k in ((0, 0.0), (1, 0.0), (0, 1.0), (1, 1.0))
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert jnp.abs(pictures[2] - pictures[3]).max() > 1e-3


def test_an_image_does_not_see_its_batch() -> None:
    for config in (SMALL, PYRAMID):
        variables, images, noise = shuffled(config), photos(3, 16, 20), draw_noise(config, keys(3), 16, 20)
        of_all = painted(config, variables, images, noise)
        alone = painted(config, variables, images[1:2], tuple(z[1:2] for z in noise))
        np.testing.assert_allclose(of_all[1:2], alone, atol=2e-5)


def test_batch_norm_in_training_and_after() -> None:
    config = CONFIGS[1]
    variables, images = shuffled(config), photos(4, 16, 12)
    _, running = painted_in_training(config, variables, images)
    first = next(step for step in config.plan().steps if step.op == "conv")
    centred = images - jnp.array([0.485, 0.456, 0.406])
    maps = np.asarray(apply_step(first, variables["params"][first.name], (centred,)), np.float64)
    old, new = variables["batch_stats"]["down0_norm"], running["down0_norm"]
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * maps.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * maps.var((0, 1, 2)), atol=1e-5)
    # Statistics that are the batch's own make the two the same.
    for _ in range(150):
        in_training, running = painted_in_training(config, {**variables, "batch_stats": running}, images)
    settled = {**variables, "batch_stats": running}
    np.testing.assert_allclose(painted(config, settled, images), in_training, atol=1e-4)


@pytest.mark.parametrize("config", [CONFIGS[1], PYRAMID], ids=["J", "U"])
def test_statistics_of_a_batch_that_is_spread(config: GeneratorConfig) -> None:
    variables, images, noise = shuffled(config), photos(4, 16, 12), draw_noise(config, keys(4), 16, 12)

    def loss(params: Any, *data: Any, axis: str | None = None) -> tuple[jax.Array, Any]:
        found = {**variables, "params": params}
        picture, running = generate_train(config, found, data[0], data[1:], axis_name=axis)
        value = jnp.mean(picture**2)
        return (jax.lax.pmean(value, axis) if axis else value), running

    def spread(*data: jax.Array) -> Any:
        return jax.vmap(
            lambda *d: jax.value_and_grad(loss, has_aux=True)(variables["params"], *d, axis="d"),
            axis_name="d",
        )(*data)

    whole = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"], images, *noise)
    halves = jax.jit(spread)(*(x.reshape(2, 2, *x.shape[1:]) for x in (images, *noise)))
    (value, running), gradient = halves
    for found, expected in zip(jax.tree.leaves((value, running)), jax.tree.leaves(whole[0]), strict=True):
        np.testing.assert_allclose(found[0], expected, rtol=2e-4, atol=2e-5)
        np.testing.assert_array_equal(found[0], found[1])
    # What each device has is its share: the gradient of the mean is the mean of theirs.
    for found, expected in zip(jax.tree.leaves(gradient), jax.tree.leaves(whole[1]), strict=True):
        np.testing.assert_allclose(found.mean(0), expected, rtol=2e-2, atol=2e-5)


def test_moments_are_numpy_s() -> None:
    x = np.random.default_rng(0).normal(2, 3, (3, 5, 4, 2)).astype(np.float32)
    for batch, axes in ((True, (0, 1, 2)), (False, (1, 2))):
        mean, variance = moments(jnp.asarray(x), batch)
        np.testing.assert_allclose(mean, x.mean(axes, keepdims=True), rtol=1e-5)
        np.testing.assert_allclose(variance, x.var(axes, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize("config", [*CONFIGS[:2], CONFIGS[4]], ids=["J-instance", "J-batch", "U-texture"])
def test_gradient_by_central_differences(x64: None, config: GeneratorConfig) -> None:
    variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), shuffled(config))
    images = photos(2, 12, 9).astype(jnp.float64) if getattr(config, "content", True) else None
    noise = draw_noise(config, keys(2), 12, 9)

    def loss(params: Any) -> jax.Array:
        found = {**variables, "params": params}
        return jnp.sum(generate_train(config, found, images, noise, dtype=jnp.float64)[0] ** 3)

    rng, params = np.random.default_rng(0), variables["params"]
    direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), params)
    h, compiled = 1e-8, jax.jit(loss)
    ends = [compiled(jax.tree.map(lambda x, d, s=s: x + s * h * d, params, direction)) for s in (1, -1)]
    slopes = jax.tree.map(jnp.vdot, jax.jit(jax.grad(loss))(params), direction)
    np.testing.assert_allclose(sum(jax.tree.leaves(slopes)), (ends[0] - ends[1]) / (2 * h), rtol=1e-5)


def test_moves_with_the_picture() -> None:
    config = CONFIGS[1]  # no residual blocks, so that a pixel sees few others, and running statistics
    variables, images = shuffled(config), photos(1, 72, 64)
    here = painted(config, variables, images)
    there = painted(config, variables, jnp.roll(images, (4, -8), (1, 2)))
    np.testing.assert_allclose(there[:, 36:40, 32:36], here[:, 32:36, 40:44], atol=1e-5)
    assert jnp.abs(there - here)[:, 36:40, 32:36].max() > 1e-3


def test_bfloat16_is_near() -> None:
    images = photos(1, 24, 20)
    for config in (CONFIGS[1], SMALL):
        variables = shuffled(config)
        single = painted(config, variables, images)
        half = painted(config, variables, images, dtype=jnp.bfloat16)
        assert half.dtype == jnp.float32
        assert 0 < jnp.sqrt(jnp.mean((half - single) ** 2)) < 0.03 * single.std() + 0.01


@pytest.mark.slow
def test_a_part_of_a_step_is_a_part_of_its_result() -> None:
    image = photos(1, 24, 20)
    for config in (SMALL, CONFIGS[1], CONFIGS[2], PYRAMID):
        params = shuffled(config)["params"]
        for step in config.plan().steps:
            if step.op not in ("conv", "pool", "upsample") or step.level > 1:
                continue
            shape = (1, 24, 20, config.plan().channels()[step.sources[0]])
            source = jnp.resize(image, shape)
            weights = params.get(step.name, {})
            whole = apply_step(step, weights, (source,))
            rows, columns = window(step, 3, 8, 24), window(step, 0, whole.shape[2], 20)
            cut = source[:, rows.start : rows.stop, columns.start : columns.stop]
            part = apply_step(step, weights, (cut,), None, rows, columns)
            np.testing.assert_allclose(part, whole[:, 3:8], atol=1e-5, err_msg=step.name)


def test_configs_as_json() -> None:
    for config in CONFIGS:
        assert config_from_json(json.loads(json.dumps(config_to_json(config)))) == config
    good = config_to_json(SMALL)
    for bad in (None, [], {}, {**good, "kind": "gan"}, {**good, "kind": []}, {**good, "depth": 3}):
        with pytest.raises(nstjax.InputError, match="name another checkpoint"):
            config_from_json(bad)
    for field, value in (("width", "wide"), ("norm", "layer"), ("residual_blocks", None), ("padding", [])):
        with pytest.raises(nstjax.InputError, match="name another checkpoint"):
            config_from_json({**good, field: value})


def test_the_last_convolution_is_johnson_s_or_the_thesis_s() -> None:
    """9×9 to 3 channels (Johnson et al., supplement, table 1), or 3×3×3 (Pomona thesis, table 3.1)."""
    for side, config in ((9, SMALL), (3, dataclasses.replace(SMALL, last_kernel=3))):
        variables = init_generator(config, jax.random.key(0))
        assert variables["params"]["last"]["kernel"].shape == (side, side, 2, 3)
        picture = paint(config, variables, 1, 10, 13)
        assert picture.shape == (1, 10, 13, 3)
        assert config_from_json(json.loads(json.dumps(config_to_json(config)))) == config
    assert count(SMALL) - count(dataclasses.replace(SMALL, last_kernel=3)) == (81 - 9) * 2 * 3
    older = {name: value for name, value in config_to_json(SMALL).items() if name != "last_kernel"}
    assert config_from_json(older).last_kernel == 9  # as every checkpoint before there was a choice


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JohnsonConfig(width=0.0), "`width` is 0.0: it must be between"),
        (lambda: JohnsonConfig(width=float("nan")), "`width` is nan"),
        (lambda: JohnsonConfig(downsamplings=6), "`downsamplings` is 6"),
        (lambda: JohnsonConfig(residual_blocks=-1), "`residual_blocks` is -1"),
        (lambda: JohnsonConfig(noise=65), "`noise` is 65: it must be between 0 and 64"),
        (lambda: JohnsonConfig(last_kernel=5), "`last_kernel` is 5: it must be 9"),
        (
            lambda: JohnsonConfig(padding="circular"),
            "`padding` is 'circular': it must be one of reflect, zeros",
        ),
        (lambda: UlyanovConfig(norm="layer"), "`norm` is 'layer': it must be one of batch, instance"),
        (lambda: UlyanovConfig(scales=0), "`scales` is 0"),
        (lambda: UlyanovConfig(channels=0), "`channels` is 0"),
        (lambda: generate(SMALL, {}, None), "`images` is missing"),
        (
            lambda: generate(PYRAMID, {}, photos(1, 8, 8)),
            r"needs \d noise arrays, see draw_noise; 0 were given",
        ),
    ],
)
def test_what_cannot_be(make: Callable, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        make()


@pytest.mark.parametrize("config", CONFIGS)
def test_float64_mode_changes_no_bit(config: GeneratorConfig) -> None:
    plain = init_generator(config, jax.random.key(1)), draw_noise(config, keys(1), 16, 16, 0.7)
    with jax.enable_x64(True):
        other = init_generator(config, jax.random.key(1)), draw_noise(config, keys(1), 16, 16, 0.7)
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        assert two.dtype == jnp.float32
        np.testing.assert_array_equal(one, two)


def test_images_and_noise_of_other_shapes_are_refused() -> None:
    config = CONFIGS[3]
    variables, noise = shuffled(config), draw_noise(config, keys(1), 16, 16)
    with pytest.raises(nstjax.InputError, match=r"`images` has shape \(16, 16, 3\)"):
        generate(config, variables, photos(1, 16, 16)[0], noise)
    with pytest.raises(
        nstjax.InputError, match=r"noise array 0 has shape .* for 24×16 pixels it must be \(n, 24, 16"
    ):
        generate(config, variables, photos(1, 24, 16), noise)
    texture = CONFIGS[5]
    with pytest.raises(nstjax.InputError, match="noise array 0 has shape"):
        generate(texture, shuffled(texture), None, draw_noise(texture, keys(1), 16, 16), size=(32, 32))
