"""Which images of a CAPS new ones are made from."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.config.generate import FromImagesConfig
from clinicadl.errors import MissingInputError, UsageError
from clinicadl.layouts import caps, images, naming
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import write_json
from clinicadl.synthesis.generated import in_caps
from clinicadl.tables import sessions


class _Candidates(NamedTuple):
    """What sources are chosen from."""

    stored: dict[caps.Session, StoredImage]
    """The images of the CAPS."""
    table: pd.DataFrame
    """The sessions, in the order in which they are taken."""
    where: Path
    """The table, or the CAPS where there is none, for messages."""


def first_source(config: FromImagesConfig) -> StoredImage:
    """Return the image of the first row of the table, or the first one of the CAPS.

    Raises
    ------
    MissingInputError
        There is no such image.
    """
    found = _candidates(config)
    first = sessions.sessions_of(found.table)[:1]
    return caps.select(found.stored, first, where=found.where)[0]


class Listed(NamedTuple):
    """An image of the table, with what the table says of it."""

    image: StoredImage
    columns: dict[str, str]
    """The columns besides the identifiers."""


def baseline_sources(config: FromImagesConfig, n_subjects: int) -> list[Listed]:
    """Return the first session of each of the first ``n_subjects`` participants of the table.

    Without a table, the first session that has an image counts.

    Raises
    ------
    UsageError
        There are fewer participants.
    MissingInputError
        A session that is needed has no image.
    """
    found = _candidates(config)
    firsts = sessions.baseline(found.table)
    if n_subjects > len(firsts):
        raise UsageError(
            f"{n_subjects} participants are needed",
            where=found.where,
            found=f"{len(firsts)} participants",
            fix=f"Give --n_subjects {len(firsts)} or less",
        )
    return _listed(found, firsts[:n_subjects])


def listed_sources(config: FromImagesConfig) -> list[Listed]:
    """Return every session of the table, or of the CAPS where there is none.

    Raises
    ------
    MissingInputError
        A session has no image.
    """
    found = _candidates(config)
    return _listed(found, found.table)


def _listed(found: _Candidates, table: pd.DataFrame) -> list[Listed]:
    chosen = caps.select(found.stored, sessions.sessions_of(table), where=found.where)
    columns = table.drop(columns=[sessions.PARTICIPANT, sessions.SESSION])
    rows = columns.astype(object).where(columns.notna(), "n/a").astype(str).to_dict("records")
    return [
        Listed(image, {str(name): value for name, value in row.items()})
        for image, row in zip(chosen, rows, strict=True)
    ]


def new_path(
    config: FromImagesConfig, source: StoredImage, participant: str, session: str, *, tag: str = ""
) -> Path:
    """Return where a new image lies, relative to its CAPS: folder and name as the source's.

    ``tag`` is put behind participant and session, where every preprocessing still finds the image.

    Raises
    ------
    UsageError
        Under the new name the preprocessing would not find it again.
    """
    home = config.caps_directory / in_caps(source.participant, source.session)
    folder = source.path.parent.relative_to(home)
    entities = rf"{re.escape(source.participant)}_(?:{re.escape(source.session)}_)?"
    rest = re.sub(f"^{entities}", "", source.path.name)
    path = folder / f"{participant}_{session}_{tag}{rest}"
    pattern = naming.pattern(config.preprocessing)
    if not fnmatch.fnmatchcase(path.as_posix().lower(), pattern.lower()):
        raise UsageError(
            "The new images would have names that this preprocessing does not find",
            where=source.path,
            found=f"{path} for {pattern}",
            fix="Give a suffix that begins behind the participant and session of the file names",
        )
    return in_caps(participant, session, *path.parts)


def read_source(path: Path) -> images.Image:
    """Return an image that new ones can be made from.

    Raises
    ------
    MissingInputError
        It is absent or closed to us.
    InvalidDataError
        It is damaged, or all its voxels are the same.
    """
    image = images.read(path)
    images.check_content(image.voxels, path)
    return image


def write_origin(
    config: FromImagesConfig,
    kind: str,
    image: Path,
    source: Path,
    sha256: str,
    changes: Mapping[str, Any],
) -> None:
    """Write beside a new image what it was made from, and what was done.

    Parameters
    ----------
    config
        Says the CAPS of the source.
    kind
        Name of the command.
    image
        The new image.
    source
        Its source.
    sha256
        Of the source's file.
    changes
        For JSON; empty for a copy.
    """
    content = {
        "command": f"generate {kind}",
        "source": source.relative_to(config.caps_directory).as_posix(),
        "source_sha256": sha256,
        "changes": dict(changes),
    }
    write_json(image.with_name(f"{images.stem(image)}.json"), content)


def _candidates(config: FromImagesConfig) -> _Candidates:
    stored = caps.index(config.caps_directory, config.preprocessing)
    if not stored:
        raise MissingInputError(
            f"The CAPS holds no image of {config.preprocessing.name}",
            where=config.caps_directory,
            found=f"nothing like {naming.pattern(config.preprocessing)}",
            fix="Check the CAPS and --preprocessing",
        )
    if config.participants_tsv is None:
        columns = [sessions.PARTICIPANT, sessions.SESSION]
        return _Candidates(
            stored, pd.DataFrame(list(stored), columns=columns), config.caps_directory
        )
    table = sessions.read(config.participants_tsv)
    return _Candidates(stored, table, config.participants_tsv)
