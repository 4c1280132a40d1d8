"""Intervals by resampling participants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clinicadl.statistics import intervals
from clinicadl.statistics.intervals import bootstrap, resamples


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


def test_the_interval_is_that_of_a_plain_loop_over_the_same_resamples():
    values = np.random.default_rng(0).normal(size=12)
    found = bootstrap(counts_of(values), totals, seed=5, n_resamples=200)["mean"]
    of_each = [
        np.mean(np.repeat(values, times.astype(int)))
        for block in resamples(5, 12, 200)
        for times in block
    ]
    np.testing.assert_allclose(
        found, [*np.percentile(of_each, [2.5, 97.5]), np.std(of_each, ddof=1)], rtol=1e-12
    )


def test_the_interval_agrees_with_that_of_scipy():
    values = np.random.default_rng(1).normal(size=60)
    found = bootstrap(counts_of(values), totals, seed=0, n_resamples=4000)["mean"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    )
    interval = theirs.confidence_interval
    # Both draw 4000 times: the limits differ by the noise of the drawing.
    np.testing.assert_allclose(
        found, [interval.low, interval.high, theirs.standard_error], atol=0.03
    )


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    draws = np.random.default_rng(2)
    covered = []
    for repetition in range(300):
        right = (draws.random(80) < 0.7).astype(float)
        low, high, _ = bootstrap(counts_of(right), totals, seed=repetition, n_resamples=300)["mean"]
        covered.append(low <= 0.7 <= high)
    # 95 % less the known shortfall of percentile intervals; three standard errors of 300 draws.
    assert 0.89 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize("n_rows", [1, 4])
def test_rows_of_one_participant_are_drawn_together(n_rows):
    draws = np.random.default_rng(3)
    right = (draws.random(50) < 0.6).astype(float)
    once = bootstrap(counts_of(right), totals, seed=0, n_resamples=500)["mean"]
    repeated = bootstrap(n_rows * counts_of(right), totals, seed=0, n_resamples=500)["mean"]
    # The same person seen again says nothing new: the interval does not shrink.
    np.testing.assert_allclose(repeated, once, rtol=1e-12)
