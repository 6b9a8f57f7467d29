"""Objectives as pytrees, so that their arrays are arguments of compiled programs instead of constants.

A constant is copied into every program that uses it. XLA also evaluates expressions of constants at compile
time, which can take longer than the run.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun


# No repr of the fields: that of a jaxpr leaves out inner arrays and derivatives, so it does not identify the
# function. :func:`nstjax.programs.run` does not cache a program whose key has an address; JAX's own cache does.
@dataclasses.dataclass(frozen=True, repr=False)
class _Traced:
    """A traced function: its program (jaxpr), and the structure of its result.

    Instances with the same jaxpr object and structure are equal, so JAX compiles the function only once.
    """

    jaxpr: Any
    structure: Any

    def __call__(self, constants: list[jax.Array], x: jax.Array) -> Any:
        leaves = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, constants))(x)
        return jax.tree.unflatten(self.structure, leaves)


@functools.lru_cache(maxsize=4)
def _first_equal(method: Any) -> Any:
    """Return the same object for equal methods.

    Python makes a new object at each access to a method, and JAX finds traces by the object.
    """
    return method


def hoist(fun: Callable[[jax.Array], Any], x: jax.Array) -> jax.tree_util.Partial:
    """Return the objective as a ``jax.tree_util.Partial`` of the arrays that it uses.

    Args:
        fun: a ``Partial``, which is returned as it is, or any other function, which is traced once. JAX
            caches the trace with the function, so a later call for the same function and shape compiles
            nothing.
        x: an array with the shape and dtype of the argument.
    """
    if isinstance(fun, jax.tree_util.Partial):
        return fun
    if inspect.ismethod(fun):
        fun = _first_equal(fun)
    traced = jax.jit(fun).trace(jax.ShapeDtypeStruct(x.shape, x.dtype))
    closed, structure = traced.jaxpr, jax.tree.structure(traced.out_info)
    return jax.tree_util.Partial(_Traced(closed.jaxpr, structure), list(closed.consts))
