"""What trained models said of data groups, and what was found in their images, in a MAPS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.errors import InvalidDataError
from clinicadl.layouts import ids, tsv
from clinicadl.layouts.files import (
    TEMPORARY,
    read_json,
    whole_folder,
    write_json,
    write_text,
)
from clinicadl.layouts.maps import hashes, names
from clinicadl.layouts.maps.folder import write_table


class Level(NamedTuple):
    """What one model said of all images, or of all parts of them."""

    predictions: pd.DataFrame
    metrics: pd.DataFrame | None


class Results(NamedTuple):
    """What one model said of one data group."""

    levels: Mapping[str, Level]
    """``image`` for the images; the name of the mode for their parts."""
    guard: Mapping[str, Any]
    """What the guard found, and the reason for which it was overridden."""
    description: str


class Guarded(NamedTuple):
    """What the guard said before a model looked at a data group."""

    findings: tuple[str, ...]
    accepted: str | None
    """Why a refusal was overridden; None if none was."""
    skipped: tuple[str, ...]
    """What it could not look for, and why."""


@contextmanager
def new_results(maps: Path, split: int | None, metric: str, name: str) -> Iterator[Path]:
    """Give a folder to fill with what a model says of a data group, and `write_results` into.

    When the block succeeds, it replaces former results at once; when it fails, nothing is left.
    Interpretations of the group stay.
    """
    results = names.results(maps, split, metric, name)
    with whole_folder(results, overwrite=True) as folder:
        yield folder
        hashes.seal(folder)
        for kept in names.interpretations(results):
            shutil.copytree(kept, folder / kept.name)


@contextmanager
def new_interpretation(results: Path, name: str) -> Iterator[Path]:
    """Give a folder to fill with the maps of a model, in its folder of results.

    When the block succeeds, it replaces a former one at once; when it fails, nothing is left.
    """
    with whole_folder(names.interpretation(results, name), overwrite=True) as folder:
        yield folder
        hashes.seal(folder)


def write_interpretation(
    folder: Path,
    method: Mapping[str, Any],
    guard: Mapping[str, Any],
    description: str,
    tables: Mapping[str, pd.DataFrame],
) -> None:
    """Write what an interpretation says of itself into the folder that was given for it.

    Parameters
    ----------
    folder
        What `new_interpretation` gave.
    method
        How the maps were made.
    guard
        What the guard found.
    description
        Of the data group.
    tables
        What the maps were judged by, see `names.judged`.
    """
    for what, table in tables.items():
        write_table(names.judged(folder, what), table)
    write_json(names.method(folder), method)
    write_json(names.guard(folder), guard)
    write_text(names.description(folder), description)


def write_results(folder: Path, name: str, results: Results) -> None:
    """Write the tables of a data group into the folder that `new_results` gave."""
    target = folder.with_name(name)
    for level, said in results.levels.items():
        write_table(folder / names.predictions(target, level).name, said.predictions)
        if said.metrics is not None:
            write_table(folder / names.metrics(target, level).name, said.metrics)
    write_json(names.guard(folder), results.guard)
    write_text(names.description(folder), results.description)


def read_predictions(
    maps: Path, split: int | None, metric: str, name: str, level: str
) -> pd.DataFrame:
    """Return what a model said of a data group, at one level.

    Raises
    ------
    MissingInputError
        The table is gone.
    InvalidDataError
        It is no such table.
    """
    path = names.predictions(names.results(maps, split, metric, name), level)
    table = tsv.read(path, "table of predictions")
    texts = (*ids.PREFIX_OF, names.ACCEPTED)
    numbers = [column for column in table.columns if column not in texts]
    try:
        return table.astype(dict.fromkeys(numbers, float))
    except ValueError as error:
        raise InvalidDataError("A prediction is not a number", where=path, found=error) from error


def read_votes(maps: Path, split: int, metric: str, level: str) -> list[list[float]]:
    """Return what the parts of a pulled model have to say, at one level; nothing where none do.

    Raises
    ------
    MissingInputError
        The file is gone.
    InvalidDataError
        It is damaged.
    """
    path = names.votes(maps, split, metric)
    rows = read_json(path, "say of parts").get(level, [])
    try:
        return [[float(cell) for cell in row] for row in rows]
    except (TypeError, ValueError) as error:
        raise InvalidDataError("A say is not a number", where=path, found=error) from error


def read_verdict(maps: Path, split: int | None, metric: str, name: str) -> Guarded:
    """Return what the guard said of some results.

    Raises
    ------
    MissingInputError
        Its record is gone.
    InvalidDataError
        It is damaged.
    """
    verdict = read_json(names.guard(names.results(maps, split, metric, name)), "verdict of guard")
    reason = verdict.get("accepted")
    findings = tuple(str(found["sentence"]) for found in verdict.get("findings", ()))
    skipped = tuple(str(one) for one in verdict.get("skipped", ()))
    return Guarded(findings, None if reason is None else str(reason), skipped)


def judged_groups(maps: Path, split: int | None, metric: str) -> tuple[str, ...]:
    """Return the data groups that a model has results on, sorted."""
    folders = names.best(maps, split, metric).iterdir()
    return tuple(sorted(one.name for one in folders if has_results(maps, split, metric, one.name)))


def has_results(maps: Path, split: int | None, metric: str, name: str) -> bool:
    """Return whether a model's results on a data group are there; they are whole if they are.

    A folder that holds interpretations alone has none.
    """
    folder = names.results(maps, split, metric, name)
    # A result that is being made lies in a hidden folder beside its place.
    if name.startswith(TEMPORARY) or not folder.is_dir():
        return False
    return any(path.is_file() for path in folder.iterdir())
