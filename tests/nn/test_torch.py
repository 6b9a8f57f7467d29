"""Features, gradients and readers held to PyTorch."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.losses import Objective, make_targets, objective
from nstjax.nn.vgg import conv_names, layer_names, preprocess
from nstjax.weights import read_weights
from tests.helpers import weight_files
from tests.helpers.networks import random_backbone, random_params
from tests.helpers.paths import whole_network

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
pytestmark = pytest.mark.torch


def torch_features(backbone: nstjax.Backbone, images: np.ndarray, pooling: str, dtype=None) -> dict:
    """Every layer of a VGG by torch.nn.functional, from the same preprocessed input, NCHW."""
    functional = torch.nn.functional
    x = (
        images
        if isinstance(images, torch.Tensor)
        else to_torch(np.asarray(preprocess(images, backbone.preprocessing)))
    )
    found = {}
    for name in backbone.layers:
        if name.startswith("conv"):
            weights = backbone.params[name]
            kernel = torch.from_numpy(np.array(weights["kernel"]).transpose(3, 2, 0, 1).copy()).to(x.dtype)
            x = functional.conv2d(
                x, kernel, torch.from_numpy(np.array(weights["bias"])).to(x.dtype), padding=1
            )
        elif name.startswith("relu"):
            x = functional.relu(x)
        else:
            x = functional.max_pool2d(x, 2) if pooling == "max" else functional.avg_pool2d(x, 2)
        found[name] = x
    return found


def to_torch(images: np.ndarray):
    return torch.from_numpy(np.array(images).transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("size", [(64, 64), (47, 50), (33, 95)], ids=str)
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_every_layer_agrees(arch: str, pooling: str, size: tuple[int, int]) -> None:
    backbone = random_backbone(arch, len(conv_names(arch)))
    images = np.random.default_rng(0).uniform(size=(2, *size, 3)).astype(np.float32)
    expected = torch_features(backbone, images, pooling)
    found = nstjax.features(backbone, images, layer_names(arch), pooling)
    assert list(found) == list(expected)
    for name, value in found.items():
        reference = expected[name].numpy().transpose(0, 2, 3, 1)
        error = np.linalg.norm(value - reference) / np.linalg.norm(reference)
        assert error < 1e-5, (name, error)


@pytest.mark.shared
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_real_weights_on_a_real_photograph_agree(shared: Path, pooling: str) -> None:
    backbone = read_weights(shared / "weights" / "vgg19_blocks1-3_keras_layout.h5")
    photo = nstjax.load_image(shared / "images" / "content" / "golden_gate.jpg")[:, 100:301, 300:555]
    expected = torch_features(backbone, photo, pooling)
    for name, value in nstjax.features(backbone, photo, backbone.layers, pooling).items():
        reference = expected[name].numpy().transpose(0, 2, 3, 1)
        assert np.linalg.norm(value - reference) / np.linalg.norm(reference) < 1e-5, name


@pytest.mark.shared
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
def test_whole_real_networks_agree(shared: Path, arch: str, pooling: str) -> None:
    """Every ReLU to conv5_3 (VGG-16) and conv5_4 (VGG-19), on a photograph with odd sides."""
    backbone = read_weights(whole_network(arch))
    assert (backbone.arch, len(backbone.params)) == (arch, len(conv_names(arch)))
    photo = nstjax.load_image(shared / "images" / "content" / "golden_gate.jpg")[:, 100:249, 300:477]
    relus = tuple(name for name in backbone.layers if name.startswith("relu"))
    assert relus[-1] == {"vgg16": "relu5_3", "vgg19": "relu5_4"}[arch]
    expected = torch_features(backbone, photo, pooling)
    for name, value in nstjax.features(backbone, photo, relus, pooling).items():
        reference = expected[name].numpy().transpose(0, 2, 3, 1)
        assert np.linalg.norm(reference) > 0
        assert np.linalg.norm(value - reference) / np.linalg.norm(reference) < 1e-5, name


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_gradient_of_gatys_objective_agrees(pooling: str, x64: None) -> None:
    backbone = random_backbone(convs=5, dtype=np.float64)
    rng = np.random.default_rng(1)
    content, style, x = (rng.uniform(size=(1, 20, 23, 3)) for _ in range(3))
    record = Objective(
        ("relu2_2",),
        ("relu1_1", "relu3_1"),
        content_weight=1.0,
        style_weight=1e3,
        tv_weight=0.0,
        content_loss="half_sum",
        style_loss="gatys",
    )
    apply = nstjax.features
    targets = make_targets(
        record,
        apply(backbone, content, record.layers, pooling),
        apply(backbone, style, record.layers, pooling),
    )
    fun = objective(record, lambda b, i, layers: nstjax.features(b, i, layers, pooling), backbone, targets)
    (value, _), grad = jax.value_and_grad(fun, has_aux=True)(jnp.asarray(x))

    how = backbone.preprocessing
    mean = torch.tensor(how.mean, dtype=torch.float64).view(1, 3, 1, 1)
    images = [to_torch(a).double() for a in (content, style, x)]
    images[2].requires_grad_(True)
    fc, fs, fx = (torch_features(backbone, i.flip(1) * how.scale - mean, pooling) for i in images)
    loss = 0.5 * ((fx["relu2_2"] - fc["relu2_2"]) ** 2).sum()
    for name in record.style_layers:
        _, n, h, w = fx[name].shape
        grams = [f[name].reshape(n, h * w) @ f[name].reshape(n, h * w).T for f in (fx, fs)]
        loss = loss + 1e3 / 2 * ((grams[0] - grams[1]) ** 2).sum() / (4 * n**2 * (h * w) ** 2)
    loss.backward()
    np.testing.assert_allclose(value, loss.item(), rtol=1e-10)
    reference = images[2].grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(grad, reference, rtol=1e-6, atol=1e-9 * np.abs(reference).max())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("names", ["torch_names", "gatys_names"])
def test_files_that_torch_wrote(tmp_path: Path, legacy: bool, names: str) -> None:
    params = random_params("vgg19", 8)
    state = (
        weight_files.torch_names(params, "vgg19")
        if names == "torch_names"
        else weight_files.gatys_names(params)
    )
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    tensors["classifier.0.weight"] = torch.zeros(4, 5).T  # what is not a convolution is passed over
    path = tmp_path / "w.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    found = read_weights(path)
    for conv, weights in params.items():
        np.testing.assert_array_equal(found.params[conv]["kernel"], weights["kernel"])
        np.testing.assert_array_equal(found.params[conv]["bias"], weights["bias"])


def test_views_half_precision_parameters_and_checkpoints_of_trainers(tmp_path: Path) -> None:
    params = random_params("vgg19", 8)
    state = weight_files.torch_names(params, "vgg19")
    tensors = {name: torch.nn.Parameter(torch.from_numpy(array)) for name, array in state.items()}
    tensors["features.0.weight"] = torch.from_numpy(
        state["features.0.weight"].transpose(3, 2, 1, 0).copy()
    ).permute(3, 2, 1, 0)
    tensors["features.2.weight"] = torch.from_numpy(state["features.2.weight"]).half()
    tensors["features.5.weight"] = torch.from_numpy(state["features.5.weight"]).bfloat16()
    torch.save({"epoch": 3, "model": tensors, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    np.testing.assert_array_equal(found.params["conv1_1"]["kernel"], params["conv1_1"]["kernel"])
    np.testing.assert_allclose(found.params["conv1_2"]["kernel"], params["conv1_2"]["kernel"], atol=1e-3)
    np.testing.assert_allclose(found.params["conv2_1"]["kernel"], params["conv2_1"]["kernel"], atol=1e-2)


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(nstjax.InputError, match="asks to load torch.nn.modules.linear.Linear"):
        read_weights(tmp_path / "w.pth")
