"""Layers that PyTorch does not have."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn


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


def pool_in_place(maps: Tensor) -> Tensor:
    """Return padded and pooled maps without copying them.

    ``max_pool`` itself pads both sides with minus infinity. Where the size is odd, no window
    reaches the padding of the high side, so that only its low side counts; the zero is then
    compared with the windows that touch it, a single plane of the result.
    """
    odd = [size % 2 for size in maps.shape[2:]]
    pool = F.max_pool3d if len(odd) == 3 else F.max_pool2d
    pooled: Tensor = pool(maps, kernel_size=2, stride=2, padding=odd)
    for axis, is_odd in enumerate(odd, start=2):
        if is_odd:
            plane = pooled.narrow(axis, 0, 1)
            plane.masked_fill_(plane <= 0, 0)
    return pooled


def pool_by_pairs(maps: Tensor) -> Tensor:
    """Return padded and pooled maps by arithmetic on elements, with a deterministic gradient.

    Values and gradients are those of `pool_in_place`: the first of equal values wins, and an
    undefined value (NaN) stays undefined.
    """
    low_sides = [side for size in reversed(maps.shape[2:]) for side in (size % 2, 0)]
    pooled = F.pad(maps, low_sides)
    for axis in reversed(range(2, maps.dim())):
        first, second = torch.unflatten(pooled, axis, (-1, 2)).unbind(axis + 1)
        pooled = torch.where((second > first) | second.isnan(), second, first)
    return pooled
