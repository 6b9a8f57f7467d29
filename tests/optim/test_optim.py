"""The optimisers: convergence, an independent twin, resumption, stopping, failure, cost."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nstjax
from nstjax.optim import Adam, Lbfgs, NonFiniteLoss, OptaxLbfgs, ScipyLbfgsb, Sgd, minimise, minimize
from nstjax.optim.sgd import RATE_PER_VALUE
from nstjax.paintings import paint

SCALES = jnp.asarray(np.logspace(0, 2, 12))
TARGET = jnp.asarray(np.random.default_rng(0).normal(size=12))


def quadratic(x):
    terms = {
        "near": 0.5 * (SCALES[:6] * (x - TARGET)[:6] ** 2).sum(),
        "far": 0.5 * (SCALES[6:] * (x - TARGET)[6:] ** 2).sum(),
    }
    return terms["near"] + terms["far"], terms


def rosenbrock(x):
    value = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return value, {"rosenbrock": value}


ALL = {
    "lbfgs": Lbfgs(iterations=40, history_size=6),
    "optax-lbfgs": OptaxLbfgs(iterations=40, history_size=6),
    "scipy": ScipyLbfgsb(iterations=5, rounds=8),
    "adam": Adam(iterations=40, learning_rate=0.1),
    "adam-average": Adam(iterations=40, learning_rate=0.1, average=0.9),
    "sgd": Sgd(iterations=40, learning_rate=0.01, decay_rate=0.5, decay_steps=30),
}
every_method = pytest.mark.parametrize("config", ALL.values(), ids=ALL.keys())


@pytest.mark.parametrize("kind", [Lbfgs, OptaxLbfgs, ScipyLbfgsb])
@pytest.mark.parametrize(("fun", "solution"), [(quadratic, TARGET), (rosenbrock, jnp.ones(12))])
def test_quasi_newton_methods_find_the_minimum(kind, fun, solution, x64: None) -> None:
    x0 = jnp.zeros(12, jnp.float64)
    result = minimise(fun, x0, kind(iterations=400))
    np.testing.assert_allclose(result.x, solution, atol=1e-5)


@pytest.mark.parametrize("config", [Adam(iterations=3000, learning_rate=0.005), Sgd(3000, 0.015, 0.97)])
def test_first_order_methods_find_the_minimum(config, x64: None) -> None:
    result = minimise(quadratic, jnp.zeros(12, jnp.float64), config)
    np.testing.assert_allclose(result.x, TARGET, atol=2e-3)


def plain_lbfgs(fun, x: np.ndarray, history: int, initial_step: float, iterations: int) -> list[np.ndarray]:
    """Nocedal and Wright's algorithm 7.5 with backtracking by halves, written without any library."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    grad_of = jax.grad(lambda z: fun(z)[0])
    g, path = np.asarray(grad_of(jnp.asarray(x))), []
    gamma = initial_step / np.abs(g).max()
    for _ in range(iterations):
        q, alphas = g.copy(), []
        for s, y in reversed(pairs):
            alphas.append(s @ q / (s @ y))
            q -= alphas[-1] * y
        q *= gamma
        for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
            q += s * (alpha - y @ q / (s @ y))
        new = x - q
        assert float(fun(jnp.asarray(new))[0]) <= float(fun(jnp.asarray(x))[0]) - 1e-4 * (g @ q)
        new_g = np.asarray(grad_of(jnp.asarray(new)))
        s, y = new - x, new_g - g
        pairs, gamma = [*pairs, (s, y)][-history:], s @ y / (y @ y)
        x, g = new, new_g
        path.append(x)
    return path


def test_lbfgs_against_a_plain_twin_step_by_step(x64: None) -> None:
    def bowl(x):  # smooth and convex, so that the unit step is always taken
        value = (jnp.log(jnp.cosh(x - TARGET)) * SCALES).sum() / 10
        return value, {}

    steps: list[np.ndarray] = []
    x0 = jnp.zeros(12, jnp.float64)
    minimise(
        bowl,
        x0,
        Lbfgs(iterations=9, history_size=4, initial_step=0.05),
        lambda s: steps.append(np.asarray(s.x())),
    )
    for mine, twin in zip(steps, plain_lbfgs(bowl, np.zeros(12), 4, 0.05, 9), strict=True):
        np.testing.assert_allclose(mine, twin, rtol=1e-9, atol=1e-11)


def test_first_step_changes_no_element_by_more_than_asked(x64: None) -> None:
    steps = []
    minimise(
        quadratic,
        jnp.zeros(12),
        Lbfgs(iterations=1, initial_step=0.01),
        lambda s: steps.append(np.asarray(s.x())),
    )
    assert np.abs(steps[0]).max() == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("kind", [Lbfgs, OptaxLbfgs])
def test_loss_never_rises(kind) -> None:
    values: list[float] = []
    minimise(rosenbrock, jnp.zeros(12), kind(iterations=200), lambda s: values.append(s.value))
    assert all(b <= a + 1e-6 * abs(a) for a, b in itertools.pairwise(values))


def nst_objective(backbone, pictures):
    content, style = (jnp.asarray(image) for image in pictures)
    record = nstjax.losses.Objective(("relu2_1",), ("relu1_1", "relu2_1"))
    apply = nstjax.features
    targets = nstjax.losses.make_targets(
        record, apply(backbone, content, record.layers), apply(backbone, style, record.layers)
    )
    return nstjax.losses.objective(record, apply, backbone, targets), content


def test_default_costs_at_most_1_15_evaluations_an_iteration(small, pictures) -> None:
    fun, x0 = nst_objective(small, pictures)
    result = minimise(fun, x0, Lbfgs(iterations=100))
    assert result.iterations == 100
    assert result.evaluations / result.iterations <= 1.15


def test_default_has_no_loop_around_the_network(small, pictures) -> None:
    from nstjax.optim import lbfgs

    fun, x0 = nst_objective(small, pictures)
    config = Lbfgs(iterations=0, max_backtracks=0)
    state = config.init(x0).state
    jaxpr = jax.make_jaxpr(lambda f, s: lbfgs._trial.__wrapped__(f, s, 1.0, config))(fun, state)

    def primitives(j, inside_loop: bool):
        for equation in j.eqns:
            yield equation.primitive.name, inside_loop
            looping = inside_loop or equation.primitive.name in ("while", "scan")
            for value in equation.params.values():
                for inner in value if isinstance(value, tuple | list) else [value]:
                    if hasattr(inner, "jaxpr"):
                        yield from primitives(inner.jaxpr, looping)
                    elif hasattr(inner, "eqns"):
                        yield from primitives(inner, looping)

    found = list(primitives(jaxpr.jaxpr, False))
    # Convolutions and Gram matrices with transposes of their own are primitives; see nstjax.linear.
    network = {"conv_general_dilated", "nstjax_linear", "nstjax_bilinear"}
    assert {(name, False) for name in ("nstjax_linear", "nstjax_bilinear")} & set(found)
    assert not {(name, True) for name in network} & set(found)


def test_one_trace_for_all_iterations() -> None:
    traces = []

    def fun(x):
        traces.append(1)
        return quadratic(x)

    for config in ALL.values():
        traces.clear()
        minimise(jax.tree_util.Partial(fun), jnp.zeros(12), config)
        # One for the start and one for the iteration, at most, however many iterations.
        assert len(traces) <= 2, config


@every_method
def test_resuming_anywhere_ends_in_the_same_bits(config) -> None:
    x0, saved, values = jnp.zeros(12), [], []

    def keep(step) -> None:
        saved.append(step.saved())
        values.append(step.value)

    whole = minimise(rosenbrock, x0, config, keep)
    assert saved
    for i in range(0, len(saved), 7):
        seen = []
        again = minimise(rosenbrock, x0, config, lambda s, seen=seen: seen.append(s.value), saved[i])
        np.testing.assert_array_equal(np.asarray(again.x), np.asarray(whole.x))
        assert again.iterations == whole.iterations
        assert again.evaluations == whole.evaluations
        assert seen == values[saved[i].iteration :]


@every_method
def test_stops_on_request(config) -> None:
    result = minimise(rosenbrock, jnp.zeros(12), config, lambda s: s.iteration == 3)
    assert (result.status, result.iterations) == ("stopped", 3)


@every_method
def test_the_state_of_a_stopped_run_resumes_to_the_same_bits(config) -> None:
    whole = minimise(rosenbrock, jnp.zeros(12), config)
    stopped = minimise(rosenbrock, jnp.zeros(12), config, lambda s: s.iteration == 8)
    again = minimise(rosenbrock, jnp.zeros(12), config, resume=stopped.saved)
    np.testing.assert_array_equal(np.asarray(again.x), np.asarray(whole.x))
    assert (again.iterations, again.evaluations) == (whole.iterations, whole.evaluations)


@every_method
def test_callback_is_told_loss_terms_and_iterate(config) -> None:
    steps = []
    result = minimise(quadratic, jnp.zeros(12), config, steps.append)
    assert [s.iteration for s in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].evaluations <= result.evaluations
    for step in steps:
        assert sum(step.terms.values()) == pytest.approx(step.value, rel=1e-5)
    if "average" not in repr(config) or not getattr(config, "average", 0):
        np.testing.assert_array_equal(steps[-1].x(), result.x)


@pytest.mark.parametrize("config", [ALL["adam"], ALL["sgd"]], ids=["adam", "sgd"])
def test_loss_that_becomes_infinite_keeps_the_last_good_iterate(config) -> None:
    def cliff(x):
        bad = jnp.where(x.sum() > 1.0, jnp.inf, -x.sum())
        return bad, {"cliff": bad}

    told = []
    config = dataclasses.replace(config, learning_rate=0.05)
    with pytest.raises(
        NonFiniteLoss, match=r"not finite at iteration \d+ \(cliff\): try a smaller weight"
    ) as caught:
        minimise(cliff, jnp.zeros(12), config, lambda s: told.append(s.value))
    assert math.isfinite(float(cliff(caught.value.x)[0]))
    assert all(map(math.isfinite, told))


@every_method
def test_loss_that_starts_infinite_is_told(config) -> None:
    with pytest.raises(NonFiniteLoss):
        minimise(lambda x: (jnp.inf * (1 + x.sum()), {}), jnp.ones(3), config)


@pytest.mark.parametrize("kind", [Lbfgs, OptaxLbfgs, ScipyLbfgsb])
def test_line_search_backs_out_of_a_cliff(kind) -> None:
    def cliff(x):  # finite only for x < 1, where the minimum at 0.9 lies near the edge
        value = jnp.where(x < 1.0, (x - 0.9) ** 2, jnp.nan).sum()
        return value, {"cliff": value}

    extra = {"initial_step": 5.0} if kind is Lbfgs else {}
    result = minimise(cliff, jnp.full(4, -3.0), kind(iterations=60, **extra))
    np.testing.assert_allclose(result.x, 0.9, atol=1e-3)


def test_zero_gradient_is_convergence() -> None:
    result = minimise(quadratic, TARGET.astype(jnp.float32), Lbfgs(iterations=50))
    assert result.status in ("converged", "stalled")
    np.testing.assert_allclose(result.x, TARGET, atol=1e-5)
    assert minimise(lambda x: ((x * 0).sum(), {}), jnp.ones(3), Lbfgs()).status == "converged"


def test_negative_curvature_does_not_break_lbfgs(x64: None) -> None:
    def waves(x):  # non-convex: pairs with s'y < 0 occur from this start
        value = (jnp.sin(3 * x) + 0.1 * x**2).sum()
        return value, {}

    values: list[float] = []
    x0 = jnp.linspace(-2.0, 2.0, 9)
    result = minimise(waves, x0, Lbfgs(iterations=100, initial_step=0.9), lambda s: values.append(s.value))
    assert all(b <= a + 1e-13 * abs(a) for a, b in itertools.pairwise(values))
    assert float(jnp.abs(jax.grad(lambda x: waves(x)[0])(result.x)).max()) < 1e-5


@pytest.mark.parametrize(
    "config",
    [
        ScipyLbfgsb(iterations=60, bounds=(-0.2, 0.3)),
        Adam(300, 0.05, bounds=(-0.2, 0.3)),
        Sgd(900, 0.01, bounds=(-0.2, 0.3)),
    ],
)
def test_bounds_hold_and_the_constrained_minimum_is_found(config) -> None:
    result = minimise(quadratic, jnp.zeros(12), config)
    # The quadratic is separable, so its constrained minimum is the clipped one.
    np.testing.assert_allclose(result.x, np.clip(TARGET, -0.2, 0.3), atol=2e-3)
    assert float(result.x.min()) >= np.float32(-0.2)
    assert float(result.x.max()) <= np.float32(0.3)


def test_scipy_counts_as_asked() -> None:
    result = minimise(rosenbrock, jnp.zeros(12), ScipyLbfgsb(iterations=10**6, maxfun=5, rounds=4))
    # maxfun is checked between iterations, so that a line search may run over it.
    assert 20 <= result.evaluations <= 20 + 4 * 20
    assert minimise(rosenbrock, jnp.zeros(12), ScipyLbfgsb(iterations=7)).iterations == 7


def test_adam_is_optax_adam_and_its_average_is_unbiased(x64: None) -> None:
    config = Adam(iterations=25, learning_rate=0.1, b2=0.95, average=0.8)
    x = jnp.zeros(12, jnp.float64)
    transform = optax.adam(0.1, 0.9, 0.95)
    state, iterates = transform.init(x), []
    for _ in range(25):
        updates, state = transform.update(jax.grad(lambda z: quadratic(z)[0])(x), state)
        x = x + updates
        iterates.append(x)
    weights = 0.8 ** np.arange(24, -1, -1)
    expected = sum(w * i for w, i in zip(weights, iterates, strict=True)) / weights.sum()
    np.testing.assert_allclose(minimise(quadratic, jnp.zeros(12, jnp.float64), config).x, expected, rtol=1e-9)


def test_sgd_decays_as_its_formula(x64: None) -> None:
    config, x = Sgd(iterations=7, learning_rate=0.5, decay_rate=0.25, decay_steps=2), jnp.asarray([3.0])
    result = minimise(lambda z: (z.sum(), {}), x, config)
    assert float(result.x[0]) == pytest.approx(3 - sum(0.5 * 0.25 ** (i / 2) for i in range(7)), rel=1e-9)


def test_moments_are_carried_to_another_size() -> None:
    config = Adam(iterations=10)
    x0 = jnp.zeros((1, 4, 4, 3))
    end = minimise(lambda x: (((x - 0.5) ** 2).sum(), {}), x0, config).saved
    bigger = jnp.zeros((1, 8, 8, 3))

    def double(a):
        return a.repeat(2, 1).repeat(2, 2)

    carried = config.carry(end, bigger, double)
    assert carried is not None
    assert carried.iteration == 0
    shapes = [np.shape(leaf) for leaf in carried.leaves]
    assert shapes.count((1, 8, 8, 3)) == 5  # x, previous, two moments, average
    count = next(leaf for leaf in carried.leaves if np.issubdtype(np.asarray(leaf).dtype, np.integer))
    assert int(count) == 10
    assert min(float(np.min(leaf)) for leaf in carried.leaves[3:5]) >= -1
    again = minimise(lambda x: (((x - 0.5) ** 2).sum(), {}), bigger, config, resume=carried)
    assert again.iterations == 10
    assert Lbfgs().carry(minimise(quadratic, jnp.zeros(12), Lbfgs(2)).saved, x0, double) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lbfgs(history_size=0), "`history_size` is 0"),
        (lambda: OptaxLbfgs(history_size=10**6), "`history_size`"),
        (lambda: Lbfgs(initial_step=-1), "`initial_step`"),
        (lambda: Lbfgs(initial_step=math.nan), "`initial_step` is nan"),
        (lambda: Adam(learning_rate=0), "`learning_rate` is 0"),
        (lambda: Adam(learning_rate=math.inf), "`learning_rate`"),
        (lambda: Adam(average=1), "`average`"),
        (lambda: Adam(b2=-0.1), "`b2`"),
        (lambda: Adam(bounds=(1, 0)), "`bounds` is 1 0"),
        (lambda: Sgd(decay_rate=0), "`decay_rate`"),
        (lambda: Sgd(decay_steps=0), "`decay_steps`"),
        (lambda: ScipyLbfgsb(bounds=(1, 1)), "`bounds`"),
        (lambda: ScipyLbfgsb(rounds=0), "`rounds`"),
        (lambda: minimise(quadratic, jnp.zeros(12), Lbfgs(iterations=0)), "`iterations` is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        make()


def test_a_gradient_that_overflows_is_told() -> None:
    def steep(x):  # a finite value whose gradient is beyond float32
        value = (jnp.float32(3e38) * (x * 1e-3)).sum()
        return value, {"steep": value}

    with pytest.raises(NonFiniteLoss, match="their sum or its gradient"):
        minimise(lambda x: (steep(1e4 * x)[0] * 1e-6, {}), jnp.zeros(3), Lbfgs())


def test_a_last_step_into_nothing_is_told() -> None:
    config = Sgd(iterations=1, learning_rate=1e38)
    with pytest.raises(NonFiniteLoss) as caught:
        minimise(lambda x: (1e3 * (x**2).sum(), {}), jnp.ones(3), config)
    np.testing.assert_array_equal(caught.value.x, 1)


@every_method
def test_a_state_of_another_kind_is_refused(config) -> None:
    other = minimise(quadratic, jnp.zeros(12), Adam(1) if not isinstance(config, Adam) else Lbfgs(1)).saved
    with pytest.raises(nstjax.InputError, match="another optimizer or size"):
        minimise(quadratic, jnp.zeros(12), config, resume=other)


@pytest.mark.slow
@pytest.mark.parametrize("style_weight", [5.0, 20.0, 180.0])
@pytest.mark.parametrize("side", [32, 64])
def test_sgd_s_default_rate_lowers_a_transfer_s_loss(style_weight: float, side: int) -> None:
    """The default objective and network, at two sizes: each iteration's loss is below the one before."""
    backbone = nstjax.load_backbone("embedded")
    photo, painting = paint("glass", 96, 72), paint("swirls", 96, 72)
    config = nstjax.TransferConfig(
        objective=nstjax.losses.Objective(style_weight=style_weight),
        optimizer=Sgd(iterations=25),
        size=side,
        scales=(side,),
    )
    result = nstjax.transfer(photo, painting, backbone, config)
    losses = [entry.loss for entry in result.history]
    assert len(losses) == 25
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.9 * losses[0] or style_weight == 5.0


def test_sgd_s_rate_scales_with_the_number_of_values(x64: None) -> None:
    for size in (3, 300):
        found = minimise(lambda x: (x.sum(), {}), jnp.zeros(size), Sgd(iterations=1))
        np.testing.assert_allclose(found.x, -RATE_PER_VALUE * size, rtol=1e-6)  # the schedule is in float32


def test_minimize_has_an_earlier_name() -> None:
    assert minimise is minimize
