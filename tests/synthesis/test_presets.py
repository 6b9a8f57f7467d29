"""The presets: every value against its source, and a step of each on a whole network."""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

import nstjax
from nstjax import PRESETS
from nstjax.cli.main import main
from nstjax.data import Batch
from nstjax.generators import JohnsonConfig, UlyanovConfig
from nstjax.losses import gram_matrix, total_variation
from nstjax.nn.vgg import layer_names
from nstjax.optim import Adam, Lbfgs, ScipyLbfgsb, Sgd
from nstjax.synthesis.presets import FIRST_RELUS, from_torchvision, input_scale, keras_layer_weights
from nstjax.training import TRAIN_PRESETS
from nstjax.training.state import init_state, make_optimizer
from nstjax.training.step import style_targets, train_step
from nstjax.typing import Backbone
from nstjax.weights.activations import normalize
from nstjax.weights.canonical import CAFFE_BGR, TORCHVISION
from tests.helpers.networks import random_backbone
from tests.helpers.paths import SHARED, whole_network

CONVS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
CAFFE_OVER_TORCHVISION = 255 * (0.229 + 0.224 + 0.225) / 3  # input scales, 57.6
KERAS = (64**2 / 45, 128**2 / 720, 256**2 / 11520, 512**2 / 184320, 512**2 / 2949120)

# Of each record: the numbers of its source. Paths are of nested fields.
SOURCES: dict[str, dict[str, Any]] = {
    # Gatys et al. 2016 (CVPR), sections 2 and 3; weights of leongatys/NeuralImageSynthesis, "normalised vgg-19".
    "gatys": {
        "objective.content_layers": ("relu4_2",),
        "objective.style_layers": FIRST_RELUS,
        "objective.content_weight": 1.0,
        "objective.style_weight": 1e3,
        "objective.content_loss": "mean",
        "objective.style_loss": "gatys",
        "objective.tv_weight": 0.0,
        "optimizer": Lbfgs(iterations=500),
        "scales": (512,),
        "init": "content",
        "pooling": "average",
    },
    # The same repository, BasicStyleTransfer.ipynb, "original vgg-19": 1e3/C² to 1, mean squares, max_iter 500, 512.
    "gatys-code": {
        "objective.content_layers": ("relu4_2",),
        "objective.style_layers": FIRST_RELUS,
        "objective.content_weight": 1.0,
        "objective.style_weight": 1e3,
        "objective.style_layer_weights": (1.0,) * 5,
        "objective.content_loss": "mean",
        "objective.style_loss": "johnson",
        "objective.tv_weight": 0.0,
        "optimizer": Lbfgs(iterations=500),
        "scales": (512,),
        "init": "content",
    },
    # crowsonkb/style-transfer-pytorch, style_transfer.py: defaults of `stylize` and of `StyleTransfer`.
    "crowson": {
        "objective.content_layers": ("relu4_2",),
        "objective.style_layers": FIRST_RELUS,
        "objective.content_weight": 0.015,
        "objective.style_weight": 1.0,
        "objective.style_layer_weights": tuple(
            w / 341 / c for w, c in zip((256, 64, 16, 4, 1), (64, 128, 256, 512, 512), strict=True)
        ),
        "objective.content_loss": "mean",
        "objective.style_statistic": "wasserstein",
        "objective.style_loss": "sum",
        "objective.tv_weight": pytest.approx(2 * CAFFE_OVER_TORCHVISION**2),
        "objective.tv_distance": "squared",
        "objective.tv_reduction": "mean",
        "optimizer": Adam(learning_rate=0.02, b1=0.9, b2=0.99, average=0.99, bounds=(0.0, 1.0)),
        "scales": (128, 181, 256, 362, 512),
        "iterations": (1000, 500, 500, 500, 500),
        "init": "content",
        "pooling": "max",
        "padding": "replicate",
    },
    # The Duke report, sections 2.3 and 3.3.
    "duke": {
        "objective.content_layers": ("conv2_2",),
        "objective.style_layers": CONVS,
        "objective.content_weight": 1.0,
        "objective.style_weight": pytest.approx(1e10 / CAFFE_OVER_TORCHVISION**2),
        "objective.style_layer_weights": (1.0,) * 5,
        "objective.tv_weight": 0.0,
        "optimizer": Lbfgs(iterations=300),
        "scales": (256,),
        "init": "noise",
    },
    # The Brown report, sections 1.2, 2 and 4.2; Keras's example of 2016.
    "brown": {
        "objective.content_layers": ("relu4_2",),
        "objective.style_layers": FIRST_RELUS,
        "objective.content_weight": 0.025,
        "objective.style_weight": 1.0,
        "objective.style_layer_weights": pytest.approx(KERAS),
        "objective.tv_weight": 0.0,
        "objective.content_loss": "sum",
        "objective.style_loss": "gatys",
        "optimizer": ScipyLbfgsb(iterations=10**6, maxfun=20, rounds=20),
        "scales": (400,),
        "init": "content",
        "pooling": "max",
    },
    # The Ahmedabad report, sections III to V; Keras's example of 2020.
    "ahmedabad": {
        "objective.content_layers": ("relu5_4",),
        "objective.style_layers": FIRST_RELUS,
        "objective.content_weight": 2.5e-8,
        "objective.style_weight": 1e-6,
        "objective.style_layer_weights": pytest.approx(KERAS),
        "objective.tv_weight": 0.0,
        "objective.content_loss": "sum",
        "objective.style_loss": "gatys",
        "optimizer": Sgd(iterations=3000, learning_rate=100 / 255**2, decay_rate=0.96, decay_steps=100),
        "scales": (600,),  # 400 rows in 3:2
        "init": "content",
        "pooling": "max",
    },
    # The Stanford poster: the losses, Adam, 300 iterations, 500×500, a random start.
    "stanford": {
        "objective.content_loss": "sum",
        "objective.style_loss": "sum",
        "objective.tv_distance": "absolute",
        "objective.tv_reduction": "sum",
        "optimizer": Adam(iterations=300, learning_rate=0.02),
        "scales": (500,),
        "init": "noise",
    },
}

TRAIN_SOURCES: dict[str, dict[str, Any]] = {
    # Johnson et al. 2016, section 4.1; weights of jcjohnson/fast-neural-style, train.lua.
    "johnson": {
        "steps": 40_000,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "generator": JohnsonConfig(norm="batch", upsampling="transposed", output="tanh"),
        "objective.content_layers": ("relu2_2",),
        "objective.style_layers": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        "objective.style_layer_weights": (1.0,) * 4,
        "objective.content_weight": 1.0,
        "objective.style_weight": 5.0,
        "objective.tv_weight": pytest.approx(0.13, rel=1e-3),
        "objective.tv_distance": "squared",
        "objective.tv_reduction": "sum",
        "data.size": 256,
        "data.batch_size": 4,
    },
    # DmitryUlyanov/texture_nets, stylization_train.lua (2016).
    "ulyanov2016": {
        "steps": 3000,
        "learning_rate": 0.1,
        "decay_rate": 0.8,
        "decay_steps": 300,
        "objective.content_layers": ("relu4_2",),
        "objective.style_layers": FIRST_RELUS,
        "objective.content_weight": 0.6,
        "objective.style_weight": 1e3,
        "objective.style_loss": "johnson",
        "objective.tv_weight": 0.0,
        "data.batch_size": 16,
    },
    # DmitryUlyanov/texture_nets, train.lua.
    "ulyanov": {
        "steps": 50_000,
        "learning_rate": 1e-3,
        "decay_rate": 0.8,
        "decay_steps": 2000,
        "objective.content_layers": ("relu4_2",),
        "objective.style_layers": FIRST_RELUS[:4],
        "objective.style_layer_weights": (1.0,) * 4,
        "objective.content_weight": 1.0,
        "objective.style_weight": 1.0,
        "objective.content_loss": "mean",
        "objective.style_loss": "johnson",
        "objective.tv_weight": 0.0,
        "data.batch_size": 1,
    },
    # The Duke report, sections 2.2 to 2.4 and 3, appendix C.
    "duke": {
        "steps": 600 * 18,
        "learning_rate": 0.1,
        "generator": UlyanovConfig(norm="batch", scales=6, channels=8),
        "objective.content_layers": ("conv2_2",),
        "objective.style_layers": CONVS,
        "objective.tv_weight": 0.0,
        "data.size": 256,
        "data.batch_size": 1,
    },
    # The Pomona thesis, chapters 4 and 5: one pass over 118,000 photographs.
    "pomona": {
        "steps": 118_000 // 4,
        "generator": JohnsonConfig(norm="instance", upsampling="bilinear"),
        "objective.content_distance": "absolute",
        "objective.style_distance": "absolute",
        "objective.tv_distance": "absolute",
        "data.batch_size": 4,
    },
}
NETWORKS = {"johnson": "vgg16", "pomona": "vgg16"}  # the others: VGG-19
GENERIC = {"default", "fast", "quick", "texture"}


def _field(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = getattr(record, name)
    return record


def test_the_default_config_is_the_default_preset() -> None:
    assert nstjax.TransferConfig() == PRESETS["default"]


def test_every_preset_has_its_source() -> None:
    assert set(PRESETS) - GENERIC == set(SOURCES)
    assert set(TRAIN_PRESETS) - GENERIC == set(TRAIN_SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_transfer_preset_has_its_source_s_values(name: str) -> None:
    for path, value in SOURCES[name].items():
        assert _field(PRESETS[name], path) == value, path
    assert PRESETS[name].size == PRESETS[name].scales[-1]  # what `--size` is compared with


@pytest.mark.parametrize("name", TRAIN_SOURCES)
def test_a_training_preset_has_its_source_s_values(name: str) -> None:
    for path, value in TRAIN_SOURCES[name].items():
        assert _field(TRAIN_PRESETS[name], path) == value, path


@pytest.mark.parametrize("name", [*SOURCES, *(f"train {name}" for name in TRAIN_SOURCES)])
def test_a_preset_s_layers_are_its_network_s_and_its_style_weight_is_its_own(name: str) -> None:
    _, _, train = name.rpartition("train ")
    record = (TRAIN_PRESETS[train] if name.startswith("train") else PRESETS[name]).objective
    arch = NETWORKS.get(train, "vgg19") if name.startswith("train") else "vgg19"
    named = record.for_layers(layer_names(arch))
    assert set(named.layers) <= set(layer_names(arch))
    assert record.style_weight is not None  # the general default is not for these losses


def test_keras_s_division_is_what_its_example_computes() -> None:
    """``Σ(F'F − S'S)² / (4·3²·(rows·columns)²)`` over the number of layers, for every layer."""
    network = random_backbone("vgg19", 5)
    rng = np.random.default_rng(0)
    style, x = (rng.uniform(size=(1, 32, 48, 3)).astype(np.float32) for _ in range(2))
    layers, apply = FIRST_RELUS[:3], nstjax.features
    record = dataclasses.replace(
        PRESETS["ahmedabad"].objective,
        content_weight=0.0,
        style_layers=layers,
        style_layer_weights=keras_layer_weights(3),
    )
    found = [apply(network, image, layers) for image in (x, style)]
    _, terms = nstjax.losses.objective(
        record, apply, network, nstjax.losses.make_targets(record, {}, found[1])
    )(x)
    for layer in layers:
        grams = [np.asarray(gram_matrix(f[layer])[0], np.float64) for f in found]
        keras = np.square(grams[0] - grams[1]).sum() / (4.0 * 3**2 * (32 * 48) ** 2)
        assert float(terms[f"style/{layer}"]) == pytest.approx(1e-6 / 3 * keras, rel=1e-3)


def test_a_style_weight_for_torchvision_is_converted_by_the_input_s_scale_squared() -> None:
    assert from_torchvision(1e10, TORCHVISION) == pytest.approx(1e10)
    assert input_scale(CAFFE_BGR) / input_scale(TORCHVISION) == pytest.approx(CAFFE_OVER_TORCHVISION)
    assert from_torchvision(1e10) == pytest.approx(1e10 / CAFFE_OVER_TORCHVISION**2)


def test_johnson_s_total_variation_has_the_gradient_of_the_released_code() -> None:
    """TotalVariation.lua on values of 0 to 255, summed over a batch of 4, at pixels off the border."""
    record, batch = TRAIN_PRESETS["johnson"].objective, TRAIN_PRESETS["johnson"].data.batch_size
    x = np.random.default_rng(0).uniform(size=(batch, 6, 7, 3)).astype(np.float32)

    def ours(images: Any) -> Any:
        each = jax.vmap(lambda image: total_variation(image[None], record.tv_distance, record.tv_reduction))
        return record.tv_weight * each(images).mean()

    y = 255.0 * x.astype(np.float64)
    theirs = np.zeros_like(y)
    down, right = y[:, :-1, :-1] - y[:, 1:, :-1], y[:, :-1, :-1] - y[:, :-1, 1:]
    theirs[:, :-1, :-1] += down + right
    theirs[:, 1:, :-1] -= down
    theirs[:, :-1, 1:] -= right
    theirs *= 1e-6 * 255  # strength; and from values of 0 to 255 to values of 0 to 1
    np.testing.assert_allclose(jax.grad(ours)(x)[:, 1:-1, 1:-1], theirs[:, 1:-1, 1:-1], rtol=2e-4, atol=1e-5)


def test_stanford_s_layers_are_in_the_proportion_of_gatys_s_code() -> None:
    """At 500 pixels, where relu4_2 has 62² positions: 10/C⁴·Σ(G − A)² to 1/(512·62²)·Σ(F − P)²."""
    record = PRESETS["stanford"].objective
    for weight, channels in zip(record.style_layer_weights, (64, 128, 256, 512, 512), strict=True):
        ratio = record.style_weight * weight / record.content_weight
        assert ratio == pytest.approx(10 / channels**4 * (512 * 62**2))


@pytest.mark.parametrize("command", ["transfer", "texture", "train"])
def test_help_works_with_every_preset(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, config in (TRAIN_PRESETS if command == "train" else PRESETS).items():
        with pytest.raises(SystemExit) as caught:
            main([command, "--preset", name, "--help"])
        assert caught.value.code == 0
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        value = config.steps if command == "train" else config.size
        assert f"default: {value}" in shown, name
        assert name in shown  # the help of --preset lists it


@pytest.fixture(scope="module")
def whole() -> dict[str, Backbone]:
    return {"vgg19": random_backbone("vgg19", 16), "vgg16": random_backbone("vgg16", 13)}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_transfer_preset_takes_a_step(name: str, whole: dict[str, Backbone], pictures: Any) -> None:
    config = PRESETS[name]
    optimizer = dataclasses.replace(config.optimizer, iterations=2)
    if isinstance(optimizer, ScipyLbfgsb):
        optimizer = dataclasses.replace(optimizer, rounds=1)
    config = dataclasses.replace(config, optimizer=optimizer, size=24, scales=(24,), iterations=())
    result = nstjax.transfer(*pictures, whole["vgg19"], config)
    losses = [entry.loss for entry in result.history]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert {term.split("/")[0] for term in result.history[-1].terms} >= {"content", "style"}
    if not isinstance(optimizer, Adam):  # its first steps are of a fixed length, whatever the loss
        assert losses[1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAIN_PRESETS)
def test_a_training_preset_takes_a_step(name: str, whole: dict[str, Backbone], pictures: Any) -> None:
    config = TRAIN_PRESETS[name]
    network = whole[NETWORKS.get(name, "vgg19")]
    small = {"width": 0.125, "residual_blocks": 1} if isinstance(config.generator, JohnsonConfig) else {}
    config = dataclasses.replace(
        config,
        generator=dataclasses.replace(config.generator, **small),
        data=dataclasses.replace(config.data, size=32, batch_size=2),
    ).for_backbone(network)
    state, optimizer = init_state(config), make_optimizer(config)
    batch = Batch(np.random.default_rng(0).random((2, 32, 32, 3), np.float32), np.arange(2, dtype=np.int32))
    targets = style_targets(config, network, pictures[1])
    after, metrics = jax.jit(partial(train_step, config, optimizer))(state, network, targets, batch)
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, after.params)
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
@pytest.mark.shared
def test_gatys_s_factors_are_those_of_the_rescaled_network() -> None:
    """The ratio of each layer's loss on the rescaled network to that on the original, over that of the content."""
    network = nstjax.load_backbone(whole_network("vgg19"))

    def pictures(folder: str, count: int) -> list[np.ndarray]:
        paths = sorted((SHARED / folder).glob("*.jpg"))[
            :: max(1, len(list((SHARED / folder).iterdir())) // count)
        ]
        return [
            np.asarray(nstjax.images.resize(nstjax.load_image(p), 96, 128)).clip(0, 1) for p in paths[:count]
        ]

    photos, paintings = pictures("photos/train", 24), pictures("images/style", 6)
    layers = (*FIRST_RELUS, "relu4_2")
    found = [
        [[nstjax.features(n, x, layers, "average") for x in images] for images in (photos[16:], paintings)]
        for n in (network, normalize(network, photos[:16]))
    ]

    def loss(a: dict, b: dict, layer: str) -> float:
        if layer == "relu4_2":
            return float(np.square(np.asarray(a[layer], np.float64) - np.asarray(b[layer])).mean())
        one, other = (np.asarray(gram_matrix(f[layer], "positions"), np.float64) for f in (a, b))
        return float(np.square(one - other).mean()) / 4

    ratio = {}
    for layer in layers:
        logs = [[np.log(loss(a, b, layer)) for a in f[0] for b in f[1]] for f in found]
        ratio[layer] = float(np.exp(np.mean(np.subtract(logs[1], logs[0]))))
    wanted = [
        4 / 5 * ratio[layer] / ratio["relu4_2"] for layer in FIRST_RELUS
    ]  # E_l is a fourth of the mean square
    # Fewer photographs, and smaller: within a factor of 2, where the factors span 2e5. One filter that hardly responds to
    # the photographs moves its whole layer.
    off = np.abs(np.log2(np.divide(PRESETS["gatys"].objective.style_layer_weights, wanted)))
    assert off.max() < 1, (off, wanted)
