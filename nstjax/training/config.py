"""The frozen record of a training, and its form in JSON."""

import dataclasses
from typing import Any, Literal

import jax

from nstjax.data import DataConfig
from nstjax.errors import MOST, InputError, check_choices, check_positive, within
from nstjax.generators import GeneratorConfig, JohnsonConfig, config_from_json, config_to_json
from nstjax.losses import Objective
from nstjax.plain import build, checked
from nstjax.typing import Backbone

MAX_STYLE_SIZE = 4096


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """The optimiser and its course."""

    steps: int = 40_000
    """Optimiser steps; Johnson et al. take 40,000."""
    learning_rate: float = 1e-3
    """Of Adam."""
    epsilon: float = 1e-8
    """Of Adam: what its root mean squares are added to. Where a gradient is 0 but for rounding, as that of an offset
    which a normalisation takes away again, a smaller one lets the parameter wander."""
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    """The learning rate's course: constant, down to 0 by a cosine, or by decay-rate every decay-steps."""
    warmup_steps: int = 0
    """Steps in which the learning rate rises from 0."""
    decay_rate: float = 0.8
    """exponential: factor every decay-steps."""
    decay_steps: int = 2000
    """exponential: see decay-rate."""
    clip: float | None = None
    """Largest norm of the gradient; longer ones are scaled down to it."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step of the optimiser."""
    compute: Literal["float32", "bfloat16", "float64"] = "float32"
    """Arithmetic of generator and feature network; parameters, statistics and losses are float32 at least. (float64 is for
    checks, and wants JAX_ENABLE_X64=1.)"""
    style_size: int = 256
    """Longer side to which the painting is scaled (it is never enlarged)."""
    pooling: Literal["network", "average", "max"] = "network"
    """Pooling of the feature network; network means that of its own training."""
    seed: int = 0
    """Of the generator's first parameters and its noise; the order of the photographs has a seed of its own."""

    def __post_init__(self) -> None:
        for option in ("steps", "accumulate", "decay_steps"):
            within(option, getattr(self, option), 1, MOST)
        if self.steps * self.accumulate >= 2**31:
            raise InputError(
                f"`steps` {self.steps} times `accumulate` {self.accumulate} is {self.steps * self.accumulate} batches: "
                f"it must be less than {2**31}"
            )
        if not 0 <= self.warmup_steps < self.steps:
            raise InputError(
                f"`warmup_steps` is {self.warmup_steps}: it must be less than `steps`, and not negative"
            )
        check_positive("learning_rate", self.learning_rate)
        check_positive("epsilon", self.epsilon)
        check_positive("decay_rate", self.decay_rate, most=1.0)
        if self.clip is not None:
            check_positive("clip", self.clip)
        if not 16 <= self.style_size <= MAX_STYLE_SIZE:
            raise InputError(
                f"`style_size` is {self.style_size}: it must be between 16 and {MAX_STYLE_SIZE} pixels"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` is {self.seed}: it must be between 0 and {2**32 - 1}")
        if self.compute == "float64" and not jax.config.read("jax_enable_x64"):
            raise InputError(
                "`compute` float64 needs JAX_ENABLE_X64=1 in the environment: set it, or choose float32"
            )
        check_choices(self)


@dataclasses.dataclass(frozen=True)
class TrainConfig(TrainSettings):
    """Everything that decides a generator, but the painting and the feature network."""

    generator: GeneratorConfig = JohnsonConfig()
    """The network that is trained."""
    objective: Objective = Objective()
    """What is minimised, on average over the photographs."""
    data: DataConfig = DataConfig("fake")
    """The photographs."""

    def for_backbone(self, backbone: Backbone) -> "TrainConfig":
        """This record with its layers named, chosen from those that the network has where none were."""
        objective = self.objective
        if not self.generator.content:  # textures are of no photograph
            objective = dataclasses.replace(objective, content_weight=0.0)
        return dataclasses.replace(self, objective=objective.for_layers(backbone.layers))

    def to_json(self) -> dict[str, Any]:
        """As plain data; :meth:`from_json` is the inverse."""
        return {**dataclasses.asdict(self), "generator": config_to_json(self.generator)}

    @classmethod
    def from_json(cls, data: object) -> "TrainConfig":
        """A record from plain data.

        Raises:
            InputError: a field is unknown, or of a wrong type or value.
        """
        plain: dict[str, Any] = checked(data, dict[str, Any], "the record's config")
        generator = config_from_json(plain.get("generator"))
        result: TrainConfig = build(cls, {**plain, "generator": generator})
        return result
