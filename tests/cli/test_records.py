"""Records and states that nobody vouches for: damaged, of wrong types, or made to do harm."""

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
import pytest

from nstjax.checkpoints import Course, Series
from nstjax.cli.main import main
from nstjax.cli.resume import RunState, states_of
from nstjax.errors import InputError
from nstjax.optim import Lbfgs, Saved, minimise
from nstjax.plain import checked, parse_json
from nstjax.synthesis import TransferConfig
from nstjax.synthesis.solve import HistoryEntry, TransferState, solve
from nstjax.training import read_metrics
from tests.helpers.records import replace_record
from tests.helpers.training import CONFIG

DEEP = "[" * 100_000 + "]" * 100_000


@dataclasses.dataclass(frozen=True)
class Inner:
    share: float = 1.0
    kind: Literal["a", "b", 3] = "a"

    def __post_init__(self) -> None:
        if self.share < 0:
            raise InputError(f"--share is {self.share}")


class Outer(TypedDict):
    count: int
    name: NotRequired[str | None]
    inner: NotRequired[Inner]
    pair: NotRequired[tuple[int, float]]
    many: NotRequired[tuple[Inner, ...]]
    table: NotRequired[dict[str, list[bool]]]


GOOD_VALUES: dict[str, Any] = {
    "count": 2**63 - 1,
    "name": None,
    "inner": {"share": 2, "kind": 3},
    "pair": [1, 2],
    "many": [{}, {"kind": "b"}],
    "table": {"x": [True]},
    "other": [None],
}


def test_values_become_what_the_annotations_say() -> None:
    found = checked(GOOD_VALUES, Outer, "it")
    assert found == {
        **GOOD_VALUES,
        "inner": Inner(2.0, 3),
        "pair": (1, 2.0),
        "many": (Inner(), Inner(1.0, "b")),
    }
    assert [type(value) for value in found["pair"]] == [int, float]
    assert checked(found, Outer, "it") == found  # dataclasses may be there already


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 2**63}, "it.count is an integer of more than 64 bits"),
        ({"count": 1.0}, r"it.count is 1.0, not an integer"),
        ({"count": True}, "it.count is True, not a number"),
        ({"name": 3}, "it.name is 3, not a text"),
        ({"name": "a\0b"}, "it.name is a text with characters that no path can have"),
        ({"name": "\ud800"}, "it.name is a text with characters that no path can have"),
        ({"inner": {"share": float("nan")}}, "it.inner.share is nan, not a finite number"),
        ({"inner": {"share": 10**400}}, "it.inner.share is an integer of more than 64 bits"),
        ({"inner": {"share": -1}}, "--share is -1"),
        ({"inner": {"kind": "c"}}, "it.inner.kind is 'c': it must be one of a, b, 3"),
        ({"inner": {"kind": ["a"]}}, r"it.inner.kind is \['a'\]: it must be one of"),
        ({"inner": {"color": 1}}, "it.inner has the unknown field 'color': is it of a later version?"),
        ({"inner": []}, r"it.inner is \[\], not an object"),
        ({"pair": [1]}, "it.pair has 1 entries, not 2"),
        ({"pair": "12"}, "it.pair is '12', not a list"),
        ({"many": [{}, {"share": "x"}]}, r"it.many\[1\].share is 'x', not a number"),
        ({"table": {"x": [1]}}, r"it.table.x\[0\] is 1, not bool"),
        ({"table": {"\0": []}}, "it.table is a text with characters"),
    ],
)
def test_values_of_other_types_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        checked({**GOOD_VALUES, **change}, Outer, "it")
    assert "\n" not in str(caught.value)


def test_what_is_missing_or_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InputError, match="it has no 'count'"):
        checked({}, Outer, "it")
    for text in (DEEP.encode(), b"\xff", b"{", b"9" * 5000):
        with pytest.raises(ValueError, match="."):
            parse_json(text)


# Each makes another file of a good run record.
DAMAGE: dict[str, Callable[[dict], Any]] = {
    "no output": lambda r: r.pop("output"),
    "output a list": lambda r: r.update(output=[]),
    "bits not finite": lambda r: r["output"].update(bits=float("nan")),
    "bits huge": lambda r: r["output"].update(bits=10**30),
    "quality infinite": lambda r: r["output"].update(quality=float("inf")),
    "path a number": lambda r: r["output"].update(path=3),
    "path with a zero": lambda r: r["output"].update(path="a\0.png"),
    "input without a hash": lambda r: r["inputs"]["style"].pop("sha256"),
    "input a text": lambda r: r["inputs"].update(style="painting.png"),
    "input's path a surrogate": lambda r: r["inputs"]["content"].update(path="\ud800"),
    "inputs a list": lambda r: r.update(inputs=[]),
    "weights a text": lambda r: r.update(weights="vgg19"),
    "weights option an object": lambda r: r["weights_option"].update(weights={}),
    "weights option a number": lambda r: r.update(weights_option=float("nan")),
    "unknown weights option": lambda r: r["weights_option"].update(color=1),
    "masks a text": lambda r: r["sources"].update(masks="m.png"),
    "masks of numbers": lambda r: r["sources"].update(masks=[1]),
    "sources a list": lambda r: r.update(sources=[]),
    "size a list": lambda r: r["config"].update(size=[16]),
    "size huge": lambda r: r["config"].update(size=10**400),
    "scales of texts": lambda r: r["config"].update(scales=["16"]),
    "scales of lists": lambda r: r["config"].update(scales=[[16]]),
    "seed not finite": lambda r: r["config"].update(seed=float("nan")),
    "noise huge": lambda r: r["config"].update(noise=10**400),
    "objective a list": lambda r: r["config"].update(objective=[]),
    "layers of numbers": lambda r: r["config"]["objective"].update(style_layers=[1]),
    "weight a text": lambda r: r["config"]["objective"].update(content_weight="1"),
    "optimiser a text": lambda r: r["config"].update(optimizer="lbfgs"),
    "method a list": lambda r: r["config"]["optimizer"].update(method=[]),
    "config a list": lambda r: r.update(config=[]),
    "config null": lambda r: r.update(config=None),
    "command a list": lambda r: r.update(command=[]),
    "format an object": lambda r: r.update(format={}),
}


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    facts = {"path": "photo.png", "sha256": "0"}
    return {
        "format": 1,
        "command": "transfer",
        "config": TransferConfig(size=16, scales=(16,)).to_json(),
        "sources": {"style_weights": [], "masks": []},
        "inputs": {"content": facts, "style": {**facts, "path": "painting.png"}},
        "weights": {"sha256": "0"},
        "weights_option": {"weights": "embedded", "network": None, "preprocessing": None},
        "output": {"path": "out.png", "bits": 8, "quality": 95, "median_filter": False},
    }


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The one sentence of a command that is refused."""
    assert main(list(command)) == 2
    error = capsys.readouterr().err
    assert error.startswith("nstjax: error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_run_record(record, damage, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    damaged = copy.deepcopy(record)
    damage(damaged)
    Path("r.run.json").write_text(json.dumps(damaged))
    assert "r.run.json" in refused(capsys, "transfer", "--from", "r.run.json")


def test_the_record_that_is_damaged_above_is_good(record, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.run.json").write_text(json.dumps(record))
    assert "photo.png does not exist" in refused(capsys, "transfer", "--from", "r.run.json")


@pytest.mark.parametrize("content", [DEEP.encode(), b"\xff\xfe", b'{"format": 1', b"[]", b"null", b""])
def test_a_run_record_that_is_no_object(content: bytes, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.run.json").write_bytes(content)
    assert "r.run.json is not a run record" in refused(capsys, "transfer", "--from", "r.run.json")
    (tmp_path / "run").mkdir()
    Path("run/train.json").write_bytes(content)
    assert "run/train.json is not a run record" in refused(capsys, "train", "--resume", "-o", "run")


TRAIN_RECORD = {
    "format": 1,
    "config": CONFIG.to_json(),
    "inputs": {"style": {"path": "painting.png", "sha256": "0"}},
    "weights": {"sha256": "0"},
    "weights_option": {"weights": "embedded"},
}
TRAINING: dict[str, Callable[[dict], Any]] = {
    "no weights": lambda r: r.pop("weights"),
    "weights option not finite": lambda r: r.update(weights_option=float("nan")),
    "steps not finite": lambda r: r["config"].update(steps=float("nan")),
    "steps huge": lambda r: r["config"].update(steps=10**400),
    "zoom of texts": lambda r: r["config"]["data"].update(zoom=["1", "2"]),
    "data a list": lambda r: r["config"].update(data=[]),
    "source a number": lambda r: r["config"]["data"].update(source=3),
    "generator null": lambda r: r["config"].update(generator=None),
    "width a text": lambda r: r["config"]["generator"].update(width="1"),
    "blocks a float": lambda r: r["config"]["generator"].update(residual_blocks=1.5),
    "no painting": lambda r: r["inputs"].clear(),
    "painting's path a list": lambda r: r["inputs"]["style"].update(path=[]),
}


@pytest.mark.parametrize("damage", TRAINING.values(), ids=TRAINING.keys())
def test_a_damaged_training_record(damage, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    damaged = json.loads(json.dumps(TRAIN_RECORD))
    damage(damaged)
    Path("run").mkdir()
    Path("run/train.json").write_text(json.dumps(damaged))
    assert "run/train.json is damaged (" in refused(capsys, "train", "--resume", "-o", "run")


def test_the_training_record_that_is_damaged_above_is_good(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    Path("run/train.json").write_text(json.dumps(TRAIN_RECORD))
    command = ("train", "--resume", "-o", "run", "--data", "fake")
    assert "painting.png does not exist" in refused(capsys, *command)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["no_sha256", "weights_dict"])
def test_found_run_records(name: str, shared: Path, capsys) -> None:
    path = shared / "cases" / f"{name}.run.json"
    assert f"{name}.run.json is a damaged run record" in refused(capsys, "transfer", "--from", str(path))


STATE: dict[str, Callable[[dict], Any]] = {
    "identity a list": lambda r: r.update(identity=[]),
    "no identity": lambda r: r.pop("identity"),
    "scale a text": lambda r: r.update(scale="0"),
    "scale not finite": lambda r: r.update(scale=float("nan")),
    "method a number": lambda r: r.update(method=1),
    "iteration huge": lambda r: r.update(iteration=10**30),
    "evaluations null": lambda r: r.update(evaluations=None),
    "shapes of texts": lambda r: r.update(shapes=["a"]),
    "shapes that do not fit": lambda r: r.update(shapes=[[5]]),
    "more shapes than arrays": lambda r: r.update(shapes=[[2, 3], [], [1]]),
    "history of numbers": lambda r: r.update(history=[1]),
    "history without a loss": lambda r: r["history"][0].pop("loss"),
    "history with a field": lambda r: r["history"][0].update(color=1),
    "terms of texts": lambda r: r["history"][0].update(terms={"style": "1"}),
}
ENTRY = HistoryEntry(0, 1, 2.5, {"style": 2.5}, 3, 0.5, None)
AT_REST = TransferState(0, Saved("Adam", 1, 3, (np.arange(6.0).reshape(2, 3), np.array(4))), (ENTRY,))
IDENTITY = {"command": "transfer", "config": {"size": 16}}


@pytest.fixture(scope="module")
def saved_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("state") / "out.png"
    RunState(output, IDENTITY).save(AT_REST)
    found = RunState(output, IDENTITY).load()
    assert found is not None
    assert (found.scale, found.history, found.saved.iteration) == (0, (ENTRY,), 1)
    for one, other in zip(found.saved.leaves, AT_REST.saved.leaves, strict=True):
        np.testing.assert_array_equal(one, other)
    return states_of(output)


@pytest.mark.parametrize("damage", STATE.values(), ids=STATE.keys())
def test_a_damaged_state(saved_state: Path, damage, tmp_path: Path) -> None:
    shutil.copytree(saved_state, tmp_path / saved_state.name)
    store = tmp_path / saved_state.name / "1"
    content = json.loads((store / "record" / "metadata").read_text())
    damage(content)
    replace_record(store, content)
    with pytest.raises(InputError, match=r"the saved state in .*out.png.state is damaged"):
        RunState(tmp_path / "out.png", IDENTITY).load()


@pytest.mark.parametrize("content", [DEEP.encode(), b"\xff", b"[]"])
def test_a_state_whose_record_is_no_object(saved_state: Path, content: bytes, tmp_path: Path) -> None:
    shutil.copytree(saved_state, tmp_path / saved_state.name)
    (tmp_path / saved_state.name / "1" / "record" / "metadata").write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        RunState(tmp_path / "out.png", IDENTITY).load()
    (tmp_path / saved_state.name / "²").mkdir()  # a digit, but no number
    assert Series(tmp_path / saved_state.name).steps() == [1]


def test_a_state_of_another_run() -> None:
    for scale in (-1, 1):
        other = dataclasses.replace(AT_REST, scale=scale)
        with pytest.raises(InputError, match="other scales"):
            solve(TransferConfig(size=16), lambda side: pytest.fail("nothing is to be solved"), resume=other)
    for leaves in ((), (np.zeros((1, 2, 2, 3)),), (np.zeros((1, 2, 2, 3), bool),) * 9):
        with pytest.raises(InputError, match="another optimizer or size"):
            minimise(
                lambda x: ((x**2).sum(), {}),
                np.zeros((1, 2, 2, 3), np.float32),
                Lbfgs(),
                None,
                Saved("Lbfgs", 1, 1, leaves),
            )


@pytest.mark.parametrize("changed", [{"x": np.array([1.0, 2.5])}, {"step": np.asarray(4, np.int32)}])
def test_a_course_has_the_hash_of_its_arrays(tmp_path: Path, changed: dict) -> None:
    tree = {"x": np.array([1.0, 2.0]), "step": np.asarray(3, np.int32)}
    for name, arrays in (("one", tree), ("other", {**tree, **changed})):
        course = Course(tmp_path / name)
        course.save(3, arrays, {"n": 1})
        course.close()
    found = Course(tmp_path / "one").load_newest()
    assert found is not None
    assert found[1] == {"n": 1}
    shutil.rmtree(tmp_path / "one" / "3" / "tree")
    shutil.copytree(tmp_path / "other" / "3" / "tree", tmp_path / "one" / "3" / "tree")
    with pytest.raises(InputError, match="one/3 is damaged: its arrays do not have their hash"):
        Course(tmp_path / "one").load_newest()


def test_damaged_metrics(tmp_path: Path) -> None:
    path, good = tmp_path / "metrics.jsonl", b'{"step": 1, "loss": 2.5}\n'
    path.write_bytes(good + b'{"step": 2, "lo')  # as a kill leaves it
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.5}]
    for line in (
        b"\xff",
        b"[]",
        b"1",
        b'{"loss": 1}',
        b'{"step": "1"}',
        b'{"step": 1.5}',
        b'{"step": NaN}',
        DEEP.encode(),
    ):
        path.write_bytes(good + line + b"\n" + good)
        with pytest.raises(
            InputError, match="line 2 of .*metrics.jsonl is damaged: delete this line or the file"
        ):
            read_metrics(tmp_path)
