"""BIDS: what files a data set holds, their entities, and what its tables say."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinicadl.config.raw import Raw
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import ids, naming, tsv
from clinicadl.layouts.files import existing_folder
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.layouts.images import SUFFIXES

logger = logging.getLogger(__name__)

FILENAME = "filename"

_PARTICIPANT_FOLDER = re.compile(r"sub-[A-Za-z0-9]+")
_SESSION_FOLDER = re.compile(r"ses-[A-Za-z0-9]+")
_ENTITY = re.compile(r"([A-Za-z0-9]+)-([A-Za-z0-9+]+)")
_RUN = "run"


@dataclass(frozen=True)
class BidsFile:
    """One file of a data set, with what its name says."""

    path: Path
    participant: str
    session: str | None
    """``ses-…``; None in a data set without sessions."""
    datatype: str
    """The folder below the session, such as ``anat``; empty for a file that is in none."""
    entities: Mapping[str, str]
    """Key -> value, in the order of the name: ``{"sub": "01", "run": "1"}``."""
    suffix: str
    extension: str
    """With all of its dots: ``.nii.gz``."""


Visit = tuple[str, str | None]
"""(participant, session), where there may be no session."""


def check(bids: Path) -> Path:
    """Return ``bids`` if it is a BIDS data set.

    Raises
    ------
    MissingInputError
        It does not exist, is no folder, or is closed to us.
    InvalidDataError
        It is empty, a CAPS, or has no participants.
    """
    existing_folder(bids, "BIDS data set")
    names = {entry.name for entry in os.scandir(bids)}
    if not names:
        raise InvalidDataError("The BIDS data set is empty", where=bids, fix="Check the path")
    if "subjects" in names:
        raise InvalidDataError(
            "This is a CAPS, not a BIDS data set: it has a folder named subjects", where=bids,
            fix="Give the folder that the sub-* folders are in",
        )  # fmt: skip
    if not any(name.startswith("sub-") and (bids / name).is_dir() for name in names):
        raise InvalidDataError(
            "This is not a BIDS data set: it has no folder named sub-*", where=bids,
            fix="Check the path",
        )  # fmt: skip
    return bids


def index(bids: Path) -> tuple[BidsFile, ...]:
    """Return the files of all participants, in one walk of the folders.

    Derivatives, sources and hidden files are no part of it; files whose names are not made of
    entities and a suffix are left out.

    Parameters
    ----------
    bids
        The data set.

    Returns
    -------
    Sorted by participant, session and path.

    Raises
    ------
    MissingInputError
        It does not exist or is closed to us.
    InvalidDataError
        This is no BIDS data set, or a file lies in the folder of somebody else.
    """
    check(bids)
    found = sorted(_walk(bids), key=lambda one: (one.participant, one.session or "", one.path))
    strangers = [one.path for one in found if _owner(one) != (one.participant, one.session)]
    if strangers:
        raise InvalidDataError(
            f"{len(strangers)} file{'s lie' if len(strangers) > 1 else ' lies'} in the folder of "
            "another participant or session",
            where=bids, found=listed(path.relative_to(bids) for path in strangers),
            fix="Move or rename them: whose they are is not clear",
        )  # fmt: skip
    return tuple(found)


def _owner(one: BidsFile) -> Visit:
    session = one.entities.get("ses")
    return f"sub-{one.entities.get('sub')}", None if session is None else f"ses-{session}"


def _walk(bids: Path) -> Iterator[BidsFile]:
    for participant in os.scandir(bids):
        if not participant.name.startswith("sub-") or not participant.is_dir():
            continue
        if not _PARTICIPANT_FOLDER.fullmatch(participant.name):
            logger.warning(
                "%s is left out: sub- and then letters and digits only", participant.path
            )
            continue
        for entry in os.scandir(participant.path):
            if _SESSION_FOLDER.fullmatch(entry.name) and entry.is_dir():
                for below in os.scandir(entry.path):
                    yield from _parsed(below, participant.name, entry.name)
            else:
                yield from _parsed(entry, participant.name, None)


def _parsed(entry: os.DirEntry[str], participant: str, session: str | None) -> Iterator[BidsFile]:
    if entry.name.startswith("."):
        return
    if not entry.is_dir():
        # A table of sessions lies beside the sessions, and has none.
        yield from _file(entry, participant, session, "")
    elif "." not in entry.name:
        for path in _files(entry.path):
            yield from _file(path, participant, session, entry.name)


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(folder):
        # A folder whose name has an extension is one recording (.ds, .zarr), not a place of files.
        if entry.is_dir():
            if "." not in entry.name:
                yield from _files(entry.path)
        elif not entry.name.startswith("."):
            yield entry


def _file(
    entry: os.DirEntry[str], participant: str, session: str | None, datatype: str
) -> Iterator[BidsFile]:
    stem, dot, extension = entry.name.partition(".")
    *pairs, suffix = stem.split("_")
    entities = [_ENTITY.fullmatch(pair) for pair in pairs]
    if not entities or not suffix.isalnum():
        return
    named = {match[1]: match[2] for match in entities if match}
    if len(named) == len(pairs) and "sub" in named:
        yield BidsFile(
            Path(entry.path), participant, session, datatype, named, suffix, dot + extension
        )


def images(files: Iterable[BidsFile], modality: Raw) -> dict[Visit, BidsFile]:
    """Return the image of a modality, of each session that has one.

    Several images that differ in ``run-<n>`` alone count as the last run. Upper and lower case are
    the same.

    Parameters
    ----------
    files
        What `index` gave.
    modality
        Row of `RAW`.

    Raises
    ------
    InvalidDataError
        A session has several images that match; all such are named.
    """
    found: dict[Visit, list[BidsFile]] = {}
    for one in files:
        is_image = one.path.name.lower().endswith(SUFFIXES)
        is_there = modality.datatype in (None, one.datatype.lower())
        if is_image and is_there and naming.is_named(modality, one.path.name):
            found.setdefault((one.participant, one.session), []).append(one)
    return _last_runs(found)


def _last_runs(found: Mapping[Visit, list[BidsFile]]) -> dict[Visit, BidsFile]:
    """Return the last run of each session, which must have nothing but runs.

    Raises
    ------
    InvalidDataError
        A session has several images; all such are named.
    """
    several = {visit: images for visit, images in found.items() if len(images) > 1}
    wrong = [
        f"({_said(visit)}): {listed(sorted(one.path.name for one in images))}"
        for visit, images in several.items()
        if len({(one.path.parent, one.suffix, one.extension, *_without_run(one))
                for one in images}) > 1
    ]  # fmt: skip
    if wrong:
        raise InvalidDataError(
            f"Several images match in {len(wrong)} session{'s' if len(wrong) > 1 else ''}",
            found=listed(wrong),
            fix="Keep one a session, or say which one by tracer, reconstruction or custom suffix",
        )
    if several:
        logger.warning(
            "%d sessions have several runs, of which the last is taken: %s",
            len(several), listed(map(_said, several)),
        )  # fmt: skip
    return {visit: max(images, key=_run) for visit, images in found.items()}


def _said(visit: Visit) -> str:
    return " | ".join(part for part in visit if part)


def _without_run(one: BidsFile) -> list[tuple[str, str]]:
    return [(key, value) for key, value in one.entities.items() if key != _RUN]


def _run(one: BidsFile) -> int:
    value = one.entities.get(_RUN, "0")
    return int(value) if value.isdigit() else 0


def participants(bids: Path) -> pd.DataFrame:
    """Return ``participants.tsv``, all cells text, NaN where a value is missing.

    Raises
    ------
    MissingInputError
        There is none, or it lacks the column of ids.
    InvalidDataError
        It is no such table, or a participant is wrong or comes twice.
    """
    path = bids / "participants.tsv"
    table = tsv.read(path, "table of participants", needs=(PARTICIPANT,))
    tsv.check_ids(table, PARTICIPANT, path)
    tsv.refuse_repeated(table, (PARTICIPANT,), path)
    return table


def sessions(bids: Path, participant: str) -> list[dict[str, object]]:
    """Return the rows of ``<participant>_sessions.tsv``: text, NaN where a value is missing.

    Raises
    ------
    MissingInputError
        There is none, or it lacks the column of ids.
    InvalidDataError
        It is no such table, or a session is wrong or comes twice.
    """
    path = _table(bids, [participant], "sessions")
    rows = tsv.records(path, "table of sessions")
    names = {row.get(SESSION) for row in rows}
    # One such table a participant: only what is wrong is worth a table with methods.
    if len(names) < len(rows) or not all(ids.is_id(name, SESSION) for name in names):
        table = pd.DataFrame(rows, dtype=object)
        tsv.check_columns(table, (SESSION,), path, "table of sessions")
        tsv.check_ids(table, SESSION, path)
        tsv.refuse_repeated(table, (SESSION,), path)
    return rows


def scans(bids: Path, participant: str, session: str | None = None) -> pd.DataFrame:
    """Return the ``_scans.tsv`` of a session, or of a participant without sessions.

    All cells are text, NaN where a value is missing.

    Raises
    ------
    MissingInputError
        There is none, or it lacks the column of file names.
    InvalidDataError
        It is no such table, or names a file twice.
    """
    parts = [part for part in (participant, session) if part is not None]
    path = _table(bids, parts, "scans")
    table = tsv.read(path, "table of images", needs=(FILENAME,))
    tsv.refuse_repeated(table, (FILENAME,), path)
    return table


def _table(bids: Path, parts: list[str], suffix: str) -> Path:
    """Return where a table of a participant or session lies.

    Raises
    ------
    InvalidDataError
        An id is not of the form of ids, and could lead elsewhere.
    """
    for part, form in zip(parts, (_PARTICIPANT_FOLDER, _SESSION_FOLDER), strict=False):
        if not form.fullmatch(part):
            raise InvalidDataError(
                "This is no id", where=bids, found=repr(part),
                fix="Write sub- or ses- and then letters and digits only",
            )  # fmt: skip
    return bids.joinpath(*parts, f"{'_'.join(parts)}_{suffix}.tsv")
