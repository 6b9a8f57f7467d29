"""Reads NumPy ``.npz`` files with the names ``conv1_1/kernel`` or ``conv1_1_W`` and ``conv1_1_b``, and HWIO kernels."""

import json
import math
import re
import zipfile
from pathlib import Path

import numpy as np

from nstjax.errors import InputError
from nstjax.preprocessing import Preprocessing
from nstjax.weights.canonical import (
    CAFFE_BGR,
    CAFFE_RGB,
    MAX_ELEMENTS,
    Arrays,
    from_pairs,
    preprocessing_from,
)
from nstjax.weights.zip_limits import open_zip

PREPROCESSING_KEY = "preprocessing"
_KERNEL, _BIAS = re.compile(r"(conv[1-5]_[1-4])(/kernel|_W)"), re.compile(r"(conv[1-5]_[1-4])(/bias|_b)")


def _read(archive: zipfile.ZipFile, path: Path) -> dict[str, np.ndarray]:
    """Read the arrays with known names. The shape is checked before memory is allocated.

    Raises:
        InputError: If the file contains pickled objects or too large an array.
    """
    arrays = {}
    for member in archive.namelist():
        name = member.removesuffix(".npy")
        if name != PREPROCESSING_KEY and _KERNEL.fullmatch(name) is None and _BIAS.fullmatch(name) is None:
            continue
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read_header(file)
            large = math.prod(shape) > MAX_ELEMENTS or math.prod(shape) * dtype.itemsize > 8 * MAX_ELEMENTS
            if (dtype.hasobject or large) and archive.testzip() is not None:
                raise ValueError("a header whose checksum is wrong")
            if dtype.hasobject:
                raise InputError(f"{path} holds pickled objects, which were not loaded: save plain arrays")
            if large:
                raise InputError(f"{path}: {name} has the shape {shape}, too large for VGG: wrong file?")
        with archive.open(member) as file:
            arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def read_npz(path: Path) -> tuple[Arrays, Preprocessing | None]:
    """Read an ``.npz`` file as a canonical tree, without loading pickled objects.

    The entry ``preprocessing``, a JSON text, may state the preprocessing. Without it, the names imply the
    preprocessing: ``conv1_1/kernel`` implies Keras's convention (BGR), and ``conv1_1_W`` that of D. Frossard's
    file for VGG-16 (RGB).

    Returns:
        The tree, and the preprocessing, or None if that entry is invalid.

    Raises:
        InputError: If the file is damaged, contains pickled objects, or does not contain a VGG network.
    """
    try:
        with open_zip(path) as archive:
            arrays = _read(archive, path)
    except InputError:
        raise
    except Exception as error:  # zipfile and zlib raise various exceptions on damaged bytes
        raise InputError(f"{path} is a damaged .npz file: fetch or copy it again") from error
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    preprocessing: Preprocessing | None = CAFFE_BGR
    for name, kernel in arrays.items():
        match = _KERNEL.fullmatch(name)
        if match is None:
            continue
        bias = arrays.get(match[1] + {"/kernel": "/bias", "_W": "_b"}[match[2]])
        if bias is None:
            raise InputError(f"{path}: {match[1]} has a kernel but no bias: the file is not whole")
        if match[2] == "_W":
            preprocessing = CAFFE_RGB
        pairs[match[1]] = (kernel, bias)
    if not pairs:
        raise InputError(f"{path} is an .npz file, but holds no VGG: wrong file?")
    if PREPROCESSING_KEY in arrays:
        try:
            record = json.loads(str(arrays[PREPROCESSING_KEY]))
            preprocessing = preprocessing_from(record, path)
        except (ValueError, RecursionError):  # InputError is a ValueError
            preprocessing = None
    return from_pairs(pairs, path), preprocessing
