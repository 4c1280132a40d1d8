"""Which known name somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[object], *, most: int = 3) -> list[str]:
    """Return the known names that look most like ``name``, at least one where any is known.

    Examples
    --------
    >>> nearest("epoch", ["seed", "epochs", "patience"])
    ['epochs']
    """
    names = {str(candidate).lower(): str(candidate) for candidate in known}
    for cutoff in (0.6, 0.0):
        found = difflib.get_close_matches(name.lower(), names, n=most, cutoff=cutoff)
        if found:
            return [names[match] for match in (found if cutoff else found[:1])]
    return []
