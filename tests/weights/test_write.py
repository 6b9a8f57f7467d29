"""Weights written as .safetensors are read back as they were, by nstjax and by others."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy as safetensors
from safetensors import safe_open

import nstjax
from nstjax.cli.main import main
from nstjax.preprocessing import Preprocessing
from nstjax.weights import read_weights
from nstjax.weights.write import write_safetensors
from tests.helpers.networks import random_backbone

ODD = Preprocessing("RGB", 2.0, (0.25, 0.5, 0.75), (1.0, 2.0, 4.0))  # no recognizer would find it


def test_weights_come_back_with_their_preprocessing(tmp_path: Path) -> None:
    network = dataclasses.replace(random_backbone("vgg19", 9), preprocessing=ODD)
    write_safetensors(network, tmp_path / "a.safetensors")
    found = read_weights(tmp_path / "a.safetensors")
    assert (found.arch, found.preprocessing, found.layers) == ("vgg19", ODD, network.layers)
    assert "as stated in the file's metadata" in found.source
    for name, layer in network.params.items():
        for key, value in layer.items():
            np.testing.assert_array_equal(found.params[name][key], value)
    assert read_weights(tmp_path / "a.safetensors", preprocessing="torchvision").preprocessing != ODD


def test_names_and_layout_are_pytorch_s(tmp_path: Path) -> None:
    network = random_backbone("vgg16", 2)
    write_safetensors(network, tmp_path / "a.safetensors")
    tensors = safetensors.load_file(tmp_path / "a.safetensors")
    assert sorted(tensors) == ["conv1_1.bias", "conv1_1.weight", "conv1_2.bias", "conv1_2.weight"]
    assert tensors["conv1_1.weight"].shape == (64, 3, 3, 3)
    kernel = np.asarray(network.params["conv1_1"]["kernel"])
    assert tensors["conv1_1.weight"][5, 2, 0, 1] == kernel[0, 1, 2, 5]


@pytest.mark.parametrize("stated", ["{", "[]", '{"order": "GRB"}', "null", "[" * 100_000])
def test_an_invalid_preprocessing_is_refused(stated: str, tmp_path: Path) -> None:
    network = random_backbone("vgg19", 9)
    write_safetensors(network, tmp_path / "a.safetensors")
    tensors = safetensors.load_file(tmp_path / "a.safetensors")
    safetensors.save_file(tensors, tmp_path / "b.safetensors", {"preprocessing": stated})
    with pytest.raises(nstjax.InputError, match="preprocessing cannot be read"):
        read_weights(tmp_path / "b.safetensors")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_safetensors(random_backbone("vgg19", 9), tmp_path / "a.safetensors")
    again = tmp_path / "b.safetensors"
    assert main(["weights", "export", str(tmp_path / "a.safetensors"), "-o", str(again)]) == 0
    assert "wrote" in capsys.readouterr().out
    with safe_open(again, framework="np") as file:
        metadata = file.metadata()
    assert metadata["arch"] == "vgg19"
    assert json.loads(metadata["preprocessing"])["order"] == "BGR"
    for arguments, said in (
        (["embedded", "-o", str(again)], "the embedded network cannot be exported"),
        ([str(again), "-o", str(tmp_path / "c.pth")], "must end in .safetensors"),
        (["nothing", "-o", str(tmp_path / "c.safetensors")], "no weights or file 'nothing'"),
    ):
        assert main(["weights", "export", *arguments]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "c.safetensors").exists()
