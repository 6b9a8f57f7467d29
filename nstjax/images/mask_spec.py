"""Parses mask specs: strings that describe a region of an image.

================= =========================================================================
``FILE``          a gray image: white is inside, gray is partly inside; colors count by their luma
``FILE#RRGGBB``   the pixels of this color in a label image
``labels:FILE``   all regions of a label image: one for each color, in the order of 0xRRGGBB
``box:L,T,R,B``   a rectangle in fractions of width and height; 0,0 is the top left
``brighter:V``    the pixels where the image's own luma is greater than V, in [0, 1]
``darker:V``      the pixels where it is V or less
``not:SPEC``      the inverse, ``1 − m``; not allowed for ``labels:`` and ``rest``
``all``           the whole image
``rest``          the part that no other mask in the list covers, ``max(0, 1 − Σ m)``
================= =========================================================================

Any other string is a file name; a file with a name like one of these is written ``./all``. A ``#`` is part of the
file name if a file with the whole name exists, or if the text after it contains ``.`` or ``/``.
If the alpha channel of a file varies, opaque pixels are inside, whatever their color; transparent pixels of a
label image belong to no color. In a gray file that contains only the integers 0 and 1, the pixels with 1 are
inside.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from nstjax.errors import InputError

LABELS = "labels:"
_FORMS = {  # how to write masks that consist of numbers, for messages
    "box": "write box:LEFT,TOP,RIGHT,BOTTOM in fractions of width and height",
    "brighter": "write brighter:V with V from 0, black, to 1, white",
    "darker": "write darker:V with V from 0, black, to 1, white",
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """A parsed mask spec.

    Attributes:
        text: the spec as the user wrote it.
        kind: ``"file"``, ``"color"``, ``"labels"``, ``"box"``, ``"brighter"``, ``"darker"``, ``"all"`` or
            ``"rest"``.
        inverted: True if the mask is inverted.
        file: the file, or None.
        color: 0xRRGGBB of the kind ``"color"``.
        numbers: the numbers of the kinds ``"box"``, ``"brighter"`` and ``"darker"``, each in [0, 1].
    """

    text: str
    kind: str
    inverted: bool = False
    file: Path | None = None
    color: int = 0
    numbers: tuple[float, ...] = ()


def _numbers(spec: str, kind: str, text: str) -> tuple[float, ...]:
    """Parse the numbers of a spec and check their count and range."""
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError(f"the mask {spec} has a word where a number is needed: {_FORMS[kind]}") from None
    count = 4 if kind == "box" else 1
    if len(found) != count:
        raise InputError(f"the mask {spec} has {len(found)} numbers, not {count}: {_FORMS[kind]}")
    if not all(0 <= number <= 1 for number in found):  # False for NaN
        raise InputError(f"the mask {spec} has a number that is not within [0, 1]: {_FORMS[kind]}")
    if kind == "box" and not (found[0] < found[2] and found[1] < found[3]):
        raise InputError(f"the mask {spec} must have LEFT < RIGHT and TOP < BOTTOM: {_FORMS[kind]}")
    return found


def _split_color(spec: str, text: str) -> tuple[str, str]:
    """Split a file name and its color. The color is empty if the name has none or the ``#`` is part of the name."""
    file, mark, color = text.rpartition("#")
    if not mark or os.path.isfile(text) or "." in color or "/" in color:
        return text, ""
    if not file or not re.fullmatch("[0-9a-fA-F]{6}", color):
        raise InputError(
            f"the mask {spec} is not a file, or a file followed by the six digits of a color: write FILE#RRGGBB"
        )
    return file, color


def parse_mask(spec: str) -> Spec:
    """Parse a mask spec.

    Raises:
        InputError: If the spec is malformed.
    """
    if not spec.strip():
        raise InputError("`specs` has an empty string: name a file, or write all for no mask")
    text, inverted = spec, False
    while text.startswith("not:"):
        text, inverted = text.removeprefix("not:"), not inverted
    kind, colon, value = text.partition(":")
    if text != spec and (text in ("", "rest") or kind + colon == "labels:"):
        raise InputError(f"the mask {spec} cannot be inverted: name one mask after not:, such as FILE#RRGGBB")
    if text in ("all", "rest"):
        return Spec(spec, text, inverted)
    if colon and kind in _FORMS:
        return Spec(spec, kind, inverted, numbers=_numbers(spec, kind, value))
    if kind + colon == "labels:":
        if not value:
            raise InputError(f"the mask {spec} has no file: write labels:FILE")
        file, color = _split_color(spec, value)
        if color:
            raise InputError(
                f"the mask {spec} has a color, but labels: takes none: write {value} for this color, or labels:{file} for all"
            )
        return Spec(spec, kind, file=Path(file))
    file, color = _split_color(spec, text)
    return Spec(spec, "color" if color else "file", inverted, Path(file), int(color or "0", 16))


def check_mask_spec(spec: str) -> None:
    """Check the syntax of a mask spec, without opening a file.

    Raises:
        InputError: If the spec is malformed.
    """
    parse_mask(spec)


def mask_files(specs: Sequence[str]) -> list[Path]:
    """Return the files of several mask specs, in order and without duplicates.

    Raises:
        InputError: If a spec is malformed.
    """
    return list(dict.fromkeys(item.file for item in map(parse_mask, specs) if item.file is not None))
