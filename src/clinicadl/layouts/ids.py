"""What participants and sessions are called, in the spellings that tables use."""

from __future__ import annotations

import re

PARTICIPANT, SESSION = "participant_id", "session_id"
"""Names of the two columns of ids, in BIDS and in everything that is written here."""

PREFIX_OF = {PARTICIPANT: "sub-", SESSION: "ses-"}
"""What an id begins with; letters and digits follow."""

SPELLINGS = {
    PARTICIPANT: ("participantid", "subjectid", "participant", "subject", "ptid"),
    SESSION: ("sessionid", "session", "viscode", "timepoint", "visit"),
}
"""Other names of the columns, most certain first, in small letters without signs."""

ONLY_SESSION = "ses-M000"
"""The session of whoever has one and no name for it."""

_FORM_OF = {column: re.compile(f"{prefix}[A-Za-z0-9]+") for column, prefix in PREFIX_OF.items()}
_MONTH = re.compile(r"(?:m|v|month)_?(\d+)", re.IGNORECASE)
_BASELINE = frozenset({"bl", "baseline"})
_SIGNS = re.compile(r"[\W_]+")
_FLOAT = re.compile(r"(\d+)\.0")


def is_id(cell: object, column: str) -> bool:
    """Return whether a cell is an id as BIDS writes it.

    Examples
    --------
    >>> is_id("sub-01", PARTICIPANT), is_id("sub-0_1", PARTICIPANT), is_id("01", PARTICIPANT)
    (True, False, False)
    """
    return isinstance(cell, str) and bool(_FORM_OF[column].fullmatch(cell))


def month(session: str) -> int | None:
    """Return the month that a session's name tells, or nothing where it tells none.

    Examples
    --------
    >>> [month(name) for name in ("ses-M06", "ses-M006", "ses-bl", "v06", "ses-wave2", "ses-1")]
    [6, 6, 0, 6, None, None]
    """
    bare = session.removeprefix(PREFIX_OF[SESSION])
    if bare.casefold() in _BASELINE:
        return 0
    found = _MONTH.fullmatch(bare)
    return int(found[1]) if found else None


def as_id(text: str, column: str) -> str:
    """Return an id as BIDS writes it; one that is none by any spelling comes back as it is.

    What bears its prefix keeps the rest to the letter. What does not gets it, without the signs
    that BIDS has no place for; a session that tells its month gets the name of that month.

    Examples
    --------
    >>> [as_id(text, PARTICIPANT) for text in ("sub-01", "002_S_0295", "sub_7", "1003.0")]
    ['sub-01', 'sub-002S0295', 'sub-7', 'sub-1003']
    >>> [as_id(text, SESSION) for text in ("ses-M06", "m06", "bl", "v06", "wave 2", "3")]
    ['ses-M06', 'ses-M006', 'ses-M000', 'ses-M006', 'ses-wave2', 'ses-3']
    """
    prefix = PREFIX_OF[column]
    if text.startswith(prefix):
        return text
    number = _FLOAT.fullmatch(text)
    bare = re.sub(f"^{prefix[:-1]}(?:[_ ]|(?=\\d))", "", number[1] if number else text)
    told = month(bare) if column == SESSION else None
    if told is not None:
        return f"{prefix}M{told:03d}"
    named = prefix + _SIGNS.sub("", bare)
    return named if is_id(named, column) else text
