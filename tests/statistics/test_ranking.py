"""The area under the ROC curve, and DeLong's test of two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from clinicadl.statistics.ranking import auc, delong, delong_covariance, weighted_auc

samples = st.lists(
    st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=30
)


def direct(is_positive, scores):
    """Areas and covariance by the definition of DeLong et al., over all pairs."""
    n_scores, m, n = len(scores), int(is_positive.sum()), int((~is_positive).sum())
    v10, v01 = np.zeros((n_scores, m)), np.zeros((n_scores, n))
    for k, score in enumerate(scores):
        for i, x in enumerate(score[is_positive]):
            for j, y in enumerate(score[~is_positive]):
                psi = 1.0 if x > y else 0.5 if x == y else 0.0
                v10[k, i] += psi / n
                v01[k, j] += psi / m
    areas = v10.mean(1)
    covariance = np.zeros((n_scores, n_scores))
    for r in range(n_scores):
        for s in range(n_scores):
            s10 = sum((v10[r] - areas[r]) * (v10[s] - areas[s])) / (m - 1)
            s01 = sum((v01[r] - areas[r]) * (v01[s] - areas[s])) / (n - 1)
            covariance[r, s] = s10 / m + s01 / n
    return areas, covariance


def arrays(drawn):
    is_positive, first, second = (np.array(column) for column in zip(*drawn, strict=True))
    assume(is_positive.sum() >= 2 and (~is_positive).sum() >= 2)
    return is_positive, first.astype(float), second.astype(float)


@given(samples)
def test_delong_equals_its_definition_over_all_pairs(drawn):
    is_positive, first, second = arrays(drawn)
    areas, covariance = delong_covariance(is_positive, np.stack([first, second]))
    expected_areas, expected = direct(is_positive, np.stack([first, second]))
    np.testing.assert_allclose(areas, expected_areas, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


@given(samples)
def test_the_area_is_that_of_scikit_learn_and_of_delong(drawn):
    is_positive, first, second = arrays(drawn)
    assert auc(is_positive, first) == pytest.approx(roc_auc_score(is_positive, first))
    assert delong(is_positive, first, second)[:2] == pytest.approx(
        (auc(is_positive, first), auc(is_positive, second))
    )


@given(samples, st.integers(0, 1000))
def test_a_sample_that_counts_twice_is_one_that_is_there_twice(drawn, seed):
    is_positive, first, _ = arrays(drawn)
    times = np.random.default_rng(seed).integers(0, 3, len(first))
    found = weighted_auc(is_positive, first, times[np.newaxis].astype(float))[0]
    repeated = np.repeat(np.arange(len(first)), times)
    expected = (
        roc_auc_score(is_positive[repeated], first[repeated])
        if 0 < is_positive[repeated].sum() < len(repeated)
        else np.nan
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_delong_on_numbers_by_hand():
    # Positives 3, 1; negatives 2, 0. First: pairs (3>2, 3>0, 1<2, 1>0): area 3/4;
    # V10 = 1, 1/2; V01 = 1/2, 1; S10 = S01 = 1/8; variance 1/8/2 + 1/8/2 = 1/8.
    is_positive = np.array([True, True, False, False])
    first, second = np.array([3.0, 1, 2, 0]), np.array([1.0, 1, 1, 1])
    found = delong(is_positive, first, second)
    z = 0.25 / np.sqrt(1 / 8)
    assert found[:2] == (0.75, 0.5)
    assert found.p == pytest.approx(2 * stats.norm.sf(z))
    assert (found.low, found.high) == pytest.approx(
        (0.25 - 1.959964 * np.sqrt(1 / 8), 0.25 + 1.959964 * np.sqrt(1 / 8))
    )


def clustered(is_positive, scores, owner):
    """The covariance by the formulas of Obuchowski 1997, one sample and participant at a time."""
    people = sorted(set(owner))
    m, n = int(is_positive.sum()), int((~is_positive).sum())
    theta = np.zeros(len(scores))
    v10 = np.zeros((len(scores), len(owner)))
    v01 = np.zeros((len(scores), len(owner)))
    for k, score in enumerate(scores):
        for i in np.flatnonzero(is_positive):
            for j in np.flatnonzero(~is_positive):
                psi = 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
                theta[k] += psi / (m * n)
                v10[k, i] += psi / n
                v01[k, j] += psi / m
    gaps10, gaps01 = np.zeros((2, len(scores), len(people)))
    for place, who in enumerate(people):
        of_who = np.array(owner) == who
        gaps10[:, place] = v10[:, of_who].sum(1) - (of_who & is_positive).sum() * theta
        gaps01[:, place] = v01[:, of_who].sum(1) - (of_who & ~is_positive).sum() * theta
    i10 = len({who for who, one in zip(owner, is_positive, strict=True) if one})
    i01 = len({who for who, one in zip(owner, is_positive, strict=True) if not one})
    i = len(people)
    s10 = i10 / ((i10 - 1) * m) * gaps10 @ gaps10.T
    s01 = i01 / ((i01 - 1) * n) * gaps01 @ gaps01.T
    s11 = i / (i - 1) * gaps10 @ gaps01.T
    return theta, s10 / m + s01 / n + s11 / (m * n) + s11.T / (m * n)


@given(samples, st.integers(0, 10**6))
def test_with_several_samples_a_participant_it_is_that_of_obuchowski(drawn, seed):
    is_positive, first, second = arrays(drawn)
    owner = np.random.default_rng(seed).integers(0, 5, len(first))
    assume(len(set(owner[is_positive])) > 1 and len(set(owner[~is_positive])) > 1)
    areas, covariance = delong_covariance(is_positive, np.stack([first, second]), owner)
    expected_areas, expected = clustered(is_positive, np.stack([first, second]), owner)
    np.testing.assert_allclose(areas, expected_areas, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


def test_a_participant_seen_again_says_nothing_new():
    draws = np.random.default_rng(1)
    is_positive = np.arange(30) < 14
    first, second = draws.normal(size=(2, 30)) + is_positive
    once = delong(is_positive, first, second)
    again = [np.repeat(one, 3) for one in (is_positive, first, second, np.arange(30))]
    assert delong(*again) == pytest.approx(once)
    assert delong(*again[:3]).p < once.p


def visits(draws, n_participants):
    """One to four visits of each person; what both models make of a person is one's own."""
    n_visits = draws.integers(1, 5, n_participants)
    owner = np.repeat(np.arange(n_participants), n_visits)
    # Some become ill between two visits.
    is_ill = draws.normal(size=n_participants)[owner] + draws.normal(0, 0.5, len(owner)) > 0
    scores = [
        is_ill + draws.normal(size=n_participants)[owner] + draws.normal(0, 0.3, len(owner))
        for _ in range(2)
    ]
    return is_ill, *scores, owner


def test_the_size_is_kept_with_repeated_visits_and_not_where_they_count_as_people():
    draws, of_people, of_visits = np.random.default_rng(5), [], []
    for _ in range(1000):
        is_ill, first, second, owner = visits(draws, 80)
        of_people.append(delong(is_ill, first, second, owner).p)
        of_visits.append(delong(is_ill, first, second).p)
    # Three standard errors of 1000 draws.
    assert abs(np.mean(np.array(of_people) < 0.05) - 0.05) < 0.021
    assert np.mean(np.array(of_visits) < 0.05) > 0.1


def test_where_there_is_no_variance_there_is_no_test():
    is_positive = np.array([True, True, False, False])
    perfect, reverse = np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])
    assert delong(is_positive, perfect, perfect).p == 1
    assert np.isnan(delong(is_positive, perfect, reverse).p)


def test_p_values_are_uniform_where_the_scores_are_as_good():
    draws, p_values = np.random.default_rng(4), []
    is_positive = np.arange(80) < 35
    for _ in range(400):
        shared = draws.normal(size=80) + is_positive
        first, second = (shared + draws.normal(size=80) for _ in range(2))
        p_values.append(delong(is_positive, first, second).p)
    # Five standard errors of 400 draws at most.
    assert abs(np.mean(np.array(p_values) < 0.05) - 0.05) < 0.04
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
