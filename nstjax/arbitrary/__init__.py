"""One pass in the style of any image: closed-form transport of activations, and a decoder."""

from nstjax.arbitrary.apply import Decoder, PreparedStyle, prepare_style, stylize_arbitrary
from nstjax.arbitrary.store import load_decoder, save_decoder

__all__ = [
    "Decoder",
    "PreparedStyle",
    "load_decoder",
    "prepare_style",
    "save_decoder",
    "stylize_arbitrary",
]
