"""Stored tensors: written whole, read restricted and memory-mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import whole_file


def write(path: Path, voxels: NDArray[np.float32]) -> None:
    """Write a volume as a float32 tensor that plain ``torch.load`` reads, uncompressed.

    Parameters
    ----------
    path
        Ends in ``.pt``.
    voxels
        Shape (x, y, z); the tensor has a channel in front.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(voxels))[None]
    with whole_file(path) as temporary, temporary.open("wb") as file:
        # Given a path, torch would write its name into the file, and the temporary one varies.
        torch.save(tensor, file)


def read(path: Path) -> Tensor:
    """Return a stored tensor, memory-mapped: what is not touched is not read.

    Raises
    ------
    InvalidDataError
        The file is damaged, or holds something else than a float32 tensor.
    """
    try:
        tensor = torch.load(path, weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise InvalidDataError(
            "The tensor cannot be read", where=path, fix="Run prepare-data again"
        ) from error
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
        raise InvalidDataError(
            "The file holds no float32 tensor", where=path, fix="Run prepare-data again"
        )
    return tensor
