"""The frozen record of one student's training."""

import dataclasses

from nstjax.errors import InputError

CONVS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2")


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
    """Begin with the teacher's own channels; with a convolution left out, or by choice, begin at random."""
    gram_weight: float = 2.0
    """Of the error of Gram matrices beside that of activations."""
    own_paintings: int = 6
    """Paintings of the project's own among those seen."""
    painted: float = 0.25
    """Share of crops that are of paintings."""
    seed: int = 0
    """Of everything."""

    def __post_init__(self) -> None:
        if len(self.channels) != len(CONVS) or any(width < 0 for width in self.channels):
            raise InputError(f"--channels wants {len(CONVS)} numbers, 0 or more")
        if any(self.widths.get(name, 0) == 0 for name in self.outputs):
            raise InputError("--channels leaves out a convolution that has a head")
        if self.steps < 0 or self.batch < 1 or self.iterates < 0:
            raise InputError("--batch must be 1 or more, --steps and --iterates 0 or more")

    @property
    def widths(self) -> dict[str, int]:
        """Channels by convolution."""
        return {name: width for name, width in zip(CONVS, self.channels, strict=True) if width}

    @property
    def outputs(self) -> dict[str, int]:
        """Head outputs by convolution."""
        return dict(zip(("conv1_1", "conv2_1", "conv3_1", "conv3_2"), self.heads, strict=True))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers imitated."""
        return tuple(f"relu{name.removeprefix('conv')}" for name in self.outputs)
