"""Iterates of transfers as training data, made with the student that is being trained.

A transfer minimizes a loss that the student computes. If the iterates are unlike the training images, the
student's errors are large there, and the loss can be small for a picture for which the teacher's loss is
large. The training therefore includes iterates that the student's own gradients produced, with the teacher's
activations as targets. In the same way, imitation learning trains a learner on the states that it reaches
itself (Ross, Gordon and Bagnell, AISTATS 2011).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.distill.data import CROP, Crops
from nstjax import TransferConfig
from nstjax.losses import Objective, make_targets, objective
from nstjax.nn.student import make_student
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.typing import Params

GROUPS = 8  # groups of transfers; each new batch advances one of them, in turn
ADAM_STEPS = 2  # Adam steps of one advance
LIVES = (20, 150)  # advances before a group starts again: from slightly changed to converged iterates


@dataclasses.dataclass(frozen=True)
class Group:
    """Transfers that start and advance together.

    Attributes:
        x: iterates, ``(n, CROP, CROP, 3)`` in [−0.15, 1.15].
        contents: content images, ``(n, CROP, CROP, 3)`` in [0, 1]: crops of photographs and paintings.
        styles: style images, ``(n, CROP, CROP, 3)`` in [0, 1]: such crops with a larger share of paintings.
        mean: Adam's mean of the gradients, of the shape of ``x``.
        square: Adam's mean of the squared gradients, of the shape of ``x``.
        rate: Adam's step size; 1 is the range of the pixel values.
        life: number of advances after which the group starts again with new images.
        age: number of advances so far.
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
    """Compute the default objective of a transfer, with max pooling and equal weights of the style layers.

    Args:
        params: weights of the student.
        x: the iterate, ``(CROP, CROP, 3)``.
        content: the content image, of the same shape.
        style: the style image, of the same shape.

    Returns:
        The loss, a scalar.
    """
    student = make_student(params)
    config, record = TransferConfig(), Objective().for_layers(student.layers)
    apply = FeatureExtractor(config.pooling, 1.0, config.padding)
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
    """Advance the transfers of a :class:`Group`; return its new ``x``, ``mean`` and ``square``."""
    gradient = jax.vmap(jax.grad(_loss, argnums=1), in_axes=(None, 0, 0, 0))
    for i in range(ADAM_STEPS):
        g = gradient(params, x, contents, styles)
        # The norm of a relative loss's gradient varies with the painting and during the transfer. Normalized
        # gradients have equal weights in Adam's moments, and are large compared with Adam's epsilon.
        g = g / (jnp.sqrt(jnp.mean(g * g, axis=(1, 2, 3), keepdims=True)) + 1e-20)
        mean, square = 0.9 * mean + 0.1 * g, 0.99 * square + 0.01 * g * g
        t = age * ADAM_STEPS + i + 1
        step = (mean / (1 - 0.9**t)) / (jnp.sqrt(square / (1 - 0.99**t)) + 1e-8)
        x = jnp.clip(x - rate * step, -0.15, 1.15)
    return x, mean, square


class Iterates:
    """Groups of transfers that advance during the training of a student.

    Args:
        crops: source of the content and style images.
        count: number of transfers in a group.

    Attributes:
        groups: the ``GROUPS`` groups; None for one that has not started.
    """

    def __init__(self, crops: Crops, count: int) -> None:
        self.crops, self.count = crops, count
        self.groups: list[Group | None] = [None] * GROUPS

    def _fresh(self, step: int) -> Group:
        """Return a group of age 0. An iterate starts from its content image or, with probability 1/4, noise."""
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
        """Advance one group by ``ADAM_STEPS`` Adam steps, and return its iterates.

        Args:
            step: number of the batch. It selects the group, and seeds a group that starts.
            params: weights of the student.

        Returns:
            ``(count, CROP, CROP, 3)`` in [−0.15, 1.15].
        """
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
