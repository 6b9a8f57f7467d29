"""Data sets of TensorFlow Datasets: made of local photographs and read, without TensorFlow; the way to COCO."""

import importlib.util
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nstjax.data import open_batches
from nstjax.data.tfds import stock_builder
from nstjax.errors import InputError
from tests.helpers.datasets import prepare_folder
from tests.helpers.photographs import COUNT, config, damage, first, numbers, take, write_marked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_marked(tmp_path / "photographs", COUNT)
    return tmp_path / "photographs"


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("_no_network")
def test_a_data_set_of_local_photographs(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Prepared, then read: the batches are those of the folder to the bit, damaged photographs named."""
    damage(sorted(folder.rglob("*.png"))[1:4])
    place = prepare_folder(folder, "mine", str(tmp_path / "sets"))
    assert place == tmp_path / "sets" / "mine" / "1.0.0"
    assert any(".array_record" in path.name for path in place.iterdir())
    fields = {"data_dir": str(tmp_path / "sets"), "zoom": (1.0, 1.5)}
    with open_batches(config("tfds:mine", **fields)) as batches:
        images = take(batches, 8)
        assert sorted(batches.skipped) == [f"mine/1.0.0:train[{i}] (0{i}.png)" for i in (1, 2, 3)]
        state = batches.get_state()
        following = take(batches, 2)
        copy = pickle.loads(pickle.dumps(batches.source))  # as a worker gets it
        np.testing.assert_array_equal(copy.decode(0, 24), batches.source.decode(0, 24))
    np.testing.assert_array_equal(images, first(config(folder, **fields), 8))
    with open_batches(config("tfds:mine:1.0.0:train", **fields)) as batches:
        batches.set_state(state)
        np.testing.assert_array_equal(take(batches, 2), following)
    with open_batches(config("tfds:mine:train[:4]", **fields)) as batches:
        assert len(batches.source) == 4
        with pytest.raises(InputError, match="does not have the photographs that the run was started with"):
            batches.set_state(state)
    assert "tensorflow" not in sys.modules
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_no_network")
def test_a_feature_of_a_foreign_class_is_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = prepare_folder(folder, "mine", str(tmp_path / "sets"))
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "foreign.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    file = place / "features.json"
    text = file.read_text()
    known = "tensorflow_datasets.core.features.image_feature.Image"
    assert known in text
    file.write_text(text.replace(known, "foreign.Image"))
    with pytest.raises(InputError, match=r"mine in .* has a feature of the class 'foreign.Image'"):
        open_batches(config("tfds:mine", data_dir=str(tmp_path / "sets")))
    assert not (tmp_path / "ran").exists()
    assert "foreign" not in sys.modules
    file.write_text(text)
    with open_batches(config("tfds:mine", data_dir=str(tmp_path / "sets"))) as batches:
        assert len(batches.source) == COUNT


@pytest.mark.usefixtures("_no_network")
def test_data_sets_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    where = str(tmp_path / "sets")
    prepare_folder(folder, "mine", where)
    for spec, words in (
        ("tfds:", "names no data set: write tfds:NAME"),
        ("tfds:a/b/c", "names no data set"),
        ("tfds:mine:test", "the data set mine has no split test: it has train"),
        ("tfds:mine:train[:5", "has no split"),
        (
            "tfds:coco/2017",
            rf"coco/2017 is not in {where}: add `download` to fetch it \(25 GB\), or .* `data_dir`",
        ),
    ):
        with pytest.raises(InputError, match=words):
            open_batches(config(spec, data_dir=where))
    features = tmp_path / "sets" / "mine" / "1.0.0" / "features.json"
    features.write_text(features.read_text().replace('"image"', '"picture"', 1))
    with pytest.raises(InputError, match="no feature called image .*it has image/filename, picture"):
        open_batches(config("tfds:mine", data_dir=where))
    features.write_text("{")
    with pytest.raises(InputError, match=f"cannot open the data set mine in {where}.*prepare it again"):
        open_batches(config("tfds:mine", data_dir=where))


def test_damaged_files_and_records(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    where = str(tmp_path / "sets")
    place = prepare_folder(folder, "mine", where)
    file = next(path for path in place.iterdir() if "array_record" in path.name)
    whole = file.read_bytes()
    for content in (b"", whole[:1000], whole[:65536], whole[: len(whole) // 2 + 100], whole[:-1], None):
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(
            InputError, match=f"{file.name} is damaged: copy the data set again, or prepare it in"
        ):
            open_batches(config("tfds:mine", data_dir=where))
    # A damaged record costs the records of its chunk; others stand in for them.
    content = bytearray(whole)
    content[whole.index(b"IHDR")] ^= 1
    file.write_bytes(content)
    with open_batches(config("tfds:mine", data_dir=where)) as batches:
        images = take(batches, 8)
        assert 0 < len(batches.skipped) < COUNT
        assert all(name.startswith("mine/1.0.0:train[") for name in batches.skipped)
    sound = ~np.isin(np.array(numbers(first(config(folder), 8))), [int(name[17]) for name in batches.skipped])
    np.testing.assert_array_equal(images[sound], first(config(folder), 8)[sound])
    file.write_bytes(whole)
    about = place / "dataset_info.json"
    text = about.read_text()
    for lengths in ('"-5"', '"99999999999"', '"7", "7"', '"0"'):
        about.write_text(text.replace('"7"', lengths))
        with pytest.raises(InputError, match="is damaged: copy the data set again"):
            open_batches(config("tfds:mine", data_dir=where))


@pytest.mark.shared
def test_a_truncated_file_that_was_found(folder: Path, tmp_path: Path, shared: Path) -> None:
    where = str(tmp_path / "sets")
    place = prepare_folder(folder, "mine", where)
    file = next(path for path in place.iterdir() if "array_record" in path.name)
    file.write_bytes((shared / "cases" / "tfds_truncated.array_record").read_bytes())
    with pytest.raises(InputError, match=f"{file.name} is damaged"):
        open_batches(config("tfds:mine", data_dir=where))


def test_unknown_data_sets_are_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set called nonesuch: see"):
        open_batches(config("tfds:nonesuch", data_dir=str(tmp_path), download=True))


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "array_record"])
def test_without_the_extra_one_sentence_names_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    for ask in (lambda: open_batches(config("tfds:coco/2017")), lambda: stock_builder("coco/2017")):
        with pytest.raises(
            InputError, match=rf"need the package {missing}: pip install 'nstjax\[datasets\]'"
        ):
            ask()


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is here")
def test_coco_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"preparing coco/2017 needs TensorFlow.*pip install 'nstjax\[coco\]'"
    ):
        open_batches(config("tfds:coco/2017", data_dir=str(tmp_path), download=True))


COCO = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from nstjax.data import DataConfig, open_batches, prepare_dataset
from nstjax.data.tfds import stock_builder

where = Path(sys.argv[1])
for name in ("coco/2014", "coco/2017"):
    builder = stock_builder(name, str(where))
    feature = builder.info.features["image"]
    assert feature.shape == (None, None, 3), feature
    assert builder.info.full_name.startswith(name), builder.info.full_name
    assert any("images.cocodataset.org" in url for url in builder.url_infos)

def unpack(_, urls):  # what is downloaded, in little
    for key, url in urls.items():
        split, place = Path(url).stem, where / key
        if "/zips/" in url:
            (place / split).mkdir(parents=True)
            for number in range(6):
                pixels = np.full((30, 40, 3), 40 * number, np.uint8)
                Image.fromarray(pixels).save(place / split / f"{number}.jpg")
        else:
            (place / "annotations").mkdir(parents=True)
            records = [dict(id=i, file_name=f"{i}.jpg", width=40, height=30) for i in range(6)]
            box = dict(id=1, image_id=2, category_id=3, area=9, bbox=[1, 1, 3, 3], iscrowd=0)
            content = dict(
                images=records, annotations=[box], categories=[dict(id=i, name=str(i)) for i in range(80)]
            )
            for split in ("train2017", "val2017"):
                (place / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
            (place / "annotations" / "image_info_test2017.json").write_text(json.dumps(content))
    return {key: str(where / key) for key in urls}

tfds.download.DownloadManager.download_and_extract = unpack
print(prepare_dataset("coco/2017", str(where)).relative_to(where))
"""


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not here")
def test_coco_is_prepared_and_read(tmp_path: Path) -> None:
    """The stock builder, all but its downloads, in a process of its own since TensorFlow warns when imported."""
    run = subprocess.run([sys.executable, "-c", COCO, tmp_path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("coco/2017/")
    with open_batches(config("tfds:coco/2017", data_dir=str(tmp_path), shuffle=False)) as batches:
        assert len(batches.source) == 6
        seen = np.rint(take(batches, 2).mean(axis=(1, 2, 3)) * 255).tolist()
        assert sorted(seen) == pytest.approx([0, 40, 80, 120, 160, 200], abs=1)
        assert "jpg" in batches.source.name(0)
    assert "tensorflow" not in sys.modules
