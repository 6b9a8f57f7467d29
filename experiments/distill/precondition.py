"""Adam in the eigenbasis of each layer's inputs.

The inputs of a convolution are highly correlated. Some directions of its kernel change the output a thousand
times as much as others, so a step size that is small enough for these hardly changes the others. In
coordinates in which the second moments of the inputs are the identity, all directions have the same effect on
the output.

This is the input half of K-FAC (Martens and Grosse, ICML 2015), combined with Adam as in SOAP (Vyas et al.,
arXiv 2409.11321). Here the second moments are measured only once, because the student starts near its
solution.
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
"""Bases by convolution: ``"affine"`` for kernel and bias, ``(9·c + 1, 9·c + 1)`` with ``c`` input channels;
and ``"head"``, ``(d, d)`` with ``d`` output channels, if the convolution has a head."""


def _basis(moment: np.ndarray) -> jax.Array:
    """Return a basis in which a second moment is about the identity.

    The basis is ``D⁻¹ U (Λ + RIDGE)^-½``, where ``D²`` is the diagonal of the moment ``M`` and
    ``U Λ Uᵀ = D⁻¹ M D⁻¹``.

    Args:
        moment: ``(m, m)``.

    Returns:
        ``(m, m)`` float32. Each column is a direction of the basis.
    """
    scale = np.sqrt(np.maximum(np.diag(moment), 1e-12 * np.trace(moment)))
    values, vectors = np.linalg.eigh(moment / scale[:, None] / scale)
    return jnp.asarray(vectors / np.sqrt(np.maximum(values, 0) + RIDGE) / scale[:, None], jnp.float32)


def input_bases(params: Params, batches: Sequence[Batch]) -> Bases:
    """Compute the bases from the second moments of the inputs of all convolutions and heads of a student.

    Args:
        params: weights of the student, shallow to deep.
        batches: images ``(n, h, w, 3)`` in [0, 1], each with the pooling to use.
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
    """Convert gradients with respect to the weights to gradients with respect to the coordinates."""
    found: Bases = {}
    for conv, layer in tree.items():
        affine = jnp.concatenate([layer["kernel"].reshape(-1, layer["bias"].size), layer["bias"][None]])
        found[conv] = {"affine": bases[conv]["affine"].T @ affine}
        if "head" in layer:
            found[conv]["head"] = bases[conv]["head"].T @ layer["head"]
    return found


def _from_basis(tree: Bases, like: Params, bases: Bases) -> Params:
    """Convert updates of the coordinates to updates of the weights, with the shapes of ``like``."""
    found: dict[str, dict[str, jax.Array]] = {}
    for conv, layer in tree.items():
        affine = bases[conv]["affine"] @ layer["affine"]
        found[conv] = {"kernel": affine[:-1].reshape(like[conv]["kernel"].shape), "bias": affine[-1]}
        if "head" in layer:
            found[conv]["head"] = bases[conv]["head"] @ layer["head"]
    return found


def in_bases(inner: optax.GradientTransformation, bases: Bases) -> optax.GradientTransformation:
    """Return an optimizer that runs ``inner`` on the coordinates of the weights in ``bases``.

    The weights are ``S v``, where ``S`` is the basis and ``v`` the coordinates. For a gradient ``g`` with
    respect to the weights, ``inner`` receives ``Sᵀ g``; for its update ``u``, the update of the weights is
    ``S u``.

    Args:
        inner: an optimizer that does not use the weights. It receives only gradients, so weight decay is
            impossible.
        bases: from :func:`input_bases`.
    """

    def init(params: Params) -> Any:
        return inner.init(_to_basis(jax.tree.map(jnp.zeros_like, params), bases))

    def update(gradient: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        del params
        updates, state = inner.update(_to_basis(gradient, bases), state)
        return _from_basis(updates, gradient, bases), state

    return optax.GradientTransformation(init, update)
