"""Whether a table is still what its division wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clinicadl.errors import listed
from clinicadl.guard.facts import Finding
from clinicadl.guard.identity import key, same_participants
from clinicadl.guard.wording import are, counted, spelt
from clinicadl.layouts import splits

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
    edit = splits.edited(table, participants)
    if edit is None:
        return ()
    record = edit.record
    own = record.participants.get(record.part)
    if own is None:
        return (_edited(table, "who was in it is not recorded", ()),)
    others = [who for part, names in sorted(record.participants.items()) if part != record.part
              for who in sorted(names)]  # fmt: skip
    # Who is there under another spelling did not come, and did not go.
    keys = {key(name) for name in own}
    new = [name for name in edit.came if key(name) not in keys]
    taken = same_participants([who for names in edit.moved.values() for who in names], others)
    taken |= same_participants(new, others)
    known = {*taken, *same_participants(new, own)}
    strangers = tuple(name for name in new if name not in known)
    n_gone = len(edit.went) - len(same_participants(edit.went, edit.came))
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
