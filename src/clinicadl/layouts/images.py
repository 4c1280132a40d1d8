"""NIfTI in and out, with affine and header; the only user of nibabel."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import read_bytes, whole_file

SUFFIXES = (".nii.gz", ".nii")
GZIP_MAGIC = b"\x1f\x8b"


class Image(NamedTuple):
    """A volume and where it lies in the world."""

    voxels: NDArray[np.float32]
    """Intensities, scaled as the header says, shape (x, y, z)."""
    affine: NDArray[np.float64]
    """Voxel to world, in mm, RAS+, shape (4, 4)."""
    header: Any
    """The NIfTI header it came with."""


def read(path: Path) -> Image:
    """Return a three-dimensional image.

    Trailing axes of length 1 are dropped.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is not NIfTI, truncated, not three-dimensional, or its header lies about its size.
    """
    image = _parse(path)
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise InvalidDataError("The image is not three-dimensional", where=path, found=image.shape)
    if image.affine is None or not np.all(np.isfinite(image.affine)):
        raise InvalidDataError(
            "The affine of the image is not finite", where=path, found=image.affine
        )
    try:
        voxels = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
    except (ValueError, OSError, TypeError, HeaderDataError) as error:
        raise InvalidDataError(
            "The voxels of the image cannot be read", where=path, found=error
        ) from error
    return Image(voxels.reshape(shape), np.asarray(image.affine, dtype=np.float64), image.header)


def _parse(path: Path) -> Any:
    content = read_bytes(path, "image")
    if not content:
        raise InvalidDataError("The image is an empty file", where=path, fix="Copy it again")
    try:
        if content[:2] == GZIP_MAGIC:
            # isal inflates three times as fast as zlib, which is most of the time of a read.
            content = igzip.decompress(content)
    except (igzip.IsalError, zlib.error, EOFError, OSError, ValueError) as error:
        raise InvalidDataError(
            "The image is truncated or damaged", where=path, found=error, fix="Copy it again"
        ) from error
    try:
        image = (nib.Nifti2Image if _is_nifti2(content) else nib.Nifti1Image).from_bytes(content)
        expected = (
            int(np.prod([int(n) for n in image.shape])) * image.header.get_data_dtype().itemsize
        )
        start = int(image.dataobj.offset)
    except (
        ImageFileError,
        HeaderDataError,
        WrapStructError,
        ValueError,
        OSError,
        OverflowError,
    ) as error:
        raise InvalidDataError("The file is not a NIfTI image", where=path, found=error) from error
    if len(content) - start != expected:
        raise InvalidDataError(
            "The header of the image lies about its size",
            where=path,
            found=f"{len(content) - start} bytes of voxels where the header says {expected}",
            fix="Make the image again",
        )
    return image


def _is_nifti2(content: bytes) -> bool:
    return int.from_bytes(content[:4], "little") == 540 or int.from_bytes(content[:4], "big") == 540


def check_content(voxels: NDArray[np.float32], path: Path) -> None:
    """Refuse an image that nothing can be learnt from.

    Raises
    ------
    InvalidDataError
        A voxel is infinite, no voxel is a number, or all voxels are the same.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if np.isnan(low):
        if np.all(np.isnan(voxels)):
            raise InvalidDataError(
                "No voxel of the image is a number", where=path, found="NaN everywhere"
            )
        low, high = float(np.nanmin(voxels)), float(np.nanmax(voxels))
    if not np.isfinite(low) or not np.isfinite(high):
        raise InvalidDataError(
            "A voxel of the image is infinite", where=path, fix="Make the image again"
        )
    if low == high and not np.any(np.isnan(voxels)):
        raise InvalidDataError("All voxels of the image are the same", where=path, found=low)


def write(
    path: Path, voxels: NDArray[Any], *, affine: NDArray[np.float64], header: Any = None
) -> None:
    """Write an image whole, as the type of ``voxels``, with the affine of what it was made from.

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    voxels
        Shape (x, y, z).
    affine
        Voxel to world, in mm, RAS+, shape (4, 4).
    header
        Header whose units, codes and descriptions are kept; type and scaling follow ``voxels``.
    """
    image = nib.Nifti1Image(voxels, affine, header)
    image.header.set_data_dtype(voxels.dtype)
    image.header.set_slope_inter(1, 0)
    content = image.to_bytes()
    with whole_file(path) as temporary:
        if path.name.endswith(".gz"):
            # No name and no time in the gzip header: the same image is the same bytes.
            content = igzip.compress(content, compresslevel=2, mtime=0)
        temporary.write_bytes(content)


def stem(path: Path) -> str:
    """Return the name of an image without ``.nii`` or ``.nii.gz``.

    Examples
    --------
    >>> stem(Path("sub-1_T1w.nii.gz"))
    'sub-1_T1w'
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem
