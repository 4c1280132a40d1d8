"""Whether sets of participants differ: tests, and differences in units of spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, gammaln, stdtr

Numbers = NDArray[np.float64]

WELCH, FISHER, CHI_SQUARE = "Welch t", "Fisher exact", "chi-square"
_ALIKE = 1 + 1e-7
"""Tables that are as likely as ours but for rounding count as such, as in R."""


class Line(NamedTuple):
    """One line of a comparison: a column of numbers, a column of words, or one of its values."""

    variable: str
    level: str | None
    """The value that is counted; nothing in the line of the column itself."""
    n_1: int
    """Participants of the first set whose value is known, or who have the value."""
    n_2: int
    missing_1: int = 0
    missing_2: int = 0
    mean_1: float = math.nan
    mean_2: float = math.nan
    sd_1: float = math.nan
    """Of the sample: n - 1."""
    sd_2: float = math.nan
    share_1: float = math.nan
    """Of those whose value is known."""
    share_2: float = math.nan
    test: str | None = None
    p_value: float = math.nan
    smd: float = math.nan
    """Standardised difference: of means, the first less the second; of counts, its size."""


def compared_numbers(name: str, one: ArrayLike, other: ArrayLike) -> list[Line]:
    """Return the comparison of a column of numbers.

    Parameters
    ----------
    name
        The column.
    one, other
        A value of each participant of each set; NaN where it is missing.
    """
    values = [np.asarray(part, dtype=float) for part in (one, other)]
    known = [part[~np.isnan(part)] for part in values]
    mean = [float(part.mean()) if len(part) else math.nan for part in known]
    sd = [float(part.std(ddof=1)) if len(part) > 1 else math.nan for part in known]
    return [
        Line(
            name, None, len(known[0]), len(known[1]),
            missing_1=len(values[0]) - len(known[0]), missing_2=len(values[1]) - len(known[1]),
            mean_1=mean[0], mean_2=mean[1], sd_1=sd[0], sd_2=sd[1],
            test=WELCH, p_value=welch(*known), smd=cohen_d(*known),
        )
    ]  # fmt: skip


def compared_words(name: str, one: Sequence[object], other: Sequence[object]) -> list[Line]:
    """Return the comparison of a column of words: its own line, and one for each of its values.

    Parameters
    ----------
    name
        The column.
    one, other
        A text of each participant of each set; NaN where it is missing.
    """
    known = [
        np.array([cell for cell in part if isinstance(cell, str)], object) for part in (one, other)
    ]
    levels = sorted({*known[0], *known[1]})
    counts = np.array([[(part == level).sum() for level in levels] for part in known], dtype=int)
    is_pair = len(levels) == 2
    lines = [
        Line(
            name, None, len(known[0]), len(known[1]),
            missing_1=len(one) - len(known[0]), missing_2=len(other) - len(known[1]),
            test=FISHER if is_pair else CHI_SQUARE,
            p_value=fisher(counts) if is_pair else chi_square(counts),
            smd=standardised_difference(counts),
        )
    ]  # fmt: skip
    for level, (first, second) in zip(levels, counts.T, strict=True):
        # A set in which nobody's value is known has no shares.
        share = [n / len(part) if len(part) else math.nan
                 for n, part in zip((first, second), known, strict=True)]  # fmt: skip
        lines.append(Line(name, level, int(first), int(second), share_1=share[0], share_2=share[1]))
    return lines


def welch(one: Numbers, other: Numbers) -> float:
    """Return the two-sided p-value of Welch's t-test.

    Returns
    -------
    NaN where a set has fewer than two values; where neither spreads, 1 if they are equal, else 0.
    """
    if min(len(one), len(other)) < 2:
        return math.nan
    (mean_1, variance_1), (mean_2, variance_2) = _moments(one), _moments(other)
    squared_1, squared_2 = variance_1 / len(one), variance_2 / len(other)
    squared = squared_1 + squared_2
    if squared == 0:
        return float(mean_1 == mean_2)
    freedom = squared**2 / (squared_1**2 / (len(one) - 1) + squared_2**2 / (len(other) - 1))
    return float(2 * stdtr(freedom, -abs(mean_1 - mean_2) / math.sqrt(squared)))


def fisher(counts: ArrayLike) -> float:
    """Return the two-sided p-value of Fisher's exact test: tables not more likely than this one.

    Parameters
    ----------
    counts
        Shape (2, 2).
    """
    (a, b), (c, d) = np.asarray(counts, dtype=float)
    row, column, total = a + b, a + c, a + b + c + d
    first = np.arange(max(0, row + column - total), min(row, column) + 1)
    log_p = _log_choose(column, first) + _log_choose(total - column, row - first)
    log_p -= _log_choose(total, row)
    likely = np.exp(log_p)
    return float(min(1.0, likely[likely <= likely[first == a] * _ALIKE].sum()))


def _log_choose(n: float, k: Numbers | float) -> Numbers:
    return np.asarray(gammaln(n + 1) - gammaln(np.asarray(k) + 1) - gammaln(n - np.asarray(k) + 1))


def chi_square(counts: ArrayLike) -> float:
    """Return the p-value of Pearson's chi-square test of counts, without correction.

    Parameters
    ----------
    counts
        Shape (2, values); every value is met in a set.

    Returns
    -------
    1 where there is one value alone; NaN where a set is empty.
    """
    table = np.asarray(counts, dtype=float)
    if table.size == 0 or (table.sum(axis=1) == 0).any():
        return math.nan
    if table.shape[1] == 1:
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def cohen_d(one: Numbers, other: Numbers) -> float:
    """Return the first mean less the second, in units of the pooled standard deviation.

    Returns
    -------
    NaN where a set has fewer than two values; infinite where unequal means do not spread.
    """
    if min(len(one), len(other)) < 2:
        return math.nan
    (mean_1, variance_1), (mean_2, variance_2) = _moments(one), _moments(other)
    squares = (len(one) - 1) * variance_1 + (len(other) - 1) * variance_2
    pooled = math.sqrt(squares / (len(one) + len(other) - 2))
    difference = mean_1 - mean_2
    if pooled == 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / pooled


def standardised_difference(counts: ArrayLike) -> float:
    """Return the multi-category standardised difference of two sets [1]_.

    Parameters
    ----------
    counts
        Shape (2, values); every value is met in a set.

    Returns
    -------
    At least 0; of two values it is the difference of shares in units of their spread. Infinite
    where no spread explains a difference; NaN where a set is empty.

    References
    ----------
    .. [1] Yang and Dalton, "A unified approach to measuring the effect size between two groups
       using SAS", SAS Global Forum 2012, paper 335.
    """
    table = np.asarray(counts, dtype=float)
    if table.size == 0 or (table.sum(axis=1) == 0).any():
        return math.nan
    # The shares of a set add up to one: the last says nothing new.
    shares = (table / table.sum(axis=1, keepdims=True))[:, :-1]
    difference = shares[0] - shares[1]
    spread = sum(np.diag(share) - np.outer(share, share) for share in shares) / 2
    inverse = np.linalg.pinv(spread, hermitian=True)
    unexplained = difference - spread @ inverse @ difference
    if np.abs(unexplained).max(initial=0.0) > 1e-9:
        return math.inf
    return float(math.sqrt(max(0.0, difference @ inverse @ difference)))


def _moments(values: Numbers) -> tuple[float, float]:
    """Return mean and variance of a sample."""
    if np.ptp(values) == 0:
        # Three times 0.1 has a mean that is not 0.1 and so a variance, by rounding.
        return float(values[0]), 0.0
    return float(values.mean()), float(values.var(ddof=1))
