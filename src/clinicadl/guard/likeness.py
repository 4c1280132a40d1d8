"""Which images show one head under the names of several participants."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from clinicadl.guard.facts import Alike
from clinicadl.guard.identity import same_participants
from clinicadl.layouts.signatures import Signature, Values, mirrored

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.layouts.caps import Session

LEAST_PARTICIPANTS = 10
"""Of fewer, nobody can tell what all heads share."""
LEAST_SIMILARITY = 0.30
"""Strangers reach 0.27, and the same head on another day 0.44, on real images."""
MOST_EXPECTED = 0.01
"""Pairs of strangers that may be expected, by chance, to be as alike as those that are told."""

_MOST_SAMPLED = 1000
"""Images of a side from whose similarities the spread among strangers is estimated."""
_AT_ONCE = 512
_UPPER = 0.8
"""Share of strangers from which their spread is told: few enough, so that no pair is among them."""
_MOST_UNEQUAL = 0.999

Signatures = Mapping[tuple[str, str], Signature]
"""(participant, session) -> what its image shows."""
Numbers = NDArray[np.float32]


def alike(these: Signatures, those: Signatures | None = None) -> list[Alike]:
    """Return the pairs of images, of different participants, that seem to show one head.

    What all heads share, the mean of at least `LEAST_PARTICIPANTS`, is taken away. Two images are
    alike where they correlate by at least `LEAST_SIMILARITY`, and so much that, with the spread
    among these very images, fewer than `MOST_EXPECTED` pairs of strangers would; left and right may
    be exchanged in one. Images of equal voxels are alike in any case.

    Parameters
    ----------
    these
        Signatures of some images.
    those
        Signatures of others (default: these among each other).

    Returns
    -------
    Each pair once, the most alike first.
    """
    others = these if those is None else those
    found = {one[:2]: one for one in _of_equal_voxels(these, others)}
    # Where an image shows nothing at all, nothing is alike.
    ours, theirs = _with_a_head(these), _with_a_head(others)
    if can_be_judged(theirs) and ours:
        for pair in _correlated(ours, None if those is None else theirs):
            found.setdefault(pair[:2], pair)
    kept: dict[frozenset[Session], Alike] = {}
    for pair in found.values():
        if not same_participants([pair.one[0]], [pair.other[0]]):
            kept.setdefault(frozenset(pair[:2]), pair)
    return sorted(kept.values(), key=lambda pair: (-pair.similarity, *pair[:2]))


def can_be_judged(signatures: Signatures) -> bool:
    """Return whether there are enough participants to tell what all heads share."""
    return _n_participants(signatures) >= LEAST_PARTICIPANTS


def _with_a_head(signatures: Signatures) -> Signatures:
    return {key: one for key, one in signatures.items() if one.values.any()}


def _n_participants(signatures: Collection[Session]) -> int:
    return len({participant for participant, _ in signatures})


def _of_equal_voxels(these: Signatures, those: Signatures) -> Iterator[Alike]:
    owners: dict[str, list[Session]] = {}
    for session, signature in those.items():
        owners.setdefault(signature.content, []).append(session)
    for session, signature in these.items():
        for owner in owners.get(signature.content, ()):
            if owner[0] != session[0]:
                yield Alike(session, owner, 1.0)


def _correlated(these: Signatures, those: Signatures | None) -> Iterator[Alike]:
    others = these if those is None else those
    ours, theirs = [*these], [*others]
    shared = _mean(others)
    own = _mean(these) if can_be_judged(these) else shared
    values = _values(these)
    rows, flipped = _without(own, values), _without(own, mirrored(values))
    columns = _without(shared, _values(others))
    people = _codes([*ours, *theirs])
    mine, yours = people[: len(ours)], people[len(ours) :]
    # Each pair is looked at twice: as it is, and with left and right exchanged.
    quantile = float(norm.isf(MOST_EXPECTED / (2 * len(rows) * len(columns))))
    of_row = _least(rows, mine, columns, yours, quantile)
    of_column = _least(columns, yours, rows, mine, quantile)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        likeness = np.maximum(rows[part] @ columns.T, flipped[part] @ columns.T)
        likeness[mine[part, None] == yours] = 0
        least = np.maximum(of_row[part, None], of_column)
        for i, j in np.argwhere(likeness >= least).tolist():
            # Voxels that are not equal are never reported as if they were.
            yield Alike(ours[start + i], theirs[j], min(float(likeness[i, j]), _MOST_UNEQUAL))


def _least(
    rows: Numbers,
    mine: NDArray[np.intp],
    columns: Numbers,
    yours: NDArray[np.intp],
    quantile: float,
) -> Numbers:
    """Return the least similarity to each row that hardly any stranger has.

    Nearly all others are strangers, so that the median and the upper quintile are theirs. Each row
    has its own, and that of all as well: where heads lie in a few positions, as in raw images,
    those in one position are alike without being one.
    """
    sampled = slice(None, None, -(-len(columns) // _MOST_SAMPLED))
    middles, spreads = [], []
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        likeness = rows[part] @ columns[sampled].T
        likeness[mine[part, None] == yours[sampled]] = np.nan
        known = ~np.isnan(likeness).all(axis=1)
        likeness[~known] = 0
        middle, upper = np.nanquantile(likeness, (0.5, _UPPER), axis=1)
        middles.append(middle)
        spreads.append((upper - middle) / norm.ppf(_UPPER))
    middle, spread = np.concatenate(middles), np.concatenate(spreads)
    usual = np.median(middle) + quantile * np.median(spread)
    least: Numbers = np.maximum(np.maximum(middle + quantile * spread, usual), LEAST_SIMILARITY)
    return least


def _codes(sessions: list[Session]) -> NDArray[np.intp]:
    """Return a number for each participant."""
    return np.unique([participant for participant, _ in sessions], return_inverse=True)[1]


def _values(signatures: Signatures) -> Values:
    return np.stack([one.values for one in signatures.values()])


def _mean(signatures: Signatures) -> Numbers:
    mean: Numbers = _values(signatures).mean(axis=0, dtype=np.float32)
    return mean


def _without(shared: Numbers, values: Values) -> Numbers:
    """Return what is left of each signature, of mean 0 and length 1; 0 where nothing is left."""
    left = values.astype(np.float32) - shared
    left -= left.mean(axis=1, keepdims=True)
    length = np.linalg.norm(left, axis=1, keepdims=True)
    scaled: Numbers = np.divide(left, length, out=np.zeros_like(left), where=length > 0)
    return scaled
