"""Optimizers of one array with a common interface, independent of images and networks.

Each optimizer is one class in one file: a frozen dataclass that extends :class:`Optimizer`.
"""

from nstjax.optim.adam import Adam
from nstjax.optim.base import Iterate, Optimizer
from nstjax.optim.lbfgs import Lbfgs
from nstjax.optim.loop import Run, minimise, minimize
from nstjax.optim.optax_lbfgs import OptaxLbfgs
from nstjax.optim.registry import OPTIMIZERS, optimizer_class, optimizer_name, register_optimizer
from nstjax.optim.scipy_lbfgsb import ScipyLbfgsb
from nstjax.optim.sgd import Sgd
from nstjax.optim.types import NonFiniteLoss, ObjectiveFn, Result, Saved, Step, StepCallback

__all__ = [
    "OPTIMIZERS",
    "Adam",
    "Iterate",
    "Lbfgs",
    "NonFiniteLoss",
    "ObjectiveFn",
    "OptaxLbfgs",
    "Optimizer",
    "Result",
    "Run",
    "Saved",
    "ScipyLbfgsb",
    "Sgd",
    "Step",
    "StepCallback",
    "minimise",
    "minimize",
    "optimizer_class",
    "optimizer_name",
    "register_optimizer",
]
