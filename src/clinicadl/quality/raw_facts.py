"""What a raw image says, in its header and in its voxels, as a few numbers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.layouts import images

N_CELLS = 16
"""Cells along each axis of the small picture of an image."""

_MOST_ALONG = 128
"""From this length on, every second voxel along an axis is enough for statistics."""
_BINS = 256
_LOWEST_SHARE, _HIGHEST_SHARE = 5, 95
"""Per cent of the foreground between which its contrast is measured."""
_MAD = 1.4826
"""From the median of the distances from 0 to the standard deviation, of normal noise."""
_LEAST_OF_A_SLICE = 0.01
"""Share of foreground in a slice that cuts the head; noise at the border has less."""
_EVERY = 3
"""Planes that are looked at for noise."""

Voxels = NDArray[np.float32]
Affine = NDArray[np.float64]


class Facts(NamedTuple):
    """What is known of a raw image that could be read."""

    shape: tuple[int, ...]
    """Of all axes but trailing ones of length 1."""
    voxel_size: tuple[float, float, float]
    """As the header has it."""
    unit: str
    affine: Affine
    """What readers take, in mm."""
    qform: Affine | None
    sform: Affine | None
    low: float
    high: float
    """Of the numbers among the voxels; NaN where there is none."""
    n_undefined: int
    n_infinite: int
    looks: Looks | None
    """None of an image that shows nothing: all voxels are the same, or none is a number."""


class Looks(NamedTuple):
    """How an image looks; of several volumes, their mean."""

    n_levels: int
    """Different values in the foreground, of every second voxel along a long axis."""
    clipped: float
    """Voxels at the highest value, as a share of the foreground."""
    contrast: float
    """(high - low) / (high + low), of values that 95 % and 5 % of the foreground are below."""
    contrast_to_noise: float
    """Their difference, over the noise in the foreground."""
    n_blank: tuple[int, int, int]
    """Slices across x, y and z whose voxels are all the same, between those that cut the head."""
    values: int
    """The same for the same values in whatever order, and for hardly any others."""
    picture: Voxels
    """Means of cells, axes to the right, front and top, mean 0, deviation 1; shape (16, 16, 16)."""


def read(path: Path) -> Facts:
    """Return what is known of an image.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It cannot be read as an image.
    """
    stored = images.read_stored(path)
    shape = stored.voxels.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    volumes = stored.voxels.reshape((*shape[:3], -1), order="F")
    n_undefined = n_infinite = 0
    if volumes.dtype.kind == "f":
        n_undefined = int(np.count_nonzero(np.isnan(volumes)))
        n_infinite = int(np.count_nonzero(np.isinf(volumes)))
    numbers = volumes[np.isfinite(volumes)] if n_undefined or n_infinite else volumes
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (np.nan, np.nan)
    looks = _looks(volumes, stored.affine) if low < high else None
    return Facts(
        shape, stored.voxel_size, stored.unit, stored.affine, stored.qform, stored.sform,
        low, high, n_undefined, n_infinite, looks,
    )  # fmt: skip


def _looks(volumes: NDArray[np.generic], affine: Affine) -> Looks | None:
    with np.errstate(over="ignore"):
        volume = np.asarray(volumes[..., 0], dtype=np.float32, order="F")
        if volumes.shape[-1] > 1:
            volume = np.asfortranarray(volumes.mean(axis=-1, dtype=np.float32))
    if not np.isfinite([volume.min(), volume.max()]).all():
        volume = np.nan_to_num(volume, posinf=0, neginf=0)
    high = volume.max()
    if high == volume.min():
        return None
    few = volume[tuple(slice(None, None, 1 + (n >= _MOST_ALONG)) for n in volume.shape)]
    limit = foreground(few)
    head = few[few >= limit]
    low_end, high_end = map(float, np.percentile(head, [_LOWEST_SHARE, _HIGHEST_SHARE]))
    spread, total = high_end - low_end, abs(high_end) + abs(low_end)
    noise = _noise(volume, limit)
    return Looks(
        n_levels=len(np.unique(head)),
        clipped=int((volume == high).sum()) / max(1, int((volume >= limit).sum())),
        contrast=spread / total if total else 0.0,
        contrast_to_noise=spread / noise if noise else np.inf,
        n_blank=_n_blank(volume, limit),
        values=_multiset(volumes),
        picture=_picture(volume, affine),
    )


def foreground(voxels: Voxels) -> float:
    """Return the value from which voxels are foreground, by Otsu's method [1]_ on 256 bins.

    Parameters
    ----------
    voxels
        Finite, and not all the same.

    References
    ----------
    .. [1] Otsu, IEEE Trans. Systems, Man and Cybernetics 9 (1979) 62-66
    """
    low, high = float(voxels.min()), float(voxels.max())
    width = (high - low) / _BINS
    places = np.minimum((voxels - low) / width, _BINS - 1).astype(np.uint8)
    share = np.bincount(places.ravel(order="K"), minlength=_BINS) / voxels.size
    below, mean_below = np.cumsum(share), np.cumsum(share * np.arange(_BINS))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean_below[-1] * below - mean_below) ** 2 / (below * (1 - below))
    return low + (int(np.nanargmax(between[:-1])) + 1) * width


def _noise(volume: Voxels, limit: float) -> float:
    """Return the standard deviation of noise: of second differences, along the calmest axis."""
    found = []
    for axis in range(3):
        lines = np.moveaxis(volume, axis, 0)[:, ::_EVERY, ::_EVERY]
        before, here, after = lines[:-2], lines[1:-1], lines[2:]
        inside = (before >= limit) & (here >= limit) & (after >= limit)
        if inside.any():
            # The variance of x - (y + z) / 2 is 1.5 times that of the noise.
            change = (here - (before + after) / 2)[inside] / np.sqrt(1.5)
            found.append(_MAD * float(np.median(np.abs(change))))
    return min(found, default=0.0)


def _n_blank(volume: Voxels, limit: float) -> tuple[int, int, int]:
    head = volume >= limit
    counts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(head.mean(axis=others) > _LEAST_OF_A_SLICE)
        blank = volume.min(axis=others) == volume.max(axis=others)
        counts.append(int(blank[inside[0] : inside[-1]].sum()) if len(inside) else 0)
    return counts[0], counts[1], counts[2]


def _multiset(volumes: NDArray[np.generic]) -> int:
    """Return the sum of a mix of the bits of each value, which knows no order of the values."""
    total = np.uint64(0)
    for number in range(volumes.shape[-1]):
        with np.errstate(over="ignore"):
            values = np.asarray(volumes[..., number], dtype=np.float32)
            # So that 0 and -0 are one value.
            bits = (values + np.float32(0)).ravel(order="K").view(np.uint32).astype(np.uint64)
            bits *= np.uint64(0x9E3779B97F4A7C15)
            bits ^= bits >> np.uint64(29)
            bits *= np.uint64(0xBF58476D1CE4E5B9)
            bits ^= bits >> np.uint64(32)
            total += bits.sum(dtype=np.uint64)
    return int(total)


def _picture(volume: Voxels, affine: Affine) -> Voxels:
    cells = images.to_ras(volume, affine)
    for axis in (2, 1, 0):
        n = cells.shape[axis]
        edges, place = np.linspace(0, n, N_CELLS + 1), np.arange(n)[:, None]
        # How much of each voxel lies in each cell: a mirrored image gives the mirrored picture.
        weights = np.minimum(edges[1:], place + 1) - np.maximum(edges[:-1], place)
        weights = np.clip(weights, 0, None) * (N_CELLS / n)
        cells = np.moveaxis(np.tensordot(cells, weights.astype(np.float32), (axis, 0)), -1, axis)
    deviation = float(cells.std())
    return np.asarray((cells - cells.mean()) / (deviation or 1), dtype=np.float32)
