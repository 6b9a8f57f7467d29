"""The training step on all devices of all hosts. Only this module uses ``jax.pmap`` and ``jax.distributed``.

The batch is divided among the devices, and all devices share one state: ``in_axes=(None, 0)`` broadcasts the
state, and ``out_axes=None`` returns it without a device axis, so the code never replicates it explicitly.
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
    """Make this process one of several that train together. Call it before any other use of JAX.

    On a Cloud TPU or under Slurm, JAX detects all three arguments.

    Args:
        address: ``HOST:PORT`` of process 0.
        count: number of processes.
        index: index of this process, from 0.

    Raises:
        InputError: If the processes cannot be connected.
    """
    try:
        jax.distributed.initialize(address, count, index)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(
            f"`address` {address or 'auto'}: the processes cannot be joined: {reason}"
        ) from error


def check_batch(size: int) -> None:
    """Check that a batch of ``size`` images can be divided equally among all devices.

    Raises:
        InputError: If it cannot.
    """
    if size % jax.device_count():
        raise InputError(
            f"`batch_size` is {size}, which {jax.device_count()} devices cannot divide: choose a multiple of "
            f"{jax.device_count()}"
        )


def on_every_device(tree: Any) -> Any:
    """Copy the arrays of ``tree`` to each device of this process, so that no step has to transfer them again.

    Use it with one device too: the result has the same layout as the output of a step, so the step is
    compiled only once.
    """
    spread = jax.pmap(lambda _, x: x, AXIS, in_axes=(0, None), out_axes=None)
    return spread(np.zeros(jax.local_device_count()), tree)


def pmap_step(
    config: TrainConfig, optimizer: optax.GradientTransformation
) -> Callable[[tuple[TrainState, Backbone, Targets], Batch], tuple[TrainState, Metrics]]:
    """Return :func:`nstjax.training.step.train_step` as a function that runs on all devices.

    Args:
        config: settings with named layers.
        optimizer: from :func:`nstjax.training.state.make_optimizer`.

    Returns:
        ``step((state, network, style), batch) -> (state, metrics)``, where ``batch`` comes from
        :func:`split`.
    """

    @partial(jax.pmap, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
    def step(fixed: tuple[TrainState, Backbone, Targets], batch: Batch) -> tuple[TrainState, Metrics]:
        state, network, style = fixed
        return train_step(config, optimizer, state, network, style, batch, AXIS)

    return step


def split(batch: Batch) -> Batch:
    """Reshape the arrays of a process's batch to ``(devices, images per device, …)``."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: np.reshape(x, (devices, x.shape[0] // devices, *x.shape[1:])), batch)


def any_process(flag: bool) -> bool:
    """Return True if the flag is True in any process. Every process must call this function."""
    if jax.process_count() == 1:
        return flag
    return bool(np.asarray(multihost_utils.process_allgather(np.asarray(flag))).any())
