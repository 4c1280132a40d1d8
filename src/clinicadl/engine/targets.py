"""What the network should say of each row of a table."""

from __future__ import annotations

from itertools import repeat

import pandas as pd

from clinicadl.errors import InvalidDataError, listed
from clinicadl.tables import sessions
from clinicadl.tasks.base import Target, Task


def targets_of(task: Task, table: pd.DataFrame, *, where: object = None) -> list[Target]:
    """Return the target of each row of a table that has the labels of a task.

    Parameters
    ----------
    task
        What is learnt.
    table
        Identifiers and labels.
    where
        The table, for the message.

    Raises
    ------
    InvalidDataError
        A label is missing or cannot be learnt; the sessions are named.
    """
    found: list[Target] = []
    wrong: dict[str, InvalidDataError] = {}
    rows = table[[*task.labels]].itertuples(index=False, name=None) if task.labels else repeat(())
    for key, cells in zip(sessions.sessions_of(table), rows, strict=False):
        try:
            found.append(task.target(cells))
        except InvalidDataError as error:
            wrong[" | ".join(key)] = error
    if wrong:
        first = next(iter(wrong.values()))
        raise InvalidDataError(
            first.what, where=where, fix=first.fix,
            found=listed(f"{session}: {error.found}" for session, error in wrong.items()),
        ) from first  # fmt: skip
    return found
