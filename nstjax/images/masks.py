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
from nstjax.pixels import LUMA

COLOR_TOLERANCE = 16  # of 255, per channel: the noise of a JPEG or of a scaled label image
OPAQUE = 0.5  # smallest alpha of a pixel that counts in a label image, whose edges may be smoothed
MAX_LABELS = 32  # a smoothed or JPEG-compressed label image has thousands of colors
ROUNDING = 1e-6  # error of resampling and sums in float32; less than a tenth of the step of a 16-bit mask

_EMPTY = {  # advice for an empty mask, by kind
    "file": "make some of it white, or write not:FILE for its black part",
    "color": "name a color that the file has",
    "labels": "enlarge that region, or save the file at the image's size",
    "box": "enlarge the box",
    "brighter": "choose a smaller number",
    "darker": "choose a larger number",
    "rest": "the other masks cover every pixel; leave it out",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Mask:
    """A mask of a region of an image.

    Attributes:
        values: ``(h, w)`` float32 in [0, 1], 1 inside the region; never all 0.
        name: the spec as the user wrote it; ``labels:FILE#rrggbb`` for a region of ``labels:FILE``.
        color: ``rrggbb`` in lower case for a region of ``labels:FILE``, to match it to the same color of another
            file; empty for other masks.
        file: the file from which the mask was read, or None.
    """

    values: np.ndarray
    name: str
    color: str = ""
    file: Path | None = None


def _luma(image: np.ndarray) -> np.ndarray:
    """Compute the luma of ``(h, w, 3)`` as ``(h, w)`` float32; summed in float64, so that gray values do not change."""
    return (image @ np.asarray(LUMA, np.float64)).astype(np.float32)


def _settle(values: np.ndarray) -> np.ndarray:
    """Convert to float32 and set values that differ from 0 or 1 only by rounding to exactly 0 or 1.

    Otherwise rounding alone could make an empty mask count as not empty, or a full one as not full.
    """
    values = np.where(values < ROUNDING, 0, np.where(values > 1 - ROUNDING, 1, values))
    return values.astype(np.float32)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a mask with linear, antialiased resampling.

    Args:
        mask: ``(h, w)`` in [0, 1].
        height: height of the result in pixels.
        width: width of the result in pixels.

    Returns:
        ``(height, width)`` float32 in [0, 1]. Masks of only ones and of only zeros keep their values exactly.
    """
    return _settle(_resampled(np.asarray(mask, np.float32)[..., None], (height, width), "linear")[..., 0])


def _coverage(start: float, end: float, pixels: int) -> np.ndarray:
    """Return the part of each pixel of a row that lies between two fractions of the row."""
    # 0.55 of 100 pixels is 55.00000000000001, which must not cover part of another pixel.
    first, last = round(start * pixels, 9), round(end * pixels, 9)
    edges = np.arange(pixels)
    return (np.minimum(edges + 1, last) - np.maximum(edges, first)).clip(0, 1)


def _resampled(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    return image if image.shape[:2] == size else np.asarray(resize(image[None], *size, method))[0]


def _opacity(picture: Picture) -> np.ndarray | None:
    """Return alpha, ``(h, w)``, or None if there is none or it is the same everywhere and so describes no region."""
    alpha = picture.alpha
    return None if alpha is None or alpha.min() == alpha.max() else alpha


def _gray(picture: Picture) -> tuple[np.ndarray, str]:
    """Return the mask that a file contains, ``(h, w)`` in [0, 1], and a note on how it was read."""
    alpha = _opacity(picture)
    if alpha is not None:
        return alpha, "has transparency: what is opaque is inside, whatever its color"
    gray = _luma(picture.colors)
    if picture.bits == 0 or picture.highest > MAX_LABELS or picture.highest == 0:
        return gray, ""
    if picture.highest == 1:
        return (gray > 0).astype(np.float32), "has the values 0 and 1: what is 1 is inside"
    top = 2**picture.bits - 1
    return gray, (
        f"has no value over {picture.highest:.0f} of {top}, so next to nothing is inside: use white for the "
        f"inside, or write {LABELS}FILE if the values are numbers of regions"
    )


def _codes(spec: str, picture: Picture, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the colors of a label image as numbers.

    Returns:
        0xRRGGBB of each pixel at the given size, ``(h, w)``, with −1 for transparent pixels; and the sorted
        colors of the file.
    """
    opacity = _opacity(picture)
    opaque = np.ones(picture.colors.shape[:2], bool) if opacity is None else opacity >= OPAQUE
    if not opaque.any():
        raise InputError(
            f"the mask {spec} is empty: no pixel has an alpha of {OPAQUE} or more; paint its regions opaque"
        )
    levels = np.rint(picture.colors * 255)
    if (np.abs(picture.colors * 255 - levels) * opaque[..., None]).max() > 1e-3:
        # For example class numbers in 16 bits, which would all be black in 8 bits.
        raise InputError(f"the mask {spec} has colors of more than 8 bits: save the file as an 8-bit PNG")
    weights = np.array([1 << 16, 1 << 8, 1], np.float32)  # float32 is exact for integers up to 2^24
    codes = np.where(opaque, levels @ weights, np.float32(-1))
    # The colors of the file before resampling: a color that resampling removes is an error, not a missing region.
    colors = np.unique(codes[opaque])
    if len(colors) > MAX_LABELS:
        raise InputError(
            f"the mask {spec} has {len(colors):,} colors, more than {MAX_LABELS}: save the file as a PNG, "
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
        notes.append(_gray(picture)[1])
    elif _opacity(picture) is not None:
        notes.append("has transparency: what is transparent belongs to no color")
    return "; it ".join(note for note in notes if note)


def _mask(item: Spec, values: np.ndarray, color: str = "") -> Mask:
    """Build a mask, inverted if its spec says so.

    Raises:
        InputError: If the mask is empty.
    """
    values = _settle(1 - values) if item.inverted else values.astype(np.float32)
    name = f"{item.text}#{color}" if color else item.text
    if not (values > 0).any():
        h, w = values.shape
        advice = "invert a mask that leaves something out" if item.inverted else _EMPTY[item.kind]
        raise InputError(f"the mask {name} is empty at {w}×{h} pixels: {advice}")
    return Mask(values, name, color, item.file)


def _read(item: Spec, image: np.ndarray, picture: Picture | None) -> list[Mask]:
    """Return the masks of a spec other than ``rest``.

    Args:
        item: the spec.
        image: ``(h, w, 3)``.
        picture: the spec's file, or None if it has none.
    """
    h, w = size = image.shape[:2]
    if item.kind == "all":
        return [_mask(item, np.ones(size))]
    if item.kind == "box":
        left, top, right, bottom = item.numbers
        return [_mask(item, np.outer(_coverage(top, bottom, h), _coverage(left, right, w)))]
    if item.kind in ("brighter", "darker"):
        over = _luma(image) > np.float32(item.numbers[0])  # compared in float32, the dtype of images
        return [_mask(item, over if item.kind == "brighter" else ~over)]
    assert picture is not None
    if item.kind == "file":
        gray = _gray(picture)[0][..., None]
        return [_mask(item, _settle(_resampled(gray, size, "linear")[..., 0]))]
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
    """Make the masks of an image.

    A pixel may be in several regions, and then counts in each of them, or in none.

    A file with another size than the image is resampled: a gray file linearly, with antialiasing; a label image
    to the nearest pixel, before colors are compared. For ``FILE#RRGGBB`` a pixel has the color if each channel
    is within :data:`COLOR_TOLERANCE` of it; for ``labels:FILE`` it must have exactly this color.

    If the alpha channel of a file varies, it takes precedence: for a gray file, alpha itself is the mask,
    whatever the colors; in a label image, pixels with alpha below :data:`OPAQUE` have no color. Alpha that is
    the same everywhere is ignored. In a gray file that contains only the integers 0 and 1, the pixels with 1 are
    inside. An :class:`InputWarning` tells of resampling and of these rules.

    Args:
        specs: mask specs, see :mod:`nstjax.images.mask_spec`.
        image: ``(1, h, w, 3)`` in [0, 1], which determines the size of the masks.

    Returns:
        One mask for each spec, in order; one for each color for ``labels:``.

    Raises:
        InputError: If a spec is malformed, a file cannot be read, a mask is empty, a ``labels:`` file has more
            than :data:`MAX_LABELS` colors or more than 8 bits, ``rest`` is the only spec or occurs twice, or the
            image has another shape.
    """
    items = [parse_mask(spec) for spec in specs]
    rests = [item for item in items if item.kind == "rest"]
    if len(rests) > 1:
        raise InputError("`specs` names rest twice: name it once")
    if rests and len(items) == 1:
        raise InputError("`specs` rest needs at least one other mask; use all for the whole image")
    image = np.asarray(image)
    if image.ndim != 4 or image.shape[::3] != (1, 3) or image.size == 0:
        raise InputError(f"the image to mask has shape {image.shape}: it must be (1, height, width, 3)")
    h, w = image.shape[1:3]
    load = functools.lru_cache(maxsize=1)(load_with_alpha)  # the colors of one file usually follow each other
    told: set[str] = set()
    found: list[Mask] = []
    place = 0  # index of the mask "rest"
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
