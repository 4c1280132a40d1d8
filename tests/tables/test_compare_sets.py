"""Tests and standardised differences between sets."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from clinicadl.tables.compare_sets import (
    chi_square,
    cohen_d,
    compared_numbers,
    compared_words,
    fisher,
    standardised_difference,
    welch,
)

NUMBERS = arrays(float, st.integers(2, 12), elements=st.integers(-50, 50).map(float))
COUNTS = st.integers(2, 5).flatmap(
    lambda k: arrays(int, (2, k), elements=st.integers(0, 30))
)  # fmt: skip


@given(NUMBERS, NUMBERS)
def test_welch_is_that_of_scipy(one, other):
    assume(np.ptp(one) > 0)
    assume(np.ptp(other) > 0)
    expected = stats.ttest_ind(one, other, equal_var=False).pvalue
    np.testing.assert_allclose(welch(one, other), expected, rtol=1e-9, atol=1e-300)


def test_welch_of_what_does_not_spread():
    assert welch(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == 1
    assert welch(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == 0
    assert welch(np.full(3, 0.1), np.full(7, 0.1)) == 1
    assert math.isnan(welch(np.array([1.0]), np.array([2.0, 3.0])))
    # Only the second spreads: t = 2 / sqrt(2 / 2), with its one degree of freedom.
    found = welch(np.array([1.0, 1.0]), np.array([2.0, 4.0]))
    assert found == pytest.approx(2 * stats.t.sf(2, 1), rel=1e-12)


@given(arrays(int, (2, 2), elements=st.integers(0, 40)))
def test_fisher_is_that_of_scipy(counts):
    expected = stats.fisher_exact(counts).pvalue
    np.testing.assert_allclose(fisher(counts), expected, rtol=1e-9)


def test_the_lady_who_tastes_tea():
    # Fisher 1935: of 70 ways, 1 + 16 + 16 + 1 are not more likely than three of four right.
    assert fisher([[3, 1], [1, 3]]) == pytest.approx(float(Fraction(34, 70)), rel=1e-12)


@given(COUNTS)
def test_chi_square_is_that_of_scipy(counts):
    assume((counts.sum(axis=0) > 0).all())
    assume((counts.sum(axis=1) > 0).all())
    expected = stats.chi2_contingency(counts, correction=False).pvalue
    np.testing.assert_allclose(chi_square(counts), expected, rtol=1e-9)


def test_chi_square_of_one_value_or_of_nobody():
    assert chi_square([[3], [4]]) == 1
    assert math.isnan(chi_square([[3, 1], [0, 0]]))
    assert math.isnan(chi_square(np.zeros((2, 0))))


def test_cohen_d_by_hand():
    # Means 2 and 5, variances 1 and 4, pooled (2 * 1 + 2 * 4) / 4 = 2.5.
    one, other = np.array([1.0, 2, 3]), np.array([3.0, 5, 7])
    assert cohen_d(one, other) == pytest.approx(-3 / math.sqrt(2.5), rel=1e-14)
    assert cohen_d(other, one) == -cohen_d(one, other)
    assert cohen_d(np.full(3, 0.1), np.full(7, 0.1)) == 0
    assert cohen_d(np.ones(3), np.ones(2)) == 0
    assert cohen_d(np.ones(3), np.zeros(2)) == math.inf
    assert math.isnan(cohen_d(np.ones(1), np.zeros(2)))


def test_the_difference_of_two_values_is_that_of_shares():
    # Shares 0.6 and 0.4: 0.2 / sqrt((0.24 + 0.24) / 2).
    assert standardised_difference([[6, 4], [8, 12]]) == pytest.approx(
        0.2 / math.sqrt(0.24), rel=1e-12
    )


def test_the_difference_of_three_values_by_hand():
    # Shares (.5, .3, .2) and (.2, .3, .5): without the last, the difference is (.3, 0), the mean
    # spread [[.205, -.105], [-.105, .21]], and the first entry of its inverse .21 / det.
    determinant = 0.205 * 0.21 - 0.105**2
    expected = 0.3 * math.sqrt(0.21 / determinant)
    assert standardised_difference([[5, 3, 2], [2, 3, 5]]) == pytest.approx(expected, rel=1e-12)


@given(COUNTS, st.randoms(use_true_random=False))
def test_the_difference_hangs_neither_on_the_order_of_values_nor_of_sets(counts, draw):
    assume((counts.sum(axis=0) > 0).all())
    assume((counts.sum(axis=1) > 0).all())
    found = standardised_difference(counts)
    order = draw.sample(range(counts.shape[1]), counts.shape[1])
    for other in (counts[:, order], counts[::-1], counts * 3):
        assert standardised_difference(other) == pytest.approx(found, rel=1e-6, abs=1e-9)
    same = np.stack([counts[0] + 1, counts[0] + 1])
    assert standardised_difference(same) == 0


def test_sets_that_share_no_value_are_infinitely_apart():
    assert standardised_difference([[4, 0], [0, 4]]) == math.inf
    assert standardised_difference([[4, 1, 0], [0, 0, 4]]) == math.inf
    assert standardised_difference([[3], [4]]) == 0
    assert math.isnan(standardised_difference([[3, 1], [0, 0]]))


def test_a_column_of_numbers_is_one_line():
    (line,) = compared_numbers("age", [60.0, 70, math.nan], [80.0, 90, 100])
    assert (line.variable, line.level, line.test) == ("age", None, "Welch t")
    assert (line.n_1, line.n_2, line.missing_1, line.missing_2) == (2, 3, 1, 0)
    assert (line.mean_1, line.mean_2, line.sd_2) == (65, 90, 10)
    assert line.sd_1 == pytest.approx(math.sqrt(50), rel=1e-14)
    expected = stats.ttest_ind([60, 70], [80, 90, 100], equal_var=False).pvalue
    assert line.p_value == pytest.approx(expected, rel=1e-12)
    assert line.smd == pytest.approx(-25 / math.sqrt((50 + 200) / 3), rel=1e-12)


def test_a_column_of_words_is_a_line_and_one_for_each_value():
    one, other = ["x", "x", "y", math.nan], ["y", "y"]
    whole, x, y = compared_words("site", one, other)
    assert (whole.n_1, whole.n_2, whole.missing_1, whole.test) == (3, 2, 1, "Fisher exact")
    assert whole.p_value == pytest.approx(stats.fisher_exact([[2, 1], [0, 2]]).pvalue)
    assert (x.level, x.n_1, x.n_2, x.share_1, x.share_2) == ("x", 2, 0, 2 / 3, 0)
    assert (y.level, y.n_1, y.n_2, y.share_1, y.share_2) == ("y", 1, 2, 1 / 3, 1)
    assert x.test is None


def test_three_values_are_tested_by_chi_square():
    one, other = list("xxyyz"), list("xyzzz")
    whole = compared_words("site", one, other)[0]
    expected = stats.chi2_contingency([[2, 2, 1], [1, 1, 3]], correction=False).pvalue
    assert (whole.test, whole.p_value) == ("chi-square", pytest.approx(expected, rel=1e-12))


def test_a_set_in_which_nobody_has_a_value_is_compared_with_nothing():
    whole, x = compared_words("site", [math.nan], ["x"])
    assert math.isnan(whole.p_value)
    assert math.isnan(whole.smd)
    assert math.isnan(x.share_1)
    (line,) = compared_numbers("age", [math.nan], [1.0, 2.0])
    assert math.isnan(line.mean_1)
    assert math.isnan(line.p_value)
