"""What the best of several trials is worth."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clinicadl.draws import generator
from clinicadl.statistics.intervals import bca, jackknife, percentiles, resampled, resamples
from clinicadl.statistics.ranking import weighted_auc
from clinicadl.statistics.winner import best_of

N_RESAMPLES = 200


def error(times: np.ndarray, off: np.ndarray) -> dict[str, np.ndarray]:
    return {"MAE": times @ off / times.sum(1), "MSE": times @ off**2 / times.sum(1)}


def trials_of(off: np.ndarray) -> list[partial]:
    """Return the errors of trials, of how often each participant is drawn."""
    return [partial(error, off=one) for one in off]


def best(off: np.ndarray, **more: object):
    options = {"chosen_by": "MAE", "is_higher_better": False, "seed": 3, "n_resamples": N_RESAMPLES}
    return best_of(trials_of(off), off.shape[1], **options | more)


def test_of_one_trial_there_was_no_choice_and_nothing_is_corrected(limits_by_hand):
    off = abs(generator(0, "test").standard_normal((1, 30)))
    found = best(off)
    assert (found.number, found.shares) == (0, (1.0,))
    one = found.metrics["MAE"]
    assert one.value == one.naive == pytest.approx(off.mean(), rel=1e-12)
    of_resamples = resampled(trials_of(off)[0], 30, seed=3, n_resamples=N_RESAMPLES).of_resamples
    left_out = [np.delete(off[0], i).mean() for i in range(30)]
    expected = limits_by_hand(one.naive, of_resamples["MAE"], left_out)[:2]
    assert (one.low, one.high) == pytest.approx(expected, rel=1e-9)
    assert (one.naive_low, one.naive_high) == (one.low, one.high)


def test_the_correction_is_that_of_a_plain_loop_over_the_same_resamples():
    off = abs(generator(1, "test").standard_normal((4, 12)))
    found = best(off).metrics
    winner = int(off.mean(1).argmin())
    luck: dict[str, list[float]] = {"MAE": [], "MSE": []}
    for times in np.concatenate([*resamples(3, 12, N_RESAMPLES)]):
        drawn = np.repeat(np.arange(12), times.astype(int))
        others = [i for i in range(12) if i not in drawn]
        chosen = min(range(4), key=lambda trial: off[trial, drawn].mean())
        if not others:
            continue
        for name, power in (("MAE", 1), ("MSE", 2)):
            said = (off[:, others] ** power).mean(1)
            luck[name].append(said[winner] - said[chosen])
    for name, power in (("MAE", 1), ("MSE", 2)):
        naive = (off[winner] ** power).mean()
        assert found[name].naive == pytest.approx(naive, rel=1e-12)
        assert found[name].value == pytest.approx(naive - np.mean(luck[name]), rel=1e-9)


def test_the_interval_reaches_from_the_luckless_end_to_the_end_of_the_winner_itself():
    off = abs(generator(2, "test").standard_normal((20, 60)))
    found = best(off)
    one, trial = found.metrics["MAE"], trials_of(off)[found.number]
    assert one.naive < one.value  # an error is smaller where it was chosen for being small
    of_resamples = resampled(trial, 60, seed=3, n_resamples=N_RESAMPLES).of_resamples["MAE"]
    apart = (one.value - one.naive) / of_resamples.std(ddof=1)
    # Imbens and Manski (2004), equation 7, by bisection over a table of reaches.
    reaches = np.linspace(1.6, 2.0, 400_001)
    covered = stats.norm.cdf(reaches + apart) - stats.norm.cdf(-reaches)
    reach = reaches[np.searchsorted(covered, 0.95)]
    level = 2 * stats.norm.cdf(reach) - 1
    plain = bca(one.naive, of_resamples, jackknife(trial, 60)["MAE"], level=level)
    assert one.low == pytest.approx(plain.low, abs=1e-5)
    assert one.high - (one.value - one.naive) == pytest.approx(plain.high, abs=1e-5)


def test_the_direction_of_the_metric_is_all_that_better_means():
    off = abs(generator(4, "test").standard_normal((6, 40)))
    lower = best(off)
    higher = best(-off, is_higher_better=True)
    assert lower.number == higher.number
    assert lower.shares == higher.shares
    assert lower.metrics["MAE"].value == pytest.approx(-higher.metrics["MAE"].value, rel=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.permutations(range(5)))
def test_the_order_of_the_trials_changes_nothing(seed, order):
    off = abs(generator(seed, "test").standard_normal((5, 15)))
    one, other = best(off, n_resamples=30), best(off[[*order]], n_resamples=30)
    assert order[other.number] == one.number
    assert tuple(one.shares[i] for i in order) == other.shares
    assert one.metrics["MAE"].value == pytest.approx(other.metrics["MAE"].value, rel=1e-9)


def test_a_trial_that_is_better_for_everybody_owes_nothing_to_luck():
    off = 1 + abs(generator(5, "test").standard_normal((5, 40)))
    off[2] = off.min(0) - 0.5
    found = best(off)
    assert (found.number, found.shares[2]) == (2, 1.0)
    one = found.metrics["MAE"]
    assert (one.value, one.low, one.high) == (one.naive, one.naive_low, one.naive_high)


def test_resamples_that_no_trial_has_a_value_of_choose_nothing():
    is_ill = np.arange(12) < 2
    scores = generator(6, "test").standard_normal((3, 12))

    def area(times, of_trial):
        return {"AUC": weighted_auc(is_ill, of_trial, times)}

    trials = [partial(area, of_trial=one) for one in scores]
    found = best_of(trials, 12, chosen_by="AUC", is_higher_better=True, seed=0, n_resamples=300)
    assert sum(found.shares) == pytest.approx(1)
    assert np.isfinite(found.metrics["AUC"]).all()
    never = [partial(area, of_trial=one) for one in np.full_like(scores, np.nan)]
    is_ill[:] = False
    found = best_of(never, 12, chosen_by="AUC", is_higher_better=True, seed=0, n_resamples=50)
    assert np.isnan(found.metrics["AUC"]).all()


def test_a_level_is_that_of_the_percentiles():
    values = generator(7, "test").standard_normal(500)
    low, high, _ = percentiles(values, level=0.8)
    assert (low, high) == pytest.approx(np.quantile(values, [0.1, 0.9]), rel=1e-12)
    # With no bias and no skewness, the two are one.
    found = bca(float(np.median(values)), values, np.zeros(30), level=0.8)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize("n_trials", [1, 10])
def test_the_interval_covers_the_truth_of_the_winner_where_the_naive_one_does_not(n_trials):
    n, repetitions = 60, 300
    covered = naive = 0
    for number in range(repetitions):
        stream = generator(8, "test", sample=number)
        shared, own = stream.standard_normal((1, n)), stream.standard_normal((n_trials, n))
        off = abs(np.sqrt(0.5) * (shared + own))
        one = best(off, seed=number, n_resamples=150).metrics["MAE"]
        truth = np.sqrt(2 / np.pi)
        covered += one.low <= truth <= one.high
        naive += one.naive_low <= truth <= one.naive_high
    assert 0.93 <= covered / repetitions <= 0.97
    assert (naive / repetitions < 0.88) == (n_trials > 1)


def test_of_equal_trials_the_first_wins_whatever_the_rounding():
    off = np.stack([[0.3, 0.1, 0.2] * 4, [0.1, 0.2, 0.3] * 4])
    assert off[0].mean() != off[1].mean() or sum(off[0]) != sum(off[1])
    assert best(off).number == 0
    assert best(off[::-1]).number == 0
