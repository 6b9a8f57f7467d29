"""Reduces the flicker of videos whose frames are stylized one by one."""

import dataclasses

import numpy as np

from nstjax.errors import check_positive, within
from nstjax.images import resize
from nstjax.images.flow import LIKENESS_TOLERANCE, ONE_SCENE, motion, warp


@dataclasses.dataclass(frozen=True)
class SteadyConfig:
    """Settings of :func:`steady`.

    Attributes:
        blend: weight of the warped previous picture where the flow is reliable, 0 to 0.99.
        tolerance: root mean square difference of colors, in [0, 1], between a frame and its warped predecessor at
            which the weight has dropped to 1/e. Light that changes, and errors of the flow, show as such differences.
        softness: standard deviation of the Gaussian filter that smooths the weights, in pixels.
        least: smallest mean weight, relative to ``blend``, of two frames of one scene; below it the picture is not
            changed.

    Raises:
        InputError: If a field is outside its range.
    """

    blend: float = 0.85
    tolerance: float = LIKENESS_TOLERANCE
    softness: float = 1.5
    least: float = ONE_SCENE

    def __post_init__(self) -> None:
        within("blend", self.blend, 0, 0.99)
        check_positive("tolerance", self.tolerance)
        within("softness", self.softness, 0, 100)
        within("least", self.least, 0, 1)


@dataclasses.dataclass(frozen=True)
class Shot:
    """A frame and its picture.

    Attributes:
        frame: the frame of the video, ``(1, h, w, 3)`` in [0, 1], at the size of the picture.
        picture: the stylized frame, of the same shape.
    """

    frame: np.ndarray
    picture: np.ndarray


def steady(frame: np.ndarray, picture: np.ndarray, last: Shot | None, config: SteadyConfig) -> Shot:
    """Blend a stylized frame with the previous picture, moved along the optical flow of the video.

    Where the flow is not reliable (occlusions, borders of motions, changes of light) the picture stays as it is.
    The result of one frame is the input of the next, so a picture contains a weighted mean over several frames.

    Args:
        frame: the frame of the video, ``(1, h, w, 3)`` in [0, 1].
        picture: the stylized frame, ``(1, h', w', 3)`` in [0, 1].
        last: the result for the previous frame; None for the first frame.
        config: settings.

    Returns:
        The frame at the size of the picture, and the new picture, float32. The picture is unchanged if ``last`` is
        None or has another size, or after a cut to another scene.

    Raises:
        InputError: If OpenCV is not installed.
    """
    from scipy import ndimage  # not at the top: it takes 0.2 seconds, and few commands need it

    height, width = picture.shape[1:3]
    if frame.shape[1:3] != (height, width):
        frame = np.asarray(resize(frame, height, width), np.float32).clip(0, 1)
    if last is None or last.picture.shape != picture.shape:
        return Shot(frame, picture)
    found = motion(frame, last.frame, config.tolerance)
    weights = ndimage.gaussian_filter(found.trusted * found.likeness, config.softness)
    if weights.mean() < config.least:
        return Shot(frame, picture)
    share = (config.blend * weights)[None, ..., None].astype(np.float32)
    return Shot(frame, share * warp(last.picture, found.flow) + (1 - share) * picture)
