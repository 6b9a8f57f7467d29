"""Weights of the content, style and total variation losses, computed from the images and one style strength.

The Stanford poster names the automatic choice of hyperparameters as future work. The method here is nstjax's
own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nstjax.losses.record import Objective
from nstjax.losses.targets import Targets
from nstjax.losses.tv import total_variation
from nstjax.typing import Images

_LEAST = 1e-3
"""Lower limit of a divisor, as a fraction of the loss of a black or white image.

A blank content image needs it, because its content loss against its own mean color is 0.
"""


@jax.jit
def _terms(fun: Any, image: Images) -> dict[str, jax.Array]:
    """Return the terms of a loss at an image."""
    return fun(image)[1]


def balance(
    record: Objective,
    loss: Callable[[Targets], Callable[..., Any]],
    targets: Targets,
    content: Images,
    strength: float,
    style_weight: float,
) -> Targets:
    """Return the targets with a factor for each kind of term, computed from the images.

    The content and style losses are divided by the losses of a constant image of the content image's mean
    color. A value of 1 then means that all content, or all style, is missing, whatever the normalization of
    the loss. The style term is then multiplied by ``style_weight``; the record's own weights of content and
    style cancel out.

    The total variation is scaled so that the content image's total variation equals its mean absolute
    difference of neighboring pixels, times ``tv_weight``. Below a strength of 1 it is also multiplied by
    ``strength``, because less style produces less noise to smooth.

    With relative losses, the default, a constant image has losses slightly below 1. A strength of 1 is
    therefore nearly the same as the default weights.

    Args:
        record: the objective.
        loss: function that returns the loss of an image, ``fn(image) -> (total, terms)``, for given targets,
            as :func:`nstjax.losses.objective` does.
        targets: from :func:`nstjax.losses.make_targets`.
        content: the content image at the size of the output image, ``(1, h, w, 3)`` in [0, 1].
        strength: style strength, greater than 0: 0.1 is a slight style, 1 the default look, 10 repaints the
            content image.
        style_weight: style weight for this strength, from :meth:`Objective.default_style_weight`.

    Returns:
        ``targets`` with ``balance`` set to ``{"content": (), "style": (), "tv": ()}``, scalars.
    """
    fun = loss(dataclasses.replace(targets, balance={}))
    gray = jnp.broadcast_to(jnp.mean(content, (1, 2), keepdims=True), content.shape)

    def total(terms: dict[str, jax.Array], kind: str) -> jax.Array:
        parts = [value for name, value in terms.items() if name.split("/")[0] == kind]
        return jnp.stack(parts).sum() if parts else jnp.ones(())

    # Black or white, whichever is farther from the content image. A blank content image has no content loss
    # against its own mean color.
    far = jnp.broadcast_to(jnp.where(jnp.mean(content) < 0.5, 1.0, 0.0), content.shape).astype(content.dtype)
    at_gray, at_far = (_terms(fun, image) for image in (gray, far))

    def inverse(kind: str) -> jax.Array:
        floored = jnp.maximum(total(at_gray, kind), _LEAST * total(at_far, kind))
        return 1 / jnp.where(floored > 0, floored, 1.0)

    variation = total_variation(content, record.tv_distance, record.tv_reduction)
    plain_variation = total_variation(content, "absolute", "mean")
    return dataclasses.replace(
        targets,
        balance={
            "content": inverse("content"),
            "style": style_weight * inverse("style"),
            "tv": min(strength, 1.0) * plain_variation / jnp.where(variation > 0, variation, 1.0),
        },
    )
