"""Which sessions have an image of a modality."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.names import nearest
from clinicadl.config.raw import RAW
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import ids, tsv
from clinicadl.layouts.bids import BidsFile
from clinicadl.layouts.files import existing_folder
from clinicadl.layouts.images import SUFFIXES
from clinicadl.tables import matching, sessions

logger = logging.getLogger(__name__)

_PREFIX = "missing_mods_"
_MEANING = "table of the images that sessions have"
_COLUMNS = [sessions.PARTICIPANT, sessions.SESSION]


class Found(NamedTuple):
    """The sessions that have an image, as far as a source tells."""

    sessions: pd.DataFrame
    """``participant_id``, ``session_id``."""
    read: tuple[Path, ...]
    """The tables that tell it."""


def are_in(table: pd.DataFrame, found: Found) -> NDArray[np.bool_]:
    """Return of each session of a table whether it is among those found."""
    return np.asarray(matching.positions(table, found.sessions) != matching.NOWHERE)


def in_tables(folder: Path, modality: str) -> Found:
    """Return the sessions of which a ``missing_mods_<session>.tsv`` says that they have an image.

    Parameters
    ----------
    folder
        Where these tables are.
    modality
        Name of their column; upper and lower case are the same.

    Raises
    ------
    MissingInputError
        The folder or a table cannot be read, there is no such table, or none has the column.
    InvalidDataError
        A table is empty or wrong.
    """
    existing_folder(folder, "folder of the tables of images")
    tables = sorted(folder.glob(f"{_PREFIX}*.tsv"))
    if not tables:
        raise MissingInputError(
            f"The folder has no {_PREFIX}<session>.tsv", where=folder,
            fix="Leave --missing_mods out to look for the images themselves in the BIDS data set",
        )  # fmt: skip
    known: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for path in tables:
        table = tsv.read(path, _MEANING, needs=(sessions.PARTICIPANT,))
        tsv.check_ids(table, sessions.PARTICIPANT, path)
        tsv.refuse_repeated(table, (sessions.PARTICIPANT,), path)
        session = ids.as_id(path.stem.removeprefix(_PREFIX), sessions.SESSION)
        name_of = {name.lower(): name for name in table.columns if name != sessions.PARTICIPANT}
        known |= name_of
        column = name_of.get(modality.lower())
        if column is not None:
            has = sessions.numbers(table, column, where=path).fillna(0) != 0
            found += [(who, session) for who in table[sessions.PARTICIPANT][has]]
    if modality.lower() not in known:
        raise MissingInputError(
            f"No table has a column {modality}", where=folder,
            found=f"columns {listed(sorted(known.values()))}",
            fix=f"Give --modality {' or '.join(nearest(modality, sorted(known.values())))}",
        )  # fmt: skip
    return Found(_table(found), tuple(tables))


def in_bids(files: Iterable[BidsFile], modality: str, *, where: Path) -> Found:
    """Return the sessions of a BIDS data set that have an image of a modality.

    Parameters
    ----------
    files
        What `bids.index` gave.
    modality
        A name of `RAW`, or the suffix of the images, with any entities that they must
        have: ``t1w``, ``pet_trc-18FFDG``; upper and lower case are the same.
    where
        The data set, for messages.

    Raises
    ------
    InvalidDataError
        There is no such image.
    """
    suffix, *entities = modality.lower().split("_")
    named = RAW[suffix].suffix if suffix in RAW else ""
    wanted = {(named or suffix).lower(), *entities}
    found: set[tuple[str, str]] = set()
    others: set[str] = set()
    for one in files:
        if not one.path.name.lower().endswith(SUFFIXES):
            continue
        others.add(one.suffix)
        own = {one.suffix, *(f"{key}-{value}" for key, value in one.entities.items())}
        if wanted <= {part.lower() for part in own}:
            found.add((one.participant, one.session or ids.ONLY_SESSION))
    if not found:
        raise InvalidDataError(
            f"The BIDS data set has no image of the modality {modality}", where=where,
            found=f"images {listed(sorted(others))}" if others else "no image at all",
            fix="Name another with --modality",
        )  # fmt: skip
    return Found(_table(sorted(found)), ())


def _table(found: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=_COLUMNS, dtype=object)
