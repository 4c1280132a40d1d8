"""Tab-separated tables: every cell is text, and a complaint names the row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts.files import read_bytes, whole_file

MISSING = frozenset({"", "n/a", "na", "nan", "null", "#n/a", "<na>"})
"""What stands for a missing value, in lower case and without blanks around it."""

_HEADER_ROWS = 1
_WRITTEN_MISSING = "n/a"
_INDEX_COLUMNS = ("", "Unnamed: 0")
_OTHER_MARKS = {",": "commas", ";": "semicolons"}


def read(path: Path, meaning: str, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table whose cells are text as it was written, NaN where a value is missing.

    A byte-order mark, any kind of line end and an unnamed first column (an index) are no matter.

    Parameters
    ----------
    path
        Tab-separated UTF-8 text, one header line.
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
        It is no such table: not text, another separator, no rows, rows of unequal length.
    """
    lines = _lines(path, meaning)
    header = _header(lines[0], path, meaning)
    rows = [line.split("\t") for line in lines[_HEADER_ROWS:]]
    ragged = [i for i, row in enumerate(rows) if len(row) != len(header)]
    if ragged:
        found = "an empty line" if rows[ragged[0]] == [""] else f"{len(rows[ragged[0]])} cells"
        raise InvalidDataError(
            f"A row of the {meaning} has not as many cells as the header",
            where=place(path, ragged), found=f"{found}, {len(header)} column names",
            fix="Give every row one cell a column; a missing value is written n/a",
        )  # fmt: skip
    if not rows:
        raise InvalidDataError(
            f"The {meaning} has a header and no rows", where=path, fix="Check how it was made"
        )
    if header[0] in _INDEX_COLUMNS:
        header, rows = header[1:], [row[1:] for row in rows]
    _check_columns(header, needs, path, meaning)
    cells = [[float("nan") if is_missing(cell) else cell for cell in row] for row in rows]
    return pd.DataFrame(cells, columns=header, dtype=object)


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
    for row in rows:
        for cell in row:
            if re.search(r"[\t\r\n]", cell):
                raise InvalidDataError(
                    "A cell holds a tab or a line end, which a table cannot", where=path,
                    found=repr(cell), fix="Write the value in one line, without tabs",
                )  # fmt: skip
    with whole_file(path) as temporary:
        temporary.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())


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


def check_ids(table: pd.DataFrame, column: str, prefix: str, path: Path) -> None:
    """Refuse a cell that is not the prefix and then letters and digits.

    Raises
    ------
    InvalidDataError
        A cell is missing or of another form.
    """
    form = re.compile(re.escape(prefix) + "[A-Za-z0-9]+")
    wrong = [
        i for i, cell in enumerate(table[column])
        if not isinstance(cell, str) or not form.fullmatch(cell)
    ]  # fmt: skip
    if wrong:
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


def _lines(path: Path, meaning: str) -> list[str]:
    content = read_bytes(path, meaning)
    if b"\0" in content:
        raise InvalidDataError(
            f"The {meaning} is not a text file", where=_row_at(path, content, content.index(b"\0")),
            found="a byte of value 0", fix="Save it as tab-separated text in UTF-8",
        )  # fmt: skip
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDataError(
            f"The {meaning} is not UTF-8 text", where=_row_at(path, content, error.start),
            found=f"the byte 0x{content[error.start]:02x}",
            fix="Save it as tab-separated text in UTF-8",
        ) from error  # fmt: skip
    lines = re.split("\r\n|\r|\n", text)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InvalidDataError(f"The {meaning} is empty", where=path, fix="Check how it was made")
    return lines


def _row_at(path: Path, content: bytes, position: int) -> str:
    n_lines_above = len(re.findall(b"\r\n|\r|\n", content[:position]))
    return f"{path}, row {n_lines_above + 1}"


def _header(line: str, path: Path, meaning: str) -> list[str]:
    if "\t" not in line:
        for mark, name in _OTHER_MARKS.items():
            if mark in line:
                raise InvalidDataError(
                    f"The {meaning} is separated by {name}, not by tabs", where=f"{path}, row 1",
                    found=line if len(line) <= 80 else f"{line[:80]}...",
                    fix="Save it as tab-separated text",
                )  # fmt: skip
    return [name.strip() for name in line.split("\t")]


def _check_columns(header: list[str], needs: Sequence[str], path: Path, meaning: str) -> None:
    unnamed = [i for i, name in enumerate(header, start=1) if not name]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if unnamed or repeated:
        what = "has no name" if unnamed else "comes twice"
        raise InvalidDataError(
            f"A column of the {meaning} {what}", where=f"{path}, row 1",
            found=f"column {unnamed[0]}" if unnamed else listed(repeated),
            fix="Give every column a name of its own",
        )  # fmt: skip
    absent = [name for name in needs if name not in header]
    if absent:
        is_quoted = header[0].startswith(('"', "'"))
        raise MissingInputError(
            f"The {meaning} has no column {' and no column '.join(absent)}", where=path,
            found=f"columns {listed(header)}",
            fix="Write no quotes around cells" if is_quoted else "Add it, or correct its name",
        )  # fmt: skip
