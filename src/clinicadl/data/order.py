"""Which samples, in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def balanced(
    indices: Sequence[int], classes: Sequence[int], *, seed: int, purpose: str, epoch: int
) -> list[int]:
    """Return as many indices, of every class equally many, in the order of this epoch.

    Classes differ by one draw at most, and so do the samples of a class: a class that is smaller
    than its share is passed again and again, each time in another order.

    Parameters
    ----------
    indices
        Rows in the table of samples.
    classes
        Class of each, in the same order.
    seed, purpose, epoch
        Key of the draw.
    """
    draw = generator(seed, purpose, epoch)
    _, inverse, sizes = np.unique(np.asarray(classes), return_inverse=True, return_counts=True)
    share, n_left = divmod(len(indices), len(sizes))
    # Which classes get what is left over is drawn too, so that no class has it in every epoch.
    shares = share + (draw.permutation(len(sizes)) < n_left)
    drawn = []
    for number, n_draws in enumerate(shares):
        members = np.flatnonzero(inverse == number)
        passes = [draw.permutation(members) for _ in range(-(-n_draws // len(members)))]
        drawn.append(np.concatenate(passes)[:n_draws])
    return [indices[i] for i in draw.permutation(np.concatenate(drawn))]


BY_CLASS: dict[str, Callable[..., list[int]]] = {"weighted": weighted, "balanced": balanced}
"""Samplers that look at the classes: name -> draw of an epoch."""


def in_batches(order: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return the order cut into batches; the last may be smaller.

    Examples
    --------
    >>> in_batches([4, 2, 7], 2)
    [[4, 2], [7]]
    """
    return [list(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]
