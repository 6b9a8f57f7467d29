"""Tests of the distillation: fitted start, crops and transfers, training and its resumption, and scores."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import nstjax
from experiments.common import EQUAL_WEIGHTS, Arguments, Lab
from experiments.distill import train as training
from experiments.distill.data import CROP, Crops, Pictures, crop, disturb, read_pictures
from experiments.distill.fit import Fitter, Seen, choose
from experiments.distill.iterates import GROUPS, LIVES, Iterates, _loss
from experiments.distill.precondition import in_bases, input_bases
from experiments.distill.recipe import Recipe
from experiments.distill.score import Pair, picture_of, random_twin, score, teacher_terms
from experiments.distill.teacher import activations, find_directions, mixed, second_moments, targets
from experiments.distill.train import _gram_error, export
from nstjax.losses import gram_matrix
from nstjax.nn.student import init_student, make_student
from nstjax.optim import Lbfgs
from nstjax.typing import Preprocessing
from nstjax.weights.canonical import CAFFE_BGR, TORCHVISION
from tests.helpers.networks import random_backbone

LAYERS = ("relu1_1", "relu1_2", "relu2_1")
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, 24, 24, 3)).astype(np.float32)


def test_directions_are_orthonormal_and_keep_the_most() -> None:
    teacher = random_backbone(convs=3)
    moments = second_moments(teacher, [IMAGES], LAYERS)
    f = np.asarray(activations(teacher, IMAGES, LAYERS)["relu2_1"], np.float64).reshape(-1, 128)
    np.testing.assert_allclose(moments["relu2_1"], f.T @ f / len(f), rtol=1e-4, atol=1e-3)
    found = find_directions(moments, {"relu2_1": 5})
    basis = np.asarray(found.basis["relu2_1"], np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-5)
    # The reference uses the singular values of the activations instead of the moments.
    energies = np.linalg.svd(f, compute_uv=False) ** 2
    np.testing.assert_allclose(found.kept["relu2_1"], energies[:5].sum() / energies.sum(), rtol=1e-4)
    wanted = targets(teacher, IMAGES, find_directions(moments, {"relu2_1": 128}), ("relu2_1",))["relu2_1"]
    np.testing.assert_allclose(jnp.mean(jnp.sum(wanted**2, -1)), 1.0, rtol=1e-4)


def see_all(fitter: Fitter, batches: list) -> list[Seen]:
    """Compute the teacher's values of all batches at all convolutions.

    The first batch of a call of ``see`` has values at all convolutions, so there is one call for each batch.
    """
    return [seen for batch in batches for seen in fitter.see([batch])]


def test_deep_layers_see_more_batches_than_shallow_ones() -> None:
    teacher = random_backbone(convs=9)
    layers = ("relu1_1", "relu4_1")
    moments = second_moments(teacher, [IMAGES], layers)
    directions = find_directions(moments, {"relu1_1": 4, "relu4_1": 5})
    fitter = Fitter(teacher, moments, directions, {"conv1_1": 6, "conv4_1": 7})
    seen = fitter.see([(IMAGES, "max")] * 9)
    assert [sorted(each.before) for each in seen[:2]] == [["conv1_1", "conv4_1"], ["conv4_1"]]
    assert [sorted(each.found) for each in seen[7:]] == [["relu4_1"], ["relu1_1", "relu4_1"]]
    assert seen[1].before["conv4_1"].shape == (2, 3, 3, 7)
    assert fitter.fit(seen)["conv4_1"]["head"].shape == (7, 5)


@pytest.mark.parametrize("preprocessing", [CAFFE_BGR, TORCHVISION], ids=["caffe", "torchvision"])
def test_with_all_channels_kept_the_student_is_the_teacher(preprocessing: Preprocessing) -> None:
    teacher = dataclasses.replace(random_backbone(convs=3), preprocessing=preprocessing)
    moments = second_moments(teacher, [IMAGES], LAYERS)
    heads = {"relu1_1": 64, "relu2_1": 128}
    directions = find_directions(moments, heads)
    batches = [(RNG.uniform(size=(4, 24, 24, 3)).astype(np.float32), p) for p in ("max", "average", "max")]
    fitter = Fitter(teacher, moments, directions, {"conv1_1": 64, "conv1_2": 64, "conv2_1": 128})
    params = fitter.fit(see_all(fitter, batches))
    wanted = targets(teacher, IMAGES, directions, tuple(heads))
    found = nstjax.features(make_student(params), IMAGES, tuple(heads), padding="replicate")
    for layer in heads:
        error = jnp.mean(jnp.sum((found[layer] - wanted[layer]) ** 2, -1))
        assert error < 1e-3, layer  # relative to a mean square of 1; float16 and the ridge cause small errors
    # The exported network has the units of the teacher, so the norms of the Gram matrices are equal.
    shipped = export(params, directions, "a test")
    theirs = activations(teacher, IMAGES, ("relu2_1",))["relu2_1"]
    ours = nstjax.features(shipped, IMAGES, ("relu2_1",), padding="replicate")["relu2_1"]
    norms = [np.linalg.norm(gram_matrix(f, "positions"), axis=(1, 2)) for f in (ours, theirs)]
    np.testing.assert_allclose(*norms, rtol=2e-2)  # rounding to 8 bits
    small = Fitter(teacher, moments, directions, {"conv1_1": 16, "conv1_2": 16, "conv2_1": 16})
    fewer = small.fit(see_all(small, batches))
    lost = nstjax.features(make_student(fewer), IMAGES, ("relu2_1",), padding="replicate")["relu2_1"]
    assert 1e-3 < jnp.mean(jnp.sum((lost - wanted["relu2_1"]) ** 2, -1)) < 0.5


def test_channels_are_chosen_that_foretell_the_others() -> None:
    # The ten channels are mixtures of three sources, so any three independent channels determine the others.
    sources = RNG.normal(size=(500, 3))
    mixed = sources @ RNG.normal(size=(3, 10))
    moment = mixed.T @ mixed / 500
    kept = choose(moment, 3)
    assert len(set(kept)) == 3
    left = moment - moment[:, kept] @ np.linalg.solve(moment[np.ix_(kept, kept)], moment[kept])
    assert np.abs(left).max() < 1e-8 * np.abs(moment).max()
    # Channel 0 has the largest second moment, but channel 1 or 2 explains more of the total.
    assert choose(np.array([[3.0, 0, 0], [0, 2.0, 1.9], [0, 1.9, 2.0]]), 1) != [0]
    # Channels 0 and 1 are copies. After one of them is chosen, the unrelated channel 2 is the next.
    twin = np.array([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    assert set(choose(twin, 2)) in ({0, 2}, {1, 2})


def test_bases_whiten_the_inputs_of_every_layer() -> None:
    widths, heads = {"conv1_1": 4, "conv1_2": 5, "conv2_1": 6}, {"conv1_1": 4, "conv2_1": 3}
    params = init_student(jax.random.key(0), widths, heads, head_scale=1.0)
    images = RNG.uniform(size=(6, 32, 32, 3)).astype(np.float32)
    bases = input_bases(params, [(images, "average")])
    assert {conv: sorted(layer) for conv, layer in bases.items()} == {
        "conv1_1": ["affine", "head"],
        "conv1_2": ["affine"],
        "conv2_1": ["affine", "head"],
    }
    # Reference: the inputs of conv2_1 are the pooled activations of conv1_2, computed by nstjax.features.
    twin = {name: dict(layer) for name, layer in params.items() if name != "conv2_1"}
    twin["conv1_2"]["head"] = jnp.eye(5)
    after = nstjax.features(make_student(twin), images, ("relu1_2",), padding="replicate")["relu1_2"]
    x = np.asarray(after, np.float64).reshape(6, 16, 2, 16, 2, 5).mean((2, 4))
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [around[:, i : i + 16, j : j + 16] for i in range(3) for j in range(3)]
    rows = np.concatenate([*taps, np.ones((6, 16, 16, 1))], -1).reshape(-1, 46)
    basis = np.asarray(bases["conv2_1"]["affine"], np.float64)
    found = basis.T @ (rows.T @ rows / len(rows)) @ basis
    # The diagonal is 1. It is smaller only in directions whose second moment is not large against the ridge.
    off = found - np.diag(np.diag(found))
    assert np.abs(off).max() < 5e-3
    assert np.all((np.diag(found) < 1 + 5e-3) & (np.diag(found) > 0))
    assert np.diag(found).max() == pytest.approx(1, abs=2e-3)


def test_in_bases_a_step_of_gradient_descent_solves_least_squares() -> None:
    # The second moments of the inputs have a condition number of 10⁴. Plain gradient descent would need about
    # that many steps.
    rows = RNG.normal(size=(400, 28)) @ np.diag(10.0 ** np.linspace(0, -2, 28)) + 0.1
    rows[:, -1] = 1
    truth = RNG.normal(size=(28, 4))
    values, vectors = np.linalg.eigh(rows.T @ rows / 400)
    bases = {"conv1_1": {"affine": jnp.asarray(vectors / np.sqrt(values), jnp.float32)}}
    params = {"conv1_1": {"kernel": jnp.zeros((3, 3, 3, 4)), "bias": jnp.zeros(4)}}

    def loss(params: dict) -> jax.Array:
        kernel = jnp.concatenate(
            [params["conv1_1"]["kernel"].reshape(27, 4), params["conv1_1"]["bias"][None]]
        )
        return 0.5 * jnp.sum((jnp.asarray(rows, jnp.float32) @ (kernel - truth)) ** 2) / 400

    optimizer = in_bases(optax.sgd(1.0), bases)
    updates, _ = optimizer.update(jax.grad(loss)(params), optimizer.init(params))
    begun, ended = loss(params), loss(optax.apply_updates(params, updates))
    assert ended < 1e-6 * begun


def test_crops_are_of_the_right_form_and_repeatable() -> None:
    photographs = tuple(RNG.integers(0, 256, (140 + 60 * i, 150, 3), dtype=np.uint8) for i in range(3))
    crops = Crops(Pictures(photographs, photographs[:1]), seed=3)
    batch = crops.batch(7, 6)
    assert (batch.shape, batch.dtype) == ((6, CROP, CROP, 3), np.float32)
    assert batch.min() >= 0
    assert batch.max() <= 1
    np.testing.assert_array_equal(batch, Crops(Pictures(photographs, photographs[:1]), seed=3).batch(7, 6))
    assert np.abs(batch - crops.batch(8, 6)).max() > 0.1
    ahead = list(crops.ahead(5, 11, 2))
    assert len(ahead) == 6
    np.testing.assert_array_equal(ahead[2], crops.batch(7, 2))
    changed = sum(
        np.abs(disturb(np.random.default_rng(i), batch[0]) - batch[0]).max() > 0.01 for i in range(20)
    )
    assert 10 < changed < 20  # some crops stay as they are


def test_half_of_the_crops_are_mirrored_and_colors_keep_their_order() -> None:
    # Red grows to the right, green grows downward, blue is 200: a mirrored crop's red falls.
    picture = np.full((CROP, CROP, 3), 200, np.uint8)
    picture[..., 0] = np.arange(CROP)
    picture[..., 1] = np.arange(CROP)[:, None]
    crops = [crop(np.random.default_rng(i), picture) for i in range(40)]
    mirrored = sum(c[0, 0, 0] > c[0, -1, 0] for c in crops)
    assert 10 < mirrored < 30
    for c in crops:
        assert c[0, 0, 1] < c[-1, 0, 1]
        np.testing.assert_allclose(c[..., 2], 200 / 255, atol=1e-6)


def test_a_refit_sees_all_groups_of_transfers() -> None:
    assert math.gcd(training.OWN_EVERY, GROUPS) == 1


def test_iterates_please_the_student_more_and_more() -> None:
    photographs = tuple(RNG.integers(0, 256, (130, 130, 3), dtype=np.uint8) for _ in range(3))
    widths, heads = {"conv1_1": 4, "conv2_1": 6}, {"conv1_1": 4, "conv2_1": 6}
    params = init_student(jax.random.key(0), widths, heads, head_scale=1.0)
    iterates = Iterates(Crops(Pictures(photographs, ()), seed=0), 2)
    first = iterates.next(7, params)
    group = iterates.groups[7]
    assert group is not None
    assert LIVES[0] <= group.life <= LIVES[1]

    def loss(x: jax.Array) -> float:
        pairs = zip(x, group.contents, group.styles, strict=True)
        return sum(float(_loss(params, one, jnp.asarray(c), jnp.asarray(s))) for one, c, s in pairs)

    begun = loss(first)
    for step in range(15, 8 * 12, 8):
        last = iterates.next(step, params)
    assert loss(last) < 0.7 * begun
    iterates.groups[7] = dataclasses.replace(group, age=group.life)  # the next advance starts the group again
    iterates.next(8 * 12 + 7, params)
    renewed = iterates.groups[7]
    assert renewed is not None
    assert renewed.age == 1
    assert not np.array_equal(renewed.contents, group.contents)


def test_recipes_that_make_no_sense() -> None:
    rest = (8,) * 7
    shallow = Recipe(channels=(8, 0, 8, 0, 8, 0, *rest), heads=(4, 4, 4, 0, 0, 0))
    assert shallow.widths == {"conv1_1": 8, "conv2_1": 8, "conv3_1": 8}
    assert shallow.directions == {"relu1_1": 4, "relu2_1": 4, "relu3_1": 4}
    for wrong in (
        {"channels": (1, 2)},
        {"channels": (8, 8, 0, 8, 8, 8, *rest)},
        {"channels": (0, 8, 8, 8, 8, 8, *rest)},
        {"channels": (80, 8, 8, 8, 8, 8, *rest)},
        {"heads": (1, 2)},
        {"heads": (65, 1, 1, 1, 1, 1)},
        {"heads": (0, 0, 0, 0, 0, 0)},
        {"averaged": -1},
        {"learning_rate": -1.0},
        {"painted": 3.0},
        {"batch": 0},
        {"iterates": -1},
        {"repeats": -1},
        {"refits": -1},
        {"fit_batches": 0},
    ):
        with pytest.raises(nstjax.InputError):
            Recipe(**wrong)


def test_both_poolings_have_their_share_of_batches_and_moments() -> None:
    recipe = Recipe(averaged=4)
    assert recipe.poolings == {"max": 0.75, "average": 0.25}
    assert [recipe.pooling_of(batch) for batch in range(5)] == ["max", "max", "max", "average", "max"]
    assert Recipe(averaged=0).poolings == {"max": 1.0}
    assert Recipe(averaged=1).poolings == {"average": 1.0}
    teacher = random_backbone(convs=3)
    each = {p: second_moments(teacher, [IMAGES], LAYERS, p) for p in ("max", "average")}
    np.testing.assert_array_equal(each["max"]["relu1_2"], each["average"]["relu1_2"])  # before any pooling
    assert np.trace(each["max"]["relu2_1"]) > 1.01 * np.trace(each["average"]["relu2_1"])
    found = mixed(each, recipe.poolings)["relu2_1"]
    np.testing.assert_allclose(found, 0.75 * each["max"]["relu2_1"] + 0.25 * each["average"]["relu2_1"])


def test_error_of_gram_matrices() -> None:
    f = jax.random.normal(jax.random.key(0), (2, 8, 8, 5))
    assert _gram_error(f, f) == 0
    # Doubling the activations multiplies G by 4. The error is then 9 ‖G*‖² / (1.1 ‖G*‖²).
    twins = jnp.concatenate([f[:1], f[:1]])
    np.testing.assert_allclose(_gram_error(2 * twins, twins), 9 / 1.1, rtol=1e-5)
    # An image with activations near 0 contributes almost nothing, even if its relative error is large.
    dark = jnp.concatenate([f[:1], 1e-3 * f[1:]])
    assert _gram_error(dark.at[1].multiply(10), dark) < 1e-6


def test_small_pictures_are_left_out(tmp_path: Path) -> None:
    for name, side in (("small", CROP - 1), ("large", CROP + 9)):
        Image.fromarray(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    assert [p.shape[0] for p in read_pictures(tmp_path, []).photographs] == [CROP + 9]
    (tmp_path / "large.png").unlink()
    with pytest.raises(nstjax.InputError, match="no photograph of 128 pixels"):
        read_pictures(tmp_path, [])


@pytest.mark.optimized
@pytest.mark.slow
def test_training_lowers_the_errors_and_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = [
        np.asarray(Image.fromarray(RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((140, 140)))
        for _ in range(6)
    ]
    monkeypatch.setattr(training, "HELD_OUT", 2)
    monkeypatch.setattr(training, "MOMENT_BATCHES", 2)
    monkeypatch.setattr(training, "OWN_STEPS", 12)
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training, "CHECK_EVERY", 5)
    teacher = random_backbone(convs=6)
    shape = {"channels": (8, 8, 8, 0, *(8,) * 9), "heads": (4, 4, 4, 0, 0, 0)}
    recipe = Recipe(**shape, fit_batches=2, steps=20, batch=2, iterates=1, learning_rate=1e-3)
    pictures = Pictures(tuple(smooth), ())
    trained = training.train(recipe, teacher, pictures, tmp_path / "whole", "a test")
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [0, 5, 10, 15, 20]
    errors = [sum(e["features"] for e in line["held_out"].values()) for line in log]
    assert errors[-1] < 0.9 * errors[0]
    averaged = [sum(e["features"] for e in line["held_out_average"].values()) for line in log]
    assert averaged[-1] < 0.9 * averaged[0]
    assert trained.layers == recipe.layers

    real, count = training.make_step, [0]

    def stopping(*arguments: object) -> object:
        step = real(*arguments)  # type: ignore[arg-type]

        def once(*values: object) -> object:
            count[0] += 1
            if count[0] == 8:
                raise KeyboardInterrupt
            return step(*values)

        return once

    # A resumed training does not reproduce iterates and reused batches.
    plain = dataclasses.replace(recipe, iterates=0, repeats=0)
    whole = training.train(plain, teacher, pictures, tmp_path / "plain", "a test")
    monkeypatch.setattr(training, "make_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        training.train(plain, teacher, pictures, tmp_path / "broken", "a test")
    monkeypatch.setattr(training, "make_step", real)
    resumed = training.train(plain, teacher, pictures, tmp_path / "broken", "a test")
    assert resumed.sha256 == whole.sha256  # equal to the last bit
    with pytest.raises(nstjax.InputError, match="by another recipe or on other pictures"):
        training.train(plain, teacher, Pictures(tuple(smooth[::-1]), ()), tmp_path / "broken", "a test")
    with pytest.raises(nstjax.InputError, match="by another recipe or on other pictures"):
        training.train(recipe, teacher, pictures, tmp_path / "broken", "a test")
    with pytest.raises(nstjax.InputError, match="more than 2 are needed"):
        training.train(plain, teacher, Pictures(tuple(smooth[:2]), ()), tmp_path / "few", "a test")


def test_the_teacher_s_terms_are_the_transfer_s_own() -> None:
    teacher = random_backbone(convs=3)
    content, style = IMAGES[:1], IMAGES[1:]
    config = nstjax.TransferConfig(size=24, optimizer=nstjax.optim.Lbfgs(iterations=3))
    last: list[float] = []
    result = nstjax.transfer(content, style, teacher, config, lambda p: last.append(p.entry.loss))  # type: ignore[func-returns-value]
    found = teacher_terms(result.image, content, style, teacher, config)
    unclamped = float(np.abs(result.image - 0.5).max()) < 0.5
    assert found["total"] == pytest.approx(last[-1], rel=1e-4 if unclamped else 0.2)
    assert found["total"] == pytest.approx(sum(v for k, v in found.items() if k != "total"), rel=1e-5)


def test_a_random_twin_has_the_shape_and_no_more() -> None:
    network = make_student(init_student(jax.random.key(1), {"conv1_1": 4, "conv2_1": 6}, {"conv2_1": 5}))
    twin = random_twin(network)
    assert jax.tree.map(jnp.shape, twin.params) == jax.tree.map(jnp.shape, network.params)
    assert twin.describe() != network.describe()


def test_pictures_of_a_score_have_the_chosen_layer_weights(tmp_path: Path) -> None:
    convs = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")
    network = make_student(init_student(jax.random.key(1), dict.fromkeys(convs, 3), dict.fromkeys(convs, 2)))
    lab = Lab(Arguments("embedded", tmp_path, tmp_path), tmp_path)
    content, style = np.random.default_rng(2).uniform(size=(2, 1, 48, 48, 3)).astype(np.float32)
    config = nstjax.TransferConfig(size=48, scales=(48,), optimizer=Lbfgs(iterations=3))
    pair = Pair("pair", content, style, config, content, {})

    def expected(**weights: object) -> np.ndarray:
        record = nstjax.losses.Objective(**weights)
        return nstjax.transfer(content, style, network, dataclasses.replace(config, objective=record)).image

    layers = {"style_layers": tuple(f"relu{block}_1" for block in range(1, 6))}
    chosen = (0.0, 0.1, 0.2, 0.3, 0.4)
    by_default, by_choice = (
        picture_of(lab, dataclasses.replace(pair, layer_weights=weights), "net", network)
        for weights in ((), chosen)
    )
    np.testing.assert_array_equal(by_default, expected())
    np.testing.assert_array_equal(by_choice, expected(**layers, style_layer_weights=chosen))
    assert np.abs(by_default - by_choice).max() > 1e-3
    with pytest.raises(nstjax.InputError, match="`style_layer_weights` has 2 values for 5 layers"):
        picture_of(lab, dataclasses.replace(pair, layer_weights=(1.0, 2.0)), "net", network)


def test_a_score_has_the_terms_of_both_pictures_and_those_that_the_network_sees(tmp_path: Path) -> None:
    convs = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")
    teacher, other = (
        make_student(init_student(jax.random.key(i), dict.fromkeys(convs, 3), dict.fromkeys(convs, 2)))
        for i in (1, 2)
    )
    lab = Lab(Arguments("embedded", tmp_path, tmp_path), tmp_path)
    lab.backbone = teacher
    content, style = np.random.default_rng(2).uniform(size=(2, 1, 48, 48, 3)).astype(np.float32)
    config = nstjax.TransferConfig(
        size=48, scales=(48,), optimizer=Lbfgs(iterations=3), objective=EQUAL_WEIGHTS
    )
    image = nstjax.transfer(content, style, teacher, config).image
    pair = Pair("pair", content, style, config, image, teacher_terms(image, content, style, teacher, config))
    itself, found = (score(lab, [pair], label, net) for label, net in (("same", teacher), ("other", other)))
    assert (itself["mean"], itself["style_mean"]) == (1, 1)
    assert itself["terms"]["teacher"] == itself["terms"]["network"] == itself["terms"]["network, by itself"]
    terms = found["terms"]
    assert terms["network"]["total"] / terms["teacher"]["total"] == pytest.approx(found["mean"], abs=2e-3)
    picture = nstjax.transfer(content, style, other, config).image
    own = teacher_terms(picture, content, style, other, config)
    assert terms["network, by itself"] == {name: round(value, 4) for name, value in own.items()}
    assert terms["network, by itself"] != terms["network"]
