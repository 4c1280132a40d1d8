"""What another table knows of the sessions of a table, added to it in place."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.labels import MetadataConfig
from clinicadl.layouts import ids, splits, tsv
from clinicadl.layouts.files import refuse_unwritable
from clinicadl.tables import expressions, matching, sessions

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """A table with more columns, and nothing written."""

    config: MetadataConfig
    read: tuple[Path, ...]
    table: pd.DataFrame
    """As it will be written: the ids, then all other columns by name."""
    added: tuple[str, ...]
    """Columns that the table did not have."""
    n_unknown: int
    """Sessions that the other table does not know."""


def get_metadata(config: MetadataConfig) -> Path:
    """Add to a table what another one knows of its sessions, in place.

    No row is lost, and no cell of the table is changed: a column that it has already stays as it
    is.

    Parameters
    ----------
    config
        The two tables, and what is added.

    Returns
    -------
    The table.

    Raises
    ------
    MissingInputError
        A table or column is absent.
    InvalidDataError
        A table is wrong.
    OutputError
        The table cannot be written.
    """
    planned = plan(config)
    write(planned)
    return config.data_tsv


def plan(config: MetadataConfig) -> Plan:
    """Return the table that `get_metadata` would write.

    Raises
    ------
    MissingInputError
        A table or column is absent.
    InvalidDataError
        A table is wrong.
    OutputError
        The table cannot be written.
    """
    path = config.data_tsv
    table = sessions.read(path)
    refuse_unwritable(path)
    merged = sessions.read(config.merged_tsv)
    wanted = config.variables_of_interest or tuple(map(str, merged.columns))
    for name in wanted:
        expressions.refuse_unknown(name, merged.columns, where=config.merged_tsv)
    added = [name for name in dict.fromkeys(wanted) if name not in table.columns]
    kept = [name for name in config.variables_of_interest if name in table.columns]
    if kept:
        logger.warning("%s has %s already, and keeps it", path, ", ".join(kept))
    at = matching.positions(table, merged)
    # Every cell as the user wrote it, ids too: only the rows and their order are those of `table`.
    written = tsv.read(path, "table of sessions")
    more = {name: merged[name].reindex(at).to_numpy() for name in added}
    # Ids first, whatever they are called; then all other columns by name.
    own = [name for name in written.columns if name in ids.PREFIX_OF or name not in table.columns]
    others = sorted({*written.columns, *added} - {*own})
    return Plan(
        config,
        (path, config.merged_tsv),
        written.assign(**more)[[*own, *others]],
        tuple(added),
        int(np.sum(at == matching.NOWHERE)),
    )


def write(planned: Plan) -> None:
    """Write what was planned, whole.

    The record of a split goes along with its table, unless the table was edited before.

    Raises
    ------
    OutputError
        The table cannot be written.
    """
    splits.rewrite(planned.config.data_tsv, planned.table)
