"""A checked synthesis problem: the objective and the initial image at each scale."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError
from nstjax.images.resize import fit_long_side
from nstjax.losses import Targets, balance
from nstjax.nn.vgg import check_layers, check_size
from nstjax.optim import ObjectiveFn
from nstjax.optim.hoist import hoist
from nstjax.pixels import check_image
from nstjax.synthesis.colors import prepare_colors
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.loss import LossNetwork, targets_at
from nstjax.synthesis.pyramid import exemplar_size_at, first_image, fitted, style_size_at
from nstjax.synthesis.solve import Stage
from nstjax.synthesis.styles import StyleRegion, Styles, check_masks, check_regions
from nstjax.typing import Backbone, Images, Scalar, Terms

ExtraTerms: TypeAlias = Mapping[str, Callable[[Images], Scalar]]
"""The caller's own loss terms by name: differentiable functions of the image ``(1, h, w, 3)``."""


@dataclasses.dataclass(frozen=True)
class _WithTerms:
    """A function that adds the caller's terms to a loss.

    Instances with equal names are equal, so they share compiled programs.
    """

    names: tuple[str, ...]

    def __call__(self, loss: Any, extra: tuple[Any, ...], image: Images) -> tuple[Scalar, Terms]:
        """Compute the loss with the additional terms."""
        total, terms = loss(image)
        added = {name: term(image) for name, term in zip(self.names, extra, strict=True)}
        return sum(added.values(), total), {**terms, **added}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A synthesis problem.

    Attributes:
        network: the feature network, with the options of the config.
        shape: height and width that give the proportions of the output image.
        content: the content image, ``(1, h, w, 3)``; None for a texture.
        regions: the styles, with the colors that the network sees.
        init_image: the initial image, for ``init == "image"``.
        extra_terms: terms that are added to the loss.
    """

    network: LossNetwork
    shape: tuple[int, int]
    content: Images | None
    regions: tuple[StyleRegion, ...]
    init_image: Images | None
    extra_terms: ExtraTerms

    def style_size(self, image: Images, side: int) -> tuple[int, int]:
        """Return the height and width of a style image at the scale whose longer side is ``side``."""
        rule = exemplar_size_at if self.content is None else style_size_at
        return rule(image, side, self.network.config)

    def check(self) -> None:
        """Check the sizes of images and masks at every scale.

        Raises:
            InputError: If an image is too small for a layer, or a mask is empty at a layer.
        """
        config, backbone = self.network.config, self.network.backbone
        record, smallest = config.objective, config.pyramid()[0]
        sizes = {side: fit_long_side(*self.shape, side) for side in config.pyramid()}
        check_size(record.layers, *sizes[smallest])
        for style in (style for region in self.regions for style in region.styles):
            check_size(record.used_style_layers, *self.style_size(style.image, smallest), "a style")
        check_masks(self.regions, config, backbone.arch, sizes, self.style_size)

    def stage(self, side: int) -> Stage:
        """Return the loss and the initial image at the scale whose longer side is ``side``."""
        network, config = self.network, self.network.config
        size = fit_long_side(*self.shape, side)
        content = None if self.content is None else fitted(self.content, *size)

        def painting(image: Images) -> Images:
            return fitted(image, *self.style_size(image, side))

        targets = targets_at(network, self.regions, painting, size, content)

        def loss(targets: Targets) -> ObjectiveFn:
            return network.loss(targets, size)

        if config.style_strength is not None and content is not None:
            weight = config.objective.default_style_weight(network.backbone.layers, config.style_strength)
            targets = balance(config.objective, loss, targets, content, config.style_strength, weight)

        def start() -> jax.Array:
            first = painting(self.regions[0].styles[0].image)
            return first_image(config, size, content, first, self.init_image)

        factors = {kind: float(value) for kind, value in targets.balance.items()} or None
        fun = loss(targets)
        if self.extra_terms:
            blank = jnp.zeros((1, *size, 3), jnp.float32)
            extra = tuple(hoist(term, blank) for term in self.extra_terms.values())
            fun = jax.tree_util.Partial(_WithTerms(tuple(self.extra_terms)), fun, extra)
        return Stage(fun, size, start, factors)


def make_problem(
    config: TransferConfig,
    backbone: Backbone,
    style: Styles,
    shape: tuple[int, int],
    content: Images | None = None,
    init_image: Images | None = None,
    extra_terms: ExtraTerms | None = None,
) -> Problem:
    """Check the inputs of a synthesis and return its problem.

    Args:
        config: the config, with its layers named (:meth:`TransferConfig.for_backbone`).
        backbone: the feature network.
        style: as for :func:`nstjax.transfer`.
        shape: height and width that give the proportions of the output image.
        content: the content image, ``(1, h, w, 3)`` float32; None for a texture.
        init_image: the initial image, for ``config.init == "image"``.
        extra_terms: terms that are added to the loss.

    Raises:
        InputError: If settings contradict each other, the network lacks a layer, an image has a wrong shape or
            wrong values or is too small for a layer, a mask is empty at a layer, a texture has region masks,
            or an extra term has the name of a built-in one.
    """
    for name in extra_terms or {}:
        if name.split("/")[0] in ("content", "style", "windows", "tv"):
            raise InputError(f"the extra term {name!r} has the name of a built-in term: give it another")
    regions = check_regions(style, shape)
    if content is None and any(region.mask is not None for region in regions):
        raise InputError("a texture has no regions of its own: give its styles alone")
    if init_image is not None:
        init_image = check_image("initial image", init_image)
    if content is not None:
        check_layers(backbone, config.objective.content_layers, "content_layers")
    check_layers(backbone, config.objective.style_layers, "style_layers")
    problem = Problem(LossNetwork(config, backbone), shape, content, regions, init_image, extra_terms or {})
    problem.check()
    if content is None:
        return problem
    content, regions = prepare_colors(config, np.asarray(content), regions)
    return dataclasses.replace(problem, content=content, regions=regions)
