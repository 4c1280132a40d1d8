"""What ANTs does for us: bias fields, linear registration, resampling; the only user of antspyx."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from clinicadl.errors import InvalidDataError, MissingExtraError
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess.space import (
    LPS,
    Matrix,
    block_means,
    itk_geometry,
    read_transform,
    write_transform,
)

Kind = Literal["rigid", "affine"]
Mask = NDArray[np.bool_]

_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
_STAGES: dict[Kind, tuple[str, ...]] = {"rigid": ("Rigid",), "affine": ("Rigid", "Affine")}
_FIELD_MM, _MATCHED_MM = 6.0, 2.0
"""Distance between the voxels that a bias field is found on, and edge of the blocks whose means
a registration is found on."""
_SEED = 1
"""Of the points that a registration looks at: the same image gives the same bits."""


def check() -> None:
    """Refuse to begin without antspyx, or where it cannot give the same bits twice.

    Raises
    ------
    MissingExtraError
        antspyx is not installed.
    """
    _library()


def version() -> str:
    """Return the version of antspyx."""
    from importlib.metadata import version as installed

    return installed("antspyx")


def n4(image: Image, mask: Mask) -> Image:
    """Return an image without the slow changes of brightness that the coils of a scanner cause.

    The field is found on one voxel in about 6 mm, as it has no detail, and its logarithm brought
    back to the others by cubic splines. Means over blocks would blur the histogram that it is
    found by.

    Parameters
    ----------
    image
        No voxel below 0, all finite.
    mask
        Where the change of brightness is estimated, shape (x, y, z).
    """
    edges = np.linalg.norm(image.affine[:3, :3], axis=0)
    steps = np.maximum(1, np.round(_FIELD_MM / edges)).astype(int)
    some = tuple(slice(int(step) // 2, None, int(step)) for step in steps)
    affine = image.affine.copy()
    affine[:3, 3] += image.affine[:3, :3] @ (steps // 2)
    affine[:3, :3] *= steps
    field = _library().n4_bias_field_correction(
        _given(Image(np.ascontiguousarray(image.voxels[some]), affine, None)),
        mask=_given(Image(mask[some].astype(np.float32), affine, None)),
        shrink_factor=1,
        convergence={"iters": [50, 50, 50, 50], "tol": 1e-4},
        return_bias_field=True,
    )
    logarithm = np.log(np.clip(np.nan_to_num(field.numpy(), nan=1.0), 0.05, 20.0))
    full = affine_transform(
        logarithm.astype(np.float32), np.diag(1 / steps), offset=-(steps // 2) / steps,
        output_shape=image.voxels.shape, order=3, mode="nearest",
    )  # fmt: skip
    return image._replace(voxels=np.asarray(image.voxels / np.exp(full), dtype=np.float32))


def register(fixed: Image, moving: Image, kind: Kind, *, start: Matrix | None = None) -> Matrix:
    """Return the transform that brings an image onto another by their mutual information.

    Parameters
    ----------
    fixed
        What is matched, such as a template: what both show must be alike, head or brain.
    moving
        What is brought onto it.
    kind
        Rigid: 6 degrees of freedom. Affine: rigid first, then 12.
    start
        Where the search begins (default: centre of mass upon centre of mass).

    Returns
    -------
    From points of ``fixed`` to those of ``moving``, in mm, RAS+, shape (4, 4).

    Raises
    ------
    InvalidDataError
        The images cannot be matched.
    """
    ants = _library()
    images = [_given(block_means(_scaled(one), _MATCHED_MM)[0]) for one in (fixed, moving)]
    pair = ",".join(ants.internal.get_pointer_string(one) for one in images)
    with TemporaryDirectory() as folder:
        arguments = ["-d", "3", "--float", "1", "--random-seed", str(_SEED)]
        if start is None:
            arguments += ["-r", f"[{pair},1]"]
        else:
            write_transform(Path(folder) / "start.mat", start)
            arguments += ["-r", f"[{folder}/start.mat,0]"]
        for stage in _STAGES[kind]:
            arguments += [
                "-t", f"{stage}[0.1]", "-m", f"MI[{pair},1,32,Regular,0.1]",
                "-c", "[1000x500x250,1e-6,10]", "-f", "4x2x1", "-s", "2x1x0vox",
            ]  # fmt: skip
        try:
            ants.registration(fixed=[*arguments, "-o", f"{folder}/found"], moving=None)
        except RuntimeError as error:
            raise InvalidDataError(
                "ANTs cannot register the image", found=str(error).partition("\n")[0],
                fix="Look at it: it may show something else than the template",
            ) from error  # fmt: skip
        return read_transform(Path(folder) / "found0GenericAffine.mat")


def resample(image: Image, grid: Frame, matrix: Matrix, *, nearest: bool = False) -> Image:
    """Return an image on a grid, each voxel taken where a transform leads.

    Parameters
    ----------
    image
        What is resampled, once: of several transforms the product is given.
    grid
        Where the voxels of the result lie.
    matrix
        From points of the grid to those of the image, in mm, RAS+, shape (4, 4).
    nearest
        Whether the value of the nearest voxel is taken, as for labels, and not the linear mean.

    Returns
    -------
    With the affine of the grid; 0 outside of the image.
    """
    ants = _library()
    reference = Image(np.zeros(grid.shape, np.float32), grid.affine, None)
    itk = LPS @ matrix @ LPS
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", precision="double", dimension=3,
        matrix=itk[:3, :3], offset=itk[:3, 3],
    )  # fmt: skip
    moved = ants.apply_ants_transform_to_image(
        transform, _given(image), _given(reference),
        interpolation="nearestneighbor" if nearest else "linear",
    )  # fmt: skip
    voxels = np.ascontiguousarray(moved.numpy().astype(np.float32))
    return image._replace(voxels=voxels, affine=grid.affine)


def _scaled(image: Image) -> Image:
    """Return an image without its brightest thousandth, which blurs the bins of its histogram."""
    top = np.quantile(image.voxels[image.voxels > 0], 0.999) if image.voxels.any() else 1.0
    return image._replace(voxels=np.clip(image.voxels, 0, top))


def _given(image: Image) -> Any:
    geometry = itk_geometry(image.affine)
    return _library().from_numpy(
        image.voxels,
        origin=geometry.origin,
        spacing=geometry.spacing,
        direction=geometry.direction,
    )


def _library() -> Any:
    # A sum of floats depends on who adds what: one thread an image gives the same bits always.
    # ITK reads this when it first works, so that it counts even where ants was imported before.
    os.environ[_THREADS] = "1"
    try:
        import ants
    except ModuleNotFoundError as error:
        raise MissingExtraError("antspyx", "preproc") from error
    return ants
