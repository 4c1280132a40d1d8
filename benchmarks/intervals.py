"""Confidence intervals of 1,000 participants with 10,000 resamples, against a plain loop."""

from __future__ import annotations

import time
import warnings

import numpy as np
from measure import line
from sklearn import metrics as sklearn_metrics

from clinicadl.draws import generator
from clinicadl.statistics.intervals import bootstrap
from clinicadl.tasks.metrics import by_class

N_PARTICIPANTS = 1_000
N_RESAMPLES = 10_000
N_TIMED = 50
GOAL = 1.0


def ours(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the seconds of our intervals of all eleven metrics."""
    start = time.perf_counter()
    counts = np.zeros((N_PARTICIPANTS, 2, 2))
    counts[np.arange(N_PARTICIPANTS), true, predicted] = 1
    bootstrap(counts, by_class, seed=0, n_resamples=N_RESAMPLES)
    return time.perf_counter() - start


def floor(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the seconds of a loop with scikit-learn, from the first resamples."""
    stream = generator(0, "benchmark loop")
    start = time.perf_counter()
    for _ in range(N_TIMED):
        rows = stream.integers(N_PARTICIPANTS, size=N_PARTICIPANTS)
        t, p = true[rows], predicted[rows]
        sklearn_metrics.accuracy_score(t, p)
        sklearn_metrics.f1_score(t, p, pos_label=0)
        sklearn_metrics.matthews_corrcoef(t, p)
        # The other eight are arithmetic on these four.
        for node in (0, 1):
            sklearn_metrics.recall_score(t, p, pos_label=node)
            sklearn_metrics.precision_score(t, p, pos_label=node)
    return (time.perf_counter() - start) * N_RESAMPLES / N_TIMED


def main() -> None:
    """Print the name, our seconds, those of the loop, their ratio and the goal."""
    warnings.simplefilter("error")
    stream = generator(0, "benchmark")
    true = stream.integers(2, size=N_PARTICIPANTS)
    predicted = np.where(stream.random(N_PARTICIPANTS) < 0.8, true, 1 - true)
    plain = floor(true, predicted)
    fast = min(ours(true, predicted) for _ in range(3))
    line("intervals, 1,000 participants, 10,000 resamples", fast, plain, f"<= {GOAL:.0f} s")


if __name__ == "__main__":
    main()
