"""What ties a tensor to the image that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinicadl.config.base import Choice
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import caps
from clinicadl.layouts.caps import ImageTensor, Session
from clinicadl.layouts.files import read_json, sha256, write_json

_ZIP_OVERHEAD = 4096
"""A tensor's file holds its values and little else."""


@dataclass(frozen=True)
class Origin:
    """The image that a tensor was made from."""

    source: str
    """Path of the image, relative to the CAPS."""
    sha256: str
    n_bytes: int
    mtime_ns: int
    shape: tuple[int, ...]
    """Shape of the tensor, channel first."""
    affine: tuple[tuple[float, ...], ...]
    """Voxel to world, in mm, RAS+."""


def write(path: Path, origin: Origin) -> None:
    """Write an origin, whole."""
    write_json(path, asdict(origin))


def read(path: Path) -> Origin:
    """Return an origin.

    Raises
    ------
    InvalidDataError
        The file is damaged.
    """
    content: dict[str, Any] = read_json(path, "origin of the tensor")
    try:
        shape = tuple(int(size) for size in content.pop("shape"))
        affine = tuple(tuple(float(cell) for cell in row) for row in content.pop("affine"))
        return Origin(**content, shape=shape, affine=affine)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidDataError(
            "The origin of the tensor is damaged", where=path, fix="Run prepare-data again"
        ) from error


def is_current(found: ImageTensor, source: Path) -> bool:
    """Return whether there is a tensor, whole, of this image as it is now."""
    if not found.origin.exists():
        return False
    try:
        made_from = read(found.origin)
    except InvalidDataError:
        # A damaged origin is as good as none: the tensor is made again.
        return False
    return is_complete(found, made_from) and is_unchanged(made_from, source)


def is_unchanged(origin: Origin, source: Path) -> bool:
    """Return whether an image is still the one that the tensor was made from."""
    now = source.stat()
    if (now.st_size, now.st_mtime_ns) == (origin.n_bytes, origin.mtime_ns):
        return True
    return now.st_size == origin.n_bytes and sha256(source) == origin.sha256


def is_complete(found: ImageTensor, origin: Origin) -> bool:
    """Return whether the tensor is there and has the size that its shape asks for."""
    expected = 4
    for size in origin.shape:
        expected *= size
    if not found.tensor.exists():
        return False
    return expected <= found.tensor.stat().st_size <= expected + _ZIP_OVERHEAD


def verify(
    directory: Path, preprocessing: Choice, sessions: Sequence[Session]
) -> dict[Session, tuple[ImageTensor, Origin]]:
    """Return the tensor of each session, which must still belong to its image.

    Raises
    ------
    MissingInputError
        A session has no tensor; all such are named.
    InvalidDataError
        A tensor is damaged, or its image changed since; all such are named.
    """
    tensors = caps.index_tensors(directory, preprocessing, sessions)
    absent = [key for key in sessions if key not in tensors]
    if absent:
        raise MissingInputError(
            f"{len(absent)} of {len(sessions)} sessions have no tensor", where=directory,
            found=listed(" | ".join(key) for key in absent),
            fix="Run prepare-data, or leave them out of the table",
        )  # fmt: skip
    known = {key: (tensors[key], read(tensors[key].origin)) for key in sessions}
    stale = [key for key, (found, origin) in known.items()
             if not is_complete(found, origin) or _changed(directory, origin)]  # fmt: skip
    if stale:
        raise InvalidDataError(
            f"{len(stale)} tensors do not belong to their images any more", where=directory,
            found=listed(" | ".join(key) for key in stale), fix="Run prepare-data again",
        )  # fmt: skip
    return known


def _changed(directory: Path, origin: Origin) -> bool:
    source = directory / origin.source
    return source.exists() and not is_unchanged(origin, source)
