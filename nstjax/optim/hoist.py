"""Objectives as pytrees, so that their arrays are arguments of compiled programs instead of constants.

A constant is copied into the program, one copy for each program, and XLA evaluates at compile time what depends on
constants alone, which can take longer than the run.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun


# Without a repr of its own: that of a jaxpr leaves out inner arrays and derivatives, so it does not identify a function.
# :func:`nstjax.programs.run` keeps nothing that is identified by its address, and leaves it to JAX's own cache.
@dataclasses.dataclass(frozen=True, repr=False)
class _Traced:
    """A traced function; equal to another of the same trace."""

    jaxpr: Any
    structure: Any

    def __call__(self, constants: list[jax.Array], x: jax.Array) -> Any:
        leaves = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, constants))(x)
        return jax.tree.unflatten(self.structure, leaves)


@functools.lru_cache(maxsize=4)
def _first_equal(method: Any) -> Any:
    """Python makes a new object at each access of a method; JAX finds traces by the object."""
    return method


def hoist(fun: Callable[[jax.Array], Any], x: jax.Array) -> jax.tree_util.Partial:
    """The objective as a ``jax.tree_util.Partial`` of the arrays that it uses.

    Args:
        fun: a ``Partial``, which is returned as it is; or any other function, which is traced once (JAX caches
            the trace with the function, so a later call for the same function and shape compiles nothing).
        x: an argument of its shape and dtype.
    """
    if isinstance(fun, jax.tree_util.Partial):
        return fun
    if inspect.ismethod(fun):
        fun = _first_equal(fun)
    traced = jax.jit(fun).trace(jax.ShapeDtypeStruct(x.shape, x.dtype))
    closed, structure = traced.jaxpr, jax.tree.structure(traced.out_info)
    return jax.tree_util.Partial(_Traced(closed.jaxpr, structure), list(closed.consts))
