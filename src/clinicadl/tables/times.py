"""When a session was, in months."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from clinicadl.config.summary import TimeUnit
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import tsv
from clinicadl.tables import sessions

_MONTHS_OF = {"months": 1.0, "years": 12.0}
DIGITS = 6
"""After the point of a month: 2.6 seconds, so that 0.1 year and 1.2 months are one time."""


def in_column(table: pd.DataFrame, column: str, unit: TimeUnit, *, where: Path) -> pd.Series[float]:
    """Return what a column tells, in months; NaN where it tells nothing.

    Raises
    ------
    MissingInputError
        There is no such column.
    InvalidDataError
        A cell is no number.
    """
    tsv.check_columns(table, [column], where, "table of sessions")
    return rounded(sessions.numbers(table, column, where=where) * _MONTHS_OF[unit])


def of_sessions(table: pd.DataFrame) -> pd.Series[float]:
    """Return the month that each ``session_id`` tells; NaN where it tells none."""
    month_of = {name: sessions.month(name) for name in set(table[sessions.SESSION])}
    months = [month_of[name] for name in table[sessions.SESSION]]
    return pd.Series(months, index=table.index, dtype="float64")


def refuse_untold(table: pd.DataFrame, months: pd.Series[float], *, where: Path) -> None:
    """Refuse sessions whose ids tell no month.

    Raises
    ------
    InvalidDataError
        There is such a session.
    """
    untold = table[months.isna()]
    if len(untold):
        raise InvalidDataError(
            f"The month of {len(untold)} session{'s' if len(untold) > 1 else ''} cannot be told",
            where=tsv.place(where, [int(row) for row in untold.index], sessions.SESSION),
            found=listed(dict.fromkeys(untold[sessions.SESSION])),
            fix="Name the column that tells it with --time_column, or write ses-M and the month",
        )  # fmt: skip


def rounded(months: pd.Series[float]) -> pd.Series[float]:
    """Return months of which equal times are equal numbers, whatever unit they came in."""
    return pd.Series(np.round(months, DIGITS), index=months.index)
