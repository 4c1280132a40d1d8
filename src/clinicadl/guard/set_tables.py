"""The rows of each set, and the divisions that the sets make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.audit import CheckConfig
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError, listed
from clinicadl.guard.facts import Finding
from clinicadl.guard.found_sets import EVERYBODY, OTHER_IDS, Candidate
from clinicadl.guard.identity import key, visit
from clinicadl.guard.people import bare, cohort_of, in_cohort
from clinicadl.guard.set_names import SetName, counts_folds, may_name_sets, role_of, tokens
from clinicadl.layouts import ids, tsv
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.tables import cohorts as cohort_tables
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, PERSON, Cohort, Members
from clinicadl.tables.sessions import AGES, DIAGNOSIS, LABELS, MOST_PARENTS, SEX

UNREADABLE = "unreadable-table"
VISIT = " visit"
"""Column of `Table.first` that says which session it is; no column of a file begins so."""

_MOST_FOLDS = 50
_IN_PATHS = {
    PARTICIPANT: re.compile(r"(sub-[A-Za-z0-9]+)"),
    SESSION: re.compile(r"(ses-[A-Za-z0-9]+)"),
}
_WITH_POINT = re.compile(r"\d+\.0")
_PART_OF_CLASS = frozenset({
    "ad", "cn", "nc", "hc", "mci", "smci", "pmci", "emci", "lmci", "bv", "smc", "ftd", "pd",
    "dementia", "control", "controls", "case", "cases",
})  # fmt: skip

_PARTS = frozenset({
    "image", "images", "path", "paths", "file", "filename", "modality", "run", "acq", "tracer",
    "slice", "patch", "series", "scan",
})  # fmt: skip
"""Words of columns that tell several rows of one session apart."""

Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Table:
    """The rows of one set that stand in one file."""

    path: Path
    shown: str
    name: SetName
    people: Texts
    """Who each row is of, behind the cohort where there are several."""
    written: Texts
    """Who each row is of, as the file spells it."""
    visits: Texts
    """Session of each row."""
    has_sessions: bool
    """Whether sessions are told; else all are one."""
    is_repeated: NDArray[np.bool_]
    """Whether each row says again what another row says."""
    first: pd.DataFrame
    """The first session of each participant: the other columns, `VISIT`, the names as index."""
    labels: pd.DataFrame | None
    """The nearest ``labels.tsv`` above, indexed by both ids."""
    n_nameless: int
    """Rows of the file that name no participant."""
    root: str
    is_whole_file: bool
    """Whether the file holds nothing else."""


@dataclass(frozen=True)
class Division:
    """Sets that were made together: nobody is in two of them."""

    location: tuple[str, ...]
    tables: tuple[Table, ...]
    first_of: Mapping[str, pd.DataFrame]
    """Set -> the first session of each participant, as in `Table.first`."""

    @property
    def name(self) -> str:
        """Return how sentences call it."""
        return "/".join(part for part in self.location if part) or "."

    @property
    def family(self) -> tuple[str, ...]:
        """Return what its siblings share: all but the number of the fold."""
        return (*self.location[:-1], re.sub(r"\d+", "#", self.location[-1]))

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the sets that it has, sorted."""
        return tuple(sorted({table.name.role for table in self.tables}))

    def of(self, *roles: str) -> tuple[Table, ...]:
        """Return the tables of some sets."""
        return tuple(table for table in self.tables if table.name.role in roles)

    def first(self, *roles: str) -> pd.DataFrame:
        """Return the first session of each participant of some sets."""
        return earliest([self.first_of[role] for role in roles if role in self.first_of])

    def is_inside(self, other: Division) -> bool:
        """Return whether it divides a set of another division again."""
        n = len(other.location)
        return len(self.location) > n and self.location[:n] == other.location


class Found(NamedTuple):
    """The sets that there are."""

    divisions: tuple[Division, ...]
    unreadable: tuple[Finding, ...]
    read: tuple[Path, ...]


def read(config: CheckConfig, candidates: Sequence[Candidate]) -> Found:
    """Return the sets that some tables hold.

    Raises
    ------
    MissingInputError
        None of the tables holds a set.
    """
    members: Members = {}
    if config.same_person is not None:
        cohorts = {one.cohort for one in candidates if one.cohort is not None}
        known = [Cohort(name, Path()) for name in sorted(cohorts)]
        members = cohort_tables.read_persons(config.same_person, known)
    reader = _Reader(config, members, {})
    tables: list[Table] = []
    unreadable = []
    for one in candidates:
        try:
            tables += _tables(one, reader)
        except ClinicaDLError as error:
            sentence = str(error).rstrip(".")
            unreadable.append(Finding(UNREADABLE, "refuse", sentence))
    if not tables and not unreadable:
        raise MissingInputError(
            "No table says which set it is", where=listed(one.shown for one in candidates),
            fix="Name sets and tables, as in --set train=mine.tsv --set test=yours.tsv",
        )  # fmt: skip
    paths = dict.fromkeys(one.path for one in tables)
    return Found(tuple(_divisions(tables, candidates)), tuple(unreadable), tuple(paths))


class _Reader(NamedTuple):
    """What is the same for all tables."""

    config: CheckConfig
    members: Members
    labels_of: dict[Path, pd.DataFrame | None]
    """The ``labels.tsv`` that were read."""


class _Rows(NamedTuple):
    """The rows of a file, taken apart."""

    people: Texts
    written: Texts
    visits: Texts | None
    others: pd.DataFrame
    n_nameless: int = 0

    def where(self, mask: NDArray[np.bool_]) -> _Rows:
        visits = None if self.visits is None else self.visits[mask]
        others = self.others[mask].reset_index(drop=True)
        return _Rows(self.people[mask], self.written[mask], visits, others, self.n_nameless)


def _tables(one: Candidate, reader: _Reader) -> list[Table]:
    """Return the sets of one file.

    Raises
    ------
    MissingInputError
        It has no participants.
    """
    cells = tsv.read(one.path, "table")
    written, visits, used = _who(cells, one)
    people = _with_cohorts(written, cells, one.cohort, reader.members)
    kept = [name for name in cells.columns if name not in used and str(name).lower() != COHORT]
    named = np.array([who is not None for who in people], dtype=bool)
    rows = _Rows(people, written, visits, cells[kept], int((~named).sum())).where(named)
    if one.name is not None:
        return [_table(one, rows, reader, one.name, one.shown)]
    parts = _by_columns(rows, one, reader)
    if parts or not one.is_explicit:
        return parts
    return [_table(one, rows, reader, SetName(EVERYBODY, (one.shown,)), one.shown)]


def _table(one: Candidate, rows: _Rows, reader: _Reader, name: SetName, shown: str) -> Table:
    visits = rows.visits
    if visits is None:
        visits = np.full(len(rows.people), ids.ONLY_SESSION, dtype=object)
    labels = _labels_above(one.path, reader.labels_of)
    return Table(
        path=one.path,
        shown=shown,
        name=name,
        people=rows.people,
        written=rows.written,
        visits=visits,
        has_sessions=rows.visits is not None,
        is_repeated=_repeated(rows, visits),
        first=_first(rows, visits, labels, reader.config),
        labels=labels,
        n_nameless=rows.n_nameless,
        root=one.root,
        is_whole_file=shown == one.shown,
    )


def _repeated(rows: _Rows, visits: Texts) -> NDArray[np.bool_]:
    """Return which rows are of a session, or of a part of it, that has a row already."""
    key_of = {who: key(bare(who)) for who in dict.fromkeys(rows.people)}
    visit_of = {one: visit(one) for one in dict.fromkeys(visits)}
    keys = pd.DataFrame({
        "who": [key_of[who] for who in rows.people], "when": [visit_of[one] for one in visits],
        "where": [cohort_of(who) for who in rows.people],
    })  # fmt: skip
    # Without sessions, only a row that is the same in all of its columns is surely repeated.
    naming = [
        name for name in rows.others.columns if rows.visits is None or _PARTS & {*tokens(str(name))}
    ]
    parts = rows.others[naming].set_axis([f"part {i}" for i in range(len(naming))], axis=1)
    again = pd.concat([keys, parts], axis=1).duplicated(keep=False).to_numpy(copy=True)
    if not again.any():
        return again
    # Of several spellings the first in the alphabet stays, whatever the order of the rows.
    spelt = keys[again].assign(name=rows.people[again], session=visits[again])
    rest = pd.concat([spelt, parts[again]], axis=1).sort_values(["name", "session"])
    repeated = rest.drop(columns=["name", "session"]).duplicated()
    again[rest.index[~repeated]] = False
    return again


def _first(
    rows: _Rows, visits: Texts, labels: pd.DataFrame | None, config: CheckConfig
) -> pd.DataFrame:
    unique = sorted(dict.fromkeys(visits), key=sessions.by_month)
    rank_of = {one: i for i, one in enumerate(unique)}
    order = np.argsort(np.array([rank_of[one] for one in visits], dtype=np.intp), kind="stable")
    at = order[~pd.Series(rows.people[order]).duplicated().to_numpy()]
    first = rows.others.iloc[at].set_axis(rows.people[at], axis=0).assign(**{VISIT: visits[at]})
    wanted = (config.label or DIAGNOSIS, config.group_by, *AGES, SEX)
    absent = [name for name in dict.fromkeys(wanted) if name and name not in first.columns]
    if labels is None or not absent:
        return first
    row_of = {key: i for i, key in enumerate(labels.index)}
    places = [row_of.get(pair, -1) for pair in zip(rows.written[at], visits[at], strict=True)]
    for name in absent:
        if name in labels.columns:
            values = [*labels[name], np.nan]
            first[name] = pd.Series([values[i] for i in places], index=first.index, dtype=object)
    return first


def _labels_above(table: Path, labels_of: dict[Path, pd.DataFrame | None]) -> pd.DataFrame | None:
    """Return the nearest ``labels.tsv`` above a table, if there is one that can be read."""
    home = table.absolute().parent
    paths = [folder / LABELS for folder in (home, *home.parents)[:MOST_PARENTS]]
    path = next((one for one in paths if one.is_file()), None)
    if path is None or path == table.absolute():
        return None
    if path not in labels_of:
        try:
            rows = sessions.read(path).set_index([PARTICIPANT, SESSION])
        except (InvalidDataError, MissingInputError):
            labels_of[path] = None
        else:
            labels_of[path] = rows
    return labels_of[path]


def _who(rows: pd.DataFrame, one: Candidate) -> tuple[Texts, Texts | None, list[str]]:
    """Return participants and sessions, and the columns that they stand in.

    Raises
    ------
    MissingInputError
        No participants can be told.
    """
    found: dict[str, Texts] = {}
    used = []
    for column in ids.PREFIX_OF:
        name = _column(rows, column)
        if name is not None:
            cells = rows[name]
            used.append(name)
        else:
            in_path = _in_path(rows, column)
            if in_path is None:
                continue
            cells = in_path
        id_of = {cell: _id(cell, column) for cell in cells.unique() if isinstance(cell, str)}
        found[column] = np.array([id_of.get(cell) for cell in cells], dtype=object)
    if PARTICIPANT not in found:
        raise MissingInputError(
            "The table has no column of participants", where=one.path,
            found=f"columns {listed(rows.columns)}", fix="Call it participant_id",
        )  # fmt: skip
    visits = found.get(SESSION)
    if visits is not None:
        visits = np.array([visit or ids.ONLY_SESSION for visit in visits], dtype=object)
    return found[PARTICIPANT], visits, used


def _column(rows: pd.DataFrame, column: str) -> str | None:
    if column in rows.columns:
        return column
    name_of = {re.sub(r"[\W_]+", "", str(name)).lower(): str(name) for name in rows.columns}
    spellings = ids.SPELLINGS[column] + (OTHER_IDS if column == PARTICIPANT else ())
    return next((name_of[one] for one in spellings if one in name_of), None)


def _in_path(rows: pd.DataFrame, column: str) -> pd.Series[Any] | None:
    """Return ids that every cell of a column, of paths perhaps, names."""
    for name in rows.columns:
        texts = rows[name]
        if isinstance(texts.iloc[0], str) and _IN_PATHS[column].search(texts.iloc[0]):
            found = texts.str.extract(_IN_PATHS[column], expand=False)
            if found.notna().all():
                return found
    return None


def _id(cell: str, column: str) -> str:
    text = cell.strip()
    # A spreadsheet makes 1003.0 of a number; all other spellings are shown as they are.
    return ids.as_id(text, column) if _WITH_POINT.fullmatch(text) else text


def _with_cohorts(people: Texts, rows: pd.DataFrame, cohort: str | None, members: Members) -> Texts:
    """Return people with the cohort in front, where one is told: its numbers are its own."""
    column = next((name for name in rows.columns if str(name).lower() == COHORT), None)
    if cohort is None and column is None:
        return people
    if cohort is not None:
        cohorts: Iterable[object] = [cohort] * len(people)
    else:
        cohorts = rows[column]
    named: list[str | None] = []
    for home, who in zip(cohorts, people, strict=True):
        if who is None or not isinstance(home, str):
            named.append(who)
            continue
        person = members.get((home, who))
        named.append(in_cohort(home, who) if person is None else in_cohort(PERSON, person))
    return np.array(named, dtype=object)


def _by_columns(rows: _Rows, one: Candidate, reader: _Reader) -> list[Table]:
    """Return the sets that columns of a table name."""
    naming = [str(name) for name in rows.others.columns if may_name_sets(str(name))]
    groups = {column: _roles(rows.others[column], column) for column in naming}
    groups = {column: roles for column, roles in groups.items() if roles}
    tables = []
    for column, roles in groups.items():
        inside = one.parts or (one.shown,)
        location = inside if len(groups) == 1 else (*inside, column)
        for role in sorted({*roles.values()}):
            values = [value for value, name in roles.items() if name == role]
            own = rows.where(rows.others[column].isin(values).to_numpy())
            own = own._replace(others=own.others.drop(columns=naming))
            shown = f"{one.shown} ({column}: {role})"
            tables.append(_table(one, own, reader, SetName(role, location), shown))
    return tables


def _roles(cells: pd.Series[Any], column: str) -> dict[str, str]:
    """Return the set that each value of a column names; nothing where it names none."""
    values = sorted(cells.dropna().unique())
    roles = {value: role_of(value) for value in values}
    if values and all(roles.values()):
        return {value: role for value, role in roles.items() if role is not None}
    numbers = [sessions.number(value) for value in values]
    whole = all(one is not None and one == int(one) for one in numbers)
    if counts_folds(column) and whole and 2 <= len(values) <= _MOST_FOLDS:
        # A negative number marks those who are in no fold.
        return {
            value: f"fold {int(one)}"
            for value, one in zip(values, numbers, strict=True)
            if one is not None and one >= 0
        }
    return {}


def _divisions(tables: Sequence[Table], candidates: Sequence[Candidate]) -> Iterator[Division]:
    roots = dict.fromkeys(one.root for one in candidates)
    places: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        front = (table.root,) if table.root or len(roots) > 1 else ()
        places.setdefault((*front, *table.name.location), []).append(table)
    for location, own in sorted(places.items()):
        for words, some in _variants(own):
            firsts: dict[str, list[pd.DataFrame]] = {}
            for table in some:
                firsts.setdefault(table.name.role, []).append(table.first)
            first_of = {role: earliest(parts) for role, parts in firsts.items()}
            yield Division((*location, *words) or (".",), tuple(some), first_of)


def earliest(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the first session of each participant of some such tables."""
    if len(parts) == 1:
        return parts[0]
    together = pd.concat(parts)
    ordered = sorted({*together[VISIT]}, key=sessions.by_month)
    rank_of = {visit: i for i, visit in enumerate(ordered)}
    ranks = np.array([rank_of[visit] for visit in together[VISIT]], dtype=np.intp)
    together = together.iloc[np.argsort(ranks, kind="stable")]
    return together[~together.index.duplicated()]


def _variants(tables: list[Table]) -> Iterator[tuple[tuple[str, ...], list[Table]]]:
    """Yield the divisions of one place: variants with all their sets, and what is left, together.

    ``AD_train`` and ``CN_train`` are parts of one set; ``small_train`` and ``small_test`` are a
    division of their own beside ``large_train`` and ``large_test``.
    """
    by_words: dict[tuple[str, ...], list[Table]] = {}
    for table in tables:
        words = () if _is_class(table) else table.name.words
        by_words.setdefault(words, []).append(table)
    own = {
        words: some
        for words, some in by_words.items()
        if words and len({table.name.role for table in some}) > 1
    }
    rest = [table for words, some in by_words.items() if words not in own for table in some]
    if rest:
        yield (), rest
    for words, some in own.items():
        yield (() if not rest and len(own) == 1 else ("_".join(words),)), some


def _is_class(table: Table) -> bool:
    """Return whether a table holds one class, and is called by its name."""
    words = {*table.name.words}
    if not words or words <= _PART_OF_CLASS:
        return bool(words)
    if DIAGNOSIS not in table.first.columns:
        return False
    classes = table.first[DIAGNOSIS].dropna().unique()
    return len(classes) == 1 and str(classes[0]).casefold() in words
