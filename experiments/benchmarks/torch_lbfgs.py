"""The PyTorch part of the time to a loss in :mod:`experiments.benchmarks`.

Minimizes the three-block objective (``THREE`` in :mod:`experiments.benchmarks.ours`) with ``torch.optim.LBFGS`` without a
line search, from the content image, as PyTorch's style transfer programs do. The variable is the input of the network: BGR
in [0, 255] minus the mean of ImageNet. Prints one JSON object per iteration and one at the end; the clock starts when the
targets are known.
"""
# mypy: ignore-errors

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import tyro

from experiments.benchmarks.torch_evaluation import Vgg, gram

PLAN = (64, 64, "M", 128, 128, "M", 256, 256)
STYLE, CONTENT = (0, 2, 4), 5  # relu1_1, relu2_1, relu3_1; relu3_2
MEAN = torch.tensor([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    inputs: Path
    """An .npz file with the images content and style, (1, h, w, 3) in [0, 1], and the weights conv1_1/kernel (3, 3, in, out), conv1_1/bias and so on, to conv3_2."""
    iterations: int = 60
    """Iterations of L-BFGS."""
    history: int = 10
    """Pairs of history."""


def network_of(arrays: Mapping[str, np.ndarray]) -> Vgg:
    """Return VGG-19 to relu3_2 with the weights of an input file."""
    network = Vgg(PLAN)
    names = [f"conv{block}_{number}" for block in (1, 2, 3) for number in (1, 2)]
    for name, layer in zip(names, network.convolutions(), strict=True):
        layer.weight.data = torch.from_numpy(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1).copy())
        layer.bias.data = torch.from_numpy(arrays[f"{name}/bias"].copy())
    return network.requires_grad_(False)


def preprocessed(image: np.ndarray) -> torch.Tensor:
    """Return an image ``(1, h, w, 3)`` in [0, 1] as input of the network, ``(1, 3, h, w)``."""
    return 255 * torch.from_numpy(image.transpose(0, 3, 1, 2)[:, ::-1].copy()) - MEAN


def main(arguments: Arguments) -> None:
    """Print iterations, losses and times."""
    with np.load(arguments.inputs) as file:
        arrays = dict(file)
    network = network_of(arrays)
    content, style = (preprocessed(arrays[name]) for name in ("content", "style"))
    with torch.no_grad():
        found = network(style)
        targets, kept = [gram(found[i]) for i in STYLE], network(content)[CONTENT]
    x = content.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [x], max_iter=1, max_eval=1, history_size=arguments.history, tolerance_grad=0, tolerance_change=0
    )
    evaluations = 0

    def loss() -> torch.Tensor:
        nonlocal evaluations
        evaluations += 1
        optimizer.zero_grad()
        found = network(x)
        total = 5 * (found[CONTENT] - kept).square().mean()
        for index, target in zip(STYLE, targets, strict=True):
            total = total + 100 * (gram(found[index]) - target).square().mean()
        total.backward()
        return total

    began = time.perf_counter()
    for number in range(1, arguments.iterations + 1):
        before = float(optimizer.step(loss).detach())
        seconds = round(time.perf_counter() - began, 4)
        print(json.dumps({"iteration": number, "loss_before": before, "seconds": seconds}), flush=True)
    final = float(loss().detach())
    seconds = round(time.perf_counter() - began, 4)
    print(json.dumps({"final_loss": final, "evaluations": evaluations, "seconds": seconds}))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
