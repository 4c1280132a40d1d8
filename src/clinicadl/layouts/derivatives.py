"""The folder of derivatives that bids-app writes: what is where, and what it says of itself."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from clinicadl.errors import InvalidDataError
from clinicadl.layouts import tsv
from clinicadl.layouts.files import below, existing_folder, read_json, write_json, write_text
from clinicadl.layouts.ids import PARTICIPANT, SESSION

CAPS = "caps"
"""Folder of the registered images."""
_DESCRIPTION, _IGNORE = "dataset_description.json", ".bidsignore"
_IGNORED = (f"/{CAPS}", "*_quality.tsv", "*_prediction.tsv", "*_prediction.json", "index.html")
"""What is in no standard of derivatives yet."""
_DERIVATIVE = "derivative"
QUALITY, PREDICTION = "quality", "prediction"


def caps(folder: Path) -> Path:
    """Return the CAPS of the registered images."""
    return folder / CAPS


def table(folder: Path, participant: str, what: str) -> Path:
    """Return the table of a participant: `QUALITY` or `PREDICTION`."""
    return below(folder, participant) / f"{participant}_{what}.tsv"


def sidecar(path: Path) -> Path:
    """Return what says how a table was made."""
    return path.with_suffix(".json")


def group_table(folder: Path, what: str) -> Path:
    """Return the table of all participants."""
    return folder / f"group_{what}.tsv"


def page(folder: Path) -> Path:
    """Return the page of all participants."""
    return folder / "index.html"


def tables(folder: Path, what: str) -> dict[str, Path]:
    """Return the tables of participants that are there."""
    found = sorted(folder.glob(f"sub-*/sub-*_{what}.tsv"))
    return {
        path.parent.name: path for path in found if path == table(folder, path.parent.name, what)
    }


def check(folder: Path) -> Path:
    """Return ``folder`` if derivatives can go there: it is ours, or empty, or not there.

    Raises
    ------
    MissingInputError
        It is a file, or closed to us.
    InvalidDataError
        It holds something else.
    """
    if not folder.exists():
        return folder
    existing_folder(folder, "folder of derivatives")
    description = folder / _DESCRIPTION
    if description.is_file():
        said = read_json(description, "description of the derivatives")
        is_ours = any(one.get("Name") == "ClinicaDL" for one in _made_by(said))
    else:
        is_ours = not any(folder.iterdir())
    if not is_ours:
        raise InvalidDataError(
            "The folder holds what this command did not make", where=folder,
            fix="Name another folder, which may be absent or empty",
        )  # fmt: skip
    return folder


def _made_by(description: dict[str, Any]) -> list[dict[str, Any]]:
    made = description.get("GeneratedBy")
    return [one for one in made if isinstance(one, dict)] if isinstance(made, list) else []


def begin(folder: Path, source: Path) -> None:
    """Write what the folder says of itself, unless it does already.

    Raises
    ------
    OutputError
        It cannot be written.
    InvalidDataError
        The description of the data set is no JSON object.
    """
    described = source / _DESCRIPTION
    of_source = read_json(described, "description of the data set") if described.is_file() else {}
    if not (folder / _IGNORE).exists():
        write_text(folder / _IGNORE, "".join(f"{pattern}\n" for pattern in _IGNORED))
    if not (folder / _DESCRIPTION).exists():
        content = {
            "Name": f"ClinicaDL: {of_source.get('Name') or source.resolve().name}",
            "BIDSVersion": of_source.get("BIDSVersion") or "1.9.0",
            "DatasetType": _DERIVATIVE,
            "GeneratedBy": [{"Name": "ClinicaDL", "Version": version("clinicadl")}],
        }
        write_json(folder / _DESCRIPTION, content)


def read(path: Path) -> pd.DataFrame:
    """Return a table of a participant, with every cell as text.

    Raises
    ------
    MissingInputError
        It is gone, or lacks its ids.
    InvalidDataError
        It is no table.
    """
    return tsv.read(path, "table of a participant", needs=[PARTICIPANT, SESSION])


def merge(path: Path, new: pd.DataFrame) -> None:
    """Write rows into a table of a participant, in place of those of the same sessions.

    Raises
    ------
    OutputError
        It cannot be written.
    InvalidDataError
        What is there is no table.
    """
    if path.exists():
        old = read(path)
        new = pd.concat([old[~old[SESSION].isin(new[SESSION])], new], ignore_index=True)
    tsv.write(path, new.sort_values(SESSION, kind="stable"))
