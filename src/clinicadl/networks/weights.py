"""Weights on disk: tensors, with facts about them, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import torch
from isal import isal_zlib
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts.files import status, whole_file
from clinicadl.networks import restricted

FACTS = "clinicadl"
CHECKSUM = "crc32"

_COPY = "Copy the file again"

CODES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""Type of a tensor -> its name in a file."""


class Weights(NamedTuple):
    """What a file of weights holds."""

    state: dict[str, Tensor]
    """Name -> tensor, on the CPU."""
    facts: dict[str, Any]
    """What was written beside the tensors: network, epoch, split, ..."""


def write(
    path: Path,
    state: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    durable: bool = True,
    former: Path | None = None,
) -> None:
    """Write tensors and facts into one file, whole.

    The file is plain safetensors, so that other programs read it; it carries a checksum.

    Parameters
    ----------
    path
        The file; an old one is replaced.
    state
        Name -> tensor, on any device and in any memory format.
    facts
        What JSON can hold.
    durable, former
        As in `clinicadl.layouts.files.whole_file`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = json.dumps(facts)
    # The format wants wide numbers first, so that each tensor lies where its type may begin.
    names = sorted(state, key=lambda name: (-state[name].element_size(), name))
    tensors = {name: state[name].detach().cpu().contiguous() for name in names}
    header = _header(tensors, {FACTS: text, CHECKSUM: str(_checksum(text, tensors))})
    # By hand and not by safetensors' own writers: the one leaves a file under a name of its own
    # when it is killed, and hides from us whether the disk was full; the other makes a second copy
    # of all weights in memory. The tests read what stands here with the library.
    with (
        whole_file(path, durable=durable, former=former) as temporary,
        temporary.open("wb") as stored,
    ):
        stored.write(len(header).to_bytes(8, "little") + header)
        for tensor in tensors.values():
            stored.write(_bytes(tensor).data)


class Described(NamedTuple):
    """What a file of weights says of itself, without its numbers."""

    shapes: dict[str, tuple[int, ...]]
    """Name -> shape of the tensor."""
    facts: dict[str, Any]


def describe(path: Path) -> Described:
    """Return the shapes of weights and the facts about them, without reading the weights.

    Raises
    ------
    MissingInputError
        The file is absent or cannot be read.
    InvalidDataError
        It is damaged, or was written by another program.
    """
    with _opened(path) as stored:
        metadata = _metadata(stored, path)
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in sorted(stored.keys())}
    return Described(shapes, json.loads(metadata[FACTS]))


def read(path: Path) -> Weights:
    """Return the weights that `write` wrote, on the CPU.

    Raises
    ------
    MissingInputError
        The file is absent or cannot be read.
    InvalidDataError
        It is damaged, or was written by another program.
    """
    with _opened(path) as stored:
        metadata = _metadata(stored, path)
        state = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    if metadata[CHECKSUM] != str(_checksum(metadata[FACTS], state)):
        raise InvalidDataError(
            "The weights are damaged: their checksum is another", where=path,
            fix=_COPY,
        )  # fmt: skip
    return Weights(state, json.loads(metadata[FACTS]))


class Published(NamedTuple):
    """What a file of weights of releases 1.x holds."""

    state: dict[str, Tensor]
    """Name -> tensor, on the CPU."""
    epoch: int
    """Number of the epoch that they are of; the first is 0."""
    name: str
    """Name of the network."""


def read_published(path: Path) -> Published:
    """Return the weights that releases 1.x wrote; nothing in the file can run.

    Raises
    ------
    MissingInputError
        The file is absent or cannot be read.
    InvalidDataError
        It is damaged, holds something else than such weights, or could run code.
    """
    content = _without_code(path)
    epoch, name, state = (content.get(key) for key in ("epoch", "name", "model"))
    if not isinstance(epoch, int) or not isinstance(name, str) or not isinstance(state, dict):
        raise InvalidDataError(
            "The file holds no weights of releases 1.x", where=path,
            found=f"keys {listed(content)}", fix="Give one with model, epoch and name",
        )  # fmt: skip
    odd = [label for label, value in state.items() if not _is_plain(label, value)]
    if odd:
        raise InvalidDataError("The weights are no plain tensors", where=path, found=listed(odd))
    return Published(dict(state), epoch, name)


def _without_code(path: Path) -> dict[str, Any]:
    """Return the dictionary that ``torch.save`` wrote.

    Raises
    ------
    MissingInputError
        The file is absent or cannot be read.
    InvalidDataError
        It is damaged, or no dictionary.
    """
    status(path, "file of weights")
    try:
        with ZipFile(path) as archive:
            broken = archive.testzip()
    except BadZipFile:
        broken = None  # of releases before 1.0, which have no checksums
    except OSError as error:
        raise MissingInputError("The weights cannot be read", where=path, found=error) from error
    if broken is not None:
        # torch itself does not look at the checksums.
        raise InvalidDataError(
            "The weights are damaged: a checksum is another", where=path, found=broken, fix=_COPY
        )
    content = restricted.load(path, "file of weights", fix=_COPY)
    return content if isinstance(content, dict) else {}


def _is_plain(name: object, value: object) -> bool:
    if not isinstance(name, str) or not isinstance(value, Tensor):
        return False
    return value.layout is torch.strided and value.dtype in CODES


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield an open file of weights.

    Raises
    ------
    MissingInputError
        The file is absent or cannot be read.
    InvalidDataError
        It is damaged.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except FileNotFoundError as error:
        raise MissingInputError(
            "The weights do not exist", where=path, fix="Check the path"
        ) from error
    except OSError as error:
        raise MissingInputError("The weights cannot be read", where=path, found=error) from error
    except SafetensorError as error:
        raise InvalidDataError(
            "The weights are damaged, or are no safetensors", where=path, found=error,
            fix=_COPY,
        ) from error  # fmt: skip


def _metadata(stored: Any, path: Path) -> dict[str, str]:
    """Return what stands beside the tensors.

    Raises
    ------
    InvalidDataError
        The file was written by another program.
    """
    metadata: dict[str, str] = stored.metadata() or {}
    if FACTS not in metadata or CHECKSUM not in metadata:
        raise InvalidDataError(
            "The weights were written by another program", where=path,
            fix="Give weights that ClinicaDL trained",
        )  # fmt: skip
    return metadata


def _header(tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name, tensor in tensors.items():
        stop = start + tensor.nbytes
        entries[name] = {
            "dtype": CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text.ljust(-(-len(text) // 8) * 8)


def _checksum(facts: str, tensors: Mapping[str, Tensor]) -> int:
    """Return one number that changes with a fact, a name, a type, a shape or a value."""
    number = isal_zlib.crc32(facts.encode())
    for part in _parts(tensors):
        number = isal_zlib.crc32(part, number)
    return number


def _parts(tensors: Mapping[str, Tensor]) -> Iterator[bytes | NDArray[Any]]:
    for name in sorted(tensors):
        tensor = tensors[name]
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield _bytes(tensor)


def _bytes(tensor: Tensor) -> NDArray[Any]:
    content: NDArray[Any] = tensor.reshape(-1).view(torch.uint8).numpy()
    return content
