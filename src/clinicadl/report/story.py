"""What a report says of a MAPS, read once and held together: nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import isnan
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
from clinicadl.report.comparison import BOOTSTRAP, Row, compare
from clinicadl.report.contents import Contents, contents
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE, POSITIVE_CLASS, PREDICTED_LABEL
from clinicadl.tasks.judging import columns_of
from clinicadl.tasks.metrics_table import ROWS

_ROWS = dict(zip(ROWS, ("value", "low", "high"), strict=False))
"""Row of a table of metrics -> what it is here."""


class Metric(NamedTuple):
    """A metric with its 95 % interval; None where there is none."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    about: str
    """The class that it is about; empty where it is about all."""


class Result(NamedTuple):
    """What one model said of the images of one data group."""

    split: int
    chosen_by: str
    group: str
    predictions: pd.DataFrame
    metrics: tuple[Metric, ...]
    findings: tuple[str, ...]
    """What the guard found."""
    accepted: str | None
    """The reason for which that was overridden."""

    @property
    def is_own(self) -> bool:
        """Whether the model was fitted or chosen on this group."""
        return self.group in names.OWN_GROUPS

    @property
    def positive(self) -> str:
        """The class that the metrics are about; empty where there is none."""
        return next((metric.about for metric in self.metrics), "")

    @property
    def is_labelled(self) -> bool:
        """Whether the truth was known, so that there are metrics."""
        return bool(self.metrics)


class Beside(NamedTuple):
    """A model beside one that saw no image: the majority class, or the mean of train."""

    split: str
    chosen_by: str
    group: str
    name: str
    """Of the baseline."""
    rows: tuple[Row, ...]
    """A metric each, by the paired bootstrap."""


class Besides(NamedTuple):
    """All of them, and why some results stand alone."""

    found: tuple[Beside, ...]
    alone: tuple[str, ...]


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
    besides: Besides
    """Of those."""
    settings: str
    """TOML."""
    environment: str

    @property
    def tested(self) -> tuple[Result, ...]:
        """Results on groups that no model was fitted or chosen on."""
        return tuple(one for one in self.results if not one.is_own)


def read(maps: Path) -> Story:
    """Return what there is to say of a MAPS of this release.

    Raises
    ------
    MissingInputError
        There is no MAPS.
    InvalidDataError
        A file of it is damaged, or another release wrote it.
    """
    record = folder.open_maps(maps).record
    seen = set(folder.read_seen(maps)[sessions.PARTICIPANT])
    found = contents(maps)
    results = sorted(_results(maps), key=lambda one: (one.is_own, one.group, one.split))
    return Story(
        maps=maps,
        contents=found,
        record=record,
        people=tuple(_people(found, seen)),
        n_seen=len(seen),
        curves=tuple(_curves(maps)),
        results=tuple(results),
        besides=_besides(maps, record, results),
        settings=to_toml(record.config),
        environment=names.environment(maps).read_text(encoding="utf-8"),
    )


def _besides(maps: Path, record: Record, results: Sequence[Result]) -> Besides:
    found: list[Beside] = []
    alone: list[str] = []
    if not isinstance(record.config.task, Classification | Regression):
        return Besides((), ())
    tested = [one for one in results if not one.is_own and one.is_labelled]
    for group, metric in dict.fromkeys((one.group, one.chosen_by) for one in tested):
        splits = {one.split for one in tested if (one.group, one.chosen_by) == (group, metric)}
        chosen = CompareConfig(
            maps=(maps,), group=group, selection_metric=metric, split=tuple(sorted(splits))
        )
        try:
            table = compare(chosen).table[[*Row._fields]]
        except InvalidDataError as error:
            # Such as one participant, whom nothing can resample: the metrics stand all the same.
            alone.append(f"{group}, best by {metric}: {error}")
            continue
        rows = [Row(*cells) for cells in table.itertuples(index=False)]
        of_splits = [row for row in rows if row.test == BOOTSTRAP and row.split.isdigit()]
        for (split, name), some in groupby(of_splits, key=lambda row: (row.split, row.second)):
            found.append(Beside(split, metric, group, name, tuple(some)))
    return Besides(tuple(found), tuple(alone))


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


def _results(maps: Path) -> Iterator[Result]:
    for split in names.split_numbers(maps):
        for metric in names.selection_metrics(maps, split):
            for group in folder.judged_groups(maps, split, metric):
                yield _result(maps, split, metric, group)


def _result(maps: Path, split: int, metric: str, group: str) -> Result:
    verdict = folder.read_verdict(maps, split, metric, group)
    table = names.metrics(names.results(maps, split, metric, group), IMAGE)
    return Result(
        split=split,
        chosen_by=metric,
        group=group,
        predictions=folder.read_predictions(maps, split, metric, group, IMAGE),
        metrics=tuple(_metrics(table)) if table.is_file() else (),
        findings=verdict.findings,
        accepted=verdict.accepted,
    )


def _metrics(path: Path) -> Iterator[Metric]:
    table = tsv.read(path, "table of metrics")
    index = [str(cell) for cell in table.iloc[:, 0]]
    about = str(table[POSITIVE_CLASS].iloc[0]) if POSITIVE_CLASS in table.columns else ""
    for name in table.columns[1:]:
        if name in (POSITIVE_CLASS, names.ACCEPTED):
            continue
        cells: dict[str, float | None] = dict.fromkeys(_ROWS.values())
        for row, what in _ROWS.items():
            if row in index:
                cells[what] = _number(table[name].iloc[index.index(row)])
        yield Metric(str(name), **cells, about=about)


def _number(cell: object) -> float | None:
    try:
        found = float(str(cell))
    except ValueError:
        return None
    return None if isnan(found) else found


def saying_one_thing(story: Story) -> Iterator[Result]:
    """Yield the results of models that say the same of every image of several."""
    task = story.record.config.task
    columns = [PREDICTED_LABEL] if isinstance(task, Classification) else []
    if isinstance(task, Regression):
        columns = [said for _, said in columns_of(task.labels)]
    for one in story.results:
        if columns and len(one.predictions) > 1 and (one.predictions[columns].nunique() == 1).all():
            yield one


def classes(story: Story) -> Mapping[int, str]:
    """Return node -> class; none where the task has no classes."""
    found: dict[int, list[str]] = {}
    for label, node in story.record.label_code.items():
        found.setdefault(node, []).append(label)
    return {node: " / ".join(labels) for node, labels in sorted(found.items())}
