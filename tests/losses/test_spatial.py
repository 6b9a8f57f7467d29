"""Spatial control: regions' statistics, masks on layers' grids, the poster's loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.losses import (
    Objective,
    RegionFeatures,
    StyleFeatures,
    carry_down,
    gram_matrix,
    guided_gram,
    guided_sum,
    make_targets,
    objective,
    style_loss,
)
from nstjax.losses.spatial import make_plan, planned_gram
from nstjax.nn.vgg import steps_to
from nstjax.synthesis.styles import layer_masks
from tests.helpers.losses import assert_gradient
from tests.helpers.networks import random_backbone

RNG = np.random.default_rng(4)
F = RNG.normal(size=(2, 6, 8, 5))
SOFT = RNG.uniform(size=(3, 6, 8))
DISJOINT = np.eye(4)[RNG.integers(0, 4, size=(6, 8))].transpose(2, 0, 1)
LAYERS = ("relu1_1", "relu1_2", "relu2_1")


def test_guided_gram_against_a_loop_over_positions(x64: None) -> None:
    for masks in (SOFT, DISJOINT):
        expected = np.zeros((2, len(masks), 5, 5))
        for k, mask in enumerate(masks):
            for y in range(6):
                for x in range(8):
                    expected[:, k] += mask[y, x] * F[:, y, x, :, None] * F[:, y, x, None, :]
            expected[:, k] /= mask.sum()
        np.testing.assert_allclose(guided_gram(jnp.asarray(F), jnp.asarray(masks)), expected, rtol=1e-12)
        plan = make_plan(jnp.asarray(masks))
        np.testing.assert_allclose(planned_gram(jnp.asarray(F), plan), expected, rtol=1e-12)


def test_guided_sum_is_the_mean_of_a_region(x64: None) -> None:
    found = guided_sum(jnp.asarray(F), jnp.asarray(DISJOINT))
    for k, mask in enumerate(DISJOINT):
        np.testing.assert_allclose(found[:, k], F[:, mask > 0].mean(1), rtol=1e-12)


def test_disjoint_regions_add_up_to_the_whole(x64: None) -> None:
    soft = SOFT / SOFT.sum(0)  # any masks that sum to 1 at every position
    for masks in (DISJOINT, soft):
        sizes = masks.sum((1, 2))
        parts = np.asarray(guided_gram(jnp.asarray(F), jnp.asarray(masks)))
        whole = (sizes[None, :, None, None] * parts).sum(1)
        np.testing.assert_allclose(whole, gram_matrix(jnp.asarray(F), "none"), rtol=1e-11)
        means = np.asarray(guided_sum(jnp.asarray(F), jnp.asarray(masks)))
        np.testing.assert_allclose((sizes[None, :, None] * means).sum(1), F.sum((1, 2)), rtol=1e-10)


def test_regions_are_blind_to_where_positions_lie(x64: None) -> None:
    order = np.random.default_rng(1).permutation(48)
    moved = F.reshape(2, 48, 5)[:, order].reshape(F.shape)
    masks = SOFT.reshape(3, 48)[:, order].reshape(SOFT.shape)
    for fun in (guided_gram, guided_sum, lambda f, m: planned_gram(f, make_plan(m))):
        np.testing.assert_allclose(
            fun(jnp.asarray(moved), jnp.asarray(masks)), fun(jnp.asarray(F), jnp.asarray(SOFT)), rtol=1e-11
        )


def test_what_is_outside_does_not_count(x64: None) -> None:
    changed = np.where(DISJOINT[0][None, :, :, None] > 0, F, 1e3)
    for fun in (guided_gram, guided_sum, lambda f, m: planned_gram(f, make_plan(m))):
        np.testing.assert_allclose(
            fun(jnp.asarray(changed), jnp.asarray(DISJOINT[:1])),
            fun(jnp.asarray(F), jnp.asarray(DISJOINT[:1])),
            rtol=1e-12,
        )


@pytest.mark.parametrize("masks", [SOFT, DISJOINT, np.ones((1, 6, 8))], ids=["soft", "disjoint", "full"])
def test_gradients(x64: None, masks: np.ndarray) -> None:
    weights = jnp.asarray(RNG.normal(size=(2, len(masks), 5, 5)))
    plan = make_plan(jnp.asarray(masks))
    assert_gradient(lambda f: (weights * guided_gram(f, jnp.asarray(masks))).sum(), F)
    assert_gradient(lambda f: (weights * planned_gram(f, plan)).sum(), F)
    assert_gradient(lambda f: (weights[..., 0] * guided_sum(f, jnp.asarray(masks))).sum(), F)


def test_shapes_that_do_not_fit() -> None:
    for fun in (guided_gram, guided_sum):
        with pytest.raises(nstjax.InputError, match="masks"):
            fun(jnp.asarray(F), jnp.ones((2, 6, 7)))


# Masks on layers' grids.


def receptive_field(steps: tuple[str, ...], size: int) -> list[set[int]]:
    """Which pixels of a line each position of a layer sees; found by following them."""
    seen = [{i} for i in range(size)]
    for step in steps:
        if step == "conv":
            seen = [set().union(*seen[max(0, i - 1) : i + 2]) for i in range(len(seen))]
        else:
            seen = [seen[2 * i] | seen[2 * i + 1] for i in range(len(seen) // 2)]
    return seen


@pytest.mark.parametrize("layer", ["relu1_1", "relu1_2", "relu2_1", "pool2", "relu3_2"])
@pytest.mark.parametrize("size", [16, 21])
def test_masks_follow_the_receptive_field(layer: str, size: int) -> None:
    steps = steps_to("vgg19", layer)
    fields = receptive_field(steps, size)
    line = np.random.default_rng(size).integers(0, 2, size).astype(float)
    mask = jnp.asarray(np.tile(line, (size, 1)))[None]
    for how, of in (("all", max), ("inside", min)):
        found = np.asarray(carry_down(mask, steps, how))[0]
        expected = [of(line[i] for i in field) for field in fields]
        np.testing.assert_array_equal(found, np.tile(expected, (len(fields), 1)))


def test_steps_are_those_of_the_table() -> None:
    assert steps_to("vgg19", "conv1_1") == ("conv",)
    assert steps_to("vgg19", "relu2_1") == ("conv", "conv", "pool", "conv")
    assert steps_to("vgg16", "pool3") == ("conv", "conv", "pool") * 2 + ("conv",) * 3 + ("pool",)


def test_averages_keep_the_share_and_all_contains_average_contains_inside() -> None:
    mask = jnp.asarray((RNG.uniform(size=(2, 32, 48)) > 0.1).astype(np.float32))
    steps = steps_to("vgg19", "relu3_1")
    everything, average, inside = (
        np.asarray(carry_down(mask, steps, how)) for how in ("all", "average", "inside")
    )
    np.testing.assert_allclose(average.mean((1, 2)), mask.mean((1, 2)), rtol=1e-5)
    assert (everything >= average - 1e-6).all()
    assert (average >= inside - 1e-6).all()
    for how in ("all", "average", "inside"):
        np.testing.assert_array_equal(carry_down(jnp.ones((1, 33, 47)), steps, how), np.ones((1, 8, 11)))
    with pytest.raises(nstjax.InputError, match="`how` is 'middle'"):
        carry_down(mask, steps, "middle")


def thin(size: int, width: float) -> np.ndarray:
    """A vertical band in the middle; its outermost columns are covered in part."""
    at = np.arange(size)
    cover = np.clip(np.minimum(at + 1, (size + width) / 2) - np.maximum(at, (size - width) / 2), 0, 1)
    return np.tile(cover, (size, 1))[None]


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"])
def test_inside_keeps_a_least_number_of_positions_by_one_rule(x64: None, layer: str) -> None:
    """At all sizes, layers and widths: the stated sum, between inside and average, no jump as a band narrows."""
    steps = steps_to("vgg19", layer)
    before = None
    for size in (48, 96):
        for width in np.arange(40, 0, -0.5):
            mask = jnp.asarray(thin(size, width))
            inside, average = (carry_down(mask, steps, how) for how in ("inside", "average"))
            found = carry_down(mask, steps, "inside", 16.0)
            expected = max(float(inside.sum()), min(16.0, float(average.sum())))
            assert float(found.sum()) == pytest.approx(expected, rel=1e-12)
            assert bool(((found >= inside) & (found <= average + 1e-12)).all())
            if width < 40:
                # Half a pixel less changes the sum of the average by half a pixel's share of each row of the grid.
                rows, cell = found.shape[1], 2 ** steps.count("pool")
                assert abs(float(found.sum()) - before) <= rows * max(1.0, 0.5 / cell) + 1e-9
            before = float(found.sum())


def test_inside_with_a_least_number_keeps_full_and_empty_masks_and_each_region_apart() -> None:
    steps = steps_to("vgg19", "relu4_1")
    masks = np.concatenate([np.ones((1, 48, 48)), np.zeros((1, 48, 48)), thin(48, 6), thin(48, 40)])
    found = np.asarray(carry_down(jnp.asarray(masks), steps, "inside", 16.0))
    np.testing.assert_array_equal(found[0], 1)
    np.testing.assert_array_equal(found[1], 0)
    for one, mask in zip(found, masks, strict=True):
        np.testing.assert_allclose(
            one, carry_down(jnp.asarray(mask[None]), steps, "inside", 16.0)[0], rtol=1e-6
        )
    for how in ("average", "all"):  # which have enough by themselves
        np.testing.assert_array_equal(
            carry_down(jnp.asarray(masks), steps, how, 16.0), carry_down(jnp.asarray(masks), steps, how)
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::nstjax.errors.InputWarning")
def test_the_rule_of_carried_masks_does_not_change_between_scales() -> None:
    """A band's share of positions across the border falls steadily from scale to scale, without a jump."""
    shares = []
    for size in range(64, 260, 16):
        mask = jnp.asarray(thin(size, size / 3), jnp.float32)[0]
        carried = layer_masks(mask, "vgg19", ("relu5_1",), "inside", "the mask")["relu5_1"]
        assert float(carried.sum()) >= 16 * (1 - 1e-5) or size < 112  # where the whole region has fewer
        steps = steps_to("vgg19", "relu5_1")
        inside, average = (carry_down(mask[None], steps, how)[0] for how in ("inside", "average"))
        border = float((average - inside).sum())
        shares.append(float((carried - inside).sum()) / border)
    assert shares[0] == 1
    assert shares[-1] < 0.2
    steps = -np.diff(shares)
    assert steps.min() > -1e-5
    assert steps.max() < 0.3


@pytest.mark.parametrize("layer", LAYERS)
def test_no_position_inside_sees_a_pixel_outside(small, layer: str) -> None:
    """By the network's own gradient, not by the table."""
    mask = np.zeros((24, 24), np.float32)
    mask[3:20, 5:22] = 1
    inside = carry_down(jnp.asarray(mask)[None], steps_to("vgg19", layer), "inside")[0]
    assert float(inside.sum()) > 0

    def total(image):
        return (jnp.square(nstjax.features(small, image, (layer,))[layer]) * inside[None, :, :, None]).sum()

    image = jnp.asarray(RNG.uniform(size=(1, 24, 24, 3)), jnp.float32)
    gradient = np.abs(np.asarray(jax.grad(total)(image))).sum((0, 3))
    assert gradient[mask == 0].max() == 0
    assert gradient[mask == 1].max() > 0


# The whole loss.


def _setting(dtype=np.float64, record: Objective | None = None):
    backbone = random_backbone(convs=3, dtype=dtype)
    record = record or Objective((), LAYERS, 0.0, 3.0, 0.0)
    x = jnp.asarray(RNG.uniform(size=(1, 12, 14, 3)).astype(dtype))
    a, b = (jnp.asarray(RNG.uniform(size=(1, h, w, 3)).astype(dtype)) for h, w in ((13, 12), (12, 16)))
    apply = nstjax.features
    features = [apply(backbone, image, LAYERS) for image in (x, a, b)]
    shapes = {name: f.shape[1:3] for name, f in features[0].items()}
    return backbone, record, x, features, shapes


def smooth(_, images, layers):
    """A network without kinks, of the layers' sizes: central differences know no ReLU."""
    rng = np.random.default_rng(5)
    x = jnp.tanh(images @ rng.normal(size=(3, 6)))
    y = jnp.tanh((x[:, 1:] + x[:, :-1] ** 2) @ rng.normal(size=(6, 5)))
    y = jnp.pad(y, ((0, 0), (0, 1), (0, 0), (0, 0)))
    n, h, w, c = y.shape
    z = y[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
    return dict(zip(LAYERS, (x, y, z), strict=True))


def _even(image, value: float) -> dict:
    return {n: jnp.full(f.shape[1:3], value) for n, f in smooth(None, image, LAYERS).items()}


def _carried(mask: np.ndarray, how: str = "average") -> dict:
    return {n: carry_down(jnp.asarray(mask)[None], steps_to("vgg19", n), how)[0] for n in LAYERS}


def _half(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width))
    mask[:, : width // 2] = 1
    return mask


@pytest.mark.parametrize("statistic", ["gram", "linear", "moments", "polynomial", "wasserstein", "gaussian"])
def test_a_mask_of_one_value_is_no_mask(x64: None, statistic: str) -> None:
    _, _, x, _, shapes = _setting()
    a = jnp.asarray(RNG.uniform(size=(1, 13, 12, 3)))
    record = Objective((), LAYERS[1:], 0.0, 3.0, 0.0, style_statistic=statistic, kernel_offset=0.5)
    plain = objective(record, smooth, None, make_targets(record, {}, smooth(None, a, LAYERS), shapes))
    region = RegionFeatures((StyleFeatures(smooth(None, a, LAYERS), _even(a, 0.7)),), _even(x, 0.4))
    masked = objective(record, smooth, None, make_targets(record, {}, [region], shapes))
    found, expected = (jax.jit(jax.value_and_grad(lambda i, f=f: f(i)[0]))(x) for f in (masked, plain))
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("statistic", ["gram", "moments"])
def test_one_full_mask_equals_the_unmasked_loss_to_the_last_bit(statistic: str) -> None:
    backbone, _, x, (_, _, _), shapes = _setting(np.float32)
    record = Objective((), LAYERS, 0.0, 3.0, 0.0, style_statistic=statistic)
    a = nstjax.features(backbone, x[:, ::-1, :, ::-1], LAYERS)
    plain = objective(record, nstjax.features, backbone, make_targets(record, {}, a, shapes))
    region = RegionFeatures((StyleFeatures(a, _carried(np.ones((12, 14)))),), _carried(np.ones((12, 14))))
    masked = objective(record, nstjax.features, backbone, make_targets(record, {}, [region], shapes))
    found, expected = (jax.jit(jax.value_and_grad(lambda i, f=f: f(i)[0]))(x) for f in (masked, plain))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_the_poster_s_loss_by_hand(x64: None) -> None:
    """Σ_l Σ_k (w_l/K) ‖G(F(a_k))/N_{a_k} − G(F(x_k))/N_{x_k}‖²."""
    backbone, _, x, (fx, a, b), shapes = _setting()
    record = Objective((), LAYERS, 0.0, 1.0, 0.0, style_layer_weights=(0.2, 0.3, 0.5), style_loss="sum")
    left, of_a = _half(12, 14), _half(13, 12)
    regions = [
        RegionFeatures((StyleFeatures(a, _carried(of_a)),), _carried(left)),
        RegionFeatures((StyleFeatures(b),), _carried(1 - left)),
    ]
    total, _ = jax.jit(
        objective(record, nstjax.features, backbone, make_targets(record, {}, regions, shapes))
    )(x)
    expected = 0.0
    for name, w in zip(LAYERS, record.style_layer_weights, strict=True):
        masks = np.stack([_carried(left)[name], _carried(1 - left)[name]])
        mine = guided_gram(fx[name], jnp.asarray(masks))
        theirs = [
            guided_gram(a[name], _carried(of_a)[name][None])[:, 0],
            gram_matrix(b[name], "positions"),
        ]
        for k in range(2):
            expected += w / 2 * float(style_loss(mine[:, k], theirs[k], "sum"))
    assert float(total) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {"style_statistic": "gram"},
        {"style_statistic": "gram", "blend": "statistics"},
        {"style_statistic": "gram", "guidance": "sums"},
        {"style_statistic": "gram", "style_distance": "absolute"},
        {"style_statistic": "linear", "blend": "statistics"},
        {"style_statistic": "moments"},
        {"style_statistic": "moments", "style_distance": "absolute", "guidance": "sums"},
        {"style_statistic": "polynomial", "kernel_offset": 0.4},
        {"style_statistic": "polynomial", "kernel_degree": 1},
        {"style_statistic": "polynomial", "kernel_degree": 3, "blend": "statistics"},
        {"style_statistic": "gaussian", "kernel_samples": 16},
        {"style_statistic": "gaussian", "kernel_samples": 0, "guidance": "sums"},
        {"style_statistic": "wasserstein"},
        {"style_statistic": "wasserstein", "blend": "statistics"},
    ],
    ids=lambda how: "-".join(map(str, how.values())),
)
def test_gradients_of_every_statistic_with_regions_and_blends(x64: None, how: dict) -> None:
    record = Objective((), ("relu1_2", "relu2_1"), 0.0, 3.0, 0.0, **how)
    _, _, x, _, shapes = _setting()
    a, b = (
        smooth(None, jnp.asarray(RNG.uniform(size=(1, h, w, 3))), LAYERS) for h, w in ((13, 12), (12, 16))
    )
    left = _half(12, 14)
    regions = [
        RegionFeatures(
            (StyleFeatures(a, None, 2.0), StyleFeatures(b, _carried(_half(12, 16)), 1.0)), _carried(left)
        ),
        RegionFeatures((StyleFeatures(b),), _carried(1 - left)),
    ]
    fun = objective(record, smooth, None, make_targets(record, {}, regions, shapes))
    assert_gradient(jax.jit(lambda image: fun(image)[0]), np.asarray(x))


def test_a_region_s_loss_pulls_its_own_pixels_only(x64: None) -> None:
    """Away from the border by more than the receptive field there is no force from the other region."""
    backbone, _, _, (_, a, _), _ = _setting()
    record = Objective((), ("relu1_1",), 0.0, 1.0, 0.0)
    x = jnp.asarray(RNG.uniform(size=(1, 12, 14, 3)))
    region = RegionFeatures((StyleFeatures(a),), {"relu1_1": jnp.asarray(_half(12, 14))})
    targets = make_targets(record, {}, [region], {"relu1_1": (12, 14)})
    gradient = np.abs(
        np.asarray(jax.grad(lambda i: objective(record, nstjax.features, backbone, targets)(i)[0])(x))
    )
    assert gradient[:, :, :8].max() > 0
    assert gradient[:, :, 8:].max() == 0


def test_blending_losses_and_blending_statistics(x64: None) -> None:
    backbone, record, x, (fx, a, b), shapes = _setting()
    record = dataclasses.replace(record, style_loss="sum")

    def total(blend: str, *sources: StyleFeatures) -> float:
        own = dataclasses.replace(record, blend=blend)
        targets = make_targets(own, {}, [RegionFeatures(sources)], shapes)
        return float(objective(own, nstjax.features, backbone, targets)(x)[0])

    one, other = total("losses", StyleFeatures(a)), total("losses", StyleFeatures(b))
    mixed = total("losses", StyleFeatures(a, None, 3.0), StyleFeatures(b, None, 1.0))
    assert mixed == pytest.approx(0.75 * one + 0.25 * other, rel=1e-12)
    expected = 0.0
    for name in LAYERS:
        grams = [gram_matrix(f[name], "positions") for f in (fx, a, b)]
        expected += float(style_loss(grams[0], 0.75 * grams[1] + 0.25 * grams[2], "sum")) * 3.0 / 3
    blended = total("statistics", StyleFeatures(a, None, 3.0), StyleFeatures(b, None, 1.0))
    assert blended == pytest.approx(expected, rel=1e-12)
    # Jensen: the loss against the mixture is never above the mixture of the losses.
    assert blended < mixed
    assert total("statistics", StyleFeatures(a)) == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("statistic", ["gram", "moments", "gaussian"])
def test_guided_sums_without_an_effective_mask_are_the_plain_loss(x64: None, statistic: str) -> None:
    backbone, record, x, (_, a, b), shapes = _setting()
    record = dataclasses.replace(record, style_statistic=statistic, kernel_samples=0)
    full = _carried(np.ones((12, 14)))
    for regions in (
        [RegionFeatures((StyleFeatures(a),)), RegionFeatures((StyleFeatures(b),))],
        [RegionFeatures((StyleFeatures(a),), full), RegionFeatures((StyleFeatures(b),), full)],
    ):
        gram, sums = (
            float(objective(own, nstjax.features, backbone, make_targets(own, {}, regions, shapes))(x)[0])
            for own in (record, dataclasses.replace(record, guidance="sums"))
        )
        assert sums == pytest.approx(gram, rel=1e-12)


@pytest.mark.parametrize("guidance", ["gram", "sums"])
def test_a_region_without_weight_is_not_painted(x64: None, guidance: str) -> None:
    backbone, _, x, (_, a, b), _ = _setting()
    record = Objective((), ("relu1_1",), 0.0, 1.0, 0.0, guidance=guidance)
    left = {"relu1_1": jnp.asarray(_half(12, 14))}
    right = {"relu1_1": 1 - left["relu1_1"]}
    regions = [RegionFeatures((StyleFeatures(a),), left), RegionFeatures((StyleFeatures(b),), right, 0.0)]
    targets = make_targets(record, {}, regions, {"relu1_1": (12, 14)})
    gradient = jax.grad(lambda i: objective(record, nstjax.features, backbone, targets)(i)[0])(x)
    assert np.abs(np.asarray(gradient))[:, :, 9:].max() == 0
    assert np.abs(np.asarray(gradient))[:, :, :7].max() > 0


def test_masks_of_any_type_are_carried_and_of_any_other_shape_refused() -> None:
    mask = RNG.integers(0, 2, size=(2, 16, 16))
    steps = steps_to("vgg19", "relu2_1")
    for how in ("average", "all", "inside"):
        expected = carry_down(jnp.asarray(mask, jnp.float32), steps, how)
        for kind in (np.uint8, np.int32, bool):
            np.testing.assert_array_equal(carry_down(jnp.asarray(mask.astype(kind)), steps, how), expected)
    with pytest.raises(nstjax.InputError, match="must be"):
        carry_down(jnp.ones((4, 4)), steps)


def test_empty_masks_and_missing_shapes_are_said(x64: None) -> None:
    _, record, _, (_, a, _), shapes = _setting()
    empty = _carried(np.zeros((12, 14)))
    for region in (
        RegionFeatures((StyleFeatures(a),), empty),
        RegionFeatures((StyleFeatures(a, _carried(np.zeros((13, 12)))),)),
    ):
        with pytest.raises(nstjax.InputError, match="empty at relu1_1"):
            make_targets(record, {}, [region], shapes)
    with pytest.raises(nstjax.InputError, match="shapes"):
        make_targets(record, {}, [RegionFeatures((StyleFeatures(a),), _carried(_half(12, 14)))])
    with pytest.raises(nstjax.InputError, match="shapes"):
        make_targets(dataclasses.replace(record, style_statistic="gaussian"), {}, a)
    with pytest.raises(nstjax.InputError, match="regions are all 0"):
        make_targets(record, {}, [RegionFeatures((StyleFeatures(a),), None, 0.0)], shapes)


def test_a_mask_of_another_size_and_styles_without_weight_are_refused(x64: None) -> None:
    _, record, _, (_, a, _), shapes = _setting()
    with pytest.raises(nstjax.InputError, match="mask"):
        make_targets(record, {}, [RegionFeatures((StyleFeatures(a),), _carried(np.eye(30)))], shapes)
    with pytest.raises(nstjax.InputError, match="weights"):
        make_targets(record, {}, [RegionFeatures((StyleFeatures(a, None, 0.0),))], shapes)


@pytest.mark.parametrize("blend", ["losses", "statistics"])
def test_undivided_gram_matrices_by_hand(x64: None, blend: str) -> None:
    """Σ_l w_l Σ_k (1/K) ‖F'mF − S'nS‖² of images and masks of different sizes; thesis, eq. 2.1 and 2.3."""
    _, _, x, _, shapes = _setting()
    fx, a, b = (
        smooth(None, image, LAYERS)
        for image in (x, *(jnp.asarray(RNG.uniform(size=(1, h, w, 3))) for h, w in ((13, 12), (12, 16))))
    )
    record = Objective(
        (), LAYERS, 0.0, 1.0, 0.0, style_layer_weights=(0.2, 0.3, 0.5), style_loss="raw_sum", blend=blend
    )

    def raw(features, mask=None):
        f = np.asarray(features)[0].reshape(-1, features.shape[-1])
        m = np.ones(len(f)) if mask is None else np.asarray(mask).ravel()
        return f.T @ (m[:, None] * f)

    def total(style) -> float:
        return float(objective(record, smooth, None, make_targets(record, {}, style, shapes))(x)[0])

    weights = dict(zip(LAYERS, record.style_layer_weights, strict=True))
    expected = sum(w * np.square(raw(fx[n]) - raw(a[n])).sum() for n, w in weights.items())
    assert total(a) == pytest.approx(expected, rel=1e-12)

    left, of_b = _carried(_half(12, 14)), _carried(_half(12, 16))
    regions = [
        RegionFeatures((StyleFeatures(a, None, 2.0), StyleFeatures(b, of_b, 1.0)), left),
        RegionFeatures((StyleFeatures(b),), {n: 1 - mask for n, mask in left.items()}),
    ]
    expected = 0.0
    for n, w in weights.items():
        mine, of_a, other = raw(fx[n], left[n]), raw(a[n]), raw(b[n], of_b[n])
        if blend == "losses":
            first = 2 / 3 * np.square(mine - of_a).sum() + 1 / 3 * np.square(mine - other).sum()
        else:
            first = np.square(mine - (2 * of_a + other) / 3).sum()
        second = np.square(raw(fx[n], 1 - np.asarray(left[n])) - raw(b[n])).sum()
        expected += w / 2 * (first + second)
    assert total(regions) == pytest.approx(expected, rel=1e-11)
    fun = objective(record, smooth, None, make_targets(record, {}, regions, shapes))
    assert_gradient(jax.jit(lambda image: fun(image)[0]), np.asarray(x))
