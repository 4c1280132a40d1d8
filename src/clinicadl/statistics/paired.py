"""Whether two models differ on the same participants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clinicadl.statistics.intervals import Resampled, interval

_ROUNDING = 1e-12


class Difference(NamedTuple):
    """How far the first of two values is above the second, and how sure that is."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided; of a difference of zero."""


class McNemar(NamedTuple):
    """How often one of two models alone is right, and whether that is more than chance."""

    only_first: int
    only_second: int
    exact: float
    """Two-sided p-value of the binomial distribution."""
    mid_p: float
    """The same with half of the probability of what was found, which is less conservative."""


def differences(first: Resampled, second: Resampled) -> dict[str, Difference]:
    """Return the difference of each metric of two models, by the paired bootstrap [1]_.

    Both models are judged on the same resamples of the participants, so that what makes a
    participant hard for both does not count as noise. The interval has the percentiles of the
    differences, or is `bca` of them where both models have a jackknife. The p-value is twice the
    share of resamples on the rarer side of zero, where ties count on both sides, and one more
    resample is taken to lie on each side.

    Parameters
    ----------
    first, second
        The metrics of each model on the same resamples of the same participants.

    Returns
    -------
    Name of the metric -> difference, of the metrics that both have. Resamples in which a metric
    is no number are left out.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 15.
    """
    return {
        name: _difference(
            value - second.values[name],
            first.of_resamples[name] - second.of_resamples[name],
            None
            if first.of_jackknife is None or second.of_jackknife is None
            else first.of_jackknife[name] - second.of_jackknife[name],
        )
        for name, value in first.values.items()
        if name in second.values
    }


def _difference(
    value: float, of_resamples: NDArray[np.float64], of_jackknife: NDArray[np.float64] | None
) -> Difference:
    # A difference of rounding is none: a model does not differ from itself.
    rounded = np.where(abs(of_resamples) < _ROUNDING, 0.0, of_resamples)
    low, high, _ = interval(value, rounded, of_jackknife)
    finite = rounded[np.isfinite(rounded)]
    if not np.isfinite(value) or not len(finite):
        return Difference(value, low, high, np.nan)
    rarer = min((finite <= 0).sum(), (finite >= 0).sum())
    p = min(1.0, 2 * (rarer + 1) / (len(finite) + 1))
    return Difference(value, low, high, float(p))


def mcnemar(is_right_first: NDArray[Any], is_right_second: NDArray[Any]) -> McNemar:
    """Return McNemar's test of whether two models are right equally often [1]_.

    Parameters
    ----------
    is_right_first, is_right_second
        Whether each model is right of each sample, shape (n,). The samples are independent: one
        of each participant.

    References
    ----------
    .. [1] M. W. Fagerland, S. Lydersen, P. Laake, The McNemar test for binary matched-pairs data:
       mid-p and asymptotic are better than exact conditional, BMC Medical Research Methodology
       13:91, 2013.

    Examples
    --------
    >>> first, second = np.array([1, 1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0, 1])
    >>> found = mcnemar(first, second)
    >>> found.only_first, found.only_second, found.exact
    (5, 1, 0.21875)
    """
    one, other = np.asarray(is_right_first, dtype=bool), np.asarray(is_right_second, dtype=bool)
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    n, rarer = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return McNemar(0, 0, 1.0, 1.0)
    tail = float(stats.binom.cdf(rarer, n, 0.5))
    here = float(stats.binom.pmf(rarer, n, 0.5))
    mid_p = 1.0 if only_first == only_second else 2 * tail - here
    return McNemar(only_first, only_second, min(1.0, 2 * tail), mid_p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, by the method of Holm [1]_.

    Parameters
    ----------
    p_values
        Of one family of tests; those that are no number stay so and do not count.

    References
    ----------
    .. [1] S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
       of Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    corrected = given.copy()
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(given[order] * factors))
    return [float(p) for p in corrected]
