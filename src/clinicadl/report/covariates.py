"""What a table says of age, sex and site of those whom models judge."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.compare import CompareConfig
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.statistics.baselines import Column
from clinicadl.tables import sessions
from clinicadl.tables.sessions import Source

USUAL = ("age", "sex", "site")
"""Columns that are taken where none are named."""


class Covariates(NamedTuple):
    """Some columns of a table of sessions."""

    columns: tuple[str, ...]
    """The confounds."""
    subgroups: tuple[str, ...]
    numeric: frozenset[str]
    """Columns that hold numbers alone; the others hold names."""
    found: Source

    def of(self, table: pd.DataFrame) -> dict[str, Column]:
        """Return the columns of the rows of a table of predictions.

        Confounds and those of subgroups, of the session of a row; where it has no value, of the
        first session of the participant that has one.
        """
        wanted = dict.fromkeys((*self.columns, *self.subgroups))
        return {column: self._column(table, column) for column in wanted}

    def _column(self, table: pd.DataFrame, column: str) -> Column:
        cells = sessions.values_of(table, self.found, column)
        if column in self.numeric:
            return np.array([sessions.number(cell) for cell in cells], dtype=np.float64)
        return np.array([cell.strip() if isinstance(cell, str) else "" for cell in cells])

    def lacking(self, table: pd.DataFrame) -> dict[str, int]:
        """Return for how many rows of a table of predictions each column is not known."""
        return {
            column: int((np.isnan(cells) if column in self.numeric else cells == "").sum())
            for column, cells in self.of(table).items()
            if column in self.columns
        }


def read_covariates(config: CompareConfig, labels: tuple[str, ...]) -> Covariates | None:
    """Return what the table of covariates says; None where no table is named.

    Parameters
    ----------
    config
        Names the table, and perhaps columns.
    labels
        What the models have learnt.

    Raises
    ------
    MissingInputError
        The table, or a column, is absent.
    UsageError
        A column is what the models have learnt.
    """
    path = config.covariates_tsv
    if path is None:
        return None
    table = sessions.read(path, needs=(*config.confounds, *config.subgroups))
    columns = config.confounds or tuple(
        name for name in USUAL if name in table.columns and name not in labels
    )
    if not columns and not config.subgroups:
        raise MissingInputError(
            "The table of covariates has none of age, sex and site", where=path,
            found=f"columns {listed(table.columns)}", fix="Name its columns with --confounds",
        )  # fmt: skip
    learnt = [column for column in columns if column in labels]
    if learnt:
        raise UsageError(
            "A confound is what the models have learnt", where="--confounds", found=listed(learnt),
            fix="Name other columns: it would tell itself",
        )  # fmt: skip
    numeric = {
        column
        for column in (*columns, *config.subgroups)
        if all(sessions.number(cell) is not None for cell in table[column])
    }
    return Covariates(
        tuple(dict.fromkeys(columns)),
        tuple(dict.fromkeys(config.subgroups)),
        frozenset(numeric),
        Source(path, table),
    )


def missing_of(covariates: Covariates, table: pd.DataFrame, who: str, where: Path) -> list[str]:
    """Return what a reader must know of values that are missing.

    Parameters
    ----------
    covariates
        The columns.
    table
        Predictions.
    who
        Whose they are, for messages.
    where
        The table of covariates.

    Raises
    ------
    InvalidDataError
        A column is known of nobody.
    """
    lacking = covariates.lacking(table)
    empty = [column for column, n in lacking.items() if n == len(table)]
    if empty:
        raise InvalidDataError(
            f"The table of covariates knows nothing of {who}", where=f"{where}, {listed(empty)}",
            found=listed(table[PARTICIPANT].unique()), fix="Add their rows",
        )  # fmt: skip
    return [
        f"{column} is missing for {n} of {len(table)} images of {who}: they are taken as the mean "
        "of train, or as of no known name"
        for column, n in lacking.items()
        if n
    ]
