"""Per-image methods: what is put together from images, networks, losses and optimisers."""

from nstjax.synthesis.config import Settings, TransferConfig
from nstjax.synthesis.presets import PRESETS
from nstjax.synthesis.transfer import Progress, TransferFailed, TransferResult, TransferState, transfer

__all__ = [
    "PRESETS",
    "Progress",
    "Settings",
    "TransferConfig",
    "TransferFailed",
    "TransferResult",
    "TransferState",
    "transfer",
]
