"""The training step on all devices of all hosts; the only module that uses ``jax.pmap`` and ``jax.distributed``.

The batch is divided among devices; the state is one for all. ``in_axes=(None, 0)`` says so: nothing is
replicated by hand, and what comes back has no axis of devices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils

from nstjax.data import Batch
from nstjax.errors import InputError
from nstjax.losses import Targets
from nstjax.training.config import TrainConfig
from nstjax.training.state import TrainState
from nstjax.training.step import Metrics, train_step
from nstjax.typing import Backbone

AXIS = "devices"


def join_hosts(address: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Make this process one of several that train together; to be called before anything of JAX.

    On a Cloud TPU or under Slurm all three are found by themselves.

    Args:
        address: ``HOST:PORT`` of process 0.
        count: of processes.
        index: this process's number.

    Raises:
        InputError: the others cannot be reached.
    """
    try:
        jax.distributed.initialize(address, count, index)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(
            f"`address` {address or 'auto'}: the processes cannot be joined: {reason}"
        ) from error


def check_batch(size: int) -> None:
    """Raise :class:`InputError` unless a batch of ``size`` can be divided among all devices."""
    if size % jax.device_count():
        raise InputError(
            f"`batch_size` is {size}, which {jax.device_count()} devices cannot divide: choose a multiple of "
            f"{jax.device_count()}"
        )


def on_every_device(tree: Any) -> Any:
    """The tree, put on each of this process's devices once, so that no step has to bring it there again.

    Also with one device: what a step gives has the form that this gives, and the step is compiled once.
    """
    spread = jax.pmap(lambda _, x: x, AXIS, in_axes=(0, None), out_axes=None)
    return spread(np.zeros(jax.local_device_count()), tree)


def pmap_step(
    config: TrainConfig, optimizer: optax.GradientTransformation
) -> Callable[[tuple[TrainState, Backbone, Targets], Batch], tuple[TrainState, Metrics]]:
    """:func:`nstjax.training.step.train_step` over all devices.

    Returns:
        ``step((state, network, style), batch)``, where the batch is from :func:`split`.
    """

    @partial(jax.pmap, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
    def step(fixed: tuple[TrainState, Backbone, Targets], batch: Batch) -> tuple[TrainState, Metrics]:
        state, network, style = fixed
        return train_step(config, optimizer, state, network, style, batch, AXIS)

    return step


def split(batch: Batch) -> Batch:
    """A process's batch as ``(devices, images for each, …)``."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: np.reshape(x, (devices, x.shape[0] // devices, *x.shape[1:])), batch)


def any_process(flag: bool) -> bool:
    """Return True if the flag is True in any process; every process must call this."""
    if jax.process_count() == 1:
        return flag
    return bool(np.asarray(multihost_utils.process_allgather(np.asarray(flag))).any())
