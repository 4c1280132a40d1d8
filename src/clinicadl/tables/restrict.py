"""The sessions of a table that the rule of a study, or conditions of one's own, keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.config.labels import Aibl, Custom, Oasis, RestrictConfig
from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.layouts.files import refuse_existing, refuse_unwritable
from clinicadl.tables import expressions, sessions, sieve
from clinicadl.tables.sieve import Sieve

Rule = Callable[[Sieve, Path], Sieve]
"""From the rows so far, and their file for messages, to those that are kept."""

EXAMINATION_DATE = "examination_date"
_NO_DATE = "-4"
_OASIS = "age_bl >= 62"


class Plan(NamedTuple):
    """What is kept and what is not, and nothing written."""

    config: RestrictConfig
    read: tuple[Path, ...]
    kept: pd.DataFrame
    sieve: Sieve

    @property
    def excluded_tsv(self) -> Path:
        """Where the rows go that are not kept."""
        results = self.config.results_tsv
        return results.with_name(f"{results.stem}_{sieve.EXCLUDED}")


def aibl(settings: Aibl) -> Rule:
    """Return the rule of AIBL: whoever was examined at least once."""

    def rule(one: Sieve, where: Path) -> Sieve:
        table = one.kept
        expressions.refuse_unknown(EXAMINATION_DATE, table.columns, where=where)
        is_dated = table[EXAMINATION_DATE].map(lambda cell: str(cell).strip() != _NO_DATE)
        dated = set(table[sessions.PARTICIPANT][is_dated])
        stays = table[sessions.PARTICIPANT].isin(dated).to_numpy()
        return sieve.keep(one, stays, f"{EXAMINATION_DATE} is {_NO_DATE} in all sessions")

    return rule


def oasis(settings: Oasis) -> Rule:
    """Return the rule of OASIS-1: whoever is as old as the youngest patient, or older."""
    return lambda one, where: expressions.keep(one, [expressions.parse(_OASIS)], where=where)


def custom(settings: Custom) -> Rule:
    """Return the rule that keeps everybody."""
    return lambda one, where: one


def restrict(config: RestrictConfig) -> Path:
    """Write the sessions of a table that a rule keeps, and beside them those that it does not.

    Parameters
    ----------
    config
        The table and the rule.

    Returns
    -------
    The table of those kept.

    Raises
    ------
    UsageError
        An expression is none, or the table would be overwritten by its own part.
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or nothing is kept.
    OutputError
        The results are there already, or cannot be written.
    """
    planned = plan(config)
    write(planned)
    return config.results_tsv


def plan(config: RestrictConfig) -> Plan:
    """Return what `restrict` would write.

    Raises
    ------
    UsageError
        An expression is none, or the table would be overwritten by its own part.
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or nothing is kept.
    OutputError
        The results are there already, or cannot be written.
    """
    conditions = [expressions.parse(text) for text in config.where]
    path = config.merged_tsv
    if path.resolve() == config.results_tsv.resolve():
        raise UsageError(
            "The results would overwrite the table that they are part of", where=path,
            fix="Give them another name",
        )  # fmt: skip
    table = sessions.read(path)
    rule: Rule = config.restriction.build()
    one = expressions.keep(rule(sieve.begin(table), path), conditions, where=path)
    if one.kept.empty:
        raise InvalidDataError(
            "No session is kept", where=path,
            found=listed(f"{n} x {reason}" for reason, n in sieve.counts(one).items()),
            fix="Check the restriction",
        )  # fmt: skip
    planned = Plan(config, (path,), sessions.in_order(one.kept), one)
    for output in (config.results_tsv, planned.excluded_tsv):
        if not config.overwrite:
            refuse_existing(output)
        refuse_unwritable(output)
    return planned


def write(planned: Plan) -> None:
    """Write what was planned.

    Raises
    ------
    OutputError
        A table cannot be written.
    """
    planned.excluded_tsv.unlink(missing_ok=True)
    sieve.write(planned.sieve, planned.excluded_tsv)
    sessions.write(planned.config.results_tsv, planned.kept)
