"""Whether trained models differ, from each other and from what needs no image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from math import isnan, nan
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.compare import CompareConfig
from clinicadl.config.task import Classification
from clinicadl.layouts import tsv
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.layouts.maps import names
from clinicadl.report.baselines import baselines
from clinicadl.report.columns import aligned
from clinicadl.report.judged import Planned, Said, ready
from clinicadl.report.subgroups import subgroups, too_small, unknown
from clinicadl.statistics import calibration
from clinicadl.statistics.folds import corrected_t_test
from clinicadl.statistics.intervals import (
    OfDraws,
    Resampled,
    Values,
    interval,
    jackknife,
    of_sums,
    proportion,
    resampled,
)
from clinicadl.statistics.paired import differences, holm, mcnemar
from clinicadl.statistics.ranking import delong, weighted_auc
from clinicadl.tasks.base import PREDICTED_LABEL, TRUE_LABEL
from clinicadl.tasks.metrics_table import by_participant

SUBGROUP = "bootstrap of subgroups"
BOOTSTRAP, MCNEMAR, MID_P = "paired bootstrap", "McNemar, exact", "McNemar, mid-p"
DELONG, CLUSTERED, T_TEST = "DeLong", "DeLong, clustered", "corrected t-test"
AUC = "AUC"
_HEAD = ("", "first", "second", "difference", "p", "p (Holm)", "test")


class Row(NamedTuple):
    """One test of one metric of two models."""

    split: str
    test: str
    metric: str
    first: str
    first_value: float
    first_low: float
    first_high: float
    second: str
    second_value: float
    second_low: float
    second_high: float
    difference: float
    """First less second."""
    difference_low: float
    difference_high: float
    p: float
    p_holm: float
    """Corrected for the number of metrics of these two models and this split."""


class Comparison(NamedTuple):
    """What was found, and what a reader must know."""

    table: pd.DataFrame
    """Columns as `Row`; one more, `names.ACCEPTED`, where leakage was accepted."""
    remarks: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the page that the command line prints."""
        rows = [Row(*cells) for cells in self.table[[*Row._fields]].itertuples(index=False)]
        for (split, first, second), some in groupby(
            rows, key=lambda row: (row.split, row.first, row.second)
        ):
            yield f"{first} less {second}, {f'split {split}' if split.isdigit() else split}"
            yield from aligned([_HEAD, *(_shown(row) for row in some)])
            yield ""
        yield from (f"note: {remark}" for remark in self.remarks)


def compare(config: CompareConfig) -> Comparison:
    """Compare trained models on a data group that all of them have judged.

    Parameters
    ----------
    config
        The MAPS, the group, and where to write the comparison to.

    Returns
    -------
    A row a test, and remarks; written to ``config.output`` too where that is given.

    Raises
    ------
    MissingInputError
        A MAPS, a table, or results of the group are absent.
    UsageError
        The models have learnt something else.
    InvalidDataError
        The participants, sessions or labels of the group are not the same for all.
    OutputError
        The output exists already, or cannot be written.
    """
    return compared(ready(config))


def compared(planned: Planned) -> Comparison:
    """Return the comparison that was planned, and write it where that is wanted."""
    rows = [*_by_split(planned), *_over_splits(planned)]
    left_out: list[str] = []
    for one in planned.said:
        rows += _corrected([*_of_subgroups(planned, one, left_out)])
    table = pd.DataFrame(rows, columns=[*Row._fields])
    if planned.accepted is not None:
        table = table.assign(**{names.ACCEPTED: planned.accepted})
    if planned.config.output is not None:
        tsv.write(planned.config.output, table)
    return Comparison(table, (*planned.remarks, *dict.fromkeys(left_out)))


def _by_split(planned: Planned) -> Iterator[Row]:
    for split in planned.splits:
        first, *others = (one for one in planned.said if one.split == split)
        for other in others:
            yield from _tests(planned, first, other)
        for one in (first, *others):
            for baseline in baselines(planned, one):
                yield from _tests(planned, one, baseline)


def _tests(planned: Planned, first: Said, second: Said) -> Iterator[Row]:
    values = [_resampled(planned, [one]) for one in (first, second)]
    models = (first.name, second.name)
    yield from _corrected([*_bootstrap_rows(str(first.split), BOOTSTRAP, *models, *values)])
    if not isinstance(planned.task, Classification):
        return
    if first.table[PARTICIPANT].is_unique:
        yield from _tests_of_accuracy(first, second, *values)
    yield from _tests_of_areas(planned, first, second)


def _bootstrap_rows(
    split: str, test: str, first: str, second: str, of_first: Resampled, of_second: Resampled
) -> Iterator[Row]:
    for metric, found in differences(of_first, of_second).items():
        yield Row(
            split, test, metric,
            first, *_with_interval(of_first, metric), second, *_with_interval(of_second, metric),
            *found, nan,
        )  # fmt: skip


def _tests_of_accuracy(
    first: Said, second: Said, of_first: Resampled, of_second: Resampled
) -> Iterator[Row]:
    """Yield the tests that take images for independent: one of each participant."""
    truth = first.table[TRUE_LABEL].to_numpy()
    right = [one.table[PREDICTED_LABEL].to_numpy() == truth for one in (first, second)]
    found = mcnemar(*right)
    values = [one.values["accuracy"] for one in (of_first, of_second)]
    for test, p in ((MCNEMAR, found.exact), (MID_P, found.mid_p)):
        yield _row(str(first.split), test, "accuracy", (first.name, second.name), values, p=p)


def _tests_of_areas(planned: Planned, first: Said, second: Said) -> Iterator[Row]:
    """Yield the test of the areas under the curve, of each class that is positive in turn."""
    truth = first.table[TRUE_LABEL].to_numpy()
    owner, people = pd.factorize(first.table[PARTICIPANT])
    test = DELONG if len(people) == len(owner) else CLUSTERED
    for metric, node in _nodes(planned).items():
        is_positive = truth == node
        if min(len(np.unique(owner[side])) for side in (is_positive, ~is_positive)) < 2:
            continue
        ours, theirs = (one.table[f"proba{node}"].to_numpy() for one in (first, second))
        area = delong(is_positive, ours, theirs, owner)
        yield _row(
            str(first.split), test, metric, (first.name, second.name), [area.first, area.second],
            low=area.low, high=area.high, p=area.p,
        )  # fmt: skip


def _over_splits(planned: Planned) -> Iterator[Row]:
    """Yield what all splits together say, of each further MAPS and the first."""
    if len(planned.splits) < 2:
        return
    of_name = {name: list(some) for name, some in groupby(planned.said, key=lambda one: one.name)}
    (first, of_first), *others = of_name.items()
    numbers = ", ".join(map(str, planned.splits))
    for second, of_second in others:
        if planned.config.group == names.VALIDATION:
            if planned.same_train:
                split = f"over splits {numbers}"
                yield from _corrected([*_t_tests(planned, split, of_first, of_second)])
        else:
            values = [_resampled(planned, one) for one in (of_first, of_second)]
            split = f"mean of splits {numbers}"
            yield from _corrected([*_bootstrap_rows(split, BOOTSTRAP, first, second, *values)])


def _t_tests(
    planned: Planned, split: str, of_first: Sequence[Said], of_second: Sequence[Said]
) -> Iterator[Row]:
    """Yield the test of each metric over splits whose validation sets differ."""
    values = [[_values(planned, one) for one in some] for some in (of_first, of_second)]
    n_test, n_train = (
        np.mean([one[PARTICIPANT].nunique() for one in tables])
        for tables in ([one.table for one in of_first], [one.train for one in of_first])
    )
    for metric in values[0][0]:
        first, second = (np.array([one[metric] for one in some]) for some in values)
        if not np.isfinite(first - second).all():
            continue
        found = corrected_t_test(first - second, test_per_train=float(n_test / n_train))
        yield _row(
            split, T_TEST, metric, (of_first[0].name, of_second[0].name),
            [float(first.mean()), float(second.mean())],
            low=found.low, high=found.high, p=found.p,
        )  # fmt: skip


def _of_subgroups(planned: Planned, said: Said, left_out: list[str]) -> Iterator[Row]:
    """Yield how each subgroup differs from the others; why some are left out is added."""
    known = planned.covariates
    truth = TRUE_LABEL if isinstance(planned.task, Classification) else None
    if known is None:
        return
    for column in known.subgroups:
        n_unknown = unknown(known, column, said.table)
        if n_unknown:
            left_out.append(f"{n_unknown} images have no {column} and are in no subgroup by it")
        for one in subgroups(known, column, said.table):
            reason = too_small(one, said.table, truth)
            if reason is not None:
                left_out.append(f"The subgroup {one.name} is left out: {reason}")
                continue
            values = [_resampled_rows(planned, said, rows) for rows in (one.is_in, one.is_other)]
            models = (f"{said.name}, {one.name}", one.others)
            yield from _bootstrap_rows(str(said.split), SUBGROUP, *models, *values)


def _resampled_rows(planned: Planned, said: Said, rows: NDArray[np.bool_]) -> Resampled:
    """Return the metrics of some rows, on resamples of all participants."""
    people = np.unique(said.table[PARTICIPANT])
    chosen = said.table[rows].reset_index(drop=True)
    members = np.searchsorted(people, np.unique(chosen[PARTICIPANT]))
    values = _of_draws(planned, chosen)

    def of_members(times: NDArray[np.float64]) -> Values:
        nobody = times[:, members].sum(1) == 0
        with np.errstate(invalid="ignore", divide="ignore"):
            found = values(times[:, members])
        return {name: np.where(nobody, np.nan, value) for name, value in found.items()}

    return _with_shares(planned, _with_jackknife(planned, of_members, len(people)), chosen)


def _resampled(planned: Planned, said: Sequence[Said]) -> Resampled:
    """Return the metrics of a model; of several splits of one data group their means."""
    functions = [_of_draws(planned, one.table) for one in said]

    def mean(times: NDArray[np.float64]) -> Values:
        each = [function(times) for function in functions]
        return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}

    found = _with_jackknife(planned, mean, said[0].table[PARTICIPANT].nunique())
    return _with_shares(planned, found, said[0].table) if len(said) == 1 else found


def _with_shares(planned: Planned, found: Resampled, table: pd.DataFrame) -> Resampled:
    """Return the metrics, and which of them have exact intervals, as in the metrics tables."""
    if planned.config.interval == "percentile":
        return found
    return found._replace(shares=planned.judge.shares(planned.judge.sums(table)))


def _with_jackknife(planned: Planned, values: OfDraws, n_participants: int) -> Resampled:
    found = resampled(values, n_participants, seed=planned.seed)
    if planned.config.interval == "percentile":
        return found
    return found._replace(of_jackknife=jackknife(values, n_participants))


def _values(planned: Planned, said: Said) -> dict[str, float]:
    whole = np.ones((1, said.table[PARTICIPANT].nunique()))
    return {k: float(v[0]) for k, v in _of_draws(planned, said.table)(whole).items()}


def _of_draws(planned: Planned, table: pd.DataFrame) -> OfDraws:
    """Return every metric of a table of predictions, of how often each participant is drawn."""
    functions = [of_sums(planned.judge.sums(table), planned.judge.statistics)]
    if isinstance(planned.task, Classification):
        functions.append(partial(_areas, planned, table))
        columns = [f"proba{node}" for node in range(planned.n_classes)]
        nodes = table[TRUE_LABEL].to_numpy(dtype=np.int64)
        added = calibration.addends(table[columns].to_numpy(dtype=np.float64), nodes)
        functions.append(of_sums(by_participant(table, added), calibration.of_sums))
    return lambda times: {
        name: value for function in functions for name, value in function(times).items()
    }


def _areas(planned: Planned, table: pd.DataFrame, times: NDArray[np.float64]) -> Values:
    owner, _ = pd.factorize(table[PARTICIPANT], sort=True)
    truth = table[TRUE_LABEL].to_numpy()
    return {
        metric: weighted_auc(truth == node, table[f"proba{node}"].to_numpy(), times[:, owner])
        for metric, node in _nodes(planned).items()
    }


def _nodes(planned: Planned) -> dict[str, int]:
    """Return the name of the area under the curve of each class that is positive in turn."""
    if planned.n_classes == 2:
        return {AUC: 0}
    return {f"{AUC}-{node}": node for node in range(planned.n_classes)}


def _with_interval(found: Resampled, metric: str) -> tuple[float, float, float]:
    value, left_out = found.values[metric], found.of_jackknife
    some, every = (found.shares or {}).get(metric, (0, 0))
    if every:
        return value, *proportion(some, every)
    of_metric = None if left_out is None else left_out[metric]
    return value, *interval(value, found.of_resamples[metric], of_metric)[:2]


def _row(
    split: str,
    test: str,
    metric: str,
    models: tuple[str, str],
    values: Sequence[float],
    *,
    p: float,
    low: float = nan,
    high: float = nan,
) -> Row:
    """Return a row without intervals of the values themselves: those of the bootstrap stand."""
    first, second = values
    return Row(
        split, test, metric, models[0], first, nan, nan, models[1], second, nan, nan,
        first - second, low, high, p, nan,
    )  # fmt: skip


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one family of tests, corrected for their number."""
    p_values = holm([row.p for row in rows])
    return [row._replace(p_holm=p) for row, p in zip(rows, p_values, strict=True)]


def _shown(row: Row) -> tuple[str, ...]:
    return (
        row.metric,
        _interval(row.first_value, row.first_low, row.first_high),
        _interval(row.second_value, row.second_low, row.second_high),
        _interval(row.difference, row.difference_low, row.difference_high),
        _number(row.p, 4),
        _number(row.p_holm, 4),
        row.test,
    )


def _interval(value: float, low: float, high: float) -> str:
    if isnan(low) or isnan(high):
        return _number(value)
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _number(value: float, digits: int = 3) -> str:
    return "" if isnan(value) else f"{value:.{digits}f}"
