"""Style transfer of videos with a temporal loss (Ruder et al. 2016, arXiv 1604.08610)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import MOST, within
from nstjax.images.color import luminance
from nstjax.images.flow import motion, warp
from nstjax.images.resize import fit_long_side
from nstjax.losses import temporal_loss
from nstjax.pixels import check_image
from nstjax.synthesis.colors import restore_colors
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.problem import ExtraTerms
from nstjax.synthesis.pyramid import fitted
from nstjax.synthesis.solve import ProgressCallback, TransferResult
from nstjax.synthesis.styles import Styles
from nstjax.synthesis.transfer import transfer
from nstjax.typing import Backbone, Images, Scalar

SHARE = 0.5
"""Iterations of a frame that starts from the one before, relative to those of the last scale."""
_MOST_WEIGHT = 1e9
TERM = "temporal"
"""Name of the temporal loss in a history."""


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """Settings of the transfer of a video, in addition to :class:`TransferConfig`.

    Raises:
        InputError: If a field is outside its range.
    """

    temporal_weight: float = 100.0
    """Weight of the temporal loss, which keeps the picture of a frame close to the one before, moved along the optical flow; at most 1e9, and 0 turns it off."""
    frame_iterations: int | None = None
    """Iterations of each frame that starts from the one before, at least 1; by default half of those of the last scale."""

    def __post_init__(self) -> None:
        within("temporal_weight", self.temporal_weight, 0, _MOST_WEIGHT)
        if self.frame_iterations is not None:
            within("frame_iterations", self.frame_iterations, 1, MOST)

    def following(self, config: TransferConfig) -> TransferConfig:
        """Return the config of a frame that starts from the one before: the last scale alone, with :attr:`frame_iterations`."""
        side, last = config.pyramid()[-1], len(config.pyramid()) - 1
        count = self.frame_iterations or max(1, round(SHARE * config.iterations_at(last)))
        optimizer = config.optimizer_at(last).limited(count)
        return dataclasses.replace(
            config, size=side, scales=(side,), iterations=(), optimizer=optimizer, init="image"
        )


@dataclasses.dataclass(frozen=True)
class FrameState:
    """What the next frame needs of a frame.

    Attributes:
        frame: the frame at the size of the picture, ``(1, h, w, 3)`` float32 in [0, 1].
        iterate: the picture as the network sees it, of the same shape. It differs from the result if colors are
            changed after the optimization.
    """

    frame: np.ndarray
    iterate: np.ndarray


@dataclasses.dataclass(frozen=True)
class FrameResult:
    """The picture of a frame.

    Attributes:
        image: the picture, ``(1, h, w, 3)`` float32 in [0, 1].
        state: the argument ``last`` for the next frame.
        result: the result of the optimization.
        is_start: True if the frame was stylized like a photograph, because it is the first one of a scene.
    """

    image: np.ndarray
    state: FrameState
    result: TransferResult
    is_start: bool


@dataclasses.dataclass(frozen=True)
class _Temporal:
    """The weighted temporal loss. All instances are equal, so that all frames share one compiled program."""

    def __call__(self, weight: jax.Array, warped: jax.Array, weights: jax.Array, image: Images) -> Scalar:
        return weight * temporal_loss(image, warped, weights)


def temporal_term(weight: float, warped: Images, weights: np.ndarray) -> ExtraTerms:
    """Return the temporal loss as an extra term of :func:`nstjax.transfer`.

    Its arrays are arguments of the compiled program, so that frames of one size share the program.

    Args:
        weight: factor on the loss.
        warped: the warped picture of the frame before, ``(1, h, w, 3)`` in [0, 1].
        weights: the weights of the positions, ``(h, w)`` in [0, 1].

    Returns:
        ``{"temporal": term}``, for the argument ``extra_terms``.
    """
    arrays = (jnp.float32(weight), jnp.asarray(warped, jnp.float32), jnp.asarray(weights, jnp.float32)[None])
    return {TERM: jax.tree_util.Partial(_Temporal(), *arrays)}


def filled(warped: np.ndarray, frame: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """Return the warped picture, with the frame in the colors of the picture where the flow cannot be trusted.

    An affine map of colors, fitted by least squares where the flow is trusted, gives the frame the colors of the picture.
    Without this map, newly visible areas would keep the frame's colors, because a few iterations at one scale hardly
    change large areas.

    Args:
        warped: the warped picture of the frame before, ``(1, h, w, 3)`` in [0, 1].
        frame: the frame, of the same shape.
        trusted: where the flow is reliable, ``(h, w)`` bool.

    Returns:
        ``(1, h, w, 3)`` float32 in [0, 1].
    """
    colors = np.concatenate([frame[0], np.ones_like(frame[0, ..., :1])], -1)
    affine = np.linalg.lstsq(colors[trusted], warped[0][trusted], rcond=None)[0]
    recolored = (colors @ affine).clip(0, 1).astype(np.float32)
    return np.where(trusted[None, ..., None], warped, recolored[None])


def transfer_frame(
    frame: Images,
    style: Styles,
    backbone: Backbone,
    config: TransferConfig | None = None,
    video: VideoConfig | None = None,
    last: FrameState | None = None,
    callback: ProgressCallback | None = None,
) -> FrameResult:
    """Stylize a frame of a video, consistently with the frame before it.

    The first frame of a scene is stylized like a photograph. Every other frame starts from the last picture, moved
    along the optical flow. Where the flow is not reliable (occlusions and motion boundaries), it starts from the frame
    itself, recolored to match the picture. :func:`nstjax.losses.temporal_loss` keeps it close to the warped picture where
    the flow is reliable. Frames that do not start a scene are computed at the last scale only, with
    :attr:`VideoConfig.frame_iterations`.

    Args:
        frame: ``(1, h, w, 3)`` in [0, 1], of any size.
        style: as for :func:`nstjax.transfer`.
        backbone: feature network from :func:`nstjax.load_backbone`.
        config: settings; the default is that of the preset ``default``.
        video: settings of the video.
        last: the state of the frame before; None for the first frame.
        callback: as for :func:`nstjax.transfer`.

    Returns:
        The picture, and what the next frame needs. A new scene starts if ``last`` is None or has another size, or if
        the two frames are not alike (:attr:`nstjax.images.flow.Motion.is_cut`).

    Raises:
        InputError: As for :func:`nstjax.transfer`; or if OpenCV is not installed, or a side has more than 32766 pixels.
        TransferFailed: If the loss became non-finite.
    """
    config = (config or TransferConfig()).for_backbone(backbone)
    video = video or VideoConfig()
    frame = check_image("frame", frame)
    size = fit_long_side(frame.shape[1], frame.shape[2], config.pyramid()[-1])
    fitting = np.asarray(fitted(frame, *size))
    # Colors that are applied to the result are no part of the iterate: the next frame would start from them.
    bare = dataclasses.replace(config, colors="style") if config.colors_of == "result" else config

    def seen(image: np.ndarray) -> np.ndarray:
        """Return an image as the network sees it."""
        return luminance(image).clip(0, 1) if bare.colors == "luminance" else image

    moved = None if last is None or last.frame.shape != fitting.shape else motion(fitting, last.frame)
    is_start = last is None or moved is None or moved.is_cut
    if last is None or moved is None or moved.is_cut:
        result = transfer(frame, style, backbone, bare, callback)
    else:
        warped = warp(last.iterate, moved.flow)
        start = filled(warped, seen(fitting), moved.trusted)
        terms = temporal_term(video.temporal_weight, warped, moved.trusted)
        result = transfer(
            frame,
            style,
            backbone,
            video.following(bare),
            callback,
            init_image=start,
            extra_terms=terms if video.temporal_weight else None,
        )
    image = restore_colors(config, fitting, result.image) if bare is not config else result.image
    return FrameResult(image, FrameState(fitting, seen(result.image)), result, is_start)
