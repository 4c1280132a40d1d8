"""Participants divided into k folds, each of which is set apart once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clinicadl.config.tables import KFoldConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import splits
from clinicadl.layouts.files import refuse_unwritable, sha256
from clinicadl.layouts.splits import Division
from clinicadl.tables import demographics, sessions
from clinicadl.tables.demographics import Numbers, Positions, Trait
from clinicadl.tables.sessions import Source
from clinicadl.tables.split import division_of
from clinicadl.tables.strata import Strata, shuffled, strata

logger = logging.getLogger(__name__)

N_TRIALS = 200
"""Divisions among which the best balanced one is taken."""

_PURPOSE = "kfold"


class Plan(NamedTuple):
    """The divisions that were found, and nothing written."""

    config: KFoldConfig
    folder: Path
    read: tuple[Path, ...]
    divisions: tuple[Division, ...]
    record: dict[str, Any]


class _Traits(NamedTuple):
    """What is balanced, where it is known."""

    age: Trait | None
    sex: Trait | None


class _Folds(NamedTuple):
    """The participants of each fold, and how alike they are to the others."""

    members: list[Positions]
    trial: int
    p_age: list[float] | None
    p_sex: list[float] | None


def kfold(config: KFoldConfig) -> Path:
    """Divide the participants into folds, and write one division for each.

    Parameters
    ----------
    config
        How many folds, and what is kept alike.

    Returns
    -------
    The folder, beside the table.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or has fewer participants than folds.
    OutputError
        The folder cannot be written.
    """
    planned = plan(config)
    write(planned)
    return planned.folder


def plan(config: KFoldConfig) -> Plan:
    """Return the divisions that `kfold` would write.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or has fewer participants than folds.
    OutputError
        The folder cannot be written.
    """
    given = Source(config.data_tsv, sessions.read(config.data_tsv))
    table = sessions.in_order(given.table)
    people = sessions.baseline(table)
    folder = splits.next_folder(config.data_tsv.parent, f"{config.n_splits}_fold")
    refuse_unwritable(folder)
    read = [config.data_tsv]
    folds = _Folds([np.arange(len(people))], 0, None, None)
    columns: tuple[str, ...] = ()
    if config.n_splits:
        named = "stratification" in config.model_fields_set
        by = config.stratification
        classes = strata(people, given, [by], optional=() if named else (by,))
        traits = _Traits(None, None) if config.ignore_demographics else _traits(people, given)
        columns = classes.columns
        read += [*classes.read, *(trait.read for trait in traits if trait is not None)]
        _check_sizes(classes, config)
        folds = _best(config, classes, traits)
    return Plan(
        config,
        folder,
        tuple(dict.fromkeys(read)),
        tuple(
            division_of(table, people, members, valid_longitudinal=config.valid_longitudinal)
            for members in folds.members
        ),
        _record(config, columns, folds),
    )


def write(planned: Plan) -> None:
    """Write what was planned, whole.

    Raises
    ------
    OutputError
        The folder was made in the meantime, or cannot be written.
    """
    splits.write_folds(
        planned.folder,
        planned.divisions,
        subset_name=planned.config.subset_name,
        record=planned.record,
    )


def _traits(people: pd.DataFrame, given: Source) -> _Traits:
    traits = _Traits(demographics.ages(people, given), demographics.sexes(people, given))
    for name, trait in (("age", traits.age), ("sex (M or F)", traits.sex)):
        if trait is None:
            continue
        unknown = people[sessions.PARTICIPANT][np.isnan(trait.value)]
        if len(unknown):
            logger.warning(
                "The folds are balanced without the %s of %s, which %s does not know",
                name, listed(unknown), trait.read,
            )  # fmt: skip
    return traits


def _check_sizes(classes: Strata, config: KFoldConfig) -> None:
    n_people, n_folds = len(classes.code), config.n_splits
    if n_people < n_folds:
        raise InvalidDataError(
            "There are fewer participants than folds", where=config.data_tsv,
            found=f"{n_people} participants, {n_folds} folds",
            fix=f"Give --n_splits {n_people} or less" if n_people > 1 else "Use a larger table",
        )  # fmt: skip
    small = [
        f"{name} ({size})"
        for name, size in zip(classes.names, classes.sizes, strict=True)
        if size < n_folds
    ]
    if small:
        logger.warning(
            "Not every one of the %s folds has participants of: %s", n_folds, listed(small)
        )


def members_of_folds(order: Positions, n_folds: int) -> list[Positions]:
    """Return the participants of each fold, dealt like cards from participants ordered by class.

    So the folds, and the members of each class in them, differ in number by one at most.

    Parameters
    ----------
    order
        Positions of participants, shape (trials, participants).
    n_folds
        Number of folds.

    Returns
    -------
    One array a fold, shape (trials, participants of the fold), each row sorted.
    """
    return [np.sort(order[:, fold::n_folds], axis=1) for fold in range(n_folds)]


def _best(config: KFoldConfig, classes: Strata, traits: _Traits) -> _Folds:
    """Return the division whose worst fold is most like the others, the first among equals."""
    n_trials = N_TRIALS if any(trait is not None for trait in traits) else 1
    keys = np.stack([
        generator(config.seed, _PURPOSE, sample=trial).random(len(classes.code))
        for trial in range(n_trials)
    ])  # fmt: skip
    members = members_of_folds(shuffled(classes, keys), config.n_splits)
    p_age = _of_folds(demographics.age_balance, traits.age, members)
    p_sex = _of_folds(demographics.sex_balance, traits.sex, members)
    known = [p.min(axis=1) for p in (p_age, p_sex) if p is not None]
    best = int(np.argmax(np.min(known, axis=0))) if known else 0
    return _Folds(
        [fold[best] for fold in members],
        best,
        None if p_age is None else [float(p) for p in p_age[best]],
        None if p_sex is None else [float(p) for p in p_sex[best]],
    )


def _of_folds(
    balance: Callable[[Numbers, Positions], Numbers], trait: Trait | None, members: list[Positions]
) -> Numbers | None:
    """Return the balance of each fold with the others, shape (trials, folds)."""
    if trait is None:
        return None
    return np.stack([balance(trait.value, fold) for fold in members], axis=1)


def _record(config: KFoldConfig, columns: tuple[str, ...], folds: _Folds) -> dict[str, Any]:
    return {
        "n_splits": config.n_splits,
        "subset_name": config.subset_name,
        "stratification": columns[0] if columns else None,
        "ignore_demographics": config.ignore_demographics,
        "valid_longitudinal": config.valid_longitudinal,
        "seed": config.seed,
        "trial": folds.trial,
        "p_age": folds.p_age,
        "p_sex": folds.p_sex,
        "data_tsv": config.data_tsv.name,
        "sha256": sha256(config.data_tsv),
    }
