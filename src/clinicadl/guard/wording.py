"""How participants stand in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clinicadl.errors import listed

MOST_SPELLINGS = 3
"""Other spellings of one name that a sentence shows."""


def counted(things: Collection[object] | int, noun: str) -> str:
    """Return a number and what it counts.

    Examples
    --------
    >>> counted(["sub-01"], "participant"), counted(2, "class")
    ('1 participant', '2 classes')
    """
    n = things if isinstance(things, int) else len(things)
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{n} {noun if n == 1 else plural}"


def are(things: Collection[object] | int) -> str:
    """Return the verb that goes with a number of things."""
    n = things if isinstance(things, int) else len(things)
    return "is" if n == 1 else "are"


def were(things: Collection[object] | int) -> str:
    """Return the verb that goes with a number of things in the past."""
    return "was" if are(things) == "is" else "were"


def spelt(same: Mapping[str, Collection[str]]) -> str:
    """Return the first names, each with its other spellings, and the rest counted.

    Examples
    --------
    >>> spelt({"sub-01": ("sub-1",), "sub-02": ("sub-02",)})
    'sub-01 = sub-1, sub-02'
    """
    return listed(
        " = ".join(dict.fromkeys([name, *[*others][:MOST_SPELLINGS]]))
        for name, others in same.items()
    )
