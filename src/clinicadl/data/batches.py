"""Batches, read ahead by workers who change who computes and never what."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from clinicadl.data.dataset import PartDataset, Sample

Key = int | tuple[int, int]
"""What the data set is asked for: a row, or a row in an epoch of training."""


class Batch(NamedTuple):
    """Samples that pass the network together."""

    images: Tensor
    """Shape (n, channel, x, y, z), or (n, channel, a, b) of slices."""
    targets: Tensor
    """Shape (n,), or (n, labels)."""
    rows: list[int]
    """Rows in the table of samples."""

    def share(self, part: int, n_parts: int) -> Batch:
        """Return every ``n_parts``-th sample from ``part`` on: one part of each image."""
        which = slice(part, None, n_parts)
        return Batch(self.images[which], self.targets[which], self.rows[which])


class Loader:
    """A handle on the workers that read a data set; they live until it is let go.

    Parameters
    ----------
    dataset
        The samples.
    n_proc
        Worker processes; 0 reads in this one.
    pinned
        Whether batches are put where a GPU can fetch them.
    """

    def __init__(self, dataset: PartDataset, *, n_proc: int, pinned: bool = False) -> None:
        self.n_proc = n_proc
        self._order = _Order()
        with _as_many_workers_as_said():
            self._loader: DataLoader[Sample] = DataLoader(
                dataset,
                batch_sampler=self._order,
                num_workers=n_proc,
                persistent_workers=n_proc > 0,
                collate_fn=collate,
                pin_memory=pinned,
            )

    def __call__(self, order: Sequence[list[int]], epoch: int | None = None) -> Iterator[Batch]:
        """Yield the batches of an order, one list of rows a batch.

        With an epoch they are for training, and augmented as the data set says.
        """
        self._order.batches = [
            [row if epoch is None else (row, epoch) for row in some] for some in order
        ]
        with _as_many_workers_as_said():
            batches = iter(self._loader)
        yield from batches


@contextmanager
def _as_many_workers_as_said() -> Iterator[None]:
    """Keep torch from warning of more workers than cores: their number is the user's to choose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield


class _Order:
    """The batch sampler: it says what it was last told."""

    batches: Sequence[list[Key]] = ()

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def collate(samples: Sequence[Sample]) -> Batch:
    """Return samples as one batch."""
    return Batch(
        # In a worker this stacks right into the memory that it shares with the parent.
        default_collate([sample.image for sample in samples]),
        torch.tensor([sample.target for sample in samples]),
        [sample.row for sample in samples],
    )
