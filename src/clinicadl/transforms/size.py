"""Smaller samples for networks that take no larger ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.errors import UsageError

GRID = (169, 208, 179)
"""Voxels of an image whose size can be reduced, as t1-linear and pet-linear write it, cropped."""

WINDOWS = {
    2: (slice(4, 164, 2), slice(8, 200, 2), slice(8, 168, 2)),
    3: (slice(0, 168, 3), slice(8, 200, 3), slice(4, 172, 3)),
    4: (slice(4, 164, 4), slice(8, 200, 4), slice(8, 168, 4)),
    5: (slice(4, 164, 5), slice(0, 200, 5), slice(8, 168, 5)),
}
"""Voxels that are kept along each axis, of each factor."""


def reduced_shape(shape: tuple[int, ...], factor: int) -> tuple[int, ...]:
    """Return the shape (channel, x, y, z) of the reduced sample.

    Raises
    ------
    UsageError
        The sample is not a whole image of 169 x 208 x 179.

    Examples
    --------
    >>> reduced_shape((1, 169, 208, 179), 2)
    (1, 80, 96, 80)
    """
    if shape[1:] != GRID:
        raise UsageError(
            "The size of these samples cannot be reduced",
            where="transforms.size_reduction",
            found="x".join(str(size) for size in shape[1:]),
            fix=f"It is defined for whole images of {'x'.join(str(size) for size in GRID)}",
        )
    kept = (range(size)[window] for size, window in zip(GRID, WINDOWS[factor], strict=True))
    return (shape[0], *(len(voxels) for voxels in kept))


def reduced_affine(affine: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Return the affine of the reduced sample, so that its voxels keep their place in the world.

    Parameters
    ----------
    affine
        Of the image: voxel to world, in mm, RAS+, shape (4, 4).
    factor
        Voxels of the image along an edge of a reduced one.
    """
    of_voxel = np.diag([factor, factor, factor, 1.0])
    of_voxel[:3, 3] = [window.start for window in WINDOWS[factor]]
    return affine @ of_voxel


def reduced(image: Tensor, *, factor: int) -> Tensor:
    """Return every ``factor``-th voxel of a crop that fits, of an image of 169 x 208 x 179."""
    # A copy: a view would carry the whole image from the worker to the network.
    return image[:, *WINDOWS[factor]].contiguous()
