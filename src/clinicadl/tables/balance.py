"""How alike two sets of participants are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov, stdtr

from clinicadl.tables import sessions
from clinicadl.tables.sessions import Source

Numbers = NDArray[np.float64]
Masks = NDArray[np.bool_]
"""Whether each participant is set apart, one draw a row, shape (draws, participants)."""

AGE = sessions.AGES[0]
SEXES = ("M", "F")
MOST_CLASSES = 10
"""Other columns of numbers are compared as numbers where they hold more values than these."""


class Covariate(NamedTuple):
    """What is known of each participant in one column."""

    column: str
    read: Path
    """The table that it was read from."""
    value: Numbers
    """Shape (participants,): a number, or the position in ``classes``; NaN where it is unknown."""
    classes: tuple[str, ...]
    """The values of a column of classes, sorted; empty for numbers."""

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Whether the value of each participant is unknown."""
        return np.isnan(self.value)


def covariate(people: pd.DataFrame, given: Source, column: str) -> Covariate | None:
    """Return a column of each participant, or nothing if nobody's value is known.

    ``age`` is numbers, and found under its other name too; any other column is numbers where all of
    its values are, and more than `MOST_CLASSES` differ. ``sex`` is always classes.

    Parameters
    ----------
    people
        One row a participant.
    given
        The table that they come from, as it was read; the column may be in a ``labels.tsv`` above.
    column
        Its name.

    Raises
    ------
    InvalidDataError
        An age is not a number.
    """
    for name in sessions.AGES if column == AGE else (column,):
        found = sessions.source(given.table, given.path, [name])
        if found is None:
            continue
        values = sessions.values_of(people, found, name)
        if all(isinstance(value, float) for value in values):
            continue
        if column == AGE or _is_numeric(column, values):
            return Covariate(name, found.path, _numbers(people, found, name, values), ())
        texts = [value.strip() if isinstance(value, str) else None for value in values]
        classes = tuple(sorted({text for text in texts if text is not None}))
        code_of = {text: float(i) for i, text in enumerate(classes)}
        codes = [np.nan if text is None else code_of[text] for text in texts]
        return Covariate(name, found.path, np.array(codes), classes)
    return None


def _numbers(people: pd.DataFrame, found: Source, column: str, values: Sequence[object]) -> Numbers:
    read = [sessions.number(value) for value in values]
    wrong = people[sessions.PARTICIPANT][[one is None for one in read]]
    if len(wrong):
        # Refused as rows of the table that they stand in.
        theirs = found.table[found.table[sessions.PARTICIPANT].isin(wrong)]
        sessions.numbers(theirs, column, where=found.path)
    return np.array(read, dtype=np.float64)


def numeric_columns(given: Source) -> tuple[str, ...]:
    """Return the columns of a table that are compared as numbers."""
    return tuple(
        str(name)
        for name in given.table.columns
        if name not in (sessions.PARTICIPANT, sessions.SESSION)
        and _is_numeric(str(name), given.table[name].tolist())
    )


def _is_numeric(column: str, values: Sequence[object]) -> bool:
    texts = {value for value in values if isinstance(value, str)}
    if column == sessions.SEX or len(texts) <= MOST_CLASSES:
        return False
    return all(sessions.number(text) is not None for text in texts)


class Least(NamedTuple):
    """What a balance must reach."""

    p_numbers: float
    """Of a column of numbers."""
    p_classes: float
    """Of a column of classes."""
    most_smd: float
    """Standardised mean difference of a column of numbers."""


class Criterion(NamedTuple):
    """How two sets are compared."""

    of_numbers: Mapping[str, Callable[[Covariate, Masks], Numbers]]
    """Name of the measure -> one value a draw."""
    of_classes: Mapping[str, Callable[[Covariate, Masks], Numbers]]


def student(one: Covariate, apart: Masks) -> Numbers:
    """Return the two-sided p-value of Student's t-test between those set apart and the others.

    Both are drawn from the same participants, so their variances are the same: Student's test is
    the right one, also for a set of one.

    Returns
    -------
    Shape (draws,); 1 if everybody has one value, 0 where a set has no value at all.
    """
    moments = _moments(one, apart)
    if moments is None:
        return np.ones(len(apart))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = moments.sd * np.sqrt(1 / moments.n_in + 1 / moments.n_out)
        p = 2 * stdtr(moments.freedom, -np.abs(moments.difference) / spread)
    return _rounded(np.where(moments.is_known, np.nan_to_num(p), 0.0))


def smd(one: Covariate, apart: Masks) -> Numbers:
    """Return the absolute difference of the means in units of the pooled standard deviation.

    Returns
    -------
    Shape (draws,), Cohen's d; 0 if everybody has one value, infinite where a set has no value.
    """
    moments = _moments(one, apart)
    if moments is None:
        return np.zeros(len(apart))
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.abs(moments.difference) / moments.sd
    return _rounded(np.where(moments.is_known, np.nan_to_num(d, nan=0.0, posinf=np.inf), np.inf))


class _Moments(NamedTuple):
    n_in: Numbers
    n_out: Numbers
    difference: Numbers
    """Of the means."""
    sd: Numbers
    """Pooled, within both sets."""
    freedom: Numbers
    is_known: NDArray[np.bool_]
    """Whether both sets have values."""


def _moments(one: Covariate, apart: Masks) -> _Moments | None:
    """Return the moments of both sets; nothing if everybody has one value."""
    known = ~one.unknown
    if np.ptp(one.value[known]) == 0:
        return None
    # Centred, so that sums of squares lose no digits; what is unknown adds nothing to a sum.
    centred = np.where(known, one.value - np.mean(one.value[known]), 0.0)
    inside = apart.astype(np.float64)
    n_in, sum_in, squares_in = (inside @ np.stack([known, centred, centred**2], axis=1)).T
    n_out = known.sum() - n_in
    sum_out, squares_out = centred.sum() - sum_in, (centred**2).sum() - squares_in
    freedom = n_in + n_out - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        within = squares_in - sum_in**2 / n_in + squares_out - sum_out**2 / n_out
        sd = np.sqrt(np.maximum(within, 0) / freedom)
        difference = sum_in / n_in - sum_out / n_out
    return _Moments(n_in, n_out, difference, sd, freedom, (n_in > 0) & (n_out > 0) & (freedom > 0))


def kolmogorov_smirnov(one: Covariate, apart: Masks) -> Numbers:
    """Return the p-value of the two-sample Kolmogorov-Smirnov test, by its limiting distribution.

    Returns
    -------
    Shape (draws,); 1 if everybody has one value, 0 where a set has no value at all.
    """
    known = np.flatnonzero(~one.unknown)
    order = known[np.argsort(one.value[known], kind="stable")]
    inside = apart[:, order].astype(np.float64)
    n_in = inside.sum(axis=1)
    n_out = len(order) - n_in
    # Compared where a value ends: equal values are one step of both distributions.
    ends = np.append(np.flatnonzero(np.diff(one.value[order])), len(order) - 1)
    below = np.cumsum(inside, axis=1)[:, ends]
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(below / n_in[:, None] - (ends + 1 - below) / n_out[:, None]).max(axis=1)
        p = kolmogorov(np.sqrt(n_in * n_out / (n_in + n_out)) * gap)
    return _rounded(np.where((n_in > 0) & (n_out > 0), np.nan_to_num(p), 0.0))


def counts(one: Covariate, apart: Masks) -> Numbers:
    """Return the p-value of a test on the counts of the classes in both sets.

    Fisher's exact test for two classes, the chi-square test of the counts for more.

    Returns
    -------
    Shape (draws,); 1 if everybody is of one class, 0 where a set has nobody of known class.
    """
    inside, total = _counts(one, apart)
    if len(one.classes) < 2:
        return np.ones(len(apart))
    n_in, n_all = inside.sum(axis=1), total.sum()
    if len(one.classes) == 2:
        p = np.array([
            _fisher(int(first), int(n), int(total[0]), int(n_all))
            for first, n in zip(inside[:, 0], n_in, strict=True)
        ])  # fmt: skip
    else:
        expected_in = np.outer(n_in, total / n_all)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = (inside - expected_in) ** 2
            statistic = (gap / expected_in + gap / (total - expected_in)).sum(axis=1)
        p = np.nan_to_num(chdtrc(len(total) - 1.0, statistic))
    return _rounded(np.where((n_in > 0) & (n_in < n_all), p, 0.0))


@lru_cache(maxsize=2**16)
def _fisher(first: int, n_in: int, n_first: int, n_all: int) -> float:
    from scipy.stats import fisher_exact

    rest = n_in - first
    table = np.array([[first, rest], [n_first - first, n_all - n_first - rest]])
    return float(fisher_exact(table).pvalue)


def shares(one: Covariate, apart: Masks) -> Numbers:
    """Return how well the shares of the classes agree, by the published criterion.

    The score is a chi-square tail on *shares*, not on counts, so it is no p-value: for two classes,
    0.80 is a gap of at most about 12.5 points, whatever the number of participants.

    Returns
    -------
    Shape (draws,); 1 if everybody is of one class, 0 where a set has nobody of known class, or a
    class that the others have nobody of.
    """
    inside, total = _counts(one, apart)
    if len(one.classes) < 2:
        return np.ones(len(apart))
    with np.errstate(divide="ignore", invalid="ignore"):
        share_in = inside / inside.sum(axis=1, keepdims=True)
        outside = total - inside
        share_out = outside / outside.sum(axis=1, keepdims=True)
        statistic = ((share_in - share_out) ** 2 / share_out).sum(axis=1)
    score = chdtrc(len(total) - 1.0, statistic)
    return _rounded(np.where(np.isfinite(statistic), np.nan_to_num(score), 0.0))


def _counts(one: Covariate, apart: Masks) -> tuple[Numbers, Numbers]:
    """Return how many of each class are set apart, shape (draws, classes), and how many are."""
    of_class = np.stack([one.value == code for code in range(len(one.classes))], axis=1)
    return apart.astype(np.float64) @ of_class, of_class.sum(axis=0).astype(np.float64)


def _rounded(values: Numbers) -> Numbers:
    """Return numbers without their last digits, which hang on the order in which sums are taken."""
    return np.round(values, 9)


CRITERIA: dict[str, Criterion] = {
    "tests": Criterion({"p": student, "smd": smd}, {"p": counts}),
    "published": Criterion({"p": student}, {"score": shares}),
    "ks": Criterion({"p": kolmogorov_smirnov}, {"p": counts}),
}
"""Name in the settings -> how two sets are compared."""


class Balance(NamedTuple):
    """How alike the sets of each draw are."""

    measures: Mapping[str, Mapping[str, Numbers]]
    """Column -> name of the measure -> one value a draw."""
    margin: Numbers
    """How far the worst measure of each draw is above what it must reach; negative: below."""

    def of(self, draw: int) -> dict[str, dict[str, float]]:
        """Return the measures of one draw."""
        return {
            column: {name: float(values[draw]) for name, values in measures.items()}
            for column, measures in self.measures.items()
        }


def balance(
    covariates: Sequence[Covariate], apart: Masks, criterion: Criterion, least: Least
) -> Balance:
    """Return how alike those set apart and the others are, in each of some draws."""
    measures: dict[str, dict[str, Numbers]] = {}
    margin = np.full(len(apart), np.inf)
    for one in covariates:
        functions = criterion.of_classes if one.classes else criterion.of_numbers
        measures[one.column] = {name: call(one, apart) for name, call in functions.items()}
        for name, values in measures[one.column].items():
            wanted = least.p_classes if one.classes else least.p_numbers
            margin = np.minimum(
                margin, least.most_smd - values if name == "smd" else values - wanted
            )
    return Balance(measures, margin)
