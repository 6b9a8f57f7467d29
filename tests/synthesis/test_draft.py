"""Drafts with another network, and scales that end when the loss has settled."""

import dataclasses

import numpy as np
import pytest

import nstjax
from nstjax.losses import Objective
from nstjax.optim import Lbfgs
from nstjax.synthesis.solve import LEAST_ITERATIONS, WINDOW, has_settled
from nstjax.typing import Backbone
from tests.helpers.networks import random_backbone

RNG = np.random.default_rng(0)
PHOTO, STYLE = (RNG.uniform(size=(1, 24, 32, 3)).astype(np.float32) for _ in range(2))
OBJECTIVE = Objective(content_layers=("relu2_1",), style_layers=("relu1_1",))
CONFIG = nstjax.TransferConfig(scales=(16, 32), objective=OBJECTIVE, optimizer=Lbfgs(iterations=6), draft=4)


@pytest.fixture(scope="module")
def other() -> Backbone:
    return random_backbone(convs=3, seed=1)


def test_the_last_scale_alone_uses_the_feature_network(small: Backbone, other: Backbone) -> None:
    assert CONFIG.stages() == (16, 32, 32)
    found = nstjax.transfer(PHOTO, STYLE, small, CONFIG, draft_backbone=other)
    assert [(e.scale, e.iteration) for e in found.history] == [
        *((0, i) for i in range(1, 5)),
        *((1, i) for i in range(1, 5)),
        *((2, i) for i in range(1, 7)),
    ]
    plain = dataclasses.replace(CONFIG, draft=0)
    draft = nstjax.transfer(PHOTO, STYLE, other, dataclasses.replace(plain, iterations=(4,)))
    assert [e.loss for e in found.history[:8]] == [e.loss for e in draft.history]
    refined = nstjax.transfer(
        PHOTO, STYLE, small, dataclasses.replace(plain, scales=(32,), init="image"), init_image=draft.image
    )
    # The draft is handed on without clipping.
    np.testing.assert_allclose(found.history[8].loss, refined.history[0].loss, rtol=0.05)
    np.testing.assert_allclose(found.history[-1].loss, refined.history[-1].loss, rtol=0.1)


def test_a_draft_resumes_in_the_same_bits(small: Backbone, other: Backbone) -> None:
    states = []
    whole = nstjax.transfer(
        PHOTO, STYLE, small, CONFIG, lambda p: states.append(p.state()), draft_backbone=other
    )
    for state in states[1::3]:
        resumed = nstjax.transfer(PHOTO, STYLE, small, CONFIG, resume=state, draft_backbone=other)
        np.testing.assert_array_equal(resumed.image, whole.image)
        assert [e.loss for e in resumed.history] == [e.loss for e in whole.history]


def test_a_draft_and_its_network_belong_together(small: Backbone, other: Backbone) -> None:
    with pytest.raises(nstjax.InputError, match="`draft` needs a network"):
        nstjax.transfer(PHOTO, STYLE, small, CONFIG)
    with pytest.raises(nstjax.InputError, match="`draft_backbone` is given, but `draft` is 0"):
        nstjax.transfer(PHOTO, STYLE, small, dataclasses.replace(CONFIG, draft=0), draft_backbone=other)
    with pytest.raises(nstjax.InputError, match="with `draft` only the last scale"):
        dataclasses.replace(CONFIG, iterations=(4, 5))
    with pytest.raises(nstjax.InputError, match="`draft`"):
        nstjax.TransferConfig(draft=-1)
    with pytest.raises(nstjax.InputError, match="`draft` is for a transfer"):
        nstjax.texture(STYLE, small, dataclasses.replace(CONFIG, init="noise"))


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
    config = dataclasses.replace(CONFIG, draft=0, optimizer=Lbfgs(iterations=120), tolerance=0.05)
    found = nstjax.transfer(PHOTO, STYLE, small, config)
    for scale in (0, 1):
        losses = [e.loss for e in found.history if e.scale == scale]
        assert LEAST_ITERATIONS <= len(losses) < 120
        assert has_settled(losses, 0.05)
        assert not has_settled(losses[:-1], 0.05)
    assert found.status == "converged"
    whole = nstjax.transfer(PHOTO, STYLE, small, dataclasses.replace(config, tolerance=0.0))
    assert len(whole.history) == 240
    first = [e.loss for e in found.history if e.scale == 0]
    assert first == [e.loss for e in whole.history][: len(first)]


def test_the_callback_still_stops_a_run_with_a_tolerance(small: Backbone) -> None:
    config = dataclasses.replace(CONFIG, draft=0, optimizer=Lbfgs(iterations=120), tolerance=0.05)
    found = nstjax.transfer(PHOTO, STYLE, small, config, lambda p: len(p.state().history) == 5)
    assert (found.status, len(found.history)) == ("stopped", 5)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_tolerance_is_a_fraction(value: float) -> None:
    with pytest.raises(nstjax.InputError, match="`tolerance`"):
        nstjax.TransferConfig(tolerance=value)
