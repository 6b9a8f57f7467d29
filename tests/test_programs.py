"""Whole programs, kept from one process to the next."""

import hashlib
import os
import pickle
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from nstjax import programs
from nstjax.cli.runtime import keep_programs
from nstjax.sealed import KEY_NAME, SealedFolder
from tests.helpers.paths import ROOT

traced: list[str] = []


@partial(jax.jit, static_argnames="power")
def scaled_power(tree: dict[str, jax.Array], factor: jax.Array, power: int) -> dict[str, jax.Array]:
    traced.append("once")
    return {name: factor * leaf**power for name, leaf in tree.items()}


TREE = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sealed = SealedFolder(tmp_path / "programs")
    monkeypatch.setitem(programs._kept, "folder", sealed)
    new_process(monkeypatch)
    return sealed.path


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this one knows."""
    for name, empty in (("_loaded", {}), ("_untried", set()), ("_names", {})):
        monkeypatch.setattr(programs, name, empty)
    jax.clear_caches()
    traced.clear()


def test_the_next_process_does_not_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factor = np.float32(2.0)
    first = programs.run(scaled_power, (TREE, factor), 3)
    assert len(traced) == 1
    np.testing.assert_array_equal(first["a"], [0, 2, 16])
    programs.run(scaled_power, (TREE, factor), 3)
    new_process(monkeypatch)
    for scale in (2.0, 5.0):  # arguments are arguments, not constants of the program
        again = programs.run(scaled_power, (TREE, np.float32(scale)), 3)
        np.testing.assert_array_equal(again["a"], np.array([0, 1, 8]) * scale)
    assert traced == []
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("tree", "power"),
    [
        (TREE, 2),
        ({"a": jnp.arange(4.0), "b": jnp.ones((2, 2))}, 3),
        ({"a": jnp.arange(3), "b": jnp.ones((2, 2))}, 3),
        ({"b": jnp.arange(3.0), "c": jnp.ones((2, 2))}, 3),
    ],
    ids=["static", "shape", "type", "structure"],
)
def test_another_program_is_another(folder: Path, tree, power: int) -> None:
    factor = np.float32(2.0)
    programs.run(scaled_power, (TREE, factor), 3)
    found = programs.run(scaled_power, (tree, factor), power)
    assert len(list(folder.iterdir())) == 2
    jax.tree.map(np.testing.assert_array_equal, found, scaled_power(tree, factor, power))


def test_other_settings_are_another_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factor = np.float32(2.0)
    programs.run(scaled_power, (TREE, factor), 3)
    new_process(monkeypatch)
    with jax.default_matmul_precision("bfloat16"):  # in the same process
        programs.run(scaled_power, (TREE, factor), 3)
    new_process(monkeypatch)
    monkeypatch.setattr(programs, "_surroundings", lambda: "another release")
    programs.run(scaled_power, (TREE, factor), 3)
    assert len(list(folder.iterdir())) == 3


def test_a_damaged_program_is_compiled_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its hash a program with a flipped byte crashed the process, or gave another result without an error."""
    factor = np.float32(2.0)
    programs.run(scaled_power, (TREE, factor), 3)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    flipped = []
    for position in rng.integers(len(whole), size=6):
        flipped.append(bytearray(whole))
        flipped[-1][position] ^= 1
    for damaged in (whole[:100], b"", whole[:-1000] + bytes(1000), *flipped):
        path.write_bytes(damaged)
        new_process(monkeypatch)
        np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])
        assert len(traced) == 1
        assert path.read_bytes() != damaged


@partial(jax.jit, static_argnums=1)
def eigenvalues(matrix: jax.Array, static: str) -> jax.Array:
    return jnp.linalg.eigvalsh(matrix)


_IN_ANOTHER_PROCESS = """
import sys
import numpy as np
from nstjax import programs
from nstjax.sealed import SealedFolder
from pathlib import Path
from tests.test_programs import eigenvalues
programs._kept["folder"] = SealedFolder(Path(sys.argv[1]))
eigenvalues.lower = None  # it must come from the cache
print(programs.run(eigenvalues, (np.diag(np.float32([3, 1, 2])),), "eigenvalues"))
"""


def test_a_decomposition_from_the_cache_runs_in_another_process(folder: Path) -> None:
    """JAX loads LAPACK when it lowers a decomposition. Without it, a program from the cache crashed the process."""
    programs.run(eigenvalues, (np.diag(np.float32([3, 1, 2])),), "eigenvalues")
    done = subprocess.run(
        [sys.executable, "-c", _IN_ANOTHER_PROCESS, str(folder)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose([float(v) for v in done.stdout.strip("[]\n ").split()], [1, 2, 3], rtol=1e-5)


def test_prepared_programs_are_the_ones_that_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outline = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), TREE)
    factor = np.float32(2.0)
    requests = [programs.ProgramRequest(scaled_power, (outline, factor), power) for power in (2, 3, 3)]
    for traces in (2, 0):
        programs.prepare(requests)
        assert len(traced) == traces
        np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])
        np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 2)["a"], [0, 2, 8])
        assert len(traced) == traces
        assert len(list(folder.iterdir())) == 2
        assert jax.config.values["jax_enable_compilation_cache"] is True
        new_process(monkeypatch)


def test_a_program_without_optimizations_is_another_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    compile_ = jax.stages.Lowered.compile

    def recorded(self: Any, compiler_options: Any = None, **rest: Any) -> Any:
        compiled.append(compiler_options)
        return compile_(self, compiler_options, **rest)

    monkeypatch.setattr(jax.stages.Lowered, "compile", recorded)
    factor = np.float32(2.0)
    programs.prepare([programs.ProgramRequest(scaled_power, (TREE, factor), 3, optimize=False)])
    for optimize in (False, True, False):
        found = programs.run(scaled_power, (TREE, factor), 3, optimize=optimize)
        np.testing.assert_array_equal(found["a"], [0, 2, 16])
    assert compiled == [{"xla_backend_optimization_level": 0}, None]
    assert len(list(folder.iterdir())) == 2


class Writes:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return Path.touch, (self.flag,)


def test_a_forged_program_is_not_unpickled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor, flag = np.float32(2.0), tmp_path / "ran"
    programs.run(scaled_power, (TREE, factor), 3)
    (path,) = folder.iterdir()
    tag, body = path.read_bytes()[:32], pickle.dumps((Writes(flag), None, None))
    for forged in (body, tag + body, hashlib.sha256(body).digest() + body):
        path.write_bytes(forged)
        new_process(monkeypatch)
        np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])
        assert not flag.exists()
    pickle.loads(body)  # the control: the pickle does create the file
    assert flag.exists()


def test_a_program_under_the_name_of_another_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor = np.float32(2.0)
    programs.run(scaled_power, (TREE, factor), 3)
    (cube,) = folder.iterdir()
    programs.run(scaled_power, (TREE, factor), 2)
    (square,) = set(folder.iterdir()) - {cube}
    square.write_bytes(cube.read_bytes())
    new_process(monkeypatch)
    np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 2)["a"], [0, 2, 8])


@pytest.fixture
def enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of this test's own; the settings of the test run come back afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    monkeypatch.setitem(programs._kept, "folder", None)
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSTJAX_STATE", str(tmp_path / "state"))
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    new_process(monkeypatch)
    yield tmp_path / "cache" / "xla"
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_the_folders_are_private(enabled: Path, tmp_path: Path) -> None:
    enabled.mkdir(parents=True)
    enabled.chmod(0o777)  # as an earlier release may have left it under a wide umask
    assert programs.enable_compilation_cache() is None
    scaled_power(TREE, np.float32(7.0), 5)
    assert stat.S_IMODE(enabled.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    files = [*enabled.iterdir(), *(tmp_path / "state").iterdir()]
    assert len(files) >= 3  # JAX's program, the trial file and the key
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_jax_kept_is_checked(enabled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX reads compiled code that its cache has damaged, and runs it."""
    assert programs.enable_compilation_cache() is None
    before = set(enabled.iterdir())
    np.testing.assert_array_equal(scaled_power(TREE, np.float32(2.0), 3)["a"], [0, 2, 16])
    kept = set(enabled.iterdir()) - before
    content = {path: path.read_bytes() for path in kept}
    assert content
    new_process(monkeypatch)
    compilation_cache.reset_cache()
    scaled_power(TREE, np.float32(2.0), 3)  # the control: whole files are used, and not written again
    assert {path: path.read_bytes() for path in kept} == content
    for path, whole in content.items():
        path.write_bytes(whole[:-8] + bytes(8))
    new_process(monkeypatch)
    compilation_cache.reset_cache()
    np.testing.assert_array_equal(scaled_power(TREE, np.float32(2.0), 3)["a"], [0, 2, 16])
    assert all(path.read_bytes()[-8:] != bytes(8) for path in kept)  # compiled and written again


def test_a_folder_that_is_not_private_is_refused(
    enabled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enabled.parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    enabled.symlink_to(tmp_path / "elsewhere")
    assert f"{enabled} is a symbolic link" in programs.enable_compilation_cache()
    keep_programs(True)
    assert capsys.readouterr().err.startswith("note: compiled programs are not kept for the next run")
    keep_programs(True, quiet=True)
    keep_programs(False)
    assert capsys.readouterr().err == ""
    enabled.unlink()
    enabled.write_bytes(b"")
    assert str(enabled) in programs.enable_compilation_cache()
    enabled.unlink()
    enabled.mkdir()
    if hasattr(os, "geteuid"):
        owner = os.geteuid() + 1
        with monkeypatch.context() as patch:  # only root can give a folder away
            patch.setattr(os, "geteuid", lambda: owner)
            assert "belongs to another user" in programs.enable_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None  # JAX's cache is off, too
    assert programs._kept["folder"] is None
    keep_programs(True)
    assert capsys.readouterr().err == ""
    assert programs._kept["folder"].path == enabled


def test_a_key_that_others_could_read_is_replaced(enabled: Path, tmp_path: Path) -> None:
    folder = SealedFolder(enabled)
    folder.write("one", b"content")
    assert folder.read("one") == b"content"
    assert SealedFolder(enabled).read("one") == b"content"
    key = tmp_path / "state" / KEY_NAME
    secret = key.read_bytes()
    key.chmod(0o644)
    again = SealedFolder(enabled)
    assert again.read("one") is None
    assert key.read_bytes() != secret
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.write_bytes(bytes(32))
    other.chmod(0o600)
    key.unlink()
    key.symlink_to(other)  # a link could lead to a key that somebody knows
    again = SealedFolder(enabled)
    assert not key.is_symlink()
    assert key.read_bytes() != bytes(32)


def test_an_entry_that_others_can_write_or_a_link_is_not_read(enabled: Path, tmp_path: Path) -> None:
    folder = SealedFolder(enabled)
    folder.write("one", b"content")
    folder.place("one").chmod(0o620)
    assert folder.read("one") is None
    folder.write("one", b"content")
    moved = tmp_path / "moved"
    folder.place("one").rename(moved)
    folder.place("one").symlink_to(moved)
    assert folder.read("one") is None
    assert moved.exists()
    folder.place("one").symlink_to(moved)
    before = moved.read_bytes()
    folder.write("one", b"other content")
    assert folder.read("one") == b"other content"
    assert moved.read_bytes() == before


def test_what_jax_kept_is_made_anew(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """jaxlib writes a program that it has read without its functions: the third process would fail."""
    before = jax.config.jax_compilation_cache_dir
    factor = np.float32(2.0)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "of jax"))
    compilation_cache.reset_cache()
    try:
        scaled_power(TREE, factor, 3)
        assert len(list((tmp_path / "of jax").iterdir())) >= 1
        new_process(monkeypatch)
        programs.run(scaled_power, (TREE, factor), 3)
        new_process(monkeypatch)
        np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])
        assert traced == []
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


@jax.jit
def plain_call(fun, factor: jax.Array, static: None = None) -> jax.Array:
    return fun(factor)


def test_a_function_known_by_its_address_is_not_kept(folder: Path) -> None:
    fun = jax.tree_util.Partial(lambda x: x + 1)
    assert programs.run(plain_call, (fun, np.ones(3, np.float32)), None).sum() == 6
    assert list(folder.iterdir()) == []


def test_within_another_trace_and_where_nothing_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor = jnp.asarray(2.0)
    gradient = jax.grad(lambda x: programs.run(scaled_power, ({"a": x}, factor), 3)["a"].sum())(jnp.ones(2))
    np.testing.assert_array_equal(gradient, [6, 6])
    monkeypatch.setitem(programs._kept, "folder", None)
    np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder)
    factor = np.float32(2.0)
    np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])


def test_what_was_used_longest_ago_makes_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factor = np.float32(2.0)
    programs.run(scaled_power, (TREE, factor), 3)
    (used,) = folder.iterdir()
    unit = used.stat().st_size
    for number in range(4):
        other = folder / f"program-{number}"
        other.write_bytes(bytes(10 * unit))
        os.utime(other, (1000 + number, 1000 + number))
    os.utime(used, (1, 1))
    new_process(monkeypatch)
    programs.run(scaled_power, (TREE, factor), 3)  # used again: the newest
    for limit, left in ((41, 5), (40, 2)):  # of 41 units; down to the half of what is allowed
        monkeypatch.setattr(programs, "LIMIT", limit * unit)
        programs._prune(folder)
        assert len(list(folder.iterdir())) == left
    assert {path.name for path in folder.iterdir()} == {used.name, "program-3"}
