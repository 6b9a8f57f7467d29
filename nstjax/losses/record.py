"""The configuration of the loss, a frozen dataclass."""

import dataclasses
from typing import Literal

from nstjax.errors import MOST, InputError, check_choices, check_not_negative, check_tuples, within
from nstjax.losses.statistics import Statistic, statistic_class
from nstjax.typing import Backbone

CONTENT_CANDIDATES = ("relu4_2", "relu3_2", "relu2_2", "relu1_2", "relu1_1")
VGG16_FACTOR = 0.6
"""Default style weight of VGG-16 relative to that of VGG-19, which is the statistic's default weight.

At the same look, VGG-16's relu4_1 and relu5_1 are farther from the style. The default weights were chosen in
experiments/gallery.
"""
SHALLOW_FACTOR, SHALLOW_POWER = 3.0, 1.75
"""Factor on the default style weight, and exponent of the style strength, without a fourth block.

The content layer of such a network, relu3_2, holds the content image more firmly, so that the same change of
look takes a larger change of weight.
"""
IMITATED_WEIGHTS = {"relu1_1": 0.17, "relu2_1": 0.17, "relu3_1": 0.17, "relu4_1": 0.255, "relu5_1": 0.51}
"""Default weights of the style layers of the embedded network; with VGG-19 each has 0.2.

The embedded network imitates VGG-19's deep layers less exactly than the shallow ones, so that their part of the gradient is too
small. With equal weights its pictures have fewer of the painting's large forms than those of VGG-19 (experiments/distill).
"""


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss to minimize: ``α·L_content + β·(L_style + w·L_windows) + γ·L_tv``."""

    content_layers: tuple[str, ...] = ()
    """Content layers; by default relu4_2, or the nearest layer that the weights have."""
    style_layers: tuple[str, ...] = ()
    """Style layers; by default the first ReLU of every block that the weights have."""
    content_weight: float = 1.0
    """α, the weight of the content loss."""
    style_weight: float | None = None
    """β, the weight of the style loss; by default chosen for the statistic and the network, 8 for Gram matrices and VGG-19."""
    tv_weight: float = 3.0
    """γ, the weight of the total variation loss."""
    window_weight: float = 0.0
    """Weight, relative to β, of an additional style loss on overlapping windows, which makes a texture even; gram only, without masks or tiles."""
    windows: int = 8
    """Number of windows of the `window_weight` loss along the shorter side of the result."""
    content_layer_weights: tuple[float, ...] = ()
    """Factor for each content layer; 1 by default."""
    style_layer_weights: tuple[float, ...] = ()
    """Factor for each style layer; by default 1 divided by the number of style layers, but in a transfer with the embedded network 0.17, 0.17, 0.17, 0.255, 0.51."""
    content_loss: Literal["half_sum", "sum", "mean", "relative"] = "relative"
    """Content loss at a layer, for activations F and target P with N channels and M positions: half_sum, ½ Σ(F − P)²; sum, Σ(F − P)²; mean, Σ(F − P)² / (NM); relative, Σ(F − P)² / ΣP²."""
    style_loss: Literal["gatys", "johnson", "relative", "sum", "raw_sum"] = "relative"
    """Style loss at a layer, for Gram matrices G = FᵀF / M and target A with N channels and M positions: gatys, Σ(G − A)² / (4N²); johnson, Σ(G − A)² / N⁴; relative, Σ(G − A)² / ΣA²; sum, Σ(G − A)²; raw_sum, Σ(MG − M′A)², where M′ are the positions of the style image. Other statistics have relative and sum."""
    style_statistic: str = "gram"
    """Statistic of the style loss: gram, linear, moments, polynomial, gaussian, wasserstein, covariance, sliced or long-range; or your own as module:Name, file.py:Name or the name of an entry point, whose code is run."""
    kernel_degree: int = 2
    """polynomial: d of the kernel (xᵀy + c)^d, for activations divided by the root mean square norm of the style's."""
    kernel_offset: float = 0.0
    """polynomial: c of the kernel."""
    bandwidth: float | None = None
    """gaussian: width of the kernel in units of the median distance between the style's activations; 1 by default."""
    kernel_samples: int = 512
    """gaussian, and polynomial of degree 3 or more: number of positions compared at a time; 0 compares all (exact, slow). sliced: 0 projects every position on every direction; other values have no effect."""
    guidance: Literal["gram", "sums"] = "gram"
    """gram: compare the statistic of each region. sums: compare each region's mean activation, and one statistic of the whole image (faster)."""
    blend: Literal["losses", "statistics"] = "losses"
    """Blend of several style images: losses, the sum of their losses; statistics, one loss for their mixed statistics."""
    content_distance: Literal["squared", "absolute"] = "squared"
    """Distance between activations: the square, or the absolute value."""
    style_distance: Literal["squared", "absolute"] = "squared"
    """Distance between statistics: the square, or the absolute value."""
    tv_distance: Literal["absolute", "squared"] = "absolute"
    """Distance between neighboring pixels: the absolute value, or the square."""
    tv_reduction: Literal["mean", "sum"] = "mean"
    """Reduction of the total variation over the image."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_tuples(self)
        for option in ("content_weight", "style_weight", "tv_weight", "window_weight"):
            value = getattr(self, option)
            if value is not None:
                check_not_negative(option, value)
        for which in ("content", "style"):
            layers, weights = getattr(self, f"{which}_layers"), getattr(self, f"{which}_layer_weights")
            if weights and len(weights) != len(layers):
                raise InputError(
                    f"`{which}_layer_weights` has {len(weights)} values for {len(layers)} layers: name the layers "
                    f"with `{which}_layers` and give one value for each"
                )
            if len(set(layers)) != len(layers):
                raise InputError(f"`{which}_layers` names a layer twice: name each once")
            if any(not 0 <= weight < float("inf") for weight in weights):
                raise InputError(f"`{which}_layer_weights` must be finite numbers, 0 or more")
        if self.content_weight == self.style_weight == 0:
            raise InputError(
                "`content_weight` and `style_weight` are both 0: at least one must be greater than 0"
            )
        self._check_statistic()

    def _check_statistic(self) -> None:
        name, kind = self.style_statistic, statistic_class(self.style_statistic)
        if self.style_loss not in kind.normalizations:
            raise InputError(
                f"`style_loss` {self.style_loss} does not go with `style_statistic` {name}: choose "
                f"{' or '.join(kind.normalizations)}"
            )
        if self.style_distance not in kind.default_weights:
            raise InputError(
                f"`style_distance` {self.style_distance} does not go with `style_statistic` {name}: choose "
                f"{' or '.join(kind.default_weights)}"
            )
        if not 1 <= self.kernel_degree <= 8:
            raise InputError(f"`kernel_degree` is {self.kernel_degree}: it must be between 1 and 8")
        most = 1e30 ** (1 / self.kernel_degree)  # the power of a larger offset overflows float32
        if not 0 <= self.kernel_offset <= most:
            raise InputError(
                f"`kernel_offset` is {self.kernel_offset}: it must be a finite number, 0 or more, and at most {most:g} for "
                f"`kernel_degree` {self.kernel_degree}"
            )
        if self.bandwidth is not None and not 0 < self.bandwidth < float("inf"):
            raise InputError(f"`bandwidth` is {self.bandwidth}: it must be a finite number greater than 0")
        within("windows", self.windows, 1, 64)
        if self.kernel_samples:
            within("kernel_samples", self.kernel_samples, 2, MOST, ", or 0 for all")

    def for_layers(self, layers: tuple[str, ...]) -> "Objective":
        """Return this record with layers and style weight filled in where they are not set.

        The weight of the window loss becomes 0 for statistics other than Gram matrices.

        Args:
            layers: layers that the feature network has, shallow to deep.
        """
        content, style = self.content_layers, self.style_layers
        if not content:
            content = tuple(name for name in CONTENT_CANDIDATES if name in layers)[:1]
            if not content:
                raise InputError(
                    f"the network has none of the default content layers {', '.join(CONTENT_CANDIDATES)}: set `content_layers`"
                )
        if not style:
            style = tuple(f"relu{block}_1" for block in range(1, 6) if f"relu{block}_1" in layers)
        weight = self.style_weight
        if weight is None:
            weight = self.default_style_weight(layers)
        windows = self.window_weight if self.style_statistic == "gram" else 0.0
        return dataclasses.replace(
            self, content_layers=content, style_layers=style, style_weight=weight, window_weight=windows
        )

    def for_backbone(self, backbone: Backbone) -> "Objective":
        """Return this record with the defaults for a feature network filled in where they are not set.

        Fills in what :meth:`for_layers` does. For the embedded network it also fills in :data:`IMITATED_WEIGHTS`, unless
        style layers or their weights are set, or the content weight is 0 (textures).

        Args:
            backbone: the feature network.

        Raises:
            InputError: If the network has no default content layer.
        """
        named = self.for_layers(backbone.layers)
        chosen = self.style_layers or self.style_layer_weights or not self.content_weight
        if chosen or backbone.arch != "embedded" or named.style_layers != tuple(IMITATED_WEIGHTS):
            return named
        return dataclasses.replace(named, style_layer_weights=tuple(IMITATED_WEIGHTS.values()))

    def default_style_weight(self, layers: tuple[str, ...], strength: float = 1.0) -> float:
        """Return β of relative losses for a style strength.

        The same strength gives about the same look with every network.

        Args:
            layers: layers that the feature network has.
            strength: 1 for the default look; see :func:`nstjax.losses.balance`.
        """
        weight = statistic_class(self.style_statistic).default_weights[self.style_distance]
        if "relu4_1" not in layers:
            return weight * SHALLOW_FACTOR * strength**SHALLOW_POWER
        vgg16 = "relu4_3" in layers and "relu4_4" not in layers
        return weight * strength * (VGG16_FACTOR if vgg16 else 1.0)

    @property
    def beta(self) -> float:
        """β, the style weight; the default for VGG-19 if it is not set."""
        if self.style_weight is not None:
            return self.style_weight
        return statistic_class(self.style_statistic).default_weights[self.style_distance]

    @property
    def statistic(self) -> Statistic:
        """The style statistic with its parameters."""
        return statistic_class(self.style_statistic).from_record(self)

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers whose activations the loss uses."""
        return tuple(dict.fromkeys([*self.used_content_layers, *self.used_style_layers]))

    @property
    def used_content_layers(self) -> tuple[str, ...]:
        """The content layers; empty if the content weight is 0."""
        return self.content_layers if self.content_weight else ()

    @property
    def used_style_layers(self) -> tuple[str, ...]:
        """The style layers; empty if the style weight is 0."""
        return self.style_layers if self.style_weight != 0 else ()
