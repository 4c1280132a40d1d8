"""Whom models have seen, where a MAPS keeps it as hashes and not by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from clinicadl.config.base import Section
from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import read_json, write_json
from clinicadl.layouts.maps import names

Tag = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
"""A hash that stands for a participant, a session or an image."""
Split = Annotated[int, Field(ge=0)]

_KEY = "hidden"


class People(Section):
    """Participants, by what is left of the spelling of their ids."""

    keys: tuple[Tag, ...]
    numbers: tuple[Tag, ...]
    """Of ids that begin with letters, these taken away."""


class Hidden(Section):
    """All that one model saw in train or validation, of any split, without a name."""

    who: str = Field(max_length=4096)
    """The model: empty for that of this MAPS."""
    hash: Literal["scrypt-8192-8-1"] = "scrypt-8192-8-1"
    """How it was hashed; a stranger cannot ask for more memory and time than this."""
    salt: Tag
    n_participants: int = Field(ge=0)
    n_sessions: int = Field(ge=0)
    seen: People
    train: dict[Split, People]
    """Whom it was fitted on, by split."""
    sessions: tuple[Tag, ...]
    images: tuple[Tag, ...]


def write(maps: Path, hidden: Sequence[Hidden]) -> None:
    """Write whom models have seen, whole."""
    write_json(names.seen_hidden(maps), {_KEY: [one.model_dump(mode="json") for one in hidden]})


def read(maps: Path) -> tuple[Hidden, ...]:
    """Return whom models have seen that are not known by name; nobody where no file is there.

    Raises
    ------
    InvalidDataError
        The file is damaged.
    """
    path = names.seen_hidden(maps)
    if not path.exists():
        return ()
    try:
        return tuple(
            Hidden.model_validate(one) for one in read_json(path, "list of hashes").get(_KEY, ())
        )
    except (ValidationError, TypeError) as error:
        raise InvalidDataError(
            "The hashes of those who were seen are damaged", where=path,
            fix="Restore the file: without it the guard would know nobody",
        ) from error  # fmt: skip
