"""The Flax module that computes a :class:`~nstjax.generators.plan.GeneratorPlan`."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nstjax.generators.norm import MOMENTUM, moments
from nstjax.generators.plan import GeneratorPlan, LayerStep
from nstjax.generators.steps import apply_step


def fan_in(shape: Sequence[int]) -> int:
    """Return the number of inputs of one filter of a kernel of shape ``(h, w, in, out)``."""
    return shape[0] * shape[1] * shape[2]


class Conv(nn.Module):
    """A convolution with the parameters ``kernel`` (HWIO) and, if the step has one, ``bias``."""

    step: LayerStep

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Compute the step; ``x`` is ``(n, h, w, c)``."""
        step = self.step
        shape = (step.kernel, step.kernel, x.shape[-1], step.channels)
        # Zeros are placeholders: nstjax.generators.init_generator draws the initial values.
        params = {"kernel": self.param("kernel", nn.initializers.zeros, shape)}
        if step.bias:
            params["bias"] = self.param("bias", nn.initializers.zeros, (step.channels,))
        return apply_step(step, params, (x,))


class NormLayer(nn.Module):
    """A normalization, or only a scaling, with the parameters ``scale`` and ``bias``.

    Batch normalization also has the running statistics ``mean`` and ``var``.

    Attributes:
        step: the norm or scale step.
        batch: batch normalization if True, instance normalization if False.
        axis_name: name of the mapped axis of devices over which the batch is divided; None for one device.
        styles: number of styles; with more than one, ``scale`` and ``bias`` are ``(styles, c)``.
    """

    step: LayerStep
    batch: bool
    axis_name: str | None
    styles: int = 1

    @nn.compact
    def __call__(self, x: Array, style: Array | None = None) -> Array:
        """Compute the step.

        Args:
            x: ``(n, h, w, c)``.
            style: weights of the styles for each image, ``(n, styles)``; None with one style.
        """
        shape: tuple[int, ...] = (x.shape[-1],)
        stored = shape if self.styles == 1 else (self.styles, *shape)
        params = {
            "scale": self.param("scale", nn.initializers.ones, stored),
            "bias": self.param("bias", nn.initializers.zeros, stored),
        }
        if self.styles > 1:
            assert style is not None
            params = {name: (style @ table)[:, None, None] for name, table in params.items()}
        if self.step.op == "scale":
            return apply_step(self.step, params, (x,))
        if not self.batch:
            return apply_step(self.step, params, (x,), moments(x, batch=False))
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        statistics = moments(x, True, None if self.is_initializing() else self.axis_name)
        if not self.is_initializing():
            for variable, of_batch in zip((mean, var), statistics, strict=True):
                variable.value = MOMENTUM * variable.value + (1 - MOMENTUM) * of_batch.reshape(shape)
        return apply_step(self.step, params, (x,), statistics)


class GeneratorModule(nn.Module):
    """A generator network in training mode, and for the initial weights.

    Batch normalization uses the statistics of the batch and updates the running ones.
    :func:`nstjax.generators.steps.apply_plan` is the network in inference.

    Attributes:
        plan: its steps. The weights of each step have the step's name.
        axis_name: name of the mapped axis of devices over which the batch is divided; None for one device.
    """

    plan: GeneratorPlan
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: dict[str, Array], style: Array | None = None) -> Array:
        """Compute the output image.

        Args:
            inputs: the plan's inputs by name, each ``(n, h, w, channels)``. Height and width of the image
                must be multiples of ``plan.multiple``.
            style: weights of the plan's styles for each image, ``(n, styles)``; None with one style.

        Returns:
            ``(n, h, w, 3)``, approximately in [0, 1].
        """
        arrays: dict[str, Any] = dict(inputs)
        for index, step in enumerate(self.plan.steps):
            sources = [arrays[name] for name in step.sources]
            if step.op == "conv":
                arrays[step.name] = Conv(step, name=step.name)(sources[0])
            elif step.op in ("norm", "scale"):
                batch, styles = self.plan.norm == "batch", self.plan.styles
                norm = NormLayer(step, batch, self.axis_name, styles, name=step.name)
                arrays[step.name] = norm(sources[0], style)
            else:
                arrays[step.name] = apply_step(step, {}, sources)
            live = self.plan.live(index + 1) | {step.name}
            arrays = {name: array for name, array in arrays.items() if name in live}
        return arrays[self.plan.steps[-1].name]
