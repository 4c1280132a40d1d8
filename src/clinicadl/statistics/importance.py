"""How much of the differences between trials goes with one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clinicadl.statistics.paired import holm

LEAST_TRIALS = 20
"""Trials below which an importance means nothing."""
_MOST_GROUPS = 4


class Importance(NamedTuple):
    """What one setting has to do with the values of trials."""

    name: str
    share: float
    """Of the variance of the ranks of the values, beyond what chance gives; 0 to 1."""
    p: float
    """Of no difference between its groups, corrected for the number of settings (Holm); no number
    where there is one group."""
    n_trials: int
    """Trials that have the setting."""


def importances(settings: Sequence[Mapping[str, Any]], values: Sequence[float]) -> list[Importance]:
    """Return the importance of each setting, the greatest first.

    Trials are put into groups: by each value of a setting, or of a number with more than four by
    its quartiles. The share is the epsilon squared of Kruskal and Wallis [1]_, the p-value that of
    their test. It sees what a setting does by itself, whatever the form, and no interplay of two.

    Parameters
    ----------
    settings
        Of each trial, name -> value; a setting that a trial does not have is absent.
    values
        Of each trial.

    References
    ----------
    .. [1] T. L. Kelley, An unbiased correlation ratio measure, Proceedings of the National Academy
       of Sciences 21, 1935, of the ranks of W. H. Kruskal, W. A. Wallis, Use of ranks in
       one-criterion variance analysis, Journal of the American Statistical Association 47, 1952.
    """
    found = []
    for name in dict.fromkeys(name for one in settings for name in one):
        having = [i for i, one in enumerate(settings) if name in one]
        groups = _groups([settings[i][name] for i in having])
        found.append(_importance(name, groups, np.asarray(values, dtype=np.float64)[having]))
    corrected = holm([one.p for one in found])
    found = [one._replace(p=p) for one, p in zip(found, corrected, strict=True)]
    return sorted(found, key=lambda one: (-one.share, one.name))


def _groups(given: Sequence[Any]) -> NDArray[np.int64]:
    """Return the group of each trial."""
    numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in given)
    if numeric and len(set(given)) > _MOST_GROUPS:
        numbers = np.asarray(given, dtype=np.float64)
        edges = np.quantile(numbers, np.arange(1, _MOST_GROUPS) / _MOST_GROUPS)
        return np.asarray(np.searchsorted(edges, numbers), dtype=np.int64)
    _, groups = np.unique([repr(one) for one in given], return_inverse=True)
    return np.asarray(groups, dtype=np.int64)


def _importance(name: str, groups: NDArray[np.int64], values: NDArray[np.float64]) -> Importance:
    apart = [values[groups == one] for one in np.unique(groups)]
    n, k = len(values), len(apart)
    if k < 2 or n <= k or len(np.unique(values)) < 2:
        return Importance(name, 0.0, float("nan"), n)
    test = stats.kruskal(*apart)
    share = (float(test.statistic) - k + 1) / (n - k)
    return Importance(name, max(0.0, share), float(test.pvalue), n)
