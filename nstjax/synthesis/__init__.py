"""Synthesis of images by optimization: style transfer, texture synthesis and reconstruction."""

from nstjax.synthesis.config import Settings, TransferConfig
from nstjax.synthesis.mix import mix_scales
from nstjax.synthesis.presets import PRESETS
from nstjax.synthesis.reconstruct import RECONSTRUCT, reconstruct
from nstjax.synthesis.solve import Progress, TransferFailed, TransferResult, TransferState
from nstjax.synthesis.styles import Style, StyleRegion
from nstjax.synthesis.texture import TEXTURE, texture
from nstjax.synthesis.transfer import transfer
from nstjax.synthesis.video import FrameResult, FrameState, VideoConfig, transfer_frame

__all__ = [
    "PRESETS",
    "RECONSTRUCT",
    "TEXTURE",
    "FrameResult",
    "FrameState",
    "Progress",
    "Settings",
    "Style",
    "StyleRegion",
    "TransferConfig",
    "TransferFailed",
    "TransferResult",
    "TransferState",
    "VideoConfig",
    "mix_scales",
    "reconstruct",
    "texture",
    "transfer",
    "transfer_frame",
]
