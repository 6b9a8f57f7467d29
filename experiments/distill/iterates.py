"""Transfers under way, made with the student that is being trained, as its training data.

An optimiser looks for pictures that please the student; where these are not like any picture that it was
trained on, it may be pleased by what the teacher would refuse. So the student is shown the teacher's answer on
pictures that its own gradients made, as imitation learning shows a learner the states that it itself comes
to (Ross, Gordon and Bagnell, AISTATS 2011).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.distill.data import CROP, Crops
from nstjax import TransferConfig
from nstjax.losses import make_targets, objective
from nstjax.nn.student import make_student
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.typing import Params

GROUPS = 8  # of transfers, one of which goes on at each step of the training
ADAM_STEPS = 2  # each time
LIVES = (20, 150)  # times that a group goes on before it is made anew: from touched to converged


@dataclasses.dataclass(frozen=True)
class Group:
    """Transfers of one age.

    Attributes:
        x: iterates, ``(n, CROP, CROP, 3)``.
        contents: photographs, likewise.
        styles: paintings, likewise.
        mean: Adam's mean of gradients.
        square: Adam's mean of squared gradients.
        rate: Adam's step, in units of the pixels' range.
        life: times that the group goes on before it is made anew.
        age: times that it has.
    """

    x: jax.Array
    contents: np.ndarray
    styles: np.ndarray
    mean: jax.Array
    square: jax.Array
    rate: float
    life: int
    age: int = 0


def _loss(params: Params, x: jax.Array, content: jax.Array, style: jax.Array) -> jax.Array:
    """The objective of a default transfer, of one picture ``(CROP, CROP, 3)``."""
    student = make_student(params)
    config = TransferConfig().for_backbone(student)
    record, apply = config.objective, FeatureExtractor(config.pooling, 1.0, config.padding)
    found = make_targets(
        record,
        apply(student, content[None], record.used_content_layers),
        apply(student, style[None], record.used_style_layers),
    )
    total, _ = objective(record, apply, student, found)(x[None])
    return total


@jax.jit
def _advance(
    params: Params,
    x: jax.Array,
    contents: jax.Array,
    styles: jax.Array,
    mean: jax.Array,
    square: jax.Array,
    rate: jax.Array,
    age: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    gradient = jax.vmap(jax.grad(_loss, argnums=1), in_axes=(None, 0, 0, 0))
    for i in range(ADAM_STEPS):
        g = gradient(params, x, contents, styles)
        # A relative loss has a gradient of any size, by the painting; of one size, its first and its last
        # steps count alike in Adam's moments, and none is lost in Adam's epsilon.
        g = g / (jnp.sqrt(jnp.mean(g * g, axis=(1, 2, 3), keepdims=True)) + 1e-20)
        mean, square = 0.9 * mean + 0.1 * g, 0.99 * square + 0.01 * g * g
        t = age * ADAM_STEPS + i + 1
        step = (mean / (1 - 0.9**t)) / (jnp.sqrt(square / (1 - 0.99**t)) + 1e-8)
        x = jnp.clip(x - rate * step, -0.15, 1.15)
    return x, mean, square


class Iterates:
    """Groups of transfers that go on while the student learns.

    Args:
        crops: where photographs and paintings come from.
        count: transfers in a group.
    """

    def __init__(self, crops: Crops, count: int) -> None:
        self.crops, self.count = crops, count
        self.groups: list[Group | None] = [None] * GROUPS

    def _fresh(self, step: int) -> Group:
        rng = np.random.default_rng((self.crops.seed, 2, step))
        life = int(np.exp(rng.uniform(*np.log(LIVES))))
        contents = np.stack([self.crops.one(rng) for _ in range(self.count)])
        styles = np.stack([self.crops.one(rng, painted=0.6) for _ in range(self.count)])
        x = contents.copy()
        for i in range(self.count):
            if rng.random() < 0.25:
                x[i] = rng.uniform(size=(CROP, CROP, 3))
        zeros = jnp.zeros(x.shape, jnp.float32)
        rate = float(10 ** rng.uniform(-2.3, -1.3))
        return Group(jnp.asarray(x), contents, styles, zeros, zeros, rate, life)

    def next(self, step: int, params: Params) -> jax.Array:
        """The iterates of a step, ``(count, CROP, CROP, 3)``, taken further with the student of ``params``."""
        slot = step % GROUPS
        group = self.groups[slot]
        if group is None or group.age >= group.life:
            group = self._fresh(step)
        x, mean, square = _advance(
            params,
            group.x,
            group.contents,
            group.styles,
            group.mean,
            group.square,
            group.rate,
            float(group.age),
        )
        self.groups[slot] = dataclasses.replace(group, x=x, mean=mean, square=square, age=group.age + 1)
        return x
