"""How well a map finds what is known to matter, and which regions it names."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from clinicadl.attribution.truth import Atlas
from clinicadl.layouts.masks import INDEX, NAME

Voxels = NDArray[np.float64]


def importance(of_channels: NDArray[np.float32]) -> Voxels:
    """Return how much each voxel matters: the sum over the channels of the magnitude of the map.

    Parameters
    ----------
    of_channels
        Shape (channel, x, y, z).
    """
    found: Voxels = np.abs(of_channels.astype(np.float64)).sum(0)
    return found


def dice_of_top(important: Voxels, mask: NDArray[np.bool_], fraction: float | None) -> float:
    """Return the Dice coefficient of the voxels that matter most and of the truth.

    Where voxels at the limit matter the same, it is what a random choice among them would give on
    average: the order of voxels says nothing.

    Parameters
    ----------
    important
        Of each voxel.
    mask
        The truth.
    fraction
        Share of the voxels that are taken; none: as many as the truth has.
    """
    n_mask, n_top = int(mask.sum()), _n_top(mask, fraction)
    limit = np.partition(important, mask.size - n_top, axis=None)[mask.size - n_top]
    above, at = important > limit, important == limit
    share = (n_top - above.sum()) / at.sum()
    both = (above & mask).sum() + share * (at & mask).sum()
    return float(2 * both / (n_top + n_mask))


def dice_by_chance(mask: NDArray[np.bool_], fraction: float | None) -> float:
    """Return the mean of `dice_of_top` over maps that say nothing."""
    n_mask, n_top = int(mask.sum()), _n_top(mask, fraction)
    return 2 * n_top * n_mask / mask.size / (n_top + n_mask)


def _n_top(mask: NDArray[np.bool_], fraction: float | None) -> int:
    """Return how many voxels count as found."""
    return int(mask.sum()) if fraction is None else max(1, round(fraction * mask.size))


def area_under_curve(important: Voxels, mask: NDArray[np.bool_]) -> float:
    """Return how often a voxel of the truth matters more than another one; equals count half [1]_.

    References
    ----------
    .. [1] Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747
    """
    inside = mask.ravel()
    n_in = int(inside.sum())
    ranks = rankdata(important.ravel())
    wins = ranks[inside].sum() - n_in * (n_in + 1) / 2
    return float(wins / (n_in * (inside.size - n_in)))


def by_region(of_channels: NDArray[np.float32], atlas: Atlas) -> pd.DataFrame:
    """Return the mean of a map in each region of an atlas.

    Parameters
    ----------
    of_channels
        Shape (channel, x, y, z); channels are summed.
    atlas
        On the same grid.

    Returns
    -------
    index, name, n_voxels, mean, mean_magnitude; a row a region, in the order of the indices.
    """
    region = atlas.voxels.ravel()
    signed = of_channels.astype(np.float64).sum(0).ravel()
    counts = np.bincount(region)
    sums = np.bincount(region, weights=signed)
    magnitudes = np.bincount(region, weights=importance(of_channels).ravel())
    numbers = np.array([*atlas.names])
    return pd.DataFrame(
        {
            INDEX: numbers,
            NAME: [*atlas.names.values()],
            "n_voxels": counts[numbers],
            "mean": sums[numbers] / counts[numbers],
            "mean_magnitude": magnitudes[numbers] / counts[numbers],
        }
    )
