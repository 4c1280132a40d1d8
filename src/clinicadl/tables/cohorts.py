"""Several cohorts: the table that names them, and who is who in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.layouts import tsv
from clinicadl.tables.sessions import PARTICIPANT

logger = logging.getLogger(__name__)

COHORT, PATH, DIAGNOSES, PERSON = "cohort", "path", "diagnoses", "person"
SINGLE = "single"
"""What a cohort is called that is not one among several."""

_MEANING = "table of cohorts"
_SUFFIX = ".tsv"


@dataclass(frozen=True)
class Cohort:
    """One data set among several."""

    name: str
    path: Path
    """Its CAPS, its split folder or its table."""
    diagnoses: tuple[str, ...] | None = None
    """What it contributes; None where the table does not say."""


@dataclass(frozen=True)
class Member:
    """The images and the tables of one cohort of an experiment."""

    name: str
    caps: Path
    tables: Path
    """Its split folder, or one table."""
    diagnoses: tuple[str, ...] | None
    """What is taken of it; None where nobody said."""


def members(
    caps: Path, tables: Path, *, is_multi: bool, diagnoses: tuple[str, ...] | None
) -> tuple[Member, ...]:
    """Return the cohorts of an experiment: one, or those that two tables name.

    Parameters
    ----------
    caps
        A CAPS, or the table of the CAPS of several cohorts.
    tables
        The tables of sessions, or the table that names those of several cohorts.
    is_multi
        Whether several cohorts were asked for.
    diagnoses
        What is asked for; None takes the diagnoses that each cohort names.

    Returns
    -------
    In the order of ``caps``, without those that contribute no diagnosis.

    Raises
    ------
    UsageError
        A table of cohorts is given where one cohort is meant, or the reverse.
    MissingInputError
        A table cannot be read.
    InvalidDataError
        A table is wrong, the names do not correspond, or a diagnosis comes from nowhere.
    """
    if not is_multi:
        for path in (caps, tables):
            refuse_single(path)
        return (Member(SINGLE, caps, tables, diagnoses),)
    places, parts = read(caps), read(tables)
    refuse_unmatched(places, parts, where=tables)
    table_of = {one.name: one for one in parts}
    own = {one.name: one.diagnoses for one in parts}
    if diagnoses is not None:
        own = {**contributed(parts, diagnoses, where=tables)}
    idle = [one.name for one in places if own[one.name] == ()]
    if idle:
        logger.warning("cohorts that have none of these diagnoses are left out: %s", listed(idle))
    return tuple(
        Member(one.name, one.path, table_of[one.name].path, own[one.name])
        for one in places
        if one.name not in idle
    )


def read(path: Path) -> tuple[Cohort, ...]:
    """Return the cohorts of a table, in its order.

    Parameters
    ----------
    path
        Tab-separated, ``cohort``, ``path`` and perhaps ``diagnoses`` (with commas between them).
        Relative paths start in the folder of the table.

    Raises
    ------
    UsageError
        It is no ``.tsv``.
    MissingInputError
        It cannot be read, or lacks a column.
    InvalidDataError
        Names or paths are missing, repeated or absent from the disk: all of them are told at once.
    """
    if path.suffix != _SUFFIX:
        raise UsageError(
            f"A {_MEANING} is a {_SUFFIX} file", where=path, fix="Give the table, not a folder"
        )
    table = tsv.read(path, _MEANING, needs=(COHORT, PATH))
    cohorts: list[Cohort] = []
    problems = []
    for row, cells in enumerate(table.to_dict("records")):
        where = f"row {row + 2}"
        name, place = (_text(cells[column]) for column in (COHORT, PATH))
        if not name or not place:
            problems.append(f"{where}: no {COHORT if not name else PATH}")
            continue
        there = path.parent / Path(place).expanduser()
        if name in {one.name for one in cohorts}:
            problems.append(f"{where}: cohort {name} comes twice")
        if any(there.resolve() == one.path.resolve() for one in cohorts):
            problems.append(f"{where}: {place} is the path of another cohort too")
        if not there.exists():
            problems.append(f"{where}: {place} of {name} does not exist")
        diagnoses = _text(cells.get(DIAGNOSES))
        named = tuple(dict.fromkeys(one for one in map(str.strip, diagnoses.split(",")) if one))
        if diagnoses and not named:
            problems.append(f"{where}: {name} has commas and no diagnoses")
        cohorts.append(Cohort(name, there, named or None))
    _refuse(problems, path)
    return tuple(cohorts)


def _text(cell: object) -> str:
    return cell.strip() if isinstance(cell, str) else ""


def _refuse(problems: Sequence[str], path: Path) -> None:
    """Refuse a table with problems.

    Raises
    ------
    InvalidDataError
        There are some.
    """
    if problems:
        raise InvalidDataError(
            f"{len(problems)} thing{'s' if len(problems) > 1 else ''} in the {_MEANING} "
            f"cannot be used", where=path, found="; ".join(problems[:10])
            + (f" and {len(problems) - 10} more" if len(problems) > 10 else ""),
            fix="Correct the rows",
        )  # fmt: skip


def is_cohorts(path: Path) -> bool:
    """Return whether a table names cohorts and their places, instead of participants.

    Raises
    ------
    MissingInputError
        It cannot be read.
    InvalidDataError
        It is no table.
    """
    columns = set(tsv.read(path, "table").columns)
    return {COHORT, PATH} <= columns and PARTICIPANT not in columns


def refuse_single(path: Path) -> None:
    """Refuse a table of cohorts where one table of sessions is meant.

    Raises
    ------
    UsageError
        It names cohorts.
    """
    if path.suffix == _SUFFIX and is_cohorts(path):
        raise UsageError(
            f"This is a {_MEANING}, and several cohorts were not asked for", where=path,
            found=f"columns {COHORT} and {PATH}", fix="Give --multi_cohort, or one table",
        )  # fmt: skip


def refuse_unmatched(caps: Sequence[Cohort], tables: Sequence[Cohort], *, where: Path) -> None:
    """Refuse cohorts that have images and no table, or a table and no images.

    Raises
    ------
    InvalidDataError
        The names are not the same.
    """
    images, rows = {one.name for one in caps}, {one.name for one in tables}
    if images != rows:
        lone = [f"{name} (no table)" for name in sorted(images - rows)]
        lone += [f"{name} (no CAPS)" for name in sorted(rows - images)]
        raise InvalidDataError(
            "The cohorts of the images and of the tables do not correspond", where=where,
            found=listed(lone), fix="Name each cohort in both tables, with the same letters",
        )  # fmt: skip


def contributed(
    cohorts: Sequence[Cohort], diagnoses: Sequence[str], *, where: Path
) -> dict[str, tuple[str, ...]]:
    """Return the diagnoses that each cohort contributes: what it has among what is asked for.

    Parameters
    ----------
    cohorts
        One without diagnoses of its own may contribute all of them.
    diagnoses
        What is asked for.
    where
        The table of cohorts, for messages.

    Raises
    ------
    InvalidDataError
        A diagnosis that is asked for comes from nowhere.
    """
    wanted = tuple(dict.fromkeys(diagnoses))
    own = {
        one.name: tuple(name for name in wanted if one.diagnoses is None or name in one.diagnoses)
        for one in cohorts
    }
    nowhere = [name for name in wanted if not any(name in names for names in own.values())]
    if nowhere:
        has = [f"{one.name} ({', '.join(one.diagnoses or ())})" for one in cohorts]
        raise InvalidDataError(
            f"No cohort contributes {' or '.join(nowhere)}", where=where, found=listed(has),
            fix=f"Add it to the column {DIAGNOSES} of a cohort, or do not ask for it",
        )  # fmt: skip
    return own


Members = dict[tuple[str, str], str]
"""(cohort, participant) -> the person that both stand for."""


def read_persons(path: Path, cohorts: Sequence[Cohort]) -> Members:
    """Return who is one person in several cohorts.

    Parameters
    ----------
    path
        Tab-separated, ``cohort``, ``participant_id`` and ``person``; rows with one person are one
        participant.
    cohorts
        The cohorts that there are.

    Raises
    ------
    MissingInputError
        It cannot be read, or lacks a column.
    InvalidDataError
        A cell is missing, a cohort is unknown, or a participant is two persons.
    """
    meaning = "table of persons"
    table = tsv.read(path, meaning, needs=(COHORT, PARTICIPANT, PERSON))
    names = {one.name for one in cohorts}
    members: Members = {}
    problems = []
    cells = zip(table[COHORT], table[PARTICIPANT], table[PERSON], strict=True)
    for row, one in enumerate(cells, start=2):
        cohort, participant, person = map(_text, one)
        if not (cohort and participant and person):
            problems.append(f"row {row}: a cell is missing")
        elif cohort not in names:
            problems.append(f"row {row}: {cohort} is no cohort")
        elif members.setdefault((cohort, participant), person) != person:
            problems.append(f"row {row}: {participant} of {cohort} is two persons")
    if problems:
        raise InvalidDataError(
            f"The {meaning} cannot be used", where=path, found=listed(problems),
            fix="Correct the rows",
        )  # fmt: skip
    return members
