"""Makes masks of regions of an image from mask specs."""

import dataclasses
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.errors import InputError, InputWarning
from nstjax.images.io import Picture, load_with_alpha
from nstjax.images.mask_spec import LABELS, Spec, parse_mask
from nstjax.images.resize import resize

_LUMA = (0.299, 0.587, 0.114)  # Rec. 601
COLOR_TOLERANCE = 16  # of 255, in each channel: the noise of a JPEG or of a scaled label image
OPAQUE = 0.5  # alpha from which a pixel counts in a label image, whose edges may be smoothed
MAX_LABELS = 32  # a smoothed or JPEG-compressed label image has thousands of colours
ROUNDING = 1e-6  # of resampling and sums in float32; less than a tenth of the step of a 16-bit mask

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


def _luma(image: np.ndarray) -> np.ndarray:
    """``(h, w)`` float32 of ``(h, w, 3)``; summed in double, so that a grey value stays itself."""
    return (image @ np.asarray(_LUMA, np.float64)).astype(np.float32)


def _settle(values: np.ndarray) -> np.ndarray:
    """Float32 in [0, 1], where only rounding keeps a value from 0 or 1 exactly that.

    Otherwise a mask could pass for not empty, or a full one for not full, by rounding alone.
    """
    values = np.where(values < ROUNDING, 0, np.where(values > 1 - ROUNDING, 1, values))
    return values.astype(np.float32)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask ``(h, w)`` at another size: linear, antialiased, in [0, 1]; full stays full, empty empty."""
    return _settle(_resampled(np.asarray(mask, np.float32)[..., None], (height, width), "linear")[..., 0])


def _coverage(start: float, end: float, pixels: int) -> np.ndarray:
    """Return the part of each pixel of a row that lies between two fractions of the row."""
    # 0.55 of 100 pixels is 55.00000000000001, and must not touch one more pixel.
    first, last = round(start * pixels, 9), round(end * pixels, 9)
    edges = np.arange(pixels)
    return (np.minimum(edges + 1, last) - np.maximum(edges, first)).clip(0, 1)


def _resampled(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    return image if image.shape[:2] == size else np.asarray(resize(image[None], *size, method))[0]


def _opacity(picture: Picture) -> np.ndarray | None:
    """``(h, w)`` alpha where it varies: one that is the same everywhere tells of no region."""
    alpha = picture.alpha
    return None if alpha is None or alpha.min() == alpha.max() else alpha


def _grey(picture: Picture) -> tuple[np.ndarray, str]:
    """The mask that a file is, ``(h, w)`` in [0, 1], and what to tell of how it was read."""
    alpha = _opacity(picture)
    if alpha is not None:
        return alpha, "has transparency: what is opaque is inside, whatever its colour"
    grey = _luma(picture.colors)
    if picture.bits == 0 or picture.highest > MAX_LABELS or picture.highest == 0:
        return grey, ""
    if picture.highest == 1:
        return (grey > 0).astype(np.float32), "has the values 0 and 1: what is 1 is inside"
    top = 2**picture.bits - 1
    return grey, (
        f"has no value over {picture.highest:.0f} of {top}, so next to nothing is inside: use white for the "
        f"inside, or write {LABELS}FILE if the values are numbers of regions"
    )


def _codes(spec: str, picture: Picture, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return 0xRRGGBB at each pixel of a label image, ``(h, w)``, and all values of the file in order.

    Where it is transparent the code is −1, which is no colour.
    """
    opacity = _opacity(picture)
    opaque = np.ones(picture.colors.shape[:2], bool) if opacity is None else opacity >= OPAQUE
    levels = np.rint(picture.colors * 255)
    if (np.abs(picture.colors * 255 - levels) * opaque[..., None]).max() > 1e-3:
        # As of class numbers in 16 bits, which would all be black in 8.
        raise InputError(f"the mask {spec} has colours of more than 8 bits: save the file as an 8-bit PNG")
    weights = np.array([1 << 16, 1 << 8, 1], np.float32)  # float32 holds integers to 2^24
    codes = np.where(opaque, levels @ weights, np.float32(-1))
    # Of the file as it is: a colour lost by resampling is an error, not one region less.
    colors = np.unique(codes[opaque])
    if len(colors) > MAX_LABELS:
        raise InputError(
            f"the mask {spec} has {len(colors):,} colours, more than {MAX_LABELS}: save the file as a PNG, "
            f"painted and scaled without smoothing"
        )
    return _resampled(codes[..., None], size, "nearest")[..., 0], colors


def _note(item: Spec, picture: Picture, size: tuple[int, int]) -> str:
    """Return a note on how a file is read as a mask; empty in the usual case."""
    notes = []
    if picture.colors.shape[:2] != size:
        (rows, columns), (h, w) = picture.colors.shape[:2], size
        notes.append(f"is {columns}×{rows} where its image is {w}×{h}: it is resampled")
    if item.kind == "file":
        notes.append(_grey(picture)[1])
    elif _opacity(picture) is not None:
        notes.append("has transparency: what is transparent belongs to no colour")
    return "; it ".join(note for note in notes if note)


def _mask(item: Spec, values: np.ndarray, color: str = "") -> Mask:
    values = _settle(1 - values) if item.inverted else values.astype(np.float32)
    name = f"{item.text}#{color}" if color else item.text
    if not (values > 0).any():
        h, w = values.shape
        advice = "invert a mask that leaves something out" if item.inverted else _EMPTY[item.kind]
        raise InputError(f"the mask {name} is empty at {w}×{h} pixels: {advice}")
    return Mask(values, name, color, item.file)


def _read(item: Spec, image: np.ndarray, picture: Picture | None) -> list[Mask]:
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
    assert picture is not None
    if item.kind == "file":
        grey = _grey(picture)[0][..., None]
        return [_mask(item, _settle(_resampled(grey, size, "linear")[..., 0]))]
    if item.kind == "color":
        wanted = np.array([item.color >> 16, item.color >> 8 & 255, item.color & 255])
        far = np.abs(_resampled(picture.colors, size, "nearest") * 255.0 - wanted).max(axis=-1)
        near = far <= COLOR_TOLERANCE + 1e-3
        opacity = _opacity(picture)
        if opacity is not None:
            near &= _resampled(opacity[..., None], size, "nearest")[..., 0] >= OPAQUE
        return [_mask(item, near)]
    codes, colors = _codes(item.text, picture, size)
    return [_mask(item, codes == code, f"{int(code):06x}") for code in colors]


def read_masks(specs: Sequence[str], image: np.ndarray) -> list[Mask]:
    """The masks of an image.

    A pixel may lie in several regions, and counts in each; it may lie in none.

    A file whose size is not the image's is resampled: a grey one linearly, antialiased; a label image by the
    nearest pixel, before colours are compared. A pixel is of a colour if each channel is within
    :data:`COLOR_TOLERANCE` of it; for ``labels:`` if it is that colour exactly.

    If the alpha channel of a file varies, it decides: alpha itself is the mask of a grey file, whatever its
    colours; in a label image pixels with alpha below :data:`OPAQUE` are of no colour. Alpha that is the same
    everywhere is ignored. In a file of the integers 0 and 1, what is 1 is inside. An :class:`InputWarning`
    tells of resampling and of these rules.

    Args:
        specs: see :mod:`nstjax.images.mask_spec`.
        image: ``(1, h, w, 3)``, whose size the masks get.

    Returns:
        One for each spec in order; of ``labels:`` one for each colour.

    Raises:
        InputError: a spec is malformed, a file cannot be read, a mask is empty, a label image has over
            :data:`MAX_LABELS` colours, or ``rest`` stands alone or twice.
    """
    items = [parse_mask(spec) for spec in specs]
    rests = [item for item in items if item.kind == "rest"]
    if len(rests) > 1:
        raise InputError("`specs` names rest twice: name it once")
    if rests and len(items) == 1:
        raise InputError("`specs` rest has no other masks to be the rest of: name some, or write all")
    image = np.asarray(image)
    if image.ndim != 4 or image.shape[::3] != (1, 3) or image.size == 0:
        raise InputError(f"the image to mask has shape {image.shape}: it must be (1, height, width, 3)")
    h, w = image.shape[1:3]
    load = functools.lru_cache(maxsize=1)(load_with_alpha)  # the colours of one file mostly follow each other
    told: set[str] = set()
    found: list[Mask] = []
    place = 0  # of rest
    for item in items:
        picture = None
        if item.kind == "rest":
            place = len(found)
            continue
        if item.file is not None:
            picture = load(item.file)
            note = _note(item, picture, (h, w))
            if note and f"{item.file} {note}" not in told:
                told.add(f"{item.file} {note}")
                warnings.warn(f"the mask {item.file} {note}", InputWarning, stacklevel=2)
        found += _read(item, image[0], picture)
    if rests:
        rest = np.ones((h, w)) - np.sum([mask.values for mask in found], axis=0, dtype=np.float64)
        found.insert(place, _mask(rests[0], _settle(rest)))
    return found
