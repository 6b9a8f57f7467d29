"""Weights of content and style from the images and one style strength.

The automatic choice of hyper-parameters is the Stanford poster's future work; this method is the project's own.
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
"""Least share of a black or white picture's loss by which a term is divided; a blank photograph needs it."""


@jax.jit
def _terms(fun: Any, image: Images) -> dict[str, jax.Array]:
    return fun(image)[1]


def balance(
    record: Objective,
    loss: Callable[[Targets], Callable[..., Any]],
    targets: Targets,
    content: Images,
    strength: float,
    style_weight: float,
) -> Targets:
    """The targets with a factor for each kind of term, found from the images.

    Content and style loss are divided by those of a plain picture of the photograph's mean color, so that 1 means
    that all content or all style is missing, however a loss is normalized. The style then counts ``style_weight``
    times as much as the content; the record's weights of content and style cancel out. The total variation is
    scaled so that the photograph's equals its mean absolute difference of neighboring pixels, times ``tv_weight``.
    Below a strength of 1 it counts ``strength`` times as much: less style makes less noise to smooth.

    With relative losses, the default, a plain picture has losses a little below 1, so a strength of 1 is nearly the
    default weights.

    Args:
        record: what is minimized.
        loss: makes the function of the image from targets, as :func:`nstjax.losses.objective` does.
        targets: from :func:`nstjax.losses.make_targets`.
        content: the photograph at the size of the picture, ``(1, h, w, 3)``.
        strength: greater than 0; 0.1 is a touch of the style, 1 the default look, 10 repaints the photograph.
        style_weight: of this strength, from :meth:`Objective.default_style_weight`.

    Returns:
        ``targets`` with ``balance`` set: ``{"content": (), "style": (), "tv": ()}``.
    """
    fun = loss(dataclasses.replace(targets, balance={}))
    grey = jnp.broadcast_to(jnp.mean(content, (1, 2), keepdims=True), content.shape)

    def total(terms: dict[str, jax.Array], kind: str) -> jax.Array:
        parts = [value for name, value in terms.items() if name.split("/")[0] == kind]
        return jnp.stack(parts).sum() if parts else jnp.ones(())

    # Black or white, whichever is farther: a blank photograph has nothing to lose against its own color.
    far = jnp.broadcast_to(jnp.where(jnp.mean(content) < 0.5, 1.0, 0.0), content.shape).astype(content.dtype)
    at_grey, at_far = (_terms(fun, image) for image in (grey, far))

    def inverse(kind: str) -> jax.Array:
        floored = jnp.maximum(total(at_grey, kind), _LEAST * total(at_far, kind))
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
