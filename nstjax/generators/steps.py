"""The arithmetic of a plan's steps, for whole images and for tiles."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nstjax.generators.norm import apply_norm, moments
from nstjax.generators.plan import GeneratorPadding, GeneratorPlan, LayerStep, RowWindow, window
from nstjax.linear import linear
from nstjax.nn.fast_conv import fast_convolve
from nstjax.nn.up_conv import convolve_transposed, upsample, upsample_convolve

MEAN = (0.485, 0.456, 0.406)  # mean sRGB color of the ImageNet photographs
# Factor of the scaled tanh, from Johnson et al.'s released code (tanh_constant). The paper's range, [0, 255],
# would be a factor of 0.5.
REACH = 150 / 255
GRAY = 0.5
Convolve: TypeAlias = Callable[[Array, Array, int], Array]


def pad(x: Array, rows: tuple[int, int], columns: tuple[int, int], padding: GeneratorPadding) -> Array:
    """Pad ``(n, h, w, c)`` with the given numbers of rows and columns, each ``(before, after)``."""
    if not any(rows + columns):
        return x
    if padding == "circular":  # without jnp.pad, which needs a static size; exported programs have none
        for axis, (before, after) in ((1, rows), (2, columns)):
            size = x.shape[axis]
            ends = ((size - before, size), (0, size), (0, after))
            x = jnp.concatenate([lax.slice_in_dim(x, *end, axis=axis) for end in ends], axis)
        return x
    if padding == "reflect" and isinstance(x.shape[1], int) and isinstance(x.shape[2], int):
        forward, backward = (partial(f, rows=rows, columns=columns) for f in (_reflect, _reflect_transposed))
        return linear(forward, backward, (), (x,))[0]
    mode = "reflect" if padding == "reflect" else "constant"
    return jnp.pad(x, ((0, 0), rows, columns, (0, 0)), mode=mode)


def _reflect(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Array]:
    """Pad by reflection, by indexing: a network compiles in half the time of the one with ``jnp.pad``."""
    for axis, widths in ((1, rows), (2, columns)):
        if any(widths):
            index = np.pad(np.arange(x.shape[axis]), widths, mode="reflect")
            x = jnp.take(x, index, axis, mode="clip")
    return (x,)


def _reflect_transposed(dy: Array, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Array]:
    """Compute the transpose of :func:`_reflect`; that of the indexing would be slow."""
    n, h, w, c = dy.shape
    x = jax.ShapeDtypeStruct((n, h - sum(rows), w - sum(columns), c), dy.dtype)
    transposed = jax.linear_transpose(
        lambda x: jnp.pad(x, ((0, 0), rows, columns, (0, 0)), mode="reflect"), x
    )
    return (transposed(dy)[0],)


def _part(
    step: LayerStep, kernel: Array, x: Array, rows: RowWindow, columns: RowWindow, inner: Convolve
) -> Array:
    if step.upsampling == "transposed":
        y = convolve_transposed(x, kernel)
        return y[:, rows.skip :][:, : rows.length, columns.skip :][:, :, : columns.length]
    if step.upsampling:
        x = upsample(x, step.upsampling)
        x = x[:, rows.skip :][:, : rows.keep, columns.skip :][:, :, : columns.keep]
    x = pad(x, (rows.before, rows.after), (columns.before, columns.after), step.padding)
    high, wide = ((w.length - 1) * step.stride + step.kernel for w in (rows, columns))
    x = x[:, rows.offset :][:, :high, columns.offset :][:, :, :wide]
    return inner(x, kernel, step.stride)


def apply_step(
    step: LayerStep,
    params: Mapping[str, Array],
    sources: Sequence[Array],
    statistics: tuple[Array, Array] | None = None,
    rows: RowWindow | None = None,
    columns: RowWindow | None = None,
    inner: Convolve = fast_convolve,
    in_phases: bool = True,
) -> Array:
    """Compute one step.

    Args:
        step: a step of a plan.
        params: its weights: ``kernel`` (HWIO) and, if the step has one, ``bias`` for ``conv``; ``scale`` and
            ``bias`` for ``norm`` and ``scale``; not used otherwise.
        sources: the arrays that the step reads, each ``(n, h, w, c)``; only the parts given by the windows,
            if there are any.
        statistics: means and variances for a norm step, each ``(1 or n, 1, 1, c)``.
        rows: window of the rows, see :func:`nstjax.generators.plan.window`; by default the whole.
        columns: window of the columns.
        inner: convolution to use instead of :func:`fast_convolve`, with the same arguments.
        in_phases: compute a bilinear upsampling and the convolution after it together at the lower resolution
            (:func:`nstjax.nn.up_conv.upsample_convolve`), where possible. Gradients are faster, but compilation is
            slower. A nearest-neighbor upsampling is always computed so.

    Returns:
        The result, ``(n, h', w', c')``, in the dtype of the sources.
    """
    x = sources[0]
    if step.op == "center":
        return x - jnp.asarray(MEAN, x.dtype)
    if step.op == "concat":
        return jnp.concatenate(sources, -1)
    if step.op == "add":
        return x + sources[1]
    if step.op == "relu":
        return jnp.where(x > 0, x, step.slope * x) if step.slope else jnp.maximum(x, 0)
    if step.op == "scale":
        return (x * params["scale"] + params["bias"]).astype(x.dtype)
    if step.op == "norm":
        assert statistics is not None
        return apply_norm(x, *statistics, params["scale"], params["bias"])
    if step.op == "picture":
        return GRAY + (REACH * jnp.tanh(x) if step.output == "tanh" else x)
    n, h, w, c = x.shape
    if step.op == "pool":
        k = step.stride
        return x.reshape(n, h // k, k, w // k, k, c).mean((2, 4))
    whole = rows is None or columns is None
    if rows is None or columns is None:
        factor = 2 if step.upsampling or step.op == "upsample" else 1
        high, wide = (-(-size * factor // step.stride) for size in (h, w))
        rows, columns = window(step, 0, high, h), window(step, 0, wide, w)
    if step.op == "upsample":
        x = upsample(x, "nearest")
        return x[:, rows.skip :][:, : rows.keep, columns.skip :][:, :, : columns.keep]
    kernel = params["kernel"].astype(x.dtype)
    # In phases, a nearest-neighbor upsampling needs 4/9 of the multiplications; a bilinear one needs as many as otherwise.
    how = step.upsampling
    if whole and (how == "nearest" or (how == "bilinear" and in_phases)) and step.padding != "circular":
        y = upsample_convolve(x, kernel, how, step.padding)
    else:
        y = _part(step, kernel, x, rows, columns, inner)
    return y + params["bias"].astype(y.dtype) if step.bias else y


def apply_plan(
    plan: GeneratorPlan,
    weights: Mapping[str, Mapping[str, Array]],
    inputs: Mapping[str, Array],
    statistics: Mapping[str, tuple[Array, Array]] | None = None,
    *,
    in_phases: bool = False,
) -> Array:
    """Compute all steps of a plan for whole images, as in inference.

    Args:
        plan: the plan.
        weights: weights of the steps by name; see :func:`apply_step`.
        inputs: the plan's inputs by name, each ``(n, h, w, channels)``.
        statistics: for batch normalization, the running means and variances by the names of the norm steps. None for
            instance normalization.
        in_phases: see :func:`apply_step`.

    Returns:
        The result of the last step, ``(n, h, w, 3)``, approximately in [0, 1].
    """
    arrays = dict(inputs)
    for index, step in enumerate(plan.steps):
        sources = [arrays[name] for name in step.sources]
        known = None
        if step.op == "norm":
            known = moments(sources[0], batch=False) if statistics is None else statistics[step.name]
        arrays[step.name] = apply_step(step, weights.get(step.name, {}), sources, known, in_phases=in_phases)
        needed = plan.live(index + 1) | {step.name}
        arrays = {name: array for name, array in arrays.items() if name in needed}
    return arrays[plan.steps[-1].name]
