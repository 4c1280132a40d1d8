"""Intervals by resampling participants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clinicadl.statistics import intervals
from clinicadl.statistics.intervals import (
    bca,
    bootstrap,
    jackknife,
    of_sums,
    percentiles,
    proportion,
    resampled,
    resamples,
)


def totals(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"mean": sums[..., 0] / sums[..., 1]}


def counts_of(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)], axis=-1)


def test_each_resample_draws_as_many_participants_as_there_are():
    drawn = np.concatenate(list(resamples(0, 7, 50)))
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn >= 0).all()


def test_participants_are_drawn_evenly_and_independently():
    drawn = np.concatenate(list(resamples(1, 5, 20_000)))
    # Counts are multinomial: mean 1, variance 1 - 1/n, covariance -1/n.
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(5) - np.full((5, 5), 1 / 5), atol=0.05)


def test_resamples_depend_on_the_seed_alone_and_not_on_the_size_of_the_blocks(monkeypatch):
    whole = np.concatenate(list(resamples(3, 9, 40)))
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 50)
    blocks = list(resamples(3, 9, 40))
    assert len(blocks) == 8
    assert np.array_equal(np.concatenate(blocks), whole)
    assert not np.array_equal(np.concatenate(list(resamples(4, 9, 40))), whole)


def test_the_interval_is_that_of_a_plain_loop_over_the_same_resamples(limits_by_hand):
    values = np.random.default_rng(0).normal(size=12)
    found = bootstrap(counts_of(values), totals, seed=5, n_resamples=200)["mean"]
    of_each = [
        np.mean(np.repeat(values, times.astype(int)))
        for block in resamples(5, 12, 200)
        for times in block
    ]
    others = [np.delete(values, i).mean() for i in range(12)]
    expected = limits_by_hand(values.mean(), of_each, others)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    low, high = np.percentile(of_each, [2.5, 97.5])
    assert percentiles(np.array(of_each)) == pytest.approx((low, high, found.standard_error))
    assert (found.low, found.high) != (low, high)


def test_the_interval_agrees_with_that_of_scipy():
    values = np.random.default_rng(1).normal(size=60)
    found = bootstrap(counts_of(values), totals, seed=0, n_resamples=4000)["mean"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(0)
    )
    interval = theirs.confidence_interval
    # Both draw 4000 times: the limits differ by the noise of the drawing.
    np.testing.assert_allclose(
        found, [interval.low, interval.high, theirs.standard_error], atol=0.03
    )


def repeated_visits(draws, n_participants):
    """Whether each participant's visits are right: more often in some people than in others."""
    n_visits = draws.integers(1, 5, n_participants)
    right = draws.binomial(n_visits, draws.beta(3, 1, n_participants))
    return np.stack([right, n_visits], axis=-1).astype(float)


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_intervals_of_95_percent_cover_93_to_97_percent_with_repeated_visits(kind):
    draws, covered = np.random.default_rng(2), []
    for repetition in range(1000):
        sums = of_sums(repeated_visits(draws, 120), totals)
        found = resampled(sums, 120, seed=repetition, n_resamples=600)
        if kind == "bca":
            low, high, _ = bca(
                found.values["mean"], found.of_resamples["mean"], jackknife(sums, 120)["mean"]
            )
        else:
            low, high, _ = percentiles(found.of_resamples["mean"])
        covered.append(low <= 0.75 <= high)  # the mean of the beta distribution
    assert 0.93 <= np.mean(covered) <= 0.97


def test_intervals_that_draw_visits_cover_too_seldom():
    """What the resampling of participants is for: visits of one person are not independent."""
    draws, covered = np.random.default_rng(3), []
    for repetition in range(300):
        right, n_visits = repeated_visits(draws, 120).T.astype(int)
        visits = np.concatenate(
            [np.repeat([1.0, 0.0], [k, n - k]) for k, n in zip(right, n_visits, strict=True)]
        )
        found = bootstrap(counts_of(visits), totals, seed=repetition, n_resamples=400)
        low, high, _ = found["mean"]
        covered.append(low <= 0.75 <= high)
    assert np.mean(covered) < 0.92


def test_the_bca_interval_is_that_of_scipy():
    values = np.random.default_rng(4).exponential(size=40)
    sums = of_sums(counts_of(values), totals)
    found = resampled(sums, 40, seed=0, n_resamples=20_000)
    left_out = jackknife(sums, 40)["mean"]
    np.testing.assert_allclose(left_out, [np.delete(values, i).mean() for i in range(40)])
    low, high, error = bca(found.values["mean"], found.of_resamples["mean"], left_out)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    )
    # Both draw 20,000 times: the limits differ by the noise of the drawing.
    interval = theirs.confidence_interval
    np.testing.assert_allclose(
        [low, high, error], [interval.low, interval.high, theirs.standard_error], atol=0.02
    )
    plain = percentiles(found.of_resamples["mean"])
    assert low > plain.low + 0.01  # skewed data move it to the right
    assert high > plain.high + 0.01


def test_the_bca_interval_of_a_value_beyond_all_resamples_is_that_of_the_percentiles():
    drawn, left_out = np.linspace(0, 1, 50), np.zeros(10)
    assert bca(2.0, drawn, left_out) == percentiles(drawn)


def test_a_resample_that_differs_by_rounding_counts_as_equal():
    drawn, left_out = np.linspace(0, 1, 51), np.zeros(10)
    drawn[25] += 1e-15
    assert bca(0.5, drawn, left_out)[:2] == pytest.approx(percentiles(drawn)[:2], abs=1e-9)


def test_the_jackknife_does_not_depend_on_the_size_of_the_blocks(monkeypatch):
    sums = of_sums(counts_of(np.random.default_rng(5).normal(size=23)), totals)
    whole = jackknife(sums, 23)["mean"]
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 100)
    np.testing.assert_allclose(jackknife(sums, 23)["mean"], whole, rtol=1e-12)


@pytest.mark.parametrize(("n_right", "n"), [(0, 5), (3, 10), (10, 10), (57, 80)])
def test_the_interval_of_a_proportion_is_that_of_scipy(n_right, n):
    theirs = stats.binomtest(n_right, n).proportion_ci(method="exact")
    np.testing.assert_allclose(proportion(n_right, n), [theirs.low, theirs.high], rtol=1e-9)


@pytest.mark.parametrize("n_rows", [1, 4])
def test_rows_of_one_participant_are_drawn_together(n_rows):
    draws = np.random.default_rng(3)
    right = (draws.random(50) < 0.6).astype(float)
    once = bootstrap(counts_of(right), totals, seed=0, n_resamples=500)["mean"]
    repeated = bootstrap(n_rows * counts_of(right), totals, seed=0, n_resamples=500)["mean"]
    # The same person seen again says nothing new: the interval does not shrink.
    np.testing.assert_allclose(repeated, once, rtol=1e-12)
