"""The frozen config of one student's training."""

import dataclasses

from nstjax.errors import InputError
from nstjax.nn.table import conv_names, kernel_shape
from nstjax.typing import Pooling

CONVS = conv_names("vgg19")[:13]  # to conv5_1
HEADED = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All settings of a training; the pictures and the teacher's weights are its other inputs."""

    channels: tuple[int, ...] = (16, 32, 48, 64, 112, 0, 0, 112, 256, 256, 0, 256, 512)
    """Output channels of VGG-19's first 13 convolutions, conv1_1 to conv5_1; 0 leaves a convolution out."""
    heads: tuple[int, ...] = (16, 48, 96, 160, 160, 320)
    """Directions of the teacher's activations to imitate at relu1_1, relu2_1, relu3_1, relu4_1, relu4_2 and relu5_1."""
    fitted: bool = True
    """Start from weights fitted to the teacher by least squares instead of random ones."""
    fit_batches: int = 256
    """Batches of eight pictures to fit to."""
    refits: int = 1
    """How many times the start is fitted again with its own transfers among the pictures."""
    steps: int = 12000
    """Steps of Adam."""
    batch: int = 4
    """Crops of pictures in each batch."""
    iterates: int = 4
    """Crops in each batch that are unfinished transfers, made with the current student; 0 means none."""
    repeats: int = 1
    """Steps after each new batch that use earlier batches again."""
    averaged: int = 3
    """Every so many-th batch uses average pooling in both networks, the others max pooling; 0 means max pooling alone."""
    learning_rate: float = 1.5e-4
    """Peak learning rate of Adam: reached after 100 steps, then a cosine to 0."""
    gram_weight: float = 2.0
    """Weight of the error of Gram matrices relative to the error of activations."""
    own_paintings: int = 6
    """Number of the project's own paintings among the paintings."""
    painted: float = 0.25
    """Share of crops taken from paintings."""
    seed: int = 0
    """Seed of the crops, the transfers and random weights."""

    def __post_init__(self) -> None:
        most = tuple(kernel_shape(name)[3] for name in CONVS)
        if len(self.channels) != len(CONVS) or not all(
            0 <= c <= m for c, m in zip(self.channels, most, strict=True)
        ):
            raise InputError(f"--channels must be {len(CONVS)} numbers from 0 to VGG-19's own {most}")
        if len(self.heads) != len(HEADED) or not all(
            0 <= h <= kernel_shape(name)[3] for h, name in zip(self.heads, HEADED, strict=True)
        ):
            raise InputError(
                f"--heads must be {len(HEADED)} numbers from 0 to VGG-19's channels at {', '.join(HEADED)}"
            )
        if not self.outputs:
            raise InputError("--heads are all 0: give at least one layer a head")
        if not self.channels[0] or any(self.widths.get(name, 0) == 0 for name in self.outputs):
            raise InputError("--channels leaves out conv1_1 or a convolution that has a head")
        if (
            min(self.batch, self.fit_batches) < 1
            or min(self.steps, self.iterates, self.repeats, self.refits, self.averaged) < 0
        ):
            raise InputError(
                "--batch and --fit-batches must be 1 or more, --steps, --iterates, --repeats, --refits and --averaged 0 or more"
            )
        if not 0 < self.learning_rate < 1 or not 0 <= self.painted <= 1 or self.gram_weight < 0:
            raise InputError("--learning-rate and --painted must be between 0 and 1, --gram-weight 0 or more")

    @property
    def outputs(self) -> dict[str, int]:
        """Head outputs by convolution."""
        return {name: count for name, count in zip(HEADED, self.heads, strict=True) if count}

    @property
    def used(self) -> tuple[str, ...]:
        """The convolutions up to the deepest head."""
        return CONVS[: max(CONVS.index(name) for name in self.outputs) + 1]

    @property
    def widths(self) -> dict[str, int]:
        """Channels by convolution."""
        return {name: width for name, width in zip(self.used, self.channels, strict=False) if width}

    @property
    def layers(self) -> tuple[str, ...]:
        """The imitated layers."""
        return tuple(f"relu{name.removeprefix('conv')}" for name in self.outputs)

    @property
    def directions(self) -> dict[str, int]:
        """Head outputs by layer."""
        return dict(zip(self.layers, self.outputs.values(), strict=True))

    @property
    def poolings(self) -> dict[Pooling, float]:
        """Share of the batches by pooling."""
        share = 1 / self.averaged if self.averaged else 0.0
        shares: dict[Pooling, float] = {"max": 1 - share, "average": share}
        return {pooling: share for pooling, share in shares.items() if share}

    def pooling_of(self, batch: int) -> Pooling:
        """The pooling of both networks for a batch."""
        return "average" if self.averaged and (batch + 1) % self.averaged == 0 else "max"
