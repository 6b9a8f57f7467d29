"""Batches of photographs for training, made with Grain: shuffled, cropped, and resumable bit for bit.

>>> with open_batches(DataConfig("photographs/", size=256, batch_size=4)) as batches:
...     batch = next(batches)  # .images (4, 256, 256, 3) float32 in [0, 1]
"""

from nstjax.data.config import DataConfig
from nstjax.data.pipeline import Batch, Batches, open_batches
from nstjax.data.tfds import prepare_dataset

__all__ = ["Batch", "Batches", "DataConfig", "open_batches", "prepare_dataset"]
