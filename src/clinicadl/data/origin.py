"""What ties a tensor to the image that it was made from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from clinicadl.data import tensors
from clinicadl.data.parts import Parts
from clinicadl.errors import ClinicaDLError, InvalidDataError
from clinicadl.layouts import part_files
from clinicadl.layouts.caps import ImageTensor
from clinicadl.layouts.files import read_json, sha256, write_json
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
    """Path of the image, relative to the CAPS; of one in a BIDS data set it leads out of it."""
    sha256: str
    n_bytes: int
    mtime_ns: int
    shape: tuple[int, ...]
    """Shape of the image, channel first; of its tensor too, unless there are parts."""
    affine: tuple[tuple[float, ...], ...] | None
    """Voxel to world, in mm, RAS+; None where the image of another program's tensor is gone."""
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


def missing(origin: Origin, wanted: Parts) -> list[int]:
    """Return the parts that are not stored, or were made with another mask."""
    return [
        index
        for index, name in enumerate(wanted.names)
        if name not in origin.parts or origin.parts[name].mask != wanted.mask_sha256(index)
    ]


def _is_whole(tensor: Path, shape: tuple[int, ...]) -> bool:
    try:
        return tensor.stat().st_size == tensors.n_bytes(shape)
    except OSError:
        return False
