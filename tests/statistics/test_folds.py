"""Whether two models differ over the splits of a validation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clinicadl.statistics.folds import corrected_t_test


def test_the_test_is_that_of_numbers_by_hand():
    # Mean 0.02, variance 0.0004 / 3 (of 0, 0, -0.02, 0.02 around it: sum 0.0008, of 4 - 1).
    found = corrected_t_test([0.02, 0.02, 0.0, 0.04], test_per_train=0.25)
    variance = 0.0008 / 3
    t = 0.02 / np.sqrt((1 / 4 + 1 / 4) * variance)
    assert found.mean == pytest.approx(0.02)
    assert found.p == pytest.approx(2 * stats.t.sf(t, 3))
    reach = stats.t.ppf(0.975, 3) * np.sqrt(0.5 * variance)
    assert (found.low, found.high) == pytest.approx((0.02 - reach, 0.02 + reach))


def test_without_the_correction_it_is_the_t_test_of_scipy():
    values = np.random.default_rng(0).normal(0.3, 1, 7)
    found, theirs = corrected_t_test(values, test_per_train=0), stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))


def test_where_no_split_differs_from_another_there_is_no_test():
    assert corrected_t_test([0.0, 0.0], test_per_train=1).p == 1
    assert np.isnan(corrected_t_test([0.5, 0.5], test_per_train=1).p)


def test_p_values_are_uniform_where_splits_are_as_correlated_as_is_assumed():
    """Correlation n_test / (n_test + n_train) between splits is what the correction is for."""
    draws, n_splits, ratio = np.random.default_rng(1), 5, 0.25
    correlation = ratio / (1 + ratio)
    shared = draws.normal(size=(2000, 1)) * np.sqrt(correlation)
    own = draws.normal(size=(2000, n_splits)) * np.sqrt(1 - correlation)
    p_values = [corrected_t_test(row, test_per_train=ratio).p for row in shared + own]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
