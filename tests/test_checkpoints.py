"""Orbax checkpoints: exact, atomic, the newest kept."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import nstjax
from nstjax.checkpoints import Series, load, load_record, save
from nstjax.errors import OutputError
from tests.helpers.mounts import TINY_DISK, run_with_mounts
from tests.helpers.paths import ROOT

TREE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3) / 7, "b": {"c": np.array([3], np.int32)}}


def test_round_trip_is_exact(tmp_path: Path) -> None:
    save(tmp_path / "x" / "c", TREE, {"loss": 0.1, "name": "é"})
    tree, record = load(tmp_path / "x" / "c")
    np.testing.assert_array_equal(tree["a"], TREE["a"])
    assert tree["b"]["c"].dtype == np.int32
    assert record == {"loss": 0.1, "name": "é"}
    assert load_record(tmp_path / "x" / "c") == record


def test_other_arrays_under_the_record_are_told(tmp_path: Path) -> None:
    """As a flipped bit that decodes to another value would leave them; the record holds the hash."""
    record = {"n": 1}
    save(tmp_path / "c", TREE, record)
    save(tmp_path / "d", {**TREE, "a": np.nextafter(TREE["a"], 2, dtype=np.float32)}, record)
    load(tmp_path / "c")
    shutil.rmtree(tmp_path / "c" / "tree")
    shutil.copytree(tmp_path / "d" / "tree", tmp_path / "c" / "tree")
    with pytest.raises(
        nstjax.InputError, match=f"{tmp_path / 'c'} is damaged: its arrays do not have their hash"
    ):
        load(tmp_path / "c")
    file = tmp_path / "c" / "record" / "metadata"
    content = json.loads(file.read_text())
    assert len(content.pop("arrays_sha256")) == len(content.pop("record_sha256")) == 64
    file.write_text(json.dumps(content))  # as earlier releases wrote it: nothing to check
    assert load(tmp_path / "c")[1] == record


RECORD = {"loss": 0.125, "name": "é", "many": {"on": True, "none": None, "odd": float("inf")}, "at": [1, 22]}


def test_a_flipped_bit_of_a_record_is_harmless_or_found(tmp_path: Path) -> None:
    save(tmp_path / "c", TREE, RECORD)
    file = tmp_path / "c" / "record" / "metadata"
    content, found = file.read_bytes(), 0
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        file.write_bytes(changed)
        try:
            record = load_record(tmp_path / "c")
        except nstjax.InputError:
            found += 1
            continue
        # In the name of a hash, which is then no hash but one key more.
        assert {key: record[key] for key in RECORD} == RECORD
    assert found > 0.8 * len(content)
    file.write_bytes(content.replace(b"0.125", b"0.126"))
    for read in (load_record, load):
        with pytest.raises(nstjax.InputError, match="its record does not match its hash; make it again"):
            read(tmp_path / "c")


def test_a_record_may_be_written_in_another_way(tmp_path: Path) -> None:
    save(tmp_path / "c", TREE, {1: (2, 3), **RECORD})
    file = tmp_path / "c" / "record" / "metadata"
    items = list(json.loads(file.read_text()).items())
    file.write_text(json.dumps(dict(reversed(items)), indent=2, ensure_ascii=False), "utf-8")
    assert load(tmp_path / "c")[1] == {"1": [2, 3], **RECORD}


@pytest.mark.parametrize("name", ["embedded-v1", "embedded"])
def test_stores_of_earlier_versions_are_read(name: str) -> None:
    tree, record = load(ROOT / "ckpts" / name)
    assert record["kind"] == "backbone"
    assert tree


def test_the_hash_holds_for_every_kind_of_tree(tmp_path: Path) -> None:
    tree = {
        "tuple": (np.ones(2), np.ones((2, 2), ml_dtypes.bfloat16)),
        "list": [np.ones((1, 3), np.float16), np.arange(3, dtype=np.int32)],
        "scalars": {"a": 1, "b": 2.5, "c": np.float32(3), "d": np.asarray(4)},
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big-endian": np.arange(3).astype(">i4"),
        "bool": np.array([True, False]),
    }
    save(tmp_path / "c", tree, {})
    np.testing.assert_array_equal(load(tmp_path / "c")[0]["fortran"], tree["fortran"])


def test_saving_again_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    save(tmp_path / "c", TREE, {"n": 1})
    save(tmp_path / "c", {"z": np.ones(1)}, {"n": 2})
    tree, record = load(tmp_path / "c")
    assert list(tree) == ["z"]
    assert record == {"n": 2}
    assert os.listdir(tmp_path) == ["c"]


class Kill(BaseException):
    """What no handler of errors sees."""


@pytest.mark.parametrize("moment", range(1, 20))
def test_a_kill_while_one_is_replaced_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """At every step of the replacement: before and after each renaming, and with half a directory removed."""
    path, steps = tmp_path / "c", 0
    save(path, TREE, {"n": 1})
    rename, rmtree = Path.rename, shutil.rmtree

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == moment:
            raise Kill

    def slow_rename(source: Path, target: Path) -> Path:
        if tmp_path not in (source.parent, target.parent):  # Orbax's own
            return rename(source, target)
        step()
        found = rename(source, target)
        step()
        return found

    def slow_rmtree(directory: Path, **how: object) -> None:
        if Path(directory).parent != tmp_path or not Path(directory).exists():
            return rmtree(directory, **how)
        step()
        rmtree(Path(directory) / "record", ignore_errors=True)
        step()
        rmtree(directory, **how)
        step()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", slow_rename)
        patch.setattr(shutil, "rmtree", slow_rmtree)
        try:
            save(path, {"z": np.ones(1)}, {"n": 2})
        except Kill:
            killed = True
        else:
            killed = False
    assert killed == (moment <= steps)
    tree, record = load(path)
    assert (list(tree), record) in ((["a", "b"], {"n": 1}), (["z"], {"n": 2}))
    assert load_record(path) == record
    save(path, {"y": np.ones(1)}, {"n": 3})
    assert load(path)[1] == {"n": 3}
    assert os.listdir(tmp_path) == ["c"]


def test_several_at_once_leave_the_last_one_whole(tmp_path: Path) -> None:
    """Threads stand for processes: each save opens the lock's file anew."""
    save(tmp_path / "c", TREE, {"n": 0})
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(save, tmp_path / "c", {"a": np.full(9, n)}, {"n": n}) for n in range(1, 5)]
    for run in runs:
        run.result()
    tree, record = load(tmp_path / "c")
    np.testing.assert_array_equal(tree["a"], np.full(9, record["n"]))
    assert record["n"] > 0
    assert os.listdir(tmp_path) == ["c"]


def test_series_keeps_the_newest_and_passes_over_the_unfinished(tmp_path: Path) -> None:
    series = Series(tmp_path / "s")
    assert series.load_newest() is None
    for step in (2, 10):
        series.save(step, TREE, {"step": step})
    assert series.steps() == [10]
    (tmp_path / "s" / ".12.new").mkdir()  # what a kill in the middle of a save may leave
    (tmp_path / "s" / ".12.new.orbax-checkpoint-tmp").mkdir()
    found = series.load_newest()
    assert found is not None
    assert found[1] == {"step": 10}
    series.remove()
    assert not (tmp_path / "s").exists()


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(nstjax.InputError, match="is not a checkpoint"):
        load(tmp_path)
    with pytest.raises(nstjax.InputError, match="record cannot be read"):
        load_record(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the checkpoint"):
        save(tmp_path / "file" / "c", TREE, {})
    with pytest.raises(OutputError, match="No such file or directory"):
        Series(tmp_path / "deleted" / "out.png.state").save(1, TREE, {})
    assert not (tmp_path / "deleted").exists()


FULL = (
    TINY_DISK
    + """
    from pathlib import Path
    import numpy as np
    from nstjax.checkpoints import Course, load, save
    from nstjax.errors import OutputError

    tree = {"a": np.random.default_rng(0).random((100, 100), np.float32)}
    course = Course(Path("disk/many"))
    course.save(1, tree, {"n": 1})
    course.wait()
    save(Path("disk/one"), tree, {"n": 1})
    for room in (0, 4096, 16384):  # bytes that are free
        fill("disk", room)
        try:
            course.save(2, tree, {"n": 2})
            course.close()
        except OutputError as error:
            print(error)
        try:
            course.close()
            save(Path("disk/one"), tree, {"n": 2})
        except OutputError as error:
            print(error)
        assert (course.steps(), os.listdir("disk/many")) == ([1], ["1"]), os.listdir("disk/many")
        assert course.load_newest()[1] == load(Path("disk/one"))[1] == {"n": 1}
        assert sorted(os.listdir("disk")) == ["filler", "many", "one"]
        os.unlink("disk/filler")
    course.save(2, tree, {"n": 2})
    course.close()
    assert course.load_newest()[1] == {"n": 2}
    """
)


def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    done = run_with_mounts(FULL, tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    sentences = done.stdout.splitlines()
    assert len(sentences) == 6
    for sentence in sentences:
        assert "No space left on device; name another folder or free some space" in sentence


def test_nothing_of_a_killed_write_is_left_when_a_series_is_removed(tmp_path: Path) -> None:
    series = Series(tmp_path / "states")
    series.save(1, {"x": np.zeros(3)}, {})
    (series.directory / ".2.lock").touch()
    series.remove()
    assert not series.directory.exists()


def test_a_linked_checkpoint_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "c").symlink_to(tmp_path / "disk" / "c")
    for number in range(3):
        save(tmp_path / "c", TREE, {"number": number})
        assert (tmp_path / "c").is_symlink()
        assert load(tmp_path / "disk" / "c")[1] == load(tmp_path / "c")[1] == {"number": number}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "disk"]
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["c"]
