"""Pools without padding of zeros, whose gradients are deterministic on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn


class MaxPool(nn.Module):
    """Largest value of windows that lie two voxels apart.

    Size ``n`` becomes ``(n + 2 padding - kernel) // 2 + 1``; what no window reaches is left out.
    Padding never wins.

    Parameters
    ----------
    kernel
        Edge of a window, 2 or 3.
    padding
        Voxels in front of and behind each axis.
    """

    def __init__(self, kernel: int, *, padding: int = 0) -> None:
        super().__init__()
        self.kernel = kernel
        self.padding = padding

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps, in the memory format of ``maps``.

        Parameters
        ----------
        maps
            Shape (samples, channels, x, y) or (samples, channels, x, y, z).
        """
        if maps.is_cuda:
            # The backward pass of max_pool on CUDA adds in the order in which threads arrive.
            return largest_of_shifts(maps, self.kernel, self.padding)
        pool = F.max_pool3d if maps.dim() == 5 else F.max_pool2d
        pooled: Tensor = pool(maps, self.kernel, stride=2, padding=self.padding)
        return pooled

    def extra_repr(self) -> str:
        """Return what a printed network says of the layer."""
        return f"kernel={self.kernel}, padding={self.padding}"


class AveragePool(nn.Module):
    """Mean of each window of two along every axis; a last odd voxel is left out."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps.

        Parameters
        ----------
        maps
            Shape (samples, channels, x, y) or (samples, channels, x, y, z).
        """
        if maps.is_cuda:
            # As above; the mean of pairs along one axis after the other is the mean of all.
            return mean_of_shifts(maps)
        pool = F.avg_pool3d if maps.dim() == 5 else F.avg_pool2d
        pooled: Tensor = pool(maps, 2)
        return pooled


class GlobalAverage(nn.Module):
    """Mean over all axes of space, which stay with size 1."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return one value for each sample and channel."""
        return maps.mean(tuple(range(2, maps.dim())), keepdim=True)


def largest_of_shifts(maps: Tensor, kernel: int, padding: int) -> Tensor:
    """Return what `MaxPool` returns, by arithmetic on elements.

    Values and gradients are those of PyTorch's pooling: the first of equal values wins, and an
    undefined value (NaN) stays undefined.
    """
    pooled = F.pad(maps, (padding,) * 2 * (maps.dim() - 2), value=-torch.inf)
    for axis in reversed(range(2, maps.dim())):
        largest, *others = _shifted(pooled, axis, kernel)
        for other in others:
            largest = torch.where((other > largest) | other.isnan(), other, largest)
        pooled = largest
    return pooled


def mean_of_shifts(maps: Tensor) -> Tensor:
    """Return what `AveragePool` returns, by arithmetic on elements."""
    for axis in range(2, maps.dim()):
        first, second = _shifted(maps, axis, 2)
        maps = (first + second) / 2
    return maps


def _shifted(maps: Tensor, axis: int, kernel: int) -> list[Tensor]:
    """Return the first, second, ... element of each window along an axis."""
    last = (maps.shape[axis] - kernel) // 2 * 2
    before = (slice(None),) * axis
    return [maps[(*before, slice(start, start + last + 1, 2))] for start in range(kernel)]
