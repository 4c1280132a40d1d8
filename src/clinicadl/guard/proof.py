"""Whether a table is still what its division wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clinicadl.errors import listed
from clinicadl.guard.identity import key, same_participants
from clinicadl.guard.rules import Finding
from clinicadl.guard.wording import are, counted, spelt
from clinicadl.layouts import splits
from clinicadl.layouts.files import sha256

EDITED_LEAK, EDITED = "edited-leak", "edited-table"

MEND = "Divide the participants again, from a table that holds all of them"


def check(table: Path, participants: Iterable[str]) -> tuple[Finding, ...]:
    """Return what was done to a table of a division after it was written.

    Parameters
    ----------
    table
        The file; a ``split.json`` beside it or a ``kfold.json`` above it may name it.
    participants
        Everybody in it, as it spells them.

    Returns
    -------
    Nothing where no record names the table, or the table is the recorded one to the byte. Else a
    warning that says who came and how many went, a refusal if anybody came from another set of the
    same division, or both.

    Raises
    ------
    InvalidDataError
        The record is damaged.
    MissingInputError
        The table cannot be read.
    """
    record = splits.recorded(table)
    if record is None or sha256(table) == record.digest:
        return ()
    own = record.participants.get(record.part)
    if own is None:
        return (_edited(table, "who was in it is not recorded", ()),)
    others = [who for part, names in sorted(record.participants.items()) if part != record.part
              for who in sorted(names)]  # fmt: skip
    now = [*dict.fromkeys(participants)]
    keys = {key(name) for name in own}
    came = [name for name in now if name not in own and key(name) not in keys]
    taken = same_participants(came, others)
    known = {*taken, *same_participants(came, own)}
    strangers = tuple(name for name in came if name not in known)
    n_gone = len(own) - len(same_participants(sorted(own), now))
    found = []
    if taken:
        found.append(_leak(table, record, taken))
    if strangers or n_gone or not taken:
        text = f"{counted(strangers, 'participant')} came and {n_gone} went"
        text += f"; new {are(strangers)} {listed(strangers)}" if strangers else ""
        found.append(_edited(table, text, strangers))
    return tuple(found)


def _leak(table: Path, record: splits.Recorded, taken: dict[str, tuple[str, ...]]) -> Finding:
    homes = [
        part
        for part, names in sorted(record.participants.items())
        if part != record.part and any(who in names for same in taken.values() for who in same)
    ]
    return Finding(
        EDITED_LEAK,
        "refuse",
        f"{table} was edited after the division: {counted(taken, 'participant')} of it "
        f"{are(taken)} recorded in {' and '.join(homes)} by {record.record.name}: {spelt(taken)}",
        tuple(taken),
        (MEND,),
    )


def _edited(table: Path, text: str, strangers: tuple[str, ...]) -> Finding:
    return Finding(
        EDITED,
        "warn",
        f"{table} was edited since the split: {text}",
        strangers,
        (MEND,),
    )
