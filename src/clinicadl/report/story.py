"""What a report says of a MAPS, read once and held together: nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.config.compare import CompareConfig
from clinicadl.config.read import to_toml
from clinicadl.config.task import Classification, Regression
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import tsv
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.record import Record
from clinicadl.report.comparison import BOOTSTRAP, SUBGROUP, Comparison, Row, compare
from clinicadl.report.contents import Contents, Group, contents
from clinicadl.report.covariates import USUAL
from clinicadl.report.decisions import Decision, decided
from clinicadl.report.flow import Flow
from clinicadl.report.flow import read as flow_of
from clinicadl.report.results import Metric, Result, finite, model_name
from clinicadl.report.results import read as results_of
from clinicadl.tables import sessions
from clinicadl.tables.composition import Balance, balance
from clinicadl.tables.sessions import Source
from clinicadl.tasks.base import PREDICTED_LABEL
from clinicadl.tasks.judging import columns_of

_SCANNER = ("scanner",)
"""By which results are told apart too; no confound by itself, as it mostly is the site again."""


class Beside(NamedTuple):
    """A model beside another, or its images of some participants beside those of the others."""

    split: str
    chosen_by: str
    group: str
    name: str
    """Of a model that saw no image: the majority, the mean, age and sex; or of the subgroup."""
    others: str
    """Who a subgroup is beside; empty of models."""
    rows: tuple[Row, ...]
    """A metric each, by the bootstrap over participants."""

    @property
    def model(self) -> str:
        """What the model is called."""
        return model_name(self.split, self.chosen_by)


class Compared(NamedTuple):
    """The results on groups that the models have not seen, beside what a reader must know."""

    baselines: tuple[Beside, ...] = ()
    subgroups: tuple[Beside, ...] = ()
    remarks: tuple[str, ...] = ()
    """Why some of these are missing."""


class Curves(NamedTuple):
    """What training logged of a network, epoch by epoch."""

    split: int
    network: int | None
    log: pd.DataFrame


class People(NamedTuple):
    """How many there are in a data group."""

    group: str
    split: int | None
    n_participants: int
    n_sessions: int
    n_shared: int
    """Participants that the networks of any split have seen."""


class Story(NamedTuple):
    """All that a report says."""

    maps: Path
    contents: Contents
    record: Record
    people: tuple[People, ...]
    n_seen: int
    """Participants that are in train or validation of any split, or were seen by an ancestor."""
    curves: tuple[Curves, ...]
    results: tuple[Result, ...]
    """Those of groups that the models have not seen come first."""
    compared: Compared
    decisions: tuple[Decision, ...]
    """What validation makes of the probabilities of the same models."""
    flow: Flow
    balance: tuple[Balance, ...]
    settings: str
    """TOML."""
    environment: str

    @property
    def tested(self) -> tuple[Result, ...]:
        """Results on groups that no model was fitted or chosen on."""
        return tuple(one for one in self.results if not one.is_own)


def read(maps: Path, covariates_tsv: Path | None = None) -> Story:
    """Return what there is to say of a MAPS of this release.

    Parameters
    ----------
    maps
        The MAPS.
    covariates_tsv
        Table with age, sex, site; None takes the one that the splits were made from.

    Raises
    ------
    MissingInputError
        There is no MAPS, or no such table.
    InvalidDataError
        A file of it is damaged, or another release wrote it.
    """
    record = folder.open_maps(maps).record
    seen = set(folder.read_seen(maps)[sessions.PARTICIPANT])
    found = contents(maps)
    results = tuple(sorted(results_of(maps), key=_place))
    tested = [one for one in results if not one.is_own and one.is_labelled]
    own = [one.table[sessions.PARTICIPANT] for one in found.groups if one.split is not None]
    flow = flow_of(record, {*pd.concat(own)} if own else set())
    known = flow.labels if covariates_tsv is None else _table(covariates_tsv)
    compared = _compared(maps, record, tested, known)
    sets = [(_set_name(one), one.table) for one in found.groups]
    columns = _usual(known, (*USUAL, *_SCANNER, *record.config.task.labels))
    return Story(
        maps=maps,
        contents=found,
        record=record,
        people=tuple(_people(found, seen)),
        n_seen=len(seen),
        curves=tuple(_curves(maps)),
        results=tuple(_with_more(one, compared) for one in results),
        compared=compared,
        decisions=tuple(decided(maps, record, tested)),
        flow=flow,
        balance=() if known is None else tuple(balance(sets, known, columns)),
        settings=to_toml(record.config),
        environment=names.environment(maps).read_text(encoding="utf-8"),
    )


def _place(one: Result) -> tuple[bool, str, bool, int]:
    return one.is_own, one.group, one.split is None, one.split or 0


def _with_more(one: Result, compared: Compared) -> Result:
    """Return a result with the metrics that only the comparison knows, such as AUC and Brier."""
    known = {metric.name for metric in one.metrics}
    key = (str(one.split), one.chosen_by, one.group)
    rows = next((b.rows for b in compared.baselines if (b.split, b.chosen_by, b.group) == key), ())
    more = [
        Metric(
            row.metric,
            finite(row.first_value),
            finite(row.first_low),
            finite(row.first_high),
            one.positive,
        )
        for row in rows
        if row.metric not in known
    ]
    return one._replace(metrics=(*one.metrics, *more))


def _table(path: Path) -> Source:
    return Source(path, sessions.read(path))


def _set_name(one: Group) -> str:
    return one.name if one.split is None else f"{one.name}, split {one.split}"


def _usual(known: Source | None, wanted: Iterable[str]) -> tuple[str, ...]:
    """Return those columns of a table that tell participants apart."""
    if known is None:
        return ()
    there = [name for name in dict.fromkeys(wanted) if name in known.table.columns]
    return tuple(name for name in there if known.table[name].nunique() > 1)


def _compared(
    maps: Path, record: Record, tested: Sequence[Result], known: Source | None
) -> Compared:
    task, every = record.config.task, Compared()
    if not isinstance(task, Classification | Regression):
        return every
    by = [name for name in _usual(known, (*USUAL, *_SCANNER)) if name not in task.labels]
    of_splits = [one for one in tested if one.split is not None]
    for group, metric in dict.fromkeys((one.group, one.chosen_by) for one in of_splits):
        splits = {one.split for one in of_splits if (one.group, one.chosen_by) == (group, metric)}
        alone = CompareConfig(
            maps=(maps,), group=group, selection_metric=metric, split=tuple(sorted(splits))
        )
        tried = [alone]
        if known is not None and by:
            more = {"covariates_tsv": known.path, "subgroups": by}
            more["confounds"] = [name for name in by if name in USUAL]
            tried.insert(0, CompareConfig(**(dict(alone) | more)))
        remarks = []
        for config in tried:
            try:
                found = compare(config)
            except InvalidDataError as error:
                # Such as one participant, whom nothing can resample; the metrics stand alone.
                remarks.append(f"{group}, best by {metric}: {error}")
                continue
            every = _with(every, found, maps, group, metric)
            break
        every = every._replace(remarks=(*every.remarks, *remarks))
    return every._replace(remarks=tuple(dict.fromkeys(every.remarks)))


def _with(every: Compared, found: Comparison, maps: Path, group: str, metric: str) -> Compared:
    """Return all comparisons, with those of one group and metric."""
    rows = [Row(*cells) for cells in found.table[[*Row._fields]].itertuples(index=False)]
    of_splits = [row for row in rows if row.split.isdigit()]

    def named(row: Row) -> tuple[str, str, str]:
        if row.test == BOOTSTRAP:
            return row.split, row.second, ""
        return row.split, row.first.removeprefix(f"{maps.name}, "), row.second

    baselines, subgroups = (
        tuple(
            Beside(split, metric, group, name, others, tuple(some))
            for (split, name, others), some in groupby(
                (row for row in of_splits if row.test == test), key=named
            )
        )
        for test in (BOOTSTRAP, SUBGROUP)
    )
    return Compared(
        (*every.baselines, *baselines),
        (*every.subgroups, *subgroups),
        (*every.remarks, *(f"{group}: {remark}" for remark in found.remarks)),
    )


def _people(found: Contents, seen: set[str]) -> Iterator[People]:
    for name, split, table in found.groups:
        who = set(table[sessions.PARTICIPANT])
        yield People(name, split, len(who), len(table), len(who & seen))


def _curves(maps: Path) -> Iterator[Curves]:
    for split in names.split_numbers(maps):
        for path in names.training_logs(maps, split):
            number = path.parent.name.removeprefix("network-")
            log = pd.DataFrame(tsv.read(path, "training log")).apply(pd.to_numeric)
            yield Curves(split, int(number) if number.isdigit() else None, log)


def saying_one_thing(story: Story) -> Iterator[Result]:
    """Yield the results of models that say the same of every image of several."""
    task = story.record.config.task
    columns = [PREDICTED_LABEL] if isinstance(task, Classification) else []
    if isinstance(task, Regression):
        columns = [said for _, said in columns_of(task.labels)]
    for one in story.results:
        if columns and len(one.predictions) > 1 and (one.predictions[columns].nunique() == 1).all():
            yield one
