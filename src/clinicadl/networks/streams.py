"""The random stream that torch follows, keyed by what it is for; the only seeding of torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clinicadl import draws


@contextmanager
def seeded(seed: int, purpose: str, epoch: int = 0, sample: int = 0) -> Iterator[None]:
    """Let torch draw from the stream of (seed, purpose, epoch, sample) inside the block.

    Afterwards the generators of the CPU and of the GPUs go on where they were.

    Parameters
    ----------
    seed
        Seed of the experiment.
    purpose
        What is drawn, such as ``"weights"`` or ``"dropout"``.
    epoch
        Number of the epoch.
    sample
        An index in a table or the number of an update, never a worker or a rank.
    """
    # A GPU that nobody used yet has no state to give back, and asking for it costs a second.
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    gpus = range(torch.cuda.device_count()) if used else ()
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(draws.key(seed, purpose, epoch, sample) % 2**64)
        yield
