"""Generators on disk."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nstjax
from nstjax import checkpoints
from nstjax.cli.main import main
from nstjax.files import cache_folder
from nstjax.generators import JohnsonConfig, UlyanovConfig, generate, init_generator
from nstjax.generators.store import installed_generators, is_shipped, load_generator, save_generator
from nstjax.weights import load_backbone
from nstjax.weights.store import save_backbone
from tests.helpers.networks import random_backbone
from tests.helpers.records import change_record

JOHNSON = JohnsonConfig(width=1 / 16, residual_blocks=1, norm="batch")
ULYANOV = UlyanovConfig(scales=2, channels=2, norm="instance")


@pytest.fixture(scope="module")
def variables():
    """With running statistics that are not those of the beginning."""
    found = init_generator(JOHNSON, jax.random.key(3))
    moved = jax.tree.map(lambda leaf: leaf * 3 + 0.25, found["batch_stats"])
    return {"params": found["params"], "batch_stats": moved}


def same(one, other) -> bool:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(a, b) for a, b in leaves
    )


def test_what_is_saved_comes_back(tmp_path: Path, variables) -> None:
    record = {"style": {"name": "swirls"}, "steps": 3, "losses": [1.5, 1.25], "size": 256}
    save_generator(tmp_path / "a", JOHNSON, variables, record)
    found = load_generator(tmp_path / "a")
    assert found.config == JOHNSON
    assert same(found.variables, variables)
    assert record.items() <= found.record.items()
    assert (found.record["kind"], found.record["dtype"]) == ("generator", "float32")


def test_without_running_statistics(tmp_path: Path) -> None:
    own = init_generator(ULYANOV, jax.random.key(0))
    assert own["batch_stats"] == {}
    save_generator(tmp_path / "a", ULYANOV, own, {})
    found = load_generator(str(tmp_path / "a"))
    assert found.config == ULYANOV
    assert same(found.variables, own)


def test_float16_paints_nearly_the_same_picture(tmp_path: Path, variables, pictures) -> None:
    photo = pictures[0]
    save_generator(tmp_path / "half", JOHNSON, variables, {}, np.float16)
    save_generator(tmp_path / "whole", JOHNSON, variables, {})
    half, whole = load_generator(tmp_path / "half"), load_generator(tmp_path / "whole")
    assert {leaf.dtype for leaf in jax.tree.leaves(half.variables)} == {np.dtype(np.float32)}
    assert not same(half.variables, whole.variables)
    assert same(half.variables["batch_stats"], whole.variables["batch_stats"])
    one, other = (
        np.asarray(jax.jit(generate, static_argnums=0)(JOHNSON, g.variables, photo)) for g in (half, whole)
    )
    assert 0 < np.abs(one - other).max() < 0.5 / 255
    on_disk = {name: checkpoints.load(tmp_path / name)[0]["params"] for name in ("half", "whole")}
    assert {leaf.dtype for leaf in jax.tree.leaves(on_disk["half"])} == {np.dtype(np.float16)}
    assert {leaf.dtype for leaf in jax.tree.leaves(on_disk["whole"])} == {np.dtype(np.float32)}


def test_eight_bits_paint_nearly_the_same_picture(tmp_path: Path, pictures) -> None:
    config = JohnsonConfig(width=0.5, residual_blocks=2, styles=3)
    rng = np.random.default_rng(0)
    own = init_generator(config, jax.random.key(1))
    params = jax.tree.map(
        lambda leaf: leaf + 0.2 * rng.normal(size=leaf.shape) if leaf.ndim == 2 else leaf, own["params"]
    )
    whole = {"params": params, "batch_stats": {}}
    save_generator(tmp_path / "small", config, whole, {}, np.int8)
    save_generator(tmp_path / "half", config, whole, {}, np.float16)
    found = load_generator(tmp_path / "small")
    assert (found.record["dtype"], found.record["format"]) == ("int8", 2)
    for name, leaves in found.variables["params"].items():
        for key, leaf in leaves.items():
            exact = np.asarray(params[name][key])
            # Half a step of 1/127 of the largest weight of the channel; float16 for scales and biases.
            step = np.abs(exact).max((0, 1, 2)) / 127 / 2 if key == "kernel" else np.abs(exact) * 2**-11
            assert (np.abs(np.asarray(leaf) - exact) <= step * (1 + 1e-5) + 1e-7).all(), (name, key)
    style = np.eye(3, dtype=np.float32)[1]
    one, other = (
        np.asarray(jax.jit(generate, static_argnums=0)(config, variables, pictures[0], style=style))
        for variables in (found.variables, whole)
    )
    assert 0 < np.abs(one - other).mean() < 2 / 255
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / name).rglob("*") if path.is_file())
        for name in ("small", "half")
    ]
    assert sizes[0] < 0.65 * sizes[1]
    again = tmp_path / "again"
    save_generator(again, found.config, found.variables, {}, np.int8)
    assert same(load_generator(again).variables, found.variables)


def test_float16_that_cannot_hold_it(tmp_path: Path, variables) -> None:
    huge = jax.tree.map(lambda leaf: leaf * 1e6, variables["params"])
    with pytest.raises(nstjax.InputError, match=r"parameters beyond float16: save it as float32"):
        save_generator(
            tmp_path / "a", JOHNSON, {"params": huge, "batch_stats": variables["batch_stats"]}, {}, np.float16
        )
    assert list(tmp_path.iterdir()) == []


def test_saving_again_replaces(tmp_path: Path, variables) -> None:
    save_generator(tmp_path / "a", JOHNSON, variables, {"steps": 1})
    save_generator(tmp_path / "a", ULYANOV, init_generator(ULYANOV, jax.random.key(0)), {"steps": 2})
    assert load_generator(tmp_path / "a").record["steps"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_names(tmp_path: Path, variables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSTJAX_CACHE", str(tmp_path / "cache"))
    save_generator(tmp_path / "ckpts" / "both", JOHNSON, variables, {"steps": 1})
    save_generator(cache_folder() / "models" / "both", JOHNSON, variables, {"steps": 2})
    save_generator(cache_folder() / "models" / "cached", JOHNSON, variables, {"steps": 3})
    save_backbone(random_backbone(convs=1), tmp_path / "ckpts" / "network")
    (tmp_path / "ckpts" / "torn" / "record").mkdir(parents=True)
    (tmp_path / "ckpts" / "torn" / "tree").mkdir()
    found = installed_generators()
    assert {"both", "cached"} <= set(found)
    assert not {"network", "torn", "embedded"} & set(found)
    assert found["both"][0] == Path("ckpts/both")
    assert load_generator("both").record["steps"] == 1
    assert load_generator("cached").record["steps"] == 3
    with pytest.raises(
        nstjax.InputError, match=r"no model or folder 'monet': the installed models are both, cached"
    ):
        load_generator("monet")
    with pytest.raises(
        nstjax.InputError, match=r"network is a checkpoint of a feature network, not of a generator"
    ):
        load_generator("network")
    with pytest.raises(nstjax.InputError, match=r"embedded is a checkpoint of a feature network"):
        load_generator("embedded")


def test_a_folder_takes_precedence_over_an_installed_name(
    tmp_path: Path, variables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_generator(tmp_path / "ckpts" / "mine", JOHNSON, variables, {"steps": 1})
    for name in ("mine", "gallery"):
        assert "steps" in load_generator(name).record
        Path(name).mkdir()  # of anything else
        assert "steps" in load_generator(name).record
        Path(name, "train.json").write_text("{}")  # of a run that has not saved a model yet
        with pytest.raises(nstjax.InputError, match=f"the folder {name} contains no trained generator"):
            load_generator(name)
        save_generator(Path(name, "model"), JOHNSON, variables, {"steps": 7})
        assert load_generator(name).record["steps"] == 7
    assert [is_shipped(name) for name in ("gallery", "mine", "embedded", "monet")] == [
        *(True, False, False, False)
    ]


def test_a_record_of_wrong_types_hides_no_other(tmp_path: Path, variables, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        save_generator(tmp_path / "ckpts" / name, JOHNSON, variables, {"style": "[/b] by me"})
    change_record(tmp_path / "ckpts" / "a", config=[])
    change_record(tmp_path / "ckpts" / "b", kind=[])
    assert main(["stylize", "--list"]) == 0
    shown = capsys.readouterr().out
    assert "[/b] by me" in shown
    assert {"c", "gallery"} <= set(installed_generators())
    assert not {"a", "b"} & set(installed_generators())


def test_one_bad_store_does_not_hide_the_others(
    tmp_path: Path, variables, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    save_generator(tmp_path / "ckpts" / "good", JOHNSON, variables, {"steps": 1})
    records = {
        "deep": "[" * 100_000,
        "torn": '{"kind": "generator"',
        "no_config": '{"kind": "generator", "config": 5}',
        "no_arch": '{"kind": "backbone", "arch": 5, "source": ["x"]}',
    }
    for name, record in records.items():
        (tmp_path / "ckpts" / name / "tree").mkdir(parents=True)
        (tmp_path / "ckpts" / name / "record").mkdir()
        (tmp_path / "ckpts" / name / "record" / "metadata").write_text(record)
    assert main(["stylize", "--list"]) == 0
    out, err = capsys.readouterr()
    assert "good" in out
    bad = [
        f"nstjax: ckpts/{name} cannot be read and is left out: make it again or remove it" for name in records
    ]
    assert err.splitlines() == sorted([bad[0], bad[1], bad[2]])
    assert main(["weights", "list"]) == 0
    out, err = capsys.readouterr()
    assert "embedded" in out
    assert err.splitlines() == sorted([bad[0], bad[1], bad[3]])


def test_the_folder_that_one_is_in(tmp_path: Path, variables, monkeypatch: pytest.MonkeyPatch) -> None:
    save_generator(tmp_path / "mine", JOHNSON, variables, {"steps": 7})
    monkeypatch.chdir(tmp_path / "mine")
    assert load_generator(".").record["steps"] == 7
    for spec, load in (("/", load_generator), ("/", load_backbone), (".", load_backbone)):
        with pytest.raises(
            nstjax.InputError, match="the folder / contains no|/ is not a check|is a checkpoint"
        ):
            load(spec)


def test_the_folder_of_a_training_run(tmp_path: Path, variables) -> None:
    save_generator(tmp_path / "run" / "model", JOHNSON, variables, {"steps": 7})
    assert load_generator(tmp_path / "run").record["steps"] == 7
    (tmp_path / "other").mkdir()
    with pytest.raises(
        nstjax.InputError, match=r"other contains no trained generator: name a generator's folder"
    ):
        load_generator(tmp_path / "other")


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"x")
    with pytest.raises(nstjax.InputError, match=r"a.npz is a file where a generator's folder is needed"):
        load_generator(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, r"a was written by a newer nstjax \(format 3\): upgrade nstjax"),
        ({"kind": "training"}, r"a is a checkpoint of something else, not of a generator"),
        (
            {"config": None},
            r"a is damaged \(its record.config is None, not an object\): train or copy it again",
        ),
        ({"config": {"kind": "johnson", "colour": 3}}, r"a is damaged \(.*\): train or copy it again"),
        ({"config": {"kind": "monet"}}, r"a is damaged \(.*names no generator.*\): train"),
        ({"config": {"kind": "johnson", "width": 0.5}}, r"a is damaged: train or copy it again"),
        ({"config": {"kind": "ulyanov"}}, r"a is damaged: train or copy it again"),
    ],
)
def test_records_that_do_not_fit(tmp_path: Path, variables, changes, message) -> None:
    save_generator(tmp_path / "a", JOHNSON, variables, {})
    change_record(tmp_path / "a", **changes)
    with pytest.raises(nstjax.InputError, match=message):
        load_generator(tmp_path / "a")


def test_damage(tmp_path: Path, variables) -> None:
    save_generator(tmp_path / "a", JOHNSON, variables, {})
    for path in (tmp_path / "a" / "tree").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(nstjax.InputError, match=r"cannot read the checkpoint .*a: it is damaged"):
        load_generator(tmp_path / "a")
    (tmp_path / "a" / "record" / "metadata").write_text("{")
    with pytest.raises(nstjax.InputError, match=r"is not a whole checkpoint of nstjax"):
        load_generator(tmp_path / "a")


def test_values_that_are_not_finite(tmp_path: Path, variables) -> None:
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), variables)
    save_generator(tmp_path / "g", JOHNSON, broken, {})
    with pytest.raises(nstjax.InputError, match="g holds values that are not finite"):
        load_generator(tmp_path / "g")


def test_a_tree_of_another_kind(tmp_path: Path) -> None:
    """The record is a generator's, the arrays are not."""
    record = {"kind": "generator", "format": 1, "config": {"kind": "johnson"}}
    checkpoints.save(tmp_path / "a", {"params": np.ones(3)}, record)
    with pytest.raises(nstjax.InputError, match=r"a is damaged: train or copy it again"):
        load_generator(tmp_path / "a")


def test_a_store_tells_nothing_of_the_machine(tmp_path: Path, variables) -> None:
    save_generator(tmp_path / "a", JOHNSON, variables, {})
    for path in (tmp_path / "a").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()


def test_lazily_in_the_package() -> None:
    assert nstjax.load_generator is load_generator
    assert {"load_generator", "stylize"} <= set(dir(nstjax)) & set(nstjax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        nstjax.stylise  # noqa: B018


def test_the_package_alone_does_not_import_flax() -> None:
    program = "import sys, nstjax; print(sorted({'flax', 'av', 'grain', 'orbax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
