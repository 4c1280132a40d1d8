"""Which samples, in which order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clinicadl.draws import generator


def shuffled(indices: Sequence[int], *, seed: int, purpose: str, epoch: int) -> list[int]:
    """Return each index once, in the order of this epoch."""
    order = generator(seed, purpose, epoch).permutation(len(indices))
    return [indices[i] for i in order]


def weighted(
    indices: Sequence[int], classes: Sequence[int], *, seed: int, purpose: str, epoch: int
) -> list[int]:
    """Return as many indices, drawn with replacement so that every class is equally likely.

    Parameters
    ----------
    indices
        Rows in the table of samples.
    classes
        Class of each, in the same order.
    seed, purpose, epoch
        Key of the draw.
    """
    _, inverse, counts = np.unique(np.asarray(classes), return_inverse=True, return_counts=True)
    shares = 1 / counts[inverse]
    drawn = generator(seed, purpose, epoch).choice(
        len(indices), size=len(indices), p=shares / shares.sum()
    )
    return [indices[i] for i in drawn]


def in_batches(order: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return the order cut into batches; the last may be smaller.

    Examples
    --------
    >>> in_batches([4, 2, 7], 2)
    [[4, 2], [7]]
    """
    return [list(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]
