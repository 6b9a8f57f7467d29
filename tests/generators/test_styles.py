"""Generators of several styles: selection, blending, addition, storage, and training."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.data import Batch
from nstjax.generators import JohnsonConfig, UlyanovConfig, blend_styles, draw_noise, generate
from nstjax.generators.store import Generator, read_generator, save_generator
from nstjax.generators.styles import join_styles, select_style, style_names, style_weights, with_styles
from nstjax.images.display import read_thumbnail, thumbnail
from nstjax.inference import stylize
from nstjax.training import TrainConfig, train
from nstjax.training.state import TrainState, init_state, make_optimizer
from nstjax.training.step import batch_loss, make_apply, style_numbers, targets_of_styles, train_step
from tests.helpers.generators import shuffled
from tests.helpers.training import CONFIG, NETWORK, STYLE, assert_same_bits

THREE = JohnsonConfig(width=0.125, residual_blocks=1, upsampling="nearest", styles=3)
NAMES = [{"name": name} for name in ("waves", "knife", "glass")]
STYLES = [STYLE, 1 - STYLE, STYLE[:, ::-1] ** 2]


@pytest.fixture(scope="module")
def gallery() -> Generator:
    return Generator(THREE, shuffled(THREE), {"styles": NAMES})


def photographs(count: int = 2, side: int = 16) -> jax.Array:
    return jax.random.uniform(jax.random.key(3), (count, side, side, 3))


@pytest.mark.parametrize("config", [THREE, UlyanovConfig(norm="instance", scales=2, channels=2, styles=3)])
def test_each_image_has_its_own_blend(config: JohnsonConfig | UlyanovConfig) -> None:
    """A batch with a blend for each image equals single images from generators of one style."""
    variables, images = shuffled(config), photographs()
    noise = draw_noise(config, jax.random.split(jax.random.key(0), 2), 16, 16)
    weights = jnp.asarray([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    together = generate(config, variables, images, noise, style=weights)
    for i, row in enumerate(weights):
        one = blend_styles(config, variables, row)
        alone = generate(*one, images[i : i + 1], [z[i : i + 1] for z in noise])
        np.testing.assert_allclose(together[i : i + 1], alone, atol=2e-5)
    assert float(jnp.abs(together[0] - together[1]).max()) > 1e-3


def test_styles_are_named_by_name_number_and_weight(gallery: Generator) -> None:
    assert style_names(gallery) == ("waves", "knife", "glass")
    for spec, weights in {
        "knife": (0, 1, 0),
        "3": (0, 0, 1),
        "waves:1,glass:3": (0.25, 0, 0.75),
        "1:0.5, 2:0.5": (0.5, 0.5, 0),
        "waves,waves": (1, 0, 0),
    }.items():
        np.testing.assert_allclose(style_weights(gallery, spec), weights)
    dotted = dataclasses.replace(
        gallery, record={"styles": [{"name": "oil.v1"}, {"name": "oil.v2"}, {"name": "c"}]}
    )
    assert style_names(dotted) == ("oil.v1", "oil.v2", "c")
    np.testing.assert_allclose(style_weights(dotted, "oil.v2"), (0, 1, 0))
    earlier = Generator(dataclasses.replace(THREE, styles=1), {}, {"style": {"name": "wave.jpg"}})
    assert style_names(earlier) == ("wave",)
    for spec, said in {
        "monet": "no style 'monet': its styles are 1 waves, 2 knife, 3 glass",
        "4": "no style '4'",
        "0": "no style '0'",
        "knife:0": "the weights are all 0",
        "knife:-1": "it must be a number, 0 or more",
        "knife:nan": "it must be a number, 0 or more",
        "": "has a part without a name",
    }.items():
        with pytest.raises(nstjax.InputError, match=said):
            style_weights(gallery, spec)


def test_a_selected_style_is_that_style(gallery: Generator) -> None:
    photo = np.asarray(photographs(1, 24))
    found = stylize(gallery, photo, style="waves:1,glass:3", tile=0)
    weights = jnp.asarray([0.25, 0, 0.75])
    want = generate(gallery.config, gallery.variables, photo, style=weights).clip(0, 1)
    np.testing.assert_allclose(found, want, atol=2e-5)
    np.testing.assert_allclose(stylize(gallery, photo, style=[0.25, 0, 0.75], tile=16), want, atol=1e-4)
    assert select_style(gallery, "glass").record["selected"] == {"glass": 1.0}
    with pytest.raises(nstjax.InputError, match="the generator has 3 styles, waves, knife, glass"):
        stylize(gallery, photo)
    np.testing.assert_array_equal(stylize(gallery, photo, style=[1, 0, 3], tile=0), found)
    with pytest.raises(nstjax.InputError, match="give 3, one for each style"):
        stylize(gallery, photo, style=[1.0, 0.0])
    for weights in ([0.0, 0.0, 0.0], [1.0, -2.0, 0.0], [float("nan"), 1, 0]):
        with pytest.raises(nstjax.InputError, match="the sum of the weights must be positive"):
            stylize(gallery, photo, style=weights)
    with pytest.raises(
        nstjax.InputError, match="`style` is missing: give weights of the generator's 3 styles"
    ):
        generate(gallery.config, gallery.variables, photo)
    single = select_style(gallery, "1")
    with pytest.raises(nstjax.InputError, match="`style` must be None"):
        generate(single.config, single.variables, photo, style=jnp.ones(1))


def test_a_gallery_is_stored(gallery: Generator, tmp_path: Path) -> None:
    save_generator(tmp_path / "g", gallery.config, gallery.variables, gallery.record)
    found = read_generator(tmp_path / "g")
    assert (found.config, style_names(found)) == (gallery.config, style_names(gallery))
    assert_same_bits(found.variables["params"], gallery.variables["params"])


def test_styles_are_added(gallery: Generator) -> None:
    photo = photographs(1)
    start = with_styles(gallery, 2)
    mean = generate(gallery.config, gallery.variables, photo, style=jnp.full(3, 1 / 3))
    for row in jnp.eye(2):
        np.testing.assert_allclose(generate(start.config, start.variables, photo, style=row), mean, atol=2e-5)
    joined = join_styles(
        gallery, dataclasses.replace(start, record={"styles": [{"name": "a"}, {"name": "b"}]})
    )
    assert style_names(joined) == ("waves", "knife", "glass", "a", "b")
    for number in range(3):
        old = generate(gallery.config, gallery.variables, photo, style=jnp.eye(3)[number])
        new = generate(joined.config, joined.variables, photo, style=jnp.eye(5)[number])
        np.testing.assert_array_equal(old, new)
    other = Generator(THREE, shuffled(THREE, seed=5), {"styles": NAMES})
    with pytest.raises(nstjax.InputError, match="different convolutions"):
        join_styles(gallery, other)
    wider = Generator(dataclasses.replace(THREE, width=0.25), gallery.variables, {})
    with pytest.raises(nstjax.InputError, match="different networks"):
        join_styles(gallery, wider)


@pytest.mark.parametrize("config", [JohnsonConfig, UlyanovConfig])
def test_batch_normalization_has_one_style(config: type[JohnsonConfig] | type[UlyanovConfig]) -> None:
    with pytest.raises(nstjax.InputError, match="needs instance normalization"):
        config(norm="batch", styles=2)
    with pytest.raises(nstjax.InputError, match="`styles` is 0"):
        config(norm="instance", styles=0)


def test_a_thumbnail_is_the_middle_of_the_image() -> None:
    image = np.zeros((1, 40, 100, 3), np.float32)
    image[:, :, 30:70] = (1.0, 0.5, 0.0)
    found = read_thumbnail(thumbnail(image))
    assert found.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(found.mean((0, 1, 2)), (1.0, 0.5, 0.0), atol=0.02)
    for damaged in ("", "data:image/jpeg;base64,AAAA", "x" * 100, "data:image/jpeg;base64,é"):
        with pytest.raises(nstjax.InputError, match="a thumbnail is damaged"):
            read_thumbnail(damaged)


SEVERAL = dataclasses.replace(CONFIG, generator=THREE)


def test_the_styles_take_turns() -> None:
    """Over some steps every style has the same number of images, whatever the size of the batch."""
    for batch in (1, 2, 3, 4, 7):
        config = dataclasses.replace(SEVERAL, data=dataclasses.replace(CONFIG.data, batch_size=batch))
        numbers = [style_numbers(config, jnp.int32(step), jnp.arange(batch)) for step in range(6)]
        assert np.bincount(np.concatenate(numbers), minlength=3).tolist() == [2 * batch] * 3
    large = style_numbers(SEVERAL, jnp.int32(2**31 - 1), jnp.arange(4))
    np.testing.assert_array_equal(large, (((2**31 - 1) * 4) + np.arange(4)) % 3)


def test_the_loss_of_a_batch_is_the_mean_of_each_image_s_own() -> None:
    images, photos = photographs(3), photographs(3) ** 2
    targets = targets_of_styles(SEVERAL, NETWORK, STYLES)
    apply, record = make_apply(SEVERAL), SEVERAL.objective
    chosen = jnp.asarray([2, 0, 2])
    value, _ = batch_loss(record, apply, NETWORK, targets, images, photos, chosen)
    alone = [
        batch_loss(
            record,
            apply,
            NETWORK,
            targets_of_styles(CONFIG, NETWORK, [STYLES[number]]),
            images[i : i + 1],
            photos[i : i + 1],
        )[0]
        for i, number in enumerate(chosen)
    ]
    np.testing.assert_allclose(value, np.mean(alone), rtol=1e-5)
    assert np.std(alone) > 0.01 * np.mean(alone)


def test_targets_of_unequal_shapes_are_refused() -> None:
    points = dataclasses.replace(CONFIG.objective, style_statistic="gaussian", kernel_samples=0)
    config = dataclasses.replace(SEVERAL, objective=points)
    with pytest.raises(nstjax.InputError, match="the targets of several style images differ in shape"):
        targets_of_styles(config, NETWORK, [STYLE, STYLE[:, :10]])


def test_only_the_normalizations_are_trained() -> None:
    config = dataclasses.replace(SEVERAL, parameters="norms")
    targets = targets_of_styles(config, NETWORK, STYLES)
    batch = Batch(photographs(4), jnp.arange(4))

    def stepped(config: TrainConfig) -> tuple[TrainState, TrainState, float]:
        state, optimizer = init_state(config, shuffled(THREE)), make_optimizer(config)
        after, metrics = jax.jit(lambda s: train_step(config, optimizer, s, NETWORK, targets, batch))(state)
        return state, after, float(metrics["loss"])

    state, after, loss = stepped(config)
    for name, leaves in state.params.items():
        for key, leaf in leaves.items():
            same = np.array_equal(leaf, after.params[name][key])
            assert same != name.endswith("_norm"), (name, key)
    _, all_of_it, same_loss = stepped(dataclasses.replace(config, parameters="all"))
    assert loss == pytest.approx(same_loss, rel=1e-6)
    for (
        name,
        leaves,
    ) in after.params.items():  # the first step of Adam depends on the sign of the gradient alone
        if name.endswith("_norm"):
            np.testing.assert_allclose(leaves["scale"], all_of_it.params[name]["scale"], atol=2e-4)


@pytest.mark.slow
def test_a_run_of_several_styles_and_one_that_adds_a_style(tmp_path: Path) -> None:
    config = dataclasses.replace(SEVERAL, steps=4)
    about = {"styles": NAMES}
    gallery = train(config, STYLES, NETWORK, tmp_path / "a", about=about)
    assert style_names(gallery) == ("waves", "knife", "glass")
    half = dataclasses.replace(config, schedule="constant")
    stopped = train(half, STYLES, NETWORK, tmp_path / "b", lambda p: p.step == 2, about=about)
    assert stopped.record["steps"] == 2
    resumed = train(half, STYLES, NETWORK, tmp_path / "b", about=about)
    assert_same_bits(resumed.variables, gallery.variables)

    start = with_styles(gallery, 1)
    one = dataclasses.replace(config, generator=start.config, parameters="norms")
    added = train(
        one,
        STYLE,
        NETWORK,
        tmp_path / "c",
        about={"styles": [{"name": "new"}]},
        start=start.variables,
        finish=lambda trained: join_styles(gallery, trained),
    )
    assert style_names(added) == ("waves", "knife", "glass", "new")
    assert style_names(read_generator(tmp_path / "c" / "model")) == style_names(added)
    photo = np.asarray(photographs(1))
    np.testing.assert_array_equal(
        stylize(added, photo, style="knife", tile=0), stylize(gallery, photo, style="knife", tile=0)
    )
    assert (
        np.abs(stylize(added, photo, style="new") - stylize(gallery, photo, style=[1 / 3] * 3)).max() > 1e-4
    )
    with pytest.raises(nstjax.InputError, match="`styles` is 3 and there are 2 style images"):
        train(config, STYLES[:2], NETWORK)


def test_added_styles_get_names_of_their_own(gallery: Generator) -> None:
    two = dataclasses.replace(THREE, styles=2)
    start = with_styles(gallery, 2)
    second = Generator(two, start.variables, {"styles": [{"name": "waves"}, {"name": "waves-2"}]})
    joined = join_styles(gallery, second)
    assert style_names(joined) == ("waves", "knife", "glass", "waves-2", "waves-2-2")
    np.testing.assert_array_equal(style_weights(joined, "waves-2"), np.eye(5)[3])


def test_names_with_commas_and_tiny_weights(gallery: Generator) -> None:
    named = Generator(THREE, gallery.variables, {"styles": [{"name": n} for n in ("red,blue", "red", "a:1")]})
    np.testing.assert_array_equal(style_weights(named, "red,blue"), [1, 0, 0])
    np.testing.assert_array_equal(style_weights(named, "a:1"), [0, 0, 1])
    np.testing.assert_array_equal(style_weights(named, "red:1e-50"), [0, 1, 0])
    np.testing.assert_allclose(style_weights(named, "red:1e-50,a:1:3e-50"), [0, 0.25, 0.75])
