"""Batches of photographs: what is in them, in which order, and that the order can be resumed and shared."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstjax.data import Batches, open_batches, share
from nstjax.data.fake import Fake
from nstjax.data.folder import find_photographs
from nstjax.errors import InputError, InputWarning
from tests.helpers.photographs import COUNT, LONG, SHORT, config, damage, first, numbers, take, write_marked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_marked(tmp_path / "photographs", COUNT)
    return tmp_path / "photographs"


def test_crops_are_windows_and_half_are_mirrored(folder: Path) -> None:
    images = np.rint(first(config(folder, shuffle=False), 200) * 255)
    assert images.shape == (600, 16, 16, 3)
    mirrored, tops, lefts = 0, Counter[int](), Counter[int]()
    for image in images:
        number = image[0, 0, 0]
        height, width = (SHORT, LONG) if number % 2 else (LONG, SHORT)
        assert (image[..., 0] == number).all()
        rows, columns = image[:, 0, 1] / 5, image[0, :, 2] / 5
        assert (image[..., 1] == 5 * rows[:, None]).all()
        assert (image[..., 2] == 5 * columns[None]).all()
        flipped = columns[0] > columns[-1]
        mirrored += flipped
        columns = columns[::-1] if flipped else columns
        assert (np.diff(rows) == 1).all()
        assert (np.diff(columns) == 1).all()
        assert rows[-1] < height
        assert columns[-1] < width
        if number % 2:
            tops[int(rows[0])] += 1
            lefts[int(columns[0])] += 1
    # Every place is drawn: 9 rows and 25 columns of it.
    assert set(tops) == set(range(SHORT - 16 + 1))
    assert set(lefts) == set(range(LONG - 16 + 1))
    assert abs(mirrored - 300) < 5 * np.sqrt(600) / 2


def test_epochs_are_permutations_and_differ(folder: Path) -> None:
    seen = numbers(first(config(folder), 14))
    epochs = [tuple(seen[start : start + COUNT]) for start in range(0, 42, COUNT)]
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(COUNT))}
    assert len(set(epochs)) > 3
    assert numbers(first(config(folder, seed=1), 14)) != seen
    assert numbers(first(config(folder, shuffle=False), 5)) == [*range(7), *range(7), 0]


def test_flip_and_zoom_leave_the_other_draws_alone(folder: Path) -> None:
    plain, flipped = first(config(folder, flip=False), 6), first(config(folder), 6)
    for a, b in zip(plain, flipped, strict=True):
        assert (a == b).all() or (a[:, ::-1] == b).all()


@pytest.mark.parametrize("zoom", [(1.5, 1.5), (1.0, 1.5)])
def test_resume_is_exact(folder: Path, zoom: tuple[float, float]) -> None:
    """At the start, within an epoch, at its end (batch 7 of 3 is 3 epochs of 7), and far on."""
    reference = first(config(folder, zoom=zoom), 20).reshape(20, 3, 16, 16, 3)
    variants = itertools.cycle([{}, {"cache": False}, {"prefetch": 0}, {"prefetch": 1}])
    with open_batches(config(folder, zoom=zoom)) as batches:
        states = []
        for _ in range(18):
            states.append(json.loads(json.dumps(batches.get_state())))
            next(batches)
        for at in (0, 1, 2, 7, 13, 17):
            batches.set_state(states[at])
            np.testing.assert_array_equal(take(batches, 3), reference[at : at + 3].reshape(-1, 16, 16, 3))
            with open_batches(config(folder, zoom=zoom, **next(variants))) as fresh:
                fresh.set_state(states[at])
                assert fresh.get_state() == states[at]
                np.testing.assert_array_equal(next(fresh).images, reference[at])


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_share_what_one_would_see(folder: Path, damaged: bool) -> None:
    if damaged:
        damage(sorted(folder.rglob("*.png"))[1:4])
    settings = config(folder, batch_size=6, zoom=(1.0, 1.5))
    for count in (2, 3):
        parts = [open_batches(settings, process, count) for process in range(count)]
        with open_batches(settings) as whole:
            for _ in range(5):
                shares = [next(part) for part in parts]
                batch = next(whole)
                assert batch.index.dtype == np.int32
                assert np.concatenate([part.index for part in shares]).tolist() == batch.index.tolist()
                np.testing.assert_array_equal(np.concatenate([part.images for part in shares]), batch.images)
            assert set(whole.skipped) == {name for part in parts for name in part.skipped}
            # A run of one process goes on where one of several stood.
            assert parts[-1].get_state() == whole.get_state()
        for part in parts:
            part.close()


def test_damaged_photographs_are_named_and_others_stand_in(folder: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    reference = first(config(folder), 14)
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(folder / "x.jpg")
    whole = (folder / "x.jpg").read_bytes()
    (folder / "x.jpg").unlink()
    damage(paths[2:5])
    paths[2].write_bytes(whole[: len(whole) // 2])
    with open_batches(config(folder)) as batches:
        images = take(batches, 14)
        assert sorted(batches.skipped) == sorted(map(str, paths[2:5]))
    was = np.array(numbers(reference))
    sound = ~np.isin(was, [2, 3, 4])
    np.testing.assert_array_equal(images[sound], reference[sound])
    stand_ins = set(np.array(numbers(images))[~sound].tolist())
    assert stand_ins <= {0, 1, 5, 6}
    assert len(stand_ins) > 1


def test_a_position_of_another_order_is_refused(folder: Path) -> None:
    with open_batches(config(folder)) as batches:
        state = batches.get_state()
    for fields, words in (
        ({"seed": 1}, "`data.seed` 0, not 1"),
        ({"batch_size": 4}, "`batch_size` 3, not 4"),
        ({"shuffle": False}, "`shuffle` True, not False"),
    ):
        with open_batches(config(folder, **fields)) as other, pytest.raises(InputError, match=words):
            other.set_state(state)
    with open_batches(config(folder)) as batches, pytest.raises(InputError, match="position .* is damaged"):
        batches.set_state({**state, "batch": None})
    (folder / "00.png").rename(folder / "zz.png")
    with (
        open_batches(config(folder)) as other,
        pytest.raises(InputError, match=r"\(7 then, 7 now, compared by"),
    ):
        other.set_state(state)


def test_photographs_are_known_by_names_and_sizes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they lie and however their folder is written; other files of the same names are others."""
    with open_batches(config(folder)) as batches:
        take(batches, 4)
        state = batches.get_state()
        following = take(batches, 2)
    moved = folder.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    for name in (moved, "elsewhere", "./elsewhere/"):
        with open_batches(config(name)) as batches:
            batches.set_state(state)
            np.testing.assert_array_equal(take(batches, 2), following)
    with open_batches(config(moved)) as batches:  # of an earlier version, which compared names alone
        batches.set_state({**{k: v for k, v in state.items() if k != "content"}, "names": "0"})
        np.testing.assert_array_equal(take(batches, 2), following)
    with (moved / "00.png").open("ab") as file:
        file.write(b"more")
    with (
        open_batches(config(moved)) as batches,
        pytest.raises(InputError, match="does not have the photographs"),
    ):
        batches.set_state(state)


@pytest.mark.parametrize("name", ["train.json", "metrics.jsonl"])
def test_pictures_of_a_training_run_are_no_photographs(folder: Path, name: str) -> None:
    before = find_photographs(folder)
    samples = folder / "more" / "run" / "samples"
    samples.mkdir(parents=True)
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(samples / "step-0000006.jpg")
    (samples.parent / name).write_text("{}")
    with pytest.warns(InputWarning, match="skipped more/run, which training wrote"):
        assert find_photographs(folder) == before
    assert find_photographs(samples) == ["step-0000006.jpg"]  # where they are meant


class Failing(Fake):
    """Decoders raise nearly anything."""

    def decode(self, record: int, at_least: int) -> np.ndarray:
        if record == 1:
            raise RecursionError("deep")
        if record == 2:
            return np.zeros((0, 0, 3), np.uint8)
        return super().decode(record, at_least)


def test_an_error_of_any_type_costs_one_photograph() -> None:
    with Batches(Failing("fake:4"), config("fake:4", shuffle=False, batch_size=4), 0, 1) as batches:
        assert next(batches).images.shape == (4, 16, 16, 3)
        assert sorted(batches.skipped) == ["fake/1", "fake/2"]


def test_the_cache_holds_no_more_than_it_may(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = first(config(folder, cache=False), 10)
    photograph = SHORT * LONG * 3
    monkeypatch.setattr(share, "CACHE_BYTES", 3 * photograph + 1)
    with open_batches(config(folder)) as batches:
        np.testing.assert_array_equal(take(batches, 10), reference)
        kept = batches._make._kept
    assert len(kept) == 3
    monkeypatch.undo()
    with open_batches(config(folder)) as batches:
        take(batches, 10)
        for path in folder.rglob("*.png"):
            path.unlink()
        batches.set_state({**batches.get_state(), "batch": 0})
        np.testing.assert_array_equal(take(batches, 10), reference)


def test_worker_processes_change_nothing(folder: Path) -> None:
    """From a position within an epoch, with the names of damaged photographs brought over."""
    damage(sorted(folder.rglob("*.png"))[1:4])
    with open_batches(config(folder)) as batches:
        take(batches, 2)
        state = batches.get_state()
        reference = take(batches, 5)
        after = batches.get_state()
    with open_batches(config(folder, workers=2)) as batches:
        batches.set_state(state)
        np.testing.assert_array_equal(take(batches, 5), reference)
        assert len(batches.skipped) == 3
        assert batches.get_state() == after


@pytest.mark.slow
def test_workers_that_cannot_start_are_said(folder: Path, tmp_path: Path) -> None:
    """In a program of its own: quiet when guarded, one sentence when not, and names of all-damaged folders."""
    program = """
import sys
from nstjax.data import DataConfig, open_batches
from nstjax.errors import InputError

def main():
    try:
        batches = open_batches(DataConfig({folder!r}, size=16, batch_size=3, workers=1))
        print(sorted(next(batches).index.tolist()))  # and nobody closes it
    except InputError as error:
        print(error)

{start}
"""
    guarded = 'if __name__ == "__main__":\n    main()'
    for start, damaged, words in (
        (guarded, False, "[0, 1, 2]"),
        ("main()", False, "`workers` 0"),
        (guarded, True, "copy them again"),
    ):
        if damaged:
            for path in folder.rglob("*.png"):
                path.write_bytes(b"")
        script = tmp_path / "script.py"
        script.write_text(program.format(folder=str(folder), start=start))
        done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True)
        assert done.returncode == 0
        assert words in done.stdout
        assert len(done.stdout.splitlines()) == 1
        assert (done.stderr == "") == (start == guarded), done.stderr
