"""The kinds of input files: photographs, animations and videos."""

from pathlib import Path
from typing import Literal

from nstjax.errors import InputError
from nstjax.images import check_output
from nstjax.images.animation import ANIMATION_SUFFIXES, is_animation
from nstjax.images.encode import FORMATS, check_place
from nstjax.images.video import VIDEO_SUFFIXES

READ_AS_VIDEO = (*VIDEO_SUFFIXES, ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts")
LONGEST_SIDES = {"JPEG": 65500, "WEBP": 16383}
"""Longest side that a format can hold, in pixels, by the format's name in :data:`nstjax.images.encode.FORMATS`."""
Kind = Literal["photograph", "animation", "video", "texture"]


def kind_of(path: Path) -> Kind:
    """Return the kind of an input file: a video by its suffix, an animation by its frames or the suffix .gif."""
    suffix = path.suffix.lower()
    if suffix in READ_AS_VIDEO:
        return "video"
    return "animation" if suffix == ".gif" or is_animation(path) else "photograph"


def check_alone(source: Path, output: Path, bits: int) -> None:
    """Raise :class:`InputError` if a single input cannot be written as ``output``."""
    kind, suffix = kind_of(source), output.suffix.lower()
    if kind == "animation" and suffix not in ANIMATION_SUFFIXES:
        raise InputError(
            f"{source} is an animation, so the output {output} must end in one of {', '.join(ANIMATION_SUFFIXES)}"
        )
    if kind == "video" and suffix not in VIDEO_SUFFIXES:
        raise InputError(
            f"{source} is a video, so the output {output} must end in one of {', '.join(VIDEO_SUFFIXES)}"
        )
    if kind == "photograph":
        if suffix in (".gif", ".apng", *VIDEO_SUFFIXES):
            raise InputError(
                f"{source} is not an animation, so the output {output} cannot be one: choose .png or .jpg"
            )
        check_output(output, bits)
    else:
        check_place(output)


def check_side(output: Path, side: int) -> None:
    """Check that a picture or an animation fits into the format of its file, before it is computed.

    Args:
        output: the output file, whose suffix selects the format.
        side: longer side of the output in pixels.

    Raises:
        InputError: If the side is longer than the format can hold; see :data:`LONGEST_SIDES`.
    """
    longest = LONGEST_SIDES.get(FORMATS.get(output.suffix.lower(), ""))
    if longest is not None and side > longest:
        raise InputError(
            f"the output {output} can have {longest} pixels a side, not {side}: choose .png, or a smaller --size"
        )


def is_video(command: str, source: Path | None, output: Path) -> bool:
    """Return True if a synthesis makes a video or an animation, and not one picture.

    An animation whose output does not end in .gif is taken to be its first frame.

    Args:
        command: ``"transfer"``, ``"texture"`` or ``"reconstruct"``.
        source: the content image.
        output: the output file.
    """
    if command != "transfer" or source is None or source.is_dir():
        return False
    if source.suffix.lower() in READ_AS_VIDEO:
        return True
    return output.suffix.lower() == ".gif" and kind_of(source) == "animation"
