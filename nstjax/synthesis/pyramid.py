"""The images and the initial image at one scale of a coarse-to-fine synthesis."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError
from nstjax.images.resize import fit_long_side, resize
from nstjax.synthesis.config import TransferConfig
from nstjax.typing import Images


def fitted(image: Images, height: int, width: int, method: str = "lanczos3") -> Images:
    """Resize an image and clip it to [0, 1].

    Args:
        image: ``(1, h, w, 3)``.
        height: new height in pixels.
        width: new width in pixels.
        method: interpolation method of :func:`nstjax.images.resize`.

    Returns:
        A NumPy array if ``image`` is one, and else a JAX array.
    """
    if isinstance(image, np.ndarray):
        return resize(image, height, width, method).clip(0, 1)
    return _fitted(image, height, width, method)


# Jitted, to compile one small program instead of one for each operation.
@partial(jax.jit, static_argnames=("height", "width", "method"))
def _fitted(image: jax.Array, height: int, width: int, method: str) -> jax.Array:
    return jnp.clip(resize(image, height, width, method), 0.0, 1.0)


def content_at(content: Images, side: int) -> Images:
    """Resize the content image so that its longer side has ``side`` pixels; values in [0, 1]."""
    return fitted(content, *fit_long_side(content.shape[1], content.shape[2], side))


def style_size_at(style: Images, side: int, config: TransferConfig) -> tuple[int, int]:
    """Return the height and width of a transfer's style image at one scale.

    A style image is never enlarged: an enlarged one has no detail at its own size, and its blur would become
    part of the style.

    Args:
        style: the style image, ``(1, h, w, 3)``.
        side: longer side of the output image at this scale, in pixels.
        config: the config; its ``style_size`` and ``style_scale`` are used.
    """
    wanted = config.style_size or max(1, round(side * config.style_scale))
    return fit_long_side(style.shape[1], style.shape[2], min(wanted, max(style.shape[1:3])))


def exemplar_size_at(style: Images, side: int, config: TransferConfig) -> tuple[int, int]:
    """Return the height and width of a texture's style image at one scale.

    The style image has its full size at the last scale: the one that :func:`style_size_at` returns there. At a
    coarser scale it is smaller by the same factor as the output image. This also holds for a texture that is
    larger than its style image; with :func:`style_size_at` such a style image would have its full size at every
    scale that is larger than it.

    Args:
        style: the style image, ``(1, h, w, 3)``.
        side: longer side of the output image at this scale, in pixels.
        config: the config; its scales, ``style_size`` and ``style_scale`` are used.
    """
    own, last = max(style.shape[1:3]), config.pyramid()[-1]
    full = min(own, config.style_size or round(last * config.style_scale))
    return fit_long_side(style.shape[1], style.shape[2], max(1, round(full * side / last)))


def style_at(style: Images, side: int, config: TransferConfig) -> Images:
    """Resize the style image of a transfer for one scale; see :func:`style_size_at`.

    Args:
        style: the style image, ``(1, h, w, 3)``.
        side: longer side of the output image at this scale, in pixels.
        config: the config.

    Returns:
        ``(1, h', w', 3)`` in [0, 1].
    """
    return fitted(style, *style_size_at(style, side, config))


def first_image(
    config: TransferConfig,
    size: tuple[int, int],
    content: Images | None,
    style: Images,
    init_image: Images | None,
) -> jax.Array:
    """Return the initial image of the first scale, ``(1, height, width, 3)``.

    For ``init == "noise"`` all values are independent and uniform around mid-gray, with the amplitude
    ``config.noise``.

    Args:
        config: the config; its ``init``, ``noise`` and ``seed`` are used.
        size: ``(height, width)``.
        content: the content image at that size; None for a texture.
        style: a style image of any size.
        init_image: the image for ``init == "image"``, of any size.

    Raises:
        InputError: If ``config.init`` names an image that is not given.
    """
    if config.init == "noise":
        uniform = jax.random.uniform(jax.random.key(config.seed), (1, *size, 3), jnp.float32)
        return 0.5 + config.noise * (uniform - 0.5)
    if config.init == "content" and content is not None:
        return jnp.asarray(content)
    source = style if config.init == "style" else init_image
    if source is None:
        raise InputError("`init` is image, but there is no image: give one as `init_image`")
    return jnp.asarray(fitted(np.asarray(source, np.float32), *size))


def enlarge(image: jax.Array, height: int, width: int) -> jax.Array:
    """Resize the result ``(1, h, w, 3)`` of a scale to ``(height, width)``, to start the next scale.

    The image goes through the host, because the next scale may use another number of devices.
    """
    return jnp.asarray(fitted(np.asarray(image), height, width, "cubic"))


def enlarge_moment(moment: jax.Array, height: int, width: int) -> jax.Array:
    """Resize a moment ``(1, h, w, 3)`` of Adam to ``(height, width)`` for the next scale.

    Bilinear interpolation keeps the values within their old range. The moments are not rescaled, although the
    gradient of a pixel is smaller at the larger size. Adam divides the first moment by the square root of the
    second, so a common factor of the gradients cancels.
    """
    return resize(moment, height, width, "linear")
