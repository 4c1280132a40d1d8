"""The classes of participants that keep their shares when participants are set apart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.errors import MissingInputError, listed
from clinicadl.tables import sessions
from clinicadl.tables.sessions import Source

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""The class of those whose class is not known."""


class Strata(NamedTuple):
    """The class of each participant."""

    names: tuple[str, ...]
    """Names of the classes, sorted; one class without a name if there is no stratification."""
    code: NDArray[np.intp]
    """Position of the class in ``names``, shape (participants,)."""
    columns: tuple[str, ...]
    """The columns that make the classes."""
    read: tuple[Path, ...]
    """The tables that they were read from."""

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Number of participants of each class."""
        return np.bincount(self.code, minlength=len(self.names))


def strata(
    people: pd.DataFrame, given: Source, columns: Sequence[str], *, optional: Sequence[str] = ()
) -> Strata:
    """Return the classes that some columns make together.

    Parameters
    ----------
    people
        One row a participant.
    given
        The table that they come from, as it was read; a column may be in a ``labels.tsv`` above it.
    columns
        The columns; none puts everybody in one class.
    optional
        Those of them that are left out, with a warning, where there is no such column.

    Raises
    ------
    MissingInputError
        A column that is not optional is nowhere.
    """
    used: list[str] = []
    read: list[Path] = []
    values: list[list[str]] = []
    for column in dict.fromkeys(columns):
        found = sessions.source(given.table, given.path, [column])
        if found is None and column in optional:
            logger.warning(
                "%s has no column %s: the participants are not stratified by it", given.path, column
            )
            continue
        if found is None:
            raise MissingInputError(
                f"There is no column {column} to stratify by", where=given.path,
                found=f"columns {listed(given.table.columns)}",
                fix="Add the column, or name another with --stratify_by",
            )  # fmt: skip
        used.append(column)
        read.append(found.path)
        values.append(_values(people, found, column))
    keys = [", ".join(parts) for parts in zip(*values, strict=True)] or [""] * len(people)
    names = sorted(set(keys))
    code_of = {name: i for i, name in enumerate(names)}
    code = np.array([code_of[key] for key in keys], dtype=np.intp)
    return Strata(tuple(names), code, tuple(used), tuple(dict.fromkeys(read)))


def _values(people: pd.DataFrame, found: Source, column: str) -> list[str]:
    values = sessions.values_of(people, found, column)
    missing = [who for who, value in zip(people[sessions.PARTICIPANT], values, strict=True)
               if not isinstance(value, str)]  # fmt: skip
    if missing:
        logger.warning(
            "%d participants without a %s in %s are a class of their own, %s: %s",
            len(missing), column, found.path, UNKNOWN, listed(missing),
        )  # fmt: skip
    return [value.strip() if isinstance(value, str) else UNKNOWN for value in values]


def without_singles(one: Strata) -> Strata:
    """Return the classes with each class of one participant merged into the first larger one."""
    sizes = one.sizes
    alone = [i for i, size in enumerate(sizes) if size == 1]
    if not alone or len(one.names) == 1:
        return one
    host = next((i for i, size in enumerate(sizes) if size > 1), 0)
    logger.warning(
        "%s of one participant %s merged into the class %s: %s",
        "Classes" if len(alone) > 1 else "A class", "are" if len(alone) > 1 else "is",
        one.names[host] or "without a name", listed(one.names[i] for i in alone),
    )  # fmt: skip
    merged = np.where(np.isin(one.code, alone), host, one.code)
    kept, code = np.unique(merged, return_inverse=True)
    return one._replace(names=tuple(one.names[i] for i in kept), code=code.astype(np.intp))
