"""Who stays together, and who has a place already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clinicadl.errors import LeakageError, MissingInputError, listed
from clinicadl.layouts import splits
from clinicadl.tables import sessions
from clinicadl.tables.sessions import Source

logger = logging.getLogger(__name__)

Positions = NDArray[np.intp]

FREE = -1
"""The place of whoever has none yet."""
TRAIN_PLACE, APART_PLACE = 0, 1


class Units(NamedTuple):
    """What is set apart whole: a participant, or a group of them."""

    of: Positions
    """Number of the unit of each participant, shape (participants,); the first has number 0."""
    read: tuple[Path, ...] = ()
    """The table that the groups were read from."""

    @property
    def n(self) -> int:
        """Number of units."""
        return int(self.of.max()) + 1

    @property
    def are_groups(self) -> bool:
        """Whether a unit has more than one participant."""
        return self.n < len(self.of)


def units(people: pd.DataFrame, given: Source, column: str | None) -> Units:
    """Return who stays together: those who share a group in any session, and so on from them.

    Parameters
    ----------
    people
        One row a participant.
    given
        The table of their sessions; the column may be in a ``labels.tsv`` above it.
    column
        The column of groups; None makes a unit of everybody.

    Raises
    ------
    MissingInputError
        There is no such column.
    """
    who = people[sessions.PARTICIPANT].tolist()
    if column is None:
        return Units(np.arange(len(who)))
    found = sessions.source(given.table, given.path, [column])
    if found is None:
        raise MissingInputError(
            f"There is no column {column} to group by", where=given.path,
            found=f"columns {listed(given.table.columns)}", fix="Name another with --group_by",
        )  # fmt: skip
    number_of = {one: i for i, one in enumerate(who)}
    rows = found.table[found.table[sessions.PARTICIPANT].isin(number_of)]
    rows = rows[rows[column].notna()]
    groups = pd.factorize(rows[column].astype(str).str.strip())[0]
    members = np.array([number_of[one] for one in rows[sessions.PARTICIPANT]], dtype=np.intp)
    alone = len(who) - len(set(members.tolist()))
    if alone:
        logger.warning(
            "%d of %d participants are in no group of %s: each is one alone",
            alone, len(who), column,
        )  # fmt: skip
    # Participants and groups are the nodes of a graph; whoever is connected stays together.
    n_nodes = len(who) + (int(groups.max()) + 1 if len(groups) else 0)
    edges = coo_array(
        (np.ones(len(members)), (members, len(who) + groups)), shape=(n_nodes, n_nodes)
    )
    labels = connected_components(edges, directed=False)[1][: len(who)]
    numbers = np.unique(labels, return_inverse=True)[1]
    return Units(numbers.astype(np.intp), (found.path,))


def places(
    people: pd.DataFrame, together: Units, around: Sequence[Path], *, subset_name: str, n_folds: int
) -> Positions:
    """Return the place that each participant has in earlier divisions.

    Parameters
    ----------
    people
        One row a participant.
    together
        Whoever stays with somebody who has a place gets the same.
    around
        Folders that `split` wrote (``n_folds`` 0), or `kfold`.
    subset_name
        Name of the part that they set apart.
    n_folds
        Number of folds; 0 for one division.

    Returns
    -------
    Shape (participants,): `FREE`; else `TRAIN_PLACE` or `APART_PLACE`, or the number of the fold.

    Raises
    ------
    MissingInputError
        A folder is no such division.
    LeakageError
        Somebody has two places.
    """
    taken: dict[str, tuple[int, Path]] = {}
    for folder in around:
        for who, place in _of_folder(folder, subset_name, n_folds):
            before = taken.setdefault(who, (place, folder))
            if before[0] != place:
                _refuse([who], before[1], folder)
    who_are = people[sessions.PARTICIPANT].tolist()
    of_unit: dict[int, tuple[int, str]] = {}
    for who, unit in zip(who_are, together.of.tolist(), strict=True):
        if who in taken:
            place, other = of_unit.setdefault(unit, (taken[who][0], who))
            if place != taken[who][0]:
                _refuse([other, who], taken[other][1], taken[who][1])
    return np.array(
        [of_unit.get(unit, (FREE, ""))[0] for unit in together.of.tolist()], dtype=np.intp
    )


def _of_folder(folder: Path, subset_name: str, n_folds: int) -> list[tuple[str, int]]:
    apart = splits.table_name(subset_name, baseline=True)
    if n_folds == 0:
        tables = {folder / apart: APART_PLACE}
        train = folder / splits.table_name(splits.TRAIN, baseline=True)
        # Where everybody was set apart, nobody was left to train on.
        tables |= {train: TRAIN_PLACE} if train.is_file() else {}
    else:
        tables = {splits.split_folder(folder, i) / apart: i for i in range(n_folds)}
    absent = [path for path in tables if not path.is_file()]
    one_more = splits.split_folder(folder, n_folds)
    if absent or (n_folds and one_more.exists()):
        raise MissingInputError(
            "This is no earlier division of the same kind", where=folder,
            found=f"no {absent[0].relative_to(folder)}" if absent else f"a {one_more.name}",
            fix=f"Give a folder of {n_folds or 'one'} division{'s' if n_folds else ''} whose part "
            f"set apart is called {subset_name}",
        )  # fmt: skip
    return [
        (who, place)
        for path, place in tables.items()
        for who in dict.fromkeys(sessions.read(path)[sessions.PARTICIPANT])
    ]


def _refuse(who: Sequence[str], one: Path, other: Path) -> None:
    raise LeakageError(
        f"{listed(who)} {'would have' if len(who) == 1 else 'belong together and have'} "
        "different places in earlier divisions",
        where=f"{one}, {other}",
        fix="Divide one of them again, with --around the other",
        code="contradiction",
    )
