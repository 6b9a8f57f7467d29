"""The PyTorch programs of the benchmarks do the same work as nstjax."""

import sys
from pathlib import Path

import numpy as np
import pytest

import nstjax
from experiments.benchmarks import ours
from experiments.benchmarks.peer import lines_of
from nstjax.losses import make_targets, objective
from nstjax.synthesis.loss import FeatureExtractor
from tests.helpers.networks import random_backbone
from tests.helpers.paths import ROOT

pytest.importorskip("torch")


@pytest.mark.torch
def test_pytorch_minimizes_the_same_objective(tmp_path: Path) -> None:
    backbone, record = random_backbone(convs=6), ours.THREE
    rng = np.random.default_rng(0)
    for name in ("content", "style"):
        nstjax.save_image(tmp_path / f"{name}.png", rng.uniform(size=(1, 60, 80, 3)))
    files = tmp_path / "content.png", tmp_path / "style.png"
    ours.save_inputs(tmp_path / "inputs.npz", backbone, *files, size=40)
    command = [sys.executable, "-m", "experiments.benchmarks.torch_lbfgs", "--iterations", "4"]
    *steps, end = lines_of([*command, "--inputs", str(tmp_path / "inputs.npz")], PYTHONPATH=str(ROOT))
    content, style = (ours.scaled(path, 40) for path in files)
    apply = FeatureExtractor(pooling_scale=1.0, **ours.LIKE_THE_PEER)
    layers = record.content_layers, record.style_layers
    targets = make_targets(record, apply(backbone, content, layers[0]), apply(backbone, style, layers[1]))
    expected, _ = objective(record, apply, backbone, targets)(content)
    assert steps[0]["loss_before"] == pytest.approx(float(expected), rel=1e-4)
    assert end["final_loss"] < steps[0]["loss_before"]
    assert end["evaluations"] == 5
