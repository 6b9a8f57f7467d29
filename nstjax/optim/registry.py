"""Optimizers by name."""

from nstjax.errors import InputError, one_of
from nstjax.optim.adam import Adam
from nstjax.optim.base import Optimizer
from nstjax.optim.lbfgs import Lbfgs
from nstjax.optim.optax_lbfgs import OptaxLbfgs
from nstjax.optim.scipy_lbfgsb import ScipyLbfgsb
from nstjax.optim.sgd import Sgd

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "lbfgs": Lbfgs,
    "scipy": ScipyLbfgsb,
    "adam": Adam,
    "sgd": Sgd,
    "optax-lbfgs": OptaxLbfgs,
}
"""The names that run records and the command line use."""


def register_optimizer(name: str, kind: type[Optimizer]) -> None:
    """Give an optimiser a name. :func:`minimise` needs none; run records and the command line do.

    Args:
        name: any but those of nstjax.
        kind: a frozen dataclass that extends :class:`Optimizer`, with a default for every field.

    Raises:
        InputError: the name is taken, or ``kind`` is something else.
    """
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        raise InputError(f"`optimizer` {name} is not a class that extends Optimizer: name one")
    if OPTIMIZERS.get(name, kind).__module__.startswith("nstjax."):
        raise InputError(f"`optimizer` {name} is the name of an optimiser of nstjax: choose another name")
    OPTIMIZERS[name] = kind


def optimizer_class(name: str) -> type[Optimizer]:
    """The class of a name.

    Raises:
        InputError: no optimiser has the name.
    """
    one_of("optimizer", name, tuple(OPTIMIZERS))
    return OPTIMIZERS[name]


def optimizer_name(kind: type[Optimizer]) -> str:
    """The name of a class.

    Raises:
        InputError: it has none.
    """
    for name, registered in OPTIMIZERS.items():
        if registered is kind:
            return name
    raise InputError(f"`optimizer` {kind.__name__} has no name: call nstjax.optim.register_optimizer first")
