"""The PyTorch part of :mod:`experiments.benchmarks.precision`, and of the evaluations in :mod:`experiments.benchmarks`.

Value and gradient of the five-layer objective, compiled by ``torch.compile`` or not, in the requested memory
format. The weights are random, because only the time is of interest. It runs on the first CUDA device, or
else on the CPU, in its own process, so that the two libraries do not share the memory of one device. Prints
one JSON object.
"""
# mypy: ignore-errors

import dataclasses
import json
import time

import torch
import tyro
from torch import nn

PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
STYLE, CONTENT = (0, 2, 4, 8, 12), 9  # indices of the activations after each ReLU


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    size: int = 512
    """Side of the square image."""
    precision: str = "float32"
    """float32, tf32 or bfloat16 (by autocast)."""
    channels_last: bool = True
    """NHWC in memory."""
    compile: bool = True
    """By torch.compile."""
    repeats: int = 20
    """Evaluations timed."""


class Vgg(nn.Module):
    """VGG-19 with random weights.

    Args:
        plan: the numbers of channels, and "M" for a pooling layer; by default to relu5_1.
    """

    def __init__(self, plan: tuple[int | str, ...] = PLAN) -> None:
        super().__init__()
        layers, channels = [], 3
        for step in plan:
            if step == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            convolution = nn.Conv2d(channels, step, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight)
            nn.init.zeros_(convolution.bias)
            layers.append(nn.Sequential(convolution, nn.ReLU()))
            channels = step
        self.layers = nn.ModuleList(layers)

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolutions, shallow to deep."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the activations after each ReLU."""
        found = []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.Sequential):
                found.append(x)
        return found


def gram(features: torch.Tensor) -> torch.Tensor:
    """Compute ``F F' / (c·h·w)`` in float32."""
    n, c, h, w = features.shape
    f = features.float().reshape(n, c, h * w)
    return f @ f.transpose(1, 2) / (c * h * w)


def main(arguments: Arguments) -> None:
    """Print the times."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = arguments.precision == "tf32"
    torch.manual_seed(0)
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    network = Vgg().requires_grad_(False).to(device, memory_format=layout)
    shape = (1, 3, arguments.size, arguments.size)
    x, style, content = (torch.randn(shape, device=device).to(memory_format=layout) for _ in range(3))

    def features(image: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            return network(image)

    with torch.no_grad():
        targets = [gram(features(style)[i]) for i in STYLE]
        kept = features(content)[CONTENT].float()

    def loss(image: torch.Tensor) -> torch.Tensor:
        found = features(image)
        total = (found[CONTENT].float() - kept).square().mean()
        return total + sum((gram(found[i]) - t).square().mean() for i, t in zip(STYLE, targets, strict=True))

    run = torch.compile(loss) if arguments.compile else loss
    x.requires_grad_(True)

    def evaluate() -> None:
        x.grad = None
        run(x).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        evaluate()
    seconds = []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        evaluate()
        seconds.append(time.perf_counter() - began)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    print(json.dumps({"seconds": seconds, "device": where, "torch": torch.__version__}))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
