"""Tables with one row a session: the names of their columns, and who is in them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.data import DEFAULT_DIAGNOSES
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import ids, tsv
from clinicadl.layouts.caps import Session
from clinicadl.layouts.ids import PARTICIPANT as PARTICIPANT
from clinicadl.layouts.ids import SESSION as SESSION
from clinicadl.layouts.ids import month as month

logger = logging.getLogger(__name__)

DIAGNOSIS = "diagnosis"
SEX = "sex"
AGES = ("age", "age_bl")
"""Names that the column of ages may have; the first that is there counts."""

LABELS = "labels.tsv"
"""The table that a missing column is looked for in, in the folders above."""
MOST_PARENTS = 5

_MEANING = "table of sessions"


def read(path: Path, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Return a checked table of sessions, whose cells are text as it was written.

    Ids that bear their prefix are kept to the letter. Other spellings, of ids and of the names of
    their columns, are recognized, and a warning says what was assumed.

    Parameters
    ----------
    path
        Text with ``participant_id``, ``session_id`` and any other columns.
    needs
        Other columns that it must have.

    Returns
    -------
    Index 0, 1, ...; what is missing is NaN; the columns of ids are called as above.

    Raises
    ------
    MissingInputError
        The file cannot be read, or lacks a column.
    InvalidDataError
        It is no such table, an id has another form, or a session comes twice.
    """
    table = tsv.read(path, _MEANING)
    renamed = {
        name: column for column in ids.PREFIX_OF if (name := _spelt(table, column)) is not None
    }
    if renamed:
        logger.warning(
            "%s: %s", path, ", ".join(f"{name} is taken as {to}" for name, to in renamed.items())
        )
        table = table.rename(columns=renamed)
    if SESSION not in table.columns and not table.get(PARTICIPANT, table.index).duplicated().any():
        logger.warning(
            "%s has no column %s and nobody twice: every session is taken as %s",
            path, SESSION, ids.ONLY_SESSION,
        )  # fmt: skip
        table.insert(min(1, len(table.columns)), SESSION, ids.ONLY_SESSION)
    tsv.check_columns(table, (PARTICIPANT, SESSION, *needs), path, _MEANING)
    for column in ids.PREFIX_OF:
        table[column] = _ids(table, column, path)
        tsv.check_ids(table, column, path)
    tsv.refuse_repeated(table, (PARTICIPANT, SESSION), path)
    _refuse_one_month_twice(table, path)
    return table


def _refuse_one_month_twice(table: pd.DataFrame, path: Path) -> None:
    # Few names of sessions stand in many rows: each is read once, and no object is made of a row.
    month_of = {session: month(session) for session in table[SESSION].unique()}
    months = table[SESSION].map(month_of)
    again = pd.DataFrame({PARTICIPANT: table[PARTICIPANT], "month": months}).duplicated(keep=False)
    rows = [int(i) for i in np.flatnonzero(again & months.notna())]
    if rows:
        raise InvalidDataError(
            f"{len(rows)} rows are the same month of a participant in two spellings",
            where=tsv.place(path, rows, SESSION),
            found=listed(" | ".join(key) for key in sessions_of(table.iloc[rows])),
            fix="Keep one row of each",
        )  # fmt: skip


def _spelt(table: pd.DataFrame, column: str) -> str | None:
    """Return the name that a column of ids has in a table that does not call it as we do."""
    if column in table.columns:
        return None
    name_of = {re.sub(r"[\W_]+", "", name).lower(): str(name) for name in table.columns}
    return next((name_of[one] for one in ids.SPELLINGS[column] if one in name_of), None)


def _ids(table: pd.DataFrame, column: str, path: Path) -> pd.Series[Any]:
    """Return a column of ids as BIDS writes them.

    Raises
    ------
    InvalidDataError
        Two spellings in this very column would become one id.
    """
    written = [cell.strip() if isinstance(cell, str) else cell for cell in table[column]]
    id_of = {cell: ids.as_id(cell, column) for cell in written if isinstance(cell, str)}
    changed = {cell: named for cell, named in id_of.items() if cell != named}
    if changed:
        first = next(iter(changed))
        logger.warning(
            "%s: %d spellings of %s are taken as BIDS writes them, as %r for %r",
            path, len(changed), column, changed[first], first,
        )  # fmt: skip
    spelling_of: dict[str, str] = {}
    for cell, named in id_of.items():
        # A session may be written in two ways; people must not become one.
        if spelling_of.setdefault(named, cell) != cell and column == PARTICIPANT:
            rows = [i for i, one in enumerate(written) if one in (cell, spelling_of[named])]
            raise InvalidDataError(
                f"Two spellings of {column} would be one participant",
                where=tsv.place(path, rows, column), found=f"{spelling_of[named]!r}, {cell!r}",
                fix="Write both as sub- and then letters and digits: the same, or different ones",
            )  # fmt: skip
    return pd.Series([id_of.get(cell, cell) for cell in written], dtype=object, index=table.index)


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table of sessions, whole."""
    tsv.write(path, table)


def sessions_of(table: pd.DataFrame) -> list[Session]:
    """Return (participant, session) of each row."""
    # By way of lists: the cells of a column come out of pandas ten times slower one by one.
    columns = (map(str, table[name].tolist()) for name in (PARTICIPANT, SESSION))
    return list(zip(*columns, strict=True))


def by_month(session: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sessions are ordered by: their month, else their letters and numbers.

    Examples
    --------
    >>> sorted(["ses-M12", "ses-M006", "ses-bl", "ses-2", "ses-10"], key=by_month)
    ['ses-bl', 'ses-M006', 'ses-M12', 'ses-2', 'ses-10']
    """
    told = month(session)
    if told is not None:
        # M00 and M000 are one month: the spelling decides last, so that the order is never open.
        return ((0, told, ""), (2, 0, session))
    pieces = re.findall(r"\d+|\D+", session)
    ordered = [(1, int(one), "") if one.isdecimal() else (1, 0, one) for one in pieces]
    return (*ordered, (2, 0, session))


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by participant, then by month."""
    keys = [(participant, by_month(session)) for participant, session in sessions_of(table)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return table.iloc[order].reset_index(drop=True)


def baseline(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first session of each participant, in the order of the table.

    Months are compared as numbers: ``ses-M6`` is before ``ses-M012``.
    """
    first: dict[str, int] = {}
    keys = sessions_of(table)
    for i, (participant, session) in enumerate(keys):
        best = first.get(participant)
        if best is None or by_month(session) < by_month(keys[best][1]):
            first[participant] = i
    return table.iloc[sorted(first.values())].reset_index(drop=True)


def numbers(table: pd.DataFrame, column: str, *, where: Path) -> pd.Series[float]:
    """Return a column as numbers, NaN where a value is missing.

    Parameters
    ----------
    table
        As `read` returns it; of a part of it, the index must tell the rows.
    column
        The column.
    where
        The file, for messages.

    Raises
    ------
    InvalidDataError
        A cell is no finite number.
    """
    values = [number(cell) for cell in table[column]]
    wrong = [i for i, value in enumerate(values) if value is None]
    if wrong:
        cells = table[column].iloc[wrong]
        people = table[PARTICIPANT].iloc[wrong]
        raise InvalidDataError(
            f"The {column} of {len(wrong)} session{'s' if len(wrong) > 1 else ''} is not a number",
            where=tsv.place(where, [int(label) for label in cells.index], column),
            found=listed(f"{cell!r} of {who}" for cell, who in zip(cells, people, strict=True)),
            fix="Correct the value, write n/a, or leave the session out of the table",
        )  # fmt: skip
    return pd.Series(values, index=table.index, dtype="float64", name=column)


def number(cell: object) -> float | None:
    """Return the number, NaN if the value is missing, or nothing if it is no number."""
    if pd.isna(cell):  # type: ignore[call-overload]  # the stubs know no cell of unknown type
        return math.nan
    text = str(cell)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def values_of(people: pd.DataFrame, found: Source, column: str) -> list[object]:
    """Return a column of each participant: of the session at hand, else of the first that has one.

    Parameters
    ----------
    people
        One row a participant.
    found
        The table that the column stands in.
    column
        Its name.

    Returns
    -------
    Text as it is written; NaN where no session of the participant has a value.
    """
    own = dict(zip(sessions_of(found.table), found.table[column], strict=True))
    values = [own.get(key, math.nan) for key in sessions_of(people)]
    lacking = {who for who, value in zip(people[PARTICIPANT], values, strict=True)
               if not isinstance(value, str)}  # fmt: skip
    if not lacking:
        return values
    others = found.table[found.table[PARTICIPANT].isin(lacking) & found.table[column].notna()]
    first = baseline(others)
    value_of = dict(zip(first[PARTICIPANT], first[column], strict=True))
    return [
        value if isinstance(value, str) else value_of.get(who, math.nan)
        for who, value in zip(people[PARTICIPANT], values, strict=True)
    ]


class Source(NamedTuple):
    """The table that a column stands in."""

    path: Path
    table: pd.DataFrame


def source(table: pd.DataFrame, path: Path, columns: Iterable[str]) -> Source | None:
    """Return where these columns stand: the table itself, or the nearest ``labels.tsv`` above it.

    A table that is called ``labels.tsv`` is the nearest itself.
    """
    wanted = set(columns)
    if wanted <= set(table.columns):
        return Source(path, table)
    home = path.parent.resolve()
    above = [folder / LABELS for folder in (home, *home.parents)[:MOST_PARENTS]]
    labels = next((one for one in above if one.is_file()), None)
    if labels is None or labels == home / path.name:
        return None
    found = read(labels)
    return Source(labels, found) if wanted <= set(found.columns) else None


def with_columns(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table with some columns, which may come from the nearest ``labels.tsv`` above it.

    Sessions that this table does not know are left out, with a warning.

    Parameters
    ----------
    table
        What was read from ``path``.
    path
        The table's file; 5 folders above it are searched.
    columns
        The columns to have.

    Raises
    ------
    MissingInputError
        A column is neither here nor there.
    InvalidDataError
        The ``labels.tsv`` is wrong, or knows none of the sessions.
    """
    absent = [column for column in dict.fromkeys(columns) if column not in table.columns]
    if not absent:
        return table
    found = source(table, path, absent)
    if found is None:
        raise MissingInputError(
            f"The {_MEANING} has no column {' and no column '.join(absent)}", where=path,
            found=f"columns {listed(table.columns)}; nor has a {LABELS} in the folders above it",
            fix="Add the column, or name another",
        )  # fmt: skip
    row_of = {key: i for i, key in enumerate(sessions_of(found.table))}
    known = [key in row_of for key in sessions_of(table)]
    joined = table[known].reset_index(drop=True)
    if joined.empty:
        raise InvalidDataError(
            f"The {LABELS} above knows none of the sessions", where=found.path,
            found=f"the sessions of {path}", fix="Add them, or add the column to the table itself",
        )  # fmt: skip
    if not all(known):
        left_out = [" | ".join(key) for key in sessions_of(table) if key not in row_of]
        logger.warning(
            "%s sessions of %s are left out, because %s does not know them: %s",
            len(left_out), path, found.path, listed(left_out),
        )  # fmt: skip
    rows = found.table.iloc[[row_of[key] for key in sessions_of(joined)]]
    return joined.assign(**{column: rows[column].to_numpy() for column in absent})


def keep_diagnoses(
    table: pd.DataFrame, diagnoses: Sequence[str] | None, *, where: Path
) -> pd.DataFrame:
    """Return the sessions of some diagnoses.

    Parameters
    ----------
    table
        As `read` returns it.
    diagnoses
        What is kept; None keeps AD and CN, or everything if the table has no diagnoses.
    where
        The file, for messages.

    Raises
    ------
    InvalidDataError
        Diagnoses are asked for and the table has none, or no session is left.
    """
    if DIAGNOSIS not in table.columns:
        if diagnoses is None:
            return table
        raise InvalidDataError(
            f"The {_MEANING} has no column {DIAGNOSIS}", where=where,
            found=f"columns {listed(table.columns)}", fix="Add the column, or name no diagnoses",
        )  # fmt: skip
    wanted = DEFAULT_DIAGNOSES if diagnoses is None else tuple(diagnoses)
    kept = table[table[DIAGNOSIS].isin(wanted)].reset_index(drop=True)
    if kept.empty:
        present = sorted(table[DIAGNOSIS].dropna().unique())
        raise InvalidDataError(
            f"No session has the diagnosis {' or '.join(wanted)}", where=where,
            found=listed(present) if present else "no diagnosis at all",
            fix="Name the diagnoses to keep with --diagnoses",
        )  # fmt: skip
    return kept
