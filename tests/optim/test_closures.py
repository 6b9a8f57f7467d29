"""Plain functions as objectives: traced once, compiled once, with the arrays they use as arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax import programs
from nstjax.optim import Adam, Lbfgs, OptaxLbfgs, ScipyLbfgsb, Sgd, lbfgs, minimise
from nstjax.optim.hoist import hoist
from nstjax.sealed import SealedFolder

MATRIX = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)


class Loss:
    """As a function that captures an array, and as a method."""

    def __init__(self) -> None:
        self.traces = 0
        self.matrix = jnp.asarray(MATRIX)

    def method(self, x):
        self.traces += 1
        value = ((self.matrix @ x - 1) ** 2).sum()
        return value, {"squares": value}

    def closure(self):
        return lambda x: self.method(x)


@pytest.mark.parametrize(
    "config", [Lbfgs(6), OptaxLbfgs(6), ScipyLbfgsb(2, rounds=3), Adam(6), Sgd(6, 1e-4)], ids=repr
)
@pytest.mark.parametrize("kind", ["closure", "method"])
def test_one_trace_for_any_number_of_calls(config, kind: str) -> None:
    loss = Loss()
    fun = loss.closure()
    results = [minimise(fun if kind == "closure" else loss.method, jnp.zeros(64), config) for _ in range(2)]
    assert results[0].iterations == 6
    assert loss.traces == 1
    np.testing.assert_array_equal(results[0].x, results[1].x)


def test_one_program_for_any_number_of_calls() -> None:
    fun = Loss().closure()
    minimise(fun, jnp.zeros(64), Lbfgs(3))
    compiled = lbfgs._trial._cache_size()
    minimise(fun, jnp.ones(64), Lbfgs(4))
    assert lbfgs._trial._cache_size() == compiled


def test_captured_arrays_are_arguments() -> None:
    fun, x = Loss().closure(), jnp.zeros(64)
    found = hoist(fun, x)
    np.testing.assert_array_equal(jax.tree.leaves(found)[0], MATRIX)
    program = jax.jit(lambda f, x: jax.value_and_grad(f, has_aux=True)(x)).lower(found, x).as_text()
    assert len(program) < MATRIX.size  # the matrix as a constant has 8 characters a value
    np.testing.assert_allclose(found(x)[0], 64.0)
    assert hoist(found, x) is found


def test_functions_that_look_alike_do_not_share_a_program_on_disk(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jaxpr is printed without the arrays inside its functions."""

    def towards(target):
        step = jax.jit(lambda x: x - np.asarray(target, np.float32))
        return lambda x: ((step(x) ** 2).sum(), {})

    one, other = (str(jax.tree.structure(hoist(towards([t]), jnp.zeros(1)))) for t in (1.0, 2.0))
    assert one != other
    monkeypatch.setitem(programs._kept, "folder", SealedFolder(tmp_path / "programs"))
    for target in ([1.0, 2.0], [3.0, 5.0]):
        monkeypatch.setattr(programs, "_loaded", {})  # as in another process
        found = minimise(towards(target), jnp.zeros(2), Lbfgs(20))
        np.testing.assert_allclose(found.x, target, atol=1e-3)


def test_a_closure_over_the_network_is_the_built_in_objective(small, pictures) -> None:
    content, style = (jnp.asarray(image[:, :24, :24]) for image in pictures)
    record = nstjax.losses.Objective(("relu2_1",), ("relu1_1",)).for_layers(small.layers)
    apply, traces = nstjax.features, []
    targets = nstjax.losses.make_targets(
        record, apply(small, content, record.layers), apply(small, style, record.layers)
    )
    built_in = nstjax.losses.objective(record, apply, small, targets)

    def closure(x):
        traces.append(1)
        return nstjax.losses.objective(record, nstjax.features, small, targets)(x)

    one, other = (minimise(fun, content, Lbfgs(4)) for fun in (built_in, closure))
    assert len(traces) == 1
    assert one.evaluations == other.evaluations
    np.testing.assert_allclose(one.x, other.x, atol=1e-5)
