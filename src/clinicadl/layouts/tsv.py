"""Tables in text files: every cell is text, and a complaint names the row."""

from __future__ import annotations

import codecs
import csv
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import ids
from clinicadl.layouts.files import read_bytes, whole_file

logger = logging.getLogger(__name__)

MISSING = frozenset({"", "n/a", "na", "nan", "null", "#n/a", "<na>"})
"""What stands for a missing value, in lower case and without blanks around it."""

_HEADER_ROWS = 1
_WRITTEN_MISSING = "n/a"
_INDEX_COLUMNS = ("", "Unnamed: 0")
_MARKS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "blanks"}
_UTF8 = "UTF-8"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def read(path: Path, meaning: str, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table whose cells are text as it was written, NaN where a value is missing.

    Tab-separated UTF-8 is read in silence, whatever its line ends, with or without a byte-order
    mark and an unnamed first column (an index). Other separators, encodings, quotes and decimal
    commas are recognized, and a warning says what was assumed.

    Parameters
    ----------
    path
        Text, one header line.
    meaning
        What the table is, for messages.
    needs
        Columns that it must have.

    Returns
    -------
    Index 0, 1, ...: the rows below the header, in their order.

    Raises
    ------
    MissingInputError
        The file cannot be read, or lacks a column.
    InvalidDataError
        It is no such table: not text, no rows, rows of unequal length.
    """
    table = pd.DataFrame(_columns(path, meaning), dtype=object)
    check_columns(table, needs, path, meaning)
    return table


def records(path: Path, meaning: str) -> list[dict[str, object]]:
    """Return the rows of a table by the names of its columns, as `read` does: for small tables.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is no such table.
    """
    columns = _columns(path, meaning)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(path: Path, meaning: str) -> dict[str, list[object]]:
    """Return the cells of a table by column.

    Raises
    ------
    InvalidDataError
        It is no such table: not text, no rows, rows of unequal length.
    """
    text, encoding = _text(path, meaning)
    lines = _lines(text)
    if not lines:
        raise InvalidDataError(f"The {meaning} is empty", where=path, fix="Check how it was made")
    form = _form_of(lines[0])
    header, *rows = _cells(lines, form, path, meaning)
    header = [name.strip() for name in header]
    _check_rows(header, rows, path, meaning)
    if header[0] in _INDEX_COLUMNS:
        header, rows = header[1:], [row[1:] for row in rows]
    _check_names(header, path, meaning)
    decimals = form.mark == ";" and _with_points(rows)
    assumed = [
        *([f"in {encoding}"] if encoding != _UTF8 else []),
        *([f"separated by {_MARKS[form.mark]}"] if form.mark != "\t" else []),
        *(["with decimal commas"] if decimals else []),
    ]
    if assumed:
        logger.warning("%s is read as a table %s", path, ", ".join(assumed))
    value_of = _Values()
    columns = (list(map(value_of.__getitem__, cells)) for cells in zip(*rows, strict=True))
    return dict(zip(header, columns, strict=True))


def check_columns(table: pd.DataFrame, needs: Iterable[str], path: Path, meaning: str) -> None:
    """Refuse a table that lacks a column.

    Raises
    ------
    MissingInputError
        A column is absent.
    """
    absent = [name for name in needs if name not in table.columns]
    if absent:
        raise MissingInputError(
            f"The {meaning} has no column {' and no column '.join(absent)}", where=path,
            found=f"columns {listed(table.columns)}", fix="Add it, or correct its name",
        )  # fmt: skip


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole, tab-separated, with ``n/a`` where a value is missing.

    Raises
    ------
    InvalidDataError
        A cell holds a tab or a line end.
    """
    # A Series knows what is missing in any type: None, NaN, NaT and pandas' own NA.
    columns = [table.iloc[:, i] for i in range(table.shape[1])]
    texts = [
        [
            _WRITTEN_MISSING if gone else str(cell)
            for cell, gone in zip(one, one.isna(), strict=True)
        ]
        for one in columns
    ]
    rows = [[str(name) for name in table.columns], *map(list, zip(*texts, strict=True))]
    text = "".join("\t".join(row) + "\n" for row in rows)
    # Counted in the whole: to look at every cell takes longer than all the rest.
    marks = text.count("\t"), text.count("\n"), text.count("\r")
    if marks != (len(rows) * (len(rows[0]) - 1), len(rows), 0):
        cell = next(cell for row in rows for cell in row if re.search(r"[\t\r\n]", cell))
        raise InvalidDataError(
            "A cell holds a tab or a line end, which a table cannot", where=path,
            found=repr(cell), fix="Write the value in one line, without tabs",
        )  # fmt: skip
    with whole_file(path) as temporary:
        temporary.write_bytes(text.encode())


def is_missing(cell: str) -> bool:
    """Return whether a cell says that its value is missing.

    Examples
    --------
    >>> is_missing(" N/A ")
    True
    >>> is_missing("0")
    False
    """
    return cell.strip().lower() in MISSING


def place(path: Path, positions: Iterable[int], column: str | None = None) -> str:
    """Return where a complaint points: file, rows as a person counts them, column.

    Parameters
    ----------
    path
        The table.
    positions
        Rows below the header, counted from 0.
    column
        The column, where one is meant.

    Examples
    --------
    >>> place(Path("labels.tsv"), [0, 3], "age")
    'labels.tsv, rows 2, 5, column age'
    """
    rows = [position + _HEADER_ROWS + 1 for position in positions]
    text = f"{path}, row{'s' if len(rows) > 1 else ''} {listed(rows)}"
    return f"{text}, column {column}" if column else text


def check_ids(table: pd.DataFrame, column: str, path: Path) -> None:
    """Refuse a cell that is not the column's prefix and then letters and digits.

    Raises
    ------
    InvalidDataError
        A cell is missing or of another form.
    """
    wrong = [i for i, cell in enumerate(table[column]) if not ids.is_id(cell, column)]
    if wrong:
        prefix = ids.PREFIX_OF[column]
        found = dict.fromkeys(
            "no value" if pd.isna(cell) else repr(cell) for cell in table[column].iloc[wrong]
        )
        raise InvalidDataError(
            f"{'This is' if len(wrong) == 1 else f'{len(wrong)} cells are'} no {column}",
            where=place(path, wrong, column), found=listed(found),
            fix=f"Write {prefix} and then letters and digits only, as in {prefix}01",
        )  # fmt: skip


def refuse_repeated(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Refuse two rows that agree in all of these columns.

    Raises
    ------
    InvalidDataError
        A row comes twice.
    """
    again = table.duplicated(list(columns))
    if again.any():
        rows = [i for i, repeated in enumerate(again) if repeated]
        keys = table.iloc[rows][list(columns)].itertuples(index=False)
        raise InvalidDataError(
            f"{len(rows)} row{'s repeat' if len(rows) > 1 else ' repeats'} the "
            f"{' and '.join(columns)} of another",
            where=place(path, rows), found=listed(dict.fromkeys(" | ".join(key) for key in keys)),
            fix="Keep one row of each",
        )  # fmt: skip


class _Form(NamedTuple):
    """How a table is written."""

    mark: str
    quoted: bool


def _text(path: Path, meaning: str) -> tuple[str, str]:
    """Return what a file says, and the encoding that it is in.

    Raises
    ------
    InvalidDataError
        It is no text.
    """
    content = read_bytes(path, meaning)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InvalidDataError(
                f"The {meaning} begins as UTF-16 and does not go on so", where=path,
                found=error.reason, fix="Save it again, as tab-separated text in UTF-8",
            ) from error  # fmt: skip
        # UTF-32 begins in the same way, and is full of zeros.
        if "\0" not in text:
            return text, "UTF-16"
    if b"\0" in content:
        n_lines_above = len(re.findall(b"\r\n|\r|\n", content[: content.index(b"\0")]))
        raise InvalidDataError(
            f"The {meaning} is not a text file", where=f"{path}, row {n_lines_above + 1}",
            found="a byte of value 0", fix="Save it as tab-separated text in UTF-8",
        )  # fmt: skip
    try:
        return content.decode("utf-8-sig"), _UTF8
    except UnicodeDecodeError:
        # Every byte means something in Latin-1: what is told apart is old Western text alone.
        return content.decode("cp1252", errors="replace"), "Windows-1252"


def _lines(text: str) -> list[str]:
    lines = re.split("\r\n|\r|\n", text)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _form_of(header: str) -> _Form:
    """Return the form that a header line shows."""
    marks = [mark for mark in _MARKS if mark in header]
    if "\t" in marks or not marks:
        names = header.split("\t")
        return _Form("\t", all(re.fullmatch(r'\s*".*"\s*', name) for name in names))
    mark = max(marks, key=lambda one: (header.count(one), one != " "))
    if mark == " " and not {*header.split()} & {*ids.PREFIX_OF}:
        # Blanks may be part of the one name that there is.
        return _Form("\t", quoted=False)
    return _Form(mark, quoted=True)


def _cells(lines: list[str], form: _Form, path: Path, meaning: str) -> list[list[str]]:
    """Return the cells of each line.

    Raises
    ------
    InvalidDataError
        A quote is never closed, or a line is longer than any of a table.
    """
    if not form.quoted:
        return [line.split(form.mark) for line in lines]
    reader = csv.reader(lines, delimiter=form.mark, skipinitialspace=form.mark == " ", strict=True)
    try:
        return [[*row] if row else [""] for row in reader]
    except csv.Error as error:
        raise InvalidDataError(
            f"The quotes of the {meaning} are damaged", where=f"{path}, row {reader.line_num}",
            found=error, fix="Save it as tab-separated text, without quotes",
        ) from error  # fmt: skip


def _check_rows(header: list[str], rows: list[list[str]], path: Path, meaning: str) -> None:
    ragged = [i for i, row in enumerate(rows) if len(row) != len(header)]
    if ragged:
        found = "an empty line" if rows[ragged[0]] == [""] else f"{len(rows[ragged[0]])} cells"
        raise InvalidDataError(
            f"A row of the {meaning} has not as many cells as the header",
            where=place(path, ragged), found=f"{found}, {len(header)} column names",
            fix="Give every row one cell a column; a missing value is written n/a",
        )  # fmt: skip
    headers = [
        i
        for i, row in enumerate(rows)
        if row[0].strip() == header[0] and [cell.strip() for cell in row] == header
    ]
    if headers:
        raise InvalidDataError(
            f"A row of the {meaning} repeats the header", where=place(path, headers),
            fix="Take it out: tables were put together with their headers",
        )  # fmt: skip
    if not rows:
        raise InvalidDataError(
            f"The {meaning} has a header and no rows", where=path, fix="Check how it was made"
        )


def _with_points(rows: list[list[str]]) -> bool:
    """Put points for decimal commas where cells are numbers; return whether there were any."""
    found = False
    for row in rows:
        for i, cell in enumerate(row):
            if "," in cell and _DECIMAL_COMMA.fullmatch(cell.strip()):
                row[i], found = cell.replace(",", "."), True
    return found


class _Values(dict[str, object]):
    """Cell -> its value: the same few words and numbers come again and again."""

    def __missing__(self, cell: str) -> object:
        self[cell] = float("nan") if is_missing(cell) else cell
        return self[cell]


def _check_names(header: list[str], path: Path, meaning: str) -> None:
    unnamed = [i for i, name in enumerate(header, start=1) if not name]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if unnamed or repeated:
        what = "has no name" if unnamed else "comes twice"
        raise InvalidDataError(
            f"A column of the {meaning} {what}", where=f"{path}, row 1",
            found=f"column {unnamed[0]}" if unnamed else listed(repeated),
            fix="Give every column a name of its own",
        )  # fmt: skip
