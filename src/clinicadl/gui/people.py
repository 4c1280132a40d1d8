"""A look at the split tables of an experiment: who is in which set, and what the guard says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.plan import Divided, ancestry_of, divided, verdict
from clinicadl.guard.facts import Finding
from clinicadl.tables import composition, sessions
from clinicadl.tables.sessions import Source


def seen(config: ExperimentConfig) -> dict[str, Any]:
    """Return who is in which set of which split, as values of JSON; no image is looked at.

    Raises
    ------
    MissingInputError
        A folder, table or column is absent.
    InvalidDataError
        A table is wrong, or a label is missing.
    UsageError
        The folder holds another number of splits.
    """
    who = divided(config)
    ancestry = ancestry_of(config, who)
    found = verdict(who, ancestry, hashes={}).findings
    return {
        "splits": [
            {
                "number": one.number,
                "is_trained": one.number in config.validation.chosen(),
                "sets": [
                    _set("train", one.train, _paths(who, i, "train"), config),
                    _set("validation", one.validation, _paths(who, i, "validation"), config),
                ],
            }
            for i, one in enumerate(who.splits)
        ],
        "is_refused": any(one.severity == "refuse" for one in found),
        "findings": [_finding(one) for one in found],
    }


def _paths(who: Divided, split: int, name: str) -> list[Path]:
    return [getattr(some[split], name) for some in who.tables.values()]


def _finding(one: Finding) -> dict[str, Any]:
    return {"severity": one.severity, "sentence": one.sentence, "fixes": one.fixes}


def _set(
    name: str, table: pd.DataFrame, paths: Sequence[Path], config: ExperimentConfig
) -> dict[str, Any]:
    cells: dict[str, str] = {}
    for column, found in _sources(paths, config.task.labels):
        (one,) = composition.balance([(name, table)], found, [column])
        cells |= {key: text for key, text in one.cells.items() if key != "participants"}
    participants = [*dict.fromkeys(table[sessions.PARTICIPANT])]
    return {
        "name": name, "n_sessions": len(table), "participants": participants, "cells": cells,
    }  # fmt: skip


def _sources(paths: Sequence[Path], labels: Sequence[str]) -> Iterator[tuple[str, Source]]:
    """Yield the columns that all tables know, or the labels above them, and where these stand."""
    read: Mapping[Path, pd.DataFrame] = {path: sessions.read(path) for path in paths}
    for column in dict.fromkeys([*labels, sessions.DIAGNOSIS, *sessions.AGES, sessions.SEX]):
        found = [sessions.source(table, path, [column]) for path, table in read.items()]
        known = [one for one in found if one is not None]
        if len(known) == len(paths):
            every = pd.concat([one.table for one in known], ignore_index=True)
            yield column, Source(known[0].path, every)
