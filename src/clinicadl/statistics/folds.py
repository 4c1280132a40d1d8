"""Whether two models differ over the splits of a validation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from clinicadl.statistics.intervals import LEVEL


class OverSplits(NamedTuple):
    """The mean difference over splits, and how sure it is."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided; no number where all splits differ by the same."""


def corrected_t_test(differences: ArrayLike, *, test_per_train: float) -> OverSplits:
    """Return the corrected resampled t-test of Nadeau and Bengio [1]_.

    The training sets of splits overlap, so that their differences are not independent: the
    variance of the mean is taken to be (1/k + n_test/n_train) times that of a split, not 1/k.

    Parameters
    ----------
    differences
        Of a metric of two models that were trained and judged on the same splits; at least two.
    test_per_train
        Number of participants that a split is judged on, per participant that it is trained on.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, Inference for the generalization error, Machine Learning 52, 2003.
    """
    found = np.asarray(differences, dtype=np.float64)
    n = len(found)
    mean = float(found.mean())
    error = float(np.sqrt((1 / n + test_per_train) * found.var(ddof=1)))
    reach = error * float(stats.t.ppf((1 + LEVEL) / 2, n - 1))
    if error > 0:
        p = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    else:
        p = 1.0 if mean == 0 else float("nan")
    return OverSplits(mean, mean - reach, mean + reach, p)
