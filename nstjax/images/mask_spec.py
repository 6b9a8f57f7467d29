"""Parses mask specs: strings that describe a region of an image.

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
If a file has an alpha channel that varies, what is opaque is inside, whatever its colour; of a label image,
what is transparent belongs to no colour. In a grey file of the integers 0 and 1, what is 1 is inside.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from nstjax.errors import InputError

LABELS = "labels:"
_FORMS = {  # what to write, of masks made of numbers
    "box": "write box:LEFT,TOP,RIGHT,BOTTOM in fractions of width and height",
    "brighter": "write brighter:V with V from 0, black, to 1, white",
    "darker": "write darker:V with V from 0, black, to 1, white",
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """A spec taken apart; ``kind`` is a key of the readers' table, or ``"all"``."""

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
        raise InputError(f"the mask {spec} has {len(found)} numbers, not {count}: {_FORMS[kind]}")
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
    if not file or not re.fullmatch("[0-9a-fA-F]{6}", color):
        raise InputError(
            f"the mask {spec} is no file, nor a file and the six digits of a colour: write FILE#RRGGBB"
        )
    return file, color


def parse_mask(spec: str) -> Spec:
    """Take a mask's description apart; raises what :func:`check_mask_spec` does."""
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
            raise InputError(f"the mask {spec} names one colour of all: write {value} or labels:{file}")
        return Spec(spec, kind, file=Path(file))
    file, color = _split_color(spec, text)
    return Spec(spec, "color" if color else "file", inverted, Path(file), int(color or "0", 16))


def check_mask_spec(spec: str) -> None:
    """Check the syntax of a mask spec, without opening a file.

    Raises:
        InputError: it is malformed.
    """
    parse_mask(spec)


def mask_files(specs: Sequence[str]) -> list[Path]:
    """The files that masks are read from, in order, each once.

    Raises:
        InputError: a spec is malformed.
    """
    return list(dict.fromkeys(item.file for item in map(parse_mask, specs) if item.file is not None))
