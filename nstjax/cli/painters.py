"""Functions from a photograph to its picture, with the options of ``nstjax stylize`` applied."""

from collections.abc import Callable

import numpy as np

from nstjax.cli.options_stylize import StylizeOptions
from nstjax.generators.store import Generator
from nstjax.images import fit_long_side, resize
from nstjax.images.color import combine, transfer_color
from nstjax.inference import stylize
from nstjax.inference.memory import check_generator_memory
from nstjax.inference.steady import Shot, SteadyConfig, steady


def painter(
    make: Callable[..., np.ndarray],
    check: Callable[[int, int, str], None],
    options: StylizeOptions,
    mix: float = 1.0,
) -> Callable[..., np.ndarray]:
    """Return a function from a photograph (or None, for a texture) to its picture, with the options applied.

    Args:
        make: function of the photograph, the size and a progress function that returns the picture.
        check: function of height, width and the name of what set them; it raises if they do not fit into memory.
        options: the options of the command.
        mix: weight of the picture in a blend with the photograph.
    """
    checked = set[tuple[int, int]]()

    def once(height: int, width: int) -> None:
        if (height, width) not in checked:  # once for all frames of a video or animation
            check(height, width, "--size" if options.size else "PHOTO")
            checked.add((height, width))

    def paint(photo: np.ndarray | None, progress: Callable[[float], None] = lambda done: None) -> np.ndarray:
        size = None
        if photo is None:
            assert options.size is not None
            size = (options.size, options.size)
            once(*size)
        elif options.size is not None:
            height, width = fit_long_side(photo.shape[1], photo.shape[2], options.size)
            once(height, width)
            photo = resize(photo, height, width).clip(0, 1)
        else:
            once(photo.shape[1], photo.shape[2])
        picture = make(photo, size, progress)
        if photo is None:
            return picture
        if options.colors == "luminance":
            picture = combine(picture, photo)
        elif options.colors != "style":
            picture = transfer_color(picture, photo, options.colors)
        if mix < 1:
            picture = mix * picture + (1 - mix) * photo
        return picture

    return paint


def by_generator(generator: Generator, options: StylizeOptions) -> Callable[..., np.ndarray]:
    """Return the :func:`painter` of a trained generator."""
    plan = generator.config.plan()
    advice = "--tile 64, or a smaller --size" if options.tile == 0 else "a smaller --size"
    return painter(
        lambda photo, size, progress: stylize(
            generator,
            photo,
            seed=options.seed,
            noise_scale=options.noise_scale,
            tile=options.tile,
            size=size,
            progress=progress,
        ),
        lambda height, width, name: check_generator_memory(plan, height, width, options.tile, name, advice),
        options,
        options.strength,
    )


def steadied(paint: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function like ``paint`` for the frames of one video, in order, that reduces flicker."""
    last: Shot | None = None

    def paint_frame(frame: np.ndarray) -> np.ndarray:
        nonlocal last
        last = steady(frame, paint(frame), last, SteadyConfig())
        return last.picture

    return paint_frame
