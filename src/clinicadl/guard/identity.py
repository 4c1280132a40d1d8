"""Same participant or session under another spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING
from unicodedata import decimal, normalize

from clinicadl.layouts.ids import month

if TYPE_CHECKING:  # the guard decides about names: it needs no image library
    from clinicadl.layouts.caps import Session

_ENTITY = re.compile(r"^(sub|ses)-")
_NO_LETTER_OR_DIGIT = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+")
_LEADING_LETTERS = re.compile(r"^[^\W\d_]+")


@lru_cache(maxsize=2**17)
def key(name: str) -> str:
    """Return what is left of an id when the habits of spelling are taken away.

    The prefix ``sub-`` or ``ses-``, upper case, every sign that is no letter and no digit, and
    leading zeros of numbers go. Where nothing would be left, the signs stay.

    Examples
    --------
    >>> key("sub-ADNI002S0295"), key("002_S_0295"), key("ses-M00") == key("M000")
    ('adni2s295', '2s295', True)
    """
    own = _ENTITY.sub("", normalize("NFKC", name).casefold().strip())
    return _NUMBER.sub(_without_zeros, _NO_LETTER_OR_DIGIT.sub("", own)) or own


def _without_zeros(digits: re.Match[str]) -> str:
    return "".join(str(decimal(digit)) for digit in digits[0]).lstrip("0") or "0"


def same_participant(one: str, other: str) -> bool:
    """Return whether two ids are one person, as far as their spelling can tell.

    Their keys are equal, or one key is the other without its leading letters, where only one of
    the two begins with letters: a data set's name was put before its number, or taken away. This
    cannot be carried on from one pair to the next: two data sets may both have a number 14.

    Examples
    --------
    >>> same_participant("sub-IXI014", "sub-014"), same_participant("sub-OAS014", "sub-014")
    (True, True)
    >>> same_participant("sub-IXI014", "sub-OAS014")
    False
    """
    return bool(same_participants([one], [other]))


def same_participants(these: Iterable[str], those: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return who of ``these`` is among ``those``, in time linear in both.

    Returns
    -------
    Id of these -> ids of those that are the same person; in the order given, each id once. Who is
    not among those is left out.
    """
    by_key: dict[str, list[str]] = {}
    by_number: dict[str, list[str]] = {}
    for name in dict.fromkeys(those):
        by_key.setdefault(key(name), []).append(name)
        by_number.setdefault(without_letters(key(name)), []).append(name)
    found = {}
    for name in dict.fromkeys(these):
        spelt = key(name)
        bare = without_letters(spelt)
        # Who begins with letters may lose them; who does not may gain them. Never both.
        others = by_key.get(bare, []) if bare != spelt else by_number.get(spelt, [])
        same = dict.fromkeys([*by_key.get(spelt, []), *others])
        if same:
            found[name] = tuple(same)
    return found


def same_sessions(
    these: Iterable[Session], those: Iterable[Session]
) -> dict[Session, tuple[Session, ...]]:
    """Return which of ``these`` sessions are among ``those``, in time linear in both.

    Returns
    -------
    Session of these -> sessions of those that are the same visit of the same person; in the order
    given, each session once.
    """
    visits: dict[tuple[str, str], list[Session]] = {}
    for participant, session in dict.fromkeys(those):
        visits.setdefault((participant, visit(session)), []).append((participant, session))
    wanted = dict.fromkeys(these)
    people = same_participants(
        (participant for participant, _ in wanted), (participant for participant, _ in visits)
    )
    found = {}
    for participant, session in wanted:
        same = [
            same_visit
            for other in people.get(participant, ())
            for same_visit in visits.get((other, visit(session)), ())
        ]
        if same:
            found[participant, session] = tuple(same)
    return found


def visit(session: str) -> str:
    """Return what two spellings of one session have in common: their month, else their key.

    Examples
    --------
    >>> visit("ses-bl") == visit("ses-M000") == visit("M0"), visit("ses-wave1")
    (True, 'wave1')
    """
    told = month(session.strip())
    return key(session) if told is None else f"m{told}"


def without_letters(spelt: str) -> str:
    """Return a key without its leading letters, or the key where it is letters alone.

    Examples
    --------
    >>> without_letters(key("sub-IXI014")), without_letters(key("sub-anna"))
    ('14', 'anna')
    """
    return _LEADING_LETTERS.sub("", spelt) or spelt
