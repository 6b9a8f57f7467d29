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
    """Give an optimizer a name for run records and the command line. :func:`minimize` needs no name.

    A name that was registered before gets the new class.

    Args:
        name: any name that is not one of nstjax's own.
        kind: a frozen dataclass that extends :class:`Optimizer`, with a default for every field.

    Raises:
        InputError: If ``kind`` does not extend :class:`Optimizer`, or the name is nstjax's own; or a new name is
            given to a class of nstjax.
    """
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        raise InputError(f"`optimizer` {name} is not a class that extends Optimizer: name one")
    if OPTIMIZERS.get(name, kind).__module__.startswith("nstjax."):
        raise InputError(f"`optimizer` {name} is the name of an optimizer of nstjax: choose another name")
    OPTIMIZERS[name] = kind


def optimizer_class(name: str) -> type[Optimizer]:
    """Return the optimizer class with a name.

    Raises:
        InputError: If no optimizer has the name.
    """
    one_of("optimizer", name, tuple(OPTIMIZERS))
    return OPTIMIZERS[name]


def optimizer_name(kind: type[Optimizer]) -> str:
    """Return the name of an optimizer class.

    Raises:
        InputError: If the class has no name.
    """
    for name, registered in OPTIMIZERS.items():
        if registered is kind:
            return name
    raise InputError(f"`optimizer` {kind.__name__} has no name: call nstjax.optim.register_optimizer first")
