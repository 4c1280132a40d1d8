"""What a set of predictions is worth: sums over participants, and the metrics table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum, isfinite
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.statistics.intervals import Interval, Shares, Statistics, bootstrap, proportion

ROWS = ("Values", "Lower bound CI", "Upper bound CI", "SE")
"""Rows of a metrics table."""
NOT_APPLICABLE = "N/A"


def metrics_table(
    per_participant: NDArray[Any],
    statistics: Statistics,
    losses: Mapping[str, float],
    *,
    seed: int,
    shares: Shares | None = None,
) -> pd.DataFrame:
    """Return the metrics of a set, with 95 % intervals over participants, and its losses.

    Parameters
    ----------
    per_participant
        What each participant adds to the sum that the metrics are functions of, shape
        (participants, ...).
    statistics
        The metrics of such sums.
    losses
        Mean losses, which have no interval.
    seed
        Seed of the resamples.
    shares
        Metrics that count how many independent samples of how many: their intervals are exact.

    Returns
    -------
    Column ``Metrics`` names the rows `ROWS`; then one column a metric and a loss. Cells without a
    meaning hold `NOT_APPLICABLE`: the intervals of losses, and all of a single participant.
    """
    values = statistics(total(per_participant))
    intervals = limits(per_participant, statistics, seed=seed, shares=shares)
    columns = {name: _cells(float(value), intervals.get(name)) for name, value in values.items()}
    columns |= {name: _cells(value, None) for name, value in losses.items()}
    return pd.DataFrame({"Metrics": ROWS, **columns})


def limits(
    per_participant: NDArray[Any],
    statistics: Statistics,
    *,
    seed: int,
    shares: Shares | None = None,
) -> dict[str, Interval]:
    """Return the interval of each metric, as `metrics_table` has it; none of one participant."""
    if len(per_participant) < 2:
        return {}
    found = bootstrap(per_participant, statistics, seed=seed)
    for name, (n, of) in (shares or {}).items():
        if of:
            low, high = proportion(n, of)
            found[name] = found[name]._replace(low=low, high=high)
    return found


def by_participant(predictions: pd.DataFrame, addends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums over the rows of each participant, exact whatever the order of the rows.

    Parameters
    ----------
    predictions
        Column ``participant_id``.
    addends
        What each row adds, shape (rows, ...).

    Returns
    -------
    Shape (participants, ...), in the order of their identifiers.
    """
    owner, participants = pd.factorize(predictions[PARTICIPANT], sort=True)
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=len(participants)))
    flat = addends.reshape(len(addends), -1)[order]
    rows = [_exact(some) for some in np.split(flat, ends[:-1])]
    return np.array(rows).reshape(-1, *addends.shape[1:])


def total(per_participant: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum over all participants, exact."""
    flat = per_participant.reshape(len(per_participant), -1)
    return np.array(_exact(flat)).reshape(per_participant.shape[1:])


def mean_losses(predictions: pd.DataFrame, names: Iterable[str]) -> dict[str, float]:
    """Return the mean of each loss over the samples, exact; of those that the table has.

    What several parts say together of an image has no loss.
    """
    return {
        name: fsum(predictions[name]) / len(predictions)
        for name in names
        if name in predictions.columns
    }


def refuse_unlabelled(predictions: pd.DataFrame, unknown: NDArray[np.bool_]) -> None:
    """Refuse samples whose label is not known.

    Raises
    ------
    InvalidDataError
        There is one; the participants are named.
    """
    if unknown.any():
        raise InvalidDataError(
            "Metrics need a label for every participant",
            found=listed(predictions.loc[unknown, PARTICIPANT].unique()),
            fix="Complete the label, or predict with --no-labels",
        )  # fmt: skip


def _exact(rows: NDArray[Any]) -> list[float]:
    return [fsum(column) for column in rows.T.tolist()]


def _cells(value: float, interval: Interval | None) -> list[object]:
    if interval is None or not all(isfinite(limit) for limit in interval):
        return [value, *[NOT_APPLICABLE] * 3]
    return [value, *interval]
