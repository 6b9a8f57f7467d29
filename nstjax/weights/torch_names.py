"""Converts the tensor names of PyTorch's VGG networks to the canonical tree."""

import re
from collections.abc import Mapping

import numpy as np

from nstjax.errors import InputError
from nstjax.nn.table import CONVS_PER_BLOCK
from nstjax.weights.canonical import Arrays, from_pairs, sequential_indices
from nstjax.weights.codebook import decode_codebooks

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]

_KERNEL_RANK = 4
# The first group is the prefix of the layer's name: "features.", "module.features.", "model.vgg.", …
_NAMED = re.compile(r"((?:[^.]+\.)*)(conv[1-5]_[1-4])\.weight")
_NUMBERED = re.compile(r"((?:[^.]+\.)*)(\d+)\.weight")
# Networks that are split into slices keep torchvision's indices: "slice1.0.weight", "slice2.5.weight".
_SLICE = re.compile(r"slice\d+\.$")


def _by_prefix(state: Mapping[str, np.ndarray]) -> tuple[dict[str, Pairs], dict[str, dict[int, str]]]:
    """Group the convolutions by the prefix of their names.

    Returns:
        For each prefix, the kernels and biases with canonical names; and for each prefix, the keys by index.
    """
    named: dict[str, Pairs] = {}
    numbered: dict[str, dict[int, str]] = {}
    for key, kernel in state.items():
        bias = key.removesuffix("weight") + "bias"
        if np.ndim(kernel) != _KERNEL_RANK or bias not in state:
            continue
        if match := _NAMED.fullmatch(key):
            named.setdefault(match[1], {})[match[2]] = (kernel, state[bias])
        elif match := _NUMBERED.fullmatch(key):
            numbered.setdefault(_SLICE.sub("", match[1]), {})[int(match[2])] = key
    return named, numbered


def _same(one: Pairs, other: Pairs) -> bool:
    return set(one) == set(other) and all(
        np.array_equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True)
    )


def _only(networks: dict[str, Pairs], path: object) -> Pairs:
    """Return the network with the most convolutions. The file may also contain smaller parts of others.

    Raises:
        InputError: If several networks of this size have different weights.
    """
    most = max(len(pairs) for pairs in networks.values())
    largest = {prefix: pairs for prefix, pairs in networks.items() if len(pairs) == most}
    first = next(iter(largest.values()))
    if not all(_same(first, pairs) for pairs in largest.values()):
        names = " and ".join(repr(prefix) for prefix in largest)
        raise InputError(
            f"{path} holds several VGGs with different weights, under {names}: save one of them to a file of its own"
        )
    return first


def from_torch_names(state: Mapping[str, np.ndarray], path: object) -> tuple[Arrays, str]:
    """Build a canonical tree from a PyTorch state dict.

    Args:
        state: OIHW kernels and biases with one of three namings: ``features.N.weight`` (torchvision),
            ``conv1_1.weight`` (Gatys), or ``block1_conv1_W_q`` (8 bits; see
            :func:`nstjax.weights.codebook.decode_codebooks`). Names may have any prefix, such as ``module.`` or
            ``model.vgg.``, and ``features.`` may be missing. Other entries, such as the classifier's, are
            ignored.
        path: the file, for messages.

    Returns:
        The tree, and the naming: ``"torchvision"``, ``"gatys"`` or ``"codebook"``.

    Raises:
        InputError: If none of these names exists, the indices fit neither VGG-16 nor VGG-19, there are several
            VGG networks with different weights, or an array is not valid (see
            :func:`nstjax.weights.canonical.from_pairs`).
    """
    if coded := decode_codebooks(state, path):
        return from_pairs(coded, path, oihw=True), "codebook"
    named, numbered = _by_prefix(state)
    if named:
        return from_pairs(_only(named, path), path, oihw=True), "gatys"
    networks: dict[str, Pairs] = {}
    for prefix, keys in numbered.items():
        for arch in CONVS_PER_BLOCK:
            table = sequential_indices(arch)
            if set(keys) == set(list(table)[: len(keys)]):
                networks[prefix] = {
                    table[i]: (state[key], state[key.removesuffix("weight") + "bias"])
                    for i, key in keys.items()
                }
    if not networks:
        raise InputError(
            f"{path} holds tensors, but not those of VGG-16 or VGG-19 (variants with batch normalization are not "
            f"supported): name another file"
        )
    return from_pairs(_only(networks, path), path, oihw=True), "torchvision"
