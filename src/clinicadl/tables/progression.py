"""How a disease goes on: stable, progressing, regressing, unstable or unknown."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.summary import STAGES, ProgressionConfig
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import splits, tsv
from clinicadl.layouts.files import refuse_unwritable
from clinicadl.tables import matching, sessions, times
from clinicadl.tables.sessions import Source

logger = logging.getLogger(__name__)

PROGRESSION = "progression"
STABLE, PROGRESSING, REGRESSING, UNSTABLE, UNKNOWN = "s", "p", "r", "us", "uk"

NO_DIAGNOSIS = "no diagnosis"
NO_TIME = "no time"


class Plan(NamedTuple):
    """A table with its progressions, and nothing written."""

    config: ProgressionConfig
    read: tuple[Path, ...]
    table: pd.DataFrame
    """As it will be written: every cell as it was, and the column."""
    replaces: bool
    """Whether the table had such a column."""
    n_participants: int
    n_labels: Mapping[str, int]
    """Label, or reason of its absence -> number of sessions; they add up to the rows."""


def get_progression(config: ProgressionConfig) -> Path:
    """Add to a table how each session goes on, in place.

    Parameters
    ----------
    config
        The table, the horizon, the stages.

    Returns
    -------
    The table.

    Raises
    ------
    MissingInputError
        The table, its diagnoses or its times are absent.
    InvalidDataError
        The table is wrong, a diagnosis has no stage, or a session no time.
    OutputError
        The table cannot be written.
    """
    planned = plan(config)
    write(planned)
    return config.data_tsv


def plan(config: ProgressionConfig) -> Plan:
    """Return the table that `get_progression` would write.

    Raises
    ------
    MissingInputError
        The table, its diagnoses or its times are absent.
    InvalidDataError
        The table is wrong, a diagnosis has no stage, or a session no time.
    OutputError
        The table cannot be written.
    """
    path = config.data_tsv
    table = sessions.read(path)
    refuse_unwritable(path)
    diagnosis, source = _diagnoses(table, path)
    months, clock = _months(table, config)
    diagnosed = inferred(table.assign(**{sessions.DIAGNOSIS: diagnosis}), months=months)
    labels = progressions(
        diagnosed,
        horizon=config.time_horizon,
        stages=config.stage_of,
        months=months,
        where=source,
    )
    # Every cell as the user wrote it, ids too: only rows and their order are those of `table`.
    written = tsv.read(path, "table of sessions")
    named = pd.Series(labels, dtype=object)
    named[diagnosed[sessions.DIAGNOSIS].notna() & months.isna()] = NO_TIME
    counted = named.fillna(NO_DIAGNOSIS).value_counts()
    order = (STABLE, PROGRESSING, REGRESSING, UNSTABLE, UNKNOWN, NO_DIAGNOSIS, NO_TIME)
    return Plan(
        config,
        tuple(dict.fromkeys((path, source, clock))),
        written.assign(**{PROGRESSION: labels.to_numpy()}),
        PROGRESSION in written.columns,
        table[sessions.PARTICIPANT].nunique(),
        {name: int(counted[name]) for name in order if name in counted},
    )


def write(planned: Plan) -> None:
    """Write what was planned, whole.

    The record of a split goes along with its table, unless the table was edited before.

    Raises
    ------
    OutputError
        The table cannot be written.
    """
    splits.rewrite(planned.config.data_tsv, planned.table)


def inferred(table: pd.DataFrame, *, months: pd.Series[float] | None = None) -> pd.DataFrame:
    """Return the table with missing diagnoses filled in where those around them agree.

    Parameters
    ----------
    table
        Sessions, with ``diagnosis``.
    months
        When each session was, by the index of ``table``, where ``session_id`` does not tell the
        order; what has no time is left as it is.

    Returns
    -------
    The same rows in the same order. A diagnosis that misses is that of the nearest known sessions
    of the participant before and after, where both are there and are equal, and else still NaN.
    """
    keys = [
        (participant, 0.0 if months is None else when, sessions.by_month(session))
        for (participant, session), when in zip(
            sessions.sessions_of(table), table.index if months is None else months, strict=True
        )
        if months is None or not np.isnan(when)
    ]
    rows = np.arange(len(table)) if months is None else np.flatnonzero(months.notna())
    order = rows[sorted(range(len(keys)), key=keys.__getitem__)]
    known = table[sessions.DIAGNOSIS].iloc[order]
    by_participant = known.groupby(table[sessions.PARTICIPANT].iloc[order].to_numpy())
    before, after = by_participant.ffill(), by_participant.bfill()
    diagnosis = table[sessions.DIAGNOSIS].to_numpy(dtype=object, copy=True)
    diagnosis[order] = np.where(known.notna() | (before != after), known, before)
    filled = pd.Series(diagnosis, dtype=object, index=table.index)
    return table.assign(**{sessions.DIAGNOSIS: filled})


def progressions(
    table: pd.DataFrame,
    *,
    horizon: float,
    stages: Mapping[str, int] = STAGES,
    months: pd.Series[float] | None = None,
    where: Path | None = None,
) -> pd.Series[Any]:
    """Return how each session goes on within a horizon.

    A session is compared with the one at its month plus the horizon, else with the last where the
    horizon is after it, else with the one before the horizon and, where this is of the same stage,
    with the one after it. The last session of a participant is unknown. Whoever rises and falls
    from one session to the next, at any time, is unstable in every session.

    Parameters
    ----------
    table
        Sessions, with ``diagnosis``.
    horizon
        In months.
    stages
        Diagnosis -> stage.
    months
        When each session was, by the index of ``table``, where ``session_id`` does not tell it.
    where
        The file, for messages.

    Returns
    -------
    Index of ``table``; ``s``, ``p``, ``r``, ``us``, ``uk``, or NaN where diagnosis or time is
    missing.

    Raises
    ------
    InvalidDataError
        A diagnosis has no stage, a month cannot be told, or a participant has two stages at once.
    """
    path = where or Path("the table of sessions")
    if months is None:
        months = times.of_sessions(table)
        times.refuse_untold(table, months, where=path)
    stage = _stages(table, stages, path)
    known = np.flatnonzero(months.notna() & stage.notna())
    keys = sessions.sessions_of(table)
    when, height = times.rounded(months).to_numpy(), stage.to_numpy()
    ordered = sorted(known, key=lambda i: (keys[i][0], when[i], keys[i][1]))
    found = np.full(len(table), np.nan, dtype=object)
    for _, of_one in groupby(ordered, key=lambda i: keys[i][0]):
        rows = list(of_one)
        for one, other in pairwise(rows):
            if when[one] == when[other] and height[one] != height[other]:
                raise InvalidDataError(
                    "A participant has two stages at one time",
                    where=f"{path}, column {sessions.DIAGNOSIS}",
                    found=listed(" ".join(keys[i]) for i in (one, other)),
                    fix="Keep the session that is right",
                )  # fmt: skip
        found[rows] = _labels(when[rows].tolist(), height[rows].tolist(), horizon)
    return pd.Series(found, index=table.index, dtype=object, name=PROGRESSION)


def _labels(months: list[float], stages: list[float], horizon: float) -> list[str]:
    """Return the labels of one participant, whose sessions are in order."""
    steps = [after - before for before, after in pairwise(stages)]
    if any(step > 0 for step in steps) and any(step < 0 for step in steps):
        return [UNSTABLE] * len(stages)
    labels = []
    for month, stage in zip(months, stages, strict=True):
        target = round(month + horizon, times.DIGITS)
        at = bisect_right(months, target) - 1
        change = stages[at] - stage
        if change == 0 and months[at] < target and at + 1 < len(stages):
            change = stages[at + 1] - stage
        labels.append(PROGRESSING if change > 0 else REGRESSING if change < 0 else STABLE)
    labels[-1] = UNKNOWN
    return labels


def _stages(table: pd.DataFrame, stages: Mapping[str, int], path: Path) -> pd.Series[float]:
    """Return the stage of each session, NaN where the diagnosis is missing.

    Raises
    ------
    InvalidDataError
        A diagnosis has no stage.
    """
    diagnosis = table[sessions.DIAGNOSIS]
    stage_of = {cell: stages.get(str(cell).strip()) for cell in diagnosis.dropna().unique()}
    strange = sorted(cell for cell, stage in stage_of.items() if stage is None)
    if strange:
        who = table[diagnosis.isin(strange)]
        raise InvalidDataError(
            f"The diagnos{'is' if len(strange) == 1 else 'es'} {listed(strange)} "
            f"ha{'s' if len(strange) == 1 else 've'} no stage",
            where=f"{path}, column {sessions.DIAGNOSIS}",
            found=listed(" ".join(key) for key in sessions.sessions_of(who)),
            fix="Give every diagnosis its stage, as in --stages CN=0 MCI=1 AD=2",
        )  # fmt: skip
    return diagnosis.map(stage_of).astype("float64")


def _diagnoses(table: pd.DataFrame, path: Path) -> tuple[pd.Series[Any], Path]:
    """Return the diagnosis of each session, and the table that tells it.

    Raises
    ------
    InvalidDataError
        Nobody has one.
    """
    found = _source(table, path, sessions.DIAGNOSIS)
    at = matching.positions(table, found.table)
    diagnosis = found.table[sessions.DIAGNOSIS].reindex(at).set_axis(table.index)
    if diagnosis.isna().all():
        raise InvalidDataError(
            "No session has a diagnosis", where=f"{found.path}, column {sessions.DIAGNOSIS}",
            fix=f"Fill the column, for the sessions of {path}",
        )  # fmt: skip
    return diagnosis, found.path


def _months(table: pd.DataFrame, config: ProgressionConfig) -> tuple[pd.Series[float], Path]:
    """Return when each session was, and the table that tells it."""
    if config.time_column is None:
        months = times.of_sessions(table)
        times.refuse_untold(table, months, where=config.data_tsv)
        return months, config.data_tsv
    found = _source(table, config.data_tsv, config.time_column)
    at = matching.positions(table, found.table)
    rows = found.table.iloc[np.unique(at[at != matching.NOWHERE])]
    told = times.in_column(rows, config.time_column, config.time_unit, where=found.path)
    return told.reindex(at).set_axis(table.index), found.path


def _source(table: pd.DataFrame, path: Path, column: str) -> Source:
    """Return the table that a column stands in: this one, or the nearest above it.

    Raises
    ------
    MissingInputError
        The column is nowhere.
    """
    found = sessions.source(table, path, [column])
    if found is None:
        raise MissingInputError(
            f"There is no column {column}", where=path,
            found=f"columns {listed(table.columns)}; nor has a {sessions.LABELS} above it",
            fix="Add the column, here or in a labels.tsv above",
        )  # fmt: skip
    return found
