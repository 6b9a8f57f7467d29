"""Optical flow between two frames of a video, warping along it, and where it can be trusted."""

import dataclasses
from typing import Any

import numpy as np

from nstjax.errors import InputError

LIKENESS_TOLERANCE = (
    0.08  # root mean square difference of colors at which the likeness of two positions is 1/e
)
ONE_SCENE = 0.3  # least mean likeness of two consecutive frames of one scene
LEAST_FLOW_SIDE = 16  # pixels; the flow of smaller frames is taken to be 0
_RANGE = 2**15 - 2  # largest side that OpenCV can warp


def opencv() -> Any:
    """Import OpenCV.

    Returns:
        The module ``cv2``.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            "optical flow needs the package opencv-python-headless: pip install 'nstjax[video]'"
        ) from error
    return cv2


def optical_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute where each pixel of one frame is in another frame.

    The method is dense inverse search (Kroeger et al. 2016, arXiv 1603.03590), by OpenCV.

    Args:
        first: ``(1, h, w, 3)`` in [0, 1].
        second: a frame of the same shape.

    Returns:
        ``(h, w, 2)`` float32: the displacement ``(x, y)`` in pixels from a pixel of ``first`` to its place in
        ``second``. Zeros if a side is shorter than :data:`LEAST_FLOW_SIDE`.

    Raises:
        InputError: If OpenCV is not installed.
    """
    cv2 = opencv()
    height, width = first.shape[1:3]
    if min(height, width) < LEAST_FLOW_SIDE:
        return np.zeros((height, width, 2), np.float32)
    gray = [
        cv2.cvtColor(np.rint(255 * frame[0].clip(0, 1)).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        for frame in (first, second)
    ]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(gray[0], gray[1], None), np.float32)


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Move an image along a flow: each pixel gets the value at its displaced position, by cubic interpolation.

    Args:
        image: ``(1, h, w, c)`` float32.
        flow: ``(h, w, 2)`` from :func:`optical_flow`. Positions outside the image get the value at its border.

    Returns:
        An array like ``image``, within its range.

    Raises:
        InputError: If OpenCV is not installed, or a side of the image has more than 32766 pixels.
    """
    cv2 = opencv()
    if max(image.shape[1:3]) > _RANGE:
        raise InputError(
            f"optical flow is for frames of at most {_RANGE} pixels a side: choose a smaller `size`"
        )
    rows, columns = np.indices(flow.shape[:2], np.float32)
    moved = cv2.remap(
        np.ascontiguousarray(image[0], np.float32),
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    moved = np.asarray(moved, np.float32).reshape(image.shape)
    return moved.clip(image.min(), image.max())


def inside(flow: np.ndarray) -> np.ndarray:
    """Return where a flow ``(h, w, 2)`` leads to a position inside the frame, ``(h, w)`` bool."""
    rows, columns = np.indices(flow.shape[:2])
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return np.asarray((x >= 0) & (y >= 0) & (x <= flow.shape[1] - 1) & (y <= flow.shape[0] - 1))


def reliable(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Return where a flow can be trusted: neither at occlusions, nor at the borders of motions, nor outside the frame.

    The conditions are those of Ruder et al. (2016, arXiv 1604.08610, section 3.2): the flow there and back must end
    where it began, and the flow must be smooth. The constant of the second condition is 0.1 in place of the paper's 0.002:
    only steep changes of the flow are motion boundaries, and those of slow objects are not found.

    Args:
        flow: from the frame to another one, ``(h, w, 2)``.
        back: from the other frame to this one.

    Returns:
        ``(h, w)`` bool.
    """
    returned = warp(back[None], flow)[0]
    there, home = np.square(flow).sum(-1), np.square(returned).sum(-1)
    consistent = np.square(flow + returned).sum(-1) <= 0.01 * (there + home) + 0.5
    slopes = np.zeros(flow.shape[:2], np.float32)
    if min(slopes.shape) > 1:  # a gradient needs two pixels; such small frames have no flow
        for axis in (0, 1):
            slopes += np.square(np.gradient(flow[..., axis], axis=(0, 1))).sum(0)
    return np.asarray(consistent & (slopes <= 0.01 * there + 0.1) & inside(flow))


@dataclasses.dataclass(frozen=True)
class Motion:
    """The motion from a frame to the frame before it.

    Attributes:
        flow: the displacement from a pixel to its place in the frame before, ``(h, w, 2)``; see :func:`optical_flow`.
        trusted: where the flow is :func:`reliable`, ``(h, w)`` bool.
        likeness: ``exp(−d/τ²)``, ``(h, w)`` float32, where ``d`` is the mean squared difference of colors between the
            frame and the warped frame before.
    """

    flow: np.ndarray
    trusted: np.ndarray
    likeness: np.ndarray

    @property
    def is_cut(self) -> bool:
        """True if the mean of ``trusted · likeness`` over all positions is below :data:`ONE_SCENE`."""
        return bool((self.trusted * self.likeness).mean() < ONE_SCENE)


def motion(frame: np.ndarray, before: np.ndarray, tolerance: float = LIKENESS_TOLERANCE) -> Motion:
    """Estimate the motion between two consecutive frames.

    Args:
        frame: ``(1, h, w, 3)`` in [0, 1].
        before: the frame before it, of the same shape.
        tolerance: ``τ``, see :class:`Motion`.

    Raises:
        InputError: If OpenCV is not installed, or a side has more than 32766 pixels.
    """
    flow = optical_flow(frame, before)
    trusted = reliable(flow, optical_flow(before, frame))
    difference = np.square(frame - warp(before, flow))[0].mean(-1)
    return Motion(flow, trusted, np.exp(-difference / tolerance**2))
