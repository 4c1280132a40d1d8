"""Random streams, keyed by what they are for."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def key(seed: int, purpose: str, epoch: int = 0, sample: int = 0) -> int:
    """Return the 128-bit number that stands for (seed, purpose, epoch, sample).

    ``sample`` is an index in a table, never a worker, a rank or a position in a batch.

    Examples
    --------
    >>> key(0, "order", epoch=1) == key(0, "order", epoch=1)
    True
    >>> key(0, "order", epoch=1) == key(0, "weights", epoch=1)
    False
    """
    text = f"{seed}/{purpose}/{epoch}/{sample}".encode()
    return int.from_bytes(blake2b(text, digest_size=16).digest(), "little")


def generator(seed: int, purpose: str, epoch: int = 0, sample: int = 0) -> np.random.Generator:
    """Return the one random stream of (seed, purpose, epoch, sample)."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=key(seed, purpose, epoch, sample)))
