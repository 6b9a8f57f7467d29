"""The images and the initial image at one scale of a coarse-to-fine synthesis."""

from functools import partial

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.images.resize import fit_long_side, resize
from nstjax.synthesis.config import TransferConfig
from nstjax.typing import Images


# One small program where it would be several.
@partial(jax.jit, static_argnames=("height", "width", "method"))
def fitted(image: jax.Array, height: int, width: int, method: str = "lanczos3") -> jax.Array:
    """An image resized to ``(height, width)`` and clipped to [0, 1]."""
    return jnp.clip(resize(image, height, width, method), 0.0, 1.0)


def content_at(content: Images, side: int) -> jax.Array:
    """The content image with its longer side of ``side`` pixels, in [0, 1]."""
    return fitted(content, *fit_long_side(content.shape[1], content.shape[2], side))


def style_size_at(style: Images, side: int, config: TransferConfig) -> tuple[int, int]:
    """Height and width of a style image beside a picture whose longer side is ``side``.

    It is never enlarged: an enlarged painting has no detail of its own size, and its blur would be taken for style.
    """
    wanted = config.style_size or max(1, round(side * config.style_scale))
    return fit_long_side(style.shape[1], style.shape[2], min(wanted, max(style.shape[1:3])))


def exemplar_size_at(style: Images, side: int, config: TransferConfig) -> tuple[int, int]:
    """Height and width of a texture's style image; at the last scale as :func:`style_size_at`.

    A transfer's painting follows the picture down the pyramid. So does this one, but a texture may be larger than the
    painting, and its coarse scales must then show a smaller painting than theirs.
    """
    own, last = max(style.shape[1:3]), config.pyramid()[-1]
    full = min(own, config.style_size or round(last * config.style_scale))
    return fit_long_side(style.shape[1], style.shape[2], max(1, round(full * side / last)))


def style_at(style: Images, side: int, config: TransferConfig) -> jax.Array:
    """The style image of a transfer at a scale, in [0, 1]; see :func:`style_size_at`."""
    return fitted(style, *style_size_at(style, side, config))


def first_image(
    config: TransferConfig,
    size: tuple[int, int],
    content: Images | None,
    style: Images,
    init_image: Images | None,
) -> jax.Array:
    """The start of the first scale, ``(1, height, width, 3)``.

    ``"noise"``: uniform, independent for every value, about mid-grey with amplitude ``config.noise``.

    Args:
        config: its ``init``, ``noise`` and ``seed``.
        size: ``(height, width)``.
        content: the content image of that size; None for a texture.
        style: a style image.
        init_image: for ``init == "image"``, of any size.

    Raises:
        InputError: ``config.init`` names an image that is not given.
    """
    if config.init == "noise":
        uniform = jax.random.uniform(jax.random.key(config.seed), (1, *size, 3), jnp.float32)
        return 0.5 + config.noise * (uniform - 0.5)
    if config.init == "content" and content is not None:
        return jnp.asarray(content)
    source = style if config.init == "style" else init_image
    if source is None:
        raise InputError("`init` is image, but there is no image: give one as `init_image`")
    return fitted(jnp.asarray(source, jnp.float32), *size)


def enlarge(image: jax.Array, height: int, width: int) -> jax.Array:
    """The last scale's result as the next one's start."""
    return fitted(image, height, width, "cubic")


def enlarge_moment(moment: jax.Array, height: int, width: int) -> jax.Array:
    """An optimiser's moment at the next scale; bilinear, so that no value leaves the range of the old ones.

    A pixel's gradient falls with the square of the enlargement, being shared among more pixels; Adam's
    step is the ratio of its moments and does not change by a common factor.
    """
    return resize(moment, height, width, "linear")
