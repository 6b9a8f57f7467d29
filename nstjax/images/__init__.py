"""Decoding, encoding, resampling and display of images."""

from nstjax.images.display import show, to_png
from nstjax.images.encode import check_output, median_filter, save_gif, save_image
from nstjax.images.folder import find_images
from nstjax.images.io import load_image
from nstjax.images.resize import fit_long_side, resize

__all__ = [
    "check_output",
    "find_images",
    "fit_long_side",
    "load_image",
    "median_filter",
    "resize",
    "save_gif",
    "save_image",
    "show",
    "to_png",
]
