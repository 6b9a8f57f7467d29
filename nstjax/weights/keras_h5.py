"""Keras ``.h5``: the old layout of the published VGG files, and Keras 3's ``.weights.h5``.

Old: a group a layer (``block1_conv1``), its datasets named by the attribute ``weight_names``, kernel
first. The group may lie under ``model_weights`` (a whole model). Keras 3: ``layers/<layer>/vars/0``
(kernel) and ``1`` (bias), the layers named after their class (``conv2d``, ``conv2d_1``, …) or as given.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.nn.vgg import CONVS_PER_BLOCK, conv_names
from nstjax.weights.canonical import Arrays, from_pairs


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _canonical_name(layer: str) -> str | None:
    match = re.fullmatch(r"block([1-5])_conv([1-4])", layer)
    return f"conv{match[1]}_{match[2]}" if match else None


def _old_layout(root: Any, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    pairs = {}
    for layer in (_text(name) for name in root.attrs["layer_names"]):
        name = _canonical_name(layer)
        if name is None:
            continue
        datasets = [_text(weight) for weight in root[layer].attrs["weight_names"]]
        if len(datasets) != 2:
            raise InputError(
                f"{path}: {layer} has {len(datasets)} arrays where a kernel and a bias are wanted"
            )
        pairs[name] = (np.asarray(root[layer][datasets[0]]), np.asarray(root[layer][datasets[1]]))
    return pairs


def _keras3_layout(root: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    pairs, by_class = {}, []
    for layer in root["layers"]:
        variables = root["layers"][layer].get("vars")
        if variables is None or "0" not in variables or "1" not in variables:
            continue
        pair = (np.asarray(variables["0"]), np.asarray(variables["1"]))
        if (name := _canonical_name(layer)) is not None:
            pairs[name] = pair
        elif match := re.fullmatch(r"conv2d(?:_(\d+))?", layer):
            by_class.append((int(match[1] or 0), pair))
    if not pairs and by_class:
        # Named after their class, layers carry only their order; the count tells the network.
        ordered = [pair for _, pair in sorted(by_class, key=lambda item: item[0])]
        for arch in CONVS_PER_BLOCK:
            if len(ordered) == len(conv_names(arch)):
                return dict(zip(conv_names(arch), ordered, strict=True))
    return pairs


def read_keras_h5(path: Path) -> Arrays:
    """Read a Keras weights file to the canonical tree.

    Raises:
        InputError: the file is not HDF5, is damaged, or holds no VGG.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" in root.attrs:
                pairs = _old_layout(root, path)
            elif "layers" in root:
                pairs = _keras3_layout(root)
            else:
                raise InputError(f"{path} is an HDF5 file, but not of Keras: it has no layers")
    except InputError:
        raise
    except Exception as error:  # h5py and the traversal raise nearly anything on damaged bytes
        raise InputError(f"{path} is a damaged HDF5 file: fetch or copy it again") from error
    if not pairs:
        raise InputError(f"{path} is a Keras file, but holds no VGG: wrong network?")
    return from_pairs(pairs, path)
