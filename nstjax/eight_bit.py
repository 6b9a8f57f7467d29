"""8-bit storage of weights: signed integers with one scale for each output channel.

The embedded network is stored in this form. The rounding error of a weight is at most 1/254 of the largest
magnitude in its output channel.
"""

from collections.abc import Mapping

import numpy as np

Layers = dict[str, dict[str, np.ndarray]]
_SCALE = "_scale"
_LARGEST = 127


def quantize(layers: Mapping[str, Mapping[str, np.ndarray]]) -> Layers:
    """Round the arrays with two or more axes to 8 bits, and convert the others to float16.

    Args:
        layers: ``{layer: {name: array}}`` of floats; the last axis is the output channel.

    Returns:
        The same tree with int8 and float16 arrays. Each int8 array ``name`` has an additional array
        ``name_scale``, ``(channels,)`` float32, beside it; their product is the rounded array.
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
    """Return the tree of float32 arrays that a tree from :func:`quantize` represents.

    Args:
        layers: ``{layer: {name: array}}``. Integer arrays are multiplied by their scales; the others are only
            converted to float32.

    Raises:
        KeyError: An array of integers has no scale.
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
