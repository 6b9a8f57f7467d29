"""Weights from the images themselves: one number in place of content and style weight (Stanford poster, future work)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nstjax.losses.record import Objective
from nstjax.losses.targets import Targets
from nstjax.typing import Images

STYLE_UNIT = 120.0
"""Style to content at strength 1, in shares; with it 1 looks like the default weights (experiments/stanford_controls)."""
TV_UNIT = 0.08
"""Total variation to content, likewise, at ``tv_weight`` 1."""
LEAST = (
    1e-3  # of what a picture without content has: a photograph that is its own painting divides by no zero
)


@jax.jit
def _terms(fun: Any, image: Images) -> dict[str, jax.Array]:
    return fun(image)[1]


def balance(
    record: Objective,
    loss: Callable[[Targets], Callable[..., Any]],
    targets: Targets,
    content: Images,
    strength: float,
) -> Targets:
    """The targets with factors that make terms shares of what there is to lose and to gain.

    The content loss is divided by that of a plain picture of the photograph's mean colour (1: all content
    lost), the style loss by that of the photograph itself (1: no style gained), the total variation by the
    photograph's. So the minimum does not depend on how a loss is normalised, and a strength means much the
    same for other images, sizes, layers and networks. The raw weights of content and style cancel out.

    Args:
        record: what is minimised.
        loss: makes the function of the image from targets, as :func:`nstjax.losses.objective` does.
        targets: from :func:`nstjax.losses.make_targets`.
        content: the photograph at the size of the picture, ``(1, h, w, 3)``.
        strength: ``s > 0``; shares of style count ``s·STYLE_UNIT`` times those of content.
    """
    plain = dataclasses.replace(targets, balance={})
    fun = loss(plain)
    grey = jnp.broadcast_to(jnp.mean(content, (1, 2), keepdims=True), content.shape)

    def total(terms: dict[str, jax.Array], kind: str) -> jax.Array:
        parts = [value for name, value in terms.items() if name.split("/")[0] == kind]
        return jnp.stack(parts).sum() if parts else jnp.ones(())

    # Black or white, whichever is farther: a blank photograph has nothing to lose against its own colour.
    far = jnp.broadcast_to(jnp.where(jnp.mean(content) < 0.5, 1.0, 0.0), content.shape).astype(content.dtype)
    at_content, at_grey, at_far = (_terms(fun, image) for image in (content, grey, far))

    def inverse(value: jax.Array, at_least: jax.Array) -> jax.Array:
        floored = jnp.maximum(value, LEAST * at_least)
        return 1 / jnp.where(floored > 0, floored, 1.0)

    variation = total(at_content, "tv") / (record.tv_weight or 1.0)
    return dataclasses.replace(
        targets,
        balance={
            "content": inverse(total(at_grey, "content"), total(at_far, "content")),
            "style": strength * STYLE_UNIT * inverse(total(at_content, "style"), total(at_far, "style")),
            "tv": TV_UNIT * inverse(variation, jnp.ones(())),
        },
    )
