"""From the parts of an image back to the image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from clinicadl.data.parts import Parts


class Assembled(NamedTuple):
    """An image that was put together from its parts."""

    volume: Tensor
    """Shape (channel, x, y, z), float32; where parts overlap their mean, where none is 0."""
    covered: Tensor
    """Which voxels belong to a part, shape (x, y, z)."""


class Assembly:
    """An image that is being put together; it grows by a part at a time.

    Parameters
    ----------
    parts
        Where the parts lie.
    n_channels
        Channels of each part; the identical ones that a slice was given become one again.
    """

    def __init__(self, parts: Parts, n_channels: int) -> None:
        self._parts = parts
        grid = parts.image_shape[1:]
        # In double precision the mean of equal numbers is that number, however many there are.
        self._sums = torch.zeros(n_channels // parts.n_copies, *grid, dtype=torch.float64)
        self._counts = torch.zeros(*grid, dtype=torch.int32)

    def add(self, index: int, part: Tensor) -> None:
        """Put a part where it belongs.

        Parameters
        ----------
        index
            Of the part.
        part
            Shape as `Parts.cut` gives it, with any number of channels. What lies outside of the
            image, or of the mask of a region, is left out.
        """
        parts = self._parts
        start, stop = parts.windows[index]
        ends = tuple(map(min, stop, parts.image_shape[1:]))
        x, y, z = (slice(*some) for some in zip(start, ends, strict=True))
        voxels = part.detach().cpu().double()
        if parts.n_copies > 1:
            voxels = voxels.reshape(-1, parts.n_copies, *voxels.shape[1:]).mean(1)
        if parts.axis is not None:
            voxels = voxels.unsqueeze(parts.axis + 1)
        if parts.uncropped:
            voxels = voxels[:, x, y, z]
        sizes = (to - at for at, to in zip(start, ends, strict=True))
        i, j, k = (slice(size) for size in sizes)
        voxels = voxels[:, i, j, k]
        if parts.masks:
            inside = torch.from_numpy(parts.masks[index].voxels)
            self._sums[:, x, y, z] += voxels.where(inside, 0)
            self._counts[x, y, z] += inside
        else:
            self._sums[:, x, y, z] += voxels
            self._counts[x, y, z] += 1

    def assembled(self) -> Assembled:
        """Return the image of the parts that were added."""
        mean = self._sums / self._counts.clamp(min=1)
        return Assembled(mean.float(), self._counts > 0)


def assembled(parts: Parts, outputs: Iterable[Tensor]) -> Assembled:
    """Return the image that parts make together.

    Parameters
    ----------
    parts
        Where the parts lie.
    outputs
        Each part, in their order, shape as `Parts.cut` gives it, with any number of channels.
    """
    first, *others = outputs
    growing = Assembly(parts, len(first))
    for index, part in enumerate((first, *others)):
        growing.add(index, part)
    return growing.assembled()
