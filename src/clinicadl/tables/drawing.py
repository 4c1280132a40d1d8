"""Random divisions of participants that keep the shares of their classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.tables.units import APART_PLACE, FREE, Units

Numbers = NDArray[np.float64]
Positions = NDArray[np.intp]
Masks = NDArray[np.bool_]


class Drawing(NamedTuple):
    """What every draw respects."""

    code: Positions
    """Class of each participant, shape (participants,)."""
    together: Units
    place: Positions
    """Place that a participant has already, or `FREE`."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.code.max()) + 1


def shuffled(code: Positions, keys: Numbers) -> Positions:
    """Return the participants ordered by class, and by a random key within their class.

    Parameters
    ----------
    code
        Class of each participant, shape (participants,).
    keys
        One number in [0, 1) a participant, shape (draws, participants).

    Returns
    -------
    Positions of participants, shape (draws, participants).
    """
    return np.lexsort((keys, np.broadcast_to(code, keys.shape)), axis=-1)


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
    return allotted(sizes, n_test, least=np.ones_like(sizes), most=sizes - 1)


def allotted(weights: Positions, n: int, *, least: Positions, most: Positions) -> Positions:
    """Return n things shared out by weight, within bounds, by the largest remainders.

    Parameters
    ----------
    weights
        Whole numbers; their sum is not 0.
    n
        From the sum of ``least`` to the sum of ``most``.
    least, most
        Bounds of each share.

    Examples
    --------
    >>> allotted(np.array([1, 1, 2]), 5, least=np.zeros(3, int), most=np.array([9, 1, 9]))
    array([1, 1, 3])
    """
    total = int(weights.sum())
    exact = weights * n
    counts = np.clip(exact // total, least, most)
    # Integers throughout: which remainder is largest must not hang on a rounding.
    while (short := n - int(counts.sum())) != 0:
        step = 1 if short > 0 else -1
        owed = step * (exact - counts * total)
        possible = (counts + step >= least) & (counts + step <= most)
        counts[int(np.argmax(np.where(possible, owed, np.iinfo(np.int64).min)))] += step
    return counts


def still_due(drawing: Drawing, n_test: int) -> Positions:
    """Return how many free participants of each class are set apart, beside those who are already.

    The nearer each class comes to its share of ``n_test`` the better; where those with a place have
    more of a class than its share, the others get less.

    Returns
    -------
    Shape (classes,).
    """
    sizes = np.bincount(drawing.code, minlength=drawing.n_classes)
    of_free, of_apart = (
        np.bincount(drawing.code[drawing.place == place], minlength=drawing.n_classes)
        for place in (FREE, APART_PLACE)
    )
    n_more = min(max(n_test - int(of_apart.sum()), 0), int(of_free.sum()))
    wanted = np.minimum(np.maximum(sizes * n_test - of_apart * len(drawing.code), 0), 2**31)
    weights = wanted if wanted.sum() else of_free
    if not n_more:
        return np.zeros_like(sizes)
    return allotted(weights, n_more, least=np.zeros_like(sizes), most=of_free)


def apart(drawing: Drawing, due: Positions, keys: Numbers) -> Masks:
    """Return who is set apart in each draw.

    Parameters
    ----------
    drawing
        What is respected.
    due
        How many free participants of each class are set apart. Groups are taken while they fit:
        their classes may be off by some, and their number may fall short.
    keys
        Random numbers in [0, 1), one a participant, shape (draws, participants).

    Returns
    -------
    Shape (draws, participants).
    """
    chosen = np.zeros(keys.shape, dtype=bool)
    chosen[:, drawing.place == APART_PLACE] = True
    free = np.flatnonzero(drawing.place == FREE)
    if not due.sum():
        return chosen
    if drawing.together.are_groups:
        return chosen | _groups_apart(drawing, due, keys)
    sizes = np.bincount(drawing.code[free], minlength=len(due))
    starts = np.cumsum(sizes) - sizes
    columns = np.concatenate(
        [np.arange(start, start + count) for start, count in zip(starts, due, strict=True)]
    )
    taken = free[shuffled(drawing.code[free], keys[:, free])[:, columns]]
    np.put_along_axis(chosen, taken, True, axis=1)
    return chosen


def _members(drawing: Drawing) -> Positions:
    """Return how many participants of each class a unit has, shape (units, classes)."""
    members = np.zeros((drawing.together.n, drawing.n_classes), dtype=np.intp)
    np.add.at(members, (drawing.together.of, drawing.code), 1)
    return members


def _free_units(drawing: Drawing) -> Positions:
    return np.unique(drawing.together.of[drawing.place == FREE])


def _groups_apart(drawing: Drawing, due: Positions, keys: Numbers) -> Masks:
    members, units = _members(drawing), _free_units(drawing)
    order = units[np.argsort(keys[:, : len(units)], axis=1, kind="stable")]
    draws = np.arange(len(keys))
    taken = np.zeros((len(keys), drawing.together.n), dtype=bool)
    counts = np.zeros((len(keys), len(due)), dtype=np.intp)
    # First whoever fits into the share of every class; then whoever fits at all.
    for limits in (due, np.full_like(due, due.sum())):
        for unit in order.T:
            after = counts + members[unit]
            fits = ~taken[draws, unit] & (after <= limits).all(axis=1)
            fits &= after.sum(axis=1) <= due.sum()
            counts = np.where(fits[:, None], after, counts)
            taken[draws, unit] |= fits
    return taken[:, drawing.together.of]


def fold_numbers(drawing: Drawing, n_folds: int, keys: Numbers) -> Positions:
    """Return the fold of each participant in each draw.

    Without groups and places the folds, and the members of each class in them, differ in number by
    one at most.

    Parameters
    ----------
    drawing
        What is respected.
    n_folds
        Number of folds.
    keys
        Random numbers in [0, 1), one a participant, shape (draws, participants).

    Returns
    -------
    Shape (draws, participants).
    """
    folds = np.tile(drawing.place, (len(keys), 1))
    if drawing.together.are_groups:
        return _groups_in_folds(drawing, n_folds, keys)
    free = np.flatnonzero(drawing.place == FREE)
    order = free[shuffled(drawing.code[free], keys[:, free])]
    np.put_along_axis(folds, order, _dealt(drawing, n_folds)[None], axis=1)
    return folds


def _dealt(drawing: Drawing, n_folds: int) -> Positions:
    """Return the folds of the free participants, ordered by class: each to the emptiest fold."""
    counts = _taken(drawing, n_folds)
    dealt = []
    for code in np.sort(drawing.code[drawing.place == FREE]):
        of_class = counts[:, code]
        fold = min(range(n_folds), key=lambda i: (of_class[i], counts[i].sum(), i))
        counts[fold, code] += 1
        dealt.append(fold)
    return np.array(dealt, dtype=np.intp)


def _taken(drawing: Drawing, n_folds: int) -> Positions:
    """Return how many of each class have a place in each fold, shape (folds, classes)."""
    counts = np.zeros((n_folds, drawing.n_classes), dtype=np.intp)
    has_place = drawing.place != FREE
    np.add.at(counts, (drawing.place[has_place], drawing.code[has_place]), 1)
    return counts


def _groups_in_folds(drawing: Drawing, n_folds: int, keys: Numbers) -> Positions:
    """Deal groups, the largest first, each to the fold that lacks its classes most."""
    members, units = _members(drawing), _free_units(drawing)
    weights = 1 / np.maximum(members.sum(axis=0), 1) ** 2 + 1 / members.sum() ** 2
    sizes = np.broadcast_to(-members[units].sum(axis=1), (len(keys), len(units)))
    order = units[np.lexsort((keys[:, : len(units)], sizes), axis=-1)]
    draws = np.arange(len(keys))
    counts = np.tile(_taken(drawing, n_folds).astype(float), (len(keys), 1, 1))
    fold_of = np.full((len(keys), drawing.together.n), FREE, dtype=np.intp)
    for unit in order.T:
        # What the sum of squared counts grows by, where it differs between folds.
        cost = np.einsum("dfc,dc->df", counts, members[unit] * weights)
        fold = np.argmin(np.round(cost, 12), axis=1)
        counts[draws, fold] += members[unit]
        fold_of[draws, unit] = fold
    folds = fold_of[:, drawing.together.of]
    return np.where(drawing.place == FREE, folds, drawing.place)
