"""Layers that PyTorch does not have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn


class Windows(NamedTuple):
    """The windows of a max pooling, side by side without overlap."""

    edges: tuple[int, ...]
    """Elements of a window along each spatial axis."""
    padding: tuple[int, ...]
    """Elements before the first one of each axis; as many may stand behind the last one."""
    zeros: bool = False
    """Whether the padding is zero and takes part, and not minus infinity."""


class Places(NamedTuple):
    """Where in a map the values of its pooled map stood."""

    indices: Tensor
    """Of each pooled value, the place in the map, its spatial axes flattened."""
    lost: tuple[Tensor, ...]
    """Of each padded axis, where in the first plane a padded zero won: these have no place."""
    size: tuple[int, ...]
    """Of the map, along its spatial axes."""
    windows: Windows


class PadMaxPool(nn.Module):
    """Largest value of each window of two along every spatial axis.

    An axis of odd size is first padded with one zero before its first element, so that size ``n``
    becomes ``ceil(n / 2)``. The zero takes part: it wins over negative values.

    Shape: (samples, channels, x, y) or (samples, channels, x, y, z).
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps, in the memory format of ``maps``."""
        # The backward pass of max_pool on CUDA adds in the order in which threads arrive.
        return pool_by_pairs(maps) if maps.is_cuda else pool_in_place(maps)


class CropMaxUnpool(nn.Module):
    """Pooled values back at their places, zeros elsewhere, in a map of the former size.

    A value whose place was in the padding is lost.

    Shape: (samples, channels, x, y) or (samples, channels, x, y, z).
    """

    def forward(self, values: Tensor, places: Places) -> Tensor:
        """Return the map, in the memory format of ``values``.

        Parameters
        ----------
        values
            One for each place.
        places
            Of `pool_with_places`.
        """
        return unpool(values, places)


def odd_axes(size: Sequence[int]) -> tuple[int, ...]:
    """Return 1 for each axis of odd size and 0 for the others: the zeros that `PadMaxPool` adds."""
    return tuple(one % 2 for one in size)


def pair_windows(size: Sequence[int]) -> Windows:
    """Return the windows of `PadMaxPool` on maps of a size."""
    return Windows((2,) * len(size), odd_axes(size), zeros=True)


def pool_with_places(maps: Tensor, windows: Windows | None = None) -> tuple[Tensor, Places]:
    """Return the pooled maps and where their values stood, with a deterministic gradient.

    Parameters
    ----------
    maps
        Shape (samples, channels, x, y) or (samples, channels, x, y, z).
    windows
        Those of `PadMaxPool`, unless said otherwise.
    """
    size = tuple(maps.shape[2:])
    windows = windows or pair_windows(size)
    pooled, indices, *lost = _Pool.apply(maps, windows)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return pooled, Places(indices, tuple(lost), size, windows)


def unpool(values: Tensor, places: Places) -> Tensor:
    """Return a map with the values at their places and zeros elsewhere, in a deterministic way."""
    unpooled: Tensor = _Unpool.apply(values, places)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return unpooled


def pool_in_place(maps: Tensor) -> Tensor:
    """Return padded and pooled maps without copying them.

    ``max_pool`` itself pads both sides with minus infinity. Where the size is odd, no window
    reaches the padding of the high side, so that only its low side counts; the zero is then
    compared with the windows that touch it, a single plane of the result.
    """
    windows = pair_windows(maps.shape[2:])
    pooled, _ = _max_pool(maps, windows)
    _let_zeros_win(pooled, windows)
    return pooled


def pool_by_pairs(maps: Tensor) -> Tensor:
    """Return padded and pooled maps by arithmetic on elements, with a deterministic gradient.

    Values and gradients are those of `pool_in_place`: the first of equal values wins, and an
    undefined value (NaN) stays undefined.
    """
    low_sides = [side for odd in reversed(odd_axes(maps.shape[2:])) for side in (odd, 0)]
    pooled = F.pad(maps, low_sides)
    for axis in reversed(range(2, maps.dim())):
        first, second = torch.unflatten(pooled, axis, (-1, 2)).unbind(axis + 1)
        pooled = torch.where((second > first) | second.isnan(), second, first)
    return pooled


def unpool_in_place(values: Tensor, places: Places) -> Tensor:
    """Return the map of the values at their places, by the gradient of ``max_pool``.

    That gradient is this map: each value stands where its window found the largest one. On the CPU
    it is deterministic, as windows do not overlap; torch lets nobody use ``max_unpool`` so.
    """
    edges, padding = places.windows.edges, places.windows.padding
    layout = torch.contiguous_format
    if not values.is_contiguous():
        layout = torch.channels_last_3d if values.dim() == 5 else torch.channels_last
    # Only its shape and its layout are read.
    like = torch.empty(
        (*values.shape[:2], *places.size),
        dtype=values.dtype, device=values.device, memory_format=layout,
    )  # fmt: skip
    gradients = torch.ops.aten
    gradient = (
        gradients.max_pool3d_with_indices_backward
        if values.dim() == 5
        else gradients.max_pool2d_with_indices_backward
    )
    unpooled: Tensor = gradient(
        _without_lost(values, places), like, edges, edges, padding, (1,) * len(edges), False,
        places.indices,
    )  # fmt: skip
    return unpooled


def unpool_by_windows(values: Tensor, places: Places) -> Tensor:
    """Return the map of the values at their places, by one corner of all windows after another.

    No element is written twice and nothing is added, so that no order of threads can matter.
    """
    grid, size = values.shape[2:], places.size
    axes = list(zip(grid, places.windows.edges, places.windows.padding, size, strict=True))
    steps = [prod(size[axis + 1 :]) for axis in range(len(size))]
    padded = values.new_zeros(
        *values.shape[:2], *(max(n * edge, pad + one) for n, edge, pad, one in axes)
    )
    origins = places.indices.new_zeros(())
    for (n, edge, pad, _), step in zip(axes, steps, strict=True):
        starts = torch.arange(n, device=values.device) * edge - pad
        origins = origins.unsqueeze(-1) + starts * step
    within = places.indices - origins
    kept = _without_lost(values, places)
    for corner in product(*(range(edge) for _, edge, _, _ in axes)):
        offset = sum(first * step for first, step in zip(corner, steps, strict=True))
        at = [
            slice(first, first + (n - 1) * edge + 1, edge)
            for first, (n, edge, _, _) in zip(corner, axes, strict=True)
        ]
        padded[:, :, *at] = torch.where(within == offset, kept, 0)
    return padded[:, :, *[slice(pad, pad + one) for _, _, pad, one in axes]]


class _Pool(torch.autograd.Function):
    """Max pooling that tells where its values stood; its gradient is the unpooled one."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, windows: Windows) -> tuple[Tensor, ...]:
        pooled, indices = _max_pool(maps, windows)
        lost = _let_zeros_win(pooled, windows) if windows.zeros else ()
        ctx.mark_non_differentiable(indices, *lost)
        ctx.places = Places(indices, lost, tuple(maps.shape[2:]), windows)
        return pooled, indices, *lost

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        return unpool(gradient, ctx.places), None


class _Unpool(torch.autograd.Function):
    """Unpooling, in the fastest way that is deterministic; its gradient is picked at the places."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Places) -> Tensor:
        ctx.places = places
        return (unpool_by_windows if values.is_cuda else unpool_in_place)(values, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _picked(gradient, ctx.places), None


def _max_pool(maps: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Return the pooled maps and their indices, with padding of minus infinity."""
    pool = F.max_pool3d if maps.dim() == 5 else F.max_pool2d
    pooled, indices = pool(maps, windows.edges, padding=windows.padding, return_indices=True)
    return pooled, indices


def _let_zeros_win(pooled: Tensor, windows: Windows) -> tuple[Tensor, ...]:
    """Put the padded zeros where they are not below the others, and return where that is."""
    won = []
    for plane in _first_planes(pooled, windows):
        won.append(plane <= 0)
        plane.masked_fill_(won[-1], 0)
    return tuple(won)


def _without_lost(values: Tensor, places: Places) -> Tensor:
    """Return the values with zeros for those that have no place."""
    if not places.lost:
        return values
    kept = values.clone()
    for plane, lost in zip(_first_planes(kept, places.windows), places.lost, strict=True):
        plane.masked_fill_(lost, 0)
    return kept


def _first_planes(pooled: Tensor, windows: Windows) -> list[Tensor]:
    """Return the first plane of each padded axis."""
    return [
        pooled.narrow(axis, 0, 1) for axis, is_padded in enumerate(windows.padding, 2) if is_padded
    ]


def _picked(maps: Tensor, places: Places) -> Tensor:
    """Return the values of the maps at the places, zeros for those that have none."""
    indices = places.indices
    if indices.is_contiguous():
        picked = maps.flatten(2).gather(2, indices.flatten(2)).view_as(indices)
    else:  # channels last: in this order nothing is copied
        flat = indices.movedim(1, -1)
        picked = maps.movedim(1, -1).flatten(1, -2).gather(1, flat.flatten(1, -2))
        picked = picked.view_as(flat).movedim(-1, 1)
    return _without_lost(picked, places)
