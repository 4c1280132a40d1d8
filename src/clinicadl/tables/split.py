"""Participants set apart from the others, once: test set or validation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.tables import SplitConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import splits
from clinicadl.layouts.files import refuse_unwritable, sha256
from clinicadl.layouts.splits import Division
from clinicadl.tables import demographics, sessions
from clinicadl.tables.demographics import Positions, Trait
from clinicadl.tables.sessions import Source
from clinicadl.tables.strata import Strata, shuffled, strata, without_singles

N_TRIALS = 10_000
"""Draws after which a balance counts as out of reach."""

_PURPOSE = "split"
_FIRST_CHUNK, _CELLS = 16, 1_000_000


class Plan(NamedTuple):
    """A division that was found, and nothing written."""

    config: SplitConfig
    folder: Path
    read: tuple[Path, ...]
    division: Division
    record: dict[str, Any]


class _Draw(NamedTuple):
    """The participants set apart, and how alike they are to the others."""

    apart: Positions
    trial: int
    p_age: float | None
    p_sex: float | None


def split(config: SplitConfig) -> Path:
    """Set participants apart, with all of their sessions, and write the two parts.

    Parameters
    ----------
    config
        How many, and what is kept alike.

    Returns
    -------
    The folder, beside the table.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or no draw can be as balanced as is asked for.
    OutputError
        The folder cannot be written.
    """
    planned = plan(config)
    write(planned)
    return planned.folder


def plan(config: SplitConfig) -> Plan:
    """Return the division that `split` would write.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or no draw can be as balanced as is asked for.
    OutputError
        The folder cannot be written.
    """
    given = Source(config.data_tsv, sessions.read(config.data_tsv))
    table = sessions.in_order(given.table)
    people = sessions.baseline(table)
    folder = splits.next_folder(config.data_tsv.parent, "split")
    refuse_unwritable(folder)
    n_test = _n_test(config, len(people))
    read = [config.data_tsv]
    draw = _Draw(np.arange(len(people)), 0, None, None)
    columns: tuple[str, ...] = ()
    if n_test < len(people):
        balanced = None if config.ignore_demographics else _traits(people, given)
        classes = _strata(config, people, given)
        columns = classes.columns
        read += [*classes.read, *(trait.read for trait in balanced or ())]
        draw = _search(config, without_singles(classes), n_test, balanced)
    return Plan(
        config,
        folder,
        tuple(dict.fromkeys(read)),
        division_of(table, people, draw.apart, valid_longitudinal=config.valid_longitudinal),
        _record(config, columns, draw),
    )


def write(planned: Plan) -> None:
    """Write what was planned, whole.

    Raises
    ------
    OutputError
        The folder was made in the meantime, or cannot be written.
    """
    splits.write_split(
        planned.folder,
        planned.division,
        subset_name=planned.config.subset_name,
        record=planned.record,
    )


def division_of(
    table: pd.DataFrame, people: pd.DataFrame, apart: Positions, *, valid_longitudinal: bool
) -> Division:
    """Return the tables of the participants set apart and of the others.

    Parameters
    ----------
    table
        All sessions, in order.
    people
        The first session of each participant, in order.
    apart
        Positions in ``people``.
    valid_longitudinal
        Whether every session of those set apart gets a table too.
    """
    is_apart = np.zeros(len(people), dtype=bool)
    is_apart[apart] = True
    names = set(people[sessions.PARTICIPANT][is_apart])
    in_apart = np.array([name in names for name in table[sessions.PARTICIPANT]])
    nobody_learns = bool(is_apart.all())
    return Division(
        train=None if nobody_learns else table[~in_apart],
        train_baseline=None if nobody_learns else people[~is_apart],
        apart_baseline=people[is_apart],
        apart=table[in_apart] if valid_longitudinal else None,
    )


def _n_test(config: SplitConfig, n_people: int) -> int:
    """Return how many participants are set apart.

    Raises
    ------
    InvalidDataError
        It would be nobody, or everybody.
    """
    if config.n_test == 0:
        return n_people
    # A share is a decimal number: 0.29 of 100 participants is 29, though 0.29 * 100 is less.
    share = config.n_test < 1
    n_test = math.floor(config.n_test * n_people + 1e-9) if share else config.n_test
    if n_test < 1 or n_test >= n_people:
        nobody = "Nobody would be set apart" if n_test < 1 else "Nobody would be left to train on"
        raise InvalidDataError(
            nobody, where=config.data_tsv,
            found=f"{n_people} participants, --n_test {config.n_test:g}",
            fix=f"Give --n_test from 1 to {n_people - 1}, or a share"
            if n_people > 1 else "Use a table of more participants",
        )  # fmt: skip
    return int(n_test)


def _traits(people: pd.DataFrame, given: Source) -> tuple[Trait, Trait]:
    """Return age and sex.

    Raises
    ------
    MissingInputError
        There is no such column, or nothing in it.
    InvalidDataError
        A sex is missing or neither M nor F.
    """
    age, sex = demographics.ages(people, given), demographics.sexes(people, given)
    if age is None or sex is None:
        absent = [name for name, one in (("age", age), ("sex", sex)) if one is None]
        raise MissingInputError(
            f"There is no {' and no '.join(absent)} to balance", where=given.path,
            found=f"columns {listed(given.table.columns)}",
            fix="Add the column, here or in a labels.tsv above, or use --ignore_demographics",
        )  # fmt: skip
    unknown = people[sessions.PARTICIPANT][np.isnan(sex.value)]
    if len(unknown):
        raise InvalidDataError(
            f"The sex of {len(unknown)} participant{'s' if len(unknown) > 1 else ''} is not M or F",
            where=f"{sex.read}, column {sex.column}", found=listed(unknown),
            fix="Correct it, leave them out of the table, or use --ignore_demographics",
        )  # fmt: skip
    return age, sex


def _strata(config: SplitConfig, people: pd.DataFrame, given: Source) -> Strata:
    by, named = config.stratify_by, "stratify_by" in config.model_fields_set
    columns = [by] if named or not config.ignore_demographics else []
    if config.categorical_split_variable is not None:
        columns.append(config.categorical_split_variable)
    return strata(people, given, columns, optional=() if named else (by,))


def _search(
    config: SplitConfig, classes: Strata, n_test: int, balanced: tuple[Trait, Trait] | None
) -> _Draw:
    """Return the first draw that is balanced.

    Raises
    ------
    InvalidDataError
        A class cannot be in both parts, or no draw is balanced.
    """
    columns = _columns(classes, n_test, config.data_tsv)
    least = np.array([config.p_age_threshold, config.p_sex_threshold])
    best = np.zeros(2)
    for trials in _chunks(len(classes.code), 1 if balanced is None else N_TRIALS):
        keys = np.stack([
            generator(config.seed, _PURPOSE, sample=trial).random(len(classes.code))
            for trial in trials
        ])  # fmt: skip
        apart = np.sort(shuffled(classes, keys)[:, columns], axis=1)
        if balanced is None:
            return _Draw(apart[0], 0, None, None)
        age, sex = balanced
        p = np.stack(
            [
                demographics.age_balance(age.value, apart),
                demographics.sex_balance(sex.value, apart),
            ],
            axis=1,
        )
        good = np.flatnonzero(np.all(p >= least, axis=1))
        if len(good):
            i = int(good[0])
            return _Draw(apart[i], trials[i], float(p[i, 0]), float(p[i, 1]))
        best = max(best, p[int(np.argmax(p.min(axis=1)))], key=np.min)
    raise InvalidDataError(
        f"No draw of {n_test} of {len(classes.code)} participants is as balanced as asked for "
        f"(age p >= {least[0]:g}, sex score >= {least[1]:g})",
        where=config.data_tsv,
        found=f"the best of {N_TRIALS} draws has age p = {best[0]:.3g}, sex score = {best[1]:.3g}",
        fix="Lower --p_age_threshold and --p_sex_threshold, change --n_test, or use "
        "--ignore_demographics",
    )


def _chunks(n_people: int, n_trials: int) -> Iterator[range]:
    """Yield the trials, few at first: most tables are balanced soon."""
    start, size = 0, min(_FIRST_CHUNK, n_trials)
    while start < n_trials:
        yield range(start, min(start + size, n_trials))
        start, size = start + size, min(4 * size, max(_FIRST_CHUNK, _CELLS // n_people))


def _columns(classes: Strata, n_test: int, path: Path) -> Positions:
    """Return which places of the participants, ordered by class, are set apart.

    Raises
    ------
    InvalidDataError
        A part has fewer participants than there are classes.
    """
    sizes = classes.sizes
    counts = shares(sizes, n_test)
    if counts is None:
        smallest = min(n_test, int(sizes.sum()) - n_test)
        named = [f"{name} ({n})" for name, n in zip(classes.names, sizes, strict=True)]
        raise InvalidDataError(
            f"{len(sizes)} classes cannot all be in both parts", where=path,
            found=f"{smallest} participants in the smaller part; classes {listed(named)}",
            fix="Change --n_test, or stratify by a column with fewer classes",
        )  # fmt: skip
    starts = np.cumsum(sizes) - sizes
    return np.concatenate(
        [np.arange(start, start + count) for start, count in zip(starts, counts, strict=True)]
    )


def shares(sizes: Positions, n_test: int) -> Positions | None:
    """Return how many of each class are set apart: its share, and at least one in each part.

    Whole numbers come from the largest remainders; among equal ones the first class comes first.

    Returns
    -------
    Shape of ``sizes``, sum ``n_test``; nothing if a part has fewer participants than classes.

    Examples
    --------
    >>> shares(np.array([10, 30]), 8)
    array([2, 6])
    >>> shares(np.array([2, 98]), 10)
    array([1, 9])
    """
    total = int(sizes.sum())
    if len(sizes) == 1:
        return np.array([n_test])
    if min(n_test, total - n_test) < len(sizes) or sizes.min() < 2:
        return None
    exact = sizes * n_test
    counts = np.clip(exact // total, 1, sizes - 1)
    # Integers throughout: which remainder is largest must not hang on a rounding.
    while (short := n_test - int(counts.sum())) != 0:
        step = 1 if short > 0 else -1
        owed = step * (exact - counts * total)
        possible = (counts + step >= 1) & (counts + step <= sizes - 1)
        counts[int(np.argmax(np.where(possible, owed, np.iinfo(np.int64).min)))] += step
    return counts


def _record(config: SplitConfig, columns: tuple[str, ...], draw: _Draw) -> dict[str, Any]:
    """Return what split.json says; the misspelt key is that of release 1.x, which reads it."""
    return {
        "n_test": config.n_test,
        "subset_name": config.subset_name,
        "p_age_threshold": config.p_age_threshold,
        "p_sex_threshold": config.p_sex_threshold,
        "categorical_split_variable": config.categorical_split_variable,
        "ignore_demographics": config.ignore_demographics,
        "mullti_diagnoses": False,
        "stratified_by": list(columns),
        "valid_longitudinal": config.valid_longitudinal,
        "seed": config.seed,
        "trial": draw.trial,
        "p_age": draw.p_age,
        "p_sex": draw.p_sex,
        "data_tsv": config.data_tsv.name,
        "sha256": sha256(config.data_tsv),
    }
