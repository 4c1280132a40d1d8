"""How the planes of a volume lie on a page, whatever the order of its axes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from clinicadl.data.parts import Affine, Voxel
from clinicadl.errors import InvalidDataError

Pixels = NDArray[Any]
"""A plane of voxels, along the page first, then upwards."""


class Plane(NamedTuple):
    """A plane through a volume, in the radiological convention: the right is on the left."""

    name: str
    across: int
    """The axis of the volume that the plane does not have."""
    along: int
    """The axis of the volume from side to side of the page."""
    up: int
    """The axis of the volume from bottom to top of the page, or from top to bottom."""
    runs_left: bool
    """Whether voxels with a greater index along the page lie further left."""
    runs_down: bool
    """Whether voxels with a greater index upwards lie further down."""
    marks: tuple[str, str, str, str]
    """Directions at the left, right, bottom and top of the page."""


_VIEWS = (
    ("sagittal", (0, 1, 2), ("A", "P", "I", "S")),
    ("coronal", (1, 0, 2), ("R", "L", "I", "S")),
    ("axial", (2, 0, 1), ("R", "L", "P", "A")),
)
"""Name; axes of the world (0 to the right, 1 to the front, 2 up) across, along and up; marks."""


def planes_of(affine: Affine) -> tuple[Plane, Plane, Plane]:
    """Return the sagittal, coronal and axial plane of a volume.

    Of an oblique volume they are the nearest planes of its grid.

    Parameters
    ----------
    affine
        Voxel to world, in mm, RAS+, shape (4, 4).
    """
    axis, grows = _axes_of_the_world(affine)
    sagittal, coronal, axial = (
        # From side to side of the page each view goes from high to low, and upwards to high.
        Plane(name, axis[across], axis[along], axis[up], grows[along], not grows[up], marks)
        for name, (across, along, up), marks in _VIEWS
    )
    return sagittal, coronal, axial


def _axes_of_the_world(affine: Affine) -> tuple[list[int], list[bool]]:
    """Return the axis of the volume next to each of the world, and whether both grow together."""
    left, _, right = np.linalg.svd(affine[:3, :3] / voxel_size(affine))
    # Without the shear: the rotation that is nearest.
    rotation = left @ right
    _, axis = linear_sum_assignment(-(rotation**2))
    return [int(one) for one in axis], [
        bool(rotation[world, axis[world]] > 0) for world in range(3)
    ]


def voxel_size(affine: Affine) -> NDArray[np.float64]:
    """Return the edges of a voxel along the axes of the volume, in mm.

    Raises
    ------
    InvalidDataError
        An edge has no length.
    """
    size: NDArray[np.float64] = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if size.min() == 0:
        raise InvalidDataError(
            "The affine gives a voxel no extent", where="affine of the image",
            found=" x ".join(f"{edge:g}" for edge in size) + " mm", fix="Mend the header",
        )  # fmt: skip
    return size


def middle(volume: NDArray[Any]) -> Voxel:
    """Return the centre of mass of what is brighter than the mean, which the background is not.

    What is no number counts as 0; of a volume that is the same everywhere the middle is returned.
    """
    voxels = np.nan_to_num(volume)
    bright = voxels > voxels.mean(dtype=np.float64)
    if not bright.any():
        bright = np.ones_like(bright)
    shares = [bright.sum(axis=others) / bright.sum() for others in ((1, 2), (0, 2), (0, 1))]
    # Rounded down from the half, so that an even extent has one middle.
    x, y, z = (int(np.ceil(share @ np.arange(len(share)) - 0.5)) for share in shares)
    return x, y, z


def cut(volume: NDArray[Any], plane: Plane, at: int) -> Pixels:
    """Return what lies in a plane of a volume, at an index of the axis across."""
    return turned(np.take(volume, at, axis=plane.across), plane)


def draw(
    panels: Any,
    voxels: NDArray[Any],
    affine: Affine,
    *,
    at: Voxel,
    **look: Any,
) -> None:
    """Draw the three planes of a volume through a voxel.

    Parameters
    ----------
    panels
        Three axes.
    voxels
        Shape (x, y, z).
    affine
        Voxel to world, in mm, RAS+, shape (4, 4).
    at
        The voxel.
    **look
        Of `matplotlib.axes.Axes.imshow`; an array among them is cut as the volume is.
    """
    size = voxel_size(affine)
    for panel, plane in zip(panels, planes_of(affine), strict=True):
        level = at[plane.across]
        own: dict[str, Any] = {
            name: cut(value, plane, level).T if isinstance(value, np.ndarray) else value
            for name, value in look.items()
        }
        panel.imshow(
            cut(voxels, plane, level).T, origin="lower",
            aspect=size[plane.up] / size[plane.along], interpolation="nearest", **own,
        )  # fmt: skip
        # Of several volumes in one panel the first turned it already.
        if panel.xaxis_inverted() != plane.runs_left:
            panel.invert_xaxis()
        if panel.yaxis_inverted() != plane.runs_down:
            panel.invert_yaxis()
        panel.set_axis_off()


def turned(flat: NDArray[Any], plane: Plane) -> Pixels:
    """Return voxels of a plane, in the order of the volume's axes, in the order of the page's."""
    return flat.T if plane.along > plane.up else flat


def edges(inside: NDArray[np.bool_], start: tuple[int, int]) -> NDArray[np.float64]:
    """Return the edges of voxels between inside and outside, which a contour would round off.

    Parameters
    ----------
    inside
        Voxels of a plane, along and up.
    start
        The first of them in the plane; a voxel reaches from half before its index to half behind.

    Returns
    -------
    Lines, shape (n, 2, 2): each with two ends, along and up.
    """
    padded = np.pad(inside, 1)
    upright = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    lines = [
        np.stack([first, first + np.array(step)], axis=1)
        for first, step in ((upright, (0, 1)), (level, (1, 0)))
    ]
    moved: NDArray[np.float64] = np.concatenate(lines) + np.array(start) - 0.5
    return moved
