"""The networks: names, shapes, sizes, options and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

import nstjax
from nstjax.nn.conv import conv3x3, pool2x2
from nstjax.nn.vgg import conv_names, kernel_shape, layer_names, make_backbone, preprocess
from nstjax.weights.canonical import CAFFE_BGR, TORCHVISION
from tests.helpers.networks import random_backbone, random_params


def test_tables_are_those_of_the_paper() -> None:
    # Simonyan and Zisserman 2014, table 1: 16 = 13 convolutions + 3 dense, 19 = 16 + 3.
    assert len(conv_names("vgg16")) == 13
    assert len(conv_names("vgg19")) == 16
    weights = {
        arch: sum(np.prod(kernel_shape(c)) + kernel_shape(c)[3] for c in conv_names(arch))
        for arch in ("vgg16", "vgg19")
    }
    # Keras's count of the parameters of the models without their top.
    assert weights == {"vgg16": 14_714_688, "vgg19": 20_024_384}


def test_layer_names_shallow_to_deep() -> None:
    names = layer_names("vgg19")
    assert names[:5] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1")
    assert names[-3:] == ("conv5_4", "relu5_4", "pool5")
    assert "conv3_4" not in layer_names("vgg16")
    assert layer_names("vgg19", 7)[-1] == "relu3_3"
    assert layer_names("vgg16", 7)[-1] == "pool3"


def test_features_come_by_name_in_order_of_depth(small: nstjax.Backbone) -> None:
    images = jnp.ones((2, 9, 7, 3))
    found = nstjax.features(small, images, ("relu2_1", "pool1", "conv1_1"))
    assert list(found) == ["conv1_1", "pool1", "relu2_1"]
    assert {k: v.shape for k, v in found.items()} == {
        "conv1_1": (2, 9, 7, 64),
        "pool1": (2, 4, 3, 64),
        "relu2_1": (2, 4, 3, 128),
    }


def test_relu_is_the_rectified_conv(small: nstjax.Backbone) -> None:
    images = jax.random.uniform(jax.random.key(0), (1, 8, 8, 3))
    found = nstjax.features(small, images, ("conv2_1", "relu2_1"))
    assert (found["conv2_1"] < 0).any()
    np.testing.assert_array_equal(jnp.maximum(found["conv2_1"], 0), found["relu2_1"])


def test_no_deeper_than_asked() -> None:
    backbone = random_backbone("vgg19", 16)
    images = jnp.zeros((1, 32, 32, 3))

    def convolutions(layers: tuple[str, ...]) -> int:
        lowered = jax.jit(lambda b, x: nstjax.features(b, x, layers)).lower(backbone, images)
        return lowered.as_text().count("stablehlo.convolution")

    assert convolutions(("relu1_1",)) == 1
    assert convolutions(("relu3_1", "conv1_2")) == 5
    assert convolutions(("pool5",)) == 16


@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_every_size_down_to_where_a_layer_exists(arch: str) -> None:
    backbone = random_backbone(arch, len(conv_names(arch)))
    one = jnp.full((1, 1, 1, 3), 0.5)
    assert nstjax.features(backbone, one, ("relu1_2",))["relu1_2"].shape == (1, 1, 1, 64)
    with pytest.raises(
        nstjax.InputError, match=r"1×1 pixels is too small for layer pool1, which needs at least 2×2"
    ):
        nstjax.features(backbone, one, ("pool1",))
    assert nstjax.features(backbone, jnp.ones((1, 16, 31, 3)), ("relu5_1",))["relu5_1"].shape == (
        1,
        1,
        1,
        512,
    )
    with pytest.raises(nstjax.InputError, match="at least 16×16"):
        nstjax.features(backbone, jnp.ones((1, 15, 99, 3)), ("relu5_1",))
    assert nstjax.features(backbone, jnp.ones((1, 33, 32, 3)), ("pool5",))["pool5"].shape == (1, 1, 1, 512)


def test_partial_network_names_its_deepest_layer(small: nstjax.Backbone) -> None:
    with pytest.raises(
        nstjax.InputError, match="relu4_2 is deeper than these vgg19 weights go: they end at relu2_1"
    ):
        nstjax.features(small, jnp.ones((1, 64, 64, 3)), ("relu4_2",))
    with pytest.raises(nstjax.InputError, match="has no layer 'relu9_1'"):
        nstjax.features(small, jnp.ones((1, 64, 64, 3)), ("relu9_1",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("conv1_2"), "lack conv1_2"),
        (lambda p: p.update(conv9_9=p["conv1_1"]), "conv9_9"),
        (lambda p: p["conv1_1"].update(kernel=np.zeros((3, 3, 1, 64))), r"shape \(3, 3, 1, 64\)"),
        (lambda p: p.clear(), "no convolution"),
    ],
)
def test_trees_that_do_not_fill_the_table_are_refused(change, message: str) -> None:
    params = random_params("vgg19", 3)
    change(params)
    with pytest.raises(nstjax.InputError, match=message):
        make_backbone(params, "vgg19", CAFFE_BGR)


@pytest.mark.parametrize("shape", [(8, 8, 3), (1, 8, 8, 1), (1, 3, 8, 8)])
def test_arrays_that_are_no_images_are_refused(small: nstjax.Backbone, shape: tuple[int, ...]) -> None:
    with pytest.raises(nstjax.InputError, match="must be"):
        nstjax.features(small, jnp.ones(shape), ("relu1_1",))


def test_a_batch_is_its_images(small: nstjax.Backbone) -> None:
    images = jax.random.uniform(jax.random.key(1), (3, 10, 12, 3))
    together = nstjax.features(small, images, ("relu2_1",))["relu2_1"]
    apart = [nstjax.features(small, images[i : i + 1], ("relu2_1",))["relu2_1"] for i in range(3)]
    np.testing.assert_allclose(together, jnp.concatenate(apart), rtol=1e-4, atol=2e-3)


def test_preprocessing_is_data() -> None:
    image = np.array([0.1, 0.5, 0.9], np.float32).reshape(1, 1, 1, 3)
    expected = np.array([0.9 * 255 - 103.939, 0.5 * 255 - 116.779, 0.1 * 255 - 123.68])
    np.testing.assert_allclose(preprocess(image, CAFFE_BGR).ravel(), expected, rtol=1e-6)
    expected = (np.array([0.1, 0.5, 0.9]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(preprocess(image, TORCHVISION).ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_convolution_against_scipy(padding: str, x64: None) -> None:
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(1, 5, 6, 2)), rng.normal(size=(3, 3, 2, 4)), rng.normal(size=4)
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)), mode="edge" if padding == "replicate" else "constant")
    expected = np.stack(
        [
            sum(signal.correlate2d(padded[..., i], kernel[..., i, o], "valid") for i in range(2)) + bias[o]
            for o in range(4)
        ],
        -1,
    )
    found = conv3x3(jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(bias), padding)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-12)


def test_replicate_padding_keeps_a_constant_picture_constant(small: nstjax.Backbone) -> None:
    grey = jnp.full((1, 6, 6, 3), 0.3)
    padded = nstjax.features(small, grey, ("conv1_1",), padding="replicate")["conv1_1"]
    np.testing.assert_allclose(
        padded, jnp.broadcast_to(padded[:, :1, :1], padded.shape), rtol=1e-5, atol=1e-4
    )
    zeros = nstjax.features(small, grey, ("conv1_1",))["conv1_1"]
    assert not np.allclose(zeros[:, 0, 0], zeros[:, 3, 3], rtol=1e-3)


def test_poolings() -> None:
    x = jnp.arange(2 * 5 * 4 * 1, dtype=jnp.float32).reshape(2, 5, 4, 1)
    np.testing.assert_array_equal(pool2x2(x)[0, :, :, 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(pool2x2(x, "average")[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(pool2x2(x, "average", 2.0), 2 * pool2x2(x, "average"))


def test_rescaled_pooling_reaches_the_network(small: nstjax.Backbone) -> None:
    images = jax.random.uniform(jax.random.key(2), (1, 8, 8, 3))
    plain = nstjax.features(small, images, ("pool1",), "average")["pool1"]
    scaled = nstjax.features(small, images, ("pool1",), "average", pooling_scale=2.0)["pool1"]
    np.testing.assert_allclose(scaled, 2 * plain, rtol=1e-6)


def test_unknown_options_are_refused(small: nstjax.Backbone) -> None:
    with pytest.raises(nstjax.InputError, match="pooling"):
        nstjax.features(small, jnp.ones((1, 4, 4, 3)), ("relu1_1",), "median")  # type: ignore[arg-type]
    with pytest.raises(nstjax.InputError, match="padding"):
        nstjax.features(small, jnp.ones((1, 4, 4, 3)), ("relu1_1",), padding="mirror")  # type: ignore[arg-type]
    with pytest.raises(nstjax.InputError, match="vgg11"):
        conv_names("vgg11")
