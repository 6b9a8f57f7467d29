"""Feature networks with random weights."""

import numpy as np

from nstjax.nn.vgg import conv_names, kernel_shape, make_backbone
from nstjax.typing import Backbone
from nstjax.weights.canonical import CAFFE_BGR
from nstjax.weights.recognise import ORIGINAL_RATIOS


def random_params(arch: str, convs: int, seed: int = 0, dtype: type = np.float32) -> dict:
    """Return He-initialized weights of the first ``convs`` convolutions."""
    rng = np.random.default_rng(seed)
    params = {}
    for name in conv_names(arch)[:convs]:
        shape = kernel_shape(name)
        kernel = rng.normal(size=shape) * np.sqrt(2 / (9 * shape[2]))
        bias = rng.normal(size=shape[3:]) * 0.1
        params[name] = {"kernel": kernel.astype(dtype), "bias": bias.astype(dtype)}
    return params


def random_backbone(arch: str = "vgg19", convs: int = 3, seed: int = 0, dtype: type = np.float32) -> Backbone:
    return make_backbone(random_params(arch, convs, seed, dtype), arch, CAFFE_BGR, "random weights")


def like_the_original() -> dict:
    """Return random weights that look like the original VGG-19's.

    Kernels have the original's proportions of the three input channels, and the biases of conv1_1 have the
    original's ratios to the kernels.
    """
    params = random_params("vgg19", 3)
    first = params["conv1_1"]
    first["kernel"] *= np.array([0.8, 1.1, 1.0], np.float32)[:, None] / 100
    size = np.abs(first["kernel"]).mean(axis=(0, 1, 2))
    first["bias"] = (ORIGINAL_RATIOS * size).astype(np.float32)
    return params


def assert_same_weights(found: Backbone, expected: dict) -> None:
    assert list(found.params) == list(expected)
    for conv, weights in expected.items():
        np.testing.assert_array_equal(found.params[conv]["kernel"], weights["kernel"])
        np.testing.assert_array_equal(found.params[conv]["bias"], weights["bias"])
