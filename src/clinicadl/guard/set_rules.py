"""The table of rules for split tables: what leaks, and what is wrong in itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.errors import InvalidDataError, listed
from clinicadl.guard import proof
from clinicadl.guard.facts import Finding
from clinicadl.guard.identity import same_sessions
from clinicadl.guard.people import bare, cohort_of, same_people
from clinicadl.guard.rules import ONE_ROW, TWO_PEOPLE
from clinicadl.guard.set_names import POOL
from clinicadl.guard.set_tables import UNREADABLE, VISIT, Division, Table, earliest
from clinicadl.guard.wording import are, counted, spelt
from clinicadl.layouts.splits import TEST, TRAIN, VALIDATION
from clinicadl.tables import sessions

MOST_CLASSES = 10
"""A label of more values, all of them numbers, is a quantity and has no classes."""

_NOBODY = pd.DataFrame()
ROLES = (TRAIN, VALIDATION, TEST, POOL)
SPLIT_PEOPLE = "Split by participant, as tsvtools split and kfold do"


class Facts(NamedTuple):
    """What the rules look at."""

    divisions: tuple[Division, ...]
    label: str | None
    """Column that is learnt, where a table has it."""
    group_by: str | None


class Pair(NamedTuple):
    """Two sets of one division, or a set and several, that must not share anybody."""

    division: Division
    one: str
    others: tuple[str, ...]

    @property
    def other(self) -> str:
        """Return what the others are called."""
        return listed(self.others, most=3)

    @property
    def one_tables(self) -> tuple[Table, ...]:
        """Return the tables of the one."""
        return self.division.of(self.one)

    @property
    def other_tables(self) -> tuple[Table, ...]:
        """Return the tables of the others."""
        return self.division.of(*self.others)


def pairs(division: Division) -> Iterator[Pair]:
    """Yield the sets of a division that must not share anybody, each pair once."""
    for one, other in ((VALIDATION, TRAIN), (TEST, TRAIN), (TEST, VALIDATION), (TEST, POOL)):
        if {one, other} <= {*division.roles}:
            yield Pair(division, one, (other,))
    own = [role for role in division.roles if role not in ROLES]
    for i, role in enumerate(own):
        rest = tuple(name for name in division.roles if name in ROLES or name in own[i + 1 :])
        if rest:
            yield Pair(division, role, rest)


def shared_participants(facts: Facts) -> Iterator[Finding]:
    """Find who is in two sets of one division."""
    for division in facts.divisions:
        for pair in pairs(division):
            same = same_people(division.first(pair.one).index, division.first(*pair.others).index)
            if same:
                twins = [name for names in same.values() for name in names]
                n_visits = _n_shared_sessions(pair, {*same, *twins})
                with_visits = f", with {counted(n_visits, 'session')} the same" if n_visits else ""
                yield Finding(
                    "shared-participants",
                    "refuse",
                    f"{counted(same, 'participant')} of {pair.one} "
                    f"({_files(pair.one_tables, same)}) {are(same)} also in {pair.other} "
                    f"({_files(pair.other_tables, twins)}){with_visits}: {spelt(same)}",
                    tuple(same),
                    (SPLIT_PEOPLE, *_if_respelt(same)),
                )


def late_split(facts: Facts) -> Iterator[Finding]:
    """Find who was set apart as a test set, and is in a division inside it all the same."""
    for division, above in _nested(facts):
        test = above.of(TEST)
        learning = [role for role in division.roles if role != TEST]
        learners = division.of(*learning)
        same = (
            same_people(division.first(*learning).index, above.first(TEST).index)
            if test and learners
            else {}
        )
        if same:
            yield Finding(
                "late-split",
                "refuse",
                f"{counted(same, 'participant')} of {division.name} ({_files(learners, same)}) "
                f"{are(same)} in the test set {_files(test)}: {spelt(same)}",
                tuple(same),
                ("Make folds from the train table beside the test set", *_if_respelt(same)),
            )


def contradictions(facts: Facts) -> Iterator[Finding]:
    """Find who is in a division, and not in the train set that it divides."""
    parents: dict[int, Division] = {}
    for i, division in enumerate(facts.divisions):
        above = [one for one in facts.divisions if division.is_inside(one) and one.of(TRAIN, POOL)]
        if above:
            parents[i] = max(above, key=lambda one: len(one.location))
    for i, parent in parents.items():
        division = facts.divisions[i]
        inside = [*division.first(*division.roles).index]
        known = same_people(inside, parent.first(TRAIN, POOL).index)
        if not known or len(known) == len(inside):
            continue
        apart = [*parent.first_of.get(VALIDATION, _NOBODY).index]
        if apart and len(same_people(apart, inside)) == len(apart):
            # It divides everybody again, as a validation of another kind.
            known |= same_people(inside, apart)
        tested = same_people(inside, parent.first_of.get(TEST, _NOBODY).index)
        missing = sorted(name for name in inside if name not in known and name not in tested)
        if missing:
            n_apart = len(same_people(missing, apart))
            also = f" ({n_apart} of them set apart for validation)" if n_apart else ""
            yield Finding(
                "contradiction",
                "refuse",
                f"{counted(missing, 'participant')} of {division.name} "
                f"({_files(division.tables, missing)}) {are(missing)} not in the train set that it "
                f"divides, {_files(parent.of(TRAIN, POOL))}{also}: {listed(missing)}",
                tuple(missing),
                ("Divide the train table of the folder above again",),
            )


def torn_groups(facts: Facts) -> Iterator[Finding]:
    """Find families that are on both sides of a division."""
    column = facts.group_by
    if column is None:
        return
    for division in facts.divisions:
        for pair in pairs(division):
            mine, theirs = (
                _groups(division.first(*roles), column) for roles in ((pair.one,), pair.others)
            )
            torn = {group: names for group, names in mine.items() if group in theirs}
            if torn:
                shown = listed(
                    f"{group[1]} ({', '.join([*names, *theirs[group]][:4])})"
                    for group, names in torn.items()
                )
                yield Finding(
                    "torn-groups",
                    "refuse",
                    f"{counted(torn, 'group')} of {column} {are(torn)} in {pair.one} "
                    f"({_files(pair.one_tables)}) and in {pair.other} "
                    f"({_files(pair.other_tables)}): {shown}",
                    tuple(name for names in torn.values() for name in names),
                    (f"Divide again with --group_by {column}",),
                )


def edited_tables(facts: Facts) -> Iterator[Finding]:
    """Find tables that are no longer what their record says."""
    for division in facts.divisions:
        for table in division.tables:
            if table.is_whole_file:
                try:
                    yield from proof.check(table.path, dict.fromkeys(table.written))
                except InvalidDataError as error:
                    yield Finding(UNREADABLE, "refuse", str(error).rstrip("."))


def repeated_rows(facts: Facts) -> Iterator[Finding]:
    """Find sessions that have two rows in one set."""
    for division in facts.divisions:
        for table in division.tables:
            if table.n_nameless:
                yield Finding(
                    "nameless-rows",
                    "refuse",
                    f"{counted(table.n_nameless, 'row')} of {table.shown} "
                    "without a participant: nobody can tell who that is",
                    fixes=("Name the participant, or take the row out",),
                )
            again = sorted({*_shown(table, table.is_repeated)})
            if again:
                yield Finding(
                    "repeated-rows",
                    "refuse",
                    f"{counted(int(table.is_repeated.sum()), 'row')} of {table.shown} "
                    f"of sessions that have a row already: {listed(again)}",
                    tuple(sorted({*table.people[table.is_repeated]})),
                    (ONE_ROW,),
                )
        yield from _repeated_in_parts(division)


def _repeated_in_parts(division: Division) -> Iterator[Finding]:
    """Find sessions that are in the tables of two classes of one set."""
    for role in division.roles:
        for is_baseline in (False, True):
            parts = [one for one in division.of(role) if one.name.is_baseline == is_baseline]
            owner: dict[tuple[str, str], Table] = {}
            for table in parts if len({one.name.words for one in parts}) > 1 else ():
                both = sorted({
                    one
                    for one in zip(table.people, table.visits, strict=True)
                    if owner.setdefault(one, table).name.words != table.name.words
                })  # fmt: skip
                if both:
                    yield Finding(
                        "repeated-rows",
                        "refuse",
                        f"{counted(both, 'session')} of {table.shown} {are(both)} also in "
                        f"{listed(dict.fromkeys(owner[one].shown for one in both))}, of the same "
                        f"set: {listed(' | '.join(one) for one in both)}",
                        tuple(sorted({name for name, _ in both})),
                        (ONE_ROW,),
                    )


def not_the_baseline(facts: Facts) -> Iterator[Finding]:
    """Find baseline tables that hold other sessions than the first of each participant."""
    for division in facts.divisions:
        for role in division.roles:
            some = [table for table in division.of(role) if table.name.is_baseline]
            for table in some:
                twice = pd.Series(table.people)[
                    pd.Series(table.people).duplicated().to_numpy() & ~table.is_repeated
                ]
                if len(twice):
                    yield _no_baseline(table, "has several sessions of", twice.tolist())
            whole = [table for table in division.of(role) if not table.name.is_baseline]
            if some and whole:
                yield from _compared(some, whole)


def _compared(some: Sequence[Table], whole: Sequence[Table]) -> Iterator[Finding]:
    firsts, all_firsts = (earliest([table.first for table in parts]) for parts in (some, whole))
    unlike = {
        f"lacks participants of {_files(whole)},": all_firsts.index.difference(firsts.index),
        f"has participants that {_files(whole)} lacks,": firsts.index.difference(all_firsts.index),
    }
    both = firsts.index.intersection(all_firsts.index)
    mine, theirs = firsts.loc[both, VISIT], all_firsts.loc[both, VISIT]
    place = {visit: sessions.by_month(visit)[:-1] for visit in {*mine, *theirs}}
    later = [place[one] != place[other] for one, other in zip(mine, theirs, strict=True)]
    unlike[f"has not the first sessions of {_files(whole)},"] = both[np.array(later, dtype=bool)]
    for what, names in unlike.items():
        if len(names):
            yield _no_baseline(some[0], what, sorted(names))


def _no_baseline(table: Table, what: str, names: Sequence[str]) -> Finding:
    names = sorted({*names})
    return Finding(
        "not-the-baseline",
        "refuse",
        f"{table.shown} is not the baseline: it {what} {counted(names, 'participant')}: "
        f"{listed(names)}",
        tuple(names),
        ("Keep the first session of each participant in it",),
    )


def missing_columns(facts: Facts) -> Iterator[Finding]:
    """Find tables that lack a column which the others of their division have."""
    for division in facts.divisions:
        for column in (facts.label, facts.group_by):
            without = [one for one in division.tables if column not in one.first.columns]
            if column is not None and 0 < len(without) < len(division.tables):
                having = [one for one in division.tables if column in one.first.columns]
                yield Finding(
                    "missing-column",
                    "refuse",
                    f"{_files(without)} {'has' if len(without) == 1 else 'have'} no column "
                    f"{column}, which {_files(having)} of the same division "
                    f"{'has' if len(having) == 1 else 'have'}",
                    fixes=("Add the column, or correct its name",),
                )


def missing_classes(facts: Facts) -> Iterator[Finding]:
    """Find classes that train or validation has nobody of, though there are enough for both."""
    n_of_family = Counter(division.family for division in facts.divisions)
    for division in facts.divisions:
        classes = {role: class_counts(division, role, facts.label) for role in (TRAIN, VALIDATION)}
        both = sum((one for one in classes.values() if one is not None), Counter[str]())
        if None in classes.values() or is_quantity(both):
            continue
        # k stratified folds give each at least one of a class of k.
        least = max(2, n_of_family[division.family])
        for role, own in classes.items():
            absent = sorted(
                name for name, n in both.items() if n >= least and name not in (own or ())
            )
            if absent:
                yield Finding(
                    "missing-class",
                    "refuse",
                    f"{role} ({_files(division.of(role))}) has nobody of {facts.label} "
                    + listed(f"{name} (in all {both[name]})" for name in absent),
                    fixes=(f"Stratify by {facts.label}, as tsvtools split and kfold do",),
                )


def class_counts(division: Division, role: str, label: str | None) -> Counter[str] | None:
    """Return how many participants of a set each class has; nothing where a table has no label."""
    tables = division.of(role)
    if label is None or not tables or any(label not in table.first.columns for table in tables):
        return None
    return Counter(division.first(role)[label].dropna().astype(str).str.strip())


def is_quantity(values: Collection[str]) -> bool:
    """Return whether a label has no classes: numbers, of many different values."""
    return len(values) > MOST_CLASSES and all(sessions.number(one) is not None for one in values)


LEAKAGE_RULES: dict[str, Callable[[Facts], Iterable[Finding]]] = {
    "shared-participants": shared_participants,
    "late-split": late_split,
    "contradiction": contradictions,
    "torn-groups": torn_groups,
    "edited-table": edited_tables,
}
"""What makes a number worthless; name -> function."""

VALIDITY_RULES: dict[str, Callable[[Facts], Iterable[Finding]]] = {
    "repeated-rows": repeated_rows,
    "not-the-baseline": not_the_baseline,
    "missing-column": missing_columns,
    "missing-class": missing_classes,
}
"""What is wrong with tables in themselves; name -> function."""


def _nested(facts: Facts) -> Iterator[tuple[Division, Division]]:
    """Yield each division with each that it is inside of."""
    for division in facts.divisions:
        for above in facts.divisions:
            if division.is_inside(above):
                yield division, above


def _n_shared_sessions(pair: Pair, names: Collection[str]) -> int:
    mine, theirs = (
        [
            (cohort_of(name), (bare(name), visit))
            for table in tables
            for name, visit in zip(table.people, table.visits, strict=True)
            if name in names and table.has_sessions
        ]
        for tables in (pair.one_tables, pair.other_tables)
    )
    n = 0
    for cohort in {home for home, _ in mine}:
        own = (one for home, one in mine if home == cohort)
        others = (one for home, one in theirs if home in (cohort, "") or not cohort)
        n += len(same_sessions(own, others))
    return n


def _groups(first: pd.DataFrame, column: str) -> dict[tuple[str, str], list[str]]:
    """Return the groups of a column, those of each cohort for themselves, and who is in them."""
    groups: dict[tuple[str, str], list[str]] = {}
    if column in first.columns:
        for name, cell in zip(first.index, first[column], strict=True):
            if isinstance(cell, str):
                groups.setdefault((cohort_of(name), cell.strip()), []).append(name)
    return {group: sorted(groups[group]) for group in sorted(groups)}


def _files(tables: Sequence[Table], names: Collection[str] | None = None) -> str:
    """Return the files of some tables, those that hold somebody of these names."""
    wanted = None if names is None else {*names}
    some = [table for table in tables if wanted is None or not wanted.isdisjoint(table.people)]
    return listed((table.shown for table in some), most=3)


def _shown(table: Table, mask: NDArray[np.bool_]) -> Iterator[str]:
    for name, visit in zip(table.people[mask], table.visits[mask], strict=True):
        yield f"{name} | {visit}" if table.has_sessions else name


def _if_respelt(same: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    respelt = any(one != name for name, others in same.items() for one in others)
    return (TWO_PEOPLE,) if respelt else ()
