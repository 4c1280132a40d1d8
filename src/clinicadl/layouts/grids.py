"""The grids that raw images are put on: their names, where they lie, and resampling."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from itertools import product
from math import log, sqrt
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from clinicadl.config.base import Choice
from clinicadl.config.raw import Grid, Interpolation, Raw
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import images
from clinicadl.layouts.images import Frame, Image

_ENTITY = re.compile(r"_grid-([0-9a-f]{8})(?=_|$)")
_ORDER: dict[Interpolation, Literal[0, 1, 3]] = {"nearest": 0, "linear": 1, "cubic": 3}
_FWHM = 2 * sqrt(2 * log(2))
"""Width of a Gaussian at half of its height, in standard deviations."""
_SAME_PLACE = 1e-4
"""Places that differ by less, in voxels, are the same: headers store them in single precision."""


def of(preprocessing: Choice) -> Grid | None:
    """Return the grid that images are put on; those of a CAPS stay where they are."""
    return preprocessing.grid if isinstance(preprocessing, Raw) else None


def digest(grid: Grid) -> str:
    """Return eight letters that stand for a grid and its interpolation.

    Examples
    --------
    >>> digest(Grid(shape=(96, 112, 96), voxel_size=(2, 2, 2)))
    '0905a133'
    """
    content = json.dumps(grid.model_dump(mode="json"), sort_keys=True)
    return blake2b(content.encode(), digest_size=4).hexdigest()


def stem_on(stem: str, grid: Grid | None) -> str:
    """Return the name of an image with the entity of the grid that it was put on.

    Examples
    --------
    >>> stem_on("sub-1_ses-M000_T1w", Grid(shape=(96, 112, 96), voxel_size=(2, 2, 2)))
    'sub-1_ses-M000_grid-0905a133_T1w'
    >>> stem_on("sub-1_ses-M000_T1w", None)
    'sub-1_ses-M000_T1w'
    """
    if grid is None:
        return stem
    entities, _, suffix = stem.rpartition("_")
    return f"{entities}_grid-{digest(grid)}_{suffix}"


def stem_off(stem: str, grid: Grid | None) -> str | None:
    """Return the name of the image that stands in the name of a tensor; none for another grid."""
    found = _ENTITY.search(stem)
    if (found[1] if found else None) != (digest(grid) if grid else None):
        return None
    return _ENTITY.sub("", stem)


def is_entity(text: str) -> bool:
    """Return whether a piece of the name of a tensor says on which grid it lies."""
    return _ENTITY.fullmatch(f"_{text}") is not None


def like(path: Path, interpolation: Interpolation) -> Grid:
    """Return the grid of an image, at its place in the world.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is no image of three axes, or its voxels have no extent.
    """
    frame = images.read_frame(path)
    _inverse(frame.affine, path)
    # Zeros lose their sign: the same grid has the same name.
    rows = (frame.affine + 0.0).tolist()
    return Grid.model_validate(
        {"shape": frame.shape, "affine": rows, "interpolation": interpolation}
    )


def frame_on(grid: Grid, of: Frame) -> Frame:
    """Return where the voxels of an image lie once it is on a grid.

    Parameters
    ----------
    grid
        With a voxel size, its centre is put on the centre of the field of view of the image.
    of
        Where the voxels of the image lie.
    """
    if grid.affine is not None:
        return Frame(grid.shape, np.array(grid.affine))
    affine = np.diag([*(grid.voxel_size or ()), 1.0])
    centre = of.affine @ [*((np.array(of.shape) - 1) / 2), 1]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2)
    return Frame(grid.shape, affine)


def onto(image: Image, grid: Grid, path: Path) -> Image:
    """Return an image resampled to a grid.

    Voxels whose centre lies outside of the field of view, which ends with the outermost voxels, are
    0; in the outer half of these the value is theirs. Along an axis of the image whose voxels are
    smaller than those of the grid, the image is smoothed first, unless for the nearest value: by
    the Gaussian that makes the one voxel as wide as the other when both are taken as Gaussians
    whose width at half height is their edge [1]_. What is no number counts as 0.

    Parameters
    ----------
    image
        Finite but for voxels that are no number.
    grid
        Where the voxels of the result lie.
    path
        The image, for messages.

    Returns
    -------
    With the affine of the grid; where the grids agree but for whole voxels and turned axes, with
    values of the image to the bit.

    Raises
    ------
    InvalidDataError
        The affine of the image has no inverse, or image and grid do not overlap.

    References
    ----------
    .. [1] M. J. Cardoso et al., Scale factor point spread function matching: beyond aliasing in
       image resampling, MICCAI 2015
    """
    target = frame_on(grid, Frame(image.voxels.shape, image.affine))
    steps = _inverse(image.affine, path) @ target.affine
    corners = np.array([*product(*((0, size - 1) for size in target.shape), [1.0])])
    # Voxels that lie on voxels are taken as they are, whatever the interpolation.
    is_exact = bool(np.abs((np.round(steps) - steps) @ corners.T).max() <= _SAME_PLACE)
    voxels = np.nan_to_num(image.voxels, nan=0.0)
    if grid.interpolation != "nearest":
        voxels = gaussian_filter(voxels, sigmas(image.affine, target.affine), mode="nearest")
    resampled: NDArray[np.float32] = affine_transform(
        voxels, steps[:3, :3], steps[:3, 3], output_shape=target.shape, output=np.float32,
        order=0 if is_exact else _ORDER[grid.interpolation], mode="nearest",
    )  # fmt: skip
    if not _keep_field_of_view(resampled, steps, image.voxels.shape):
        raise InvalidDataError(
            "The image and the grid do not overlap", where=path,
            fix="Check --like, or state the grid by --voxel_size and --grid_size",
        )  # fmt: skip
    return image._replace(voxels=resampled, affine=target.affine)


def sigmas(affine: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much an image is smoothed along its axes before it is resampled.

    Parameters
    ----------
    affine
        Voxel to world of the image, in mm.
    target
        Voxel to world of the grid, in mm.

    Returns
    -------
    Standard deviations in voxels of the image: the square root of (edge in the grid squared - edge
    squared) / (8 ln 2), over the edge; 0 where the edge in the grid is not the larger.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    # How long a voxel of the grid is along an axis of the image, however they are turned.
    longer = np.linalg.norm((affine[:3, :3] / edges).T @ target[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(longer**2 - edges**2, 0)) / _FWHM / edges
    return np.asarray(sigma, dtype=np.float64)


def _inverse(affine: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(np.linalg.inv(affine), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise InvalidDataError(
            "The affine of the image gives its voxels no extent", where=path, fix="Mend the header"
        ) from error


def _keep_field_of_view(
    resampled: NDArray[np.float32], steps: NDArray[np.float64], shape: tuple[int, ...]
) -> bool:
    """Set to 0 what lies outside of the image; return whether anything lies inside."""
    y, z = (np.arange(size) for size in resampled.shape[1:])
    found = False
    for x, plane in enumerate(resampled):
        # Plane by plane: the places of all voxels at once would take six times the image.
        outside = np.zeros(plane.shape, bool)
        for row, size in zip(steps, shape, strict=False):
            place = row[0] * x + row[3] + row[1] * y[:, None] + row[2] * z
            outside |= (place < -0.5 - _SAME_PLACE) | (place > size - 0.5 + _SAME_PLACE)
        plane[outside] = 0
        found |= not outside.all()
    return found
