"""How alike two groups of participants are in age and sex."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, stdtr

from clinicadl.tables import sessions
from clinicadl.tables.sessions import Source

Numbers = NDArray[np.float64]
Positions = NDArray[np.intp]

CODE_OF_SEX = {"M": 0.0, "F": 1.0}


class Trait(NamedTuple):
    """Age or sex of each participant."""

    column: str
    read: Path
    """The table that it was read from."""
    value: Numbers
    """NaN where it is not known, shape (participants,)."""


def ages(people: pd.DataFrame, given: Source) -> Trait | None:
    """Return the ages of participants, or nothing if nobody's is known.

    Parameters
    ----------
    people
        One row a participant.
    given
        The table that they come from, as it was read; the ages may be in a ``labels.tsv`` above it.

    Raises
    ------
    InvalidDataError
        An age is not a number.
    """
    for column in sessions.AGES:
        found = sessions.source(given.table, given.path, [column])
        if found is None:
            continue
        rows = _rows_of(people, found)
        values = sessions.numbers(rows, column, where=found.path)
        trait = _trait(people, found, rows, column, np.asarray(values, dtype=np.float64))
        if trait is not None:
            return trait
    return None


def sexes(people: pd.DataFrame, given: Source) -> Trait | None:
    """Return the sexes of participants (M 0, F 1, others NaN), or nothing if nobody's is known."""
    found = sessions.source(given.table, given.path, [sessions.SEX])
    if found is None:
        return None
    rows = _rows_of(people, found)
    values = [CODE_OF_SEX.get(str(cell).strip(), np.nan) for cell in rows[sessions.SEX]]
    return _trait(people, found, rows, sessions.SEX, np.array(values, dtype=float))


def _rows_of(people: pd.DataFrame, found: Source) -> pd.DataFrame:
    """Return the rows of the participants' sessions, whose index still tells their places."""
    wanted = set(sessions.sessions_of(people))
    return found.table[[key in wanted for key in sessions.sessions_of(found.table)]]


def _trait(
    people: pd.DataFrame, found: Source, rows: pd.DataFrame, column: str, values: Numbers
) -> Trait | None:
    value_of = dict(zip(sessions.sessions_of(rows), values, strict=True))
    aligned = np.array(
        [value_of.get(key, np.nan) for key in sessions.sessions_of(people)], dtype=np.float64
    )
    return None if np.all(np.isnan(aligned)) else Trait(column, found.path, aligned)


def age_balance(age: Numbers, chosen: Positions) -> Numbers:
    """Return the two-sided p-value of Student's t-test between the chosen and the others.

    Parameters
    ----------
    age
        Shape (participants,); NaN is left out.
    chosen
        Positions of participants, one group a row, shape (groups, chosen participants).

    Returns
    -------
    Shape (groups,); 1 if everybody has one age, 0 where a group has no age at all.
    """
    known = ~np.isnan(age)
    if np.ptp(age[known]) == 0:
        return np.ones(len(chosen))
    # Centred, so that sums of squares lose no digits; what is unknown adds nothing to a sum.
    centred = np.where(known, age - np.mean(age[known]), 0.0)
    n_in = known[chosen].sum(axis=1)
    n_out = known.sum() - n_in
    sum_in = centred[chosen].sum(axis=1)
    squares_in = (centred[chosen] ** 2).sum(axis=1)
    sum_out, squares_out = centred.sum() - sum_in, (centred**2).sum() - squares_in
    freedom = n_in + n_out - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        within = squares_in - sum_in**2 / n_in + squares_out - sum_out**2 / n_out
        spread = np.sqrt(np.maximum(within, 0) / freedom * (1 / n_in + 1 / n_out))
        t = np.abs(sum_in / n_in - sum_out / n_out) / spread
        p = 2 * stdtr(np.asarray(freedom, dtype=float), -t)
    return _rounded(np.where((n_in > 0) & (n_out > 0) & (freedom > 0), np.nan_to_num(p), 0.0))


def sex_balance(sex: Numbers, chosen: Positions) -> Numbers:
    """Return how well the shares of the sexes agree between the chosen and the others.

    The score is a chi-square tail on *shares*, not on counts, so it is no p-value: 0.80 is a gap of
    at most about 12.5 points, whatever the number of participants.

    Parameters
    ----------
    sex
        0 or 1, shape (participants,); NaN is left out.
    chosen
        Positions of participants, one group a row, shape (groups, chosen participants).

    Returns
    -------
    Shape (groups,); 1 if everybody has one sex, 0 where a group has nobody of known sex.
    """
    known = ~np.isnan(sex)
    if np.ptp(sex[known]) == 0:
        return np.ones(len(chosen))
    women = np.where(known, sex, 0.0)
    n_in = known[chosen].sum(axis=1)
    women_in = women[chosen].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share_in = women_in / n_in
        share_out = (women.sum() - women_in) / (known.sum() - n_in)
        gap = (share_in - share_out) ** 2
        statistic = gap / share_out + gap / (1 - share_out)
        score = chdtrc(1.0, statistic)
    # Nobody of one sex among the others: no gap can be measured in units of their share.
    return _rounded(np.where(np.isfinite(statistic), np.nan_to_num(score), 0.0))


def _rounded(p: Numbers) -> Numbers:
    """Return p without its last digits, which depend on the order in which a processor sums."""
    return np.round(p, 12)
