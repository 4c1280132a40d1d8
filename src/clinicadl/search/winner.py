"""What the best trial of a search is worth, since it was chosen for being the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.task import Classification, Regression, TaskSettings
from clinicadl.errors import ClinicaDLError
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.layouts.maps import names, outcomes
from clinicadl.layouts.maps import record as records
from clinicadl.layouts.search import Trial
from clinicadl.search.found import Found
from clinicadl.statistics.intervals import OfDraws, Values
from clinicadl.statistics.winner import Corrected, best_of
from clinicadl.tasks.base import LOSS, TRUE_LABEL
from clinicadl.tasks.judging import Judge, columns_of, judge
from clinicadl.tasks.metrics_table import by_participant

N_RESAMPLES = 2000
_AGREE = 1e-4
"""Share of a value that the predictions in tables may be off."""


class Judged(NamedTuple):
    """The best trial, with and without the luck of having been chosen."""

    best: Trial | None
    n_compared: int
    """Trials that were trained to their end."""
    n_participants: int
    metrics: dict[str, Corrected]
    """The metric that chose comes first."""
    share: float
    """Of the resamples of participants that choose the same trial."""
    reason: str
    """Why nothing could be corrected; empty where it was."""


class _OfSplit(NamedTuple):
    """What each participant of one split adds to the metrics of one trial."""

    places: NDArray[np.int64]
    """Of its participants among all of the search."""
    counts: NDArray[np.float64]
    """Shape (participants, ...)."""
    samples: NDArray[np.float64]
    """How many of each class, or of all, they have, shape (participants, classes)."""
    losses: NDArray[np.float64] | None
    """Number of samples and sum of their losses, shape (participants, 2)."""


def judged(found: Found, *, n_resamples: int = N_RESAMPLES) -> Judged:
    """Return what the best trial of a search is worth.

    Metrics are means over the splits, of the participants of validation, as the search computes
    them; resamples are of all these participants at once.

    Parameters
    ----------
    found
        The search.
    n_resamples
        Number of resamples.
    """
    best, trials = found.best, found.complete
    nothing = Judged(best, len(trials), 0, {}, 0.0, "No trial was trained to its end")
    if best is None:
        return nothing
    try:
        tables = [_tables(one, found.metric) for one in trials]
    except ClinicaDLError as error:
        return nothing._replace(reason=str(error))
    record = records.read(best.maps)
    task, n_classes = record.config.task, max(record.label_code.values(), default=-1) + 1
    people = sorted({who for table in tables[0].values() for who in table[PARTICIPANT]})
    if any(_people(other) != _people(tables[0]) for other in tables[1:]):
        return nothing._replace(reason="The trials were not judged on the same sessions")
    if len(people) < 2:
        return nothing._replace(reason="Validation has one participant, whom nothing can resample")
    try:
        how = judge(task, n_classes)
    except ClinicaDLError as error:
        return nothing._replace(reason=str(error))
    figures = [
        _figures([_of_split(table, people, how, task) for table in of_trial.values()], how)
        for of_trial in tables
    ]  # fmt: skip
    whole = [_whole(one, len(people), found.metric) for one in figures]
    if None in whole:
        why = f"The {found.metric} does not follow from the predictions that are kept"
        return nothing._replace(reason=why)
    recorded = [one.value for one in trials]
    if not np.allclose(np.array(whole, float), np.array(recorded, float), rtol=_AGREE, atol=1e-6):
        why = f"The {found.metric} of the predictions that are kept is not that of the trials"
        return nothing._replace(reason=why)
    winner = best_of(
        figures, len(people), chosen_by=found.metric, is_higher_better=found.is_higher_better,
        seed=record.config.reproducibility.seed, n_resamples=n_resamples,
    )  # fmt: skip
    metrics = {found.metric: winner.metrics[found.metric], **winner.metrics}
    return Judged(
        trials[winner.number], len(trials), len(people), metrics, winner.shares[winner.number], ""
    )


def _tables(trial: Trial, metric: str) -> dict[int, pd.DataFrame]:
    """Return what the models of a trial said of the samples of validation, split by split."""
    level = str(records.read(trial.maps).extractions[0]["mode"])
    return {
        split: outcomes.read_predictions(trial.maps, split, metric, names.VALIDATION, level)
        for split in sorted(trial.by_split)
    }


def _people(tables: dict[int, pd.DataFrame]) -> dict[int, list[tuple[object, ...]]]:
    return {
        split: sorted(table.iloc[:, :3].itertuples(index=False, name=None))
        for split, table in tables.items()
    }


def _of_split(
    table: pd.DataFrame, people: Sequence[str], how: Judge, task: TaskSettings
) -> _OfSplit:
    there = np.searchsorted(people, sorted(set(table[PARTICIPANT])))
    losses = _losses(table, task)
    summed = (
        None if losses is None
        else by_participant(table, np.stack([np.ones_like(losses), losses], axis=1))
    )  # fmt: skip
    classes = table[TRUE_LABEL] if isinstance(task, Classification) else pd.Series(0, table.index)
    samples = by_participant(table, pd.get_dummies(classes).to_numpy(dtype=np.float64))
    return _OfSplit(there, np.asarray(how.sums(table), dtype=np.float64), samples, summed)


def _losses(table: pd.DataFrame, task: TaskSettings) -> NDArray[np.float64] | None:
    """Return the loss of each sample, where it follows from what tables of predictions hold."""
    if isinstance(task, Classification) and task.loss == "CrossEntropyLoss":
        probabilities = table[[name for name in table.columns if name.startswith("proba")]]
        true = table[TRUE_LABEL].to_numpy(dtype=np.int64)
        said = probabilities.to_numpy(dtype=np.float64)[np.arange(len(table)), true]
        return np.asarray(-np.log(np.maximum(said, np.finfo(np.float64).tiny)))
    if isinstance(task, Regression) and task.loss in ("MSELoss", "L1Loss"):
        pairs = columns_of(task.labels)
        off = np.stack([(table[true] - table[said]).to_numpy(float) for true, said in pairs])
        return np.asarray((off**2 if task.loss == "MSELoss" else abs(off)).mean(0))
    return None


def _figures(splits: Sequence[_OfSplit], how: Judge) -> OfDraws:
    """Return the metrics of a trial, as means over its splits, of how often people are drawn."""

    def of_draws(times: NDArray[np.float64]) -> Values:
        found: list[Values] = []
        for one in splits:
            own = times[:, one.places]
            flat = one.counts.reshape(len(one.counts), -1)
            sums = (own @ flat).reshape(-1, *one.counts.shape[1:])
            with np.errstate(invalid="ignore", divide="ignore"):
                values = dict(how.statistics(sums))
                if one.losses is not None:
                    total = own @ one.losses
                    values[LOSS] = total[:, 1] / total[:, 0]
            # Where nobody of a split is drawn, or none of a class, it has no metric.
            nobody = (own @ one.samples == 0).any(1)
            found.append({name: np.where(nobody, np.nan, value) for name, value in values.items()})
        means = {name: _mean(np.stack([one[name] for one in found])) for name in found[0]}
        return {**means, **_over_classes(means)}

    return of_draws


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the splits that have the metric, shape (resamples,)."""
    n_known = np.isfinite(values).sum(0)
    total = np.where(np.isfinite(values), values, 0.0).sum(0)
    means = np.full(total.shape, np.nan)
    np.divide(total, n_known, out=means, where=n_known > 0)
    return means


def _over_classes(values: Values) -> Values:
    """Return the mean over the classes of metrics that each class has."""
    groups: dict[str, list[NDArray[np.float64]]] = {}
    for name, value in values.items():
        base, _, number = name.rpartition("-")
        if base and number.isdigit():
            groups.setdefault(base, []).append(value)
    return {name: np.mean(some, axis=0) for name, some in groups.items()}


def _whole(figures: OfDraws, n_participants: int, metric: str) -> float | None:
    values = figures(np.ones((1, n_participants)))
    return float(values[metric][0]) if metric in values else None
