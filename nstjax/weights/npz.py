"""NumPy ``.npz``: canonical names (``conv1_1/kernel``), or ``conv1_1_W`` and ``conv1_1_b``, HWIO."""

import json
import re
from pathlib import Path

import numpy as np

from nstjax.errors import InputError
from nstjax.typing import Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, CAFFE_RGB, Arrays, from_pairs, preprocessing_from

PREPROCESSING_KEY = "preprocessing"


def read_npz(path: Path) -> tuple[Arrays, Preprocessing]:
    """Read an ``.npz`` to the canonical tree, refusing pickled objects.

    The entry ``preprocessing``, a JSON text, may say what the weights want; without it canonical names
    mean Keras's convention (BGR) and ``conv1_1_W`` that of D. Frossard's file for VGG-16 (RGB).

    Raises:
        InputError: the file is damaged, holds pickled objects, or holds no VGG.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        raise InputError(f"{path} holds pickled objects, which were not loaded: save plain arrays") from error
    except Exception as error:  # zipfile and zlib raise several kinds on damaged bytes
        raise InputError(f"{path} is a damaged .npz file: fetch or copy it again") from error
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    preprocessing = CAFFE_BGR
    for name, kernel in arrays.items():
        match = re.fullmatch(r"(conv[1-5]_[1-4])(/kernel|_W)", name)
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
        except ValueError:
            record = None
        preprocessing = preprocessing_from(record, path)
    return from_pairs(pairs, path), preprocessing
