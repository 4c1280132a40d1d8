"""Tables of participants and sessions: read, checked, written."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clinicadl.config.data import DEFAULT_DIAGNOSES
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import read_bytes, whole_file

PARTICIPANT, SESSION = "participant_id", "session_id"
DIAGNOSIS, SEX = "diagnosis", "sex"
AGES = ("age", "age_bl")
LABELS = "labels.tsv"
MISSING = {"", "n/a", "N/A", "NA", "NaN", "nan"}

_IDS = {PARTICIPANT: re.compile(r"sub-[A-Za-z0-9]+"), SESSION: re.compile(r"ses-[A-Za-z0-9]+")}
_DEPTH = 5


def read(path: Path, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table with one row a session; every cell is text, what is missing is NaN.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is not such a table.
    """
    header, rows = _cells(path)
    for column in (PARTICIPANT, SESSION, *needs):
        if column not in header:
            raise InvalidDataError(
                f"The table has no column {column}", where=path, found=f"columns {listed(header)}"
            )
    if not rows:
        raise InvalidDataError("The table has no row", where=path)
    table = pd.DataFrame(rows, columns=header, dtype="object")
    table = table.drop(columns=[name for name in header if not name or name.startswith("Unnamed")])
    table = table.map(lambda cell: cell.strip()).replace(list(MISSING), float("nan"))
    _check_ids(table, path)
    return table


def _cells(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = read_bytes(path, "table").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDataError("The table is not UTF-8 text", where=path) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise InvalidDataError("The table is empty", where=path)
    for mark, name in ((",", "commas"), (";", "semicolons")):
        if "\t" not in lines[0] and mark in lines[0]:
            raise InvalidDataError(
                f"The table is separated by {name}", where=path, fix="Separate it by tabs"
            )
    rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    header = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InvalidDataError(
                "A row has another number of cells than the header",
                where=f"{path}, row {number}", found=f"{len(row)}, not {len(header)}",
            )  # fmt: skip
    return header, rows[1:]


def _check_ids(table: pd.DataFrame, path: Path) -> None:
    for column, form in _IDS.items():
        for row, value in enumerate(table[column], start=2):
            if not isinstance(value, str) or not form.fullmatch(value):
                raise InvalidDataError(
                    f"This is not a {column}", where=f"{path}, row {row}", found=value,
                    fix=f"It looks like {form.pattern[:4]}01",
                )  # fmt: skip
    twice = table[table.duplicated([PARTICIPANT, SESSION])]
    if len(twice):
        where = ", ".join(f"row {row + 2}" for row in twice.index[:10])
        raise InvalidDataError(
            f"{len(twice)} rows repeat a participant and session", where=f"{path}, {where}",
            found=listed(" | ".join(key) for key in sessions_of(twice)), fix="Keep one of them",
        )  # fmt: skip


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def sessions_of(table: pd.DataFrame) -> list[Session]:
    """Return the (participant, session) of each row."""
    return list(zip(table[PARTICIPANT].astype(str), table[SESSION].astype(str), strict=True))


def month(session: str) -> tuple[int, str]:
    """Return what sessions are ordered by: their number, then their name."""
    digits = re.findall(r"\d+", session)
    return (int(digits[-1]) if digits else -1, session)


def baseline(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first session of each participant, months compared as numbers."""
    ordered = table.sort_values(SESSION, key=lambda column: column.map(month), kind="stable")
    return ordered.drop_duplicates(PARTICIPANT).sort_index().reset_index(drop=True)


def numbers(table: pd.DataFrame, column: str, *, where: Path) -> pd.Series[float]:
    """Return a column as numbers, NaN where a cell is missing.

    Raises
    ------
    InvalidDataError
        A cell is no number; its row is named.
    """
    values = pd.to_numeric(table[column], errors="coerce")
    wrong = table[values.isna() & table[column].notna()]
    if len(wrong):
        raise InvalidDataError(
            f"{column} is not a number", where=f"{where}, row {wrong.index[0] + 2}, column {column}",
            found=repr(wrong[column].iloc[0]),
            fix="Correct the value, or leave the session out of the table",
        )  # fmt: skip
    return values.astype(float)


def with_columns(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table with some columns, taken from the nearest labels.tsv above where absent.

    Raises
    ------
    MissingInputError
        A column is neither here nor there.
    """
    absent = [column for column in columns if column not in table.columns]
    if not absent:
        return table
    for folder in list(path.resolve().parents)[: _DEPTH + 1]:
        labels = folder / LABELS
        if labels.exists() and labels != path.resolve():
            source = read(labels)
            if set(absent) <= set(source.columns):
                return table.merge(source[[PARTICIPANT, SESSION, *absent]], on=[PARTICIPANT, SESSION])
    raise MissingInputError(
        f"The table has no column {listed(absent)}, nor has a {LABELS} above it", where=path,
        found=f"columns {listed(table.columns)}", fix="Add the column, or name another",
    )  # fmt: skip


def keep_diagnoses(
    table: pd.DataFrame, diagnoses: Sequence[str] | None, *, where: Path
) -> pd.DataFrame:
    """Return the rows with one of the diagnoses.

    Raises
    ------
    InvalidDataError
        There is no such column although diagnoses were named, or no row is left.
    """
    if DIAGNOSIS not in table.columns:
        if diagnoses is None:
            return table
        raise InvalidDataError(
            "The table has no column diagnosis", where=where, fix="Leave --diagnoses out"
        )
    wanted = DEFAULT_DIAGNOSES if diagnoses is None else diagnoses
    kept = table[table[DIAGNOSIS].isin(wanted)]
    if kept.empty:
        raise InvalidDataError(
            f"No row has one of the diagnoses {listed(wanted)}", where=where,
            found=listed(sorted(table[DIAGNOSIS].dropna().unique())), fix="Name others with --diagnoses",
        )  # fmt: skip
    return kept.reset_index(drop=True)
