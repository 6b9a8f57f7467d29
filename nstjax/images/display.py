"""Display of images in notebooks."""

import base64
import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.images.encode import check_picture, to_integers
from nstjax.images.io import decode_image
from nstjax.images.resize import resize
from nstjax.pixels import check_range
from nstjax.typing import Images


def to_png(*images: Any) -> bytes:
    """Encode images as one PNG file, side by side.

    Args:
        images: one or more arrays ``(n, h, w, 3)`` or ``(h, w, 3)``, floating point, sRGB. Values slightly
            outside [0, 1] are clamped. The images of a batch are placed side by side, in order. Images of different heights are
            aligned at the top, with white below.

    Returns:
        The bytes of an 8-bit RGB PNG file. Its pixels are ``round(255 * image)``, after clamping.

    Raises:
        InputError: If there is no image, or one has another shape or dtype, values that are not finite, or a value
            outside [−2, 2], such as 8-bit values.
    """
    parts: list[np.ndarray] = []
    for image in map(np.asarray, images):
        check_picture(image, batch=True)
        check_range("image", image)
        parts += [to_integers(one) for one in image.reshape(-1, *image.shape[-3:])]
    if not parts:
        raise InputError("there is no image to show: give at least one")
    height = max(part.shape[0] for part in parts)
    padded = [
        np.pad(part, ((0, height - part.shape[0]), (0, 0), (0, 0)), constant_values=255) for part in parts
    ]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(padded, axis=1)).save(buffer, "PNG")
    return buffer.getvalue()


THUMBNAIL = 64  # side in pixels
MAX_THUMBNAIL = 1024  # largest side that is read


def thumbnail(image: Images) -> str:
    """Encode the central square of an image as a small JPEG file.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].

    Returns:
        A data URL, ``data:image/jpeg;base64,...``, of an image of :data:`THUMBNAIL` pixels a side.
    """
    height, width = image.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(image[:, top : top + side, left : left + side], THUMBNAIL, THUMBNAIL)
    buffer = io.BytesIO()
    Image.fromarray(to_integers(np.asarray(square)[0].clip(0, 1))).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def read_thumbnail(text: str) -> np.ndarray:
    """Return the image of a data URL from :func:`thumbnail`, ``(1, h, w, 3)`` float32 in [0, 1].

    Raises:
        InputError: If the text is not such a data URL.
    """
    damaged = "a thumbnail is damaged: train or copy the model again"
    try:
        content = base64.b64decode(text.removeprefix("data:image/jpeg;base64,"), validate=True)
        image = decode_image(io.BytesIO(content), "a thumbnail")
    except ValueError as error:  # an InputError is a ValueError
        raise InputError(damaged) from error
    if max(image.shape[:2]) > MAX_THUMBNAIL or image.dtype != np.uint8:
        raise InputError(damaged)
    return image[None].astype(np.float32) / 255


class ShownImage:
    """Images that a notebook displays as the value of a cell; returned by :func:`show`.

    Attributes:
        png: the bytes of an 8-bit PNG file.
        size: ``(height, width)`` in pixels.
    """

    def __init__(self, png: bytes) -> None:
        self.png = png
        width, height = struct.unpack(">II", png[16:24])  # in the header of every PNG file
        self.size = height, width

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        height, width = self.size
        return f"<image of {width}×{height} pixels>"


def show(*images: Any) -> ShownImage:
    """Display images side by side in a notebook.

    In Jupyter and Colab the returned object is displayed if it is the last value of a cell; elsewhere in a cell
    pass it to ``IPython.display.display``.

    >>> nstjax.show(photo, painting, result.image)

    Args:
        images: one or more arrays ``(n, h, w, 3)`` or ``(h, w, 3)``, floating point, sRGB. Values slightly
            outside [0, 1] are clamped. The images of a batch are placed side by side, in order. Images of different heights are
            aligned at the top, with white below.

    Returns:
        A :class:`ShownImage`, which holds the pixels as an 8-bit PNG.

    Raises:
        InputError: If there is no image, or one has another shape or dtype, values that are not finite, or a value
            outside [−2, 2], such as 8-bit values.
    """
    return ShownImage(to_png(*images))
