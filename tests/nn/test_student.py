"""Tests of students: forward pass, weights that are refused, storage, and the shipped embedded network."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.eight_bit import dequantize, quantize
from nstjax.files import shipped_folder
from nstjax.nn.student import PREPROCESSING, init_student, make_student
from nstjax.nn.vgg import EMBEDDED, steps_to
from nstjax.weights.store import load_backbone, read_store, resolve, save_backbone
from tests.helpers.networks import random_backbone

WIDTHS = {"conv1_1": 5, "conv1_2": 4, "conv2_1": 6}
HEADS = {"conv1_1": 3, "conv2_1": 7}


def student(widths: dict = WIDTHS, heads: dict = HEADS, seed: int = 0) -> nstjax.Backbone:
    return make_student(init_student(jax.random.key(seed), widths, heads, head_scale=1.0))


def test_shapes_and_layers() -> None:
    network = student()
    assert (network.arch, network.layers) == ("embedded", ("relu1_1", "relu2_1"))
    found = nstjax.features(network, jnp.zeros((2, 9, 12, 3)), network.layers)
    assert {name: f.shape for name, f in found.items()} == {"relu1_1": (2, 9, 12, 3), "relu2_1": (2, 4, 6, 7)}


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_with_vgg_s_weights_and_heads_of_one_it_is_vgg(pooling: str) -> None:
    vgg = random_backbone(convs=5)
    layers = ("relu1_1", "relu2_1", "relu3_1")
    params = {name: dict(layer) for name, layer in vgg.params.items()}
    for layer in layers:
        conv = f"conv{layer.removeprefix('relu')}"
        params[conv]["head"] = np.eye(params[conv]["bias"].shape[0], dtype=np.float32)
    twin = make_student(params, vgg.preprocessing)
    image = jax.random.uniform(jax.random.key(3), (1, 21, 18, 3))
    theirs, ours = (nstjax.features(b, image, layers, pooling) for b in (vgg, twin))
    for layer in layers:
        np.testing.assert_allclose(ours[layer], theirs[layer], rtol=1e-5, atol=1e-4)


def test_a_missing_convolution_is_one_that_changes_nothing() -> None:
    without = student({"conv1_1": 5, "conv2_1": 6})
    params = dict(without.params)
    # The kernel copies its input. Activations after a ReLU are not negative, so the next ReLU keeps the copy.
    kernel = np.zeros((3, 3, 5, 5), np.float32)
    kernel[1, 1] = np.eye(5)
    params["conv1_2"] = {"kernel": kernel, "bias": np.zeros(5, np.float32)}
    image = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
    a, b = (nstjax.features(net, image, ("relu2_1",)) for net in (without, make_student(params)))
    np.testing.assert_allclose(a["relu2_1"], b["relu2_1"], rtol=1e-5, atol=1e-6)


def test_heads_are_linear_maps_of_what_runs_on() -> None:
    one, params = student(), {}
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0].astype(np.float32)
    for name, layer in one.params.items():
        params[name] = dict(layer)
    params["conv2_1"]["head"] = params["conv2_1"]["head"] @ turn
    image = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
    a, b = (nstjax.features(net, image, net.layers) for net in (one, make_student(params)))
    np.testing.assert_array_equal(a["relu1_1"], b["relu1_1"])
    np.testing.assert_allclose(a["relu2_1"] @ turn, b["relu2_1"], rtol=1e-4, atol=1e-5)


def test_gradient_by_central_differences(x64: None) -> None:
    network = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), student())
    image = jax.random.uniform(jax.random.key(1), (1, 8, 8, 3), jnp.float64)
    direction = jax.random.normal(jax.random.key(2), image.shape, jnp.float64)

    def f(x: jax.Array) -> jax.Array:
        return sum(jnp.sum(v**3) for v in nstjax.features(network, x, network.layers).values())

    h = 1e-6
    slope = (f(image + h * direction) - f(image - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(jax.grad(f)(image), direction), slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.update(conv9_1=p["conv1_1"]), "conv9_1, which VGG-19 does not have"),
        (lambda p: p["conv1_2"].update(kernel=np.zeros((3, 3, 5, 9))), "do not fit together"),
        (lambda p: p["conv2_1"].update(head=np.zeros((5, 7))), "do not fit together"),
        (lambda p: p.pop("conv1_1"), "lack conv1_1, a kernel or a bias"),
        (lambda p: p["conv1_2"].pop("bias"), "lack conv1_1, a kernel or a bias"),
        (lambda p: p["conv2_1"].update(head=np.zeros(())), "do not fit together"),
        (lambda p: [layer.pop("head", None) for layer in p.values()], "no head"),
    ],
)
def test_weights_that_do_not_fit(spoil: object, message: str) -> None:
    params = {name: dict(layer) for name, layer in student().params.items()}
    spoil(params)  # type: ignore[operator]
    with pytest.raises(nstjax.InputError, match=message):
        make_student(params)


def test_a_layer_that_is_not_imitated() -> None:
    image = jnp.zeros((1, 16, 16, 3))
    with pytest.raises(nstjax.InputError, match="no layer relu4_2, only relu1_1, relu2_1"):
        nstjax.features(student(), image, ("relu4_2",))
    with pytest.raises(nstjax.InputError, match="no layer 'relu9_1'"):
        nstjax.features(student(), image, ("relu9_1",))


def test_masks_are_carried_by_vgg_s_steps() -> None:
    assert steps_to(EMBEDDED, "relu3_1") == steps_to("vgg19", "relu3_1")


def test_store_keeps_half_precision_and_gives_single(tmp_path: Path) -> None:
    half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), student())
    save_backbone(half, tmp_path / "net")
    found = read_store(tmp_path / "net")
    assert (found.arch, found.preprocessing, found.layers) == (EMBEDDED, PREPROCESSING, half.layers)
    for a, b in zip(jax.tree.leaves(half), jax.tree.leaves(found), strict=True):
        assert b.dtype == np.float32
        np.testing.assert_array_equal(a, b)


def test_store_of_eight_bits(tmp_path: Path) -> None:
    network = student()
    save_backbone(network, tmp_path / "net", eight_bit=True)
    found = read_store(tmp_path / "net")
    assert jax.tree.structure(found.params) == jax.tree.structure(network.params)
    for name, layer in network.params.items():
        np.testing.assert_allclose(found.params[name]["bias"], layer["bias"], atol=1e-3)
        for key in {"kernel", "head"} & set(layer):
            value = np.asarray(layer[key])
            largest = np.abs(value).max(tuple(range(value.ndim - 1)))
            assert np.all(np.abs(found.params[name][key] - value) <= largest / 254 * 1.0001)
    # Storing weights that are already rounded does not change them.
    save_backbone(found, tmp_path / "again", eight_bit=True)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(read_store(tmp_path / "again")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_channel_of_zeros_stays_zero() -> None:
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[..., 1] = 0.5
    stored = quantize({"conv1_1": {"kernel": kernel, "bias": np.ones(2, np.float32)}})["conv1_1"]
    assert (stored["kernel"].dtype, stored["kernel_scale"].dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(dequantize({"conv1_1": stored})["conv1_1"]["kernel"], kernel)
    del stored["kernel_scale"]
    with pytest.raises(KeyError):
        dequantize({"conv1_1": stored})


def test_shipped_network() -> None:
    folder = shipped_folder() / "embedded"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size <= 4_000_000
    network = load_backbone("embedded")
    assert network.layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
    assert "VGG-19" in network.source
    assert len(network.sha256) == 64


def test_shipped_network_has_vgg_s_energies_on_a_drawn_image() -> None:
    y, x = np.mgrid[0:96, 0:96] / 96.0
    image = np.stack([x, y, 0.5 + 0.5 * np.sin(9 * x * y)], -1)[None].astype(np.float32)
    # Mean squared norms of VGG-19's activations with max pooling, computed from the real weights (SHA-256
    # 03ebcbf1…) by nstjax.features with JAX 0.10.2 on a CPU. The directions of the heads leave out up to 10%
    # of them. The rest of the tolerance is for the student's errors.
    vgg = {
        "relu1_1": 431_254.2,
        "relu2_1": 7_952_271.0,
        "relu3_1": 22_973_940.0,
        "relu4_1": 587_953_792.0,
        "relu4_2": 387_038_880.0,
        "relu5_1": 9_094_414.0,
    }
    found = nstjax.features(load_backbone("embedded"), image, tuple(vgg))
    for layer, energy in vgg.items():
        assert 0.6 * energy < jnp.mean(jnp.sum(found[layer] ** 2, -1)) < 1.1 * energy, layer


def test_auto_is_vgg_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert load_backbone("auto").arch == EMBEDDED
    (tmp_path / "ckpts" / "vgg19" / "record").mkdir(parents=True)  # an incomplete store is ignored
    assert load_backbone("auto").arch == EMBEDDED
    assert resolve("auto", "vgg16") == "vgg16"  # the name of a network is used as given
    assert resolve("some.h5") == "some.h5"
    save_backbone(random_backbone(convs=3), tmp_path / "weights" / "vgg19")
    assert load_backbone("auto").arch == "vgg19"
    with pytest.raises(nstjax.InputError, match="vgg16 are not installed"):
        load_backbone("auto", "vgg16")


def test_what_does_not_go_with_it() -> None:
    for extra in ({"arch": "vgg19"}, {"preprocessing": "torchvision"}):
        with pytest.raises(nstjax.InputError, match="`arch` and `preprocessing` do not go"):
            load_backbone("embedded", **extra)
    with pytest.raises(nstjax.InputError, match="linear maps of their filters"):
        nstjax.weights.normalize(student(), [jnp.zeros((1, 8, 8, 3))])


@pytest.mark.shared
@pytest.mark.parametrize(("pooling", "tolerance", "least"), [("max", 0.25, 0.78), ("average", 0.35, 0.72)])
def test_shipped_network_imitates_its_teacher_on_unseen_paintings(
    shared: Path, pooling: str, tolerance: float, least: float
) -> None:
    teacher = load_backbone(shared / "weights" / "vgg19_keras_layout.h5")
    network = load_backbone("embedded")
    for name in ("starry_night", "great_wave"):
        image = nstjax.images.resize(nstjax.load_image(shared / "images" / "style" / f"{name}.jpg"), 192, 256)
        theirs, ours = (nstjax.features(b, image, network.layers, pooling) for b in (teacher, network))
        for layer in network.layers:
            # The heads give the activations in rotated channels. The rotation does not change the eigenvalues
            # of the Gram matrix. The heads leave out some of the second moments, and an imperfect fit shrinks
            # the rest, so the sum of all is smaller.
            a, b = (
                np.linalg.eigvalsh(
                    np.asarray(nstjax.losses.gram_matrix(f[layer], "positions"), np.float64)[0]
                )[::-1]
                for f in (theirs, ours)
            )
            count = 8
            np.testing.assert_allclose(b[:count], a[:count], rtol=tolerance, err_msg=f"{name} {layer}")
            assert least < b.sum() / a.sum() < 1.02, f"{name} {layer}"


def test_deep_style_layers_of_the_embedded_network_have_larger_weights() -> None:
    embedded, vgg = load_backbone("embedded"), random_backbone("vgg19", 16)

    def weights(network: nstjax.Backbone, **changes: object) -> dict[str, float]:
        record = nstjax.losses.Objective(**changes).for_backbone(network)
        named = record.style_layer_weights or (1 / len(record.style_layers),) * len(record.style_layers)
        return dict(zip(record.style_layers, named, strict=True))

    names = [f"relu{block}_1" for block in range(1, 6)]
    equal = dict.fromkeys(names, pytest.approx(0.2))
    assert weights(embedded) == nstjax.losses.record.IMITATED_WEIGHTS
    assert weights(vgg) == equal
    assert weights(embedded, content_weight=0.0) == equal  # a texture
    assert weights(embedded, style_layers=tuple(names)) == equal
    assert weights(load_backbone("embedded-v1")) == dict.fromkeys(names[:3], pytest.approx(1 / 3))
    chosen = {"style_layers": tuple(names[:2]), "style_layer_weights": (0.5, 2.0)}
    assert weights(embedded, **chosen) == {"relu1_1": 0.5, "relu2_1": 2.0}


def test_default_layer_weights_are_filled_in_once_and_reach_the_loss() -> None:
    """The terms of relu4_1 and relu5_1 are 1.5 and 3 times those of the weights of the shallow layers."""
    embedded = load_backbone("embedded")
    rng = np.random.default_rng(0)
    content, style = (rng.uniform(size=(1, 48, 64, 3)).astype(np.float32) for _ in range(2))
    default = nstjax.losses.Objective().for_backbone(embedded)
    assert default.for_backbone(embedded) == default

    def terms(record: nstjax.losses.Objective) -> dict[str, jax.Array]:
        found = [
            nstjax.features(embedded, image, layers)
            for image, layers in ((content, record.content_layers), (style, record.style_layers))
        ]
        targets = nstjax.losses.make_targets(record, *found)
        return nstjax.losses.objective(record, nstjax.features, embedded, targets)(content)[1]

    weighted, equal = terms(default), terms(dataclasses.replace(default, style_layer_weights=()))
    for name, value in weighted.items():
        factor = {"style/relu4_1": 1.5, "style/relu5_1": 3.0}.get(name, 1.0) * (
            0.85 if "style" in name else 1.0
        )
        assert float(value) == pytest.approx(factor * float(equal[name]), rel=1e-5), name
