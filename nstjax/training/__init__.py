"""Training of feed-forward generators with optax on all devices."""

from nstjax.training.cadence import Cadence, TrainProgress
from nstjax.training.config import TrainConfig, TrainSettings
from nstjax.training.loop import train
from nstjax.training.metrics import TrainingFailed, read_metrics
from nstjax.training.presets import TRAIN_PRESET_STARTS, TRAIN_PRESETS

__all__ = [
    "TRAIN_PRESETS",
    "TRAIN_PRESET_STARTS",
    "Cadence",
    "TrainConfig",
    "TrainProgress",
    "TrainSettings",
    "TrainingFailed",
    "read_metrics",
    "train",
]
