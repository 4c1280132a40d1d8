"""How far a brain lies from that of a template, by the affine that brings one onto the other."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from clinicadl.config.raw import Grid
from clinicadl.errors import InvalidDataError, MissingExtraError
from clinicadl.layouts import grids, images
from clinicadl.layouts.images import Image

Volume = NDArray[np.float32]
Affine = NDArray[np.float64]

VOXEL_MM = 4.0
GRID = Grid(
    shape=(42, 52, 44),
    affine=((4, 0, 0, -82.5), (0, 4, 0, -117.5), (0, 0, 4, -76.5), (0, 0, 0, 1)),
)
"""Blocks of 4x4x4 voxels of the cropped images of t1-linear."""
_TO_WORLD = np.array(GRID.affine)
FARTHEST_MM = 40.0
"""Said of a brain that cannot be brought onto the template."""

_BRIGHT = 0.25
"""Of the intensity of white matter: what is darker in the template is around the brain."""
_FEWEST = 1000
_UNIT_MM = 50.0
"""About half of a brain, so that all unknowns of the affine are of one size."""
_LEVELS = ((1.5, 12), (0.7, 8))
"""Standard deviation of the smoothing in voxels, and number of steps."""
_LONGEST_STEP = 8.0
"""In mm at the distance of one unit."""


class Level(NamedTuple):
    """The template at one smoothness."""

    sigma: float
    n_steps: int
    inverse: NDArray[np.float64]
    """From voxels inside of the brain to contrast, brightness and the 12 numbers of a motion."""


class Template(NamedTuple):
    """A brain that others are compared with, on `GRID`."""

    voxels: Volume
    inside: NDArray[np.bool_]
    """Where the brain is."""
    places: NDArray[np.float64]
    """Of the voxels inside, from the centre of the brain, in mm."""
    centre: NDArray[np.float64]
    """In mm."""
    levels: tuple[Level, ...]


def read_template(path: Path | None) -> Template:
    """Return the template of a file, or MNI152 2009a (symmetric) as nilearn carries it.

    Raises
    ------
    MissingExtraError
        nilearn is needed and not installed.
    MissingInputError
        The file is absent.
    InvalidDataError
        It is no image, or no brain lies where those of MNI lie.
    """
    if path is not None:
        image = images.read(path)
        images.check_content(image.voxels, path)
        return template_of(image, path)
    try:
        from nilearn.datasets import load_mni152_template
    except ImportError as error:
        raise MissingExtraError("nilearn", "report") from error
    stored = load_mni152_template(resolution=1)
    voxels = np.ascontiguousarray(stored.get_fdata(), dtype=np.float32)
    return template_of(Image(voxels, stored.affine, None), Path(load_mni152_template.__name__))


def template_of(image: Image, path: Path) -> Template:
    """Return a template made of an image of a brain alone.

    Parameters
    ----------
    image
        The brain; what is around it is dark.
    path
        For messages.

    Raises
    ------
    InvalidDataError
        No brain lies where those of MNI lie.
    """
    voxels = on_grid(image, path)
    bright = voxels[voxels > 0]
    inside = voxels > _BRIGHT * (np.percentile(bright, 90) if bright.size else np.inf)
    n_inside = int(inside.sum())
    if n_inside < _FEWEST:
        raise InvalidDataError(
            "The template has no brain where those of MNI lie", where=path,
            found=f"{n_inside} bright voxels of {VOXEL_MM:g} mm", fix="Give one in MNI space",
        )  # fmt: skip
    world = np.argwhere(inside) * VOXEL_MM + _TO_WORLD[:3, 3]
    centre = world.mean(axis=0)
    places = world - centre
    levels = tuple(_level(voxels, inside, places, *one) for one in _LEVELS)
    return Template(voxels, inside, places, centre, levels)


def on_grid(image: Image, path: Path) -> Volume:
    """Return an image on `GRID`, with 0 for what is darkest and for what was not seen.

    Raises
    ------
    InvalidDataError
        It lies somewhere else.
    """
    lowest = np.nanmin(image.voxels)
    lifted = image if lowest == 0 else image._replace(voxels=image.voxels - lowest)
    try:
        return grids.onto(lifted, GRID, path).voxels
    except InvalidDataError as error:
        raise InvalidDataError(
            "The image does not lie where the template does", where=path, found=error.what,
            fix="Check that it was registered to MNI152",
        ) from error  # fmt: skip


def smoothed(voxels: Volume, sigma: float) -> Volume:
    """Return a volume of `GRID`, blurred."""
    blurred: Volume = gaussian_filter(voxels, sigma, mode="nearest")
    return blurred


def seen_at(voxels: Volume, motion: Affine, template: Template) -> NDArray[np.float32]:
    """Return what a volume of `GRID` shows at the places where a motion takes a brain.

    Parameters
    ----------
    voxels
        The volume.
    motion
        World to world, in mm, shape (4, 4).
    template
        The brain.

    Returns
    -------
    One value a voxel inside of the brain; 0 outside of the volume.
    """
    steps = np.linalg.inv(_TO_WORLD) @ motion
    centre = steps[:3, :3] @ template.centre + steps[:3, 3]
    places = steps[:3, :3] @ template.places.T + centre[:, None]
    values: NDArray[np.float32] = map_coordinates(
        voxels, places, order=1, mode="constant", output=np.float32
    )
    return values


def _level(
    voxels: Volume, inside: NDArray[np.bool_], places: NDArray[np.float64], sigma: float,
    n_steps: int,
) -> Level:  # fmt: skip
    blurred = smoothed(voxels, sigma)
    slopes = np.array(np.gradient(blurred, VOXEL_MM))[:, inside]
    lever = np.vstack([places.T / _UNIT_MM, np.ones(len(places))])
    # How each voxel changes with each of the 12 numbers of an affine.
    motions = (slopes[:, None] * lever[None]).reshape(12, -1)
    columns = np.vstack([blurred[inside], np.ones(len(places)), motions])
    return Level(sigma, n_steps, np.linalg.pinv(columns.T))


def motion_onto(voxels: Volume, template: Template) -> Affine | None:
    """Return the affine that takes places of a template to the same places of a brain [1]_.

    In each step the brain is taken as the template, brightened and moved a little, whose slopes do
    not change: what is unknown is a linear regression whose inverse is known beforehand.

    Parameters
    ----------
    voxels
        The brain, on `GRID`; what is around it does not count.
    template
        Where it should be.

    Returns
    -------
    World to world, in mm; None if the brain gets lost on the way, as one of another contrast does.

    References
    ----------
    .. [1] S. Baker and I. Matthews, Lucas-Kanade 20 years on, International Journal of Computer
       Vision 56, 2004: the inverse compositional algorithm, with linear appearance
    """
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = template.centre, -template.centre
    motion = np.eye(4)
    for level in template.levels:
        blurred = smoothed(voxels, level.sigma)
        for _ in range(level.n_steps):
            seen = seen_at(blurred, there @ motion @ back, template)
            contrast, _, *numbers = level.inverse @ seen
            # The same contrast, or nothing is said about where the brain is.
            if not contrast > 1e-6 * float(np.abs(seen).max()):
                return None
            step = np.reshape(numbers, (3, 4)) / contrast
            step /= max(1.0, float(np.abs(step).max()) / _LONGEST_STEP)
            small = np.eye(4)
            small[:3, :3] += step[:, :3] / _UNIT_MM
            small[:3, 3] = step[:, 3]
            with contextlib.suppress(np.linalg.LinAlgError):
                motion = motion @ np.linalg.inv(small)
    return there @ motion @ back


def offset_mm(motion: Affine | None, template: Template) -> float:
    """Return how far a motion moves the voxels of the brain, as the root of the mean square."""
    if motion is None:
        return FARTHEST_MM
    world = template.places + template.centre
    lengths = world @ motion[:3, :3].T + motion[:3, 3] - world
    return min(float(np.sqrt((lengths**2).sum(axis=1).mean())), FARTHEST_MM)
