"""Loss and gradient in tiles, for images whose activations do not fit in memory.

There are two passes over the tiles. The first adds up the sums over positions from which the loss is
computed. The second computes the gradient of each tile, given the derivatives of the loss with respect to
these sums. Nothing is approximated: each tile is computed with a halo as wide as the receptive field of its
activations.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nstjax.losses import Objective, Targets
from nstjax.losses.parts import Sums, check_parts, loss_of_sums, merged, tile_sums
from nstjax.nn.vgg import steps_to
from nstjax.typing import Backbone, Features, Images, Scalar, Terms

_FAR = 2**20  # positions: beyond the end of any image

FeatureFn = Callable[[Any, Images, tuple[str, ...]], Features]


@dataclasses.dataclass(frozen=True)
class Axis:
    """The division of one side of the image into tiles.

    Attributes:
        tile: side of a tile in pixels; the last tile has all remaining pixels, fewer or more.
        window: side in pixels of the window that is read for a tile: the tile and its halo.
        starts: first pixel of each tile's window, a multiple of the coarsest layer's stride.
    """

    tile: int
    window: int
    starts: tuple[int, ...]

    def own(self, number: Any, stride: int) -> tuple[Any, Any]:
        """Return the first position on a layer's grid that belongs to a tile, and the position after the last.

        The last tile has all remaining positions; its end is a number beyond any image.

        Args:
            number: index of the tile.
            stride: stride of the layer in pixels.
        """
        first, after = number * self.tile // stride, (number + 1) * self.tile // stride
        return first, after + (number == len(self.starts) - 1) * _FAR


@dataclasses.dataclass(frozen=True)
class Grid:
    """The division of an image into tiles.

    Attributes:
        rows: the tiles along the height.
        columns: the tiles along the width.
        strides: stride of each layer in pixels, by name.
    """

    rows: Axis
    columns: Axis
    strides: tuple[tuple[str, int], ...]

    @property
    def corners(self) -> np.ndarray:
        """Index of each tile, and first pixel of its window, in both directions: ``(tiles, 2, 2)``."""
        return np.array(
            [
                [[i, y], [j, x]]
                for i, y in enumerate(self.rows.starts)
                for j, x in enumerate(self.columns.starts)
            ],
            np.int32,
        )


def _reach(steps: tuple[str, ...]) -> tuple[int, int]:
    """Return the width of the halo around a position's cell of the grid, and the grid's stride, in pixels."""
    first = last = 0
    for step in reversed(steps):
        first, last = (first - 1, last + 1) if step == "conv" else (2 * first, 2 * last + 1)
    stride = 2 ** steps.count("pool")
    return max(-first, last - (stride - 1)), stride


def _axis(size: int, tile: int, halo: int, stride: int) -> Axis:
    """Divide a side of the image into tiles; a single tile if a window would cover the whole side."""
    window = tile + 2 * halo
    if window >= size:
        return Axis(size, size, (0,))
    # The last window ends at the end of the image, and must start at a multiple of the coarsest stride.
    window = size - (size - window) // stride * stride
    count = math.ceil(size / tile)
    return Axis(tile, window, tuple(min(max(i * tile - halo, 0), size - window) for i in range(count)))


def make_grid(size: tuple[int, int], tile: int, arch: str, layers: tuple[str, ...]) -> Grid:
    """Divide an image into tiles.

    Args:
        size: ``(height, width)`` of the image.
        tile: side of a tile in pixels, rounded up to a multiple of the stride of the deepest layer.
        arch: architecture of the network.
        layers: layers whose activations are computed.
    """
    known = {layer: _reach(steps_to(arch, layer)) for layer in layers}
    stride = max((found[1] for found in known.values()), default=1)
    halo = math.ceil(max((found[0] for found in known.values()), default=0) / stride) * stride
    side = math.ceil(tile / stride) * stride
    strides = tuple((layer, found[1]) for layer, found in known.items())
    rows, columns = (_axis(length, side, halo, stride) for length in size)
    return Grid(rows, columns, strides)


def _place(corner: jax.Array) -> tuple[jax.Array, ...]:
    """Return the start of a tile's window as indices into ``(n, h, w, c)``."""
    zero = jnp.zeros((), corner.dtype)  # all indices need one dtype, also where 64-bit types are enabled
    return zero, corner[0, 1], corner[1, 1], zero


def _cut(grid: Grid, image: Images, corner: jax.Array) -> jax.Array:
    """Cut the window of a tile out of the image."""
    shape = (image.shape[0], grid.rows.window, grid.columns.window, image.shape[3])
    return lax.dynamic_slice(image, _place(corner), shape)


@dataclasses.dataclass(frozen=True)
class _Static:
    """The hashable part of a tiled loss. Equal ones share a compiled program."""

    record: Objective
    apply: FeatureFn
    grid: Grid

    def __call__(self, network: Any, targets: Targets, image: Images) -> tuple[Scalar, Terms]:
        return _loss(self, network, targets, image)

    def part(
        self,
        network: Any,
        targets: Targets,
        corner: jax.Array,
        whole: Sums | None,
        window: Images,
    ) -> Sums:
        """Compute the sums of one tile; see :func:`tile_sums`.

        Args:
            network: passed to ``apply``.
            targets: the targets of the whole image.
            corner: the tile's entry in :attr:`Grid.corners`.
            whole: the sums of all tiles, for gradients.
            window: the window of the tile, ``(1, window, window, 3)``.
        """
        found = self.apply(network, window, self.record.layers)
        strides = dict(self.grid.strides)

        def of_window(name: str, array: jax.Array, channels: tuple[int, ...] = ()) -> jax.Array:
            zero = jnp.zeros((), corner.dtype)
            start = (zero, *(corner[:, 1] // strides[name]), *(zero for _ in channels))
            return lax.dynamic_slice(array, start, (len(array), *found[name].shape[1:3], *channels))

        style = {
            name: tuple(
                region
                if region.mask is None
                else dataclasses.replace(region, mask=of_window(name, region.mask))
                for region in regions
            )
            for name, regions in targets.style.items()
        }
        content = {name: of_window(name, kept, kept.shape[3:]) for name, kept in targets.content.items()}
        own = {}
        for name, value in found.items():
            sides = []
            for side, axis in enumerate((self.grid.rows, self.grid.columns)):
                at = corner[side, 1] // strides[name] + jnp.arange(value.shape[1 + side])
                first, after = axis.own(corner[side, 0], strides[name])
                sides.append((at >= first) & (at < after))
            down, right = sides
            own[name] = (down[:, None] & right[None, :]).astype(value.dtype)
        cut = dataclasses.replace(targets, content=content, style=style, plans={})
        return tile_sums(self.record, cut, found, own, whole)


def _sums(static: _Static, network: Any, targets: Targets, image: Images) -> Sums:
    """Add up the sums of all tiles."""
    corners = jnp.asarray(static.grid.corners)

    def one(corner: jax.Array) -> Sums:
        return static.part(network, targets, corner, None, _cut(static.grid, image, corner))

    nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one, corners[0]))
    return lax.scan(lambda s, corner: (merged(s, one(corner)), None), nothing, corners)[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(static: _Static, network: Any, targets: Targets, image: Images) -> tuple[Scalar, Terms]:
    """Compute the loss of an image and its terms in tiles."""
    sums = _sums(static, network, targets, image)
    return loss_of_sums(static.record, targets, sums, image)


def _loss_fwd(static: _Static, network: Any, targets: Targets, image: Images) -> Any:
    """Compute the loss, and keep the sums for the second pass."""
    sums = _sums(static, network, targets, image)
    return loss_of_sums(static.record, targets, sums, image), (network, targets, image, sums)


def _loss_bwd(static: _Static, saved: Any, cotangent: Any) -> Any:
    """Compute the gradient with respect to the image, tile by tile."""
    network, targets, image, sums = saved
    _, pull = jax.vjp(partial(loss_of_sums, static.record, targets), sums, image)
    of_sums, of_image = pull(cotangent)

    def add(gradient: jax.Array, corner: jax.Array) -> tuple[jax.Array, None]:
        window = _cut(static.grid, image, corner)
        _, pull = jax.vjp(partial(static.part, network, targets, corner, sums), window)
        mine = _cut(static.grid, gradient, corner) + pull(of_sums)[0]
        return lax.dynamic_update_slice(gradient, mine, _place(corner)), None

    gradient, _ = lax.scan(add, of_image, jnp.asarray(static.grid.corners))
    return None, None, gradient  # weights and targets are constants


_loss.defvjp(_loss_fwd, _loss_bwd)


def tiled_objective(
    record: Objective, apply: FeatureFn, network: Backbone, targets: Targets, size: tuple[int, int], tile: int
) -> Callable[[Images], tuple[Scalar, Terms]]:
    """Return :func:`nstjax.losses.objective` computed in tiles, with the same loss and gradient to rounding.

    Memory is bounded by the activations of a tile, the image, and the targets. A gradient takes about 1.5
    times as long as without tiles, plus the time for the halos, which is about a fifth with tiles of 512
    pixels and relu3_2 as the deepest layer.

    Args:
        record: the objective, with its layers named.
        apply: as for :func:`nstjax.losses.objective`.
        network: a feature network whose layers have the positions of VGG's.
        targets: the targets of the whole image.
        size: ``(height, width)`` of the image.
        tile: side of a tile in pixels.

    Returns:
        ``fn(image) -> (total, terms)``. It supports reverse mode only; weights and targets are constants.

    Raises:
        InputError: If the objective has a window loss, or its style statistic is not made of sums over
            positions.
    """
    check_parts(record)
    grid = make_grid(size, tile, network.arch, record.layers)
    return jax.tree_util.Partial(_Static(record, apply, grid), network, targets)


def tiled_features(
    apply: FeatureFn, network: Backbone, image: Images, layers: tuple[str, ...], tile: int
) -> Features:
    """Compute the activations of a whole image tile by tile.

    Args:
        apply: as for :func:`nstjax.losses.objective`.
        network: the feature network.
        image: ``(1, h, w, 3)``.
        layers: names of the layers.
        tile: side of a tile in pixels.

    Returns:
        ``{name: (1, h', w', c)}``.
    """
    if not layers:
        return {}
    height, width = image.shape[1:3]
    grid = make_grid((height, width), tile, network.arch, layers)
    whole: dict[str, np.ndarray] = {}
    for corner in grid.corners:
        found = apply(network, _cut(grid, image, jnp.asarray(corner)), layers)
        for name, stride in grid.strides:
            value = np.asarray(found[name])
            if name not in whole:
                whole[name] = np.empty((1, height // stride, width // stride, value.shape[3]), value.dtype)
            places = []
            for (number, start), axis, end in zip(
                corner, (grid.rows, grid.columns), whole[name].shape[1:3], strict=True
            ):
                first, after = axis.own(int(number), stride)
                places.append((first, min(after, end), start // stride))
            (top, bottom, y), (left, right, x) = places
            whole[name][:, top:bottom, left:right] = value[:, top - y : bottom - y, left - x : right - x]
    return {name: jnp.asarray(whole[name]) for name in layers}
