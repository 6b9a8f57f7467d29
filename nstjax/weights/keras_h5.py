"""Reads Keras ``.h5`` files: the old layout of the published VGG files, and Keras 3's ``.weights.h5``.

In the old layout each layer is a group (``block1_conv1``). The group's attribute ``weight_names`` names its
datasets, the kernel first. The groups may be inside ``model_weights`` (in the file of a complete model). In
Keras 3 the datasets are ``layers/<layer>/vars/0`` (kernel) and ``1`` (bias); a layer is named after its class
(``conv2d``, ``conv2d_1``, …) or has the name that the user chose.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.nn.table import CONVS_PER_BLOCK, conv_names
from nstjax.weights.canonical import MAX_ELEMENTS, Arrays, from_pairs


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _canonical_name(layer: str) -> str | None:
    """Return the canonical name of a layer, such as ``conv1_1`` for ``block1_conv1``, or None."""
    match = re.fullmatch(r"block([1-5])_conv([1-4])", layer)
    return f"conv{match[1]}_{match[2]}" if match else None


def _within(group: Any, name: str, path: Path) -> Any:
    """Return ``group[name]``, reached only through hard links. Other links can lead to other files.

    Raises:
        InputError: If there is a soft or external link on the way.
        KeyError: If the name does not exist.
    """
    import h5py

    for part in (part for part in name.split("/") if part):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            if part in group or group.get(part, getlink=True) is not None:
                raise InputError(
                    f"{path}: {name} is a link to another place, which is not followed: copy the data"
                )
            raise KeyError(name)
        group = group[part]
    return group


def _array(group: Any, name: str, path: Path) -> np.ndarray:
    """Read a dataset. Its data must be in the file itself and no larger than VGG's.

    Raises:
        InputError: If it is not such a dataset.
    """
    import h5py

    dataset = _within(group, name, path)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path}: {name} is not an array: wrong file?")
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{path}: the data of {name} lie in another file, which is not read: copy the data")
    if max(math.prod(dataset.shape or ()), math.prod(dataset.chunks or ())) > MAX_ELEMENTS:
        raise InputError(f"{path}: {name} has the shape {dataset.shape}, too large for VGG: wrong file?")
    if dataset.size and dataset.id.get_storage_size() == 0:
        raise InputError(f"{path}: {name} has a shape but no data: fetch the file again")
    return np.asarray(dataset)


def _old_layout(root: Any, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the kernel and bias of each convolution of a file with the old layout."""
    pairs = {}
    for layer in (_text(name) for name in root.attrs["layer_names"]):
        name = _canonical_name(layer)
        if name is None:
            continue
        group = _within(root, layer, path)
        datasets = [_text(weight) for weight in group.attrs["weight_names"]]
        if len(datasets) != 2:
            raise InputError(
                f"{path}: {layer} has {len(datasets)} arrays where a kernel and a bias are needed"
            )
        pairs[name] = (_array(group, datasets[0], path), _array(group, datasets[1], path))
    return pairs


def _keras3_layout(root: Any, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the kernel and bias of each convolution of a Keras 3 file."""
    pairs, by_class = {}, []
    layers = _within(root, "layers", path)
    for layer in layers:
        name, match = _canonical_name(layer), re.fullmatch(r"conv2d(?:_(\d{1,6}))?", layer)
        if name is None and match is None:
            continue
        try:
            variables = _within(layers, f"{layer}/vars", path)
        except KeyError:
            continue
        if not {"0", "1"} <= set(variables):
            continue
        pair = (_array(variables, "0", path), _array(variables, "1", path))
        if name is not None:
            pairs[name] = pair
        elif match is not None:
            by_class.append((int(match[1] or 0), pair))
            if len(by_class) > len(conv_names("vgg19")):
                break
    if not pairs and by_class:
        # Names after the class show only the order of the layers; their number determines the network.
        ordered = [pair for _, pair in sorted(by_class, key=lambda item: item[0])]
        for arch in CONVS_PER_BLOCK:
            if len(ordered) == len(conv_names(arch)):
                return dict(zip(conv_names(arch), ordered, strict=True))
    return pairs


def read_keras_h5(path: Path) -> Arrays:
    """Read a Keras weights file as a canonical tree.

    Raises:
        InputError: If the file is not HDF5, is damaged, refers to other files, or does not contain a VGG network.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = _within(file, "model_weights", path) if "model_weights" in file else file
            if "layer_names" in root.attrs:
                pairs = _old_layout(root, path)
            elif root.get("layers", getlink=True) is not None:
                pairs = _keras3_layout(root, path)
            else:
                raise InputError(f"{path} is an HDF5 file, but not of Keras: it has no layers")
    except InputError:
        raise
    except Exception as error:  # h5py and the traversal raise nearly any exception on damaged bytes
        raise InputError(f"{path} is a damaged HDF5 file: fetch or copy it again") from error
    if not pairs:
        raise InputError(f"{path} is a Keras file, but holds no VGG: wrong network?")
    return from_pairs(pairs, path)
