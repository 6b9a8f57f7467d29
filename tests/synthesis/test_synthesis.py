"""The transfer: scales, starts, resumption, stopping, failure, and its record."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax import TransferConfig
from nstjax.losses import Objective
from nstjax.optim import Adam, Lbfgs, OptaxLbfgs, ScipyLbfgsb, Sgd
from nstjax.synthesis import PRESETS, TransferFailed, transfer
from nstjax.synthesis.pyramid import content_at, first_image, style_at

RECORD = Objective(("relu1_2",), ("relu1_1", "relu2_1"))
QUICK = TransferConfig(objective=RECORD, optimizer=Lbfgs(iterations=6), scales=(16, 24, 32))


def test_result_has_the_size_asked_and_the_content_s_aspect_ratio(small, pictures) -> None:
    result = transfer(*pictures, small, QUICK)
    assert result.image.shape == (1, 24, 32, 3)
    assert result.image.dtype == np.float32
    assert result.image.min() >= 0
    assert result.image.max() <= 1
    assert [entry.scale for entry in result.history] == [0] * 6 + [1] * 6 + [2] * 6
    assert result.status == "done"


def test_loss_falls_at_every_scale_and_the_picture_takes_the_style(small, pictures) -> None:
    content, style = pictures
    result = transfer(content, style, small, dataclasses.replace(QUICK, optimizer=Lbfgs(iterations=40)))
    for scale in range(3):
        losses = [entry.loss for entry in result.history if entry.scale == scale]
        assert losses[-1] < losses[0]
    photo, painting = content_at(content, 32), style_at(style, 32, QUICK)

    def distance(image) -> float:
        grams = [
            nstjax.losses.gram_matrix(nstjax.features(small, i, ("relu2_1",))["relu2_1"], "positions")
            for i in (image, painting)
        ]
        return float(nstjax.losses.style_loss(*grams, "relative"))

    assert distance(jnp.asarray(result.image)) < 0.5 * distance(photo)


def test_automatic_pyramid() -> None:
    assert TransferConfig(size=512).pyramid() == (128, 256, 512)
    assert TransferConfig(size=700).pyramid() == (175, 350, 700)
    assert TransferConfig(size=255).pyramid() == (255,)
    assert TransferConfig(size=40).pyramid() == (40,)
    assert TransferConfig(scales=(3, 9)).pyramid() == (3, 9)


def test_iterations_by_scale() -> None:
    config = TransferConfig(scales=(16, 32), iterations=(5, 7))
    assert [config.optimizer_at(i).iterations for i in range(2)] == [5, 7]
    config = TransferConfig(scales=(16, 32), iterations=(5,))
    assert [config.optimizer_at(i).iterations for i in range(2)] == [5, 5]
    assert TransferConfig(optimizer=Lbfgs(iterations=9)).optimizer_at(1).iterations == 9


def test_style_image_scales_with_the_content_or_on_its_own_and_is_never_enlarged(pictures) -> None:
    _, style = pictures  # 56×48
    assert style_at(style, 28, TransferConfig()).shape == (1, 28, 24, 3)
    assert style_at(style, 28, TransferConfig(style_scale=0.5)).shape == (1, 14, 12, 3)
    assert style_at(style, 28, TransferConfig(style_size=42)).shape == (1, 42, 36, 3)
    assert style_at(style, 512, TransferConfig()).shape == (1, 56, 48, 3)


def test_starts(pictures) -> None:
    content, style = (jnp.asarray(p) for p in pictures)
    at = {
        init: first_image(TransferConfig(init=init, seed=3), content.shape[1:3], content, style, style)
        for init in ("content", "noise", "style", "image")
    }
    assert {image.shape for image in at.values()} == {content.shape}
    np.testing.assert_array_equal(at["content"], content)
    np.testing.assert_array_equal(at["style"], at["image"])
    noise = np.asarray(at["noise"])
    assert abs(noise.mean() - 0.5) < 0.02
    assert noise.var() == pytest.approx(1 / 12, rel=0.05)
    assert abs(np.corrcoef(noise[0, :, :-1, 0].ravel(), noise[0, :, 1:, 0].ravel())[0, 1]) < 0.1
    faint = first_image(
        TransferConfig(init="noise", noise=0.1, seed=3), content.shape[1:3], content, style, None
    )
    np.testing.assert_allclose(faint - 0.5, 0.1 * (noise - 0.5), atol=1e-6)
    other = first_image(TransferConfig(init="noise", seed=4), content.shape[1:3], content, style, None)
    assert not np.array_equal(other, noise)
    with pytest.raises(nstjax.InputError, match="`init`"):
        first_image(TransferConfig(init="image"), content.shape[1:3], content, style, None)


def test_same_seed_same_picture(small, pictures) -> None:
    config = dataclasses.replace(QUICK, init="noise", seed=7)
    first, second = (transfer(*pictures, small, config).image for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, transfer(*pictures, small, dataclasses.replace(config, seed=8)).image)


OPTIMIZERS = {
    "lbfgs": Lbfgs(iterations=5),
    "optax-lbfgs": OptaxLbfgs(iterations=5),
    "scipy": ScipyLbfgsb(iterations=2, rounds=3),
    "adam": Adam(iterations=5, average=0.9, bounds=(0.0, 1.0)),
    "sgd": Sgd(iterations=5, learning_rate=1e-4),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_resuming_from_any_iteration_gives_the_same_bits(small, pictures, optimizer) -> None:
    config = dataclasses.replace(QUICK, optimizer=optimizer, scales=(16, 24))
    states = []
    whole = transfer(*pictures, small, config, lambda p: states.append(p.state()) and None)
    for state in states[1::3]:
        again = transfer(*pictures, small, config, resume=state)
        np.testing.assert_array_equal(again.image, whole.image)
        assert [e.loss for e in again.history] == [e.loss for e in whole.history]
        assert [e.iteration for e in again.history] == [e.iteration for e in whole.history]
        assert again.history[-1].evaluations == whole.history[-1].evaluations


def test_adam_s_moments_reach_the_next_scale(small, pictures) -> None:
    optimizer = Adam(iterations=4)
    counts = []

    def look(progress) -> None:
        leaves = progress.state().saved.leaves
        counts.append(int(next(leaf for leaf in leaves if np.issubdtype(np.asarray(leaf).dtype, np.integer))))

    transfer(*pictures, small, dataclasses.replace(QUICK, optimizer=optimizer, scales=(16, 24)), look)
    assert counts == list(range(1, 9))


def test_callback_is_told_and_can_stop(small, pictures) -> None:
    seen = []

    def callback(progress) -> bool:
        seen.append(progress)
        return len(seen) == 8

    result = transfer(*pictures, small, QUICK, callback)
    assert result.status == "stopped"
    assert len(result.history) == 8
    assert result.image.shape == (1, 18, 24, 3)
    np.testing.assert_array_equal(seen[-1].image(), result.image)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].size == (18, 24)
    for progress in seen:
        assert sum(progress.entry.terms.values()) == pytest.approx(progress.entry.loss, rel=1e-5)
        assert set(progress.entry.terms) == {"content/relu1_2", "style/relu1_1", "style/relu2_1", "tv"}


def test_clamping_each_step(small, pictures) -> None:
    wild = Adam(iterations=5, learning_rate=0.5, bounds=(0.0, 1.0))
    raw = []
    config = dataclasses.replace(QUICK, scales=(16,), optimizer=wild)
    transfer(*pictures, small, config, lambda p: raw.append(p.state().saved.leaves[0]) and None)
    assert all(x.min() >= 0 and x.max() <= 1 for x in raw)


def test_a_loss_that_becomes_infinite_keeps_the_last_good_image(small, pictures) -> None:
    for rate, improved in ((1e18, False), (10.0, True)):
        config = dataclasses.replace(QUICK, optimizer=Sgd(iterations=50, learning_rate=rate), scales=(16,))
        with pytest.raises(TransferFailed, match="at scale 16: the loss is not finite") as caught:
            transfer(*pictures, small, config)
        assert (caught.value.image is not None) == improved  # before the first step there is none
        assert caught.value.image is None or np.isfinite(caught.value.image).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones((4, 4, 3)), r"content image has shape \(4, 4, 3\)"),
        (np.ones((2, 4, 4, 3)), "content image has shape"),
        (np.full((1, 4, 4, 3), np.nan), "not finite"),
        (np.ones((1, 1, 40, 3)), "16×1 pixels is too small for layer relu2_1"),
    ],
)
def test_images_that_cannot_be_used_are_refused(small, pictures, content, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        transfer(content, pictures[1], small, QUICK)


def test_layers_follow_the_network(small) -> None:
    from tests.helpers.networks import random_backbone

    def chosen(backbone) -> tuple:
        o = TransferConfig().for_backbone(backbone).objective
        return o.content_layers, o.style_layers

    assert chosen(small) == (("relu1_2",), ("relu1_1", "relu2_1"))
    three = ("relu1_1", "relu2_1", "relu3_1")
    assert chosen(random_backbone("vgg19", 8)) == (("relu3_2",), three)
    assert chosen(random_backbone("vgg19", 16)) == (("relu4_2",), (*three, "relu4_1", "relu5_1"))
    assert chosen(random_backbone("vgg19", 1)) == (("relu1_1",), ("relu1_1",))
    with pytest.raises(nstjax.InputError, match="none of the default content layers"):
        TransferConfig().objective.for_layers(("relu2_1",))
    named = TransferConfig(objective=RECORD).for_backbone(small)
    assert named.objective == dataclasses.replace(RECORD, style_weight=named.objective.style_weight)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    config = PRESETS[name]
    assert TransferConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "unknown field 'colour'"),
        ({"size": "big"}, "TransferConfig.size is 'big', not a number"),
        ({"optimizer": {"method": "newton"}}, "'newton'"),
        ({"optimizer": {"method": "adam", "momentum": 1}}, "unknown field 'momentum'"),
        ({"objective": {"style_weight": -1}}, "`style_weight`"),
    ],
)
def test_records_that_cannot_be_read_are_refused(change: dict, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        TransferConfig.from_json({**TransferConfig().to_json(), **change})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "`size` is 0"),
        ({"size": 10**6}, "`size`"),
        ({"scales": (32, 16)}, "must grow"),
        ({"scales": 32}, "`scales` is 32: it must be a tuple"),
        ({"iterations": [5]}, "`iterations` is .*: it must be a tuple"),
        ({"scales": (16, 32), "iterations": (1, 2, 3)}, "3 values for 2 scales"),
        ({"iterations": (0,)}, "`iterations`"),
        ({"style_scale": 0}, "`style_scale`"),
        ({"style_size": -4}, "`style_size`"),
        ({"noise": 2}, "`noise`"),
        ({"pooling_scale": 0}, "`pooling_scale`"),
        ({"pooling": "median"}, "`pooling`"),
        ({"padding": "mirror"}, "`padding`"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        TransferConfig(**values)


def test_extra_terms_are_added_at_every_scale_and_a_content_loss_of_one_s_own_is_the_built_in_one(
    small, pictures
) -> None:
    content, style = pictures
    record = Objective(("relu2_1",), ("relu1_1",), 2.0, 5.0, 0.0, content_loss="mean")
    config = dataclasses.replace(QUICK, objective=record, scales=(32,))
    kept = nstjax.features(small, content_at(content, 32), ("relu2_1",), padding=config.padding)["relu2_1"]

    def own(image):
        found = nstjax.features(small, image, ("relu2_1",), padding=config.padding)["relu2_1"]
        return 2.0 * ((found - kept) ** 2).mean()

    without = dataclasses.replace(config, objective=dataclasses.replace(record, content_weight=0.0))
    built_in = transfer(content, style, small, config)
    mine = transfer(content, style, small, without, extra_terms={"mine": own})
    assert mine.history[-1].terms["mine"] == pytest.approx(
        built_in.history[-1].terms["content/relu2_1"], rel=1e-3
    )
    np.testing.assert_allclose(mine.image, built_in.image, atol=1e-3)

    def dark(image):
        return 3000.0 * (image**2).mean()

    darker = transfer(content, style, small, QUICK, extra_terms={"dark": dark})
    assert darker.image.mean() < 0.8 * transfer(content, style, small, QUICK).image.mean()
    assert all("dark" in entry.terms for entry in darker.history)
    with pytest.raises(nstjax.InputError, match="'style/x' has the name of a built-in term"):
        transfer(content, style, small, QUICK, extra_terms={"style/x": dark})
