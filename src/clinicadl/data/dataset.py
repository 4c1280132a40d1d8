"""Sample i as a pure function of the experiment and i."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from clinicadl.data import tensors
from clinicadl.transforms.pipeline import Transform

MAPPINGS = 4096
"""Stored tensors that a data set keeps mapped."""


class Sample(NamedTuple):
    """What the network gets, and what it should say."""

    image: Tensor
    """Shape (channel, x, y, z)."""
    target: int | float
    row: int
    """Row in the table of samples."""


class ImageDataset(Dataset[Sample]):
    """Whole images, memory-mapped: a sample is read when it is asked for, by whoever asks."""

    def __init__(
        self, paths: Sequence[Path], targets: Sequence[int | float], transform: Transform
    ) -> None:
        self.paths = tuple(paths)
        self.targets = tuple(targets)
        self.transform = transform
        # A mapping costs no memory of ours, and to make it again costs a small image as much as to
        # read it; the number of mappings of a process is limited by the system.
        self._mapped = lru_cache(MAPPINGS)(tensors.read)

    def __reduce__(self) -> tuple[object, ...]:
        # A worker that is not a fork maps for itself.
        return ImageDataset, (self.paths, self.targets, self.transform)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.transform(self._mapped(self.paths[index])), self.targets[index], index)
