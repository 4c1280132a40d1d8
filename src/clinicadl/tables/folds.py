"""Participants divided into k folds, each of which is set apart once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clinicadl.config.tables import KFoldConfig
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import splits
from clinicadl.layouts.files import refuse_unwritable
from clinicadl.layouts.splits import Division
from clinicadl.tables import division
from clinicadl.tables.balance import CRITERIA, Covariate, Least, balance
from clinicadl.tables.division import Drawn, People
from clinicadl.tables.drawing import Drawing, fold_numbers
from clinicadl.tables.strata import Strata

logger = logging.getLogger(__name__)

N_TRIALS = 200
"""Divisions among which the best balanced one is taken."""

_PURPOSE = "kfold"
_MOST_CELLS = 5_000_000
_NO_LEAST = Least(p_numbers=0, p_classes=0, most_smd=np.inf)


class Plan(NamedTuple):
    """The divisions that were found, and nothing written."""

    config: KFoldConfig
    folder: Path
    read: tuple[Path, ...]
    divisions: tuple[Division, ...]
    record: dict[str, Any]


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
        The table is wrong, or has fewer participants or groups than folds.
    LeakageError
        Somebody has two places in earlier divisions, or was moved into the table by hand.
    OutputError
        The folder cannot be written.
    """
    planned = plan(config)
    write(planned)
    return planned.folder


def plan(config: KFoldConfig, people: People | None = None) -> Plan:
    """Return the divisions that `kfold` would write.

    Parameters
    ----------
    config
        How many folds, and what is kept alike.
    people
        Whom the table holds, where it is not written yet.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or has fewer participants or groups than folds.
    LeakageError
        Somebody has two places in earlier divisions, or was moved into the table by hand.
    OutputError
        The folder cannot be written.
    """
    if people is None:
        people = division.read(config.data_tsv, merged_tsv=config.merged_tsv)
    folder = splits.next_folder(config.data_tsv.parent, f"{config.n_splits}_fold")
    refuse_unwritable(folder)
    everybody = np.ones((1, people.n), dtype=bool)
    drawn = Drawn(everybody, 0, None, (), (config.data_tsv,))
    if config.n_splits:
        drawn = _drawn(config, people)
    divisions = tuple(
        people.division(apart, valid_longitudinal=config.valid_longitudinal)
        for apart in drawn.apart
    )
    return Plan(config, folder, drawn.read, divisions, _record(config, drawn))


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


def _drawn(config: KFoldConfig, people: People) -> Drawn:
    named = "stratification" in config.model_fields_set
    by = config.stratification
    classes = people.strata(by, optional=() if named else by)
    needed = "balance_by" in config.model_fields_set
    columns = () if config.ignore_demographics else config.balance_by
    covariates = people.covariates(columns, needed=needed)
    if config.balance == "published":
        division.refuse_other_sexes(people, covariates)
    together = people.units(config.group_by)
    _check_sizes(classes, together.n, config)
    place = people.places(
        together, config.around, subset_name=config.subset_name, n_folds=config.n_splits
    )
    drawing = Drawing(classes.code, together, place)
    merged = () if config.merged_tsv is None else (config.merged_tsv,)
    read = division.tables_read(
        config.data_tsv, merged, classes.read, together.read, *((one.read,) for one in covariates)
    )
    found = _best(config, drawing, covariates)
    empty = [f"split-{i}" for i, apart in enumerate(found.apart) if not apart.any()]
    if empty:
        raise InvalidDataError(
            "A fold would have no participants", where=config.data_tsv, found=listed(empty),
            fix="Ask for fewer folds: groups are kept whole, and earlier divisions decide",
        )  # fmt: skip
    return found._replace(stratified_by=classes.columns, read=read)


def _check_sizes(classes: Strata, n_units: int, config: KFoldConfig) -> None:
    n_folds = config.n_splits
    if n_units < n_folds:
        what = "groups" if n_units < len(classes.code) else "participants"
        raise InvalidDataError(
            f"There are fewer {what} than folds", where=config.data_tsv,
            found=f"{n_units} {what}, {n_folds} folds",
            fix=f"Give --n_splits {n_units} or less" if n_units > 1 else "Use a larger table",
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


def _best(config: KFoldConfig, drawing: Drawing, covariates: tuple[Covariate, ...]) -> Drawn:
    """Return the division whose worst fold is most like the others, the first among equals."""
    n_people, n_folds = len(drawing.code), config.n_splits
    n_trials = min(N_TRIALS, max(_MOST_CELLS // n_people, 8)) if covariates else 1
    keys = division.keys(config.seed, _PURPOSE, range(n_trials), n_people)
    folds = fold_numbers(drawing, n_folds, keys)
    criterion = CRITERIA[config.balance]
    found = [balance(covariates, folds == fold, criterion, _NO_LEAST) for fold in range(n_folds)]
    best = int(np.argmax(np.min([one.margin for one in found], axis=0)))
    reached = [one.of(best) for one in found] if covariates else None
    apart = np.stack([folds[best] == fold for fold in range(n_folds)])
    return Drawn(apart, best, reached, (), ())


def _record(config: KFoldConfig, drawn: Drawn) -> dict[str, Any]:
    return {
        "n_splits": config.n_splits,
        "subset_name": config.subset_name,
        "stratification": drawn.stratified_by[0] if drawn.stratified_by else None,
        "ignore_demographics": config.ignore_demographics,
        **division.provenance("tsvtools kfold", config, drawn),
    }
