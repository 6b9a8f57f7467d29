"""Applies a trained generator to a photograph."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from nstjax.errors import InputError, within
from nstjax.generators import GeneratorConfig, Variables, draw_noise, generate
from nstjax.generators.store import Generator
from nstjax.inference.banded import generate_in_bands
from nstjax.pixels import check_floating, check_range
from nstjax.typing import Images

WHOLE_PIXELS = 2**22  # on a GPU or TPU; more than that is painted in bands
CPU_BAND_PIXELS = 2**15
_LEAST_ROWS = 16  # of a band
MAX_OUTPUT_SIDE = 2**15  # pixels of a picture whose size is asked for
MAX_SCALE = 1000  # of the noise


def check_tile(tile: int) -> None:
    """Raise :class:`InputError` unless ``tile`` is 0 or a number of rows that bands can have."""
    if tile:
        within("tile", tile, _LEAST_ROWS, MAX_OUTPUT_SIDE, " rows, or 0 for one piece")


def rows_for(height: int, width: int) -> int:
    """Rows of a band for a photograph if none are asked for.

    On a CPU what fits into its caches, for small photographs too: bands are twice as fast there as one piece. Elsewhere
    large ones, and for less than :data:`WHOLE_PIXELS` 0, one piece.
    """
    if jax.default_backend() == "cpu":
        return max(2 * _LEAST_ROWS, CPU_BAND_PIXELS // width)
    return max(2 * _LEAST_ROWS, WHOLE_PIXELS // 4 // width) if height * width > WHOLE_PIXELS else 0


def takes_photographs(generator: Generator) -> bool:
    """True if it stylizes photographs; otherwise it makes textures of noise alone."""
    return generator.config.content


@partial(jax.jit, static_argnames=("config", "height", "width"))
def _noise(config: GeneratorConfig, key: Array, height: int, width: int, scale: Array) -> tuple[Array, ...]:
    return draw_noise(config, key[None], height, width, scale)


@partial(jax.jit, static_argnames=("config", "size", "dtype"))
def _whole(
    config: GeneratorConfig,
    variables: Variables,
    image: Array | None,
    noise: tuple[Array, ...],
    size: tuple[int, int],
    dtype: DTypeLike,
) -> Array:
    return generate(config, variables, image, noise, size=size, dtype=dtype).clip(0.0, 1.0)


def stylize(
    generator: Generator,
    image: Images | None,
    *,
    seed: int = 0,
    noise_scale: float = 1.0,
    tile: int | None = None,
    dtype: DTypeLike = jnp.float32,
    size: tuple[int, int] | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """Stylize a photograph with a trained generator, in one pass.

    Programs are compiled once for each width of photograph with bands, and once for each size in one piece. (Sizes cannot
    share programs by padding, because instance normalization would see the padding.) The same seed draws the same noise for
    every photograph, so the frames of a video share their noise.

    Args:
        generator: from :func:`~nstjax.generators.store.load_generator`.
        image: the photograph, ``(1, h, w, 3)`` in [0, 1]; None for a generator that makes textures from noise.
        seed: seed of the noise, which Ulyanov's networks take; Johnson's take none.
        noise_scale: report 000's k (Fig. 6): the noise is uniform in [0, k]; 1 is what was trained.
        tile: rows in each band. Bands need little memory and give the same picture as one piece (to about 1e-5). 0 uses one
            piece; None chooses (:func:`rows_for`).
        dtype: type of the computation.
        size: height and width of a texture.
        progress: called with the fraction of the work done; only bands are reported.

    Returns:
        The picture, ``(1, h, w, 3)`` float32 in [0, 1].

    Raises:
        InputError: the image has another shape or type, or values from 0 to 255; an image is given to a generator that
            makes textures; ``tile`` is out of range; or the noise scale is above :data:`MAX_SCALE`.
    """
    if takes_photographs(generator) != (image is not None):
        raise InputError(
            "the generator makes textures of noise alone: give it no photograph"
            if image is not None
            else "the generator paints photographs: give it one"
        )
    if image is not None:
        if image.ndim != 4 or image.shape[::3] != (1, 3) or image.size == 0:
            raise InputError(f"the image has shape {image.shape}: it must be (1, height, width, 3)")
        check_floating("image", image)
        check_range("image", np.asarray(image))
        size = (image.shape[1], image.shape[2])
    if size is None or min(size) < 1:
        raise InputError(f"the size of the texture is {size}: give its height and width")
    if tile is not None:
        check_tile(tile)
    within("noise_scale", noise_scale, -MAX_SCALE, MAX_SCALE)
    config, variables = generator.config, generator.variables
    noise = _noise(config, jax.random.key(seed), *size, jnp.float32(noise_scale))
    if tile is None:
        tile = rows_for(*size)
    if tile == 0:
        whole = _whole(
            config, variables, None if image is None else jnp.asarray(image), noise, size, jnp.dtype(dtype)
        )
        return np.asarray(whole)
    photo = None if image is None else np.asarray(image, np.float32)
    picture = generate_in_bands(
        config, variables, photo, noise, size, rows=tile, dtype=dtype, progress=progress
    )
    return picture.clip(0.0, 1.0, out=picture)
