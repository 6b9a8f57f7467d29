"""Statistics beyond Gram matrices in one file each, nstjax's and a user's."""

import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax import programs
from nstjax.cli import synthesise
from nstjax.cli.main import main
from nstjax.losses import Objective
from nstjax.losses.statistics import (
    STATISTICS,
    Covariance,
    Gram,
    LongRange,
    Means,
    Sliced,
    Statistic,
    describe,
    import_statistic,
    register_statistic,
)
from nstjax.losses.statistics.averages import finish, merge, part_sums
from nstjax.sealed import SealedFolder
from tests.helpers.losses import assert_gradient, style_loss_of

RNG = np.random.default_rng(3)
X, S = RNG.normal(0.5, 1, size=(1, 12, 14, 4)), RNG.normal(0.2, 1.3, size=(1, 10, 9, 4))


def test_covariance_against_numpy(x64: None) -> None:
    found = style_loss_of(X, S, style_statistic="covariance", style_loss="sum")
    x, s = (a.reshape(-1, 4) for a in (X, S))
    expected = np.square(x.mean(0) - s.mean(0)).sum()
    expected += np.square(np.cov(x.T, bias=True) - np.cov(s.T, bias=True)).sum()
    assert found == pytest.approx(expected, rel=1e-11)
    mask = jnp.asarray(RNG.uniform(size=(1, 12, 14)))
    region = describe(Covariance(), jnp.asarray(X), mask)
    weights = np.asarray(mask).ravel()
    np.testing.assert_allclose(region["mean"][0, 0], np.average(x, 0, weights), rtol=1e-12)
    np.testing.assert_allclose(
        region["covariance"][0, 0], np.cov(x.T, bias=True, aweights=weights), rtol=1e-10, atol=1e-13
    )


def test_sliced_distance_with_all_positions_against_numpy(x64: None) -> None:
    statistic = Sliced(directions=5, repeats=0, quantiles=90)  # as many as the style has positions
    target = statistic.target(jnp.asarray(S), None)
    axes = np.asarray(target["axes"])
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(target["quantiles"], np.sort(axes @ S.reshape(-1, 4).T), rtol=1e-6, atol=1e-9)
    x = RNG.permutation(S.reshape(-1, 4)).reshape(1, 9, 10, 4) + np.array([0.3, 0, 0, -1.0])
    plan = statistic.plan((9, 10), None, "relu1_1")
    found = statistic.loss(jnp.asarray(x), None, plan, target, "sum")
    # A permutation changes nothing, a shift v has ⟨θ, v⟩² along each direction θ.
    expected = np.square(axes @ np.array([0.3, 0, 0, -1.0])).mean()
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_sliced_distance_looks_at_every_position(x64: None) -> None:
    statistic = Sliced(directions=8, repeats=2)
    plan = statistic.plan((12, 14), None, "relu1_1")
    assert plan.shape == (8, 42)
    counts = np.bincount(np.asarray(plan).ravel())
    assert (counts == 2).all()
    target = statistic.target(jnp.asarray(S), None)

    def loss(x: jax.Array) -> jax.Array:
        return statistic.loss(x, None, plan, target, "relative")

    assert (np.abs(np.asarray(jax.grad(loss)(jnp.asarray(X)))).sum(-1) > 0).all()
    assert_gradient(loss, X, rtol=1e-5)
    mask = np.zeros((12, 14))
    mask[:5] = 1
    inside = statistic.plan((12, 14), mask, "relu1_1")
    assert set(np.asarray(inside).ravel()) == set(np.flatnonzero(mask))
    outside = np.where(mask[None, ..., None] > 0, X, 1e6)
    values = [float(statistic.loss(jnp.asarray(x), None, inside, target, "sum")) for x in (X, outside)]
    assert values[0] == values[1]


def test_sliced_distance_of_a_large_layer_is_near_the_exact_one() -> None:
    x, s = (jnp.asarray(RNG.gamma(k, size=(1, 64, 64, 16)), jnp.float32) for k in (1.0, 1.5))
    values = []
    for statistic in (Sliced(), Sliced(repeats=0)):
        plan = statistic.plan((64, 64), None, "relu1_1")
        target = statistic.target(s, None)
        values.append(float(statistic.loss(x, None, plan, target, "relative")))
    assert values[0] == pytest.approx(values[1], rel=0.1)


def test_long_range_gram_matrices_see_the_arrangement(x64: None) -> None:
    statistic = LongRange(shift=3)
    found = describe(statistic, jnp.asarray(X), None)
    for name, axis in (("gram1", 1), ("gram2", 2)):
        total = np.zeros((4, 4))
        for i in range(12):
            for j in range(14):
                di, dj = (3, 0) if axis == 1 else (0, 3)
                pair = X[0, i, j] + X[0, (i + di) % 12, (j + dj) % 14]
                total += np.outer(pair, pair)
        np.testing.assert_allclose(found[name][0, 0], total / (12 * 14), rtol=1e-12)
    stripes = np.tile(np.array([1.0, 0.0])[:, None, None], (6, 14, 4))[None]
    shuffled = stripes[:, RNG.permutation(12)]
    assert style_loss_of(shuffled, stripes) == pytest.approx(0, abs=1e-12)
    assert style_loss_of(shuffled, stripes, style_statistic="long-range") > 0.01


OWN = '''
"""Gram matrices of the logarithms of activations."""
import dataclasses
import jax.numpy as jnp
from nstjax.losses.statistics import Means


@dataclasses.dataclass(frozen=True)
class Logarithms(Means):
    default_weights = {"squared": 5.0}

    def maps(self, features):
        return (jnp.log1p(jnp.maximum(features, 0)),)
'''


BROKEN = """
import dataclasses
from nstjax.losses.statistics import Means

@dataclasses.dataclass(frozen=True)
class NoDefault(Means):
    scale: float

@dataclasses.dataclass(frozen=True)
class NoTuple(Means):
    def maps(self, features):
        return features

@dataclasses.dataclass(frozen=True)
class Scalar(Means):
    def maps(self, features):
        return (features.mean(),)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nstjax.losses.statistics.STATISTICS", dict(STATISTICS))
    for name, image in zip(("photo", "painting"), pictures, strict=True):
        Image.fromarray((255 * image[0]).astype(np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "logs.py").write_text(OWN)
    return tmp_path


RUN = (
    "transfer",
    "photo.png",
    "painting.png",
    "-w",
    "embedded",
    "--style-layers",
    "relu1_1",
    "relu2_1",
    "-q",
)
MASKED = ("--masks", "box:0,0,0.6,1", "--iterations", "2", "--scales", "40", "64")  # more, and rounding grows


@contextlib.contextmanager
def stopped_after(iterations: int) -> Iterator[None]:
    """Ctrl-C after some iterations of a transfer."""
    before, seen = synthesise.transfer, []

    def transfer(*positional: Any, **named: Any) -> Any:
        *rest, callback = positional

        def counting(progress: Any) -> Any:
            seen.append(progress)
            if len(seen) == iterations:
                os.kill(os.getpid(), signal.SIGINT)
            return callback(progress)

        return before(*rest, counting, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesise, "transfer", transfer)
        yield


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.slow
def test_a_statistic_of_ones_own_with_masks_scales_tiles_and_resumption(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    own = ("--style-statistic", "logs.py:Logarithms")
    assert main([*RUN, *MASKED, *own, "-o", "whole.png"]) == 0
    assert main([*RUN, *MASKED, "-o", "gram.png"]) == 0
    assert not np.array_equal(pixels("whole.png"), pixels("gram.png"))
    assert main([*RUN, *MASKED, *own, "-o", "tiled.png", "--tile", "32"]) == 0
    difference = np.abs(pixels("tiled.png").astype(int) - pixels("whole.png"))
    assert difference.mean() < 1
    with stopped_after(3):
        assert main([*RUN, *MASKED, *own, "-o", "parts.png", "--save-state-every", "1"]) == 130
    assert main([*RUN, *MASKED, *own, "-o", "parts.png", "--save-state-every", "1", "--resume"]) == 0
    np.testing.assert_array_equal(pixels("parts.png"), pixels("whole.png"))
    record = json.loads(Path("whole.png.run.json").read_text())
    assert record["config"]["objective"]["style_statistic"] == "logs.py:Logarithms"
    assert record["config"]["objective"]["style_weight"] == 5.0  # the weight of the class
    capsys.readouterr()
    again = ["transfer", "--from", "whole.png.run.json", "-o", "again.png", "-q"]
    del nstjax.losses.statistics.STATISTICS["logs.py:Logarithms"]  # as in a new process
    assert main(again) == 2
    assert "logs.py:Logarithms is not loaded" in capsys.readouterr().err
    assert main([*again, *own]) == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("whole.png"))


def test_a_record_does_not_run_code(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*RUN, *MASKED, "-o", "gram.png"]) == 0
    path = Path("gram.png.run.json")
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n{OWN}")
    path.write_text(
        path.read_text().replace('"style_statistic": "gram"', '"style_statistic": "evil.py:Logarithms"')
    )
    capsys.readouterr()
    assert main(["transfer", "--from", str(path), "-o", "again.png", "-q"]) == 2
    assert "evil.py:Logarithms is not loaded" in capsys.readouterr().err
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("missing.py:Logarithms", "cannot be imported: there is no file missing.py"),
        ("logs.py:Wrong", "cannot be imported: logs.py has no class 'Wrong'"),
        ("broken.py:NoDefault", "give the field scale of NoDefault a default value"),
        ("broken.py:NoTuple", "the method maps of NoTuple must return a tuple of arrays (n, h, w, c)"),
        ("broken.py:Scalar", "the method maps of Scalar must return a tuple of arrays (n, h, w, c)"),
        ("json:loads", "is not a class"),
        ("./logs:Logarithms", "it must be module:Name or file.py:Name"),
        (":Logarithms", "it must be module:Name or file.py:Name"),
        ("nowhere.at.all:Logarithms", "cannot be imported"),
        ("logs", "is 'logs': it must be gram"),
    ],
)
def test_what_is_no_statistic_is_refused(
    folder: Path, spec: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    (folder / "broken.py").write_text(BROKEN)
    assert main([*RUN, "--style-statistic", spec, "-o", "out.png"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert not (folder / "out.png").exists()
    assert len(said.splitlines()) == 1


def test_names_of_nstjax_are_kept(folder: Path) -> None:
    import_statistic("logs.py:Logarithms")
    kind = type(Objective(style_statistic="logs.py:Logarithms").statistic)
    with pytest.raises(nstjax.InputError, match="nstjax's own"):
        register_statistic("gram", kind)


@partial(jax.jit, static_argnums=1)
def averages(features: jax.Array, statistic: Statistic) -> dict[str, jax.Array]:
    return describe(statistic, features, None)


def test_programs_of_ones_own_code_are_not_cached(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code may change without a change of its ``repr``: in a notebook, or in a file that it imports."""
    cache = SealedFolder(tmp_path / "programs")
    monkeypatch.setitem(programs._kept, "folder", cache)
    x = jnp.asarray(X, jnp.float32)
    for version in ("log1p", "sqrt"):
        code: dict[str, Any] = {"__name__": "__main__"}  # a cell of a notebook
        exec(OWN.replace("log1p", version), code)
        found = programs.run(averages, (x,), code["Logarithms"]())
        np.testing.assert_allclose(found["gram"], describe(code["Logarithms"](), x, None)["gram"], rtol=1e-5)
    assert not list(cache.path.iterdir())
    programs.run(averages, (x,), Gram())
    assert len(list(cache.path.iterdir())) == 1


@dataclasses.dataclass(frozen=True)
class Spread(Means):
    """Has no ``mean`` in ``averages``, and gets it because of ``about_mean``."""

    about_mean: ClassVar[bool] = True

    def describe(self, averages: dict[str, jax.Array]) -> dict[str, jax.Array]:
        rest = averages["mean"] - jax.lax.stop_gradient(averages["mean"])
        return {"covariance": averages["gram"] - rest[..., :, None] * rest[..., None, :]}


def test_a_statistic_about_the_mean_has_the_mean_in_parts_too(x64: None) -> None:
    parts = [part_sums(Spread(), jnp.asarray(x), jnp.ones((1, *x.shape[1:3]))) for x in (X[:, :5], X[:, 5:])]
    found = finish(Spread(), merge(*parts), jnp.full(1, 12.0 * 14))
    whole = describe(Spread(), jnp.asarray(X), None)
    np.testing.assert_allclose(found["covariance"], whole["covariance"], rtol=1e-11)
