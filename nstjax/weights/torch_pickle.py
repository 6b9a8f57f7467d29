"""Reads PyTorch ``.pth`` files without PyTorch and without running code from the pickle.

A pickle is a program; loading it may call every function that it can name. This unpickler maps the few names
that a state dict of tensors needs to functions of this module, and rejects all others. There are two containers:
a zip archive (since PyTorch 1.6) with ``data.pkl`` and one entry per storage, and the legacy stream (a magic
number, a protocol number, system information, the object, and the storages one after another).
"""

import collections
import contextlib
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from nstjax.errors import InputError
from nstjax.weights.zip_limits import open_zip

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_STORAGES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}


class _StorageType(NamedTuple):
    """Replacement for ``torch.FloatStorage`` and the other storage classes."""

    dtype: np.dtype


class _Storage:
    """A storage. Its data are set when they are read: at once from a zip archive, at the end from a legacy stream."""

    def __init__(self, dtype: np.dtype, size: int) -> None:
        self.dtype, self.size = dtype, size
        self.data: np.ndarray | None = None


class _Tensor(NamedTuple):
    """A tensor: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def numpy(self) -> np.ndarray:
        """Return the tensor as a read-only NumPy view of its storage.

        Raises:
            ValueError: If the storage has no data, or the tensor reaches outside it.
        """
        data = self.storage.data
        if data is None:
            raise ValueError("a storage has no bytes")
        reach = (
            sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) if all(self.shape) else -1
        )
        if min((self.offset, *self.shape, *self.strides)) < 0 or self.offset + reach >= data.size:
            raise ValueError("a tensor reaches outside its storage")
        # With strides of 0, a few bytes could become an array of any size.
        if math.prod(self.shape) > data.size:
            raise ValueError("a tensor is larger than its storage")
        step = data.itemsize
        view = np.lib.stride_tricks.as_strided(
            data[self.offset :], self.shape, tuple(s * step for s in self.strides), writeable=False
        )
        return view


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): _StorageType(dtype) for name, dtype in _STORAGES.items()},
}


class _TensorUnpickler(pickle.Unpickler):
    """An unpickler that resolves only the names in ``_ALLOWED``."""

    def __init__(self, file: Any, storage_of: Callable[[str, np.dtype, int], _Storage], path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage_of, self._path = storage_of, path

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise InputError(
                f"{self._path} asks to load {module}.{name}, which no file of plain weights does: it was "
                f"refused and nothing of it was run; use a file that holds a state dict alone"
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        if (
            not isinstance(pid, tuple)
            or len(pid) < 5
            or pid[0] != "storage"
            or not isinstance(pid[1], _StorageType)
        ):
            raise pickle.UnpicklingError("an unknown kind of storage")
        return self._storage_of(str(pid[2]), pid[1].dtype, int(pid[4]))


def _unpickle(file: BinaryIO, storage_of: Callable[[str, np.dtype, int], _Storage], path: Path) -> Any:
    """Load one pickle, after a check of its memo indices.

    Python's unpickler allocates a table as long as the largest index, so a large index would exhaust the memory.

    Raises:
        InputError: If the pickle asks to load anything other than tensors.
        pickle.UnpicklingError: If the pickle is damaged.
        ValueError: If a memo index is larger than the number of objects that can have been stored before it.
    """
    start = file.tell()
    for count, (opcode, index, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= (index or 0) <= count + 1:
            raise ValueError("an index beyond what the pickle stores")
    file.seek(start)
    return _TensorUnpickler(file, storage_of, path).load()


def _load_zip(file: BinaryIO, path: Path) -> Any:
    """Load the object in a zip archive."""
    with open_zip(path, file) as archive:
        names = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if not names:
            raise InputError(f"{path} is a zip archive, but not of PyTorch: it has no data.pkl")
        prefix = names[0].removesuffix("data.pkl")
        if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
            raise InputError(
                f"{path} was written on a big-endian machine: save it again on a little-endian one"
            )
        cache: dict[str, _Storage] = {}

        def storage_of(key: str, dtype: np.dtype, size: int) -> _Storage:
            if key not in cache:
                cache[key] = _Storage(dtype, size)
                cache[key].data = np.frombuffer(archive.read(f"{prefix}data/{key}"), dtype)
            return cache[key]

        return _unpickle(io.BytesIO(archive.read(names[0])), storage_of, path)


def _load_legacy(file: BinaryIO, path: Path) -> Any:
    """Load the object in a legacy stream, with its storages."""
    storages: dict[str, _Storage] = {}

    def storage_of(key: str, dtype: np.dtype, size: int) -> _Storage:
        return storages.setdefault(key, _Storage(dtype, size))

    if _unpickle(file, storage_of, path) != LEGACY_MAGIC:
        raise InputError(f"{path} is a pickle, but not of PyTorch: use a file that torch.save wrote")
    for _ in range(2):  # the protocol number, and information on the system that wrote the file
        _unpickle(file, storage_of, path)
    result = _unpickle(file, storage_of, path)
    for key in _unpickle(file, storage_of, path):
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little")
        raw = file.read(storage.dtype.itemsize * min(count, storage.size))
        storage.data = np.frombuffer(raw, storage.dtype)
    return result


def _tensors(loaded: dict[Any, Any]) -> dict[str, np.ndarray]:
    """Return the tensors by name; tensors of a nested dict are named ``outer.inner``."""
    found: dict[str, np.ndarray] = {}
    for key, value in loaded.items():
        if isinstance(value, _Tensor):
            found[str(key)] = value.numpy()
        elif isinstance(value, dict):  # {"state_dict": …}, {"model": …, "optimizer": …}
            inner = {f"{key}.{name}": tensor for name, tensor in value.items() if isinstance(tensor, _Tensor)}
            found |= {name: tensor.numpy() for name, tensor in inner.items()}
    return found


def read_state_dict(path: Path, content: BinaryIO | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict that ``torch.save`` wrote, from either container.

    Args:
        path: the file.
        content: the file's bytes as a stream, if they are not in a file of their own; ``path`` is then used only
            for messages.

    Returns:
        Tensors by name, as read-only views of their storages; bfloat16 tensors as ``ml_dtypes.bfloat16``. The
        name of a tensor in a nested dict begins with that dict's key and a dot: ``state_dict.features.0.weight``.

    Raises:
        InputError: If the file is damaged, is not a PyTorch file, or does not contain a dict; or if it asks to
            load anything but tensors, in which case nothing of it is run.
    """
    try:
        with path.open("rb") if content is None else contextlib.nullcontext(content) as file:
            is_zip = zipfile.is_zipfile(file)
            file.seek(0)
            loaded = _load_zip(file, path) if is_zip else _load_legacy(file, path)
        if not isinstance(loaded, dict):
            raise InputError(
                f"{path} holds a {type(loaded).__name__}, not a state dict: save model.state_dict()"
            )
        return _tensors(loaded)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly any exception
        raise InputError(f"{path} is a damaged PyTorch file: fetch or copy it again") from error
