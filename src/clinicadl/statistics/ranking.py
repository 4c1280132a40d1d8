"""How well a score ranks positives above negatives: the area under the ROC curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clinicadl.statistics.intervals import LEVEL

_ROUNDING = 1e-12
"""Share of the variances below which that of a difference is rounding."""


class DeLong(NamedTuple):
    """The areas under the ROC curves of two scores, and whether they differ."""

    first: float
    second: float
    low: float
    high: float
    """Interval of the difference of the first and the second."""
    p: float
    """Two-sided; no number where the variance is zero and the areas differ."""


def auc(is_positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the share of pairs in which the positive has the higher score; ties count half.

    No number where there are no positives or no negatives.
    """
    return float(weighted_auc(is_positive, scores, np.ones((1, len(scores))))[0])


def weighted_auc(
    is_positive: NDArray[np.bool_], scores: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the area under the curve of samples that count several times each.

    Parameters
    ----------
    is_positive, scores
        Of each sample, shape (n,).
    times
        How often each sample counts, shape (resamples, n).

    Returns
    -------
    Shape (resamples,); no number where no positive or no negative counts.
    """
    values, rank = np.unique(scores, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[order], np.arange(len(values)))
    # Of each value of the score, how often positives and negatives have it.
    positives, negatives = (
        np.add.reduceat(np.where(chosen, times, 0.0)[:, order], starts, axis=1)
        for chosen in (is_positive, ~is_positive)
    )
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(1) * negatives.sum(1)
    area = np.full(len(times), np.nan)
    np.divide((positives * below).sum(1), pairs, out=area, where=pairs > 0)
    return area


def delong(
    is_positive: NDArray[np.bool_],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    owner: NDArray[np.int64] | None = None,
) -> DeLong:
    """Return DeLong's test [1]_ of two areas under ROC curves, computed from midranks [2]_.

    Where participants have several samples, which are not independent, it is that of Obuchowski
    [3]_: samples of one participant may be positives, negatives, or both.

    Parameters
    ----------
    is_positive
        Truth of each sample, shape (n,); the positives are of two participants at least, and so
        are the negatives.
    first, second
        Scores of the two models, shape (n,).
    owner
        Participant of each sample, shape (n,); none: each has one sample.

    References
    ----------
    .. [1] E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Comparing the areas under two or more
       correlated receiver operating characteristic curves, Biometrics 44, 1988.
    .. [2] X. Sun, W. Xu, Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters
       21(11), 2014.
    .. [3] N. A. Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53,
       1997.
    """
    areas, covariance = delong_covariance(is_positive, np.stack([first, second]), owner)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # What the scores have in common may cancel but for rounding.
    is_none = variance <= _ROUNDING * float(np.trace(covariance))
    error = 0.0 if is_none else float(np.sqrt(variance))
    reach = error * float(stats.norm.ppf((1 + LEVEL) / 2))
    if error > 0:
        p = 2 * float(stats.norm.sf(abs(difference) / error))
    else:
        p = 1.0 if difference == 0 else float("nan")
    return DeLong(float(areas[0]), float(areas[1]), difference - reach, difference + reach, p)


def delong_covariance(
    is_positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    owner: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the areas of several scores, shape (k,), and their covariance, shape (k, k).

    Parameters
    ----------
    is_positive
        Truth of each sample, shape (n,).
    scores
        Shape (k, n).
    owner
        Participant of each sample, shape (n,); none: each has one sample.
    """
    owner = np.arange(len(is_positive)) if owner is None else owner
    positives, negatives = scores[:, is_positive], scores[:, ~is_positive]
    n_positives, n_negatives = positives.shape[1], negatives.shape[1]
    both = np.concatenate([positives, negatives], axis=1)
    among_all = stats.rankdata(both, axis=1)
    # How many of the others each sample is ranked above, as a share.
    of_positives = among_all[:, :n_positives] - stats.rankdata(positives, axis=1)
    of_negatives = among_all[:, n_positives:] - stats.rankdata(negatives, axis=1)
    v10, v01 = of_positives / n_negatives, 1 - of_negatives / n_positives
    areas = v10.mean(1)
    # What each participant adds to the deviation, as a share of the positives or negatives.
    _, people = np.unique(owner, return_inverse=True)
    n_people = int(people.max()) + 1
    sides = [
        (_sums(v10 - areas[:, None], people[is_positive], n_people) / n_positives,
         len(np.unique(people[is_positive]))),
        (_sums(v01 - areas[:, None], people[~is_positive], n_people) / n_negatives,
         len(np.unique(people[~is_positive]))),
    ]  # fmt: skip
    own = [n / (n - 1) * side @ side.T for side, n in sides]
    mixed = n_people / (n_people - 1) * sides[0][0] @ sides[1][0].T
    return areas, own[0] + own[1] + mixed + mixed.T


def _sums(
    values: NDArray[np.float64], people: NDArray[np.int64], n_people: int
) -> NDArray[np.float64]:
    """Return the sums of each participant, shape (k, participants), of values of shape (k, n)."""
    return np.stack([np.bincount(people, weights=row, minlength=n_people) for row in values])
