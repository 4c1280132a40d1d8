"""What the participants of a set are like, a column in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from clinicadl.tables import sessions
from clinicadl.tables.sessions import Source

_MOST_LEVELS = 6
"""A column with more different values than these is not counted value by value."""


class Balance(NamedTuple):
    """What the members of a set are like."""

    name: str
    cells: Mapping[str, str]
    """Column -> its values, in one line."""


def balance(
    sets: Iterable[tuple[str, pd.DataFrame]], found: Source, columns: Iterable[str]
) -> Iterator[Balance]:
    """Yield what the participants of each set are like.

    Parameters
    ----------
    sets
        Name of a set and its sessions.
    found
        Knows the columns.
    columns
        Such as age, sex and site.
    """
    kinds = {column: _is_numeric(found.table[column]) for column in columns}
    for name, table in sets:
        people = sessions.baseline(table)
        cells = {}
        for column, is_numeric in kinds.items():
            values = sessions.values_of(people, found, column)
            cells[column] = _of_numbers(values) if is_numeric else _of_names(values)
        yield Balance(name, {"participants": str(len(people)), **cells})


def _is_numeric(column: pd.Series[str]) -> bool:
    known = column.dropna()
    return all(sessions.number(cell) is not None for cell in known) and known.nunique() > 2


def _of_numbers(values: list[object]) -> str:
    found = [sessions.number(value) if isinstance(value, str) else None for value in values]
    known = np.array([value for value in found if value is not None])
    if not len(known):
        return "not known"
    spread = f" ± {known.std(ddof=1):.1f}" if len(known) > 1 else ""
    unknown = len(found) - len(known)
    more = f"; {unknown} not known" if unknown else ""
    return f"{known.mean():.1f}{spread} ({known.min():g} to {known.max():g}){more}"


def _of_names(values: list[object]) -> str:
    said = pd.Series([value.strip() if isinstance(value, str) else "not known" for value in values])
    counts = said.value_counts().sort_index()
    if len(counts) > _MOST_LEVELS:
        return f"{len(counts)} different"
    return ", ".join(f"{name} {n}" for name, n in counts.items())
