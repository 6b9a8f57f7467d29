"""Optimisers of one array under one signature; nothing here knows of images or networks."""

from collections.abc import Callable

import jax

from nstjax.errors import InputError
from nstjax.optim.first_order import Adam, Sgd, carry_moments, minimise_first_order
from nstjax.optim.lbfgs import minimise_lbfgs
from nstjax.optim.scipy_lbfgsb import ScipyLbfgsb, minimise_scipy
from nstjax.optim.trial import Lbfgs, OptaxLbfgs
from nstjax.optim.types import Callback, NonFiniteLoss, ObjectiveFn, Result, Saved, Step

Config = Lbfgs | OptaxLbfgs | ScipyLbfgsb | Adam | Sgd

METHODS: dict[str, type[Config]] = {
    "lbfgs": Lbfgs,
    "scipy": ScipyLbfgsb,
    "adam": Adam,
    "sgd": Sgd,
    "optax-lbfgs": OptaxLbfgs,
}

__all__ = [
    "METHODS",
    "Adam",
    "Callback",
    "Config",
    "Lbfgs",
    "NonFiniteLoss",
    "ObjectiveFn",
    "OptaxLbfgs",
    "Result",
    "Saved",
    "ScipyLbfgsb",
    "Sgd",
    "Step",
    "carry",
    "minimise",
]


def minimise(
    fun: ObjectiveFn,
    x0: jax.Array,
    config: Config,
    callback: Callback | None = None,
    resume: Saved | None = None,
) -> Result:
    """Minimise a differentiable function of one array.

    Args:
        fun: ``fun(x) -> (value, terms)``: a scalar and a dict of the scalars it is made of.
        x0: the start; of any shape, of a floating type, which is that of the computation.
        config: a frozen record, whose class chooses the method.
        callback: called after every iteration with a :class:`Step`; a true answer stops.
        resume: go on from here instead of ``x0`` (which gives the shape and type alone); ends in the same
            bits as the unbroken run.

    Raises:
        InputError: a field of ``config`` makes no sense, or ``resume`` is of another method or shape.
        NonFiniteLoss: the loss is not finite; carries the last good iterate.
    """
    if config.iterations < 1:
        raise InputError(f"`iterations` is {config.iterations}: it must be 1 or more")
    if isinstance(config, Lbfgs | OptaxLbfgs):
        return minimise_lbfgs(fun, x0, config, callback, resume)
    if isinstance(config, ScipyLbfgsb):
        return minimise_scipy(fun, x0, config, callback, resume)
    return minimise_first_order(fun, x0, config, callback, resume)


def carry(
    config: Config, saved: Saved, x0: jax.Array, resample: Callable[[jax.Array], jax.Array]
) -> Saved | None:
    """The state to start from at another size, or ``None`` for methods whose state does not carry over.

    Adam's moments do. The curvature pairs of L-BFGS are of another space; SGD has no moments, and its
    decay starts anew at every scale.
    """
    return carry_moments(config, saved, x0, resample) if isinstance(config, Adam) else None
