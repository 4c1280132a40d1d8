"""The one reader of what torch saved: it makes tensors, text and numbers, and runs no code."""

from __future__ import annotations

import pickle  # only for the name of an exception that torch raises
import re
import struct
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

from clinicadl.errors import InvalidDataError

_DAMAGES = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip
"""What torch's restricted reader raises on damaged files, found by damaging some."""

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def load(path: Path, meaning: str, *, fix: str, mapped: bool = False) -> Any:
    """Return what ``torch.save`` wrote, on the CPU.

    Parameters
    ----------
    path
        The file.
    meaning
        What it is, for messages.
    fix
        What to do about a damaged one.
    mapped
        Whether tensors are memory-mapped: what is not touched is not read.

    Raises
    ------
    InvalidDataError
        The file is absent or damaged, or holds something else than tensors, text, numbers, and
        lists and dictionaries of these: such a thing could run code.
    """
    import torch

    try:
        with catch_warnings():
            # Of damaged files, which are then refused or found to be whole.
            filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        raise InvalidDataError(
            f"The {meaning} holds more than tensors, text and numbers, or asks to run code",
            where=path, found=named[1] if named else None, fix=fix,
        ) from error  # fmt: skip
    except _DAMAGES as error:
        raise InvalidDataError(
            f"The {meaning} cannot be read", where=path,
            found=str(error).partition("\n")[0].partition(". ")[0], fix=fix,
        ) from error  # fmt: skip
