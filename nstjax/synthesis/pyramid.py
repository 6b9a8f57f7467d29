"""Images at one scale of a coarse-to-fine synthesis, and the start there."""

from functools import partial

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.images.resize import fit_long_side, resize
from nstjax.synthesis.config import TransferConfig
from nstjax.typing import Images


# One small program where it would be several.
@partial(jax.jit, static_argnames=("height", "width", "method"))
def _fitted(image: jax.Array, height: int, width: int, method: str = "lanczos3") -> jax.Array:
    return jnp.clip(resize(image, height, width, method), 0.0, 1.0)


def content_at(content: Images, side: int) -> jax.Array:
    """The content image with its longer side of ``side`` pixels, its aspect ratio kept, in [0, 1]."""
    height, width = fit_long_side(content.shape[1], content.shape[2], side)
    return _fitted(content, height, width)


def style_size_at(style: Images, side: int, config: TransferConfig) -> tuple[int, int]:
    """Rows and columns of the style image at a scale."""
    wanted = config.style_size or max(1, round(side * config.style_scale))
    return fit_long_side(style.shape[1], style.shape[2], min(wanted, max(style.shape[1:3])))


def style_at(style: Images, side: int, config: TransferConfig) -> jax.Array:
    """The style image at a scale: with the content's size or on its own, never enlarged.

    An enlarged painting has no detail of its own size, and its blur would be taken for style.
    """
    height, width = style_size_at(style, side, config)
    return _fitted(style, height, width)


def first_image(
    config: TransferConfig, content: Images, style: Images, init_image: Images | None
) -> jax.Array:
    """What the first scale starts from, of the content's shape there.

    ``"noise"``: uniform, independent for every value, about mid-grey with amplitude ``config.noise``.

    Raises:
        InputError: ``config.init`` is ``"image"`` and there is none.
    """
    height, width = content.shape[1:3]
    if config.init == "content":
        return jnp.asarray(content)
    if config.init == "noise":
        uniform = jax.random.uniform(jax.random.key(config.seed), content.shape, content.dtype)
        return 0.5 + config.noise * (uniform - 0.5)
    if config.init == "image" and init_image is None:
        raise InputError("`init` is image, but there is no image: give one as `init_image`")
    source = style if config.init == "style" else jnp.asarray(init_image, content.dtype)
    return _fitted(source, height, width)


def enlarge(image: jax.Array, height: int, width: int) -> jax.Array:
    """The last scale's result as the next one's start."""
    return _fitted(image, height, width, "cubic")


def enlarge_moment(moment: jax.Array, height: int, width: int) -> jax.Array:
    """An optimiser's moment at the next scale; bilinear, so that no value leaves the range of the old ones.

    A pixel's gradient falls with the square of the enlargement, being shared among more pixels; Adam's
    step is the ratio of its moments and does not change by a common factor.
    """
    return resize(moment, height, width, "linear")
