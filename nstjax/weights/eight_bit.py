"""8-bit storage of weights: signed integers with one scale for each output channel.

The shipped network is stored in this form. The rounding error of a weight is at most 1/254 of the largest magnitude in
its output channel.
"""

from collections.abc import Mapping

import numpy as np

Layers = dict[str, dict[str, np.ndarray]]
_SCALE = "_scale"
_LARGEST = 127


def quantize(layers: Mapping[str, Mapping[str, np.ndarray]]) -> Layers:
    """Round the arrays of two and more axes to 8 bits.

    Args:
        layers: ``{layer: {name: array}}`` of floats; the last axis is the output channel.

    Returns:
        The same tree. Each rounded array ``name`` is int8, with ``name_scale`` (float32, ``(channels,)``) beside it; the
        others are float16.
    """
    found: Layers = {}
    for layer, arrays in layers.items():
        found[layer] = {}
        for name, array in arrays.items():
            values = np.asarray(array, np.float32)
            if values.ndim < 2:
                found[layer][name] = values.astype(np.float16)
                continue
            largest = np.abs(values).max(tuple(range(values.ndim - 1)))
            scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(_LARGEST)
            found[layer][name] = np.clip(np.rint(values / scale), -_LARGEST, _LARGEST).astype(np.int8)
            found[layer][name + _SCALE] = scale
    return found


def dequantize(layers: Mapping[str, Mapping[str, np.ndarray]]) -> Layers:
    """Return the float32 arrays of a tree from :func:`quantize`; arrays without a scale are only converted.

    Raises:
        KeyError: an array of integers has no scale.
    """
    found: Layers = {}
    for layer, arrays in layers.items():
        found[layer] = {}
        for name, array in arrays.items():
            if name.endswith(_SCALE):
                continue
            values = np.asarray(array)
            scaled = np.issubdtype(values.dtype, np.integer)
            factor = np.asarray(arrays[name + _SCALE], np.float32) if scaled else np.float32(1)
            found[layer][name] = values.astype(np.float32) * factor
    return found
