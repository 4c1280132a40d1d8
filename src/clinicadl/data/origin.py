"""What ties a tensor to the image that it was made from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from clinicadl.config.base import Choice
from clinicadl.data import parts, tensors
from clinicadl.data.parts import Parts
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError, listed
from clinicadl.layouts import caps, part_files
from clinicadl.layouts.caps import ImageTensor, Session
from clinicadl.layouts.files import read_json, sha256, write_json
from clinicadl.layouts.masks import Mask
from clinicadl.layouts.part_files import PartFolder


@dataclass(frozen=True)
class StoredPart:
    """A part of the image that has a tensor of its own."""

    shape: tuple[int, ...]
    """Shape of the tensor, channel first."""
    start: tuple[int, ...]
    """Its first voxel in the image, along x, y, z."""
    mask: str = ""
    """SHA-256 of the mask of a region."""


@dataclass(frozen=True)
class Origin:
    """The image that a tensor, or the tensors of its parts, were made from."""

    source: str
    """Path of the image, relative to the CAPS."""
    sha256: str
    n_bytes: int
    mtime_ns: int
    shape: tuple[int, ...]
    """Shape of the image, channel first; of its tensor too, unless there are parts."""
    affine: tuple[tuple[float, ...], ...]
    """Voxel to world, in mm, RAS+."""
    parts: Mapping[str, StoredPart] = field(default_factory=dict)
    """Name -> part, where parts were stored and not the image."""


def write(path: Path, origin: Origin) -> None:
    """Write an origin, whole; a tensor comes first, so that an origin says that it is complete."""
    # After a power cut the file may be damaged: then it is no origin, and the tensor is made again.
    content = asdict(origin)
    if not origin.parts:
        del content["parts"]
    write_json(path, content, durable=False)


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
        stored = content.pop("parts", {})
        made = {name: _part(said) for name, said in dict(stored).items()}
        origin = Origin(**content, shape=shape, affine=affine, parts=made)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    texts = isinstance(origin.source, str) and isinstance(origin.sha256, str)
    numbers = isinstance(origin.n_bytes, int) and isinstance(origin.mtime_ns, int)
    sizes = all(map(_is_shape, [shape, *(part.shape for part in made.values())]))
    square = [len(row) for row in affine] == [4, 4, 4, 4]
    return origin if texts and numbers and sizes and square else None


def _part(said: dict[str, Any]) -> StoredPart:
    shape, start = (tuple(int(one) for one in said[key]) for key in ("shape", "start"))
    return StoredPart(shape, start, str(said["mask"]))


def _is_shape(shape: tuple[int, ...]) -> bool:
    return min(shape, default=0) >= 1 and prod(shape) <= tensors.MAX_VOXELS


def of(found: ImageTensor) -> Origin | None:
    """Return the origin of a tensor that is there, whole; nothing if it must be made again."""
    origin = _known(found.origin)
    return origin if origin is not None and _is_whole(found.tensor, origin.shape) else None


def of_parts(home: PartFolder) -> Origin | None:
    """Return the origin of the parts of an image, of which it names those that are there, whole."""
    origin = _known(home.origin)
    if origin is None:
        return None
    whole = {
        name: part
        for name, part in origin.parts.items()
        if _is_whole(part_files.part_tensor(home, name), part.shape)
    }
    return replace(origin, parts=whole)


def _known(path: Path) -> Origin | None:
    try:
        return read(path)
    except ClinicaDLError:
        # No origin, or a damaged one, which is as good as none.
        return None


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
    _refuse_absent(directory, stored, sessions)
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
    _refuse_wrong(directory, wrong, sessions)
    return known


def verify_parts(
    directory: Path,
    preprocessing: Choice,
    sessions: Sequence[Session],
    *,
    mode: Choice,
    masks: Sequence[Mask] = (),
) -> dict[Session, tuple[tuple[Path, ...], Origin]]:
    """Return the stored parts of each session, which must still belong to its image and masks.

    Parameters
    ----------
    directory
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    sessions
        Whose parts are needed.
    mode
        Row of `MODES`.
    masks
        What `layouts.masks.read` found for the mode.

    Returns
    -------
    The tensors in the order of the parts, and what they were made from.

    Raises
    ------
    MissingInputError
        A session has no stored parts; all such are named.
    InvalidDataError
        A part is absent or damaged, or image or mask changed since; all such sessions are named.
    """
    stored = part_files.index_parts(directory, preprocessing, sessions, mode.name)
    _refuse_absent(directory, stored, sessions)
    known: dict[Session, tuple[tuple[Path, ...], Origin]] = {}
    wrong: dict[Session, str] = {}
    for key in sessions:
        home = stored[key]
        origin = of_parts(home)
        wanted = None if origin is None else parts.of(mode, origin.shape, masks)
        if origin is None or wanted is None or not set(wanted.names) <= origin.parts.keys():
            wrong[key] = "incomplete"
        elif missing(origin, wanted):
            wrong[key] = "a mask changed"
        elif _has_changed(directory / origin.source, origin):
            wrong[key] = "the image changed"
        else:
            known[key] = tuple(part_files.part_tensor(home, name) for name in wanted.names), origin
    _refuse_wrong(directory, wrong, sessions)
    return known


def missing(origin: Origin, wanted: Parts) -> list[int]:
    """Return the parts that are not stored, or were made with another mask."""
    return [
        index
        for index, name in enumerate(wanted.names)
        if name not in origin.parts or origin.parts[name].mask != wanted.mask_sha256(index)
    ]


def _refuse_absent(
    directory: Path, stored: Mapping[Session, object], sessions: Sequence[Session]
) -> None:
    absent = [key for key in sessions if key not in stored]
    if absent:
        raise MissingInputError(
            f"{len(absent)} of {len(sessions)} sessions have no tensor", where=directory,
            found=listed(" | ".join(key) for key in absent),
            fix="Run prepare-data, or leave them out of the table",
        )  # fmt: skip


def _refuse_wrong(
    directory: Path, wrong: Mapping[Session, str], sessions: Sequence[Session]
) -> None:
    if wrong:
        raise InvalidDataError(
            f"{len(wrong)} of {len(sessions)} tensors do not belong to their images",
            where=directory,
            found=listed(f"{' | '.join(key)} ({reason})" for key, reason in wrong.items()),
            fix="Run prepare-data again: it makes these anew and leaves the others alone",
        )


def _has_changed(source: Path, origin: Origin) -> bool:
    try:
        now = source.stat()
    except OSError:
        # Gone, or out of reach: the tensor stands for it.
        return False
    return not is_unchanged(origin, source, now)


def _is_whole(tensor: Path, shape: tuple[int, ...]) -> bool:
    try:
        return tensor.stat().st_size == tensors.n_bytes(shape)
    except OSError:
        return False
