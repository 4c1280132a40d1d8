"""Whether two models differ on the same participants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clinicadl.statistics.intervals import of_sums, resampled, resamples
from clinicadl.statistics.paired import differences, holm, mcnemar


def means(sums):
    return {"mean": sums[..., 0] / sums[..., 1]}


def of_values(values):
    return of_sums(np.stack([values, np.ones_like(values)], axis=-1), means)


def of(one, other, *, seed, n_resamples):
    n, how = len(one), {"seed": seed, "n_resamples": n_resamples}
    return differences(resampled(of_values(one), n, **how), resampled(of_values(other), n, **how))[
        "mean"
    ]


def test_the_difference_is_that_of_a_plain_loop_over_the_same_resamples():
    draws = np.random.default_rng(0)
    one, other = draws.normal(0.4, 1, 15), draws.normal(size=15)
    found = of(one, other, seed=3, n_resamples=200)
    each = np.array([
        np.mean(np.repeat(one, times.astype(int))) - np.mean(np.repeat(other, times.astype(int)))
        for block in resamples(3, 15, 200)
        for times in block
    ])  # fmt: skip
    rarer = min((each <= 0).sum(), (each >= 0).sum())
    expected = [one.mean() - other.mean(), *np.percentile(each, [2.5, 97.5])]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-12)
    assert found.p == pytest.approx(2 * (rarer + 1) / 201)


def test_a_model_does_not_differ_from_itself():
    values = np.random.default_rng(1).normal(size=20)
    found = of(values, values, seed=0, n_resamples=100)
    assert found == (0, 0, 0, 1)


def test_a_metric_that_is_no_number_has_no_interval_and_no_p_value():
    values = np.full(6, np.nan)
    found = of(values, values, seed=0, n_resamples=20)
    assert np.isnan(found).all()


def test_p_values_of_the_paired_bootstrap_are_uniform_where_models_are_as_good():
    draws = np.random.default_rng(2)
    p_values = []
    for repetition in range(300):
        shared = draws.normal(size=60)
        one, other = shared + draws.normal(size=60), shared + draws.normal(size=60)
        p_values.append(of(one, other, seed=repetition, n_resamples=400).p)
    # A percentile bootstrap of 60 is a little too sure: three standard errors, and 1 %.
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300) + 0.01
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_a_binomial_test_of_the_samples_that_one_model_has_right(pairs):
    one, other = np.array(pairs).T
    found = mcnemar(one, other)
    n = found.only_first + found.only_second
    assert found.only_first == (one & ~other).sum()
    assert found.only_second == (other & ~one).sum()
    if n == 0:
        assert found[2:] == (1, 1)
        return
    assert found.exact == pytest.approx(stats.binomtest(found.only_first, n).pvalue)
    # By hand: what is rarer counts whole, what was found half.
    at_most = min(found.only_first, found.only_second)
    weights = [*[1.0] * at_most, 0.5]
    tail = sum(w * stats.binom.pmf(i, n, 0.5) for i, w in enumerate(weights))
    assert found.mid_p == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_on_the_published_example():
    """Fagerland et al. 2013: airway hyper-responsiveness, 1 and 7 discordant pairs."""
    one, other = np.array([1] * 1 + [0] * 7 + [1] * 13), np.array([0] * 1 + [1] * 7 + [1] * 13)
    found = mcnemar(one, other)
    assert (round(found.exact, 4), round(found.mid_p, 4)) == (0.0703, 0.0391)


def test_holm_on_numbers_by_hand():
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 (lifted to the one before).
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, float("nan"), 0.6]), [1, np.nan, 1])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_corrects_upwards_keeps_the_order_and_is_at_most_bonferroni(p_values):
    corrected = np.array(holm(p_values))
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, np.array(p_values) * len(p_values)) + 1e-15).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()
