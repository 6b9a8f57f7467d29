"""The frozen config of a transfer and its JSON form."""

import dataclasses
from typing import Any, Literal

from nstjax import optim
from nstjax.errors import MOST, InputError, check_choices, check_tuples, one_of, within
from nstjax.losses import Objective
from nstjax.plain import build, checked
from nstjax.typing import Backbone, Pooling, Precision

MAX_SIDE = 16384
LEAST_TILE = 32  # pixels; smaller tiles would be mostly halo
COARSEST = 128  # pixels; least side of the automatic pyramid


@dataclasses.dataclass(frozen=True)
class Settings:
    """Scales, initialization and network of a synthesis."""

    size: int = 512
    """Longer side of the result in pixels; a smaller content image is enlarged."""
    scales: tuple[int, ...] = ()
    """Longer sides in pixels from coarse to fine, the last one of the result; by default `size` and its halves, down to 128."""
    iterations: tuple[int, ...] = ()
    """Iterations at each scale, or one number for all; by default those of the optimizer."""
    loss_tolerance: float = 0.0
    """End a scale when the last 20 iterations lowered the loss by less than this fraction, but not before iteration 30. 0 always does all iterations."""
    init: Literal["content", "noise", "style", "image"] = "content"
    """Image to start from; image is the one that `init_image` gives."""
    noise: float = 1.0
    """Amplitude of the initial noise around mid-gray; 1 covers the whole range of values."""
    seed: int = 0
    """Seed of the initial noise."""
    style_scale: float = 1.0
    """Longer side of the style image relative to that of the result; the style image is never enlarged."""
    style_size: int | None = None
    """Longer side of the style image in pixels, the same at every scale; by default `style_scale` times that of the result."""
    pooling: Pooling = "max"
    """Pooling of the network."""
    pooling_scale: float = 1.0
    """Factor on the output of each pooling layer."""
    padding: Literal["zeros", "replicate"] = "replicate"
    """Padding of the first convolution."""
    precision: Precision = "float32"
    """Precision of the network; tf32 and bfloat16 are faster on GPUs and TPUs, but not on a CPU."""
    mask_carry: Literal["average", "all", "inside"] = "inside"
    """Which positions of a layer belong to a region: inside, those whose receptive field lies in it; all, those whose receptive field touches it; average, each in part, by the share of its cell."""
    style_mask_carry: Literal["average", "all", "inside"] = "inside"
    """As `mask_carry`, for the masks of the style images."""
    colors: Literal["style", "luminance", "histogram", "cholesky", "pca", "symmetric"] = "style"
    """Colors: the style image's (style), the content image's chrominance (luminance), or matched to the content image by the other methods."""
    colors_of: Literal["style", "result"] = "style"
    """Apply the content image's colors to the style image before the run, or to the result after it."""
    style_strength: float | None = None
    """Strength of the style: 0.1 weak, 1 about the default look, 10 strong. Replaces `style_weight` and `content_weight`; off by default."""
    tile: int = 0
    """Side in pixels of tiles in which loss and gradient are computed, for results that do not fit in memory; 0 uses no tiles."""
    shard: bool = False
    """Distribute the rows of the result over all devices."""

    def __post_init__(self) -> None:
        check_tuples(self)
        for option, sides in (
            ("size", (self.size,)),
            ("scales", self.scales),
            ("style_size", self._style()),
        ):
            for side in sides:
                within(option, side, 1, MAX_SIDE, " pixels")
        if any(b <= a for a, b in zip(self.scales, self.scales[1:], strict=False)):
            raise InputError(
                f"`scales` {' '.join(map(str, self.scales))}: they must grow from coarse to fine"
            )
        for count in self.iterations:
            within("iterations", count, 1, MOST)
        if not 0 <= self.loss_tolerance < 1:
            raise InputError(
                f"`loss_tolerance` is {self.loss_tolerance}: it must be 0 or more and less than 1"
            )
        if len(self.iterations) > 1 and len(self.iterations) != len(self.pyramid()):
            raise InputError(
                f"`iterations` has {len(self.iterations)} values for {len(self.pyramid())} scales: give one for "
                f"each, or one for all"
            )
        if not 0 < self.style_scale <= 16:
            raise InputError(f"`style_scale` is {self.style_scale}: it must be greater than 0 and at most 16")
        if not 0 <= self.noise <= 1:
            raise InputError(f"`noise` is {self.noise}: it must be between 0 and 1")
        if not 0 < self.pooling_scale < float("inf"):
            raise InputError(f"`pooling_scale` is {self.pooling_scale}: it must be greater than 0")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` is {self.seed}: it must be between 0 and {2**32 - 1}")
        if self.tile and not LEAST_TILE <= self.tile <= MAX_SIDE:
            raise InputError(
                f"`tile` is {self.tile}: it must be between {LEAST_TILE} and {MAX_SIDE} pixels, or 0 for no tiles"
            )
        if self.tile and self.shard:
            raise InputError("`tile` and `shard` contradict each other: give one of them")
        check_choices(self)
        if self.style_strength is not None and not 0 < self.style_strength <= 1e6:
            raise InputError(
                f"`style_strength` is {self.style_strength}: it must be greater than 0 and at most a million"
            )

    def _style(self) -> tuple[int, ...]:
        return () if self.style_size is None else (self.style_size,)

    def by_tiles(self, height: int, width: int) -> bool:
        """Return whether an image of this size is computed in tiles."""
        return 0 < self.tile < max(height, width)

    def pyramid(self) -> tuple[int, ...]:
        """Return the longer sides in pixels, from coarse to fine."""
        if self.scales:
            return self.scales
        sides = [self.size]
        while sides[0] // 2 >= COARSEST:
            sides.insert(0, sides[0] // 2)
        return tuple(sides)


@dataclasses.dataclass(frozen=True)
class TransferConfig(Settings):
    """All settings of a transfer; the images and the network are its other inputs."""

    objective: Objective = Objective()
    """The loss to minimize."""
    optimizer: optim.Optimizer = optim.Lbfgs(iterations=100)
    """The optimizer; its class is the method. Its ``iterations`` apply if this config's are empty."""

    def optimizer_at(self, scale: int) -> optim.Optimizer:
        """Return the optimizer at scale number ``scale``."""
        if not self.iterations:
            return self.optimizer
        count = self.iterations[scale if len(self.iterations) > 1 else 0]
        return dataclasses.replace(self.optimizer, iterations=count)

    def iterations_at(self, scale: int) -> int:
        """Return the largest number of iterations at a scale, over all rounds of SciPy."""
        return self.optimizer_at(scale).most_iterations

    def for_backbone(self, backbone: Backbone) -> "TransferConfig":
        """Return this config with the default layers and weights for a feature network where they are not set.

        Raises:
            InputError: If the network has no default content layer.
        """
        return dataclasses.replace(self, objective=self.objective.for_backbone(backbone))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON; :meth:`from_json` is the inverse."""
        data = dataclasses.asdict(self)
        data["optimizer"] = {"method": optim.optimizer_name(type(self.optimizer)), **data["optimizer"]}
        return data

    @classmethod
    def from_json(cls, data: object) -> "TransferConfig":
        """Return the config for plain data from :meth:`to_json`.

        Raises:
            InputError: If a field is unknown, or of a wrong type or value.
        """
        plain: dict[str, Any] = checked(data, dict[str, Any], "the record's config")
        optimizer = checked(plain.get("optimizer", {}), dict[str, Any], "the record's optimizer")
        method = optimizer.pop("method", "lbfgs")
        one_of("optimizer.method", method, tuple(optim.OPTIMIZERS))
        result: TransferConfig = build(
            cls, {**plain, "optimizer": build(optim.OPTIMIZERS[method], optimizer)}
        )
        return result
