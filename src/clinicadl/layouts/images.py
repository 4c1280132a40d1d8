"""NIfTI in and out, with affine and header; the only user of nibabel."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import read_bytes, whole_file

SUFFIXES = (".nii.gz", ".nii")
GZIP_MAGIC = b"\x1f\x8b"

# Any: the type that isal declares for its error is that of an instance.
_DAMAGES: tuple[Any, ...] = (isal_zlib.error, EOFError, OSError, ValueError)

_LONGEST_HEADER = 540
"""Bytes of the header of NIfTI-2; that of NIfTI-1 has 348."""
_BEGINNING = 4096
NOT_A_VOLUME = "The image is not three-dimensional"
"""How the error begins about a file that is sound, and no single volume."""
_NOT_NIFTI = "The file is not a NIfTI image"

_UNITS = {1: "metres", 2: "mm", 3: "micrometres"}
_UNIT_OF_SPACE = 7
"""The bits of the units that are about space; others are about time."""

_GZIP = 31
"""What zlib calls gzip: a window of 15 bits, and 16."""
_MOST_INFLATED = 1032
"""Bytes that one byte of deflate can stand for."""


class Image(NamedTuple):
    """A volume and where it lies in the world."""

    voxels: NDArray[np.float32]
    """Intensities, scaled as the header says, shape (x, y, z), in C order, free to be changed."""
    affine: NDArray[np.float64]
    """Voxel to world, in mm, RAS+, shape (4, 4)."""
    header: Any
    """The NIfTI header it came with."""
    sha256: str = ""
    """Of the file, as it lies on disk; empty for an image that was made in memory."""


class Stored(NamedTuple):
    """An image as its file has it, of any number of axes, with what its header says of its place.

    A matrix that the header does not state is None, one that cannot be made of it is not finite.
    """

    voxels: NDArray[Any]
    """Scaled as the header says, shape (x, y, z, ...), in Fortran order, not to be changed."""
    voxel_size: tuple[float, float, float]
    """As it is written, in the unit of the header: it may be 0, negative or not finite."""
    unit: str
    """``mm``, ``metres``, ``micrometres`` or ``unknown``."""
    affine: NDArray[np.float64]
    """What readers take: the sform, else the qform, else what the voxel size alone gives."""
    qform: NDArray[np.float64] | None
    sform: NDArray[np.float64] | None


class Frame(NamedTuple):
    """Where the voxels of an image lie."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    """Voxel to world, in mm, RAS+, shape (4, 4)."""


def read(path: Path) -> Image:
    """Return a three-dimensional image.

    Trailing axes of length 1 are dropped.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is not NIfTI, truncated, not three-dimensional, of complex numbers or colours, or its
        header lies about its size.
    """
    stored = read_bytes(path, "image")
    content = _inflated(stored, path)
    image = _parsed(content, path)
    _refuse_no_size(image, content, path)
    shape, affine = _frame(image.shape, image.affine, path)
    voxels = _in_c_order(_voxels(image, content, path).reshape(shape, order="F"))
    return Image(voxels, affine, image.header, hashlib.sha256(stored).hexdigest())


def read_stored(path: Path) -> Stored:
    """Return an image as it is, however odd its header.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is not NIfTI, truncated, without voxels, of complex numbers or colours, or its header
        lies about its size.
    """
    content = _inflated(read_bytes(path, "image"), path)
    with _mended_in_silence():
        image = _parsed(content, path)
    shape = tuple(int(size) for size in image.shape)
    if len(shape) < 3 or min(shape) < 1:
        raise InvalidDataError("The image has no volume", where=path, found=shape)
    header = image.header
    written = type(header)(content[: header.sizeof_hdr], check=False)
    x, y, z = (float(edge) for edge in written["pixdim"][1:4])
    unit = _UNITS.get(int(written["xyzt_units"]) & _UNIT_OF_SPACE, "unknown")
    return Stored(
        _voxels(image, content, path).reshape(shape, order="F"), (x, y, z), unit,
        np.asarray(image.affine, dtype=np.float64), _stated(header, "qform"),
        _stated(header, "sform"),
    )  # fmt: skip


@contextmanager
def _mended_in_silence() -> Iterator[None]:
    """Let nibabel mend a header without a word: `Stored` tells what was written in it."""
    log: Any = nib.imageglobals.logger
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _stated(header: Any, kind: str) -> NDArray[np.float64] | None:
    """Return one of the two matrices of a header; None where its code says that there is none."""
    if int(header[f"{kind}_code"]) == 0:
        return None
    try:
        matrix = header.get_qform() if kind == "qform" else header.get_sform()
    except (HeaderDataError, ValueError):
        return np.full((4, 4), np.nan)
    return np.asarray(matrix, dtype=np.float64)


def read_frame(path: Path) -> Frame:
    """Return where the voxels of an image lie; only the beginning of its file is read.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is not NIfTI, damaged at its beginning, or not three-dimensional.
    """
    stored = read_bytes(path, "image", most=_BEGINNING)
    if stored[:2] == GZIP_MAGIC:
        try:
            stored = zlib.decompressobj(_GZIP).decompress(stored, _LONGEST_HEADER)
        except zlib.error as error:
            raise InvalidDataError(
                "The image is truncated or damaged", where=path, found=error, fix="Copy it again"
            ) from error
    kind: Any = nib.Nifti2Header if _is_nifti2(stored) else nib.Nifti1Header
    try:
        header = kind(stored[: kind.sizeof_hdr])
        shape, affine = header.get_data_shape(), header.get_best_affine()
    except (HeaderDataError, WrapStructError, ValueError, OverflowError) as error:
        raise InvalidDataError(_NOT_NIFTI, where=path, found=_first_line(error)) from error
    return _frame(shape, affine, path)


def orientation(affine: NDArray[np.float64]) -> str:
    """Return to which side of the participant each axis grows; ``?`` for one without extent.

    Examples
    --------
    >>> orientation(np.diag([-1.0, -1, 3, 1]))
    'LPS'
    """
    codes: Any = nib.aff2axcodes
    return "".join(code or "?" for code in codes(affine)) if np.isfinite(affine).all() else "???"


def to_ras(voxels: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Return a view whose axes grow to the right, to the front and to the top, as near as may be.

    Parameters
    ----------
    voxels
        Shape (x, y, z).
    affine
        Voxel to world, in mm, RAS+, shape (4, 4); one that leaves an axis open changes nothing.
    """
    turns: Any = nib.orientations.io_orientation
    turn: Any = nib.orientations.apply_orientation
    found = turns(affine) if np.isfinite(affine).all() else np.array(np.nan)
    return voxels if np.isnan(found).any() else np.asarray(turn(voxels, found))


def toward_ras(image: Image) -> Image:
    """Return an image whose axes are turned to grow to the right, the front and up, as they can.

    No voxel is changed, and none moves in the world: an oblique image stays oblique.
    """
    turn: Any = nib.orientations
    way = turn.io_orientation(image.affine)
    voxels = np.ascontiguousarray(to_ras(image.voxels, image.affine))
    affine = image.affine @ turn.inv_ornt_aff(way, image.voxels.shape)
    return image._replace(voxels=voxels, affine=affine)


def check_unit(image: Image, path: Path) -> None:
    """Refuse an image whose header says that its places are not in mm.

    Raises
    ------
    InvalidDataError
        They are in metres or micrometres.
    """
    unit = image.header.get_xyzt_units()[0]
    if unit in ("meter", "micron"):
        raise InvalidDataError(
            "The places in the image are not in mm", where=path, found=unit, fix="Mend the header"
        )


def _frame(shape: Any, affine: Any, path: Path) -> Frame:
    sizes = tuple(int(size) for size in shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if len(sizes) > 3 and min(sizes) > 0:
        raise InvalidDataError(
            f"{NOT_A_VOLUME}: it holds {math.prod(sizes[3:])} volumes",
            where=path, found=tuple(shape), fix="Take one of them, or their mean, out of it",
        )  # fmt: skip
    if len(sizes) != 3 or min(sizes) < 1:
        raise InvalidDataError(NOT_A_VOLUME, where=path, found=tuple(shape))
    if affine is None or not np.all(np.isfinite(affine)):
        raise InvalidDataError("The affine of the image is not finite", where=path)
    return Frame((sizes[0], sizes[1], sizes[2]), np.asarray(affine, dtype=np.float64))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _inflated(stored: bytes, path: Path) -> bytes:
    if not stored:
        raise InvalidDataError("The image is an empty file", where=path, fix="Copy it again")
    if stored[:2] != GZIP_MAGIC:
        return stored
    # A member ends with its length: where there is room for it at once, nothing is moved about.
    length = int.from_bytes(stored[-4:], "little")
    try:
        # isal inflates twice as fast as zlib, which is most of the time of a read.
        if length <= _MOST_INFLATED * len(stored):
            content = isal_zlib.decompress(stored, wbits=_GZIP, bufsize=length + 1)
            if len(content) == length:
                return content
        # Several members one after another, as bgzip writes them.
        return bytes(igzip.decompress(stored))  # type: ignore[no-untyped-call]  # isal's is not
    except _DAMAGES as error:
        raise InvalidDataError(
            "The image is truncated or damaged", where=path, found=error, fix="Copy it again"
        ) from error


def _parsed(content: bytes, path: Path) -> Any:
    kind: Any = nib.Nifti2Image if _is_nifti2(content) else nib.Nifti1Image
    try:
        image = kind.from_bytes(content)
        n_voxels = math.prod(int(size) for size in image.shape)
        expected = n_voxels * image.header.get_data_dtype().itemsize
        there = len(content) - int(image.dataobj.offset)
    except (
        ImageFileError, HeaderDataError, WrapStructError, ValueError, OverflowError, OSError
    ) as error:  # fmt: skip
        raise InvalidDataError(_NOT_NIFTI, where=path, found=_first_line(error)) from error
    if there != expected:
        raise InvalidDataError(
            "The header of the image lies about its size",
            where=path,
            found=f"{there} bytes of voxels where the header says {expected}",
            fix="Make the image again",
        )
    return image


def _refuse_no_size(image: Any, content: bytes, path: Path) -> None:
    """Refuse voxels that the header gives an edge of 0: nibabel would take 1 mm for it.

    Raises
    ------
    InvalidDataError
        An edge is 0, and no matrix says where voxels lie.
    """
    kind = type(image.header)
    said = kind(content[: kind.sizeof_hdr], check=False)
    if said["sform_code"] == 0 and not np.all(said["pixdim"][1:4]):
        raise InvalidDataError(
            "The voxels of the image have no size", where=path,
            found=" x ".join(f"{edge:g}" for edge in said["pixdim"][1:4]) + " mm",
            fix="Mend the header",
        )  # fmt: skip


def _is_nifti2(content: bytes) -> bool:
    return 540 in (int.from_bytes(content[:4], order) for order in ("little", "big"))


def _voxels(image: Any, content: bytes, path: Path) -> NDArray[Any]:
    proxy = image.dataobj
    if proxy.dtype.kind not in "iuf":
        raise InvalidDataError(
            "The voxels of the image are not real numbers", where=path, found=proxy.dtype
        )
    if proxy.slope == 1 and proxy.inter == 0:
        # Nothing to scale: one look at the bytes that are in memory already.
        return np.frombuffer(content, dtype=proxy.dtype, offset=proxy.offset)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = image.get_fdata(dtype=np.float32, caching="unchanged")
    except (ValueError, OSError, TypeError, HeaderDataError) as error:
        raise InvalidDataError(
            "The voxels of the image cannot be read", where=path, found=error
        ) from error
    return np.asarray(scaled).ravel(order="F")


def _in_c_order(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Return voxels that lie in Fortran order, as NIfTI has them, as float32 in C order."""
    voxels = np.empty(stored.shape, np.float32)
    # A number beyond float32 becomes infinite, which `check_content` refuses.
    with np.errstate(over="ignore"):
        # Plane by plane both sides stay in the cache: half the time of one copy of the whole.
        for y in range(stored.shape[1]):
            voxels[:, y] = stored[:, y]
    return voxels


def check_content(voxels: NDArray[np.float32], path: Path) -> int:
    """Return how many voxels are no number; refuse an image that nothing can be learnt from.

    Raises
    ------
    InvalidDataError
        A voxel is infinite, no voxel is a number, or all voxels are the same.
    """
    low, high, n_undefined = voxels.min(), voxels.max(), 0
    if np.isnan(low):
        n_undefined = int(np.count_nonzero(np.isnan(voxels)))
        if n_undefined == voxels.size:
            raise InvalidDataError("No voxel of the image is a number", where=path)
        low, high = np.nanmin(voxels), np.nanmax(voxels)
    if not np.isfinite(low) or not np.isfinite(high):
        raise InvalidDataError("A voxel of the image is infinite", where=path)
    if low == high:
        raise InvalidDataError(
            "All voxels of the image are the same", where=path, found=f"{float(low):g} everywhere"
        )
    return n_undefined


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
    # NIfTI-2 stays NIfTI-2: its affine has more digits.
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(voxels, affine, header)
    image.header.set_data_dtype(voxels.dtype)
    image.header.set_slope_inter(1, 0)
    content = image.to_bytes()
    with whole_file(path) as temporary:
        if path.name.endswith(".gz"):
            # No name and no time in the gzip header: the same image is the same bytes.
            content = igzip.compress(content, compresslevel=2, mtime=0)
        temporary.write_bytes(content)


def stem(path: Path) -> str:
    """Return the name of an image without ``.nii`` or ``.nii.gz``, in whatever case.

    Examples
    --------
    >>> stem(Path("sub-1_T1w.nii.gz"))
    'sub-1_T1w'
    """
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem
