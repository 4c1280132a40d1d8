"""Participants set apart from the others, once: test set or validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clinicadl.config.tables import SplitConfig
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import splits
from clinicadl.layouts.files import refuse_unwritable
from clinicadl.layouts.splits import Division
from clinicadl.tables import division
from clinicadl.tables.balance import (
    CRITERIA,
    Covariate,
    Least,
    Masks,
    balance,
    numeric_columns,
)
from clinicadl.tables.division import Drawn, People
from clinicadl.tables.drawing import Drawing, apart, shares, still_due
from clinicadl.tables.strata import Strata, without_singles
from clinicadl.tables.units import FREE, Positions

N_TRIALS = 10_000
"""Draws after which a balance counts as out of reach."""
N_TRIALS_OF_GROUPS = 500
"""The same where groups are kept whole: the fullest of all draws are looked for first."""

_PURPOSE = "split"
_FIRST_CHUNK, _CELLS = 16, 1_000_000
_MOST_CELLS, _MOST_CELLS_OF_GROUPS = 25_000_000, 2_500_000


class Plan(NamedTuple):
    """A division that was found, and nothing written."""

    config: SplitConfig
    folder: Path
    read: tuple[Path, ...]
    division: Division
    record: dict[str, Any]


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
        The table is wrong; with ``strict``, no draw can be as balanced as is asked for.
    LeakageError
        Somebody has two places in earlier divisions, or was moved into the table by hand.
    OutputError
        The folder cannot be written.
    """
    planned = plan(config)
    write(planned)
    return planned.folder


def plan(config: SplitConfig, people: People | None = None) -> Plan:
    """Return the division that `split` would write.

    Parameters
    ----------
    config
        How many, and what is kept alike.
    people
        Whom the table holds, where it is not written yet.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong; with ``strict``, no draw can be as balanced as is asked for.
    LeakageError
        Somebody has two places in earlier divisions, or was moved into the table by hand.
    OutputError
        The folder cannot be written.
    """
    people = division.read(config.data_tsv) if people is None else people
    folder = splits.next_folder(config.data_tsv.parent, "split")
    refuse_unwritable(folder)
    n_test = _n_test(config, people.n)
    everybody = np.ones(people.n, dtype=bool)
    drawn = Drawn(everybody[None], 0, None, (), (config.data_tsv,))
    if n_test < people.n:
        drawn = _drawn(config, people, n_test)
    planned = people.division(drawn.apart[0], valid_longitudinal=config.valid_longitudinal)
    record = _record(config, drawn)
    return Plan(config, folder, drawn.read, planned, record)


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


def _drawn(config: SplitConfig, people: People, n_test: int) -> Drawn:
    """Return the division: the first draw that is balanced, else the best."""
    named = "stratify_by" in config.model_fields_set
    by = config.stratify_by if named or not config.ignore_demographics else ()
    also = config.categorical_split_variable
    classes = people.strata(
        (*by, *([also] if also else ())), optional=() if named else config.stratify_by
    )
    covariates = _covariates(config, people)
    together = people.units(config.group_by)
    place = people.places(together, config.around, subset_name=config.subset_name, n_folds=0)
    merged = without_singles(classes)
    drawing = Drawing(merged.code, together, place)
    read = division.tables_read(
        config.data_tsv, classes.read, together.read, *((one.read,) for one in covariates)
    )
    due = _due(config, merged, drawing, n_test)
    best = _search(config, drawing, due, covariates)
    n_apart = best.worth[0]
    if n_apart != n_test:
        division.logger.warning(
            "%d participants are set apart, not %d: %s", n_apart, n_test,
            "groups are kept whole" if together.are_groups else "earlier divisions decide",
        )  # fmt: skip
    reached = best.reached if covariates else None
    return Drawn(best.apart[None], best.trial, reached, classes.columns, read)


def _covariates(config: SplitConfig, people: People) -> tuple[Covariate, ...]:
    if config.ignore_demographics:
        return ()
    if config.multi_diagnoses:
        return people.covariates(numeric_columns(people.given), needed=True)
    found = people.covariates(config.balance_by, needed=True)
    if config.balance == "published":
        division.refuse_other_sexes(people, found)
    return found


def _due(config: SplitConfig, classes: Strata, drawing: Drawing, n_test: int) -> Positions:
    """Return how many free participants of each class are set apart.

    Raises
    ------
    InvalidDataError
        A part has fewer participants than there are classes.
    """
    if (drawing.place != FREE).any():
        return still_due(drawing, n_test)
    sizes = classes.sizes
    due = shares(sizes, n_test)
    if due is None:
        smallest = min(n_test, int(sizes.sum()) - n_test)
        named = [f"{name} ({n})" for name, n in zip(classes.names, sizes, strict=True)]
        raise InvalidDataError(
            f"{len(sizes)} classes cannot all be in both parts", where=config.data_tsv,
            found=f"{smallest} participants in the smaller part; classes {listed(named)}",
            fix="Change --n_test, or stratify by a column with fewer classes",
        )  # fmt: skip
    return due


class _Best(NamedTuple):
    """The best draw so far."""

    worth: tuple[int, float]
    """How many are set apart, and by how much the balance misses what is asked for (0: not)."""
    apart: Masks
    trial: int
    reached: dict[str, dict[str, float]]


def _search(
    config: SplitConfig, drawing: Drawing, due: Positions, covariates: Sequence[Covariate]
) -> _Best:
    """Return the first draw that is balanced, else the best.

    Raises
    ------
    InvalidDataError
        The balance is out of reach, and the settings are strict.
    """
    criterion = CRITERIA["ks" if config.multi_diagnoses else config.balance]
    least = Least(config.p_age_threshold, config.p_sex_threshold, config.smd_threshold)
    n_people = len(drawing.code)
    best = _Best((-1, -np.inf), np.zeros(n_people, dtype=bool), 0, {})
    for trials in _chunks(n_people, _n_trials(drawing, due, covariates)):
        masks = apart(drawing, due, division.keys(config.seed, _PURPOSE, trials, n_people))
        found = balance(covariates, masks, criterion, least)
        # The fullest first; among these the first that is balanced, else the best.
        worth = list(zip(masks.sum(axis=1).tolist(), np.minimum(found.margin, 0), strict=True))
        i = max(range(len(worth)), key=worth.__getitem__)
        if worth[i] > best.worth:
            best = _Best(worth[i], masks[i], trials[i], found.of(i))
        if best.worth[1] == 0 and not drawing.together.are_groups:
            break
    if best.worth[1] < 0:
        _say_how_far(config, best)
    return best


def _n_trials(drawing: Drawing, due: Positions, covariates: Sequence[Covariate]) -> int:
    if not due.sum() or not (covariates or drawing.together.are_groups):
        return 1
    grouped = drawing.together.are_groups
    most = N_TRIALS_OF_GROUPS if grouped else N_TRIALS
    cells = _MOST_CELLS_OF_GROUPS if grouped else _MOST_CELLS
    # Of a large table fewer draws are enough: each is nearer to the whole.
    return min(most, max(cells // len(drawing.code), 100))


def _say_how_far(config: SplitConfig, best: _Best) -> None:
    """Say that the balance is out of reach.

    Raises
    ------
    InvalidDataError
        The settings are strict.
    """
    asked = f"p >= {config.p_age_threshold:g} of numbers and {config.p_sex_threshold:g} of classes"
    if config.balance == "tests" and not config.multi_diagnoses:
        asked += f", SMD <= {config.smd_threshold:g}"
    off = f"the best draw has {division.described(best.reached)}, off by {-best.worth[1]:.3g}"
    if config.strict:
        raise InvalidDataError(
            f"No draw is as balanced as asked for ({asked})", where=config.data_tsv, found=off,
            fix="Leave --strict out to take the best draw, lower the thresholds, change --n_test, "
            "or use --ignore_demographics",
        )  # fmt: skip
    division.logger.warning("No draw is as balanced as asked for (%s): %s", asked, off)


def _chunks(n_people: int, n_trials: int) -> Iterator[range]:
    """Yield the trials, few at first: most tables are balanced soon."""
    start, size = 0, min(_FIRST_CHUNK, n_trials)
    while start < n_trials:
        yield range(start, min(start + size, n_trials))
        start, size = start + size, min(4 * size, max(_FIRST_CHUNK, _CELLS // n_people))


def _record(config: SplitConfig, drawn: Drawn) -> dict[str, Any]:
    """Return what split.json says; the misspelt key is that of release 1.x, which reads it."""
    return {
        "n_test": config.n_test,
        "subset_name": config.subset_name,
        "p_age_threshold": config.p_age_threshold,
        "p_sex_threshold": config.p_sex_threshold,
        "categorical_split_variable": config.categorical_split_variable,
        "ignore_demographics": config.ignore_demographics,
        "mullti_diagnoses": config.multi_diagnoses,
        **division.provenance("tsvtools split", config, drawn),
    }
