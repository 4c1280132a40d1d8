"""Intensities of a sample."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinicadl.config.transforms import MinMax, Percentile, ZScore

    Normalization = Callable[[Tensor], Tensor]


def laid(image: Tensor, out: Tensor | None) -> Tensor:
    """Return a sample as it is, or ``out``, which is then filled with it."""
    return image if out is None else out.copy_(image)


def without_nan(image: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the sample with 0 where it was not a number; itself where all voxels are numbers.

    The result is ``out``, where that is given.
    """
    has_some = bool(torch.isnan(image.sum()))
    return laid(torch.nan_to_num(image, nan=0.0) if has_some else image, out)


def min_max(image: Tensor, *, only_nonzero: bool = False, out: Tensor | None = None) -> Tensor:
    """Return the sample scaled to [0, 1] by its own extremes; zeros where all are the same.

    What is not a number counts as 0. With ``only_nonzero`` the extremes are those of the voxels
    that are not 0, and the others stay 0. The result is ``out``, where that is given.
    """
    if only_nonzero:
        return laid(_inside(without_nan(image), min_max), out)
    if not image.is_contiguous():
        # Of a cut, torch would make a copy to find the extremes and another to scale it.
        out = torch.empty(image.shape, dtype=image.dtype) if out is None else out
        image = out.copy_(image)
    low, high = torch.aminmax(image)
    if bool(torch.isnan(low)):
        return min_max(torch.nan_to_num(image, nan=0.0), out=out)
    if bool(low == high):
        return laid(torch.zeros_like(image), out)
    return torch.sub(image, low, out=out).div_(high - low)


def z_score(image: Tensor, *, only_nonzero: bool = False) -> Tensor:
    """Return the sample with mean 0 and standard deviation 1; zeros where all are the same.

    What is not a number counts as 0. With ``only_nonzero`` the mean and the deviation (that of the
    population) are those of the voxels that are not 0, and the others stay 0.
    """
    image = without_nan(image)
    if only_nonzero:
        return _inside(image, z_score)
    low, high = torch.aminmax(image)
    if bool(low == high):
        return torch.zeros_like(image)
    # NumPy adds in one order, whatever the number of threads: the same bits in every worker.
    voxels = image.numpy()
    mean = float(voxels.mean(dtype=np.float64))
    return (image - mean).div_(float(voxels.std(dtype=np.float64)))


def percentile(
    image: Tensor,
    *,
    low_percentile: float = 1.0,
    high_percentile: float = 99.0,
    only_nonzero: bool = False,
) -> Tensor:
    """Return the sample clipped at two of its percentiles, then scaled to [0, 1] by them.

    Zeros where both percentiles are the same. What is not a number counts as 0. With
    ``only_nonzero`` the percentiles are those of the voxels that are not 0, and the others stay 0.
    """
    image = without_nan(image)
    scale = partial(percentile, low_percentile=low_percentile, high_percentile=high_percentile)
    if only_nonzero:
        return _inside(image, scale)
    low, high = (float(p) for p in np.percentile(image.numpy(), (low_percentile, high_percentile)))
    if low == high:
        return torch.zeros_like(image)
    return image.clamp(low, high).sub_(low).div_(high - low)


def _inside(image: Tensor, change: Normalization) -> Tensor:
    """Return the sample changed where it is not 0."""
    inside = image != 0
    if not bool(inside.any()):
        return torch.zeros_like(image)
    return torch.zeros_like(image).masked_scatter_(inside, change(image[inside]))


def min_max_of(settings: MinMax) -> Normalization:
    """Return the scaling by extremes with these settings."""
    return partial(min_max, only_nonzero=settings.only_nonzero)


def z_score_of(settings: ZScore) -> Normalization:
    """Return the scaling by mean and deviation with these settings."""
    return partial(z_score, only_nonzero=settings.only_nonzero)


def percentile_of(settings: Percentile) -> Normalization:
    """Return the scaling by percentiles with these settings."""
    return partial(
        percentile,
        low_percentile=settings.low_percentile,
        high_percentile=settings.high_percentile,
        only_nonzero=settings.only_nonzero,
    )
