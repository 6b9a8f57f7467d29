"""The Orbax store of the decoder for arbitrary styles."""

from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np

from nstjax import checkpoints
from nstjax.arbitrary.apply import Decoder
from nstjax.arbitrary.decoder import DECODER_LAYERS, DecoderConfig, param_shapes
from nstjax.eight_bit import dequantize, quantize
from nstjax.errors import InputError
from nstjax.files import shipped_folder
from nstjax.plain import build, checked

SHIPPED = "any_style"  # name of the decoder that comes with nstjax
_KIND = "decoder"


class _Record(TypedDict):
    """The parts of a store's record that are read back."""

    kind: str
    config: dict[str, Any]
    sizes: list[float]


def save_decoder(path: Path, decoder: Decoder) -> None:
    """Write a decoder to an Orbax store, with 8 bits for each weight. An existing store is replaced.

    Args:
        path: folder of the store.
        decoder: the decoder.

    Raises:
        InputError: If a weight is not finite, or the store cannot be written.
    """
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(dict(decoder.params))):
        raise InputError("the decoder has weights that are not finite: its training failed")
    params = {
        name: {key: np.asarray(leaf) for key, leaf in leaves.items()}
        for name, leaves in decoder.params.items()
    }
    config = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(decoder.config).items()}
    facts = {"kind": _KIND, "config": config, "sizes": list(decoder.sizes)}
    checkpoints.save(Path(path), quantize(params), {**decoder.record, **facts})


def load_decoder(path: str | Path | None = None) -> Decoder:
    """Read a decoder from an Orbax store.

    Args:
        path: folder of the store; by default that of the decoder that comes with nstjax.

    Raises:
        InputError: If the store does not exist, is damaged or holds something else.
    """
    path = shipped_folder() / SHIPPED if path is None else Path(path)
    tree, record = checkpoints.load(path)
    try:
        facts = checked(record, _Record, "its record")
        if facts["kind"] != _KIND:
            raise InputError("it holds something else")
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in facts["config"].items()}
        config = build(DecoderConfig, fields)
        if len(facts["sizes"]) != len(DECODER_LAYERS) or not all(
            0 < size < np.inf for size in facts["sizes"]
        ):
            raise InputError("its sizes are damaged")
        params = dequantize(tree)
        if jax.tree.map(np.shape, params) != param_shapes(config) or not all(
            np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)
        ):
            raise InputError("its weights do not fit its config, or are not finite")
    except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a decoder for arbitrary styles ({error}): name another") from error
    return Decoder(config, params, tuple(facts["sizes"]), record)
