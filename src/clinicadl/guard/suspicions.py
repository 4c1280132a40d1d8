"""What is no leak, and worth a look: confounds, unlike sets, one person under two ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import comb, sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc
from scipy.stats import fisher_exact, rankdata, ttest_ind

from clinicadl.errors import listed
from clinicadl.guard.facts import Finding
from clinicadl.guard.identity import key, same_participants
from clinicadl.guard.people import bare, cohort_of
from clinicadl.guard.set_names import tokens
from clinicadl.guard.set_rules import MOST_CLASSES, Facts, Pair, is_quantity, pairs
from clinicadl.guard.set_tables import VISIT, Table
from clinicadl.guard.wording import are, counted
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT
from clinicadl.tables.sessions import AGES, SEX

LEAST_ROWS, LEAST_OF_CLASS, LEAST_OF_LEVEL = 20, 5, 5
"""Participants, those of each class and, on average, of each level before an association counts."""
ACQUISITION_V, OTHER_V, LEAST_AUC = 0.70, 0.90, 0.99
MOST_P = 0.001
LEAST_OF_SET, MOST_SMD, MOST_P_UNLIKE = 10, 0.5, 0.01
INFORMATIVE, DEPENDENT, MOST_EXPECTED = 0.2, 0.9, 0.01
"""Chance that two people agree on a column, rank correlation of two columns that say one thing,
and coincidences that a table of this size would show by chance."""
_LARGEST_GROUP = 10

_ACQUISITION = frozenset({
    "site", "scanner", "manufacturer", "manufacturers", "vendor", "model", "center", "centre",
    "hospital", "field", "tesla", "strength", "fieldstrength", "protocol", "sequence", "coil",
    "station", "device", "machine", "study", "cohort", "software", "sites", "siteid",
})  # fmt: skip
_IDS = frozenset({
    "id", "ids", "rid", "uid", "ptid", "guid", "index", "idx", "key", "name", "filename", "file",
    "path", "image", "images", "number", "no", "nr", "accession", "unnamed", "subject",
})  # fmt: skip
_DATES = frozenset({
    "date", "day", "datetime", "timestamp", "time", "viscode", "visit", "session", "month", "year",
    "examdate", "acq", "scandate",
})  # fmt: skip
_BIRTH = frozenset({"birth", "dob", "birthdate", "birthday", "yob", "birthyear"})

Numbers = NDArray[np.float64]


class Column(NamedTuple):
    """One column, with one value a participant."""

    name: str
    value: Numbers
    """A number, or the position of the class; NaN where it is unknown."""
    n_classes: int
    """0 for numbers."""


def column_of(cells: pd.Series[str], name: str) -> Column:
    """Return a column as numbers, if it has more than `MOST_CLASSES` of them, or as classes."""
    known = {cell: sessions.number(cell) for cell in cells.unique() if isinstance(cell, str)}
    if all(one is not None for one in known.values()) and len({*known.values()}) > MOST_CLASSES:
        return Column(name, np.array([known.get(cell, np.nan) for cell in cells], float), 0)
    texts = sorted({cell.strip() for cell in known})
    code_of = {text: float(i) for i, text in enumerate(texts)}
    codes = [code_of[cell.strip()] if isinstance(cell, str) else np.nan for cell in cells]
    return Column(name, np.array(codes, dtype=np.float64), len(texts))


def determined_label(facts: Facts) -> Iterator[Finding]:
    """Find columns that tell the label: another name of it, or the site of the scanner."""
    if facts.label is None:
        return
    for people in everybody(facts):
        if facts.label not in people.columns:
            continue
        label = _classes_of_label(people[facts.label], facts.label)
        for name in people.columns:
            words = {*tokens(str(name))}
            acquired = bool(words & _ACQUISITION)
            if name in (facts.label, VISIT) or (words & (_IDS | _DATES | _BIRTH) and not acquired):
                continue
            found = association(column_of(people[name], str(name)), label)
            if found is None:
                continue
            enough = {"AUC": LEAST_AUC, "V": ACQUISITION_V if acquired else OTHER_V}[found.measure]
            if found.value >= enough and found.p < MOST_P:
                yield _determined(str(name), facts.label, found, acquired)


def _determined(name: str, label: str, found: Association, acquired: bool) -> Finding:
    measure = "Cramer's V" if found.measure == "V" else found.measure
    figures = f"({measure} {found.value:.2f} over {found.n} participants)"
    if acquired:
        return Finding(
            "determined-label",
            "warn",
            f"{name} nearly determines {label} {figures}: a network can learn {name} instead",
            fixes=(f"Compare classes within one {name}, or balance {label} over {name}",),
        )
    return Finding(
        "determined-label",
        "warn",
        f"{name} determines {label} {figures}: it may be {label} under another name",
        fixes=("Never let a network see it",),
    )


class Association(NamedTuple):
    """How well a column tells the label."""

    measure: str
    value: float
    p: float
    n: int


def association(column: Column, label: Column) -> Association | None:
    """Return how well a column tells the classes of the label, if there is enough to say.

    Classes are compared by Cramer's V, corrected for its bias [1]_; numbers by the area under the
    ROC curve of the two classes that they tell apart worst.

    References
    ----------
    .. [1] Bergsma, A bias-correction for Cramer's V and Tschuprow's T, J. Korean Stat. Soc., 2013
    """
    known = ~np.isnan(column.value) & ~np.isnan(label.value)
    sizes = np.bincount(label.value[known].astype(np.intp), minlength=label.n_classes)
    classes = np.flatnonzero(sizes >= LEAST_OF_CLASS)
    known &= np.isin(label.value, classes)
    n = int(known.sum())
    if n < LEAST_ROWS or len(classes) < 2:
        return None
    value, code = column.value[known], label.value[known]
    if not column.n_classes:
        auc, p = min(_separation(value[code == a], value[code == b])
                     for a, b in combinations(classes, 2))  # fmt: skip
        return Association("AUC", auc, p, n)
    levels, at = np.unique(value, return_inverse=True)
    if len(levels) < 2 or n / len(levels) < LEAST_OF_LEVEL:
        return None
    counts = np.zeros((len(levels), len(classes)))
    np.add.at(counts, (at, np.searchsorted(classes, code)), 1)
    return Association("V", *_cramer(counts), n)


def _separation(one: Numbers, other: Numbers) -> tuple[float, float]:
    """Return the area under the ROC curve of two classes, at least 1/2, and its p-value."""
    n, m = len(one), len(other)
    ranks = rankdata(np.concatenate([one, other]))
    auc = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    away = abs(auc - 0.5)
    p = chdtrc(1.0, 12 * n * m * away**2 / (n + m + 1))
    return float(0.5 + away), float(p)


def _cramer(counts: Numbers) -> tuple[float, float]:
    n = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    statistic = ((counts - expected) ** 2 / expected).sum()
    r, c = counts.shape
    freedom = (r - 1) * (c - 1)
    phi = max(0.0, statistic / n - freedom / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return float(sqrt(phi / least)), float(chdtrc(float(freedom), statistic))


def _classes_of_label(cells: pd.Series[str], name: str) -> Column:
    """Return the label as classes; a quantity is below or above its median."""
    label = column_of(cells, name)
    if label.n_classes or not is_quantity([*cells.dropna().unique()]):
        return label
    above = np.where(np.isnan(label.value), np.nan, label.value > np.nanmedian(label.value))
    return Column(name, above, 2)


def unlike_sets(facts: Facts) -> Iterator[Finding]:
    """Find sets that differ widely from the train set of their division in age or sex."""
    compared = [
        (pair, name, found)
        for division in facts.divisions
        for pair in pairs(division)
        for name, compare in ((AGES, _unlike_ages), ((SEX,), _unlike_sexes))
        if (found := _unlike(pair, name, compare)) is not None
    ]
    for pair, names, found in compared:
        # Each of many folds has its chance of a small p-value.
        if found.smd > MOST_SMD and found.p * len(compared) < MOST_P_UNLIKE:
            yield Finding(
                "unlike-sets",
                "warn",
                f"{pair.one} and {pair.other} of {pair.division.name} differ in {names[0]}: "
                f"{found.text} (standardised difference {found.smd:.2f}, p {found.p:.1g})",
                fixes=("Divide again: tsvtools split and kfold balance age and sex",),
            )


class _Unlike(NamedTuple):
    smd: float
    p: float
    text: str


def _unlike(
    pair: Pair, names: Sequence[str], compare: Callable[[Column, Column], _Unlike | None]
) -> _Unlike | None:
    mine, theirs = pair.division.first(pair.one), pair.division.first(*pair.others)
    name = next((name for name in names if name in mine and name in theirs), None)
    if name is None:
        return None
    cells = pd.concat([mine[name], theirs[name]])
    both = column_of(cells, name)
    if name in AGES:
        both = Column(name, _as_numbers(cells), 0)
    parts = [both.value[: len(mine)], both.value[len(mine) :]]
    sides = [both._replace(value=part[~np.isnan(part)]) for part in parts]
    if min(len(side.value) for side in sides) < LEAST_OF_SET:
        return None
    return compare(*sides)


def _as_numbers(cells: pd.Series[str]) -> Numbers:
    values = [sessions.number(cell) for cell in cells]
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)


def _unlike_ages(one: Column, other: Column) -> _Unlike | None:
    a, b = one.value, other.value
    spread = sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    if spread == 0:
        return None
    p = float(ttest_ind(a, b, equal_var=False).pvalue)
    return _Unlike(abs(a.mean() - b.mean()) / spread, p, f"means {a.mean():.1f} and {b.mean():.1f}")


def _unlike_sexes(one: Column, other: Column) -> _Unlike | None:
    if one.n_classes != 2:
        return None
    a, b = one.value, other.value
    spread = sqrt((a.mean() * (1 - a.mean()) + b.mean() * (1 - b.mean())) / 2)
    if spread == 0:
        # All of one sex against all of the other, or everybody of one.
        spread = 1e-9
    counts = np.array([[side.sum(), len(side) - side.sum()] for side in (a, b)], dtype=np.intp)
    p = float(fisher_exact(counts).pvalue)
    shares = f"shares {a.mean():.2f} and {b.mean():.2f}"
    return _Unlike(min(abs(a.mean() - b.mean()) / spread, 99.0), p, shares)


def same_person_twice(facts: Facts) -> Iterator[Finding]:
    """Find two ids in different sets with the same age or birth date and the same measures."""
    for people in everybody(facts):
        rows = people.drop(columns=[VISIT, facts.label or VISIT], errors="ignore")
        told: dict[str, tuple[str, str]] = {}
        for (one, other), agreed in alike(rows):
            homes = _apart(one, other, facts)
            if homes is not None and not same_participants([bare(one)], [bare(other)]):
                text = f"{one} ({homes[0]}) and {other} ({homes[1]}) have the same {listed(agreed)}"
                told[text] = (one, other)
        if told:
            yield Finding(
                "same-person-twice",
                "warn",
                f"{counted(told, 'pair')} of participants in different sets may be one person "
                f"under two ids: {listed(told)}",
                tuple(dict.fromkeys(name for pair in told.values() for name in pair)),
                ("Find out who they are; one person is to have one participant_id",),
            )


def alike(people: pd.DataFrame) -> list[tuple[tuple[str, str], list[str]]]:
    """Return the pairs of participants who agree on more than chance explains, and on what.

    By chance, two people agree on a column as often as two draws from it do. A pair is told where
    it agrees on at least three columns that say something, age or birth date among them, and fewer
    than `MOST_EXPECTED` such pairs are expected in a table of this size. Columns that go together
    count once. Columns of few classes say nothing, but a known sex must be the same.

    Parameters
    ----------
    people
        One row a participant, the names as index.
    """
    measures, sex = _measures(people)
    births = [one for one in measures if _is_birth(one.name)]
    if not births or len(measures) < 3:
        return []
    chance = _chance_to_agree(sorted(measures, key=lambda one: (one not in births, one.name)))
    n, names, found = len(people), [str(name) for name in people.index], []
    for i, j in _candidates(births, measures, chance, n):
        known = [one for one in measures if not np.isnan(one.value[[i, j]]).any()]
        same = [one.name for one in known if one.value[i] == one.value[j]]
        telling = [name for name in same if chance.get(name, 1) <= INFORMATIVE]
        expected = (
            comb(n, 2)
            * comb(len(known), len(same))
            * float(np.prod([chance.get(name, 1.0) for name in same]))
        )
        is_one = len(telling) >= 3 and any(map(_is_birth, telling)) and expected < MOST_EXPECTED
        if is_one and 2 * len(same) > len(known) and not abs(sex[i] - sex[j]) > 0:
            found.append(((min(names[i], names[j]), max(names[i], names[j])), same))
    return sorted(found)


def _is_birth(name: str) -> bool:
    return bool({*tokens(name)} & (_BIRTH | {"age"}))


def _measures(people: pd.DataFrame) -> tuple[list[Column], Numbers]:
    """Return the columns that may tell people apart, and the sex."""
    measures = []
    sex = np.full(len(people), np.nan)
    for name in people.columns:
        column = column_of(people[name], str(name))
        if str(name).lower() == SEX:
            sex = column.value
        is_id = {*tokens(str(name))} & (_IDS | _DATES) and not _is_birth(str(name))
        if not is_id and (not column.n_classes or column.n_classes > MOST_CLASSES):
            measures.append(column)
    return measures, sex


def _chance_to_agree(measures: Sequence[Column]) -> dict[str, float]:
    """Return how often two people agree on each column that says what no earlier one says."""
    table = pd.DataFrame({one.name: one.value for one in measures})
    together = table.corr(method="spearman", min_periods=LEAST_ROWS).abs().fillna(0.0).to_numpy()
    chance: dict[str, float] = {}
    counted_in: list[int] = []
    for i, one in enumerate(measures):
        dependence = max((float(together[i, j]) for j in counted_in), default=0.0)
        if dependence < DEPENDENT:
            chance[one.name] = _collision(one.value) / sqrt(1 - dependence**2)
            counted_in.append(i)
    return chance


def _collision(value: Numbers) -> float:
    """Return how often two draws from a column agree; a column of single values agrees once."""
    sizes = np.unique(value[~np.isnan(value)], return_counts=True)[1].astype(np.float64)
    n = sizes.sum()
    if n < 2:
        return 1.0
    return float(max(1.0, (sizes * (sizes - 1)).sum() / 2) / (n * (n - 1) / 2))


def _candidates(
    births: Sequence[Column], measures: Sequence[Column], chance: Mapping[str, float], n: int
) -> list[tuple[int, int]]:
    """Return the pairs that agree on age and on another column, where that is rare."""
    found: dict[tuple[int, int], None] = {}
    for birth in births:
        for other in measures:
            rare = n * chance.get(birth.name, 1.0) * chance.get(other.name, 1.0) < 1
            if other is birth or not rare:
                continue
            known = np.flatnonzero(~np.isnan(birth.value) & ~np.isnan(other.value))
            groups: dict[tuple[float, float], list[int]] = {}
            for i in known.tolist():
                groups.setdefault((birth.value[i], other.value[i]), []).append(i)
            for members in groups.values():
                if 1 < len(members) <= _LARGEST_GROUP:
                    found |= dict.fromkeys(combinations(members, 2))
    return list(found)


def _apart(one: str, other: str, facts: Facts) -> tuple[str, str] | None:
    """Return the sets of two people in the first division that sets them apart."""
    for division in facts.divisions:
        homes = [
            [role for role in division.roles
             if name in division.first_of[role].index]
            for name in (one, other)
        ]  # fmt: skip
        if all(homes) and not {*homes[0]} & {*homes[1]}:
            return homes[0][0], homes[1][0]
    return None


def later_sessions(facts: Facts) -> Iterator[Finding]:
    """Find baseline tables without a whole table, of participants who have an earlier session."""
    lonely = [
        table
        for division in facts.divisions
        for table in division.tables
        if table.name.is_baseline
        and all(other.name.is_baseline for other in division.of(table.name.role))
    ]
    if not lonely:
        return
    earliest = _earliest(facts)
    for table in lonely:
        own = {visit: sessions.by_month(visit)[:-1] for visit in {*table.first[VISIT]}}
        late = sorted(
            name
            for name, visit in zip(table.first.index, table.first[VISIT], strict=True)
            if earliest[table.root, name] < own[visit]
        )
        if late:
            yield Finding(
                "later-sessions",
                "warn",
                f"{table.shown} is called a baseline, and has a later session of "
                f"{counted(late, 'participant')} with an earlier one in another table: "
                f"{listed(late)}",
                tuple(late),
                ("Keep the first session of each participant in it",),
            )


Month = tuple[tuple[int, int, str], ...]


def _earliest(facts: Facts) -> dict[tuple[str, str], Month]:
    """Return the first session of each participant of a root in any table, and in labels.tsv."""
    earliest: dict[tuple[str, str], Month] = {}
    for division in facts.divisions:
        for table in division.tables:
            months = {visit: sessions.by_month(visit)[:-1] for visit in {*table.first[VISIT]}}
            seen = zip(table.first.index, table.first[VISIT], strict=True)
            for who, month in _with_labels(table, facts, ((who, months[one]) for who, one in seen)):
                if who not in earliest or month < earliest[who]:
                    earliest[who] = month
    return earliest


def _with_labels(
    table: Table, facts: Facts, own: Iterable[tuple[str, Month]]
) -> Iterator[tuple[tuple[str, str], Month]]:
    for name, month in own:
        yield (table.root, name), month
    if table.labels is None or not table.name.is_baseline:
        return
    spelt = dict(zip(table.written, table.people, strict=True))
    rows = table.labels[table.labels.index.isin(spelt, level=0)]
    if facts.label in rows.columns and facts.label in table.first.columns:
        # Sessions of other classes were left out on purpose.
        rows = rows[rows[facts.label].isin(table.first[facts.label].unique())]
    months = {visit: sessions.by_month(visit)[:-1] for visit in {*rows.index.get_level_values(1)}}
    for participant, session in rows.index:
        yield (table.root, spelt[participant]), months[session]


def one_id_in_cohorts(facts: Facts) -> Iterator[Finding]:
    """Find ids of several cohorts that bear the name of a data set, so are hardly two people."""
    for people in everybody(facts):
        if COHORT not in people.columns:
            continue
        homes: dict[str, list[str]] = {}
        for name in sorted(people.index):
            spelt = key(bare(name))
            if cohort_of(name) and spelt[:1].isalpha() and sum(map(str.isdigit, spelt)) > 2:
                homes.setdefault(spelt, []).append(name)
        same = [names for names in homes.values() if len({*map(cohort_of, names)}) > 1]
        apart = [names for names in same if _apart(names[0], names[1], facts) is not None]
        if apart:
            yield Finding(
                "one-id-in-cohorts",
                "warn",
                f"{counted(apart, 'id')} of different cohorts {are(apart)} the same, in different "
                f"sets: {listed(' = '.join(names) for names in apart)}",
                tuple(name for names in apart for name in names),
                ("If they are one person, say so with --same_person",),
            )


def everybody(facts: Facts) -> Iterator[pd.DataFrame]:
    """Yield the participants of each root, one row each."""
    roots: dict[str, list[pd.DataFrame]] = {}
    seen: dict[str, set[str]] = {}
    for division in facts.divisions:
        for table in division.tables:
            names = seen.setdefault(table.root, set())
            new = [name not in names for name in table.first.index]
            if any(new):
                roots.setdefault(table.root, []).append(table.first[new])
                names.update(table.first.index)
    for parts in roots.values():
        people = pd.concat(parts)
        cohorts = [cohort_of(name) or np.nan for name in people.index]
        if any(isinstance(one, str) for one in cohorts):
            people = people.assign(**{COHORT: cohorts})
        yield people


SUSPICIONS: dict[str, Callable[[Facts], Iterable[Finding]]] = {
    "determined-label": determined_label,
    "unlike-sets": unlike_sets,
    "same-person-twice": same_person_twice,
    "later-sessions": later_sessions,
    "one-id-in-cohorts": one_id_in_cohorts,
}
"""What is worth a look; name -> function."""
