"""The three slices that the published networks see of an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LARGER_SIDE, KEPT = 256, 224
_AXES = (2, 0, 1)
"""Across which the slices lie, in their order."""


def views(voxels: NDArray[np.float32]) -> Tensor:
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
    return torch.stack([_view((one - low) / (high - low) - 0.5) for one in slices])


def _view(plane: NDArray[np.float32]) -> Tensor:
    flipped = torch.from_numpy(np.flip(plane, 0).astype(np.float32))
    scale = LARGER_SIDE / max(plane.shape)
    sizes = [round(size * scale) for size in plane.shape]
    resized = functional.interpolate(flipped[None, None], size=sizes, mode="bilinear")[0, 0]
    rows, columns = (LARGER_SIDE - size for size in sizes)
    margins = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    edge = (LARGER_SIDE - KEPT) // 2
    kept = functional.pad(resized, margins)[edge : edge + KEPT, edge : edge + KEPT]
    return torch.rot90(kept, 1, (0, 1)).flip(1)
