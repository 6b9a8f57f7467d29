"""The config of a distillation."""

import dataclasses

from nstjax.errors import InputError
from nstjax.nn.table import conv_names, kernel_shape
from nstjax.typing import Pooling

CONVS = conv_names("vgg19")[:13]  # conv1_1 to conv5_1
HEADED = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of one distillation. The pictures and the teacher's weights are its other inputs.

    Raises:
        InputError: A field has a wrong length or value, no layer has a head, or conv1_1 or a convolution with
            a head is left out.
    """

    channels: tuple[int, ...] = (16, 32, 48, 64, 112, 0, 0, 112, 256, 256, 0, 256, 512)
    """Number of output channels at each of VGG-19's first 13 convolutions, conv1_1 to conv5_1; 0 leaves a convolution out."""
    heads: tuple[int, ...] = (16, 48, 96, 160, 160, 320)
    """Number of directions of the teacher's activations to imitate at relu1_1, relu2_1, relu3_1, relu4_1, relu4_2 and relu5_1; 0 leaves out the head."""
    fitted: bool = True
    """Start from weights fitted to the teacher by least squares instead of random ones."""
    fit_batches: int = 256
    """Number of batches of eight crops for the least-squares fit."""
    refits: int = 1
    """Number of times to repeat the fit with transfers of the fitted student as additional batches. The first fit then uses only a quarter of the batches."""
    steps: int = 5000
    """Number of training steps with Adam."""
    batch: int = 4
    """Number of crops of photographs and paintings in each batch."""
    iterates: int = 4
    """Number of additional images in each batch that are iterates of transfers with the current student; 0 uses none."""
    repeats: int = 1
    """Number of steps after each new batch that use a random recent batch again."""
    averaged: int = 3
    """Every n-th batch uses average pooling in both networks and the others max pooling; 0 uses max pooling only."""
    learning_rate: float = 1.5e-4
    """Peak learning rate of Adam. It is reached after 100 steps, or half of the steps if that is less, and decays to 0 with a cosine."""
    gram_weight: float = 2.0
    """Weight of the error of the Gram matrices relative to the error of the activations."""
    own_paintings: int = 6
    """Number of the project's own generated paintings to add to the paintings."""
    painted: float = 0.25
    """Share of crops that are taken from paintings, 0 to 1; the others are taken from photographs."""
    seed: int = 0
    """Seed of the crops, the transfers and the random initial weights."""

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
        """Number of head outputs by convolution, without convolutions that have no head."""
        return {name: count for name, count in zip(HEADED, self.heads, strict=True) if count}

    @property
    def used(self) -> tuple[str, ...]:
        """Names of VGG-19's convolutions up to the deepest head."""
        return CONVS[: max(CONVS.index(name) for name in self.outputs) + 1]

    @property
    def widths(self) -> dict[str, int]:
        """Number of channels by convolution of the student, shallow to deep, up to the deepest head."""
        return {name: width for name, width in zip(self.used, self.channels, strict=False) if width}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the imitated layers, such as ``"relu1_1"``."""
        return tuple(f"relu{name.removeprefix('conv')}" for name in self.outputs)

    @property
    def directions(self) -> dict[str, int]:
        """Number of head outputs by imitated layer."""
        return dict(zip(self.layers, self.outputs.values(), strict=True))

    @property
    def poolings(self) -> dict[Pooling, float]:
        """Share of the batches by pooling, without poolings of share 0. The shares sum to 1."""
        share = 1 / self.averaged if self.averaged else 0.0
        shares: dict[Pooling, float] = {"max": 1 - share, "average": share}
        return {pooling: share for pooling, share in shares.items() if share}

    def pooling_of(self, batch: int) -> Pooling:
        """Return the pooling of both networks for a batch.

        Args:
            batch: number of the batch, from 0.
        """
        return "average" if self.averaged and (batch + 1) % self.averaged == 0 else "max"
