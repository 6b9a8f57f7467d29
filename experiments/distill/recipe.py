"""The frozen record of one student's training."""

import dataclasses

from nstjax.errors import InputError
from nstjax.nn.vgg import kernel_shape

CONVS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2")
HEADED = ("conv1_1", "conv2_1", "conv3_1", "conv3_2")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a student, but the pictures and the teacher's weights."""

    channels: tuple[int, ...] = (16, 32, 48, 64, 128, 128)
    """Of conv1_1, conv1_2, conv2_1, conv2_2, conv3_1, conv3_2; 0 leaves a convolution out."""
    heads: tuple[int, ...] = (16, 64, 128, 128)
    """Directions of the teacher's activations that are imitated at relu1_1, relu2_1, relu3_1, relu3_2."""
    steps: int = 5000
    """Of Adam."""
    batch: int = 4
    """Crops of pictures a step."""
    iterates: int = 2
    """Crops a step that are transfers under way, made with the student as it is; 0 is none."""
    learning_rate: float = 5e-4
    """Of Adam, after a rise over 100 steps, falling as a cosine to 0."""
    pruned: bool = True
    """Begin with the teacher's own channels, not at random; needs every convolution."""
    gram_weight: float = 2.0
    """Of the error of Gram matrices beside that of activations."""
    own_paintings: int = 6
    """Paintings of the project's own among those seen."""
    painted: float = 0.25
    """Share of crops that are of paintings."""
    seed: int = 0
    """Of everything."""

    def __post_init__(self) -> None:
        most = tuple(kernel_shape(name)[3] for name in CONVS)
        if len(self.channels) != len(CONVS) or not all(
            0 <= c <= m for c, m in zip(self.channels, most, strict=True)
        ):
            raise InputError(f"--channels needs {len(CONVS)} numbers, from 0 to VGG-19's own {most}")
        if len(self.heads) != len(HEADED) or not all(
            1 <= h <= kernel_shape(name)[3] for h, name in zip(self.heads, HEADED, strict=True)
        ):
            raise InputError(f"--heads needs {len(HEADED)} numbers, from 1 to VGG-19's channels at {HEADED}")
        if self.pruned and 0 in self.channels:
            raise InputError(
                "--channels leaves out a convolution, so that nothing can be pruned: say --no-pruned"
            )
        if any(self.widths.get(name, 0) == 0 for name in self.outputs):
            raise InputError("--channels leaves out a convolution that has a head")
        if self.steps < 0 or self.batch < 1 or self.iterates < 0:
            raise InputError("--batch must be 1 or more, --steps and --iterates 0 or more")
        if not 0 < self.learning_rate < 1 or not 0 <= self.painted <= 1 or self.gram_weight < 0:
            raise InputError("--learning-rate and --painted lie between 0 and 1, --gram-weight is 0 or more")

    @property
    def widths(self) -> dict[str, int]:
        """Channels by convolution."""
        return {name: width for name, width in zip(CONVS, self.channels, strict=True) if width}

    @property
    def outputs(self) -> dict[str, int]:
        """Head outputs by convolution."""
        return dict(zip(HEADED, self.heads, strict=True))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers imitated."""
        return tuple(f"relu{name.removeprefix('conv')}" for name in self.outputs)
