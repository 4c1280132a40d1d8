"""Batches, read ahead by workers who change who computes and never what."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from clinicadl.data.dataset import PartDataset
from clinicadl.errors import ClinicaDLError

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
    begin
        What each worker does first, told its number.
    """

    def __init__(
        self,
        dataset: PartDataset,
        *,
        n_proc: int,
        pinned: bool = False,
        begin: Callable[[int], None] | None = None,
    ) -> None:
        self.n_proc = n_proc
        self._order = _Order()
        with _as_many_workers_as_said():
            self._loader: DataLoader[Batch | ClinicaDLError] = DataLoader(
                _Batches(dataset),
                # What torch takes for a sample is a batch of ours.
                batch_size=None,
                sampler=self._order,
                num_workers=n_proc,
                persistent_workers=n_proc > 0,
                pin_memory=pinned,
                worker_init_fn=begin,
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
        for batch in batches:
            if isinstance(batch, ClinicaDLError):
                raise batch
            yield batch


@contextmanager
def readers_watched() -> Iterator[None]:
    """Say so, inside of the block, when a process that reads ahead was killed.

    Raises
    ------
    ClinicaDLError
        One was.
    RuntimeError
        Whatever else went wrong.
    """
    try:
        yield
    except RuntimeError as error:
        # torch says it wherever this process happens to be.
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ClinicaDLError(
            "A process that reads samples was killed, most likely for want of memory",
            found=str(error).partition(". ")[0],
            fix="Go on with a smaller --n_proc; what is finished is kept",
        ) from error


@contextmanager
def _as_many_workers_as_said() -> Iterator[None]:
    """Keep torch from warning of more workers than cores: their number is the user's to choose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield


class _Order(Sampler[list[Key]]):
    """The sampler: it says what it was last told."""

    batches: Sequence[list[Key]] = ()

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Batches(Dataset[Batch | ClinicaDLError]):
    """Whole batches of a data set, by the keys of their samples, or why there is none."""

    def __init__(self, samples: PartDataset) -> None:
        self._samples = samples
        self._shape: tuple[int, ...] | None = None

    def __getitem__(self, keys: list[Key]) -> Batch | ClinicaDLError:
        try:
            return self._batch(keys)
        except ClinicaDLError as error:
            # Raised in a worker, it would come back as text with a traceback.
            return error

    def _batch(self, keys: list[Key]) -> Batch:
        """Return a batch, each sample of which is made right in its place.

        So a process holds nothing besides the batch that is as large as a sample.
        """
        samples = []
        if self._shape is None:
            # The first of all says how large they are.
            samples = [self._samples[keys[0]]]
            self._shape = tuple(samples[0].image.shape)
        images = _empty((len(keys), *self._shape))
        for sample in samples:
            images[0] = sample.image
        done = len(samples)
        samples += [
            self._samples.sample(key, out=place)
            for key, place in zip(keys[done:], images[done:], strict=True)
        ]
        targets = torch.tensor([sample.target for sample in samples])
        return Batch(images, targets, [sample.row for sample in samples])


def _empty(shape: tuple[int, ...]) -> Tensor:
    """Return a tensor to be filled, in a worker in the memory that the parent will share."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.float32)
    # As torch does where it collates itself; what is shared later is copied once more.
    new: Callable[[int], torch.UntypedStorage] = torch.UntypedStorage._new_shared
    return torch.empty(0, dtype=torch.float32).set_(new(4 * math.prod(shape))).view(shape)
