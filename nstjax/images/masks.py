"""Masks: which part of an image belongs to a region, described by a string, a "mask spec".

================= =========================================================================
``FILE``          a grey image: white is inside, grey partly; of colours the luma counts
``FILE#RRGGBB``   the pixels of that colour in a label image
``labels:FILE``   all regions of a label image: one for each colour, in the order of 0xRRGGBB
``box:L,T,R,B``   a rectangle in fractions of width and height; 0,0 is the top left
``brighter:V``    where the image's own luma is over V, in [0, 1]
``darker:V``      where it is V or less
``not:SPEC``      the inverse, ``1 − m``; not of ``labels:`` or ``rest``
``all``           everything
``rest``          what no other mask of the list covers, ``max(0, 1 − Σ m)``
================= =========================================================================

What begins otherwise is a file's name; a file named like one of these is written ``./all``. A ``#``
belongs to the name where a file of the whole name exists, or where what follows has a ``.`` or ``/``.
Files are read by :func:`nstjax.images.io.load_image`: what is transparent is white, hence inside.
"""

import dataclasses
import functools
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.errors import InputError, InputWarning
from nstjax.images.io import load_image
from nstjax.images.resize import resize

LUMA = (0.299, 0.587, 0.114)  # Rec. 601
COLOR_TOLERANCE = 16  # of 255, in each channel: the noise of a JPEG or of a scaled label image
MAX_LABELS = 32  # a smoothed or JPEG-compressed label image has thousands of colours
ROUNDING = 1e-6  # of resampling and sums in float32; less than a tenth of the step of a 16-bit mask

_FORMS = {  # what to write, of masks made of numbers
    "box": "write box:LEFT,TOP,RIGHT,BOTTOM in fractions of width and height",
    "brighter": "write brighter:V with V from 0, black, to 1, white",
    "darker": "write darker:V with V from 0, black, to 1, white",
}
_EMPTY = {  # by kind, what to do about a mask without a pixel
    "file": "make some of it white, or write not:FILE for its black part",
    "color": "name a colour that the file has",
    "labels": "enlarge that region, or save the file at the image's size",
    "box": "enlarge the box",
    "brighter": "choose a smaller number",
    "darker": "choose a larger number",
    "rest": "the other masks cover every pixel; leave it out",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Mask:
    """A region of an image.

    Attributes:
        values: ``(h, w)`` float32 in [0, 1], 1 inside; never all 0.
        name: the spec as typed; of a region of ``labels:FILE``, ``labels:FILE#rrggbb``.
        color: ``rrggbb`` in lower case for a region of ``labels:``, by which it is matched to another
            file's; else empty.
        file: that it was read from, if any.
    """

    values: np.ndarray
    name: str
    color: str = ""
    file: Path | None = None


@dataclasses.dataclass(frozen=True)
class _Spec:
    """A spec taken apart; ``kind`` is a key of ``_EMPTY`` or ``"all"``."""

    text: str
    kind: str
    inverted: bool = False
    file: Path | None = None
    color: int = 0
    numbers: tuple[float, ...] = ()


def _numbers(spec: str, kind: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError(f"the mask {spec} has a word where a number is wanted: {_FORMS[kind]}") from None
    count = 4 if kind == "box" else 1
    if len(found) != count:
        raise InputError(f"the mask {spec} has {len(found)} numbers where {count} are wanted: {_FORMS[kind]}")
    if not all(0 <= number <= 1 for number in found):  # which NaN is not
        raise InputError(f"the mask {spec} has a number that is not within [0, 1]: {_FORMS[kind]}")
    if kind == "box" and not (found[0] < found[2] and found[1] < found[3]):
        raise InputError(f"the mask {spec} must have LEFT < RIGHT and TOP < BOTTOM: {_FORMS[kind]}")
    return found


def _split_color(spec: str, text: str) -> tuple[str, str]:
    """A file's name and its colour; none where the ``#`` is the name's own."""
    file, mark, color = text.rpartition("#")
    if not mark or os.path.isfile(text) or "." in color or "/" in color:
        return text, ""
    if not re.fullmatch("[0-9a-fA-F]{6}", color):
        raise InputError(f"the mask {spec} has no colour after its #: write six digits, FILE#RRGGBB")
    if not file:
        raise InputError(f"the mask {spec} has a colour and no file: write FILE#RRGGBB")
    return file, color


def _parse(spec: str) -> _Spec:
    """Take a spec apart; raises what :func:`check_mask_spec` does."""
    if not spec.strip():
        raise InputError("a mask is an empty string: name a file, or write all for no mask")
    text, inverted = spec, False
    while text.startswith("not:"):
        text, inverted = text.removeprefix("not:"), not inverted
    kind, colon, value = text.partition(":")
    if not text:
        raise InputError(f"the mask {spec} inverts nothing: name a mask after not:")
    if text != spec and (text == "rest" or kind + colon == "labels:"):
        raise InputError(f"the mask {spec} cannot be inverted: name one mask after not:, such as FILE#RRGGBB")
    if text in ("all", "rest"):
        return _Spec(spec, text, inverted)
    if colon and kind in _FORMS:
        return _Spec(spec, kind, inverted, numbers=_numbers(spec, kind, value))
    if kind + colon == "labels:":
        if not value:
            raise InputError(f"the mask {spec} has no file: write labels:FILE")
        file, color = _split_color(spec, value)
        if color:
            raise InputError(f"the mask {spec} names one colour of all: write {value} or labels:{file}")
        return _Spec(spec, kind, file=Path(file))
    file, color = _split_color(spec, text)
    return _Spec(spec, "color" if color else "file", inverted, Path(file), int(color or "0", 16))


def check_mask_spec(spec: str) -> None:
    """Whether a mask's description can be meant, without opening a file.

    Raises:
        InputError: it is malformed.
    """
    _parse(spec)


def mask_files(specs: Sequence[str]) -> list[Path]:
    """The files that masks are read from, in order, each once.

    Raises:
        InputError: a spec is malformed.
    """
    return list(dict.fromkeys(item.file for item in map(_parse, specs) if item.file is not None))


def _luma(image: np.ndarray) -> np.ndarray:
    """``(h, w)`` float32 of ``(h, w, 3)``; summed in double, so that a grey value stays itself."""
    return (image @ np.asarray(LUMA, np.float64)).astype(np.float32)


def _settle(values: np.ndarray) -> np.ndarray:
    """Float32 in [0, 1], where only rounding keeps a value from 0 or 1 exactly that.

    Otherwise a mask could pass for not empty, or a full one for not full, by rounding alone.
    """
    values = np.where(values < ROUNDING, 0, np.where(values > 1 - ROUNDING, 1, values))
    return values.astype(np.float32)


def _coverage(start: float, end: float, pixels: int) -> np.ndarray:
    """How much of each pixel of a row lies between two fractions of it."""
    # 0.55 of 100 pixels is 55.00000000000001, and must not touch one more pixel.
    first, last = round(start * pixels, 9), round(end * pixels, 9)
    edges = np.arange(pixels)
    return (np.minimum(edges + 1, last) - np.maximum(edges, first)).clip(0, 1)


def _codes(image: np.ndarray) -> np.ndarray:
    """``(h, w)`` of 0xRRGGBB."""
    return np.rint(image * 255).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def _label_colors(spec: str, picture: np.ndarray) -> np.ndarray:
    """The colours of a label image in order."""
    if np.abs(picture * 255 - np.rint(picture * 255)).max() > 1e-3:
        # As of class numbers in 16 bits, which would all be black in 8.
        raise InputError(f"the mask {spec} has colours of more than 8 bits: save the file as an 8-bit PNG")
    colors = np.unique(_codes(picture))
    if len(colors) > MAX_LABELS:
        raise InputError(
            f"the mask {spec} has {len(colors):,} colours, more than {MAX_LABELS}: save the file as a PNG, "
            f"painted and scaled without smoothing"
        )
    return colors


def _mask(item: _Spec, values: np.ndarray, color: str = "") -> Mask:
    values = _settle(1 - values) if item.inverted else values.astype(np.float32)
    name = f"{item.text}#{color}" if color else item.text
    if not (values > 0).any():
        h, w = values.shape
        mend = "invert a mask that leaves something out" if item.inverted else _EMPTY[item.kind]
        raise InputError(f"the mask {name} is empty at {w}×{h} pixels: {mend}")
    return Mask(values, name, color, item.file)


def _read(item: _Spec, image: np.ndarray, picture: np.ndarray) -> list[Mask]:
    """The masks of a spec other than ``rest``; ``picture`` is its file, if it has one."""
    h, w = size = image.shape[:2]
    if item.kind == "all":
        return [_mask(item, np.ones(size))]
    if item.kind == "box":
        left, top, right, bottom = item.numbers
        return [_mask(item, np.outer(_coverage(top, bottom, h), _coverage(left, right, w)))]
    if item.kind in ("brighter", "darker"):
        over = _luma(image) > np.float32(item.numbers[0])  # in float32, in which images are
        return [_mask(item, over if item.kind == "brighter" else ~over)]
    if item.kind == "file":
        grey = resize(_luma(picture)[None, :, :, None], h, w, "linear")
        return [_mask(item, _settle(np.asarray(grey)[0, :, :, 0]))]
    fitted = np.asarray(resize(picture[None], h, w, "nearest"))[0]
    if item.kind == "color":
        wanted = np.array([item.color >> 16, item.color >> 8 & 255, item.color & 255])
        near = np.abs(fitted * 255.0 - wanted).max(axis=-1) <= COLOR_TOLERANCE + 1e-3
        return [_mask(item, near)]
    # Of the file as it is: a colour lost by resampling is an error, not one region less.
    codes = _codes(fitted)
    return [_mask(item, codes == code, f"{code:06x}") for code in _label_colors(item.text, picture)]


def read_masks(specs: Sequence[str], image: np.ndarray) -> list[Mask]:
    """The masks of an image.

    A pixel may lie in several regions, and counts in each; it may lie in none.

    A file whose size is not the image's is resampled, with an :class:`InputWarning`: a grey one linearly,
    antialiased; a label image by the nearest pixel, before colours are compared. A pixel is of a colour if
    each channel is within :data:`COLOR_TOLERANCE` of it; for ``labels:`` if it is that colour exactly.

    Args:
        specs: see the module.
        image: ``(1, h, w, 3)``, whose size the masks get.

    Returns:
        One for each spec in order; of ``labels:`` one for each colour.

    Raises:
        InputError: a spec is malformed, a file cannot be read, a mask is empty, a label image has over
            :data:`MAX_LABELS` colours, or ``rest`` stands alone or twice.
    """
    items = [_parse(spec) for spec in specs]
    rests = [item for item in items if item.kind == "rest"]
    if len(rests) > 1:
        raise InputError("the mask rest is there twice: name it once")
    if rests and len(items) == 1:
        raise InputError("the mask rest has no other masks to be the rest of: name some, or write all")
    image = np.asarray(image)
    if image.ndim != 4 or image.shape[::3] != (1, 3) or image.size == 0:
        raise InputError(f"the image of masks has shape {image.shape}: it must be (1, height, width, 3)")
    h, w = image.shape[1:3]
    load = functools.lru_cache(maxsize=1)(load_image)  # the colours of one file mostly follow each other
    warned: set[Path] = set()
    found: list[Mask] = []
    place = 0  # of rest
    for item in items:
        picture = image[0]
        if item.kind == "rest":
            place = len(found)
            continue
        if item.file is not None:
            picture = load(item.file)[0]
            rows, columns = picture.shape[:2]
            if (rows, columns) != (h, w) and item.file not in warned:
                warned.add(item.file)
                warnings.warn(
                    f"the mask {item.file} is {columns}×{rows} where its image is {w}×{h}: it is resampled",
                    InputWarning,
                    stacklevel=2,
                )
        found += _read(item, image[0], picture)
    if rests:
        covered = np.sum([mask.values for mask in found], axis=0, dtype=np.float64)
        found.insert(place, _mask(rests[0], _settle(1 - covered)))
    return found
