"""Confidence intervals by resampling participants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl import draws

N_RESAMPLES = 3000
LEVEL = 0.95

_DRAWS_AT_ONCE = 2_000_000

Values = dict[str, NDArray[np.float64]]
"""Name of a metric -> its values."""
Statistics = Callable[[NDArray[Any]], Values]
"""Sums over participants, shape (resamples, ...) -> values of each metric, shape (resamples,)."""
OfDraws = Callable[[NDArray[np.float64]], Values]
"""How often each participant is drawn, shape (resamples, participants) -> the same values."""


class Interval(NamedTuple):
    """How far a value may be off."""

    low: float
    high: float
    standard_error: float


class Resampled(NamedTuple):
    """The metrics of a set of participants, and of resamples of them."""

    values: dict[str, float]
    of_resamples: Values
    """Of each metric shape (resamples,)."""


def resamples(seed: int, n_participants: int, n_resamples: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each participant is drawn in each resample, some resamples at a time.

    A resample draws as many participants as there are, with replacement. Which ones depends on
    nothing but the three numbers, so that two models of the same participants are compared on the
    same resamples.

    Parameters
    ----------
    seed
        Seed of the experiment.
    n_participants
        Number of participants.
    n_resamples
        Number of resamples, over all blocks.

    Yields
    ------
    Shape (resamples of the block, participants); each row sums to ``n_participants``.
    """
    stream = draws.generator(seed, "bootstrap")
    at_once = max(1, _DRAWS_AT_ONCE // n_participants)
    for first in range(0, n_resamples, at_once):
        n_rows = min(at_once, n_resamples - first)
        drawn = stream.integers(n_participants, size=(n_rows, n_participants))
        drawn += np.arange(n_rows)[:, np.newaxis] * n_participants
        counts = np.bincount(drawn.ravel(), minlength=n_rows * n_participants)
        yield counts.reshape(n_rows, n_participants).astype(np.float64)


def bootstrap(
    counts: NDArray[Any], statistics: Statistics, *, seed: int, n_resamples: int = N_RESAMPLES
) -> dict[str, Interval]:
    """Return the percentile interval of each metric at the level of 95 %.

    All rows of a participant are drawn together, since they are not independent.

    Parameters
    ----------
    counts
        What each participant adds to the sum that the metrics are functions of, shape
        (participants, ...); at least two participants.
    statistics
        The metrics of such sums.
    seed
        Seed of the experiment.
    n_resamples
        Number of resamples.

    Returns
    -------
    Name of the metric -> interval; the standard error is the standard deviation of the resamples.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
    """
    found = resampled(of_sums(counts, statistics), len(counts), seed=seed, n_resamples=n_resamples)
    return {name: percentiles(values) for name, values in found.of_resamples.items()}


def percentiles(values: NDArray[np.float64]) -> Interval:
    """Return the interval between percentiles of the values of resamples, shape (resamples,)."""
    tail = (1 - LEVEL) / 2
    return Interval(
        low=float(np.quantile(values, tail)),
        high=float(np.quantile(values, 1 - tail)),
        standard_error=float(np.std(values, ddof=1)),
    )


def of_sums(counts: NDArray[Any], statistics: Statistics) -> OfDraws:
    """Return the metrics of sums over participants, as a function of how often each is drawn.

    Parameters
    ----------
    counts
        What each participant adds, shape (participants, ...).
    statistics
        The metrics of such sums.
    """
    flat = counts.reshape(len(counts), -1).astype(np.float64)

    def values(times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return statistics((times @ flat).reshape(-1, *counts.shape[1:]))

    return values


def resampled(
    values: OfDraws, n_participants: int, *, seed: int, n_resamples: int = N_RESAMPLES
) -> Resampled:
    """Return the metrics of a set, and those of each resample of its participants.

    Parameters
    ----------
    values
        The metrics, of how often each participant is drawn.
    n_participants
        Number of participants.
    seed
        Seed of the resamples.
    n_resamples
        Number of resamples.
    """
    blocks = [values(times) for times in resamples(seed, n_participants, n_resamples)]
    whole = values(np.ones((1, n_participants)))
    return Resampled(
        {name: float(value[0]) for name, value in whole.items()},
        {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]},
    )
