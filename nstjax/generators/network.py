"""The Flax module that computes a plan."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nstjax.generators.norm import MOMENTUM, moments
from nstjax.generators.plan import GeneratorPlan, LayerStep
from nstjax.generators.steps import apply_step


def fan_in(shape: Sequence[int]) -> int:
    """The inputs of one filter of a kernel ``(h, w, in, out)``."""
    return shape[0] * shape[1] * shape[2]


class Conv(nn.Module):
    """Weights of a convolution: ``kernel`` (HWIO) and, if the step has one, ``bias``."""

    step: LayerStep

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The step's result."""
        step = self.step
        shape = (step.kernel, step.kernel, x.shape[-1], step.channels)
        # Zeros hold the place: nstjax.generators.init_generator draws.
        params = {"kernel": self.param("kernel", nn.initializers.zeros, shape)}
        if step.bias:
            params["bias"] = self.param("bias", nn.initializers.zeros, (step.channels,))
        return apply_step(step, params, (x,))


class NormLayer(nn.Module):
    """Weights of a normalisation, ``scale`` and ``bias``, and of a batch's the running ``mean`` and ``var``."""

    step: LayerStep
    batch: bool
    train: bool
    axis_name: str | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The step's result."""
        shape = (x.shape[-1],)
        params = {
            "scale": self.param("scale", nn.initializers.ones, shape),
            "bias": self.param("bias", nn.initializers.zeros, shape),
        }
        if not self.batch:
            return apply_step(self.step, params, (x,), moments(x, batch=False))
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not self.train:
            return apply_step(self.step, params, (x,), (mean.value, var.value))
        statistics = moments(x, True, None if self.is_initializing() else self.axis_name)
        if not self.is_initializing():
            for variable, of_batch in zip((mean, var), statistics, strict=True):
                variable.value = MOMENTUM * variable.value + (1 - MOMENTUM) * of_batch.reshape(shape)
        return apply_step(self.step, params, (x,), statistics)


class GeneratorModule(nn.Module):
    """A generator.

    Attributes:
        plan: its steps; each step's weights are under the step's name.
        train: batch normalisation by the batch, whose statistics the running ones move towards.
        axis_name: of the mapped axis over which the batch is spread.
    """

    plan: GeneratorPlan
    train: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: dict[str, Array]) -> Array:
        """The picture that is made of the plan's inputs, ``(n, h, w, channels)`` each, sizes a multiple."""
        arrays: dict[str, Any] = dict(inputs)
        for index, step in enumerate(self.plan.steps):
            sources = [arrays[name] for name in step.sources]
            if step.op == "conv":
                arrays[step.name] = Conv(step, name=step.name)(sources[0])
            elif step.op == "norm":
                norm = NormLayer(step, self.plan.norm == "batch", self.train, self.axis_name, name=step.name)
                arrays[step.name] = norm(sources[0])
            else:
                arrays[step.name] = apply_step(step, {}, sources)
            live = self.plan.live(index + 1) | {step.name}
            arrays = {name: array for name, array in arrays.items() if name in live}
        return arrays[self.plan.steps[-1].name]
