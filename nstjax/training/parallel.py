"""The training step on all devices of all hosts. Only this module uses ``jax.pmap`` and ``jax.distributed``.

There are two forms of the step with the same results: one by ``jax.pmap``, which training uses, and one by
``jax.shard_map``. With pmap, the batch is divided among the devices, and all devices share one state: ``in_axes=(None, 0)`` broadcasts the
state, and ``out_axes=None`` returns it without a device axis, so the code never replicates it explicitly.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

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


Fixed = tuple[TrainState, Backbone, Targets]
TrainStep = Callable[[Fixed, Batch], tuple[TrainState, Metrics]]
"""``step((state, network, style), batch) -> (state, metrics)``, where ``batch`` is this process's part of the batch."""


def pmap_step(config: TrainConfig, optimizer: optax.GradientTransformation) -> TrainStep:
    """Return :func:`nstjax.training.step.train_step` as a function that runs on all devices, by ``jax.pmap``.

    Args:
        config: settings with named layers.
        optimizer: from :func:`nstjax.training.state.make_optimizer`.
    """

    @partial(jax.pmap, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
    def step(fixed: Fixed, batch: Batch) -> tuple[TrainState, Metrics]:
        state, network, style = fixed
        return train_step(config, optimizer, state, network, style, batch, AXIS)

    return lambda fixed, batch: step(fixed, split(batch))


def replicated_by_pmap(tree: Any) -> Any:
    """Copy the arrays of ``tree`` to each device of this process, so that no step has to transfer them again.

    Use it with one device too: the result has the same layout as the output of a step, so the step is
    compiled only once.
    """
    spread = jax.pmap(lambda _, x: x, AXIS, in_axes=(0, None), out_axes=None)
    return spread(np.zeros(jax.local_device_count()), tree)


def split(batch: Batch) -> Batch:
    """Reshape the arrays of a process's batch to ``(devices, images per device, …)``."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: np.reshape(x, (devices, x.shape[0] // devices, *x.shape[1:])), batch)


def _mesh() -> Mesh:
    """Return all devices of all processes in a row."""
    return Mesh(np.array(jax.devices()), (AXIS,))


def sharded_step(config: TrainConfig, optimizer: optax.GradientTransformation) -> TrainStep:
    """Return the same function as :func:`pmap_step`, by ``jax.jit`` and ``jax.shard_map``.

    Args:
        config: settings with named layers.
        optimizer: from :func:`nstjax.training.state.make_optimizer`.
    """
    mesh = _mesh()

    def step(fixed: Fixed, batch: Batch) -> tuple[TrainState, Metrics]:
        state, network, style = fixed
        return train_step(config, optimizer, state, network, style, batch, AXIS)

    # The primitives of nstjax.linear have no rule for the check of replication; train_step averages over AXIS itself.
    mapped = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    run, sharding = jax.jit(mapped), NamedSharding(mesh, PartitionSpec(AXIS))

    def on_devices(fixed: Fixed, batch: Batch) -> tuple[TrainState, Metrics]:
        parts = jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)
        result: tuple[TrainState, Metrics] = run(fixed, parts)
        return result

    return on_devices


def replicated_by_sharding(tree: Any) -> Any:
    """Copy the arrays of ``tree`` to every device of all processes, for :func:`sharded_step`."""
    sharding = NamedSharding(_mesh(), PartitionSpec())
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree)


# What training uses. With a JAX that has no pmap: sharded_step, replicated_by_sharding.
step_on_devices, on_every_device = pmap_step, replicated_by_pmap


def any_process(flag: bool) -> bool:
    """Return True if the flag is True in any process. Every process must call this function."""
    if jax.process_count() == 1:
        return flag
    return bool(np.asarray(multihost_utils.process_allgather(np.asarray(flag))).any())
