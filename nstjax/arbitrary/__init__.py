"""One pass in the style of any image: closed-form transport of activations, and a decoder."""

from nstjax.arbitrary.apply import Decoder, style_moments, stylize_arbitrary
from nstjax.arbitrary.store import load_decoder, save_decoder

__all__ = ["Decoder", "load_decoder", "save_decoder", "style_moments", "stylize_arbitrary"]
