"""Sample i as a pure function of the experiment and i."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from clinicadl.data import tensors
from clinicadl.transforms.pipeline import Transform


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

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.transform(tensors.read(self.paths[index])), self.targets[index], index)
