"""What every division of participants begins with and records."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.read import command_line
from clinicadl.config.tables import KFoldConfig, SplitConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, LeakageError, MissingInputError, listed
from clinicadl.layouts import splits
from clinicadl.layouts.files import sha256
from clinicadl.layouts.splits import Division
from clinicadl.tables import balance, sessions, strata, units
from clinicadl.tables.balance import Covariate, Masks
from clinicadl.tables.sessions import Source
from clinicadl.tables.strata import Strata
from clinicadl.tables.units import Positions, Units

logger = logging.getLogger(__name__)

Reached = Mapping[str, Mapping[str, float]]
"""Column -> name of the measure -> value."""


class People(NamedTuple):
    """The participants of a table."""

    given: Source
    """The table as it was read, with the columns of another where it lacked them."""
    table: pd.DataFrame
    """All sessions, in order."""
    first: pd.DataFrame
    """The first session of each participant, in order."""

    @property
    def n(self) -> int:
        """Number of participants."""
        return len(self.first)

    def strata(self, columns: Sequence[str], *, optional: Sequence[str]) -> Strata:
        """Return the classes that some columns make, see `clinicadl.tables.strata.strata`."""
        return strata.strata(self.first, self.given, columns, optional=optional)

    def units(self, column: str | None) -> Units:
        """Return who stays together, see `clinicadl.tables.units.units`."""
        return units.units(self.first, self.given, column)

    def places(
        self, together: Units, around: Sequence[Path], *, subset_name: str, n_folds: int
    ) -> Positions:
        """Return who has a place already, see `clinicadl.tables.units.places`."""
        return units.places(self.first, together, around, subset_name=subset_name, n_folds=n_folds)

    def covariates(self, columns: Sequence[str], *, needed: bool) -> tuple[Covariate, ...]:
        """Return the columns that are balanced.

        Parameters
        ----------
        columns
            Their names.
        needed
            Whether each must be there; otherwise absent ones are left out.

        Raises
        ------
        MissingInputError
            A column that is needed is absent or empty.
        """
        found = {name: balance.covariate(self.first, self.given, name) for name in columns}
        absent = [name for name, one in found.items() if one is None]
        if absent and needed:
            raise MissingInputError(
                f"There is no {' and no '.join(absent)} to balance", where=self.given.path,
                found=f"columns {listed(self.given.table.columns)}",
                fix="Add the column, here or in a labels.tsv above, name others with --balance_by, "
                "or use --ignore_demographics",
            )  # fmt: skip
        kept = tuple(one for one in found.values() if one is not None)
        for one in kept:
            unknown = self.first[sessions.PARTICIPANT][one.unknown]
            if len(unknown):
                logger.warning(
                    "Balanced without the %s of %s, which %s does not know",
                    one.column, listed(unknown), one.read,
                )  # fmt: skip
        return kept

    def division(self, apart: NDArray[np.bool_], *, valid_longitudinal: bool) -> Division:
        """Return the tables of the participants set apart and of the others.

        Parameters
        ----------
        apart
            Whether each participant is set apart, shape (participants,).
        valid_longitudinal
            Whether every session of those set apart gets a table too.
        """
        names = set(self.first[sessions.PARTICIPANT][apart])
        in_apart = self.table[sessions.PARTICIPANT].isin(names).to_numpy()
        nobody_learns = bool(apart.all())
        return Division(
            train=None if nobody_learns else self.table[~in_apart],
            train_baseline=None if nobody_learns else self.first[~apart],
            apart_baseline=self.first[apart],
            apart=self.table[in_apart] if valid_longitudinal else None,
        )


class Drawn(NamedTuple):
    """A division that was found."""

    apart: Masks
    """Who is set apart, shape (divisions, participants)."""
    trial: int
    """The draw that it comes from."""
    reached: Any
    """How alike the parts are, as the record says it; None where nothing was balanced."""
    stratified_by: tuple[str, ...]
    read: tuple[Path, ...]
    """Every table that had a say."""


def read(path: Path, *, merged_tsv: Path | None = None) -> People:
    """Return the participants of a table.

    Parameters
    ----------
    path
        One row a session.
    merged_tsv
        A table whose columns are taken where the first lacks them.

    Raises
    ------
    LeakageError
        The table belongs to an earlier division, and somebody was moved into it since.
    """
    written = sessions.read(path)
    _refuse_moved(path, written)
    table = sessions.in_order(written)
    given = Source(path, written)
    if merged_tsv is not None:
        given = Source(path, _with_columns_of(written, sessions.read(merged_tsv)))
    return People(given, table, sessions.baseline(table))


def of_table(path: Path, table: pd.DataFrame) -> People:
    """Return the participants of a table that will be written to ``path``."""
    ordered = sessions.in_order(table)
    return People(Source(path, table), ordered, sessions.baseline(ordered))


def _with_columns_of(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    row_of = {key: i for i, key in enumerate(sessions.sessions_of(other))}
    rows = [row_of.get(key, -1) for key in sessions.sessions_of(table)]
    lacking = [column for column in other.columns if column not in table.columns]
    aligned = other[lacking].reindex(rows).set_index(table.index)
    return pd.concat([table, aligned], axis=1)


def _refuse_moved(path: Path, table: pd.DataFrame) -> None:
    """Notice a table that was edited after its division.

    Raises
    ------
    LeakageError
        It holds somebody of another set of the division.
    """
    edit = splits.edited(path, table[sessions.PARTICIPANT])
    if edit is None:
        return
    for part, who in edit.moved.items():
        raise LeakageError(
            f"The table was edited after the split, and now holds participants of {part}",
            where=path, found=listed(who), fix="Take them out, or split again", code="edited-leak",
        )  # fmt: skip
    logger.warning(
        "%s was edited after the split: %d participants came, %d went (%s)",
        path, len(edit.came), len(edit.went), listed([*edit.came, *edit.went]) or "nobody",
    )  # fmt: skip


def refuse_other_sexes(people: People, covariates: Iterable[Covariate]) -> None:
    """Refuse sexes that the published criterion cannot compare.

    Raises
    ------
    InvalidDataError
        A sex is missing, or neither M nor F.
    """
    for one in covariates:
        if one.column != sessions.SEX:
            continue
        known = [name in balance.SEXES for name in one.classes]
        wrong = np.array([np.isnan(code) or not known[int(code)] for code in one.value])
        if wrong.any():
            who = people.first[sessions.PARTICIPANT][wrong]
            raise InvalidDataError(
                f"The sex of {len(who)} participant{'s' if len(who) > 1 else ''} is not M or F",
                where=f"{one.read}, column {one.column}", found=listed(who),
                fix="Correct it, leave them out of the table, or use --balance tests",
            )  # fmt: skip


def keys(seed: int, purpose: str, trials: Iterable[int], n: int) -> NDArray[np.float64]:
    """Return random numbers in [0, 1), one a participant, shape (trials, participants)."""
    return np.stack([generator(seed, purpose, sample=trial).random(n) for trial in trials])


def tables_read(first: Path, *others: Sequence[Path]) -> tuple[Path, ...]:
    """Return tables in the order in which they were read, each once."""
    return tuple(dict.fromkeys([first, *(path for paths in others for path in paths)]))


def described(reached: Reached) -> str:
    """Return how alike two sets are, in words.

    Examples
    --------
    >>> described({"age": {"p": 0.912, "smd": 0.0213}, "sex": {"p": 1.0}})
    'age p 0.912, SMD 0.0213; sex p 1'
    """
    return "; ".join(
        f"{column} "
        + ", ".join(
            f"{'SMD' if name == 'smd' else name} {value:.3g}" for name, value in values.items()
        )
        for column, values in reached.items()
    )


def provenance(command: str, config: SplitConfig | KFoldConfig, drawn: Drawn) -> dict[str, Any]:
    """Return what the record of a division says of how it was made.

    Paths are told from the folder of the table, so that the same division is the same bytes
    wherever it is made.
    """
    home = config.data_tsv.parent
    typed = {"data_tsv": _from(home, config.data_tsv), "around": _all_from(home, config.around)}
    if isinstance(config, KFoldConfig) and config.merged_tsv is not None:
        typed["merged_tsv"] = _from(home, config.merged_tsv)
    as_typed = config.model_copy(update=typed)
    return {
        "command": command_line(command, as_typed, arguments=("data_tsv",)),
        "seed": config.seed,
        "trial": drawn.trial,
        "stratified_by": list(drawn.stratified_by),
        "group_by": config.group_by,
        "around": [str(folder) for folder in as_typed.around],
        "valid_longitudinal": config.valid_longitudinal,
        "balance_criterion": config.balance,
        "balance": drawn.reached,
        "data_tsv": config.data_tsv.name,
        splits.DIGEST: _digest(config.data_tsv),
        "inputs": {str(_from(home, path)): _digest(path) for path in drawn.read},
    }


def _from(home: Path, path: Path) -> Path:
    return Path(os.path.relpath(path.absolute(), home.absolute()))


def _all_from(home: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(_from(home, path) for path in paths)


def _digest(path: Path) -> str | None:
    # A table that is made in the same go is not there yet; its own record says where it is from.
    return sha256(path) if path.is_file() else None
