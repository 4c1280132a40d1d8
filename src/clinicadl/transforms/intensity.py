"""Intensities of a sample."""

from __future__ import annotations

import torch
from torch import Tensor


def without_nan(image: Tensor) -> Tensor:
    """Return the sample with 0 where it was not a number; itself where all voxels are numbers."""
    return torch.nan_to_num(image, nan=0.0) if bool(torch.isnan(image.sum())) else image


def min_max(image: Tensor) -> Tensor:
    """Return the sample scaled to [0, 1] by its own extremes; zeros where all are the same.

    What is not a number counts as 0.
    """
    low, high = torch.aminmax(image)
    if bool(torch.isnan(low)):
        return min_max(torch.nan_to_num(image, nan=0.0))
    if bool(low == high):
        return torch.zeros_like(image)
    return (image - low).div_(high - low)
