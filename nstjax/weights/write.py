"""Writes the weights of a feature network as a ``.safetensors`` file."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from nstjax.errors import InputError
from nstjax.files import write_atomically
from nstjax.nn.table import EMBEDDED
from nstjax.typing import Backbone
from nstjax.weights.npz import PREPROCESSING_KEY

SUFFIX = ".safetensors"


def write_safetensors(backbone: Backbone, path: Path) -> None:
    """Write the convolutions of VGG-16 or VGG-19 with the names ``conv1_1.weight`` and ``conv1_1.bias``.

    Kernels are OIHW float32, as PyTorch has them. The file's metadata has the preprocessing as JSON
    (``preprocessing``), the network (``arch``) and the source of the weights (``source``).
    :func:`nstjax.weights.read_weights` reads the file with this preprocessing.

    Args:
        backbone: VGG-16 or VGG-19, whole or its first layers.
        path: the file to write; an existing one is replaced.

    Raises:
        InputError: If the network is the embedded one: its layers are computed by additional 1×1 convolutions that
            other programs lack.
        OutputError: If the file cannot be written.
    """
    import safetensors.numpy

    if backbone.arch == EMBEDDED:
        raise InputError(
            "the embedded network cannot be exported, because no other program reads it: name weights of VGG-16 or VGG-19"
        )
    tensors: dict[str, np.ndarray] = {}
    for name, layer in backbone.params.items():
        kernel = np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1)
        tensors[f"{name}.weight"] = np.ascontiguousarray(kernel)
        tensors[f"{name}.bias"] = np.asarray(layer["bias"], np.float32)
    metadata = {
        PREPROCESSING_KEY: json.dumps(dataclasses.asdict(backbone.preprocessing)),
        "arch": backbone.arch,
        "source": backbone.source,
    }
    write_atomically(path, safetensors.numpy.save(tensors, metadata))
