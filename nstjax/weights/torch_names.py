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
# What comes before the layer's own name: "features.", "module.features.", "model.vgg.", …
_NAMED = re.compile(r"((?:[^.]+\.)*)(conv[1-5]_[1-4])\.weight")
_NUMBERED = re.compile(r"((?:[^.]+\.)*)(\d+)\.weight")
# Networks cut into pieces that keep torchvision's indices: "slice1.0.weight", "slice2.5.weight".
_SLICE = re.compile(r"slice\d+\.$")


def _by_prefix(state: Mapping[str, np.ndarray]) -> tuple[dict[str, Pairs], dict[str, dict[int, str]]]:
    """Convolutions by the prefix of their names: those with canonical names, and keys by index."""
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
    """The network with the most convolutions; the file may hold smaller parts of others beside it."""
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
        state: kernels OIHW and biases, under one of three namings: ``features.N.weight`` (torchvision),
            ``conv1_1.weight`` (Gatys), or ``block1_conv1_W_q`` (8 bits; see
            :func:`nstjax.weights.codebook.decode_codebooks`). Any prefix may come before the name, such as
            ``module.`` or ``model.vgg.``, and ``features.`` may be absent. Other entries, such as the
            classifier's, are ignored.
        path: for messages.

    Returns:
        The tree, and the naming: ``"torchvision"``, ``"gatys"`` or ``"codebook"``.

    Raises:
        InputError: none of these names is there, the indices fit neither VGG-16 nor VGG-19, or there are several
            VGGs with different weights.
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
            f"{path} holds tensors, but not those of VGG-16 or VGG-19 (variants with batch normalisation are not "
            f"supported): name another file"
        )
    return from_pairs(_only(networks, path), path, oihw=True), "torchvision"
