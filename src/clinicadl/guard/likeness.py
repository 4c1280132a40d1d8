"""Which images show one head under the names of several participants."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from clinicadl.guard.identity import same_participants
from clinicadl.layouts.signatures import Signature, mirrored

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.layouts.caps import Session

LEAST_PARTICIPANTS = 10
"""Of fewer, nobody can tell what all heads share."""
LEAST_SIMILARITY = 0.30
"""Strangers reach 0.27, and the same head on another day 0.43, on real images."""
MOST_EXPECTED = 0.01
"""Pairs of strangers that may be expected, by chance, to be as alike as those that are told."""

_MOST_SAMPLED = 1000
"""Images of a side from whose similarities the spread among strangers is estimated."""
_AT_ONCE = 512
_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

Signatures = Mapping[tuple[str, str], Signature]
"""(participant, session) -> what its image shows."""
Numbers = NDArray[np.float32]


class Alike(NamedTuple):
    """Two images under different names that seem to show one head."""

    one: Session
    other: Session
    similarity: float
    """Correlation of what is left of both without what all heads share; 1 for equal voxels."""


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
    if can_be_judged(others) and these:
        for pair in _correlated(these, those):
            found.setdefault(pair[:2], pair)
    kept: dict[frozenset[Session], Alike] = {}
    for pair in found.values():
        if not same_participants([pair.one[0]], [pair.other[0]]):
            kept.setdefault(frozenset(pair[:2]), pair)
    return sorted(kept.values(), key=lambda pair: (-pair.similarity, *pair[:2]))


def can_be_judged(signatures: Signatures) -> bool:
    """Return whether there are enough participants to tell what all heads share."""
    return _n_participants(signatures) >= LEAST_PARTICIPANTS


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
    columns = _without(shared, _values(others))
    own = _mean(these) if can_be_judged(these) else shared
    rows = _without(own, _values(these))
    flipped = _without(own, mirrored(np.stack([these[one].values for one in ours])))
    people = _codes([*ours, *theirs])
    mine, yours = people[: len(ours)], people[len(ours) :]
    n_pairs = len(rows) * len(columns)
    threshold = _threshold(rows, columns, mine, yours, n_pairs)
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        likeness = np.maximum(rows[part] @ columns.T, flipped[part] @ columns.T)
        likeness[mine[part, None] == yours] = 0
        for i, j in np.argwhere(likeness >= threshold).tolist():
            # Voxels that are not equal are never reported as if they were.
            yield Alike(ours[start + i], theirs[j], min(float(likeness[i, j]), 0.999))


def _threshold(
    rows: Numbers,
    columns: Numbers,
    mine: NDArray[np.intp],
    yours: NDArray[np.intp],
    n_pairs: int,
) -> float:
    """Return the least similarity that hardly any pair of strangers has.

    Most pairs are strangers, so that the median and the median deviation are theirs.
    """
    i, j = (slice(None, None, -(-len(one) // _MOST_SAMPLED)) for one in (rows, columns))
    likeness = (rows[i] @ columns[j].T)[mine[i, None] != yours[j]]
    if not likeness.size:
        return LEAST_SIMILARITY
    middle = float(np.median(likeness))
    spread = _MAD * float(np.median(np.abs(likeness - middle)))
    # Each pair is looked at twice: as it is, and with left and right exchanged.
    quantile = float(norm.isf(MOST_EXPECTED / (2 * n_pairs)))
    return max(LEAST_SIMILARITY, middle + quantile * spread)


def _codes(sessions: list[Session]) -> NDArray[np.intp]:
    """Return a number for each participant."""
    return np.unique([participant for participant, _ in sessions], return_inverse=True)[1]


def _values(signatures: Signatures) -> Numbers:
    return np.stack([one.values for one in signatures.values()]).astype(np.float32)


def _mean(signatures: Signatures) -> Numbers:
    mean: Numbers = _values(signatures).mean(axis=0)
    return mean


def _without(shared: Numbers, values: NDArray[np.int8] | Numbers) -> Numbers:
    """Return what is left of each signature, of mean 0 and length 1; 0 where nothing is left."""
    left = values.astype(np.float32) - shared
    left -= left.mean(axis=1, keepdims=True)
    length = np.linalg.norm(left, axis=1, keepdims=True)
    scaled: Numbers = np.divide(left, length, out=np.zeros_like(left), where=length > 0)
    return scaled
