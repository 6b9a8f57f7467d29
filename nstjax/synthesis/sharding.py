"""One picture on several devices: its rows are shared among them, and XLA exchanges what lies along the borders."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nstjax.typing import Images, Scalar, Terms

_LEAST_ROWS = 32  # of a device: fewer are nearly all border


def rows_on_devices(height: int) -> NamedSharding | None:
    """The rows of ``(n, height, w, c)`` on as many devices as share them evenly; None for one."""
    devices = jax.devices()
    most = min(len(devices), height // _LEAST_ROWS)
    count = max((n for n in range(1, most + 1) if height % n == 0), default=1)
    if count == 1:
        return None
    return NamedSharding(Mesh(np.array(devices[:count]), ("rows",)), PartitionSpec(None, "rows"))


@dataclasses.dataclass(frozen=True)
class _Sharded:
    """Hashable; equal ones share a compiled program."""

    sharding: NamedSharding

    def __call__(self, fun: Any, image: Images) -> tuple[Scalar, Terms]:
        found: tuple[Scalar, Terms] = fun(lax.with_sharding_constraint(image, self.sharding))
        return found


def sharded(fun: Callable[..., Any], height: int) -> Callable[[Images], tuple[Scalar, Terms]]:
    """The same function of an image, its activations on several devices.

    Args:
        fun: a pytree, such as :func:`nstjax.losses.objective` gives, with XLA's own convolutions
            (``convolution="plain"``), which are divided with no more exchanged than a row or two.
        height: of the image.
    """
    sharding = rows_on_devices(height)
    return fun if sharding is None else jax.tree_util.Partial(_Sharded(sharding), fun)
