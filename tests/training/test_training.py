"""Training's mathematics: the loss, the step, its arithmetic and schedules. Runs are in test_training_runs.py."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nstjax
from nstjax.data import Batch
from nstjax.generators import UlyanovConfig, generate
from nstjax.losses import grid_loss, make_targets, objective
from nstjax.training import TRAIN_PRESETS, Cadence, TrainConfig, TrainProgress, read_metrics, train
from nstjax.training.loop import scaled_style
from nstjax.training.photographs import first_photographs
from nstjax.training.state import from_arrays, init_state, make_optimizer, make_schedule, to_arrays
from nstjax.training.step import batch_loss, make_apply, style_targets, train_step, unchanged_loss
from tests.helpers.training import CONFIG, NETWORK, STYLE, TINY, assert_same_bits, leaves


def test_the_loss_of_a_batch_is_the_mean_of_its_images_losses() -> None:
    targets = style_targets(CONFIG, NETWORK, STYLE)
    rng = np.random.default_rng(1)
    images, photos = rng.random((2, 3, 16, 20, 3)).astype(np.float32)
    args = (CONFIG.objective, make_apply(CONFIG), NETWORK, targets)
    together, terms = batch_loss(*args, images, photos)
    alone = [batch_loss(*args, images[i : i + 1], photos[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(together, np.mean(alone), rtol=1e-5)
    np.testing.assert_allclose(together, sum(terms.values()), rtol=1e-5)
    assert float(batch_loss(*args, photos, photos)[1]["content/relu2_1"]) == 0


@pytest.mark.parametrize(
    ("statistic", "distance"),
    [
        ("gram", "squared"),
        ("gram", "absolute"),
        ("linear", "absolute"),
        ("polynomial", "squared"),
        ("gaussian", "squared"),
    ],
)
def test_every_statistic_and_distance_has_a_gradient(statistic: str, distance: str) -> None:
    record = dataclasses.replace(
        CONFIG.objective, style_statistic=statistic, content_distance=distance, style_distance=distance
    )
    config = dataclasses.replace(CONFIG, objective=record)
    targets = style_targets(config, NETWORK, STYLE)
    images, photos = np.random.default_rng(1).random((2, 2, 16, 16, 3)).astype(np.float32)

    def loss(images: jax.Array) -> jax.Array:
        return batch_loss(record, make_apply(config), NETWORK, targets, images, photos)[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(images)
    # Each image's loss has the weight of one half, so its gradient is half of its own.
    alone = jax.jit(
        jax.grad(lambda x: batch_loss(record, make_apply(config), NETWORK, targets, x, photos[:1])[0])
    )
    np.testing.assert_allclose(2 * gradient[:1], alone(images[:1]), rtol=1e-3, atol=1e-6 * float(value))
    assert float(jnp.abs(gradient).max()) > 0


def test_a_step_is_adam_along_the_gradient() -> None:
    """One step against the definition, in float64, the gradient by central differences."""
    with jax.enable_x64(True):
        config = dataclasses.replace(CONFIG, compute="float64")
        state = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, init_state(config)
        )
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), NETWORK)
        targets = style_targets(config, wide, STYLE.astype(np.float64))
        batch = Batch(np.random.default_rng(2).random((2, 16, 16, 3)), np.arange(2, dtype=np.int32))
        sgd = optax.sgd(1.0)
        state = dataclasses.replace(state, opt_state=sgd.init(state.params))
        after, metrics = jax.jit(lambda s: train_step(config, sgd, s, wide, targets, batch))(state)
        kernel = state.params["last"]["kernel"]
        moved = np.asarray(kernel - after.params["last"]["kernel"])

        @jax.jit
        def loss(kernel: jax.Array) -> jax.Array:
            params = {**state.params, "last": {**state.params["last"], "kernel": kernel}}
            variables = {"params": params, "batch_stats": {}}
            images = generate(config.generator, variables, batch.images, dtype=jnp.float64)
            return batch_loss(config.objective, make_apply(config), wide, targets, images, batch.images)[0]

        for index in ((0, 0, 0, 0), (4, 4, 1, 2), (8, 3, 2, 1)):
            h = 1e-4
            up, down = loss(kernel.at[index].add(h)), loss(kernel.at[index].add(-h))
            np.testing.assert_allclose(moved[index], (up - down) / (2 * h), rtol=1e-5)
        assert float(metrics["gradient_norm"]) > 0


def test_the_grid_weight_adds_the_grid_loss_of_the_generator_s_strides() -> None:
    targets = style_targets(CONFIG, NETWORK, STYLE)
    batch = Batch(np.random.default_rng(2).random((2, 16, 16, 3), np.float32), np.arange(2, dtype=np.int32))
    state, found = init_state(CONFIG), {}
    for weight in (0.0, 50.0):
        config = dataclasses.replace(CONFIG, grid_weight=weight)
        step = partial(train_step, config, make_optimizer(config))
        found[weight] = jax.jit(step)(state, NETWORK, targets, batch)[1]
    images = generate(CONFIG.generator, {"params": state.params, "batch_stats": {}}, batch.images)
    grid = 50 * grid_loss(images, CONFIG.generator.plan().multiple)
    assert "grid" not in found[0.0]
    np.testing.assert_allclose(found[50.0]["grid"], grid, rtol=1e-3)
    np.testing.assert_allclose(found[50.0]["loss"], found[0.0]["loss"] + grid, rtol=1e-4)
    with pytest.raises(nstjax.InputError, match="`grid_weight` is -1"):
        dataclasses.replace(CONFIG, grid_weight=-1.0)


@pytest.mark.slow
def test_bfloat16_is_near_float32() -> None:
    losses = {}
    for compute in ("float32", "bfloat16"):
        config = dataclasses.replace(CONFIG, compute=compute)
        state, optimizer = init_state(config), make_optimizer(config)
        targets = style_targets(config, NETWORK, STYLE)
        batch = Batch(
            np.random.default_rng(4).random((2, 16, 16, 3), np.float32), np.arange(2, dtype=np.int32)
        )
        step = jax.jit(partial(train_step, config, optimizer))
        after, metrics = step(state, NETWORK, targets, batch)
        assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
        losses[compute] = float(metrics["loss"])
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.05)
    assert losses["bfloat16"] != losses["float32"]


@pytest.mark.slow
def test_accumulated_batches_are_one_large_batch() -> None:
    rng = np.random.default_rng(5)
    images = rng.random((4, 16, 16, 3), np.float32)
    targets = style_targets(CONFIG, NETWORK, STYLE)

    def run(config: TrainConfig, parts: int) -> Any:
        optimizer, state = make_optimizer(config), init_state(config)
        step = jax.jit(partial(train_step, config, optimizer))
        for part in np.split(images, parts):
            batch = Batch(part, np.arange(len(part), dtype=np.int32))
            state, _ = step(state, NETWORK, targets, batch)
        return state.params

    one = run(CONFIG, 1)
    two = run(dataclasses.replace(CONFIG, accumulate=2), 2)
    for a, b in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_schedules() -> None:
    settings = dataclasses.replace(CONFIG, steps=100, learning_rate=2.0)
    rate = make_schedule(dataclasses.replace(settings, schedule="cosine", warmup_steps=10))
    np.testing.assert_allclose([float(rate(i)) for i in (0, 5, 10, 55, 100)], [0, 1, 2, 1, 0], atol=1e-6)
    rate = make_schedule(
        dataclasses.replace(settings, schedule="exponential", decay_rate=0.5, decay_steps=10)
    )
    np.testing.assert_allclose([float(rate(i)) for i in (0, 9, 10, 20)], [2, 2, 1, 0.5])


@pytest.mark.slow
def test_a_texture_needs_no_photographs_and_training_lowers_the_loss(tmp_path: Path) -> None:
    generator = UlyanovConfig(scales=2, channels=4, content=False)
    config = dataclasses.replace(CONFIG, steps=25, learning_rate=0.02, generator=generator)
    train(config, STYLE, NETWORK, tmp_path, cadence=Cadence(log_every=5, checkpoint_every=0))
    losses = [line["loss"] for line in read_metrics(tmp_path)]
    assert losses[-1] < 0.7 * losses[0], losses


def test_arrays_of_another_state_are_refused() -> None:
    state = init_state(CONFIG)
    assert_same_bits(from_arrays(state, to_arrays(state)), state)
    other = init_state(dataclasses.replace(CONFIG, generator=dataclasses.replace(TINY, width=0.25)))
    with pytest.raises(nstjax.InputError, match="another generator"):
        from_arrays(state, to_arrays(other))


@pytest.mark.parametrize("value", [np.nan, np.inf, "a"])
def test_arrays_that_cannot_be_of_a_training_are_refused(value: Any) -> None:
    state = init_state(CONFIG)
    arrays = to_arrays(state)
    name = next(name for name, array in arrays.items() if array.ndim == 4)
    with pytest.raises(nstjax.InputError, match="another generator|not finite: start a new run"):
        from_arrays(state, {**arrays, name: np.full(arrays[name].shape, value)})
    with pytest.raises(nstjax.InputError, match="another generator|not finite: start a new run"):
        from_arrays(state, {**arrays, name: np.full_like(arrays[name], np.nan)})


@pytest.mark.parametrize("option", ["learning_rate", "epsilon", "decay_rate", "clip"])
@pytest.mark.parametrize("value", [0.0, -1.0, 1e-320, 1e-39, np.inf, np.nan, 1e39])
def test_numbers_that_float32_cannot_hold_are_refused(option: str, value: float) -> None:
    with pytest.raises(nstjax.InputError, match=f"`{option}` is"):
        dataclasses.replace(CONFIG, **{option: value})


@pytest.mark.parametrize("name", TRAIN_PRESETS)
def test_presets_round_trip(name: str) -> None:
    config = TRAIN_PRESETS[name]
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.slow
def test_a_photograph_without_contrast_changes_nothing(tmp_path: Path) -> None:
    """Fifteen instance normalisations of nothing: the gradient leaves float32's range."""
    generator = dataclasses.replace(TINY, residual_blocks=5)
    config = dataclasses.replace(CONFIG, generator=generator)
    state, optimizer = init_state(config), make_optimizer(config)
    step = jax.jit(partial(train_step, config, optimizer))
    targets = style_targets(config, NETWORK, STYLE)
    index = np.arange(2, dtype=np.int32)
    flat = Batch(np.full((2, 16, 16, 3), 0.5, np.float32), index)
    photographs = Batch(np.random.default_rng(6).random((2, 16, 16, 3), np.float32), index)
    after, metrics = step(state, NETWORK, targets, flat)
    assert not np.isfinite(metrics["gradient_norm"])
    assert_same_bits(after.params, state.params)
    after, metrics = step(after, NETWORK, targets, photographs)
    assert np.isfinite(metrics["loss"])
    assert all(np.isfinite(leaf).all() for leaf in leaves(after))


def test_progress_has_the_loss_of_the_unchanged_photographs_and_the_samples(tmp_path: Path) -> None:
    """The loss by the objective of a single picture, of each photograph as its own result."""
    styles = [STYLE, 1 - STYLE, STYLE[:, ::-1]]
    config = dataclasses.replace(CONFIG, generator=dataclasses.replace(TINY, styles=3), steps=4)
    seen: list[TrainProgress] = []
    train(config, styles, NETWORK, tmp_path, lambda p: seen.append(p), cadence=Cadence(sample_every=2))
    config = config.for_backbone(NETWORK)
    apply, record = make_apply(config), config.objective
    losses = []
    for number, photo in enumerate(first_photographs(config, 4)):
        painting = jnp.asarray(scaled_style(config, styles[number % 3]))
        targets = make_targets(
            record,
            apply(NETWORK, photo, record.used_content_layers),
            apply(NETWORK, painting, record.used_style_layers),
        )
        losses.append(float(objective(record, apply, NETWORK, targets)(photo)[0]))
    assert {progress.unchanged for progress in seen} == {seen[0].unchanged}
    np.testing.assert_allclose(seen[0].unchanged, np.mean(losses), rtol=1e-5)
    assert [progress.sample and progress.sample.name for progress in seen] == [
        *(None, "step-0000002.jpg", None, "step-0000004.jpg")
    ]
    assert all(progress.sample is None or progress.sample.is_file() for progress in seen)


def test_when_samples_are_made() -> None:
    due = {
        steps: [s for s in range(1, steps + 1) if Cadence().samples_due(s, steps)]
        for steps in (3, 45, 40_000)
    }
    assert due[3] == [1, 2, 3]
    assert due[45] == [*range(4, 45, 4), 45]
    assert due[40_000] == list(range(500, 40_001, 500))
    assert [s for s in range(1, 11) if Cadence(sample_every=4).samples_due(s, 10)] == [4, 8, 10]
    assert not any(Cadence(sample_every=0).samples_due(s, 10) for s in range(1, 11))


def test_training_without_a_style_loss_has_the_content_loss_alone() -> None:
    record = dataclasses.replace(CONFIG.objective, style_weight=0.0, content_weight=1.0, tv_weight=0.0)
    config = dataclasses.replace(CONFIG, objective=record, steps=20)
    seen: list[TrainProgress] = []
    train(config, STYLE, NETWORK, callback=seen.append)  # type: ignore[arg-type]
    assert seen[0].unchanged == 0  # the content loss of an unchanged photograph
    assert 0 < seen[-1].loss < seen[9].loss  # the first loss is shown at step 10


def test_the_loss_of_the_unchanged_photograph_includes_the_grid_loss() -> None:
    config = dataclasses.replace(CONFIG, grid_weight=50.0)
    targets = style_targets(config, NETWORK, STYLE)
    side = config.data.size
    stripes = np.zeros((1, side, side, 3), np.float32)
    stripes[:, :, :: config.generator.plan().multiple] = 0.5
    plain = dataclasses.replace(config, grid_weight=0.0)
    more = unchanged_loss(config, NETWORK, targets, stripes) - unchanged_loss(
        plain, NETWORK, targets, stripes
    )
    np.testing.assert_allclose(more, 50 * grid_loss(stripes, config.generator.plan().multiple), rtol=1e-4)
    assert more > 1
