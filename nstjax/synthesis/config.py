"""The frozen record of a transfer, and its form in JSON."""

import dataclasses
from typing import Any, Literal

from nstjax import optim
from nstjax.errors import MOST, InputError, check_choices, one_of, within
from nstjax.losses import Objective
from nstjax.nn.vgg import default_pooling
from nstjax.plain import build, checked
from nstjax.typing import Backbone, PoolingChoice, Precision

MAX_SIDE = 16384
LEAST_TILE = 32  # pixels: below, nearly all is halo
COARSEST = 128  # where the automatic pyramid begins


@dataclasses.dataclass(frozen=True)
class Settings:
    """Scales, start and network of a synthesis."""

    size: int = 512
    """Longer side of the result, in pixels; where scales are given, the last of them counts."""
    scales: tuple[int, ...] = ()
    """Longer sides from coarse to fine, the last being the result's; none given means size halved down to 128."""
    iterations: tuple[int, ...] = ()
    """Iterations at each scale; one value is for all, none given means the optimiser's own."""
    init: Literal["content", "noise", "style", "image"] = "content"
    """What the first scale starts from."""
    noise: float = 1.0
    """Amplitude of the starting noise, about mid-grey; 1 spans all values."""
    seed: int = 0
    """Of the starting noise."""
    style_scale: float = 1.0
    """Size of the style image relative to the content at each scale; it is never enlarged."""
    style_size: int | None = None
    """Longer side of the style image at every scale, in place of style_scale."""
    pooling: PoolingChoice = "network"
    """Pooling; network is the one that it was trained with: max for VGG, average for the embedded network."""
    pooling_scale: float = 1.0
    """Factor on every pooling's output."""
    padding: Literal["zeros", "replicate"] = "replicate"
    """Padding of the network's first layer."""
    precision: Precision = "float32"
    """Of the network's products; the other two are quicker on devices made for them, and on a CPU no faster."""
    mask_carry: Literal["average", "all", "inside"] = "inside"
    """How the photograph's masks reach deeper layers: averaged, all that touches a region, or what lies inside it."""
    style_mask_carry: Literal["average", "all", "inside"] = "inside"
    """The same for the paintings' masks."""
    colors: Literal["style", "luminance", "histogram", "cholesky", "pca", "symmetric"] = "style"
    """The painting's colours; or the photograph's, by luminance alone, histograms, or a linear map of colours."""
    colors_of: Literal["style", "result"] = "style"
    """Whether the photograph's colours are given to the painting beforehand or to the picture at the end."""
    style_strength: float | None = None
    """Style to content, in place of their weights: 0.1 is a touch of the style, 1 the default, 10 a repainting."""
    tile: int = 0
    """Compute loss and gradient in tiles of so many pixels, for pictures that do not fit in memory; 0 is in one piece."""
    shard: bool = False
    """Share the picture's rows among all devices."""

    def __post_init__(self) -> None:
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
        """Whether an image of this size is computed by tiles."""
        return 0 < self.tile < max(height, width)

    def pyramid(self) -> tuple[int, ...]:
        """Longer sides, coarse to fine."""
        if self.scales:
            return self.scales
        sides = [self.size]
        while sides[0] // 2 >= COARSEST:
            sides.insert(0, sides[0] // 2)
        return tuple(sides)


@dataclasses.dataclass(frozen=True)
class TransferConfig(Settings):
    """Everything that decides a transfer's picture, but the two images and the weights."""

    objective: Objective = Objective()
    """What is minimised."""
    optimizer: optim.Optimizer = optim.Lbfgs()
    """How; its class chooses the method. Its iterations hold where ``iterations`` is empty."""

    def optimizer_at(self, scale: int) -> optim.Optimizer:
        """The optimiser's record at scale ``scale`` of the pyramid."""
        if not self.iterations:
            return self.optimizer
        count = self.iterations[scale if len(self.iterations) > 1 else 0]
        return dataclasses.replace(self.optimizer, iterations=count)

    def iterations_at(self, scale: int) -> int:
        """How many iterations a scale takes at most, those of all of SciPy's rounds included."""
        return self.optimizer_at(scale).most_iterations

    def for_backbone(self, backbone: Backbone) -> "TransferConfig":
        """This record with layers, style weight and pooling set, by the network's where they were not."""
        pooling = default_pooling(backbone) if self.pooling == "network" else self.pooling
        return dataclasses.replace(
            self, objective=self.objective.for_layers(backbone.layers), pooling=pooling
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data; :meth:`from_json` is the inverse."""
        data = dataclasses.asdict(self)
        data["optimizer"] = {"method": optim.optimizer_name(type(self.optimizer)), **data["optimizer"]}
        return data

    @classmethod
    def from_json(cls, data: object) -> "TransferConfig":
        """A record from plain data.

        Raises:
            InputError: a field is unknown, or of a wrong type or value.
        """
        plain: dict[str, Any] = checked(data, dict[str, Any], "the record's config")
        optimizer = checked(plain.get("optimizer", {}), dict[str, Any], "the record's optimiser")
        method = optimizer.pop("method", "lbfgs")
        one_of("optimizer.method", method, tuple(optim.OPTIMIZERS))
        result: TransferConfig = build(
            cls, {**plain, "optimizer": build(optim.OPTIMIZERS[method], optimizer)}
        )
        return result
