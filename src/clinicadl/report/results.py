"""What the models of a MAPS said of data groups, and what it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.layouts import tsv
from clinicadl.layouts.maps import names, outcomes
from clinicadl.layouts.maps.record import Record
from clinicadl.tasks.base import IMAGE, POSITIVE_CLASS
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

    split: int | None
    """None for the ensemble of the models of all splits."""
    chosen_by: str
    group: str
    predictions: pd.DataFrame
    metrics: tuple[Metric, ...]
    findings: tuple[str, ...]
    """What the guard found."""
    accepted: str | None
    """The reason for which that was overridden."""
    skipped: tuple[str, ...]
    """What the guard could not look for."""

    @property
    def model(self) -> str:
        """What the model is called."""
        return model_name(self.split, self.chosen_by)

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


def model_name(split: int | str | None, chosen_by: str) -> str:
    """Return what a model is called; the ensemble where there is no split.

    Examples
    --------
    >>> model_name(0, "loss"), model_name(None, "BA")
    ('split 0, best by loss', 'ensemble of the best by BA')
    """
    return (
        f"ensemble of the best by {chosen_by}"
        if split is None
        else f"split {split}, best by {chosen_by}"
    )


def read(maps: Path) -> Iterator[Result]:
    """Yield what the models of a MAPS said of data groups, by split, metric and group.

    Raises
    ------
    MissingInputError
        A table is gone.
    InvalidDataError
        A table is damaged.
    """
    for split in (*names.split_numbers(maps), None):
        for metric in names.selection_metrics(maps, split):
            for group in outcomes.judged_groups(maps, split, metric):
                yield _result(maps, split, metric, group)


def _result(maps: Path, split: int | None, metric: str, group: str) -> Result:
    verdict = outcomes.read_verdict(maps, split, metric, group)
    table = names.metrics(names.results(maps, split, metric, group), IMAGE)
    return Result(
        split=split,
        chosen_by=metric,
        group=group,
        predictions=outcomes.read_predictions(maps, split, metric, group, IMAGE),
        metrics=tuple(_metrics(table)) if table.is_file() else (),
        findings=verdict.findings,
        accepted=verdict.accepted,
        skipped=verdict.skipped,
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


def finite(value: float) -> float | None:
    """Return a number, or None where it is none."""
    return None if isnan(value) else value


def _number(cell: object) -> float | None:
    try:
        return finite(float(str(cell)))
    except ValueError:
        return None


def classes(record: Record) -> Mapping[int, str]:
    """Return node -> class; none where the task has no classes."""
    found: dict[int, list[str]] = {}
    for label, node in record.label_code.items():
        found.setdefault(node, []).append(label)
    return {node: " / ".join(labels) for node, labels in sorted(found.items())}


def positive_node(result: Result, classes: Mapping[int, str]) -> int:
    """Return the node of the class that the metrics of two classes are about."""
    of_name = {name: node for node, name in classes.items()}
    return of_name.get(result.positive, max(classes))
