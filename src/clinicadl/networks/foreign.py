"""Weights that other programs wrote, read so that they cannot run code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.networks import restricted

_MEANING = "file of weights"
_FIX = "Give a file of weights alone, as safetensors or as torch.save writes them"


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights of a safetensors file, or of a file that ``torch.save`` wrote.

    Parameters
    ----------
    path
        The file; its content decides, not its name.

    Raises
    ------
    MissingInputError
        The file is absent or cannot be read.
    InvalidDataError
        It is damaged, or holds something else than named tensors.
    """
    try:
        with path.open("rb") as stored:
            head = stored.read(9)
    except OSError as error:
        raise MissingInputError(
            "The file of weights cannot be read", where=path, found=error.strerror,
            fix="Check the path",
        ) from error  # fmt: skip
    # Safetensors begin with the length of their header, which is JSON.
    content = _safetensors(path) if head[8:] == b"{" else restricted.load(path, _MEANING, fix=_FIX)
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise InvalidDataError(
            "The file holds something else than named weights", where=path,
            fix="Give a file of weights alone, name by name",
        )  # fmt: skip
    return dict(content)


def _safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InvalidDataError:
    return InvalidDataError(
        "The file of weights is damaged", where=path, found=str(error).partition("\n")[0],
        fix="Copy it again",
    )  # fmt: skip
