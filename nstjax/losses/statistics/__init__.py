"""Style statistics: one class in each file, found by name."""

import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from nstjax.errors import InputError
from nstjax.losses.statistics.averages import describe, make_target
from nstjax.losses.statistics.base import Description, Means, Points, Statistic
from nstjax.losses.statistics.covariance import Covariance
from nstjax.losses.statistics.gaussian import Gaussian
from nstjax.losses.statistics.gram import Gram
from nstjax.losses.statistics.kernel_points import KernelPoints
from nstjax.losses.statistics.linear import Linear
from nstjax.losses.statistics.long_range import LongRange
from nstjax.losses.statistics.moments import Moments
from nstjax.losses.statistics.polynomial import Polynomial
from nstjax.losses.statistics.sliced import Sliced
from nstjax.losses.statistics.wasserstein import Wasserstein

STATISTICS: dict[str, type[Statistic]] = {
    "gram": Gram,
    "linear": Linear,
    "moments": Moments,
    "polynomial": Polynomial,
    "gaussian": Gaussian,
    "wasserstein": Wasserstein,
    "covariance": Covariance,
    "sliced": Sliced,
    "long-range": LongRange,
}
ENTRY_POINTS = "nstjax.style_statistics"
"""Group of entry points through which an installed package offers its own statistics."""


def register_statistic(name: str, kind: type[Statistic]) -> None:
    """Make a statistic available as ``Objective(style_statistic=name)``.

    A name that was registered before gets the new class.

    Args:
        name: any name that is not one of nstjax's own.
        kind: a frozen dataclass that extends :class:`Means` or :class:`Points`.

    Raises:
        InputError: If ``kind`` does not extend either class, a field has no default value, or the name or the
            class is nstjax's own.
    """
    if not (isinstance(kind, type) and issubclass(kind, Means | Points)):
        raise InputError(f"`style_statistic` {name} is not a class that extends Means or Points: name one")
    without = [
        field.name
        for field in (dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ())
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if without and "from_record" not in vars(kind):
        raise InputError(
            f"`style_statistic` {name}: give the field {without[0]} of {kind.__name__} a default value"
        )
    taken = STATISTICS.get(name, kind)
    if taken.__module__.startswith(f"{__name__}."):
        raise InputError(f"`style_statistic` {name} is nstjax's own: choose another name")
    STATISTICS[name] = kind


def _module(place: str) -> ModuleType:
    """Import a module by its name, or from a file whose name ends in ``.py``."""
    if not place.endswith(".py"):
        return importlib.import_module(place)
    name = f"nstjax_statistic_{hashlib.sha256(str(Path(place).absolute()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    return module


def import_statistic(spec: str) -> None:
    """Import a statistic and register it with its specification as the name. This runs the module's code.

    Args:
        spec: ``package.module:Name`` or ``file.py:Name``.

    Raises:
        InputError: If the module or the name does not exist, or it is not a statistic.
    """
    place, _, name = spec.rpartition(":")
    if place.endswith(".py") and not Path(place).is_file():
        raise InputError(f"`style_statistic` {spec} cannot be imported: there is no file {place}")
    if not place.endswith(".py") and not all(part.isidentifier() for part in place.split(".")):
        raise InputError(f"`style_statistic` is {spec!r}: it must be module:Name or file.py:Name")
    try:
        module = _module(place)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise InputError(f"`style_statistic` {spec} cannot be imported: {error}; check {place}") from error
    kind = getattr(module, name, None)
    if kind is None:
        raise InputError(f"`style_statistic` {spec} cannot be imported: {place} has no class {name!r}")
    register_statistic(spec, kind)


def statistic_class(name: str) -> type[Statistic]:
    """Return the class of a statistic.

    A statistic is nstjax's own, a registered one, or an entry point of an installed package, whose code is
    then imported. A name of the form ``module:Name`` must have been imported with :func:`import_statistic`
    before. It is not imported here, because names are also read from run records, and an import runs code.

    Args:
        name: name of the statistic.

    Raises:
        InputError: If there is no such statistic.
    """
    if name in STATISTICS:
        return STATISTICS[name]
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        try:
            kind = entry.load()
        except (ImportError, AttributeError, SyntaxError) as error:
            raise InputError(
                f"`style_statistic` {name} cannot be imported: {error}; check {entry.value}"
            ) from error
        register_statistic(name, kind)
        return STATISTICS[name]
    if ":" in name:
        raise InputError(f"`style_statistic` {name} is not loaded: import it first with `import_statistic`")
    raise InputError(f"`style_statistic` is {name!r}: it must be {', '.join(STATISTICS)}, or module:Name")


__all__ = [
    "ENTRY_POINTS",
    "STATISTICS",
    "Covariance",
    "Description",
    "Gaussian",
    "Gram",
    "KernelPoints",
    "Linear",
    "LongRange",
    "Means",
    "Moments",
    "Points",
    "Polynomial",
    "Sliced",
    "Statistic",
    "Wasserstein",
    "describe",
    "import_statistic",
    "make_target",
    "register_statistic",
    "statistic_class",
]
