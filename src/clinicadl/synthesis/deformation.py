"""A smooth deformation without folds that changes the volume of a region by a known share.

The points of the tissue flow for some time along a steady velocity field [1]_: whatever the time,
that is a map that can be turned back, by flowing the other way. In the region the field converges
everywhere alike, so that the region shrinks as a whole; around it, tissue within a margin diverges
to fill the space; beyond the margin nothing moves. The time is chosen so that the volume changes
as asked.

References
----------
.. [1] Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log, log2
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, spline_filter

from clinicadl.errors import InvalidDataError
from clinicadl.layouts.images import Image

Field = NDArray[np.float64]
"""One vector a voxel, in voxels, shape (3, x, y, z)."""

TOLERANCE = 1e-4
"""Of the share of the volume."""
MOST_TRIES = 20
_STEP = 0.25
"""Voxels: so far a point may move in one step of the flow before steps are doubled."""
_SOFT = 1.0
"""Voxels: width of the edge of the region in the field, since a step cannot be sampled."""
_REACH = 12
"""Voxels: so far a spline feels where it ends."""
_PAD = 3
"""Voxels around the margin, where nothing moves, so that slopes and splines end there."""


Box: TypeAlias = tuple[slice, slice, slice]


class Deformation(NamedTuple):
    """Where the points of an image go, in the box where any of them moves."""

    box: Box
    """Voxels of the image that the others are about."""
    displacement: Field
    """From a voxel of the source to its new place."""
    backward: Field
    """From a voxel of the new image to where it was."""
    jacobian: NDArray[np.float64]
    """New volume of each voxel of the source by its old one."""


def deformation_of(
    inside: NDArray[np.bool_],
    affine: NDArray[np.float64],
    *,
    percent: float,
    margin_mm: float,
    where: Path,
) -> Deformation:
    """Return the deformation by which a region loses a share of its volume.

    Parameters
    ----------
    inside
        The region, shape (x, y, z).
    affine
        Voxel to world, in mm.
    percent
        What it loses; below 0 it grows.
    margin_mm
        How far from the region tissue moves.
    where
        The image, for messages.

    Raises
    ------
    InvalidDataError
        The region cannot change so much within the margin, on this grid, without folds.
    """
    size_mm = np.linalg.norm(affine[:3, :3], axis=0)
    box = _box(inside, np.ceil(margin_mm / size_mm).astype(int) + _PAD)
    region = inside[box]
    weight = _weight(region, box, inside.shape, size_mm=size_mm, margin_mm=margin_mm)
    velocity = _velocity(region, weight, size_mm)

    def share(time: float) -> float:
        return float(jacobian_of(flow(velocity, time))[region].mean())

    time = _time(share, 1 - percent / 100)
    forward = None if time is None else flow(velocity, time)
    jacobian = None if forward is None else jacobian_of(forward)
    if time is None or forward is None or jacobian is None or jacobian.min() <= 0:
        raise InvalidDataError(
            f"The region cannot lose {percent:g} % of its volume within the margin without folds",
            where=where, found=f"{int(inside.sum())} voxels, a margin of {margin_mm:g} mm",
            fix="Give a smaller --atrophy_percent or a larger --margin",
        )  # fmt: skip
    return Deformation(box, forward, flow(velocity, -time), jacobian)


def on_image(
    part: NDArray[np.floating], box: Box, shape: tuple[int, ...], *, still: float
) -> NDArray[np.float32]:
    """Return what is known in a box on the whole grid of an image.

    Parameters
    ----------
    part
        Shape (x, y, z), or (x, y, z, 3) for vectors.
    box
        Where it lies.
    shape
        Of the image.
    still
        Its value where nothing moves.
    """
    whole = np.full((*shape, *part.shape[3:]), still, np.float32)
    whole[box] = part
    return whole


def deformed(image: Image, deformation: Deformation) -> NDArray[np.float32]:
    """Return the voxels of an image after a deformation; those that stay keep every bit.

    Between voxels, values are those of the cubic spline, within the limits of what is around. What
    is no number counts as 0.
    """
    x, y, z = deformation.box
    corner = np.array([max(0, side.start - _REACH) for side in (x, y, z)])
    near = tuple(
        slice(start, side.stop + _REACH)
        for start, side in zip(corner.tolist(), (x, y, z), strict=True)
    )
    moves = np.zeros(image.voxels.shape, dtype=bool)
    moves[deformation.box] = deformation.backward.any(axis=0)
    shifts = deformation.backward[:, moves[deformation.box]]
    where = np.argwhere(moves).T + shifts - corner[:, np.newaxis]
    voxels = np.nan_to_num(image.voxels[near], nan=0.0).astype(np.float64)
    values = map_coordinates(voxels, where, order=3, mode="nearest")
    result = image.voxels.copy()
    result[moves] = np.clip(values, voxels.min(), voxels.max())
    return result


def in_world(displacement: Field, affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a field in mm, to the right, front and top: shape (x, y, z, 3)."""
    field: NDArray[np.float32] = np.einsum("ij,jxyz->xyzi", affine[:3, :3], displacement).astype(
        np.float32
    )
    return field


def jacobian_of(displacement: Field) -> NDArray[np.float64]:
    """Return the determinant of the Jacobian of the map, by central differences."""
    # By the rule of Sarrus: a determinant for each voxel from a library takes ten times as long.
    (a, b, c), (d, e, f), (g, h, i) = (np.gradient(part) for part in displacement)
    a, e, i = a + 1, e + 1, i + 1
    determinants: NDArray[np.float64] = (
        a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    )
    return determinants


def flow(velocity: Field, time: float) -> Field:
    """Return how far points are carried in a time; what does not move at once never does."""
    longest = float(np.abs(velocity).max()) * abs(time)
    n_doublings = max(0, ceil(log2(longest / _STEP))) if longest else 0
    still = ~velocity.any(axis=0)
    carried: Field = velocity * (time / 2**n_doublings)
    voxel = np.indices(velocity.shape[1:])
    for _ in range(n_doublings):
        there = voxel + carried
        carried = carried + np.stack(
            [
                map_coordinates(spline_filter(part, order=3), there, order=3, prefilter=False)
                for part in carried
            ]
        )
        carried[:, still] = 0
    return carried


def _box(inside: NDArray[np.bool_], around: NDArray[np.int_]) -> Box:
    places = np.argwhere(inside)
    start = np.maximum(places.min(axis=0) - around, 0)
    stop = np.minimum(places.max(axis=0) + 1 + around, inside.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return x, y, z


def _weight(
    region: NDArray[np.bool_],
    box: Box,
    shape: tuple[int, ...],
    *,
    size_mm: NDArray[np.float64],
    margin_mm: float,
) -> NDArray[np.float64]:
    """Return how freely tissue moves: 1 in the region, 0 beyond the margin and at the border."""
    far = distance_transform_edt(~region, sampling=size_mm) / margin_mm
    for axis, (side, size, edge) in enumerate(zip(box, shape, size_mm, strict=True)):
        place = np.arange(side.start, side.stop)
        # Half a margin is enough for the flow to die away.
        near = np.minimum(place, size - 1 - place) * edge / (margin_mm / 2)
        border = np.clip(1 - near, 0, 1).reshape([-1 if one == axis else 1 for one in range(3)])
        far = np.maximum(far, border)
    weight: NDArray[np.float64] = np.where(far < 1, (1 + np.cos(np.pi * np.minimum(far, 1))) / 2, 0)
    return weight


def _velocity(
    region: NDArray[np.bool_], weight: NDArray[np.float64], size_mm: NDArray[np.float64]
) -> Field:
    """Return a field that converges by 1 in the region, in voxels for each unit of time.

    It is the gradient of the solution of Poisson's equation, whose source is the region, and its
    sink the margin; times the weight.
    """
    soft = gaussian_filter(region.astype(np.float64), _SOFT)
    margin = weight * (1 - soft)
    source = margin * (soft.sum() / margin.sum()) - soft
    shape = tuple(2 * size for size in region.shape)
    waves = np.meshgrid(
        *(2 * np.pi * fft.fftfreq(n, edge) for n, edge in zip(shape, size_mm, strict=True)),
        indexing="ij",
    )
    squared = np.sum([wave**2 for wave in waves], axis=0)
    squared[0, 0, 0] = 1
    potential = fft.fftn(source, shape) / -squared
    potential[0, 0, 0] = 0
    inner = tuple(slice(size) for size in region.shape)
    return np.stack(
        [
            fft.ifftn(1j * wave * potential).real[inner] * weight / edge
            for wave, edge in zip(waves, size_mm, strict=True)
        ]
    )


def _time(share: Callable[[float], float], wanted: float) -> float | None:
    """Return the time after which the share of the volume is the wanted one; None if never.

    By the secant method, from the time that a field which converges by 1 everywhere would need.
    """
    if wanted == 1:
        return 0.0
    before, error_before = 0.0, 1 - wanted
    time = -log(wanted)
    for _ in range(MOST_TRIES):
        error = share(time) - wanted
        if abs(error) < TOLERANCE:
            return time
        if error == error_before:
            return None
        before, time, error_before = (
            time, time - error * (time - before) / (error - error_before), error
        )  # fmt: skip
        if not abs(time) < 10:
            return None
    return None
