"""Whole programs, kept from one process to the next."""

import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from nstjax import programs

traced: list[str] = []


@partial(jax.jit, static_argnames="power")
def scaled_power(tree: dict[str, jax.Array], factor: jax.Array, power: int) -> dict[str, jax.Array]:
    traced.append("once")
    return {name: factor * leaf**power for name, leaf in tree.items()}


TREE = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(programs._kept, "folder", tmp_path)
    new_process(monkeypatch)
    return tmp_path


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this one knows."""
    monkeypatch.setattr(programs, "_loaded", {})
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
    monkeypatch.setattr(programs, "_surroundings", lambda: "another release")
    programs.run(scaled_power, (TREE, factor), 3)
    assert len(traced) == 1
    assert len(list(folder.iterdir())) == 2


def test_a_damaged_program_is_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factor = np.float32(2.0)
    programs.run(scaled_power, (TREE, factor), 3)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:100], b"", whole[:-1000] + bytes(1000)):
        path.write_bytes(damaged)
        new_process(monkeypatch)
        np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])


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
    monkeypatch.delitem(programs._kept, "folder")
    np.testing.assert_array_equal(programs.run(scaled_power, (TREE, factor), 3)["a"], [0, 2, 16])
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(programs._kept, "folder", folder / "missing")
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
