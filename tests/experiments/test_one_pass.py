"""The training of the decoder for any style, at a tiny size, and the pairs of the comparison."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

import nstjax
from experiments.distill.data import Pictures
from experiments.one_pass import train as training
from experiments.one_pass.compare import PAINTINGS, PHOTOGRAPHS, pairs_of
from experiments.one_pass.data import Pairs
from experiments.one_pass.train import Recipe, train
from nstjax.arbitrary.apply import Decoder, stylize_arbitrary
from nstjax.arbitrary.decoder import DecoderConfig, init_decoder

RNG = np.random.default_rng(0)
RECIPE = Recipe(
    DecoderConfig(channels=(4, 4, 6, 8, 8), code=6, norm=False, blocks=(0, 0, 0, 1, 1)),
    steps=8,
    early_steps=3,
    early_side=32,
    batch=2,
    side=48,
    learning_rate=3e-3,
)


def pairs() -> Pairs:
    pictures = tuple(RNG.integers(0, 256, (48, 56, 3), dtype=np.uint8) for _ in range(4))
    return Pairs(Pictures(pictures[:2], pictures[2:]), seed=0)


def test_batches_depend_on_seed_and_number_only() -> None:
    source = pairs()
    one, again, other = source.batch(3, 2, 32), source.batch(3, 2, 32), source.batch(4, 2, 40)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one[0], source.batch(4, 2, 32)[0])
    for side, images in ((32, one[0]), (32, one[1]), (40, other[0]), (40, other[1])):
        assert images.shape == (2, side, side, 3)
        assert 0 <= images.min() < images.max() <= 1
    ahead = list(source.ahead(3, 5, 2, lambda number: 32 if number < 4 else 40))
    for made, expected in zip(ahead, [one, other], strict=True):
        np.testing.assert_array_equal(made, expected)


def loss_of(decoder: Decoder, network: nstjax.Backbone) -> float:
    """Return the mean loss of four pairs of a batch that the training does not use."""
    contents, styles = pairs().batch(100, 4, 48)
    pictures = [
        stylize_arbitrary(decoder, network, photo[None], style[None])
        for photo, style in zip(contents, styles, strict=True)
    ]
    objective = training.objective_of(network)
    photos, paintings = (training.EXTRACT(network, x, objective.layers) for x in (contents, styles))
    losses, _ = training.batch_losses(network, objective, np.concatenate(pictures), photos, paintings)
    return float(losses.mean())


@pytest.mark.slow
def test_training_lowers_the_loss_and_is_resumed_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    network, source = nstjax.load_backbone("embedded"), pairs()
    whole = train(RECIPE, network, source, tmp_path / "whole")
    assert len((tmp_path / "whole" / "log.jsonl").read_text().splitlines()) == 8
    initial = dataclasses.replace(whole, params=init_decoder(whole.config, jax.random.key(RECIPE.seed)))
    assert loss_of(whole, network) < 0.9 * loss_of(initial, network)
    made = training.make_step

    def stopping(*arguments: object) -> object:
        step = made(*arguments)  # type: ignore[arg-type]

        def once(*values: object) -> object:
            if values[-1] == 4:
                raise KeyboardInterrupt
            return step(*values)

        return once

    monkeypatch.setattr(training, "make_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, network, source, tmp_path / "parts")
    monkeypatch.setattr(training, "make_step", made)
    resumed = train(RECIPE, network, source, tmp_path / "parts")
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.record["weights"]["sha256"] == network.sha256
    assert (
        stylize_arbitrary(
            resumed, network, np.full((1, 40, 40, 3), 0.5, np.float32), RNG.random((1, 40, 40, 3))
        ).std()
        > 0
    )
    with pytest.raises(nstjax.InputError, match="of another recipe, network or set of pictures"):
        train(dataclasses.replace(RECIPE, seed=1), network, source, tmp_path / "parts")


def test_each_photograph_comes_once_before_one_comes_again() -> None:
    assert len(set(pairs_of(40))) == 40
    assert [photo for photo, _ in pairs_of(8)] == list(PHOTOGRAPHS)
    assert {painting for _, painting in pairs_of(12)} == set(PAINTINGS)
