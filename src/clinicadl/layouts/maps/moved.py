"""Where the data of a MAPS lie now, if they do not lie any more where its record says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clinicadl.config.base import Section
from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import read_json, turn, write_text
from clinicadl.layouts.maps import names


class Moved(Section):
    """What stands in for the places of a record; all else that it says holds as it did."""

    config: dict[str, dict[str, Any]]
    """Section -> setting -> place."""
    tables: dict[str, str | None]
    """File that was read -> where it is now; None where another table names other places."""
    caps: dict[str, str]
    """CAPS of a data group -> where it is now."""
    date: str


def read(maps: Path) -> Moved | None:
    """Return where the data lie now; None if they were not moved.

    Raises
    ------
    InvalidDataError
        The file that says it is damaged.
    """
    path = names.moved(maps)
    if not path.exists():
        return None
    try:
        return Moved.model_validate(read_json(path, "list of moved data"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidDataError(
            "The list of moved data is damaged",
            where=f"{path}, {'.'.join(str(step) for step in first['loc'])}", found=first["msg"],
            fix="Remove it, and resume with --caps_directory and --tsv_directory",
        ) from error  # fmt: skip


def write(maps: Path, moved: Moved) -> None:
    """Write where the data lie now, whole; the record itself stays as it was sealed.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    with turn(maps):
        write_text(names.moved(maps), moved.model_dump_json(indent=2) + "\n")
