"""Who came into an experiment, who was left out and why, and whether its sets are alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clinicadl.config.raw import Raw
from clinicadl.errors import ClinicaDLError, MissingInputError, listed
from clinicadl.layouts import caps, ids, splits, tsv
from clinicadl.layouts.files import read_json
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.layouts.maps.record import Record
from clinicadl.tables import labels, quality, sessions, sieve
from clinicadl.tables.sessions import Source


class LeftOut(NamedTuple):
    """Who does not go on."""

    n: int
    why: str
    """What is counted, and the reason."""


class Step(NamedTuple):
    """A set on the way from the images to those that a model is judged on."""

    name: str
    n_participants: int | None
    """None where they were not counted."""
    n_sessions: int
    left_out: tuple[LeftOut, ...]
    """On the way to the next step."""


class Flow(NamedTuple):
    """The steps before the sets of the splits, and the table that they begin with."""

    steps: tuple[Step, ...]
    labels: Source | None
    """The table that the splits were made from; None where it is gone, or not known."""
    remarks: tuple[str, ...]
    """What could not be read, and so is not told."""


def read(record: Record, developed: Collection[str]) -> Flow:
    """Return the way that participants took into an experiment, as far as it can be read today.

    What lies outside of the MAPS may have changed or be gone: such a step is left out, with a
    remark.

    Parameters
    ----------
    record
        Of the MAPS.
    developed
        Participants in train or validation of any split.
    """
    data = record.config.data
    if data.multi_cohort:
        return Flow((), None, ("Of several cohorts, how their tables were made is not told",))
    tables: list[Source] = []
    before: list[Step] = []
    remarks = []
    try:
        tables = [*_tables(Path(data.tsv_directory))]
        before = [*_read_before(tables[:1])]
    except ClinicaDLError as error:
        remarks.append(f"Not all is told of how the splits were made: {error}")
    steps = [*before, *_divided(tables, developed)]
    try:
        steps.insert(0, _images(record, tables[:1]))
    except ClinicaDLError as error:
        remarks.append(f"How many images there were is not told: {error}")
    if not tables and not remarks:
        remarks.append("No record beside the splits tells of a table that is still as it was")
    return Flow(tuple(steps), tables[0] if tables else None, tuple(remarks))


def _tables(folder: Path) -> Iterator[Source]:
    """Yield the tables that lead to a folder of splits, the first of them first."""
    path = splits.made_from(folder)
    if path is not None:
        yield from _tables(path.parent)
        yield Source(path, sessions.read(path))


def _divided(tables: Sequence[Source], developed: Collection[str]) -> Iterator[Step]:
    """Yield the tables as steps, with who does not go on from each to the next."""
    for number, (path, table) in enumerate(tables):
        who, is_last = {*table[PARTICIPANT]}, number == len(tables) - 1
        stay = developed if is_last else {*tables[number + 1].table[PARTICIPANT]}
        apart = len(who - {*stay})
        why = (
            "participants in neither train nor validation, such as of other diagnoses"
            if is_last else f"participants set apart by {tables[number + 1].path.parent.name}"
        )  # fmt: skip
        name = path.name if path.name == sessions.LABELS else f"{path.parent.name}/{path.name}"
        yield Step(name, len(who), len(table), (LeftOut(apart, why),) if apart else ())


def _read_before(first: Sequence[Source]) -> Iterator[Step]:
    """Yield what the labels were chosen from, if their record is about the first table."""
    for path, table in first:
        record = path.parent / labels.RECORD
        made = read_json(record, "record of the labels") if record.is_file() else {}
        if made.get("n_kept") == len(table):
            who = _left_out_by_checks(path.parent / sieve.EXCLUDED)
            left_out = tuple(
                LeftOut(int(n), f"session{'s' if n != 1 else ''}: {why}{who.get(why, '')}")
                for why, n in made.get("n_excluded", {}).items()
            )
            yield Step("sessions that were read", None, int(made["n_rows"]), left_out)


def _left_out_by_checks(path: Path) -> dict[str, str]:
    """Return who failed a quality check, by the reason; nothing where it is not told any more."""
    if not path.is_file():
        return {}
    table = tsv.read(path, "table of what was left out", needs=(*ids.PREFIX_OF, sieve.REASON))
    failed = table[table[sieve.REASON].str.startswith(quality.FAILED, na=False)]
    return {
        str(reason): f" ({listed(' | '.join(key) for key in sessions.sessions_of(some))})"
        for reason, some in failed.groupby(sieve.REASON)
    }


def _images(record: Record, first: Sequence[Source]) -> Step:
    """Return the images that there are.

    Raises
    ------
    MissingInputError
        There is none.
    """
    home = Path(record.config.data.caps_directory)
    preprocessing = caps.parse_extraction(record.extractions[0], home).preprocessing
    found: Collection[caps.Session]
    if isinstance(preprocessing, Raw):
        # Raw images lie in a data set that the MAPS does not know: their tensors are counted.
        found = caps.index_tensors(home, preprocessing, caps.sessions(home))
    else:
        found = caps.index(home, preprocessing)
    if not found:
        raise MissingInputError("There is no image any more", where=home)
    people = {participant for participant, _ in found}
    n_others = len(people - {*first[0].table[PARTICIPANT]}) if first else 0
    left_out = LeftOut(n_others, f"participants not in {first[0].path.name}") if n_others else None
    return Step("images", len(people), len(found), (left_out,) if left_out else ())
