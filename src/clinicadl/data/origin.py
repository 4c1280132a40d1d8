"""What ties a tensor to the image that it was made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from clinicadl.config.base import Choice
from clinicadl.data import tensors
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError, listed
from clinicadl.layouts import caps
from clinicadl.layouts.caps import ImageTensor, Session
from clinicadl.layouts.files import read_json, sha256, write_json


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
    """Write an origin, whole; a tensor comes first, so that an origin says that it is complete."""
    # After a power cut the file may be damaged: then it is no origin, and the tensor is made again.
    write_json(path, asdict(origin), durable=False)


def read(path: Path) -> Origin:
    """Return an origin.

    Raises
    ------
    MissingInputError
        There is none.
    InvalidDataError
        The file is damaged.
    """
    origin = _origin(read_json(path, "origin of the tensor"))
    if origin is None:
        raise InvalidDataError(
            "The origin of the tensor is damaged", where=path, fix="Run prepare-data again"
        )
    return origin


def _origin(content: dict[str, Any]) -> Origin | None:
    try:
        shape = tuple(int(size) for size in content.pop("shape"))
        affine = tuple(tuple(float(cell) for cell in row) for row in content.pop("affine"))
        origin = Origin(**content, shape=shape, affine=affine)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    texts = isinstance(origin.source, str) and isinstance(origin.sha256, str)
    numbers = isinstance(origin.n_bytes, int) and isinstance(origin.mtime_ns, int)
    sizes = min(shape, default=0) >= 1 and prod(shape) <= tensors.MAX_VOXELS
    square = [len(row) for row in affine] == [4, 4, 4, 4]
    return origin if texts and numbers and sizes and square else None


def of(found: ImageTensor) -> Origin | None:
    """Return the origin of a tensor that is there, whole; nothing if it must be made again."""
    try:
        origin = read(found.origin)
    except ClinicaDLError:
        # No origin, or a damaged one, which is as good as none.
        return None
    return origin if _is_whole(found.tensor, origin) else None


def is_unchanged(origin: Origin, source: Path, now: os.stat_result) -> bool:
    """Return whether an image is still the one that the tensor was made from.

    Parameters
    ----------
    origin
        What the tensor was made from.
    source
        The image; it is read only if size and time leave a doubt.
    now
        Its size and time.
    """
    if now.st_size != origin.n_bytes:
        return False
    return now.st_mtime_ns == origin.mtime_ns or sha256(source) == origin.sha256


def verify(
    directory: Path, preprocessing: Choice, sessions: Sequence[Session]
) -> dict[Session, tuple[ImageTensor, Origin]]:
    """Return the tensor of each session, which must still belong to its image.

    No tensor is read, and an image only if its time changed and its size did not. An image that is
    no longer there is no matter.

    Parameters
    ----------
    directory
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    sessions
        Whose tensors are needed.

    Raises
    ------
    MissingInputError
        A session has no tensor; all such are named.
    InvalidDataError
        A tensor is damaged, or its image changed since; all such are named.
    """
    stored = caps.index_tensors(directory, preprocessing, sessions)
    absent = [key for key in sessions if key not in stored]
    if absent:
        raise MissingInputError(
            f"{len(absent)} of {len(sessions)} sessions have no tensor", where=directory,
            found=listed(" | ".join(key) for key in absent),
            fix="Run prepare-data, or leave them out of the table",
        )  # fmt: skip
    known: dict[Session, tuple[ImageTensor, Origin]] = {}
    wrong: dict[Session, str] = {}
    for key in sessions:
        origin = of(stored[key])
        if origin is None:
            wrong[key] = "incomplete"
        elif _has_changed(directory / origin.source, origin):
            wrong[key] = "the image changed"
        else:
            known[key] = stored[key], origin
    if wrong:
        raise InvalidDataError(
            f"{len(wrong)} of {len(sessions)} tensors do not belong to their images",
            where=directory,
            found=listed(f"{' | '.join(key)} ({reason})" for key, reason in wrong.items()),
            fix="Run prepare-data again: it makes these anew and leaves the others alone",
        )
    return known


def _has_changed(source: Path, origin: Origin) -> bool:
    try:
        now = source.stat()
    except OSError:
        # Gone, or out of reach: the tensor stands for it.
        return False
    return not is_unchanged(origin, source, now)


def _is_whole(tensor: Path, origin: Origin) -> bool:
    try:
        return tensor.stat().st_size == tensors.n_bytes(origin.shape)
    except OSError:
        return False
