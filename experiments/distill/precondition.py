"""Adam in the eigenbasis of each layer's inputs.

The inputs of a convolution are highly correlated: some directions of its kernel change the output a thousand times as
much as others, so that steps which are small enough for the former do not move the latter. In coordinates in which the
second moments of the inputs are the identity, every direction counts alike. This is the input half of K-FAC (Martens
and Grosse, ICML 2015) with Adam on top, as in SOAP (Vyas et al., arXiv 2409.11321), and with moments measured once: the
student starts near its solution.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.distill.fit import RIDGE, Batch, inputs_of, patches, products
from nstjax.typing import Params

Bases = dict[str, dict[str, jax.Array]]
"""By convolution: ``"affine"``, ``(9·c + 1, 9·c + 1)``, and ``"head"``, ``(c, c)`` where there is a head."""


def _basis(moment: np.ndarray) -> jax.Array:
    """``U (Λ + ridge)^-½`` of a second moment ``U Λ Uᵀ``, after scaling its diagonal to 1."""
    scale = np.sqrt(np.maximum(np.diag(moment), 1e-12 * np.trace(moment)))
    values, vectors = np.linalg.eigh(moment / scale[:, None] / scale)
    return jnp.asarray(vectors / np.sqrt(np.maximum(values, 0) + RIDGE) / scale[:, None], jnp.float32)


def input_bases(params: Params, batches: Sequence[Batch]) -> Bases:
    """Measure the second moments of the inputs of all convolutions and heads of a student.

    Args:
        params: the student's weights.
        batches: images with the pooling.
    """
    bases: Bases = {}
    for i, (conv, layer) in enumerate(params.items()):
        before = dict(list(params.items())[:i])
        affine = head = np.zeros(())
        for images, pooling in batches:
            x = inputs_of(before, jnp.asarray(images), conv, pooling)
            rows = patches(x)
            affine = affine + np.asarray(products(rows, rows)[0], np.float64) / len(rows)
            if "head" in layer:
                after = jax.nn.relu(
                    rows[:, :-1] @ layer["kernel"].reshape(-1, layer["bias"].size) + layer["bias"]
                )
                head = head + np.asarray(products(after, after)[0], np.float64) / len(rows)
        bases[conv] = {"affine": _basis(affine / len(batches))}
        if "head" in layer:
            bases[conv]["head"] = _basis(head / len(batches))
    return bases


def _to_basis(tree: Params, bases: Bases) -> Bases:
    """Gradients with respect to the coordinates."""
    found: Bases = {}
    for conv, layer in tree.items():
        affine = jnp.concatenate([layer["kernel"].reshape(-1, layer["bias"].size), layer["bias"][None]])
        found[conv] = {"affine": bases[conv]["affine"].T @ affine}
        if "head" in layer:
            found[conv]["head"] = bases[conv]["head"].T @ layer["head"]
    return found


def _from_basis(tree: Bases, like: Params, bases: Bases) -> Params:
    """Updates of the weights from updates of the coordinates."""
    found: dict[str, dict[str, jax.Array]] = {}
    for conv, layer in tree.items():
        affine = bases[conv]["affine"] @ layer["affine"]
        found[conv] = {"kernel": affine[:-1].reshape(like[conv]["kernel"].shape), "bias": affine[-1]}
        if "head" in layer:
            found[conv]["head"] = bases[conv]["head"] @ layer["head"]
    return found


def in_bases(inner: optax.GradientTransformation, bases: Bases) -> optax.GradientTransformation:
    """Return an optimizer that runs ``inner`` on the coordinates of the weights in ``bases``.

    The weights are ``S v``, with ``S`` the basis and ``v`` the coordinates: the gradient is ``Sᵀ g``, the update ``S u``.
    """

    def init(params: Params) -> Any:
        return inner.init(_to_basis(jax.tree.map(jnp.zeros_like, params), bases))

    def update(gradient: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        del params
        updates, state = inner.update(_to_basis(gradient, bases), state)
        return _from_basis(updates, gradient, bases), state

    return optax.GradientTransformation(init, update)
