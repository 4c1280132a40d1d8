"""The folder of a random search of releases 1.x: every name in it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts.files import existing_folder, read_bytes, write_json
from clinicadl.layouts.maps import names

SECTION = "Random_Search"
"""Section of the file that belongs to the search alone."""
_OF_0_2 = "random_search.json"


def description(launch: Path) -> Path:
    """Return the file that says what is searched."""
    return launch / "random_search.toml"


def maps(launch: Path, name: str) -> Path:
    """Return the MAPS of one network."""
    return launch / name


def drawn(launch: Path, name: str) -> Path:
    """Return the file that says what was drawn for one network."""
    return launch / f"{name}_drawn.json"


def is_launch(folder: Path) -> bool:
    """Return whether a folder is that of a random search."""
    return description(folder).is_file()


def all_maps(launch: Path) -> list[Path]:
    """Return the MAPS of all networks, by name."""
    found = existing_folder(launch, "folder of a random search").iterdir()
    return sorted(path for path in found if names.record(path).is_file())


def read_description(launch: Path) -> dict[str, dict[str, Any]]:
    """Return what is searched: section -> key -> value.

    Raises
    ------
    MissingInputError
        The file is not there.
    InvalidDataError
        It is not TOML, or has no section of the search.
    """
    path = description(existing_folder(launch, "folder of a random search"))
    if not path.is_file() and (launch / _OF_0_2).is_file():
        raise MissingInputError(
            "The random search is described as for release 0.2, and is read from TOML only",
            where=launch, found=_OF_0_2, fix=f"Write its values into {path.name}, [{SECTION}]",
        )  # fmt: skip
    try:
        content = tomllib.loads(read_bytes(path, "description of the random search").decode())
    except ValueError as error:
        raise InvalidDataError(
            "The description of the random search is not TOML", where=path, found=error
        ) from error
    if not isinstance(content.get(SECTION), dict):
        raise InvalidDataError(
            f"The description of the random search has no section [{SECTION}]", where=path,
            found=", ".join(content) or "nothing", fix="Add it",
        )  # fmt: skip
    loose = [key for key, value in content.items() if not isinstance(value, dict)]
    if loose:
        raise InvalidDataError(
            "A key stands in no section", where=path, found=", ".join(loose),
            fix=f"Write it below [{SECTION}] or the section that it belongs to",
        )  # fmt: skip
    return content


def write_drawn(launch: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write what was drawn for one network."""
    write_json(drawn(launch, name), content)
