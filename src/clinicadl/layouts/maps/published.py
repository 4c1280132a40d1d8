"""Where things lie in a MAPS of releases 1.x."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.config.published import is_published
from clinicadl.errors import InvalidDataError, UsageError
from clinicadl.layouts import ids, tsv
from clinicadl.layouts.files import existing_folder, read_bytes, read_json
from clinicadl.layouts.maps import names
from clinicadl.layouts.maps.folder import Group
from clinicadl.layouts.maps.record import FORMAT, PACKAGES, read_content

_SPLIT = re.compile(r"(?:split|fold)-(\d+)")
_WEIGHTS = re.compile(r"(?:network-(\d+)_)?model\.pth\.tar")
_TABLE = re.compile(r".+_level_(?:prediction|metrics)\.tsv")
_DATE_OF_RESULTS = re.compile(r"^Prediction .* group - (.+)$", re.MULTILINE)
_DATE = re.compile(r"^- Date :\s*(.+)$", re.MULTILINE)
_DATE_FORMAT = "%d %b %Y, %H:%M:%S"
_IDS = tuple(ids.PREFIX_OF)


class PublishedMaps(NamedTuple):
    """A MAPS of releases 1.x on disk."""

    path: Path
    settings: dict[str, Any]
    """What its record says."""


def is_one(maps: Path) -> bool:
    """Return whether a folder is a MAPS of releases 1.x.

    Raises
    ------
    MissingInputError
        It has no record that can be read.
    InvalidDataError
        Its record is no JSON.
    """
    return is_published(read_content(existing_folder(maps, "MAPS")))


def open_published(maps: Path) -> PublishedMaps:
    """Return a MAPS of releases 1.x.

    Raises
    ------
    MissingInputError
        There is none.
    UsageError
        It is one of this release.
    InvalidDataError
        Its record is damaged.
    """
    content = read_content(existing_folder(maps, "MAPS"))
    if content.get("format") == FORMAT:
        raise UsageError("The MAPS was written by this release", where=maps, fix="Use it as it is")
    if not is_published(content):
        raise InvalidDataError(
            "This is no record of releases 1.x: it names no task", where=names.record(maps),
            fix="Give the folder that train of release 1.x wrote",
        )  # fmt: skip
    return PublishedMaps(maps, content)


def numbered(folder: Path) -> dict[int, Path]:
    """Return the folders ``split-<i>``, or in early releases ``fold-<i>``, in order.

    Parameters
    ----------
    folder
        A MAPS, or in it the folder of train or of validation.

    Raises
    ------
    InvalidDataError
        A split has two.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _SPLIT.fullmatch(path.name)
        if match and path.is_dir():
            number = int(match[1])
            if number in found:
                raise InvalidDataError(
                    "A split has two folders", where=folder,
                    found=f"{found[number].name} and {path.name}", fix="Remove the wrong one",
                )  # fmt: skip
            found[number] = path
    return dict(sorted(found.items()))


def is_unfinished(split: Path) -> bool:
    """Return whether the training of a split was begun and not ended."""
    return (split / "tmp").is_dir()


def best(split: Path) -> dict[str, Path]:
    """Return the folder of the best model of a split by each selection metric."""
    found = sorted(path for path in split.glob("best-*") if path.is_dir())
    return {path.name.removeprefix("best-"): path for path in found}


def weights(best_model: Path) -> dict[int | None, Path]:
    """Return the weights of a best model: one file, or that of each of its networks, in order."""
    found: dict[int | None, Path] = {}
    for path in best_model.iterdir():
        match = _WEIGHTS.fullmatch(path.name)
        if match:
            found[None if match[1] is None else int(match[1])] = path
    return {number: found[number] for number in sorted(found, key=lambda one: one or 0)}


def logs(split: Path) -> list[Path]:
    """Return the files of the training logs of a split."""
    return sorted(path for path in (split / "training_logs").rglob("*") if path.is_file())


def results(best_model: Path) -> dict[str, Path]:
    """Return the folder of what a best model said of each data group."""
    folders = sorted(path for path in best_model.iterdir() if path.is_dir())
    return {path.name: path for path in folders if tables(path)}


def tables(folder: Path) -> list[Path]:
    """Return the tables of predictions and metrics in a folder of results."""
    return sorted(path for path in folder.iterdir() if _TABLE.fullmatch(path.name))


def date_of_results(folder: Path) -> str | None:
    """Return when a folder of results was made, as it is written there."""
    path = names.description(folder)
    found = _DATE_OF_RESULTS.search(_text(path)) if path.exists() else None
    return found and found[1].strip()


def groups(maps: Path) -> dict[str, Path]:
    """Return the folder of each data group that somebody defined, beside train and validation."""
    found = sorted(path for path in names.seen(maps).parent.glob("*") if path.is_dir())
    return {path.name: path for path in found if names.group_table(path).exists()}


def group(folder: Path) -> Group:
    """Return who is in a data group, and where its images came from.

    Raises
    ------
    MissingInputError
        It is not there.
    InvalidDataError
        It is damaged.
    """
    origin = read_json(names.group_origin(folder), "origin of the data group")
    if not isinstance(origin.get("caps_directory"), str):
        raise InvalidDataError(
            "The data group does not say where its images were", where=names.group_origin(folder)
        )
    return Group(_sessions(names.group_table(folder), "table of the data group"), origin)


def seen(maps: Path) -> pd.DataFrame:
    """Return the sessions of everybody whom the models, or the source of their weights, had seen.

    Raises
    ------
    MissingInputError
        The table is not there.
    InvalidDataError
        It is damaged.
    """
    return _sessions(names.seen(maps), "table of everybody that the models have seen")


def _sessions(path: Path, meaning: str) -> pd.DataFrame:
    """Return a table of sessions; an unnamed index column is passed over.

    Raises
    ------
    InvalidDataError
        A row has no identifier.
    """
    table = tsv.read(path, meaning, needs=_IDS)
    nameless = table[[*_IDS]].isna().any(axis=1)
    if nameless.any():
        raise InvalidDataError(
            "A session has no identifier", where=f"{path}, row {int(nameless.argmax()) + 2}"
        )
    return table


def environment(maps: Path) -> str:
    """Return the list of packages that were installed; nothing if it was not kept."""
    path = names.environment(maps)
    return _text(path) if path.exists() else ""


def information(maps: Path) -> str:
    """Return the log with date, path and layers; nothing if it was not kept."""
    path = names.information(maps)
    return _text(path) if path.exists() else ""


def versions(packages: str) -> dict[str, str]:
    r"""Return the versions that a result depends on, of a list ``name==version`` a line.

    Examples
    --------
    >>> versions("absl-py==2.0\nclinicadl==1.6.1\ntorch @ file:///torch.whl\n")
    {'clinicadl': '1.6.1'}
    """
    found = dict(line.strip().split("==", 1) for line in packages.splitlines() if "==" in line)
    return {name: found[name] for name in PACKAGES if name in found}


def created(log: str) -> str | None:
    r"""Return the date of the log of a MAPS, as in ISO 8601; None if it has none.

    Examples
    --------
    >>> created("- Date :\t03 Oct 2024, 11:30:00\n\n- Path :\tmaps\n")
    '2024-10-03T11:30:00'
    """
    found = _DATE.search(log)
    try:
        return found and datetime.strptime(found[1].strip(), _DATE_FORMAT).isoformat()
    except ValueError:
        return None


def _text(path: Path) -> str:
    return read_bytes(path, "file of the MAPS").decode("utf-8", errors="replace")
