"""Which sessions failed a quality check, by the tables that such checks write."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import tsv
from clinicadl.tables import expressions, matching, sessions, sieve
from clinicadl.tables.sieve import Sieve

logger = logging.getLogger(__name__)

PROBABILITY, PASSED = "pass_probability", "pass"
REASONS = "reasons"
"""The column of a check that tells what is wrong."""
FAILED = "failed the quality check"
"""How the reason begins of a session that is left out."""

COLUMNS = (sessions.PARTICIPANT, sessions.SESSION, PROBABILITY, PASSED)
"""Of the table of a check of registered images."""

_COLUMNS = (PASSED, "qc")
_SAID = {
    "true": True, "1": True, "1.0": True, "pass": True,
    "false": False, "0": False, "0.0": False, "fail": False,
}  # fmt: skip


class Passed(NamedTuple):
    """Sessions that failed no quality check."""

    sieve: Sieve
    n_unknown: int
    """Sessions among them of which a table says nothing."""


def keep_passed(one: Sieve, tables: Sequence[Path], column: str | None) -> Passed:
    """Return the sessions that failed none of the quality checks.

    A session that a table says nothing of is kept.

    Parameters
    ----------
    one
        The sessions so far.
    tables
        One of each check: ids, and a column that tells.
    column
        Its name (default: pass, or qc).

    Raises
    ------
    MissingInputError
        A table cannot be read, or lacks the column.
    InvalidDataError
        A table is wrong, or a cell says neither.
    """
    unknown: set[tuple[str, str]] = set()
    for path in tables:
        table = sessions.read(path)
        verdict = _verdicts(table, path, column)
        places = matching.positions(one.kept, table)
        told = verdict.reindex(places)
        if told.isna().any():
            logger.warning(
                "%s says nothing of %d of %d sessions: they are kept",
                path, int(told.isna().sum()), len(told),
            )  # fmt: skip
        keys = sessions.sessions_of(one.kept)
        unknown |= {key for key, gone in zip(keys, told.isna(), strict=True) if gone}
        one = _without_failed(one, (told == False).to_numpy(), places, table, path)  # noqa: E712
    return Passed(one, len(unknown & {*sessions.sessions_of(one.kept)}))


def _verdicts(table: pd.DataFrame, path: Path, column: str | None) -> pd.Series[bool]:
    """Return what a table says of its rows, without those of which it says nothing.

    Raises
    ------
    InvalidDataError
        A cell says neither.
    """
    name = column or next((name for name in _COLUMNS if name in table.columns), PASSED)
    expressions.refuse_unknown(name, table.columns, where=path, fix=" Name it with --qc_column")
    cells = table[name].dropna().map(lambda cell: str(cell).strip().lower())
    wrong = cells.index[~cells.isin(_SAID)]
    if len(wrong):
        raise InvalidDataError(
            "The quality check says neither pass nor fail",
            where=tsv.place(path, [int(row) for row in wrong], name),
            found=listed(dict.fromkeys(table[name].loc[wrong])),
            fix=f"Write one of {', '.join(_SAID)}",
        )  # fmt: skip
    return cells.map(_SAID)


def _without_failed(
    one: Sieve, failed: np.ndarray, places: np.ndarray, table: pd.DataFrame, path: Path
) -> Sieve:
    """Return the sessions that did not fail, and the others with what the table says of them."""
    said = table[REASONS] if REASONS in table.columns else pd.Series(np.nan, index=table.index)
    why = np.array([
        f"{FAILED} {path.name}" + (f": {said[place]}" if isinstance(said[place], str) else "")
        if has_failed else ""
        for place, has_failed in zip(places, failed, strict=True)
    ], dtype=object)  # fmt: skip
    for reason in sorted({*why} - {""}):
        stays = why != reason
        one, why = sieve.keep(one, stays, reason), why[stays]
    return one
