"""Weights files that crash, loop, fill memory or point to other files: refused with one sentence."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import nstjax
from nstjax.cli.main import main
from nstjax.weights import apart, read_weights
from nstjax.weights.canonical import CAFFE_BGR, CAFFE_RGB
from tests.helpers import weight_files
from tests.helpers.networks import random_params

PARAMS = random_params("vgg19", 2)
KERNEL, BIAS = PARAMS["conv1_1"]["kernel"], PARAMS["conv1_1"]["bias"]
NAME = "block1_conv1"


def keras(path: Path, fill: Callable[[h5py.Group], None]) -> None:
    """A Keras file of one layer, whose kernel ``W`` is made by ``fill``."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [NAME.encode()]
        layer = file.create_group(NAME)
        layer.attrs["weight_names"] = [b"W", b"b"]
        layer["b"] = BIAS
        fill(layer)


def beside(folder: Path) -> Path:
    """Another file, whose content must not be read."""
    with h5py.File(folder / "other.h5", "w") as file:
        file["w"] = KERNEL
    return folder / "other.h5"


def external_link(path: Path) -> None:
    other = beside(path.parent)
    keras(path, lambda layer: layer.__setitem__("W", h5py.ExternalLink(str(other), "/w")))


def soft_link(path: Path) -> None:
    def fill(layer: h5py.Group) -> None:
        layer.file["w"] = KERNEL
        layer["W"] = h5py.SoftLink("/w")

    keras(path, fill)


def linked_layer(path: Path) -> None:
    whole = path.parent / "whole.h5"
    keras(whole, lambda layer: layer.__setitem__("W", KERNEL))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [NAME.encode()]
        file[NAME] = h5py.ExternalLink(str(whole), f"/{NAME}")


def virtual(path: Path) -> None:
    other, layout = beside(path.parent), h5py.VirtualLayout(KERNEL.shape, "f4")
    layout[...] = h5py.VirtualSource(str(other), "w", KERNEL.shape)
    keras(path, lambda layer: layer.create_virtual_dataset("W", layout))


def external_storage(path: Path) -> None:
    (path.parent / "raw").write_bytes(KERNEL.tobytes())
    external = [(str(path.parent / "raw"), 0, KERNEL.nbytes)]
    keras(path, lambda layer: layer.create_dataset("W", KERNEL.shape, "f4", external=external))


def filled(path: Path) -> None:
    keras(path, lambda layer: layer.create_dataset("W", (3, 3, 3, 64), "f4", fillvalue=1.0))


def large_hdf5(path: Path) -> None:
    keras(path, lambda layer: layer.create_dataset("W", (3, 3, 2**14, 2**14), "f4", chunks=(3, 3, 8, 8)))


def beyond_float32(path: Path) -> None:
    kernel = KERNEL.astype(np.float64)
    kernel[0, 0, 0, 0] = 1e300
    keras(path, lambda layer: layer.__setitem__("W", kernel))


def npz_of_a_shape(path: Path) -> None:
    """A header that declares 16 GiB before no data."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**32,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conv1_1/kernel.npy", header.getvalue())


def npz_bomb(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **{"conv1_1/kernel": np.zeros((3, 3, 2**11, 2**11), np.float32)})


def unknown_zip_version(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{"conv1_1/kernel": KERNEL, "conv1_1/bias": BIAS})
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 6] = 109  # "version needed to extract" of the first entry, times ten
    path.write_bytes(content)


def pth(path: Path, body: bytes, storage: bytes = b"", compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/data/0", storage)


def strided(path: Path) -> None:
    """A tensor (512, 512, 3, 3·1024) of one stored value, by the opcodes of a pickle."""
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in (512, 512, 3, 3072)) + b"t"
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"K\x00"
        + shape
        + b"(K\x00K\x00K\x00K\x00t\x89}tR"
    )
    pth(path, b"\x80\x02}(X\x11\x00\x00\x00features.0.weight" + tensor + b"u.", bytes(4))


def deep_key(path: Path) -> None:
    """A key of a dict that is a tuple in a tuple, 200,000 deep: hashing it overflows the stack."""
    pth(path, b"\x80\x02}K\x01" + b"\x85" * 200_000 + b"K\x02s.")


def memo(path: Path) -> None:
    """Storing under the index 2^29 makes Python's unpickler fill a table of 8 GiB."""
    pth(path, b"\x80\x02}r\x00\x00\x00\x20.")


def pth_bomb(path: Path) -> None:
    pth(path, pickle.dumps({}, 2), bytes(2**27), zipfile.ZIP_DEFLATED)


def wheel_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p-1.dist-info/WHEEL", "")
        archive.writestr("p/w.pth", bytes(2**27))


def mat_bomb(path: Path) -> None:
    """An array of 800 MB, compressed to less than 1 MB: only the limit of memory stops it."""
    count = 100_000_000

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    head = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 1, count)) + element(1, b"x")
    compressor = zlib.compressobj(1)
    body = compressor.compress(
        struct.pack("<II", 14, len(head) + 8 + 8 * count) + head + struct.pack("<II", 9, 8 * count)
    )
    block = bytes(8_000_000)
    body += b"".join(compressor.compress(block) for _ in range(count // 1_000_000)) + compressor.flush()
    path.write_bytes(
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack("<HH", 0x0100, 0x4D49)
        + struct.pack("<II", 15, len(body))
        + body
    )


def float8(path: Path) -> None:
    header = json.dumps(
        {"features.0.weight": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


def another_network(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{"conv1_3/kernel": KERNEL, "conv1_3/bias": np.zeros(KERNEL.shape[3], np.float32)})


REFUSED = {
    another_network: "neither VGG-16 nor VGG-19",
    external_link: "W is a link to another place",
    soft_link: "W is a link to another place",
    linked_layer: "block1_conv1 is a link to another place",
    virtual: "the data of W lie in another file",
    external_storage: "the data of W lie in another file",
    filled: "W has a shape but no data",
    large_hdf5: r"W has the shape \(3, 3, 16384, 16384\), too large for VGG",
    beyond_float32: "conv1_1 holds values that are not finite",
    npz_of_a_shape: "too large for VGG",
    npz_bomb: "would unpack to",
    unknown_zip_version: "one that Python cannot read",
    strided: "damaged PyTorch file",
    # Python 3.14 raises RecursionError instead of overflowing the stack.
    deep_key: "damaged (.the process that read them (was ended by the signal|ended with)|PyTorch file)",
    memo: "damaged PyTorch file",
    pth_bomb: "would unpack to",
    wheel_bomb: "would unpack to",
    mat_bomb: "damaged .mat file",
    float8: "of a type that NumPy lacks",
}


@pytest.mark.parametrize(
    ("make", "message"), REFUSED.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "weights"
    make(path)
    with pytest.raises(nstjax.InputError, match=message) as caught:
        read_weights(path, "vgg19")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_makers_above_make_whole_files_but_for_their_fault(tmp_path: Path) -> None:
    keras(tmp_path / "w", lambda layer: layer.__setitem__("W", KERNEL))
    np.testing.assert_array_equal(read_weights(tmp_path / "w", "vgg19").params["conv1_1"]["kernel"], KERNEL)


def endless(path: Path) -> None:
    """60 million opcodes, which take a minute."""
    pth(path, b"\x80\x02" + b"N0" * 30_000_000 + b"}.", compression=zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(("seconds", "factor"), [(1, 60), (600, 0.002)], ids=["CPU", "wall"])
def test_what_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, factor: float
) -> None:
    if seconds == 1 and os.name == "nt":
        pytest.skip("Windows has no limit on a process's CPU time")
    endless(tmp_path / "w")
    monkeypatch.setattr(apart, "CPU_SECONDS", seconds)
    monkeypatch.setattr(apart, "WALL_FACTOR", factor)
    with pytest.raises(nstjax.InputError, match=r"took more than 1(\.2)? s"):
        read_weights(tmp_path / "w")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(nstjax.InputError, match="not a regular file"):
        read_weights(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(nstjax.InputError, match="not a regular file"):
            read_weights(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(5 * 2**30)
    with pytest.raises(nstjax.InputError, match=r"5\.0 GiB, more than any VGG"):
        read_weights(tmp_path / "sparse")


def test_a_preprocessing_that_makes_no_sense_can_be_overruled(tmp_path: Path) -> None:
    path = tmp_path / "w"
    weight_files.write_matconvnet(path, PARAMS, (np.nan, 1.0, 1.0))
    arrays = {f"{c}/{k}": v for c, w in PARAMS.items() for k, v in w.items()}
    for _ in range(2):
        with pytest.raises(
            nstjax.InputError, match="preprocessing cannot be read: give one with `preprocessing`"
        ):
            read_weights(path, "vgg19")
        assert read_weights(path, "vgg19", "caffe-rgb").preprocessing == CAFFE_RGB
        record = (
            '{"order": "RGB", "scale": 1e300, "mean": [1, 2, 3], "std": [1, 1, 1]}'  # infinite in float32
        )
        with path.open("wb") as file:
            np.savez(file, preprocessing=record, **arrays)


@pytest.mark.torch
def test_bfloat16_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {k: torch.from_numpy(v).bfloat16() for k, v in weight_files.torch_names(PARAMS, "vgg19").items()}
    torch.save(state, tmp_path / "w")
    found = read_weights(tmp_path / "w", "vgg19").params["conv1_1"]["kernel"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, KERNEL, rtol=2**-8)


def test_the_child_starts_without_jax() -> None:
    program = "import sys, nstjax.weights.apart; print(sorted({'jax', 'flax', 'orbax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_child_imports_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight_files.write_keras_old(tmp_path / "w.h5", PARAMS)
    for module in ("numpy", "h5py", "json", "nstjax"):
        (tmp_path / f"{module}.py").write_text("open('ran', 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert read_weights("w.h5", "vgg19").preprocessing == CAFFE_BGR
    assert not (tmp_path / "ran").exists()


def answer(shapes: dict, arrays: bytes, **others: object) -> io.BytesIO:
    header = {"kind": "npz", "reason": "", "preprocessing": None, "shapes": shapes, **others}
    return io.BytesIO(json.dumps(header).encode() + b"\n" + arrays)


def test_the_child_is_not_trusted() -> None:
    """A reader whose memory a file has taken over can answer anything."""
    shapes = {"conv1_1": [KERNEL.shape, BIAS.shape]}
    raw = KERNEL.tobytes() + BIAS.tobytes()
    found = apart._receive(answer(shapes, raw), Path("w"))
    np.testing.assert_array_equal(found.tree["conv1_1"]["kernel"], KERNEL)
    wrong = [
        answer(shapes, raw[:-1]),
        answer(shapes, np.full(len(raw) // 4, np.nan, np.float32).tobytes()),
        answer({"conv1_1": [(2**40,), (1,)]}, raw),
        answer({"conv1_1": [(-1, -1), (1,)]}, raw),
        answer({"../conv1_1": shapes["conv1_1"]}, raw),
        answer(shapes, raw, kind="elf"),
        answer(shapes, raw, reason=["a"]),
        io.BytesIO(b"[1]\n"),
        io.BytesIO(b"{" * 2**20),
        io.BytesIO(b"\xff\n"),
        io.BytesIO(b""),
    ]
    for out in wrong:
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError)) as caught:
            apart._receive(out, Path("w"))
        assert not isinstance(caught.value, nstjax.InputError)


@pytest.mark.shared
def test_files_that_failed_before_are_refused_in_time(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patterns = ("h5_*.h5", "*.mat", "*.npz", "*.pth", "*.safetensors")
    files = sorted(path for pattern in patterns for path in (shared / "cases").glob(pattern))
    if not files:
        pytest.skip(f"{shared / 'cases'} is not here")
    for path in files:
        began = time.perf_counter()
        code = main(
            ["weights", "convert", str(path), "--network", "vgg19", "--to", str(tmp_path), "--name", "w"]
        )
        assert time.perf_counter() - began < 20
        said = capsys.readouterr()
        assert code == 2, path
        assert said.err.startswith("nstjax: error: ")
        assert said.err.count("\n") == 1
        assert str(path) in said.err
        assert list(tmp_path.iterdir()) == []
