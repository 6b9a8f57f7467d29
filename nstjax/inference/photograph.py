"""Applies a trained generator to a photograph."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from nstjax import programs
from nstjax.errors import InputError, within
from nstjax.generators import GeneratorConfig, Variables, draw_noise, generate, noise_shapes
from nstjax.generators.store import Generator
from nstjax.generators.styles import one_style, select_style
from nstjax.inference.banded import generate_in_bands
from nstjax.pixels import check_image
from nstjax.typing import Images

# Larger images are computed in bands, which need less memory.
WHOLE_PIXELS = 2**22
CPU_WHOLE_PIXELS = 2**21
CPU_BAND_PIXELS = 2**15  # pixels of a band on a CPU
_LEAST_ROWS = 16  # smallest number of rows of a band
MAX_OUTPUT_SIDE = 2**15  # largest side in pixels that can be requested
MAX_SCALE = 1000  # largest scale of the noise


def check_tile(tile: int) -> None:
    """Raise :class:`InputError` unless ``tile`` is an allowed number of rows of a band.

    Args:
        tile: the number of rows; 0 computes the whole image at once.
    """
    if tile:
        within("tile", tile, _LEAST_ROWS, MAX_OUTPUT_SIDE, " rows, or 0 for one piece")


def rows_for(height: int, width: int) -> int:
    """Return the default number of rows of a band; 0 computes the whole image at once.

    Images of at most :data:`WHOLE_PIXELS`, or :data:`CPU_WHOLE_PIXELS` on a CPU, are computed at once. On a CPU a
    band is as large as fits into its caches; on other devices it is larger.

    Args:
        height: height of the image, in pixels.
        width: width of the image, in pixels.
    """
    cpu = jax.default_backend() == "cpu"
    if height * width <= (CPU_WHOLE_PIXELS if cpu else WHOLE_PIXELS):
        return 0
    return max(2 * _LEAST_ROWS, (CPU_BAND_PIXELS if cpu else WHOLE_PIXELS // 4) // width)


def takes_photographs(generator: Generator) -> bool:
    """Return True if a generator stylizes photographs; False if it makes textures from noise alone."""
    return generator.config.content


class _Static(NamedTuple):
    """What is constant in the compiled programs."""

    config: GeneratorConfig
    size: tuple[int, int]
    dtype: str


@partial(jax.jit, static_argnums=2)
def _noise(seed: Array, scale: Array, static: _Static) -> tuple[Array, ...]:
    return draw_noise(static.config, jax.random.key(seed)[None], *static.size, scale)


@partial(jax.jit, static_argnums=3)
def _whole(variables: Variables, image: Array | None, noise: tuple[Array, ...], static: _Static) -> Array:
    config, size, dtype = static
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
    style: str | Sequence[float] | None = None,
) -> np.ndarray:
    """Stylize a photograph with a trained generator, in one forward pass.

    A texture network makes a texture instead. If the whole image is computed at once, a program is compiled for
    each size. (Padding to a common size is not possible, because instance normalization would include the
    padding.) In bands, programs are compiled for each width. The same seed draws the same noise for all photographs
    of one size, so that the frames of a video do not flicker.

    Args:
        generator: a generator from :func:`~nstjax.generators.store.load_generator`.
        image: ``(1, h, w, 3)`` in [0, 1]; None for a generator that makes textures from noise alone.
        seed: seed of the noise, for generators with noise inputs, from 0 to 2³² − 1.
        noise_scale: k in the Duke report (Fig. 6): the noise is uniform in [0, k]; the training used 1.
        tile: rows of a band. In bands, an image needs little memory; the statistics of norms are those of the
            whole image, and the result is the same up to about 1e-5. 0 computes the whole image at once; None
            selects :func:`rows_for`.
        dtype: dtype of the arithmetic.
        size: height and width of a texture in pixels; ignored for a photograph.
        progress: called with the fraction of the work that is done, in [0, 1]; only if the image is computed in
            bands.
        style: for a generator of several styles, names or numbers with weights such as ``"3:0.5,waves:0.5"``, or one
            weight for each style; see :func:`~nstjax.generators.styles.select_style`.

    Returns:
        The picture, ``(1, h, w, 3)`` float32 in [0, 1].

    Raises:
        InputError: If the image has another shape, is not floating point, or has values that are not finite or not
            about in [0, 1]; if a photograph or the size of a texture is missing, or a texture network is given a
            photograph; if ``tile`` or ``seed`` is out of range; or if the noise scale is beyond ±:data:`MAX_SCALE`.
    """
    if takes_photographs(generator) != (image is not None):
        raise InputError(
            "the generator makes textures of noise alone: give it no photograph"
            if image is not None
            else "the generator needs a photograph: give it one"
        )
    photo = None if image is None else check_image("image", image)
    if photo is not None:
        size = (photo.shape[1], photo.shape[2])
    if size is None or min(size) < 1:
        raise InputError(f"the size of the texture is {size}: give its height and width")
    if tile is not None:
        check_tile(tile)
    within("noise_scale", noise_scale, -MAX_SCALE, MAX_SCALE)
    within("seed", seed, 0, 2**32 - 1)
    generator = one_style(generator) if style is None else select_style(generator, style)
    config, variables = generator.config, generator.variables
    static = _Static(config, size, jnp.dtype(dtype).name)
    drawing = programs.ProgramRequest(
        _noise, (np.uint32(seed), np.float32(noise_scale)), static, optimize=False
    )
    if tile is None:
        tile = rows_for(*size)
    if tile == 0:
        drawn = tuple(jax.ShapeDtypeStruct((1, *shape), jnp.float32) for shape in noise_shapes(config, *size))
        programs.prepare([programs.ProgramRequest(_whole, (variables, photo, drawn), static), drawing])
        noise = programs.run(*drawing)
        return np.asarray(programs.run(_whole, (variables, photo, noise), static), np.float32)
    noise = programs.run(*drawing)
    picture = generate_in_bands(
        config, variables, photo, noise, size, rows=tile, dtype=dtype, progress=progress
    )
    return picture.clip(0.0, 1.0, out=picture)
