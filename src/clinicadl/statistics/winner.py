"""What the best of several trials is worth, which is less than what it was chosen for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from clinicadl.statistics.intervals import (
    LEVEL,
    N_RESAMPLES,
    OfDraws,
    Values,
    interval,
    jackknife,
    resamples,
)

_DECIMALS = 12


class Corrected(NamedTuple):
    """A metric of the winner, as it was found and without the luck of having been chosen.

    The corrected value is what is expected if the choice was luck, the naive one if the winner was
    the best in truth. The interval is that of Imbens and Manski [1]_, for a truth that is anywhere
    between two such values; its ends are as far from these as those of `bca` are from the naive
    value.

    References
    ----------
    .. [1] G. W. Imbens, C. F. Manski, Confidence intervals for partially identified parameters,
       Econometrica 72, 2004.
    """

    naive: float
    """Of the participants that the winner was chosen on."""
    naive_low: float
    naive_high: float
    value: float
    """Expected of participants that chose nothing."""
    low: float
    high: float


class Winner(NamedTuple):
    """The best of several trials."""

    number: int
    """Its place among the trials; the first of those that are equally good."""
    shares: tuple[float, ...]
    """Of each trial, the share of the resamples of participants that choose it."""
    metrics: dict[str, Corrected]


class _Resampled(NamedTuple):
    """Metrics of all trials, shape (resamples, trials) each."""

    drawn: Values
    left_out: Values


def best_of(
    trials: Sequence[OfDraws],
    n_participants: int,
    *,
    chosen_by: str,
    is_higher_better: bool,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> Winner:
    """Return the best of several trials, corrected for its having been the best of so many.

    The correction is that of the bootstrap bias corrected cross-validation [1]_: in each resample
    of the participants the best trial is chosen by those who were drawn, and judged on those who
    were not. Its mean, less what the same participants say of the winner of all, plus the naive
    value, is the corrected value; of one trial it is the naive value itself.

    Parameters
    ----------
    trials
        The metrics of each trial, of how often each participant is drawn; all trials of the same
        participants.
    n_participants
        Number of participants.
    chosen_by
        The metric that the best trial was chosen by.
    is_higher_better
        Whether the best trial is the one with the highest value of it.
    seed, n_resamples
        Seed of the resamples, and their number.

    Returns
    -------
    The winner, with all metrics of the trials. A metric is no number where the winner has none.

    References
    ----------
    .. [1] I. Tsamardinos, E. Greasidou, G. Borboudakis, Bootstrapping the out-of-sample
       predictions for efficient and accurate cross-validation, Machine Learning 107, 2018.
    """
    sign = 1.0 if is_higher_better else -1.0
    whole = _stacked([trial(np.ones((1, n_participants))) for trial in trials])
    winner = int(_best(sign * whole[chosen_by])[0])
    found = _resampled(trials, resamples(seed, n_participants, n_resamples))
    by = sign * found.drawn[chosen_by]
    # Where no trial has a value, as with no positives among the drawn, nothing is chosen.
    choosing = np.isfinite(by).any(1)
    chosen = _best(by[choosing])
    of_jackknife = jackknife(trials[winner], n_participants)
    metrics = {
        name: _corrected(
            float(whole[name][0, winner]),
            _luck(found.left_out[name][choosing], winner, chosen),
            found.drawn[name][:, winner],
            of_jackknife[name],
        )
        for name in whole
    }
    shares = np.bincount(chosen, minlength=len(trials)) / max(len(chosen), 1)
    return Winner(winner, tuple(shares.tolist()), metrics)


def _resampled(trials: Sequence[OfDraws], blocks: Iterable[NDArray[np.float64]]) -> _Resampled:
    both: tuple[list[Values], list[Values]] = ([], [])
    for times in blocks:
        for side, counts in zip(both, (times, (times == 0).astype(np.float64)), strict=True):
            side.append(_stacked([trial(counts) for trial in trials]))
    return _Resampled(
        *({name: np.concatenate([one[name] for one in side]) for name in side[0]} for side in both)
    )


def _stacked(of_trials: Sequence[Values]) -> Values:
    """Return each metric of all trials, shape (resamples, trials)."""
    return {name: np.stack([one[name] for one in of_trials], axis=1) for name in of_trials[0]}


def _luck(left_out: NDArray[np.float64], winner: int, chosen: NDArray[np.int64]) -> float:
    """Return how much better the winner is of those who were left out than the trials chosen."""
    luck = left_out[:, winner] - left_out[np.arange(len(chosen)), chosen]
    finite = luck[np.isfinite(luck)]
    return float(finite.mean()) if len(finite) else np.nan


def _best(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the trial with the highest value in each row; those that are no number never win."""
    # Equal values may differ by rounding, and then the first is meant.
    values = np.round(values, _DECIMALS)
    found: NDArray[np.int64] = np.where(np.isfinite(values), values, -np.inf).argmax(1)
    return found


def _corrected(
    naive: float, luck: float, of_resamples: NDArray[np.float64], of_jackknife: NDArray[np.float64]
) -> Corrected:
    plain = interval(naive, of_resamples, of_jackknife)
    if not np.isfinite([naive, luck, plain.standard_error]).all():
        return Corrected(naive, plain.low, plain.high, *(np.nan, np.nan, np.nan))
    closer = plain
    if luck != 0 and plain.standard_error > 0:
        reach = _reach(abs(luck) / plain.standard_error)
        level = 2 * float(stats.norm.cdf(reach)) - 1
        closer = interval(naive, of_resamples, of_jackknife, level=level)
    return Corrected(
        naive, plain.low, plain.high, naive - luck,
        low=closer.low - max(luck, 0.0), high=closer.high - min(luck, 0.0),
    )  # fmt: skip


def _reach(apart: float) -> float:
    """Return how many standard errors the interval reaches beyond the two values.

    From 1.96, where they are one, to 1.64, where they are so many standard errors apart that the
    truth can be beyond one of them only.
    """

    def excess(reach: float) -> float:
        return float(stats.norm.cdf(reach + apart) - stats.norm.cdf(-reach) - LEVEL)

    most = float(stats.norm.ppf((1 + LEVEL) / 2))
    return float(optimize.brentq(excess, stats.norm.ppf(LEVEL) - 0.01, most + 0.01))
