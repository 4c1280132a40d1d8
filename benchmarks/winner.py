"""How often the interval of the best of N trials covers the truth, and how long one takes."""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from measure import line
from scipy import stats

from clinicadl.draws import generator
from clinicadl.statistics.ranking import weighted_auc
from clinicadl.statistics.winner import best_of

METRICS = ("AUC", "BA", "MAE")
N_TRIALS = (1, 5, 50)
CORRELATIONS = (0.5, 0.8)
KINDS = ("alike", "one better", "different")
N_RESAMPLES = 400
GOAL = "93 to 97"


class Simulated(NamedTuple):
    """Trials whose truth is known."""

    truth: np.ndarray
    trials: list
    """Metrics of each trial, of how often each participant is drawn."""


def truths(kind: str, n_trials: int, metric: str, stream: np.random.Generator) -> np.ndarray:
    """Return what each trial is worth: all the same, the first better, or all different."""
    same, better, spread = (1.0, 0.8, 0.05) if metric == "MAE" else (0.75, 0.85, 0.03)
    truth = np.full(n_trials, same)
    if kind == "one better" and n_trials > 1:
        truth[0] = better
    if kind == "different":
        truth = np.clip(truth + spread * stream.standard_normal(n_trials), 0.6, 1.4)
    return truth


def simulated(
    kind: str, metric: str, n_trials: int, n: int, correlation: float, stream: np.random.Generator
) -> Simulated:
    """Return trials of the same participants, whose outputs are correlated as much as said."""
    truth = truths(kind, n_trials, metric, stream)
    shared, own = stream.standard_normal((n, 1)), stream.standard_normal((n, n_trials))
    noise = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    is_ill = np.arange(n) < n // 2
    if metric == "MAE":
        off = abs(noise) * truth * np.sqrt(np.pi / 2)
        return Simulated(truth, [partial(mean, off=one) for one in off.T])
    if metric == "BA":
        is_right = noise < stats.norm.ppf(truth)
        return Simulated(truth, [partial(balanced, right=one, ill=is_ill) for one in is_right.T])
    scores = noise + np.where(is_ill[:, np.newaxis], np.sqrt(2) * stats.norm.ppf(truth), 0)
    return Simulated(truth, [partial(area, scores=one, ill=is_ill) for one in scores.T])


def mean(times: np.ndarray, off: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mean absolute error."""
    return {"MAE": times @ off / times.sum(1)}


def balanced(times: np.ndarray, right: np.ndarray, ill: np.ndarray) -> dict[str, np.ndarray]:
    """Return the balanced accuracy, no number where a class is missing."""
    with np.errstate(invalid="ignore"):
        shares = [times[:, some] @ right[some] / times[:, some].sum(1) for some in (ill, ~ill)]
    return {"BA": (shares[0] + shares[1]) / 2}


def area(times: np.ndarray, scores: np.ndarray, ill: np.ndarray) -> dict[str, np.ndarray]:
    """Return the area under the curve."""
    return {"AUC": weighted_auc(ill, scores, times)}


def coverage(
    kind: str, metric: str, n_trials: int, n: int, correlation: float, repetitions: int
) -> tuple[float, ...]:
    """Return how often both intervals cover the truth of the winner, and both mean errors."""
    found = []
    for number in range(repetitions):
        stream = generator(0, f"winner {kind}/{metric}/{n_trials}/{n}/{correlation}", sample=number)
        made = simulated(kind, metric, n_trials, n, correlation, stream)
        winner = best_of(
            made.trials, n, chosen_by=metric, is_higher_better=metric != "MAE", seed=number,
            n_resamples=N_RESAMPLES,
        )  # fmt: skip
        one, truth = winner.metrics[metric], made.truth[winner.number]
        found.append(
            (one.naive_low <= truth <= one.naive_high, one.low <= truth <= one.high,
             one.naive - truth, one.value - truth, one.high - one.low)
        )  # fmt: skip
    return tuple(np.mean(found, axis=0))


def seconds() -> float:
    """Return the seconds of 50 trials of 300 participants with 2000 resamples, by their areas."""
    made = simulated("one better", "AUC", 50, 300, 0.8, generator(0, "winner"))
    start = time.perf_counter()
    best_of(
        made.trials, 300, chosen_by="AUC", is_higher_better=True, seed=0, n_resamples=2000
    )  # fmt: skip
    return time.perf_counter() - start


def main() -> None:
    """Print the time, then the coverage of each setting with the naive one beside it, in %."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--participants", type=int, nargs="*", default=[100])
    parser.add_argument("--metrics", nargs="*", default=["BA", "MAE"])
    given = parser.parse_args()
    line("best of 50 trials, 300 participants, 2000 resamples", seconds(), 0.0, "<= 10 s")
    settings = product(given.metrics, given.participants, N_TRIALS, CORRELATIONS, KINDS)
    for metric, n, n_trials, correlation, kind in settings:
        if n_trials == 1 and (kind != "alike" or correlation != CORRELATIONS[0]):
            continue
        naive, ours, error, left, width = coverage(
            kind, metric, n_trials, n, correlation, given.repetitions
        )
        name = f"{metric}, {n} participants, {n_trials} trials, r {correlation}, {kind}"
        print(
            f"{name:<58} {100 * ours:5.1f} %  naive {100 * naive:5.1f} %  error {left:+.3f}, naive "
            f"{error:+.3f}  width {width:.3f}  goal {GOAL} %", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
