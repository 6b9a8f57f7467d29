"""Generators as portable programs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nstjax
from nstjax.cli.main import main
from nstjax.generators import JohnsonConfig, UlyanovConfig, init_generator
from nstjax.generators.store import Generator, save_generator
from nstjax.inference import export_generator, load_exported, stylize
from nstjax.inference.export import SMALLEST_SIDE, header_path
from tests.helpers.mounts import TINY_DISK, run_with_mounts

pytest.importorskip("flatbuffers")

JOHNSON = JohnsonConfig(width=1 / 32, residual_blocks=0)
ULYANOV = UlyanovConfig(scales=2, channels=1)


def generator(config) -> Generator:
    return Generator(config, init_generator(config, jax.random.key(0)), {})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "u.stablehlo"
    export_generator(generator(ULYANOV), path)
    return path


def photograph(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(size=(1, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "size", [(17, 24), pytest.param((2 * SMALLEST_SIDE, 2 * SMALLEST_SIDE), marks=pytest.mark.slow)], ids=str
)
def test_open_sizes(exported: Path, size: tuple[int, int]) -> None:
    program, photo = load_exported(exported), photograph(*size)
    for seed, scale in ((0, 1.0), (2**31 + 7, 0.25)):
        expected = stylize(generator(ULYANOV), photo, seed=seed, noise_scale=scale, tile=0)
        found = program(photo, seed, scale)
        assert found.shape == photo.shape
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_it_does_not_take(exported: Path) -> None:
    program = load_exported(exported)
    with pytest.raises(nstjax.InputError, match=r"takes 6×6 pixels or more, not 24×5"):
        program(photograph(5, 24))
    photo = photograph(8, 8)
    for image, message in (
        (None, r"takes an image of shape \(1, height, width, 3\)"),
        (photo[0], r"shape \(8, 8, 3\): it must be \(1, height, width, 3\)"),
        ((255 * photo).astype(np.uint8), r"type uint8: it must be floating point with values in \[0, 1\]"),
        (255 * photo, "divide values of 0 to 255 by 255"),
        (photo * np.float32("nan"), "not finite"),
    ):
        with pytest.raises(nstjax.InputError, match=message):
            program(image)


def test_the_header(exported: Path) -> None:
    header = json.loads(header_path(exported).read_text())
    assert [of["name"] for of in header["inputs"]] == ["image", "seed", "noise_scale"]
    assert header["inputs"][0]["shape"] == ["1", "2*a", "2*b", "3"]
    assert header["output"]["dtype"] == "float32"
    assert header["platforms"] == ["cpu", "cuda", "tpu"]
    assert header["generator"]["kind"] == "ulyanov"
    assert header["checked"]["largest_difference"] < 1e-4


def test_the_file_needs_jax_alone(exported: Path) -> None:
    """In a process that does not have nstjax."""
    program = """
import sys
sys.modules["nstjax"] = None
import numpy as np
from jax import export
with open(sys.argv[1], "rb") as file:
    program = export.deserialize(bytearray(file.read()))
image = np.full((1, 8, 12, 3), 0.5, np.float32)
print(program.call(image, np.uint32(3), np.float32(1)).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(exported)], cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "(1, 8, 12, 3)" in done.stdout


def test_a_fixed_size(tmp_path: Path) -> None:
    path = tmp_path / "j.stablehlo"
    said: list[str] = []
    export_generator(generator(JOHNSON), path, (13, 18), said.append)
    assert "checked" in said[0]
    program, photo = load_exported(path), photograph(13, 18)
    np.testing.assert_allclose(program(photo), stylize(generator(JOHNSON), photo, tile=0), atol=1e-5)
    with pytest.raises(nstjax.InputError, match=r"takes 18×13 pixels, not 13×18"):
        program(photograph(18, 13))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["j.stablehlo", "j.stablehlo.json"]


def test_a_texture(tmp_path: Path) -> None:
    config = UlyanovConfig(scales=2, channels=1, content=False)
    with pytest.raises(nstjax.InputError, match="give `size` HEIGHT WIDTH"):
        export_generator(generator(config), tmp_path / "t.stablehlo")
    export_generator(generator(config), tmp_path / "t.stablehlo", (10, 12))
    found = load_exported(tmp_path / "t.stablehlo")(seed=4)
    expected = stylize(generator(config), None, seed=4, size=(10, 12))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_broken_generator_is_not_written(tmp_path: Path) -> None:
    whole = generator(JOHNSON)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, whole.variables)
    with pytest.raises(nstjax.InputError, match="differs from the generator by nan: nothing was written"):
        export_generator(Generator(JOHNSON, broken, {}), tmp_path / "j.stablehlo", (8, 8))
    assert list(tmp_path.iterdir()) == []


FULL = (
    TINY_DISK
    + """
    from pathlib import Path
    import jax
    from nstjax.errors import OutputError
    from nstjax.generators import UlyanovConfig, init_generator
    from nstjax.generators.store import Generator
    from nstjax.inference import export_generator, load_exported
    config, path = UlyanovConfig(scales=2, channels=1), Path("disk/u.stablehlo")

    def export(seed):
        export_generator(Generator(config, init_generator(config, jax.random.key(seed)), {}), path, (8, 8))

    def files():
        return {file.name: file.read_bytes() for file in Path("disk").iterdir() if file.name != "filler"}

    export(0)
    before = files()
    assert sorted(before) == ["u.stablehlo", "u.stablehlo.json"]
    assert len(before["u.stablehlo"]) > 16384 > len(before["u.stablehlo.json"])
    for room in (0, 16384):  # no file fits, or the header alone
        fill("disk", room)
        try:
            export(1)
        except OutputError as error:
            print(error)
        assert files() == before
        load_exported(path)
        os.unlink("disk/filler")
    export(1)
    assert files().keys() == before.keys()
    assert all(content != before[name] for name, content in files().items())
    load_exported(path)
    """
)


def test_a_full_disk_leaves_the_earlier_export(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    done = run_with_mounts(FULL, tmp_path)
    assert done.returncode == 0, done.stderr
    sentence = (
        "cannot write disk/u.stablehlo: No space left on device; free some space or choose another place"
    )
    assert done.stdout.splitlines() == [sentence] * 2


def test_an_export_over_a_folder_leaves_no_header(tmp_path: Path) -> None:
    for name in ("a", "b.json"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        with pytest.raises(nstjax.InputError, match=f"{name}(.json)? may not be written: choose another"):
            export_generator(generator(JOHNSON), tmp_path / name, (8, 8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.json"]


def test_what_cannot_be_read(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.stablehlo"
    with pytest.raises(nstjax.InputError, match=r"cannot read .*a.stablehlo: No such file"):
        load_exported(path)
    path.write_bytes(exported.read_bytes())
    with pytest.raises(nstjax.InputError, match=r"a.stablehlo.json: No such file.*side by side"):
        load_exported(path)
    header = json.loads(header_path(exported).read_text())
    for changed, message in (
        ("{", "not the header of an exported program"),
        (json.dumps({"kind": "else"}), "not the header of an exported program"),
        (json.dumps({**header, "format": 9}), "was written by a newer nstjax"),
        (json.dumps({**header, "sha256": "0"}), "damaged, or not the file of its .json"),
    ):
        header_path(path).write_text(changed)
        with pytest.raises(nstjax.InputError, match=message):
            load_exported(path)


def test_hostile_files(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the bytes, and though the header has their hash: one sentence, or a program."""
    monkeypatch.chdir(tmp_path)
    whole, header = exported.read_bytes(), json.loads(header_path(exported).read_text())
    path = tmp_path / "a.stablehlo"

    def refused(content: bytes, **changes: object) -> bool:
        path.write_bytes(content)
        about = {**header, "sha256": hashlib.sha256(content).hexdigest(), **changes}
        header_path(path).write_text(json.dumps(about))
        try:
            load_exported(path)
        except nstjax.InputError as error:
            return "a.stablehlo" in str(error)
        return False

    assert not refused(whole)
    for content in (b"", b"\0" * 64, whole[:40], whole[: len(whole) // 2], b"PK\3\4", b"\x89PNG\r\n"):
        assert refused(content)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, 400, 40):  # the tables; further on there are the weights
        refused(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    for changes in (
        {"takes_photograph": "yes"},
        {"takes_photograph": not header["takes_photograph"]},
        {"multiple": 0},
        {"size": [1, 2, 3]},
        {"size": "ab"},
        {"versions": None},
        {"format": "x"},
    ):
        assert refused(whole, **changes)
    header_path(path).write_bytes(b"\xff\xfe")
    for place in (path, tmp_path, Path("."), Path("/")):
        with pytest.raises(nstjax.InputError):
            load_exported(place)


def test_the_command(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(tmp_path / "ckpts" / "mine", JOHNSON, generator(JOHNSON).variables, {})
    assert main(["export", "-m", "mine", "-o", "m.stablehlo", "--size", "8", "12"]) == 0
    said = capsys.readouterr().out
    assert "checked: a random photograph's picture" in said
    assert "takes image (1×8×12×3)" in said
    assert load_exported("m.stablehlo")(photograph(8, 12)).shape == (1, 8, 12, 3)


def test_seeds_and_scales_out_of_range(exported: Path) -> None:
    program = load_exported(exported)
    photo = np.full((1, 32, 32, 3), 0.5, np.float32)
    for wrong in ({"seed": -1}, {"seed": 2**32}, {"noise_scale": float("nan")}):
        with pytest.raises(nstjax.InputError, match=next(iter(wrong))):
            program(photo, **wrong)
