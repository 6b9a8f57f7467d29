"""Linear and bilinear maps with explicit transposes.

``jax.custom_vjp`` gives a function a custom backward pass, but the function loses its forward-mode derivatives
(``jax.jvp``, ``jax.jacfwd``, ``jax.hessian``). The functions here replace only the transpose of a linear map.
JAX derives everything else from it: forward mode, reverse mode, and their compositions, to any order. JAX's own
``linear_call`` has neither a derivative with respect to its residuals nor a rule for ``jax.vmap``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Map = Callable[..., tuple[Array, ...]]
Product = Callable[[Array, Array], Array]

_linear_p = Primitive("nstjax_linear")
_linear_p.multiple_results = True
_bilinear_p = Primitive("nstjax_bilinear")


def linear(
    fun: Map, transpose: Map, constants: Sequence[Array], operands: Sequence[Array]
) -> tuple[Array, ...]:
    """Compute ``fun(*constants, *operands)``, a function linear in the operands, with a given transpose.

    Args:
        fun: function that returns a tuple of arrays.
        transpose: ``transpose(*constants, *cotangents)`` returns a tuple with the cotangent of each operand.
        constants: arrays whose derivatives are taken to be 0.
        operands: arrays of a floating-point dtype.

    Returns:
        The result of ``fun``.
    """
    return tuple(
        _linear_p.bind(*constants, *operands, fun=fun, transpose=transpose, constants=len(constants))
    )


def _shapes_of(outputs: Any) -> Any:
    return jax.tree.map(lambda out: jax.core.ShapedArray(out.shape, out.dtype), outputs)


def _linear_impl(*args: Array, fun: Map, transpose: Map, constants: int) -> list[Array]:
    return list(fun(*args))


def _linear_shapes(*args: Any, fun: Map, transpose: Map, constants: int) -> list[Any]:
    return list(_shapes_of(jax.eval_shape(fun, *args)))


def _linear_jvp(primals: Any, tangents: Any, *, constants: int, **how: Any) -> Any:
    out = _linear_p.bind(*primals, constants=constants, **how)
    operands = tangents[constants:]
    if all(type(tangent) is ad.Zero for tangent in operands):
        return out, [jnp.zeros_like(value) for value in out]  # only constants have tangents
    operands = map(ad.instantiate_zeros, operands)
    return out, _linear_p.bind(*primals[:constants], *operands, constants=constants, **how)


def _linear_transpose(cotangents: Any, *args: Any, fun: Map, transpose: Map, constants: int) -> Any:
    cotangents = map(ad.instantiate_zeros, cotangents)
    found = _linear_p.bind(*args[:constants], *cotangents, fun=transpose, transpose=fun, constants=constants)
    return [None] * constants + list(found)


def _linear_batched(args: Any, axes: Any, *, fun: Map, transpose: Map, constants: int) -> Any:
    size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    # All operands get the batch axis, so that the transpose returns batched cotangents for all of them.
    moved = [
        (arg if axis is None else jnp.moveaxis(arg, axis, 0))
        if axis is not None or at < constants
        else jnp.broadcast_to(arg, (size, *arg.shape))
        for at, (arg, axis) in enumerate(zip(args, axes, strict=True))
    ]
    of_constants = tuple(None if axis is None else 0 for axis in axes[:constants])

    def forward(*args: Array) -> tuple[Array, ...]:
        return jax.vmap(fun, of_constants + (0,) * (len(args) - constants))(*args)

    def backward(*args: Array) -> tuple[Array, ...]:
        return jax.vmap(transpose, of_constants + (0,) * (len(args) - constants))(*args)

    out = _linear_p.bind(*moved, fun=forward, transpose=backward, constants=constants)
    return out, [0] * len(out)


_linear_p.def_impl(_linear_impl)
_linear_p.def_abstract_eval(_linear_shapes)
ad.primitive_jvps[_linear_p] = _linear_jvp
ad.primitive_transposes[_linear_p] = _linear_transpose
batching.primitive_batchers[_linear_p] = _linear_batched
mlir.register_lowering(_linear_p, mlir.lower_fun(_linear_impl, multiple_results=True))


def bilinear(product: Product, of_first: Product, of_second: Product, first: Array, second: Array) -> Array:
    """Compute ``product(first, second)``, a function linear in each argument, with both transposes given.

    The three functions are the partial derivatives of one trilinear form ``⟨out, product(first, second)⟩`` with
    respect to its three arguments. They are therefore also each other's transposes, and JAX never differentiates
    their bodies.

    Args:
        product: the bilinear function.
        of_first: ``of_first(second, out)`` returns the cotangent of ``first``.
        of_second: ``of_second(first, out)`` returns the cotangent of ``second``.
        first: an array of a floating-point dtype.
        second: an array of a floating-point dtype.

    Returns:
        The array ``product(first, second)``.
    """
    # Function i returns the derivative for slot i of the form and takes the values of the other two slots, in order.
    found: Array = _bilinear_p.bind(first, second, functions=(of_first, of_second, product), slot=2)
    return found


def _others(slot: int) -> list[int]:
    """Return the two other slots of the trilinear form, in order."""
    return [i for i in range(3) if i != slot]


def _bilinear_impl(a: Array, b: Array, *, functions: tuple[Product, ...], slot: int) -> Array:
    return functions[slot](a, b)


def _bilinear_shape(a: Any, b: Any, *, functions: tuple[Product, ...], slot: int) -> Any:
    return _shapes_of(jax.eval_shape(functions[slot], a, b))


def _bilinear_transpose(cotangent: Any, a: Any, b: Any, *, functions: tuple[Product, ...], slot: int) -> Any:
    at = _others(slot)
    unknown = 0 if ad.is_undefined_primal(a) else 1
    known = (b, a)[unknown]
    values = {at[1 - unknown]: known, slot: ad.instantiate_zeros(cotangent)}
    ordered = (values[i] for i in sorted(values))
    found = _bilinear_p.bind(*ordered, functions=functions, slot=at[unknown])
    return (found, None) if unknown == 0 else (None, found)


def _bilinear_batched(args: Any, axes: Any, *, functions: tuple[Product, ...], slot: int) -> Any:
    moved = [
        arg if axis is None else jnp.moveaxis(arg, axis, 0) for arg, axis in zip(args, axes, strict=True)
    ]
    batched = {slot: True, **dict(zip(_others(slot), (axis is not None for axis in axes), strict=True))}

    def mapped(i: int) -> Product:
        fun: Product = jax.vmap(functions[i], tuple(0 if batched[j] else None for j in _others(i)))
        # The cotangent of an argument that is shared by the batch is the sum over the batch.
        return fun if batched[i] else lambda a, b: fun(a, b).sum(0)

    return _bilinear_p.bind(*moved, functions=tuple(map(mapped, range(3))), slot=slot), 0


_bilinear_p.def_impl(_bilinear_impl)
_bilinear_p.def_abstract_eval(_bilinear_shape)
ad.defjvp(
    _bilinear_p,
    lambda tangent, a, b, **how: _bilinear_p.bind(tangent, b, **how),
    lambda tangent, a, b, **how: _bilinear_p.bind(a, tangent, **how),
)
ad.primitive_transposes[_bilinear_p] = _bilinear_transpose
batching.primitive_batchers[_bilinear_p] = _bilinear_batched
mlir.register_lowering(_bilinear_p, mlir.lower_fun(_bilinear_impl, multiple_results=False))
