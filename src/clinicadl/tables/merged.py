"""The table with one row a session that labels are made from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.config.labels import LabelsConfig
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import bids, ids
from clinicadl.layouts.bids import BidsFile
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import existing_folder
from clinicadl.tables import sessions

logger = logging.getLogger(__name__)

MERGED = "merged.tsv"


class Merged(NamedTuple):
    """All that is known of the sessions of a study."""

    table: pd.DataFrame
    """As `sessions.read` returns it."""
    path: Path
    """The table; the BIDS data set if it is made from its tables. For messages."""
    read: tuple[Path, ...]
    """The tables that it was read from."""
    files: Sequence[BidsFile] | None = None
    """The files of the BIDS data set, where they were looked at."""


def read(config: LabelsConfig) -> Merged:
    """Return the merged table that is named, or lies in the output, or is made from BIDS.

    Raises
    ------
    MissingInputError
        A table or folder cannot be read.
    InvalidDataError
        A table is wrong, or the folder is no BIDS data set and there is no merged table.
    """
    path = config.merged_tsv or config.output_directory / MERGED
    if config.merged_tsv is None and not path.is_file():
        return _from_bids(config.bids_directory)
    return Merged(sessions.read(path), path, (path,))


def files_of(given: Merged, bids_directory: Path) -> Sequence[BidsFile] | None:
    """Return the files of the BIDS data set, or nothing where the folder is none.

    Raises
    ------
    MissingInputError
        The folder does not exist, or is closed to us.
    InvalidDataError
        A file lies in the folder of somebody else.
    """
    if given.files is not None:
        return given.files
    existing_folder(bids_directory, "BIDS data set")
    try:
        bids.check(bids_directory)
    except InvalidDataError:
        return None
    return bids.index(bids_directory)


def _from_bids(home: Path) -> Merged:
    """Return the tables of a BIDS data set, joined: participants with each of their sessions.

    What a table of sessions says of a session, even that it is missing, goes before what is said
    of the participant.

    Raises
    ------
    MissingInputError
        The data set does not exist, or has no tables.
    InvalidDataError
        This is no BIDS data set, or a table is wrong.
    """
    files = bids.index(home)
    tables = [
        one for one in files
        if (one.session, one.datatype) == (None, "") and one.path.name.endswith("_sessions.tsv")
    ]  # fmt: skip
    participants_tsv = home / "participants.tsv"
    if not tables and not participants_tsv.exists():
        raise MissingInputError(
            "The BIDS data set has neither a participants.tsv nor a table of sessions", where=home,
            fix="Add one, with a column participant_id and the labels, or name a table with one "
            f"row a session with --merged_tsv (by default {MERGED} in the output)",
        )  # fmt: skip
    visits = _visits(files, home)
    people = bids.participants(home) if participants_tsv.exists() else None
    _say_strangers(visits, people, participants_tsv)
    columns = dict.fromkeys([sessions.PARTICIPANT, sessions.SESSION])
    known: dict[str, dict[str, object]] = {}
    if people is not None:
        columns |= dict.fromkeys(people.columns)
        known = {str(row[sessions.PARTICIPANT]): row for row in _records(people)}
    said: dict[tuple[str, str | int | None], dict[str, object]] = {}
    for one in tables:
        for row in bids.sessions(home, one.participant):
            columns |= dict.fromkeys(row)
            session = str(row.pop(sessions.SESSION))
            # By its month too, if it tells one: M00 and M000 are one session.
            said.setdefault((one.participant, sessions.month(session)), row)
            said[one.participant, session] = row
    rows = []
    for who, session in visits:
        month = sessions.month(session)
        near = {} if month is None else said.get((who, month), {})
        own = {**known.get(who, {}), **said.get((who, session), near)}
        rows.append({**own, sessions.PARTICIPANT: who, sessions.SESSION: session})
    read = [*([participants_tsv] if people is not None else []), *(one.path for one in tables)]
    table = pd.DataFrame(rows, columns=list(columns), dtype=object)
    return Merged(table, home, tuple(read), files)


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _visits(files: Iterable[BidsFile], home: Path) -> list[Session]:
    """Return the sessions that have a file; who has no session level gets the only session.

    Raises
    ------
    InvalidDataError
        There is none.
    """
    sessions_of: dict[str, set[str]] = {}
    for one in files:
        if one.session is not None:
            sessions_of.setdefault(one.participant, set()).add(one.session)
        elif one.datatype:
            sessions_of.setdefault(one.participant, set())
    if not sessions_of:
        raise InvalidDataError("The BIDS data set has no files of sessions", where=home)
    flat = [who for who, own in sessions_of.items() if not own]
    if flat:
        logger.warning(
            "%s has no folders of sessions for %s: their session is taken as %s",
            home, listed(flat), ids.ONLY_SESSION,
        )  # fmt: skip
    return sorted(
        (who, session) for who, own in sessions_of.items() for session in own or {ids.ONLY_SESSION}
    )


def _say_strangers(visits: list[Session], people: pd.DataFrame | None, path: Path) -> None:
    if people is None:
        return
    there = {who for who, _ in visits}
    named = set(people[sessions.PARTICIPANT])
    for some, what in (
        (sorted(named - there), "without a session on the disk, left out"),
        (sorted(there - named), "who are not in this table"),
    ):
        if some:
            logger.warning("%s: %d participants %s: %s", path, len(some), what, listed(some))
