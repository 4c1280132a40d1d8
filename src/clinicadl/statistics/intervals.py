"""Confidence intervals by resampling participants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clinicadl import draws

N_RESAMPLES = 3000
LEVEL = 0.95

_DRAWS_AT_ONCE = 2_000_000
_ROUNDING = 1e-12
"""Share of the greatest value below which two differ by rounding."""

Values = dict[str, NDArray[np.float64]]
"""Name of a metric -> its values."""
Statistics = Callable[[NDArray[Any]], Values]
"""Sums over participants, shape (resamples, ...) -> values of each metric, shape (resamples,)."""
Shares = Mapping[str, tuple[int, int]]
"""Name of a metric -> how many of how many independent samples it counts."""
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
    of_jackknife: Values | None = None
    """Of each metric shape (participants,); where the intervals are to be `bca`."""
    shares: Shares | None = None
    """Metrics whose intervals are to be exact."""


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
    """Return the interval of each metric at the level of 95 %, as `interval` says.

    All rows of a participant are drawn together, since they are not independent [1]_.

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
    left_out = statistics(counts.sum(0, dtype=np.float64) - counts)
    return {
        name: interval(found.values[name], values, left_out[name])
        for name, values in found.of_resamples.items()
    }


def percentiles(values: NDArray[np.float64], *, level: float = LEVEL) -> Interval:
    """Return the interval between percentiles of the values of resamples, shape (resamples,)."""
    tail = (1 - level) / 2
    return Interval(
        low=float(np.quantile(values, tail)),
        high=float(np.quantile(values, 1 - tail)),
        standard_error=float(np.std(values, ddof=1)),
    )


def bca(
    value: float,
    of_resamples: NDArray[np.float64],
    of_jackknife: NDArray[np.float64],
    *,
    level: float = LEVEL,
) -> Interval:
    """Return the bias-corrected and accelerated interval [1]_.

    It moves the percentiles by how far the resamples lie to one side of the value, and by how much
    the spread changes with it. Where all resamples lie on one side it is that of `percentiles`.

    Parameters
    ----------
    value
        Of the whole set.
    of_resamples
        Shape (resamples,).
    of_jackknife
        With one participant left out at a time, shape (participants,).
    level
        How often it is to cover the truth.

    References
    ----------
    .. [1] B. Efron, Better bootstrap confidence intervals, Journal of the American Statistical
       Association 82, 1987.
    """
    above = of_resamples - value
    is_equal = abs(above) <= _ROUNDING * abs(of_resamples).max()
    share = ((above < 0) & ~is_equal).mean() + is_equal.mean() / 2
    plain = percentiles(of_resamples, level=level)
    if not 0 < share < 1:
        return plain
    bias = stats.norm.ppf(share)
    distances = of_jackknife.mean() - of_jackknife
    squares = (distances**2).sum()
    skew = (distances**3).sum() / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = bias + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(of_resamples, stats.norm.cdf(bias + shifted / (1 - skew * shifted)))
    return Interval(float(low), float(high), plain.standard_error)


def interval(
    value: float,
    of_resamples: NDArray[np.float64],
    of_jackknife: NDArray[np.float64] | None,
    *,
    level: float = LEVEL,
) -> Interval:
    """Return `bca` where there is a jackknife, else `percentiles`; of the finite resamples.

    No number where the value, or every resample, is none.
    """
    finite = of_resamples[np.isfinite(of_resamples)]
    if not np.isfinite(value) or not len(finite):
        return Interval(np.nan, np.nan, np.nan)
    if of_jackknife is None or not np.isfinite(of_jackknife).all():
        return percentiles(finite, level=level)
    return bca(value, finite, of_jackknife, level=level)


def proportion(n_right: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share of independent samples [1]_.

    It covers the truth at least as often as it says. Samples of one participant are not
    independent.

    Parameters
    ----------
    n_right
        How many have the property.
    n
        Of how many; at least one.

    References
    ----------
    .. [1] C. J. Clopper, E. S. Pearson, The use of confidence or fiducial limits illustrated in the
       case of the binomial, Biometrika 26, 1934.
    """
    tail, wrong = (1 - LEVEL) / 2, n - n_right
    low = stats.beta.ppf(tail, n_right, wrong + 1) if n_right else 0.0
    high = stats.beta.ppf(1 - tail, n_right + 1, wrong) if wrong else 1.0
    return float(low), float(high)


def jackknife(values: OfDraws, n_participants: int) -> Values:
    """Return each metric with one participant left out at a time, shape (participants,)."""
    at_once = max(1, _DRAWS_AT_ONCE // n_participants)
    blocks = [
        values(1.0 - (np.arange(n_participants) == left_out[:, np.newaxis]))
        for left_out in np.split(
            np.arange(n_participants), np.arange(at_once, n_participants, at_once)
        )
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


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
