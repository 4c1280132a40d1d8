"""Points of the world: affine transforms between images, and ITK's way of writing them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts.files import whole_file
from clinicadl.layouts.images import Frame, Image

Matrix = NDArray[np.float64]
"""World to world, in mm, RAS+, shape (4, 4)."""

MNI = Frame(
    (193, 229, 193),
    np.array([[1.0, 0, 0, -96], [0, 1, 0, -132], [0, 0, 1, -78], [0, 0, 0, 1]]),
)
"""The grid of MNI152NLin2009cSym at 1 mm."""
CROP = ((12, 181), (13, 221), (0, 179))
"""Start (included) and stop (excluded) of the cropped grid in `MNI`, in voxels along each axis."""

LPS = np.diag([-1.0, -1, 1, 1])
"""Between RAS+, which NIfTI has, and LPS+, which ITK has; its own inverse."""
_SHEAR = 0.01
"""Cosine between axes of an image that are still taken as perpendicular: headers are rounded."""
_LARGEST_MM, _SMALLEST_MM = 20.0, 0.05
"""Edges of a voxel that can be: beyond them, the header has another unit."""
_SMALLEST_EXTENT_MM = 60.0
"""A head has more than this along each axis."""


class ItkGeometry(NamedTuple):
    """Where the voxels of an image lie, as ITK says it, in LPS+."""

    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]
    direction: NDArray[np.float64]


def itk_geometry(affine: Matrix) -> ItkGeometry:
    """Return the geometry of an image in ITK's terms; oblique ones stay oblique.

    Parameters
    ----------
    affine
        Voxel to world, in mm, RAS+, shape (4, 4), of an image that `check_geometry` let pass.
    """
    flipped = LPS @ affine
    spacing = np.linalg.norm(flipped[:3, :3], axis=0)
    left, _, right = np.linalg.svd(flipped[:3, :3] / spacing)
    x, y, z = (float(edge) for edge in spacing)
    i, j, k = (float(place) for place in flipped[:3, 3])
    # The nearest rotation: ITK takes no other, and headers hold rounded ones.
    return ItkGeometry((i, j, k), (x, y, z), left @ right)


def check_geometry(frame: Frame, path: Path) -> None:
    """Refuse an image whose voxels cannot be those of a head.

    Raises
    ------
    InvalidDataError
        Voxels have no extent, or one in another unit than mm; the axes are not perpendicular; or
        the field of view cannot hold a head.
    """
    edges = np.linalg.norm(frame.affine[:3, :3], axis=0)
    shown = " x ".join(f"{edge:.4g}" for edge in edges) + " mm"
    if edges.min() == 0 or abs(np.linalg.det(frame.affine[:3, :3] / np.maximum(edges, 1e-9))) < 0.1:
        raise InvalidDataError(
            "The affine of the image gives its voxels no extent", where=path, found=shown,
            fix="Mend the header",
        )  # fmt: skip
    if edges.min() < _SMALLEST_MM or edges.max() > _LARGEST_MM:
        raise InvalidDataError(
            "The voxels of the image cannot be of this size", where=path, found=shown,
            fix="Mend the header: units must be mm",
        )  # fmt: skip
    axes = frame.affine[:3, :3] / edges
    cosines = np.abs(axes.T @ axes - np.eye(3))
    if cosines.max() > _SHEAR:
        raise InvalidDataError(
            "The axes of the image are not perpendicular", where=path,
            found=f"a cosine of {cosines.max():.3f}", fix="Resample it to a grid without shear",
        )  # fmt: skip
    extents = edges * frame.shape
    if extents.min() < _SMALLEST_EXTENT_MM:
        raise InvalidDataError(
            "The field of view is too small for a head", where=path,
            found=" x ".join(f"{extent:.0f}" for extent in extents) + " mm",
            fix="Take an image of the whole brain",
        )  # fmt: skip


def cropped(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of a volume on `MNI` that lies on the cropped grid."""
    return voxels[tuple(slice(start, stop) for start, stop in CROP)]


def crop_frame() -> Frame:
    """Return the cropped grid."""
    affine = MNI.affine.copy()
    affine[:3, 3] += [start for start, _ in CROP]
    (a, b), (c, d), (e, f) = CROP
    return Frame((b - a, d - c, f - e), affine)


def block_means(image: Image, edge_mm: float) -> tuple[Image, tuple[int, int, int]]:
    """Return the means of an image over blocks of voxels, and how many voxels a block has.

    Parameters
    ----------
    image
        An image.
    edge_mm
        Edge of a block: the nearest whole number of voxels along each axis, at least one. What is
        left at the end of an axis is part of no block.
    """
    edges = np.linalg.norm(image.affine[:3, :3], axis=0)
    x, y, z = (
        max(1, min(round(edge_mm / float(edge)), size))
        for edge, size in zip(edges, image.voxels.shape, strict=True)
    )
    a, b, c = (size // n for size, n in zip(image.voxels.shape, (x, y, z), strict=True))
    whole = image.voxels[: a * x, : b * y, : c * z].reshape(a, x, b, y, c, z)
    affine = image.affine.copy()
    affine[:3, 3] += image.affine[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    affine[:3, :3] *= [x, y, z]
    means = whole.mean(axis=(1, 3, 5), dtype=np.float32)
    return image._replace(voxels=means, affine=affine), (x, y, z)


def write_transform(path: Path, matrix: Matrix) -> None:
    """Write a transform as ITK does: a MATLAB 4 file that ANTs and SciPy read.

    Parameters
    ----------
    path
        Ends in ``.mat``.
    matrix
        From points of the fixed image (the template) to those of the moving one.

    Raises
    ------
    OutputError
        The place cannot be written.
    """
    from scipy.io import savemat

    itk = LPS @ matrix @ LPS
    content = {
        "AffineTransform_double_3_3": np.concatenate([itk[:3, :3].ravel(), itk[:3, 3]])[:, None],
        "fixed": np.zeros((3, 1)),
    }
    with whole_file(path) as temporary:
        savemat(str(temporary), content, appendmat=False, format="4")


def read_transform(path: Path) -> Matrix:
    """Return a transform that ANTs or `write_transform` wrote.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is no affine transform of ITK.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path), appendmat=False)
    except OSError as error:
        raise MissingInputError(
            "The transform cannot be read", where=path, found=error.strerror
        ) from error
    except (MatReadError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise InvalidDataError(
            "The file is no transform of ITK", where=path, found=error, fix="Make it again"
        ) from error
    for kind in ("AffineTransform_double_3_3", "AffineTransform_float_3_3"):
        if kind in content and "fixed" in content:
            return _matrix(content[kind].ravel(), content["fixed"].ravel())
    raise InvalidDataError(
        "The file is no affine transform of ITK", where=path,
        found=", ".join(name for name in content if not name.startswith("__")),
        fix="Make it again",
    )  # fmt: skip


def _matrix(parameters: NDArray[np.float64], centre: NDArray[np.float64]) -> Matrix:
    """Return the matrix of x -> A (x - c) + c + t, in RAS+."""
    itk = np.eye(4)
    itk[:3, :3] = np.reshape(parameters[:9], (3, 3))
    itk[:3, 3] = parameters[9:] + centre - itk[:3, :3] @ centre
    return np.asarray(LPS @ itk @ LPS, dtype=np.float64)
