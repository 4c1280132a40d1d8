"""Stored tensors: written whole, read restricted and memory-mapped."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import status, whole_file
from clinicadl.networks import restricted

if TYPE_CHECKING:
    from torch import Tensor

MAX_VOXELS = 2**29
"""What fits in a zip file without the extensions for large ones: 2 GiB of float32."""

_AGAIN = "Run prepare-data again"

_ALIGNMENT = 64
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_PADDING = b"FB"
"""Name of the extra field that pads, as in the files of torch."""


def write(path: Path, voxels: NDArray[np.float32]) -> None:
    """Write a volume as a float32 tensor that plain ``torch.load`` reads, uncompressed.

    The file is what ``torch.save`` writes, a zip archive of plain records, but for its speed: the
    checksum takes a fraction of the time, torch need not be imported, and the same volume is the
    same bytes. After a power cut it may be short: `n_bytes` tells.

    Parameters
    ----------
    path
        Ends in ``.pt``.
    voxels
        Shape (x, y, z); the tensor has a channel in front.

    Raises
    ------
    InvalidDataError
        There are more than `MAX_VOXELS`.
    """
    write_part(path, voxels[np.newaxis])


def write_part(path: Path, voxels: NDArray[np.float32]) -> None:
    """Write a tensor that has its channels already; else as `write`.

    Parameters
    ----------
    path
        Ends in ``.pt``.
    voxels
        Shape (channel, ...) with two or three axes behind the channel; a code has any shape.

    Raises
    ------
    InvalidDataError
        There are more than `MAX_VOXELS`.
    """
    if voxels.size > MAX_VOXELS:
        raise InvalidDataError(
            "The image is too large for a tensor", where=path,
            found=f"{voxels.size} voxels, at most {MAX_VOXELS} are possible",
            fix="Crop it, or resample it to larger voxels",
        )  # fmt: skip
    ordered = np.ascontiguousarray(voxels, dtype="<f4")
    records = _records(ordered.shape, isal_zlib.crc32(ordered))
    with whole_file(path, durable=False) as temporary, temporary.open("wb") as file:
        for record in records:
            file.write(record.head)
            file.write(ordered.data if record.content is None else record.content)
        file.write(_directory(records))


@cache
def n_bytes(shape: tuple[int, ...]) -> int:
    """Return the size of the file of a tensor of this shape, channel first."""
    records = _records(shape, 0)
    return sum(len(record.head) + record.size for record in records) + len(_directory(records))


def read(path: Path) -> Tensor:
    """Return a stored tensor, memory-mapped: what is not touched is not read.

    Raises
    ------
    InvalidDataError
        The file is absent or damaged, or holds something else than a float32 tensor.
    """
    import torch

    tensor = restricted.load(path, "tensor", fix=_AGAIN, mapped=True)
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.float32:
        raise InvalidDataError("The file holds no float32 tensor", where=path, fix=_AGAIN)
    return tensor


class Mapped(NamedTuple):
    """A stored tensor that stays mapped, and what its file was when it was."""

    path: Path
    tensor: Tensor
    identity: tuple[int, int, int]

    def whole(self) -> Tensor:
        """Return the tensor, if its file is still the same.

        To touch what lies behind the end of a mapped file kills a process on the spot, and a file
        that was replaced would be another one in each process.

        Raises
        ------
        MissingInputError
            The file is gone.
        InvalidDataError
            It changed.
        """
        if _identity(self.path) != self.identity:
            raise InvalidDataError(
                "The tensor changed while it was in use", where=self.path,
                fix="Put it back or run prepare-data again, then resume",
            )  # fmt: skip
        return self.tensor


def mapped(path: Path, shape: tuple[int, ...]) -> Mapped:
    """Return a stored tensor of a known shape, to be kept mapped.

    Raises
    ------
    MissingInputError
        The file is gone.
    InvalidDataError
        It is damaged, or holds something else.
    """
    identity = _identity(path)
    tensor = read(path)
    if tuple(tensor.shape) != shape:
        raise InvalidDataError(
            "The tensor has another shape than it should have", where=path,
            found=f"{tuple(tensor.shape)}, not {shape}", fix=_AGAIN,
        )  # fmt: skip
    return Mapped(path, tensor, identity)


def _identity(path: Path) -> tuple[int, int, int]:
    now = status(path, "tensor")
    return now.st_ino, now.st_size, now.st_mtime_ns


class _Record(NamedTuple):
    """One member of the archive."""

    name: bytes
    checksum: int
    size: int
    start: int
    head: bytes
    """What stands in front of the content."""
    content: bytes | None
    """None: the voxels."""


def _records(shape: Sequence[int], checksum: int) -> list[_Record]:
    """Return the members that torch asks for; ``checksum`` is that of the voxels."""
    wanted: list[tuple[bytes, bytes | None]] = [
        (b"archive/data.pkl", _rebuild(shape)),
        (b"archive/byteorder", b"little"),
        (b"archive/data/0", None),
        (b"archive/version", b"3\n"),
    ]
    records: list[_Record] = []
    start = 0
    for name, content in wanted:
        known = checksum if content is None else isal_zlib.crc32(content)
        size = 4 * math.prod(shape) if content is None else len(content)
        head = _head(name, known, size, start)
        records.append(_Record(name, known, size, start, head, content))
        start += len(head) + size
    return records


def _head(name: bytes, checksum: int, size: int, start: int) -> bytes:
    # The content begins at a multiple of the alignment, so that the mapped voxels are aligned too.
    unpadded = start + 30 + len(name) + 4
    extra = struct.pack("<2sH", _PADDING, -unpadded % _ALIGNMENT) + b"Z" * (-unpadded % _ALIGNMENT)
    return _LOCAL + _facts(name, checksum, size) + struct.pack("<H", len(extra)) + name + extra


def _facts(name: bytes, checksum: int, size: int) -> bytes:
    """Return what the local and the central header share: no flags, stored, no date, sizes."""
    return struct.pack("<5H3IH", 20, 0, 0, 0, 0x21, checksum, size, size, len(name))


def _directory(records: Iterable[_Record]) -> bytes:
    """Return the table of contents at the end of the archive."""
    entries, n_entries, start = b"", 0, 0
    for record in records:
        entries += _CENTRAL + struct.pack("<H", 20)
        entries += _facts(record.name, record.checksum, record.size)
        entries += struct.pack("<4H2I", 0, 0, 0, 0, 0, record.start) + record.name
        n_entries += 1
        start = record.start + len(record.head) + record.size
    end = struct.pack("<4H2IH", 0, 0, n_entries, n_entries, len(entries), start, 0)
    return entries + _END + end


def _rebuild(shape: Sequence[int]) -> bytes:
    """Return the recipe of the tensor: the opcodes of a pickle, spelt out, with no memo."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    storage = (
        b"(" + _text(b"storage") + b"ctorch\nFloatStorage\n" + _text(b"0") + _text(b"cpu")
        + _integer(math.prod(shape)) + b"tQ"
    )  # fmt: skip
    no_hooks = b"ccollections\nOrderedDict\n)R"
    arguments = storage + _integer(0) + _tuple(shape) + _tuple(strides) + b"\x89" + no_hooks
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR."


def _text(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


def _integer(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def _tuple(numbers: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_integer, numbers)) + b"t"
