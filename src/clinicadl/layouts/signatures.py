"""What an image shows of the head that it is of: a few thousand small numbers."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

KIND = "clinicadl-signature-1"
"""Changes with every change of what is computed here: only signatures of one kind compare."""

STEP_MM = 8.0
"""Between neighbouring places that are looked at."""
CENTRE_MM = (0.0, -18.0, 10.0)
HALF_AXES_MM = (66.0, 86.0, 64.0)
"""An ellipsoid inside of the brain, in the world of MNI: skull and background are not looked at."""

_CELL_MM = 4.0
"""Edge that voxels are averaged to, so that images of small and of large voxels agree."""
_BLUR_MM = 2.0
_NEIGHBOURS_MM = 6.0
"""Standard deviation of the neighbourhood by whose mean and spread a place is judged."""
_DARK = 0.1
"""Share of the brightest hundredth below which a place is background."""
_LEAST_SPREAD = 0.02
_LARGEST = 4.0
"""Spreads from the mean of its neighbours at which a place is cut off."""
_LEVELS = 31
"""Steps of one spread, so that all values fit into a byte."""

Values = NDArray[np.int8]


class Signature(NamedTuple):
    """What tells one head from another in an image."""

    values: Values
    """How much brighter than its neighbourhood each place is, shape (places,)."""
    content: str
    """SHA-256 of the voxels: the same for the same data under another header."""


def of(voxels: NDArray[np.float32], affine: NDArray[np.float64]) -> Signature:
    """Return the signature of an image that was registered to MNI.

    The image is averaged to large cells, sampled by its affine at fixed places of the world, and
    each place is judged by its neighbourhood: neither the scale nor the slow changes of the
    intensities stay, nor most of what the voxels and the noise do.

    Parameters
    ----------
    voxels
        Shape (x, y, z).
    affine
        Voxel to world, in mm, RAS+, shape (4, 4).
    """
    whole = np.ascontiguousarray(voxels, dtype=np.float32)
    content = hashlib.sha256(whole.data).hexdigest()
    factors = _factors(whole.shape, affine)
    cells = np.nan_to_num(_averaged(whole, factors), posinf=0, neginf=0)
    if not np.any(cells):
        # An image of no number here and there still has a head around it.
        cells = _averaged(np.nan_to_num(whole, posinf=0, neginf=0), factors)
    coarse = affine.astype(np.float64).copy()
    coarse[:3, 3] += affine[:3, :3] @ ((factors - 1) / 2)
    coarse[:3, :3] *= factors
    size = np.linalg.norm(coarse[:3, :3], axis=0)
    # Averaging over a cell is a blur of its own: the variance of a uniform distribution.
    blur = np.sqrt(np.maximum(_BLUR_MM**2 - size**2 / 12, 0)) / size
    smooth = gaussian_filter(cells, blur)
    to_voxel = np.linalg.inv(coarse)
    at = np.tensordot(to_voxel[:3, :3], _places(), 1) + to_voxel[:3, 3, None, None, None]
    sampled = map_coordinates(smooth, at, order=1, mode="constant")
    return Signature(_judged(sampled), content)


def mirrored(values: Values) -> Values:
    """Return the signatures of the same images with left and right exchanged.

    Parameters
    ----------
    values
        Shape (..., places).
    """
    inside = is_inside()
    volume = np.zeros((*values.shape[:-1], *inside.shape), np.int8)
    volume[..., inside] = values
    flipped: Values = volume[..., ::-1, :, :][..., inside]
    return flipped


def volume(values: Values) -> NDArray[np.float32]:
    """Return a signature as a small image, to be looked at; outside of the ellipsoid it is 0."""
    inside = is_inside()
    shown = np.zeros(inside.shape, np.float32)
    shown[inside] = values
    return shown


def volume_affine() -> NDArray[np.float64]:
    """Return voxel to world of `volume`, in mm, RAS+, shape (4, 4)."""
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = _places()[:, 0, 0, 0]
    return affine


def n_places() -> int:
    """Return how many values a signature has."""
    return int(is_inside().sum())


@cache
def is_inside() -> NDArray[np.bool_]:
    """Return which places of the grid lie in the ellipsoid; left and right are alike."""
    centre, half = (np.reshape(one, (3, 1, 1, 1)) for one in (CENTRE_MM, HALF_AXES_MM))
    inside: NDArray[np.bool_] = (((_places() - centre) / half) ** 2).sum(axis=0) <= 1
    return inside


@cache
def _places() -> NDArray[np.float64]:
    """Return the grid in the world, shape (3, x, y, z)."""
    axes = [
        centre + STEP_MM * np.arange(-(half // STEP_MM) - 1, half // STEP_MM + 2)
        for centre, half in zip(CENTRE_MM, HALF_AXES_MM, strict=True)
    ]
    places: NDArray[np.float64] = np.stack(np.meshgrid(*axes, indexing="ij"))
    return places


def _factors(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.intp]:
    size = np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-3)
    factors: NDArray[np.intp] = np.clip(np.round(_CELL_MM / size), 1, shape).astype(np.intp)
    return factors


def _averaged(voxels: NDArray[np.float32], factors: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the means of blocks of voxels; those at the far ends may be smaller."""
    # Products of matrices, and the axis that lies together in memory first: most of the time.
    cells = voxels
    for axis in (2, 1, 0):
        if factors[axis] > 1:
            n = cells.shape[axis]
            block = np.arange(n) // factors[axis]
            weights = np.zeros((n, block[-1] + 1), np.float32)
            weights[np.arange(n), block] = 1 / np.bincount(block)[block]
            cells = np.moveaxis(np.tensordot(cells, weights, (axis, 0)), -1, axis)
    return cells


def _judged(sampled: NDArray[np.float32]) -> Values:
    """Return how many spreads of its neighbours each place inside is from their mean."""
    bright = float(np.percentile(sampled, 99))
    if not bright > 0:
        return np.zeros(n_places(), np.int8)
    level = sampled / bright
    is_head = (level > _DARK).astype(np.float32)
    width = _NEIGHBOURS_MM / STEP_MM
    share = gaussian_filter(is_head, width) + 1e-3
    above = (level - gaussian_filter(level * is_head, width) / share) * is_head
    spread = np.sqrt(gaussian_filter(above**2, width) / share) + _LEAST_SPREAD
    judged = np.clip(above / spread, -_LARGEST, _LARGEST)[is_inside()]
    values: Values = np.round(judged * _LEVELS).astype(np.int8)
    return values
