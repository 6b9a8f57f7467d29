"""One function of the image from a frozen record: content, style and total variation, weighted."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from nstjax.errors import InputError, one_of
from nstjax.losses.content import CONTENT_LOSSES, content_loss
from nstjax.losses.distance import DISTANCES
from nstjax.losses.gram import STYLE_LOSSES, gram_matrix, style_loss
from nstjax.losses.tv import TV_REDUCTIONS, total_variation
from nstjax.typing import Features, Images, Scalar, Terms


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised: ``α·L_content + β·L_style + γ·L_tv``."""

    content_layers: tuple[str, ...] = ()
    """Layers whose activations are kept; none named means relu4_2, or the nearest that the weights have."""
    style_layers: tuple[str, ...] = ()
    """Layers whose statistics are taken; none named means the first ReLU of every block at hand."""
    content_weight: float = 1.0
    """α, the weight of the content loss."""
    style_weight: float = 180.0
    """β, the weight of the style loss."""
    tv_weight: float = 1.0
    """γ, the weight of the total variation."""
    content_layer_weights: tuple[float, ...] = ()
    """A factor for each content layer; none given means 1 each."""
    style_layer_weights: tuple[float, ...] = ()
    """A factor for each style layer; none given means 1 divided by their number."""
    content_loss: Literal["half_sum", "sum", "mean", "relative"] = "relative"
    """Normalisation of the content loss: ½Σ, Σ, mean, or Σ over that of the target."""
    style_loss: Literal["gatys", "johnson", "relative", "sum"] = "relative"
    """Normalisation of the style loss: Σ/(4N²M²), mean of F'F/(CHW), Σ over that of the target, or Σ."""
    content_distance: Literal["squared", "absolute"] = "squared"
    """Distance of activations."""
    style_distance: Literal["squared", "absolute"] = "squared"
    """Distance of Gram matrices."""
    tv_distance: Literal["absolute", "squared"] = "absolute"
    """Distance of neighbouring pixels."""
    tv_reduction: Literal["mean", "sum"] = "mean"
    """Whether the total variation is a sum over the picture, or that over its number of values."""

    def __post_init__(self) -> None:
        for option, allowed in (
            ("content_loss", CONTENT_LOSSES),
            ("style_loss", STYLE_LOSSES),
            ("content_distance", DISTANCES),
            ("style_distance", DISTANCES),
            ("tv_distance", DISTANCES),
            ("tv_reduction", TV_REDUCTIONS),
        ):
            one_of(f"--{option.replace('_', '-')}", getattr(self, option), allowed)
        for option in ("content_layers", "style_layers"):
            if not isinstance(getattr(self, option), tuple):
                raise InputError(f"--{option.replace('_', '-')} must be a tuple of names")
        for option in ("content_weight", "style_weight", "tv_weight"):
            value = getattr(self, option)
            if not 0 <= value < float("inf"):
                raise InputError(
                    f"--{option.replace('_', '-')} is {value}: it must be a finite number, 0 or more"
                )
        for which in ("content", "style"):
            layers, weights = getattr(self, f"{which}_layers"), getattr(self, f"{which}_layer_weights")
            if weights and len(weights) != len(layers):
                raise InputError(
                    f"--{which}-layer-weights has {len(weights)} values for {len(layers)} layers: name the layers "
                    f"with --{which}-layers and give one value for each"
                )
            if len(set(layers)) != len(layers):
                raise InputError(f"--{which}-layers names a layer twice: name each once")
            if any(not 0 <= weight < float("inf") for weight in weights):
                raise InputError(f"--{which}-layer-weights must be finite numbers, 0 or more")
        if self.content_weight == self.style_weight == 0:
            raise InputError("--content-weight and --style-weight are both 0: nothing would be transferred")

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that the objective looks at."""
        used = self.content_layers if self.content_weight else ()
        return tuple(dict.fromkeys([*used, *(self.style_layers if self.style_weight else ())]))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Targets:
    """What the image is compared with.

    Attributes:
        content: the content image's activations by layer, ``(1, h, w, c)``.
        style: the style image's Gram matrices by layer, ``(1, c, c)``, normalised by positions.
    """

    content: Mapping[str, jax.Array]
    style: Mapping[str, jax.Array]


def make_targets(record: Objective, content: Features, style: Features) -> Targets:
    """Targets from the activations of the two images.

    Args:
        record: with its layers named.
        content: the content image's activations, of ``record.content_layers`` at least.
        style: the style image's, of ``record.style_layers`` at least.
    """
    return Targets(
        {name: content[name] for name in record.content_layers if record.content_weight},
        {name: gram_matrix(style[name], "positions") for name in record.style_layers if record.style_weight},
    )


def _objective(
    record: Objective, apply: Callable[..., Features], network: Any, targets: Targets, image: Images
) -> tuple[Scalar, Terms]:
    terms: Terms = {}
    found = apply(network, image, record.layers) if record.layers else {}
    factors = record.content_layer_weights or (1.0,) * len(record.content_layers)
    for name, factor in zip(record.content_layers, factors, strict=True):
        if name in targets.content:
            loss = content_loss(
                found[name], targets.content[name], record.content_loss, record.content_distance
            )
            terms[f"content/{name}"] = record.content_weight * factor * loss
    count = len(record.style_layers)
    factors = record.style_layer_weights or (1.0 / max(count, 1),) * count
    for name, factor in zip(record.style_layers, factors, strict=True):
        if name in targets.style:
            gram = gram_matrix(found[name], "positions")
            loss = style_loss(gram, targets.style[name], record.style_loss, record.style_distance)
            terms[f"style/{name}"] = record.style_weight * factor * loss
    if record.tv_weight:
        terms["tv"] = record.tv_weight * total_variation(image, record.tv_distance, record.tv_reduction)
    return jnp.stack(list(terms.values())).sum(), terms


def objective(
    record: Objective, apply: Callable[..., Features], network: Any, targets: Targets
) -> Callable[[Images], tuple[Scalar, Terms]]:
    """The loss as a function of the image alone.

    Args:
        record: what to minimise; its layers must be named.
        apply: ``apply(network, image, layers) -> {name: (n, h, w, c)}``, pure and hashable: for example
            ``functools.partial(nstjax.features, pooling="average")``.
        network: a pytree, passed to ``apply``.
        targets: from :func:`make_targets`.

    Returns:
        ``fn(image) -> (total, terms)``, the weighted terms by name and layer (``"content/relu4_2"``,
        ``"style/relu1_1"``, ``"tv"``), of which ``total`` is the sum. It is a pytree
        (:class:`jax.tree_util.Partial`), so that ``jax.jit`` takes it as an argument and compiles once
        for all targets and weights of one shape.
    """
    return jax.tree_util.Partial(_Static(record, apply), network, targets)


@dataclasses.dataclass(frozen=True)
class _Static:
    """The hashable half of an objective: equal records and functions share a compiled program."""

    record: Objective
    apply: Callable[..., Features]

    def __call__(self, network: Any, targets: Targets, image: Images) -> tuple[Scalar, Terms]:
        return _objective(self.record, self.apply, network, targets, image)
