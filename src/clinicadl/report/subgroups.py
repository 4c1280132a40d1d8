"""Who of a data group belongs together: by sex, site, scanner, or a band of age."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.report.covariates import Covariates
from clinicadl.statistics.baselines import Column

N_BANDS = 3
"""Bands with as many images each, into which numbers are cut."""
FEWEST = 5
"""Participants on either side of a comparison."""

_MOST_CODES = 5
"""A column of numbers with at most as many different ones is one of names: sex 1 and 2."""


class Subgroup(NamedTuple):
    """Some rows of a table of predictions, and those that they are compared with."""

    name: str
    others: str
    is_in: NDArray[np.bool_]
    """Shape (rows,)."""
    is_other: NDArray[np.bool_]


def subgroups(covariates: Covariates, column: str, table: pd.DataFrame) -> Iterator[Subgroup]:
    """Yield the subgroups by a column, each to be compared with all others; of two the first.

    Rows whose value is not known are in none.

    Parameters
    ----------
    covariates
        Knows the column.
    column
        Its name.
    table
        Predictions.
    """
    cells = covariates.of(table)[column]
    is_banded = np.issubdtype(cells.dtype, np.number) and _n_values(cells) > _MOST_CODES
    found = _bands(column, cells.astype(np.float64)) if is_banded else _levels(column, cells)
    if not found:
        return
    known = np.any([*found.values()], axis=0)
    names = list(found)
    for name, is_in in found.items():
        others = names[1] if len(names) == 2 else f"not {name}"
        yield Subgroup(name, others, is_in, known & ~is_in)
        if len(names) == 2:
            return


def too_small(one: Subgroup, table: pd.DataFrame, truth: str | None) -> str | None:
    """Return why nothing can be said of a subgroup; None if something can.

    Parameters
    ----------
    one
        The subgroup.
    table
        Predictions.
    truth
        Column of the classes, each of which is needed on both sides; None where there are none.
    """
    for name, rows in ((one.name, table[one.is_in]), (one.others, table[one.is_other])):
        n_people = rows[PARTICIPANT].nunique()
        if n_people < FEWEST:
            return f"{name} has {n_people} participants, and {FEWEST} are needed"
        if truth is not None and set(rows[truth]) != set(table[truth]):
            return f"{name} lacks a class"
    return None


def unknown(covariates: Covariates, column: str, table: pd.DataFrame) -> int:
    """Return how many rows have no value of a column."""
    cells = covariates.of(table)[column]
    if np.issubdtype(cells.dtype, np.number):
        return int(np.isnan(cells.astype(np.float64)).sum())
    return int((cells == "").sum())


def _n_values(cells: Column) -> int:
    numbers = cells.astype(np.float64)
    return len(np.unique(numbers[~np.isnan(numbers)]))


def _bands(column: str, cells: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    edges = np.unique(np.nanquantile(cells, np.arange(1, N_BANDS) / N_BANDS))
    limits = [-np.inf, *edges, np.inf]
    found = {}
    for low, high in pairwise(limits):
        low_text, high_text = (f"{edge:.4g}" for edge in (low, high))
        name = (
            f"{column} below {high_text}" if low == -np.inf
            else f"{column} from {low_text}" if high == np.inf
            else f"{column} {low_text} to {high_text}"
        )  # fmt: skip
        found[name] = (cells >= low) & (cells < high)
    return found


def _levels(column: str, cells: Column) -> dict[str, NDArray[np.bool_]]:
    if np.issubdtype(cells.dtype, np.number):
        numbers = cells.astype(np.float64)
        return {
            f"{column} {level:g}": numbers == level
            for level in np.unique(numbers[~np.isnan(numbers)])
        }
    return {f"{column} {level}": cells == level for level in np.unique(cells[cells != ""])}
