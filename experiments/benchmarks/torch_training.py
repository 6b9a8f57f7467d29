"""The PyTorch part of :mod:`experiments.benchmarks.training`: the same training step.

It has Johnson's network with instance normalization, a feature network, mean squared errors of activations
and of Gram matrices, total variation, and Adam, written in the usual PyTorch style. The weights are nstjax's,
so that losses and gradients can be compared. It needs ``pip install torch==2.13.0``.
"""
# mypy: ignore-errors

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nstjax.generators import JohnsonConfig
from nstjax.generators.steps import MEAN, REACH
from nstjax.losses import Objective
from nstjax.nn.vgg import layer_names
from nstjax.typing import Backbone


def _conv(source: int, channels: int, kernel: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(source, channels, kernel, stride, padding=kernel // 2, padding_mode="reflect", bias=bias)


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)


class Residual(nn.Module):
    """A residual block: two convolutions, whose output is added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(channels, channels, 3),
            _norm(channels),
            nn.ReLU(inplace=True),
            _conv(channels, channels, 3),
            _norm(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the block; input and output are ``(n, c, h, w)``."""
        return x + self.layers(x)


class Johnson(nn.Module):
    """The network of the Pomona thesis (Barnes 2018), table 3.1, with nstjax's shape and weights.

    It has upsampling instead of transposed convolutions.
    """

    def __init__(self, config: JohnsonConfig, params: dict[str, Any]) -> None:
        super().__init__()
        assert (config.norm, config.padding, config.output) == ("instance", "reflect", "tanh")
        one, two, three = (max(1, round(config.width * n)) for n in (32, 64, 128))
        smooth = {} if config.upsampling == "nearest" else {"align_corners": False}
        layers: list[nn.Module] = []
        for source, channels, kernel, stride in ((3, one, 9, 1), (one, two, 3, 2), (two, three, 3, 2)):
            layers += [_conv(source, channels, kernel, stride), _norm(channels), nn.ReLU(inplace=True)]
        layers += [Residual(three) for _ in range(config.residual_blocks)]
        for source, channels in ((three, two), (two, one)):
            layers += [
                nn.Upsample(scale_factor=2, mode=config.upsampling, **smooth),
                _conv(source, channels, 3),
                _norm(channels),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers, _conv(one, 3, 9, bias=True))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self._copy(config, params)

    def _copy(self, config: JohnsonConfig, params: dict[str, Any]) -> None:
        names = [f"down{i}" for i in range(3)]
        names += [f"block{i}_conv{j}" for i in range(config.residual_blocks) for j in (0, 1)]
        names += ["up1", "up0", "last"]
        convs = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        norms = [module for module in self.modules() if isinstance(module, nn.InstanceNorm2d)]
        for name, conv in zip(names, convs, strict=True):
            conv.weight.data = torch.from_numpy(
                np.array(params[name]["kernel"]).transpose(3, 2, 0, 1)
            ).contiguous()
            if conv.bias is not None:
                conv.bias.data = torch.from_numpy(np.array(params[name]["bias"]))
        for name, norm in zip(names[:-1], norms, strict=True):
            norm.weight.data = torch.from_numpy(np.array(params[f"{name}_norm"]["scale"]))
            norm.bias.data = torch.from_numpy(np.array(params[f"{name}_norm"]["bias"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Stylize images, ``(n, 3, h, w)`` in [0, 1], with sides that are multiples of 4."""
        return 0.5 + REACH * torch.tanh(self.layers(x - self.mean))


class Network(nn.Module):
    """The first blocks of VGG-19, or the embedded network with its heads, with max pooling.

    The weights are those of nstjax.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        how = backbone.preprocessing
        self.flip = how.order == "BGR"
        self.register_buffer("scale", torch.tensor([how.scale / s for s in how.std]).view(1, 3, 1, 1))
        offset = [m / s for m, s in zip(how.mean, how.std, strict=True)]
        self.register_buffer("offset", torch.tensor(offset).view(1, 3, 1, 1))
        pool = nn.MaxPool2d(2)
        self.steps, self.heads = nn.ModuleDict(), nn.ModuleDict()
        for name in layer_names("vgg19"):
            if name.startswith("pool"):
                self.steps[name] = pool
            elif name.startswith("conv") and name in backbone.params:
                weights = backbone.params[name]
                source, channels = weights["kernel"].shape[2:]
                conv = nn.Conv2d(source, channels, 3, padding=1)
                kernel = np.array(weights["kernel"]).transpose(3, 2, 0, 1)
                conv.weight.data = torch.from_numpy(kernel).contiguous()
                conv.bias.data = torch.from_numpy(np.array(weights["bias"]))
                self.steps[f"relu{name[4:]}"] = nn.Sequential(conv, nn.ReLU(inplace=True))
                if "head" in weights:
                    head = np.array(weights["head"]).T[:, :, None, None]
                    projection = nn.Conv2d(channels, head.shape[0], 1, bias=False)
                    projection.weight.data = torch.from_numpy(head).contiguous()
                    self.heads[f"relu{name[4:]}"] = projection
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor, layers: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Compute the activations ``(n, c, h, w)`` of ``layers``, and no deeper layer."""
        x = (x.flip(1) if self.flip else x) * self.scale - self.offset
        found: dict[str, torch.Tensor] = {}
        for name, step in self.steps.items():
            x = step(x)
            if name in layers:
                found[name] = self.heads[name](x) if name in self.heads else x
            if len(found) == len(layers):
                break
        return found


def gram(features: torch.Tensor) -> torch.Tensor:
    """Compute ``F F' / (c·h·w)``, ``(n, c, c)``."""
    n, c, h, w = features.shape
    f = features.reshape(n, c, h * w)
    return f @ f.transpose(1, 2) / (c * h * w)


class Trainer:
    """A training run: generator, feature network, targets and optimizer.

    Args:
        config: config of the generator.
        params: weights of the generator.
        backbone: the feature network.
        record: the objective, with ``content_loss="mean"``, ``style_loss="johnson"`` and the mean absolute
            total variation.
        style: the style image, ``(1, h, w, 3)``.
        learning_rate: learning rate of Adam.
        channels_last: use the channels_last memory format. Which format is faster depends on the machine.
    """

    def __init__(
        self,
        config: JohnsonConfig,
        params: dict[str, Any],
        backbone: Backbone,
        record: Objective,
        style: np.ndarray,
        learning_rate: float,
        channels_last: bool = False,
    ) -> None:
        assert (record.content_loss, record.style_loss, record.tv_reduction) == ("mean", "johnson", "mean")
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.generator = Johnson(config, params).to(self.device, memory_format=self.format)
        self.network = Network(backbone).to(self.device, memory_format=self.format)
        self.record = record
        with torch.no_grad():
            found = self.network(self.tensor(style), record.style_layers)
            self.targets = {name: gram(value) for name, value in found.items()}
        self.optimizer = torch.optim.Adam(self.generator.parameters(), lr=learning_rate)

    def tensor(self, images: np.ndarray) -> torch.Tensor:
        """Convert ``(n, h, w, 3)`` to ``(n, 3, h, w)``."""
        tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return tensor.to(self.device).contiguous(memory_format=self.format)

    def loss(self, images: torch.Tensor, photographs: torch.Tensor) -> torch.Tensor:
        """Compute the objective, averaged over the batch."""
        record = self.record
        with torch.no_grad():
            content = self.network(photographs, record.content_layers)
        found = self.network(images, record.layers)
        total = images.new_zeros(())
        for name in record.content_layers:
            total = total + record.content_weight * functional.mse_loss(found[name], content[name])
        for name in record.style_layers:
            grams = gram(found[name])
            target = self.targets[name].expand_as(grams)
            total = total + record.beta / len(record.style_layers) * functional.mse_loss(grams, target)
        down, right = images.diff(dim=2).abs().sum(), images.diff(dim=3).abs().sum()
        return total + record.tv_weight * (down + right) / images.numel()

    def backward(self, photographs: torch.Tensor) -> torch.Tensor:
        """Compute the loss, and store its gradient in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.generator(photographs), photographs)
        loss.backward()
        return loss

    def step(self, photographs: torch.Tensor) -> float:
        """Compute one training step, and return the loss before it."""
        loss = self.backward(photographs)
        self.optimizer.step()
        return loss.item()

    def gradient_norm(self) -> float:
        """Return the norm of the gradient that :meth:`backward` stored."""
        return float(
            torch.stack([p.grad.norm() for p in self.generator.parameters() if p.grad is not None]).norm()
        )

    def programs(self, photographs: np.ndarray) -> dict[str, Callable[[], Any]]:
        """Return the step and its parts as functions without arguments."""
        x = self.tensor(photographs)
        near = x + 0.01

        def generator_with_gradient() -> None:
            self.optimizer.zero_grad(set_to_none=True)
            self.generator(x).backward(x)

        def loss_with_gradient() -> None:
            leaf = near.detach().requires_grad_()
            self.loss(leaf, x).backward()

        return {
            "step": lambda: self.step(x),
            "generator": torch.no_grad()(lambda: self.generator(x)),
            "generator and gradient": generator_with_gradient,
            "loss": torch.no_grad()(lambda: self.loss(near, x)),
            "loss and gradient": loss_with_gradient,
        }

    def first(self, photographs: np.ndarray) -> dict[str, float]:
        """Return the loss and the norm of its gradient before any step."""
        return {
            "loss": self.backward(self.tensor(photographs)).item(),
            "gradient_norm": self.gradient_norm(),
        }


def use_threads(count: int) -> str:
    """Set the number of threads of PyTorch, and return its version."""
    torch.set_num_threads(count)
    return str(torch.__version__)
