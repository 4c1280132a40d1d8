"""What is known of the sessions of some tables, from the tables themselves or a merged one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.names import nearest
from clinicadl.config.summary import AnalysisConfig
from clinicadl.errors import MissingInputError, UsageError
from clinicadl.tables import matching, sessions, times
from clinicadl.tables.sessions import Source

AGE, SEX, MMSE, CDR = "age", "sex", "MMSE", "CDR"
SET, KNOWN, MONTH = "set", "known", "month"

_SEX_OF = {"m": "M", "male": "M", "f": "F", "female": "F"}

Cells = NDArray[Any]


class Described(NamedTuple):
    """Sessions of one or more sets, sorted by set, participant and time; the parts share an index.

    A column of the tables is in ``numbers`` or in ``words``, by what it holds.
    """

    rows: pd.DataFrame
    """``set``, ``participant_id``, ``session_id``, ``month`` (or NaN), and ``known``: whether the
    merged table tells the diagnosis of the session, or nothing of it at all."""
    numbers: pd.DataFrame
    """Age, MMSE and CDR, then variables; NaN where one is missing."""
    words: pd.DataFrame
    """Sex (M, F), the columns of groups, then variables; NaN where one is missing."""
    read: tuple[Path, ...]


class _Set(NamedTuple):
    """A table of sessions, and where its sessions stand in the merged one."""

    given: Source
    merged: Source
    at: NDArray[np.intp]

    @property
    def ids(self) -> pd.DataFrame:
        return self.given.table[[sessions.PARTICIPANT, sessions.SESSION]]

    def columns(self) -> list[str]:
        return [*dict.fromkeys([*self.merged.table.columns, *self.given.table.columns])]


def described(table_of: Mapping[str, Path], config: AnalysisConfig) -> Described:
    """Return what is known of the sessions of some sets.

    Parameters
    ----------
    table_of
        Set -> table.
    config
        The merged table, and the columns that are wanted.

    Raises
    ------
    MissingInputError
        A table or a column is absent.
    InvalidDataError
        A table is wrong, or an age or a score is no number.
    UsageError
        Two columns would have one name.
    """
    merged = Source(config.merged_tsv, sessions.read(config.merged_tsv))
    sets: dict[str, _Set] = {}
    for name, path in table_of.items():
        table = merged.table if path == merged.path else sessions.read(path)
        sets[name] = _Set(Source(path, table), merged, matching.positions(table, merged.table))
    every = [*sets.values()]
    columns = [*dict.fromkeys(column for one in every for column in one.columns())]
    role_of = _roles(columns)
    _refuse_clashes(config, role_of)
    rows = pd.concat([_rows(name, one, config) for name, one in sets.items()], ignore_index=True)
    numbers = {
        role: np.concatenate([_numbers(one, role_of[role]) for one in every])
        for role in (AGE, MMSE, CDR)
    }
    words: dict[str, Cells] = {SEX: np.concatenate([_sexes(one, role_of[SEX]) for one in every])}
    read = [merged.path, *table_of.values()]
    # A diagnosis that is asked for is looked at even where it makes no groups.
    asked = [sessions.DIAGNOSIS] if config.diagnoses else []
    for column in dict.fromkeys([*config.group_by, *asked]):
        if column not in (SEX, role_of[SEX]):
            found = [_grouping(one, column) for one in every]
            words[column] = np.concatenate([cells for cells, _ in found])
            read += [path for _, path in found]
    for column in config.variables:
        if column in words or column in role_of.values():
            continue
        cells = np.concatenate([_cells(one, _existing(columns, column, config)) for one in every])
        values = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(float)
        is_number = np.isfinite(values) | pd.isna(cells)
        if column in config.categorical or not is_number.all():
            words[column] = cells
        else:
            numbers[column] = values
    order = _order(rows, has_clock=config.time_column is not None)
    return Described(
        rows.iloc[order].reset_index(drop=True),
        pd.DataFrame(numbers).iloc[order].reset_index(drop=True),
        pd.DataFrame(words, dtype=object).iloc[order].reset_index(drop=True),
        tuple(dict.fromkeys(read)),
    )


def firsts(rows: pd.DataFrame) -> pd.Index[int]:
    """Return the labels of one row a participant: the first whose diagnosis is known, or the first.

    Parameters
    ----------
    rows
        Those of `Described.rows`, or some, of one set.
    """
    order = np.argsort(~rows[KNOWN].to_numpy(dtype=bool), kind="stable")
    return rows.iloc[order].drop_duplicates(sessions.PARTICIPANT).index.sort_values()


def _rows(name: str, one: _Set, config: AnalysisConfig) -> pd.DataFrame:
    """Return who, when, and whether the merged table tells a diagnosis."""
    if config.time_column is None:
        months = times.of_sessions(one.ids).to_numpy()
    else:
        _existing(one.columns(), config.time_column, config)
        months = _spread(one, config.time_column, lambda part: times.in_column(
            part.table, str(config.time_column), config.time_unit, where=part.path
        ))  # fmt: skip
    known = np.ones(len(one.at), dtype=bool)
    if sessions.DIAGNOSIS in one.merged.table.columns:
        there = one.at != matching.NOWHERE
        told = one.merged.table[sessions.DIAGNOSIS].notna().to_numpy()
        known[there] = told[one.at[there]]
    rows = one.ids.reset_index(drop=True)
    rows[SET], rows[MONTH], rows[KNOWN] = name, months, known
    return rows


def _order(rows: pd.DataFrame, *, has_clock: bool) -> list[int]:
    """Return the order by set, participant and time; what has no time comes last."""
    places = {name: i for i, name in enumerate(dict.fromkeys(rows[SET]))}
    moments = rows[MONTH].fillna(np.inf) if has_clock else np.zeros(len(rows))
    keys = [
        (places[name], who, moment, sessions.by_month(session))
        for name, (who, session), moment in zip(
            rows[SET], sessions.sessions_of(rows), moments, strict=True
        )
    ]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _roles(columns: Sequence[str]) -> dict[str, str | None]:
    """Return which columns tell age, sex, MMSE and CDR; nothing where none does."""
    return {
        AGE: _worded(columns, sessions.AGES, r"(?<![A-Za-z])age(?![A-Za-z])"),
        SEX: _worded(columns, (sessions.SEX,), r"(?<![A-Za-z])sex(?![A-Za-z])"),
        MMSE: _worded(columns, (), r"mms"),
        CDR: _worded(columns, ("cdr_global",), r"^cdr$"),
    }


def _worded(columns: Sequence[str], names: Sequence[str], pattern: str) -> str | None:
    """Return the first of some names that is a column, else the shortest column of a pattern."""
    exact = next((name for name in names if name in columns), None)
    fitting = [name for name in columns if re.search(pattern, name, re.IGNORECASE)]
    return exact or min(fitting, key=lambda name: (len(name), name), default=None)


def _refuse_clashes(config: AnalysisConfig, role_of: Mapping[str, str | None]) -> None:
    """Refuse a variable that is called like a figure that another column gives.

    Raises
    ------
    UsageError
        There is such a variable.
    """
    for name in config.variables:
        if name in role_of and role_of[name] not in (name, None):
            raise UsageError(
                f"The variable {name} would be written under the name of another",
                where="--variables", found=f"{name} is read from the column {role_of[name]}",
                fix="Rename the column",
            )  # fmt: skip


def _existing(columns: Iterable[str], column: str, config: AnalysisConfig) -> str:
    """Return the name of a column that must be there.

    Raises
    ------
    MissingInputError
        It is not.
    """
    if column not in columns:
        raise MissingInputError(
            f"There is no column {column}", where=f"{config.data_tsv} and {config.merged_tsv}",
            fix=f"The nearest is {', '.join(nearest(column, columns))}",
        )  # fmt: skip
    return column


def _grouping(one: _Set, column: str) -> tuple[Cells, Path]:
    """Return a column of groups, of the table itself, a labels.tsv above it, or the merged one.

    Raises
    ------
    MissingInputError
        The column is nowhere.
    """
    found = sessions.source(one.given.table, one.given.path, [column])
    if found is None:
        if column not in one.merged.table.columns:
            raise MissingInputError(
                f"There is no column {column}",
                where=f"{one.given.path} and {one.merged.path}",
                fix=f"The nearest is {', '.join(nearest(column, one.columns()))}",
            )
        return _stripped(_at(one.merged.table[column], one.at)), one.merged.path
    at = matching.positions(one.given.table, found.table)
    return _stripped(_at(found.table[column], at)), found.path


def _cells(one: _Set, column: str) -> Cells:
    """Return a column of the merged table, completed by the table itself."""
    cells = np.full(len(one.at), np.nan, dtype=object)
    for table, at in ((one.given.table, np.arange(len(one.at))), (one.merged.table, one.at)):
        if column in table.columns:
            there = _at(table[column], at)
            cells = np.where(pd.isna(there), cells, there)
    return _stripped(cells)


def _at(column: pd.Series[Any], at: NDArray[np.intp]) -> Cells:
    return column.reset_index(drop=True).reindex(at).to_numpy(dtype=object)


def _stripped(cells: Cells) -> Cells:
    return np.array([cell.strip() if isinstance(cell, str) else np.nan for cell in cells], object)


def _numbers(one: _Set, column: str | None) -> NDArray[np.float64]:
    """Return a column of the merged table, completed by the table itself, as numbers."""
    if column is None:
        return np.full(len(one.at), np.nan)
    return _spread(one, column, lambda part: sessions.numbers(part.table, column, where=part.path))


def _spread(
    one: _Set, column: str, parse: Callable[[Source], pd.Series[float]]
) -> NDArray[np.float64]:
    """Return what the merged table says of each session, else what the table itself says."""
    values = np.full(len(one.at), np.nan)
    if column in one.given.table.columns:
        values = parse(one.given).to_numpy(float)
    if column in one.merged.table.columns:
        # The rows of other sessions may hold anything.
        rows = one.merged.table.iloc[np.unique(one.at[one.at != matching.NOWHERE])]
        told = parse(Source(one.merged.path, rows)).reindex(one.at).to_numpy(float)
        values = np.where(np.isnan(told), values, told)
    return values


def _sexes(one: _Set, column: str | None) -> Cells:
    """Return the sex of each participant as every row of theirs tells it, NaN where rows differ."""
    if column is None:
        return np.full(len(one.at), np.nan, dtype=object)
    told = [
        pd.DataFrame(
            {"who": table[sessions.PARTICIPANT], "sex": [_sex(cell) for cell in table[column]]}
        )
        for table in (one.given.table, one.merged.table)
        if column in table.columns
    ]
    pairs = pd.concat(told).dropna().drop_duplicates()
    certain = pairs.drop_duplicates("who", keep=False).set_index("who")["sex"]
    return certain.reindex(one.ids[sessions.PARTICIPANT]).to_numpy(dtype=object)


def _sex(cell: object) -> str | None:
    return _SEX_OF.get(cell.strip().lower()) if isinstance(cell, str) else None
