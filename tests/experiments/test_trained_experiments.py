"""The experiments with trained generators: their measures, their settings, and a whole pass at a toy size."""

import dataclasses
import importlib
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import nstjax
from experiments import trained as trained_module
from experiments.duke_ulyanov import settings as duke_settings
from experiments.duke_ulyanov.measures import (
    coarse_correlation,
    detail_kept,
    histogram_distance,
    own_statistics,
    sample_distance,
)
from experiments.realtime import settings as realtime_settings
from experiments.realtime.measures import Descent, at_time, descend, loss_of, pictures_to_pay
from experiments.trained import TrainArguments, TrainLab
from nstjax.generators import JohnsonConfig, UlyanovConfig, init_generator
from nstjax.generators.store import Generator
from nstjax.inference import stylize
from nstjax.optim import Lbfgs
from nstjax.training import TrainingFailed
from nstjax.training.step import batch_loss, make_apply, style_targets
from nstjax.weights.store import save_backbone
from tests.helpers.networks import random_backbone


def test_histograms_are_of_colours_and_not_of_places() -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(1, 20, 20, 3)).astype(np.float32)
    shuffled = rng.permutation(image.reshape(-1, 3)).reshape(1, 10, 40, 3)
    assert histogram_distance(image, shuffled) == pytest.approx(0)
    black, white = np.zeros((1, 4, 4, 3)), np.ones((1, 4, 4, 3))
    assert histogram_distance(black, white) == pytest.approx(1)
    half = np.concatenate([black, white], 1)
    assert histogram_distance(black, half) == pytest.approx(0.5)


def test_sample_distance_is_one_for_independent_pictures() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.uniform(size=(2, 1, 64, 64, 3))
    assert sample_distance(one, one) == 0
    assert sample_distance(one, other) == pytest.approx(1, abs=0.05)


def test_flat_pictures_keep_nothing() -> None:
    photo = np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype(np.float32)
    orange = np.broadcast_to(np.float32([1, 0.5, 0]), photo.shape)
    assert detail_kept(orange, photo) == 0
    assert detail_kept(photo, photo) == pytest.approx(1)
    assert coarse_correlation(np.zeros_like(photo), photo) == 0
    assert coarse_correlation(photo, photo) == pytest.approx(1)
    assert sample_distance(orange * 0, orange * 0) == 0


def test_batch_normalisation_by_one_picture_is_instance_normalisation() -> None:
    """At batches of one the report's training and instance normalisation are the same."""
    config = UlyanovConfig(scales=3, channels=4)
    variables = init_generator(config, jax.random.key(1))
    photo = np.random.default_rng(0).uniform(size=(1, 24, 32, 3)).astype(np.float32)
    mine = own_statistics(Generator(config, variables, {}), photo, seed=5)
    instance = Generator(dataclasses.replace(config, norm="instance"), {**variables, "batch_stats": {}}, {})
    np.testing.assert_allclose(mine, stylize(instance, photo, seed=5), atol=2e-5)


def test_duke_s_layers_are_the_report_s_where_the_weights_have_them() -> None:
    first = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    config = duke_settings.config(
        random_backbone("vgg19", 5), duke_settings.Size(128, 2, 2, 2), "photographs"
    )
    assert config.objective.style_layers == first
    assert config.objective.content_layers == ("conv2_2",)
    assert (config.learning_rate, config.schedule, config.data.batch_size) == (0.1, "constant", 1)
    embedded = nstjax.load_backbone("embedded-v1")
    config = duke_settings.config(
        embedded, duke_settings.Size(128, 2, 2, 2), "photographs", reported=False
    ).for_backbone(embedded)
    assert config.objective.style_layers == ("relu1_1", "relu2_1", "relu3_1")
    assert config.schedule == "exponential"
    assert (duke_settings.FULL_SIDE, duke_settings.FULL_STEPS) == (256, 10_800)


def test_the_sky_at_night_is_dark_and_blue_with_stars() -> None:
    sky = duke_settings.night_sky(64)
    assert sky.shape == (1, 64, 64, 3)
    assert sky.min() >= 0
    assert 0.5 < sky.max() <= 1
    assert sky.mean() < 0.25
    assert sky[..., 2].mean() > 1.3 * sky[..., 0].mean()
    np.testing.assert_array_equal(sky, duke_settings.night_sky(64))


def _transfer(iterations: int) -> nstjax.TransferConfig:
    objective = nstjax.losses.Objective(style_weight=180.0, tv_weight=1.0)
    optimizer = Lbfgs(iterations=iterations)
    return nstjax.TransferConfig(
        objective=objective, optimizer=optimizer, size=32, scales=(32,), pooling="average"
    )


def test_generators_are_judged_by_what_transfer_minimises(pictures) -> None:
    backbone = random_backbone("vgg19", 5)
    photo, style = 0.3 + 0.4 * pictures[0], pictures[1]  # so that nothing is clamped
    config = _transfer(2)
    result = nstjax.transfer(photo, style, backbone, config)
    loss = loss_of(config, backbone, photo, style)
    assert result.image.min() > 0
    assert result.image.max() < 1
    assert loss(result.image) == pytest.approx(result.history[-1].loss, rel=1e-4)


def test_a_descent_begins_with_its_start(pictures) -> None:
    backbone = random_backbone("vgg19", 3)
    small = np.asarray(nstjax.images.resize(pictures[0], 24, 32)).clip(0, 1)
    plain = descend(_transfer(3), backbone, small, pictures[1], marks=(0, 2))
    assert len(plain.losses) == len(plain.seconds) == 4
    np.testing.assert_array_equal(plain.pictures[0], small)
    assert plain.losses[0] == pytest.approx(loss_of(_transfer(3), backbone, small, pictures[1])(small))
    assert plain.losses[3] < plain.losses[0]
    onward = descend(_transfer(3), backbone, small, pictures[1], plain.pictures[2])
    assert plain.seconds == pytest.approx([i * plain.seconds[1] for i in range(4)])
    assert onward.losses[0] == pytest.approx(plain.losses[2], rel=1e-5)


def test_the_trainings_of_realtime_minimize_what_the_optimization_minimizes(
    pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_settings, "SIDE", 64)
    embedded = nstjax.load_backbone("embedded")
    photo, style, image = (
        np.asarray(nstjax.images.resize(x, 64, 64)).clip(0, 1) for x in (*pictures, 1 - pictures[0])
    )
    judged = dataclasses.replace(realtime_settings.per_image(), padding="zeros")  # as in a training
    expected = loss_of(judged, embedded, photo, style)(image)
    for size in (realtime_settings.SMALL, realtime_settings.FULL):
        for kind in size.generators:
            config = realtime_settings.training(kind, size, "photographs").for_backbone(embedded)
            targets = style_targets(config, embedded, style)
            found, _ = batch_loss(config.objective, make_apply(config), embedded, targets, image, photo)
            assert float(found) == pytest.approx(expected, rel=1e-4)


def test_what_pays() -> None:
    descent = Descent((8.0, 4.0, 2.0), (0.0, 1.0, 2.5), {})
    assert [descent.reaches(loss) for loss in (9.0, 4.0, 3.0, 1.0)] == [0, 1, 2, None]
    assert [at_time(descent, seconds) for seconds in (0.5, 1.0, 9.0)] == [8.0, 4.0, 2.0]
    assert pictures_to_pay(100.0, 1.0, 5.0) == 25
    assert pictures_to_pay(100.0, 1.0, 1.0) == float("inf")


@pytest.fixture
def material(tmp_path: Path, pictures) -> TrainArguments:
    """Pictures, photographs and weights of a toy size."""
    for kind, names in (
        ("content", ("golden_gate", "tubingen", "timber_houses")),
        ("style", ("starry_night", "great_wave")),
    ):
        (tmp_path / kind).mkdir()
        for i, name in enumerate(names):
            nstjax.save_image(tmp_path / kind / f"{name}.png", pictures[(kind == "style")] ** (1 + i))
    (tmp_path / "photographs").mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        nstjax.save_image(tmp_path / "photographs" / f"{i}.png", rng.uniform(size=(1, 40, 48, 3)))
    save_backbone(random_backbone("vgg19", 5), tmp_path / "store")
    return TrainArguments(
        weights=str(tmp_path / "store"),
        images=tmp_path,
        out=tmp_path / "out",
        photographs=tmp_path / "photographs",
        steps=2,
    )


def test_photographs_held_out_are_never_trained_on(material: TrainArguments) -> None:
    lab = TrainLab(material, material.images)
    chosen, apart = lab.choose_photographs(10, 2)
    assert (len(chosen), len(apart)) == (4, 2)
    assert not set(chosen) & set(apart)
    assert {path.name.split("_", 1)[1] for path in lab.links(chosen).iterdir()} == {p.name for p in chosen}
    squares = lab.squares(3, 16)
    shapes = [nstjax.load_image(path).shape for path in squares.iterdir()]
    assert shapes == [(1, 16, 16, 3)] * 3
    for path in material.photographs.rglob(
        "*.*"
    ):  # other photographs with the same names are not those made before
        nstjax.save_image(path, np.full((1, 20, 20, 3), 0.5, np.float32))
    assert lab.squares(3, 16) != squares
    with pytest.raises(nstjax.InputError, match="6 photographs, and 6 are held out"):
        lab.choose_photographs(1, 6)


@pytest.mark.slow
def test_a_training_is_cached_and_a_failure_is_reported(
    material: TrainArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = TrainLab(material, material.images)
    style = lab.picture("style", "starry_night")
    config = duke_settings.config(lab.backbone, duke_settings.Size(16, 2, 2, 2), str(lab.squares(4, 16)))
    small = UlyanovConfig(scales=2, channels=2)
    config = dataclasses.replace(config, generator=small)
    first = lab.train("toy", config, style)
    assert first.failure == ""
    assert lab.results["toy"]["steps"] == len(first.lines) == 2
    monkeypatch.setattr(trained_module, "train", lambda *_, **__: pytest.fail("trained again"))
    again = lab.train("toy", config, style)
    jax.tree.map(np.testing.assert_array_equal, first.generator.variables, again.generator.variables)
    losses = lab.losses_of(config, style, style, style)
    assert losses["content"] == pytest.approx(0, abs=1e-6)

    def fail(*_: object, **__: object) -> None:
        raise TrainingFailed("the loss is nan")

    monkeypatch.setattr(trained_module, "train", fail)
    failed = lab.train("toy", dataclasses.replace(config, learning_rate=1e9), style)
    assert failed.generator is None
    assert failed.failure == "the loss is nan"


@pytest.mark.toy
@pytest.mark.parametrize("name", ["duke_ulyanov", "realtime"])
def test_trained_experiments_make_their_figures_at_a_toy_size(
    material: TrainArguments, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = importlib.import_module(f"experiments.{name}.__main__")
    if name == "duke_ulyanov":
        for constant, value in (("SIDE", 32), ("SCALES", 2), ("TEXTURE_SCALES", 2)):
            monkeypatch.setattr(duke_settings, constant, value)
        figures = ("norms.jpg", "rates.png", "figure_2.jpg", "figure_4.jpg", "figure_6.jpg", "figure_8.jpg")
        figures = (*figures, "texture.jpg")
    else:
        small = {
            "johnson": JohnsonConfig(width=1 / 16, residual_blocks=1),
            "ulyanov": UlyanovConfig("instance", scales=2),
        }
        toy = dataclasses.replace(realtime_settings.SMALL, crop=32, generators=small, starts={})
        for constant, value in (
            ("SIDE", 48),
            ("ITERATIONS", 3),
            ("GOALS", (2,)),
            ("PAINTINGS", ("starry_night",)),
            ("SMALL", toy),
        ):
            monkeypatch.setattr(
                realtime_settings if hasattr(realtime_settings, constant) else module, constant, value
            )
        figures = ("starry_night.jpg", "loss_over_seconds.png")
    fields = [
        f"--{f.name}={getattr(material, f.name)}"
        for f in dataclasses.fields(material)
        if f.name not in ("full", "figures")
    ]
    monkeypatch.setattr("sys.argv", [name, *fields])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nstjax.errors.InputWarning)
        module.main()
    for figure in figures:
        assert (material.out / figure).stat().st_size > 5000
    assert "measures" in (material.out / "results.json").read_text()
    monkeypatch.setattr(trained_module, "train", lambda *_, **__: pytest.fail("trained again"))
    module.main()
