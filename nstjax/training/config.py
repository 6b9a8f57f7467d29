"""The frozen config of a training run and its JSON form."""

import dataclasses
from typing import Any, Literal

import jax

from nstjax.data import DataConfig
from nstjax.errors import MOST, InputError, check_choices, check_not_negative, check_positive, within
from nstjax.generators import GeneratorConfig, JohnsonConfig, config_from_json, config_to_json
from nstjax.losses import Objective
from nstjax.plain import build, checked
from nstjax.typing import Backbone, Pooling

MAX_STYLE_SIZE = 4096


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """The optimizer and its schedule."""

    steps: int = 40_000
    """Number of optimizer steps."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    epsilon: float = 1e-8
    """ε of Adam. With a small ε, parameters whose gradient is only rounding error, such as a bias before a normalization, drift."""
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    """Schedule of the learning rate: constant, a cosine to 0, or multiplied by `decay_rate` every `decay_steps` steps."""
    warmup_steps: int = 0
    """Steps of linear increase of the learning rate from 0."""
    decay_rate: float = 0.8
    """exponential: factor on the learning rate every `decay_steps` steps."""
    decay_steps: int = 2000
    """exponential: number of steps between decays."""
    clip: float | None = None
    """Maximum norm of the gradient; a larger gradient is scaled down to it; by default there is no limit."""
    accumulate: int = 1
    """Number of batches whose gradients are averaged for one optimizer step."""
    compute: Literal["float32", "bfloat16", "float64"] = "float32"
    """Type of the activations of generator and feature network; parameters, statistics and losses are at least float32. float64 needs JAX_ENABLE_X64=1."""
    parameters: Literal["all", "norms"] = "all"
    """Parameters to train: all, or only the scales and biases of the normalizations, for styles that are added to a trained generator."""
    style_size: int = 256
    """Longer side of the resized style image in pixels; it is never enlarged."""
    pooling: Pooling = "max"
    """Pooling of the feature network."""
    grid_weight: float = 0.0
    """Weight of the grid loss, which penalizes patterns that repeat with the generator's strides; 0 turns it off."""
    seed: int = 0
    """Seed of the initial parameters and noise of the generator; `data.seed` is that of the photographs."""

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
        check_not_negative("grid_weight", self.grid_weight)
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
    """All settings of a training run; the style image and the feature network are its other inputs."""

    generator: GeneratorConfig = JohnsonConfig()
    """The generator to train."""
    objective: Objective = Objective()
    """The loss to minimize, on average over the photographs."""
    data: DataConfig = DataConfig("fake")
    """The training photographs."""

    def for_backbone(self, backbone: Backbone) -> "TrainConfig":
        """Return this config with the default layers and weights for a feature network where they are not set.

        Raises:
            InputError: If the network has no default content layer.
        """
        objective = self.objective
        if not self.generator.content:  # textures are of no photograph
            objective = dataclasses.replace(objective, content_weight=0.0)
        return dataclasses.replace(self, objective=objective.for_layers(backbone.layers))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON; :meth:`from_json` is the inverse."""
        return {**dataclasses.asdict(self), "generator": config_to_json(self.generator)}

    @classmethod
    def from_json(cls, data: object) -> "TrainConfig":
        """Return the config for plain data from :meth:`to_json`.

        Raises:
            InputError: If a field is unknown, or of a wrong type or value.
        """
        plain: dict[str, Any] = checked(data, dict[str, Any], "the record's config")
        generator = config_from_json(plain.get("generator"))
        result: TrainConfig = build(cls, {**plain, "generator": generator})
        return result
