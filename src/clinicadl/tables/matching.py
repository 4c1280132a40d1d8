"""Which session of one table is which of another."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.tables import sessions

NOWHERE = -1
"""Position of a session that the other table does not know."""


def positions(table: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.intp]:
    """Return where each session of ``table`` stands in ``other``, or `NOWHERE`.

    Ids are compared to the letter; a session that is not found so is looked for by its month, so
    that ``ses-M00`` and ``ses-M000`` are one. Time and memory are linear in both.

    Returns
    -------
    Positions in ``other``, shape (rows of ``table``,).
    """
    there = sessions.sessions_of(other)
    exact = {key: i for i, key in enumerate(there)}
    by_month: dict[tuple[str, int], int] = {}
    # Of two spellings of one month the first in the alphabet counts, not the first in the file.
    for key, i in sorted(exact.items()):
        told = sessions.month(key[1])
        if told is not None:
            by_month.setdefault((key[0], told), i)
    found = []
    for key in sessions.sessions_of(table):
        told = sessions.month(key[1])
        near = NOWHERE if told is None else by_month.get((key[0], told), NOWHERE)
        found.append(exact.get(key, near))
    return np.array(found, dtype=np.intp)
