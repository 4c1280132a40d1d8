"""The three slices that the published networks see of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGER_SIDE, KEPT = 256, 224
_AXES = (2, 0, 1)
"""Across which the slices lie, in their order."""

Plane = NDArray[np.float32]


def views(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the middle slice across each axis, as the published networks want it.

    Intensities lie between -0.5 and 0.5. A slice is flipped along its first axis, resampled
    linearly so that its larger side has 256 pixels, filled up with 0 to 256 x 256, cut to the inner
    224 x 224, turned counter-clockwise by 90 degrees and flipped from left to right.

    Parameters
    ----------
    voxels
        Shape (x, y, z), not all the same; what is no number counts as 0.

    Returns
    -------
    Shape (3, 224, 224).
    """
    known = np.nan_to_num(voxels, nan=0.0)
    low, high = float(known.min()), float(known.max())
    slices = (known.take(known.shape[axis] // 2, axis) for axis in _AXES)
    return np.stack([_view((one - low) / (high - low) - 0.5) for one in slices])


def _view(plane: Plane) -> Plane:
    rows, columns = (round(size * LARGER_SIDE / max(plane.shape)) for size in plane.shape)
    of_rows, of_columns = _between(rows, plane.shape[0]), _between(columns, plane.shape[1])
    resized = of_rows @ plane[::-1] @ of_columns.T
    canvas = np.zeros((LARGER_SIDE, LARGER_SIDE), np.float32)
    top, left = (LARGER_SIDE - rows) // 2, (LARGER_SIDE - columns) // 2
    canvas[top : top + rows, left : left + columns] = resized
    edge = (LARGER_SIDE - KEPT) // 2
    return np.fliplr(np.rot90(canvas[edge : edge + KEPT, edge : edge + KEPT]))


def _between(size: int, given: int) -> NDArray[np.float32]:
    """Return the weights of ``given`` pixels in each of ``size``, which cover the same length."""
    place = np.clip((np.arange(size) + 0.5) * given / size - 0.5, 0, given - 1)
    distance = np.abs(place[:, None] - np.arange(given))
    return np.asarray(np.clip(1 - distance, 0, None), dtype=np.float32)
