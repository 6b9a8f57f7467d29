"""Scales that end when the loss has settled."""

import dataclasses

import numpy as np
import pytest

import nstjax
from nstjax.losses import Objective
from nstjax.optim import Lbfgs
from nstjax.synthesis.solve import LEAST_ITERATIONS, WINDOW, has_settled
from nstjax.typing import Backbone

RNG = np.random.default_rng(0)
PHOTO, STYLE = (RNG.uniform(size=(1, 24, 32, 3)).astype(np.float32) for _ in range(2))
OBJECTIVE = Objective(content_layers=("relu2_1",), style_layers=("relu1_1",))
CONFIG = nstjax.TransferConfig(
    scales=(16, 32), objective=OBJECTIVE, optimizer=Lbfgs(iterations=120), loss_tolerance=0.05
)


def test_settled_losses() -> None:
    falling = [2.0 * 0.99**i for i in range(200)]
    decrease = 1 - 0.99**WINDOW
    assert not has_settled(falling, 0.0)
    assert not has_settled(falling, decrease - 1e-6)
    assert has_settled(falling, decrease + 1e-6)
    assert not has_settled(falling[: LEAST_ITERATIONS - 1], 0.99)
    assert has_settled(falling[:LEAST_ITERATIONS], 0.99)
    assert has_settled([1.0] * 40, 1e-9)


def test_a_settled_scale_ends_and_the_next_one_begins(small: Backbone) -> None:
    found = nstjax.transfer(PHOTO, STYLE, small, CONFIG)
    for scale in (0, 1):
        losses = [e.loss for e in found.history if e.scale == scale]
        assert LEAST_ITERATIONS <= len(losses) < 120
        assert has_settled(losses, 0.05)
        assert not has_settled(losses[:-1], 0.05)
    assert found.status == "converged"
    whole = nstjax.transfer(PHOTO, STYLE, small, dataclasses.replace(CONFIG, loss_tolerance=0.0))
    assert len(whole.history) == 240
    first = [e.loss for e in found.history if e.scale == 0]
    assert first == [e.loss for e in whole.history][: len(first)]


def test_a_run_with_a_tolerance_resumes_in_the_same_bits(small: Backbone) -> None:
    """Also from the state after the last iteration of a scale."""
    states = []
    whole = nstjax.transfer(PHOTO, STYLE, small, CONFIG, lambda p: states.append(p.state()))
    ends = [
        i
        for i, e in enumerate(whole.history)
        if i + 1 == len(whole.history) or whole.history[i + 1].scale > e.scale
    ]
    assert len(ends) == 2
    for index in (10, ends[0] - 1, ends[0], ends[0] + 1, ends[1]):
        resumed = nstjax.transfer(PHOTO, STYLE, small, CONFIG, resume=states[index])
        np.testing.assert_array_equal(resumed.image, whole.image)
        assert [e.loss for e in resumed.history] == [e.loss for e in whole.history]
        assert resumed.status == "converged"


def test_the_callback_still_stops_a_run_with_a_tolerance(small: Backbone) -> None:
    found = nstjax.transfer(PHOTO, STYLE, small, CONFIG, lambda p: len(p.state().history) == 5)
    assert (found.status, len(found.history)) == ("stopped", 5)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_tolerance_is_a_fraction(value: float) -> None:
    with pytest.raises(nstjax.InputError, match="`loss_tolerance`"):
        nstjax.TransferConfig(loss_tolerance=value)
