"""An optimiser that is not nstjax's own: one class, in this file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax import optim


@dataclasses.dataclass(frozen=True)
class HeavyBall(optim.Optimizer):
    """Gradient descent with momentum (Polyak 1964)."""

    iterations: int = 5
    rate: float = 1e-3
    momentum: float = 0.5

    def init(self, x0):
        return x0, jnp.zeros_like(x0)

    def step(self, run, state):
        x, velocity = state
        value, terms, gradient = run.value_and_grad(x)
        velocity = self.momentum * velocity - self.rate * gradient
        return optim.Iterate((x + velocity, velocity), value, terms)

    def x(self, state):
        return state[0]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim.registry, "OPTIMIZERS", dict(optim.OPTIMIZERS))
    monkeypatch.setattr(optim, "OPTIMIZERS", optim.registry.OPTIMIZERS)
    optim.register_optimizer("heavy-ball", HeavyBall)


def test_its_formula(x64: None) -> None:
    told = []
    config = HeavyBall(3, rate=0.25)
    start = jnp.full(2, 8.0)
    result = optim.minimise(lambda x: ((x**2).sum() / 2, {}), start, config, told.append)
    # x: 8 → 6 → 3.5 → 1.375; each velocity is half the last one less a quarter of x.
    np.testing.assert_allclose(result.x, 1.375)
    assert [step.value for step in told] == [64, 36, 12.25]
    assert (result.iterations, result.evaluations, result.status) == (3, 3, "done")


def test_transfer_at_two_scales_resumes_to_the_same_bits(small, pictures) -> None:
    config = nstjax.TransferConfig(scales=(16, 24), optimizer=HeavyBall())
    states = []
    whole = nstjax.transfer(*pictures, small, config, lambda progress: states.append(progress.state()))
    assert len(whole.history) == len(states) == 10
    losses = [entry.loss for entry in whole.history[5:]]
    assert losses[-1] < losses[0]
    for state in (states[2], states[6]):
        again = nstjax.transfer(*pictures, small, config, resume=state)
        np.testing.assert_array_equal(again.image, whole.image)
        assert [entry.loss for entry in again.history] == [entry.loss for entry in whole.history]


def test_the_loop_checks_its_loss() -> None:
    def cliff(x):
        value = jnp.where(x.sum() > 1.0, jnp.inf, -x.sum())
        return value, {"cliff": value}

    with pytest.raises(optim.NonFiniteLoss, match="cliff") as caught:
        optim.minimise(cliff, jnp.zeros(4), HeavyBall(50, rate=0.1))
    assert 0 < float(caught.value.x.sum()) <= 1  # the last iterate whose loss was finite
    with pytest.raises(optim.NonFiniteLoss) as caught:  # the loss after the last step is never evaluated
        optim.minimise(lambda x: (1e3 * (x**2).sum(), {}), jnp.ones(3), HeavyBall(1, rate=1e38))
    np.testing.assert_array_equal(caught.value.x, 1)


def test_its_name(registered: None) -> None:
    config = nstjax.TransferConfig(optimizer=HeavyBall(7, momentum=0.25))
    record = config.to_json()
    assert record["optimizer"] == {"method": "heavy-ball", "iterations": 7, "rate": 1e-3, "momentum": 0.25}
    assert nstjax.TransferConfig.from_json(record) == config
    assert optim.optimizer_class("heavy-ball") is HeavyBall
    optim.register_optimizer("heavy-ball", HeavyBall)  # as a notebook does that runs a cell again


def test_names_that_are_refused() -> None:
    with pytest.raises(nstjax.InputError, match="lbfgs is the name of an optimizer of nstjax"):
        optim.register_optimizer("lbfgs", HeavyBall)
    with pytest.raises(nstjax.InputError, match="not a class that extends Optimizer"):
        optim.register_optimizer("other", dict)  # type: ignore[arg-type]
    with pytest.raises(nstjax.InputError, match="`optimizer` is 'newton': it must be one of lbfgs"):
        optim.optimizer_class("newton")
    with pytest.raises(nstjax.InputError, match="HeavyBall has no name: call nstjax.optim.register_opt"):
        nstjax.TransferConfig(optimizer=HeavyBall()).to_json()


def test_its_programs_are_not_cached_between_processes(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache identifies programs by the code of nstjax: another version of this file would find the old one."""
    from nstjax import programs
    from nstjax.sealed import SealedFolder

    @jax.jit
    def shrink(fun, x, config):
        return x / 2, *fun(x)

    @dataclasses.dataclass(frozen=True)
    class Shrink(HeavyBall):
        def step(self, run, state):
            x, value, terms = run.evaluate(shrink, state[0], config=None)
            return optim.Iterate((x, state[1]), value, terms)

    folder = SealedFolder(tmp_path / "programs")
    monkeypatch.setitem(programs._kept, "folder", folder)
    monkeypatch.setattr(programs, "_loaded", {})
    monkeypatch.setattr(programs, "_LIBRARIES", programs._LIBRARIES | {"tests"})  # an objective as of nstjax
    objective = jax.tree_util.Partial(Times(), jnp.float32(3))
    result = optim.minimise(objective, jnp.float32(8), Shrink(2))
    assert (float(result.x), result.value, result.evaluations) == (2, 12, 2)
    assert list(folder.path.iterdir()) == []
    optim.minimise(objective, jnp.float32(8), optim.Sgd(2))
    assert len(list(folder.path.iterdir())) == 1


@dataclasses.dataclass(frozen=True)
class Times:
    """A function whose ``repr`` is the same in every process."""

    def __call__(self, factor, x):
        return factor * x, {}
