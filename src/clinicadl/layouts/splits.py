"""The folders that split and kfold write."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts import tsv
from clinicadl.layouts.files import (
    existing_folder,
    inside,
    read_json,
    sha256,
    whole_folder,
    write_json,
)
from clinicadl.layouts.ids import PARTICIPANT

logger = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLIT_JSON, KFOLD_JSON = "split.json", "kfold.json"
MOST_PARENTS = 5
"""How many folders are searched for the test set that tables were separated from."""

DIGEST = "sha256"
_FILES = "files"
_PARTICIPANTS = "participants"
_SUBSET = "subset_name"
_MADE_FROM = "data_tsv"


class Division(NamedTuple):
    """Who learns and who is set apart; a table that is None is not written."""

    train: pd.DataFrame | None
    train_baseline: pd.DataFrame | None
    apart_baseline: pd.DataFrame
    apart: pd.DataFrame | None


class SplitTables(NamedTuple):
    """The tables that one split is trained with."""

    number: int
    train: Path
    validation: Path


def table_name(part: str, *, baseline: bool) -> str:
    """Return the name of the table of a part.

    Examples
    --------
    >>> table_name("train", baseline=True)
    'train_baseline.tsv'
    """
    return f"{part}_baseline.tsv" if baseline else f"{part}.tsv"


def split_folder(tsv_directory: Path, number: int) -> Path:
    """Return the folder of one split of a k-fold."""
    return tsv_directory / f"split-{number}"


def next_folder(parent: Path, name: str) -> Path:
    """Return ``name`` in ``parent``, or the first of ``name_2``, ``name_3``, ... that is free."""
    folder, number = parent / name, 2
    while folder.exists():
        folder, number = parent / f"{name}_{number}", number + 1
    return folder


def files_of(division: Division, subset_name: str) -> dict[str, pd.DataFrame]:
    """Return the tables of a division by the names of their files."""
    tables = {
        table_name(TRAIN, baseline=False): division.train,
        table_name(TRAIN, baseline=True): division.train_baseline,
        table_name(subset_name, baseline=False): division.apart,
        table_name(subset_name, baseline=True): division.apart_baseline,
    }
    return {name: table for name, table in tables.items() if table is not None}


def write_split(
    folder: Path, division: Division, *, subset_name: str, record: Mapping[str, Any]
) -> None:
    """Write the folder of one division, whole.

    Parameters
    ----------
    folder
        A folder that does not exist yet, see `next_folder`.
    division
        The tables.
    subset_name
        Name of the part that is set apart.
    record
        What the JSON says besides the names and hashes of the tables.

    Raises
    ------
    OutputError
        The folder exists, or cannot be written.
    """
    with whole_folder(folder) as temporary:
        digests = _write_tables(temporary, division, subset_name)
        proof = {_FILES: digests, _PARTICIPANTS: _participants(division, subset_name)}
        write_json(temporary / SPLIT_JSON, {**record, **proof})


def write_folds(
    folder: Path, divisions: Sequence[Division], *, subset_name: str, record: Mapping[str, Any]
) -> None:
    """Write the folder of k divisions, whole; parameters as in `write_split`.

    Raises
    ------
    OutputError
        The folder exists, or cannot be written.
    """
    with whole_folder(folder) as temporary:
        digests: dict[str, str] = {}
        people: dict[str, list[str]] = {}
        for number, division in enumerate(divisions):
            home = split_folder(temporary, number)
            written = _write_tables(home, division, subset_name)
            digests |= {f"{home.name}/{name}": digest for name, digest in written.items()}
            in_sets = _participants(division, subset_name)
            people |= {f"{home.name}/{name}": who for name, who in in_sets.items()}
        write_json(temporary / KFOLD_JSON, {**record, _FILES: digests, _PARTICIPANTS: people})


def _participants(division: Division, subset_name: str) -> dict[str, list[str]]:
    """Return who is in each set of a division."""
    tables = {TRAIN: division.train_baseline, subset_name: division.apart_baseline}
    return {
        name: sorted(table[PARTICIPANT].unique())
        for name, table in tables.items()
        if table is not None
    }


def _write_tables(folder: Path, division: Division, subset_name: str) -> dict[str, str]:
    digests = {}
    for name, table in files_of(division, subset_name).items():
        tsv.write(folder / name, table)
        digests[name] = sha256(folder / name)
    return digests


class Recorded(NamedTuple):
    """What the record of a division says of one of its tables."""

    record: Path
    """The ``split.json`` or ``kfold.json``."""
    name: str
    """The table in it: ``train.tsv``, ``split-0/validation_baseline.tsv``."""
    part: str
    """The set that the table is of: ``train``, ``validation``, ..."""
    digest: str
    """SHA-256 of the table as it was written."""
    participants: Mapping[str, frozenset[str]]
    """Set of the same division -> who is in it; empty in records of release 1.x."""


def recorded(table: Path) -> Recorded | None:
    """Return what the record of its division says of a table, or nothing where none names it.

    Raises
    ------
    InvalidDataError
        The record is damaged.
    """
    folder = table.resolve().parent
    for path, prefix in (
        (folder / SPLIT_JSON, ""),
        (folder.parent / KFOLD_JSON, f"{folder.name}/"),
    ):
        record = _record(path)
        name = prefix + table.name
        digest = record.get(_FILES, {}).get(name)
        if digest is None:
            continue
        people = {
            key.removeprefix(prefix): frozenset(who)
            for key, who in record.get(_PARTICIPANTS, {}).items()
            if key.startswith(prefix)
        }
        part = table.stem.removesuffix("_baseline")
        return Recorded(path, name, part, digest, people)
    return None


class Edit(NamedTuple):
    """What became of a table since its division was made."""

    record: Recorded
    came: tuple[str, ...]
    """Participants that it did not have, and no other set of the division either."""
    went: tuple[str, ...]
    """Participants that it had."""
    moved: Mapping[str, tuple[str, ...]]
    """Other set of the division -> its participants that are now in this table."""


def edited(table: Path, participants: Iterable[str]) -> Edit | None:
    """Return what became of a table since its division was made, or nothing if it is the same.

    Parameters
    ----------
    table
        Its file.
    participants
        Who is in it.

    Raises
    ------
    InvalidDataError
        The record of the division is damaged.
    """
    found = recorded(table)
    if found is None or found.digest == sha256(table):
        return None
    now = set(participants)
    before = found.participants.get(found.part, frozenset())
    others = {name: who & now for name, who in found.participants.items() if name != found.part}
    moved = {name: tuple(sorted(who - before)) for name, who in others.items() if who - before}
    strangers = now - before - {who for names in moved.values() for who in names}
    return Edit(found, tuple(sorted(strangers)), tuple(sorted(before - now)), moved)


def rewrite(path: Path, table: pd.DataFrame) -> None:
    """Write a table anew with other columns, and renew the record of its division.

    If the table was edited by hand before, a warning says so and the record is left as it is: it
    tells what the table was.

    Raises
    ------
    OutputError
        The table or the record cannot be written.
    """
    found = recorded(path)
    was_edited = found is not None and found.digest != sha256(path)
    tsv.write(path, table)
    if found is None:
        return
    if was_edited:
        logger.warning(
            "%s was edited after the split: %s still tells what it was", path, found.record
        )
        return
    record = _record(found.record)
    files = {**record[_FILES], found.name: sha256(path)}
    write_json(found.record, {**record, _FILES: files})


def read(
    tsv_directory: Path, *, n_splits: int, baseline: bool, valid_longitudinal: bool
) -> list[SplitTables]:
    """Return the tables of each split.

    Parameters
    ----------
    tsv_directory
        What `write_split` or `write_folds` wrote, with the part ``validation``.
    n_splits
        Number of the k-fold's splits; 0 if the folder itself is one split.
    baseline
        Whether only the first session of each participant is trained on.
    valid_longitudinal
        Whether every session is validated on, instead of the first.

    Raises
    ------
    MissingInputError
        The folder or a table is absent.
    UsageError
        The folder holds another number of splits.
    """
    existing_folder(tsv_directory, "folder of split tables")
    n_found = 0
    while split_folder(tsv_directory, n_found).is_dir():
        n_found += 1
    is_split_itself = (tsv_directory / table_name(TRAIN, baseline=baseline)).is_file()
    if n_found not in (0, n_splits) and not (n_splits == 0 and is_split_itself):
        raise UsageError(
            f"The folder holds {n_found} splits, not {n_splits or 'a single one'}",
            where=tsv_directory, fix=f"Give --n_splits {n_found}; --split chooses some of them",
        )  # fmt: skip
    folders = [split_folder(tsv_directory, i) for i in range(n_splits)] or [tsv_directory]
    return [
        SplitTables(
            number,
            _existing(folder / table_name(TRAIN, baseline=baseline)),
            _existing(folder / table_name(VALIDATION, baseline=not valid_longitudinal)),
        )
        for number, folder in enumerate(folders)
    ]


def _existing(table: Path) -> Path:
    if table.is_file():
        return table
    there = sorted(path.name for path in table.parent.glob("*.tsv"))
    longitudinal = table.name == table_name(VALIDATION, baseline=False)
    if longitudinal and table_name(VALIDATION, baseline=True) in there:
        fix = "Split with --valid_longitudinal, or validate on the first sessions"
    elif table_name(TEST, baseline=True) in there:
        fix = f"This folder sets a test set apart: split {table.parent / 'train.tsv'} again"
    else:
        fix = "Give the folder that tsvtools split or kfold wrote, with the subset name validation"
    raise MissingInputError(
        "The table of a split does not exist", where=table,
        found=f"tables {listed(there)}" if there else "no tables in this folder", fix=fix,
    )  # fmt: skip


def made_from(folder: Path) -> Path | None:
    """Return the table that a folder of tables was made from, if it is there and is still that one.

    Raises
    ------
    InvalidDataError
        The record of the folder is damaged.
    """
    record = _record(folder / SPLIT_JSON) or _record(folder / KFOLD_JSON)
    name, digest = record.get(_MADE_FROM), record.get(DIGEST)
    if not isinstance(name, str):
        return None
    table = inside(folder.resolve().parent, name)
    return table if table.is_file() and sha256(table) == digest else None


def test_tables(tsv_directory: Path) -> list[Path]:
    """Return the tables of the test sets that the tables of a folder must not share anybody with.

    These are what the nearest folders above were separated from. If there is none, it is what
    another split beside the folder set apart from the very table that the folder was made from.

    Parameters
    ----------
    tsv_directory
        The folder whose tables are trained on.

    Raises
    ------
    MissingInputError
        A table that a ``split.json`` or ``kfold.json`` names is gone.
    InvalidDataError
        Such a file is damaged.
    """
    home = tsv_directory.resolve()
    chain = (home, *home.parents)[: MOST_PARENTS + 1]
    found = [table for folder in chain for table in _test_set(folder)]
    return found or [table for folder in _beside(home) for table in _test_set(folder)]


def _test_set(folder: Path) -> Iterator[Path]:
    """Yield the tables of the test set, if one was set apart from the tables in this folder.

    Raises
    ------
    MissingInputError
        A table that the record names is gone.
    """
    for home, name in ((folder, SPLIT_JSON), (folder.parent, KFOLD_JSON)):
        record = _record(home / name)
        if record.get(_SUBSET) != TEST:
            continue
        own = {table_name(TEST, baseline=False), table_name(TEST, baseline=True)}
        if _FILES not in record:
            # Release 1.x does not name the tables.
            yield from (folder / name for name in sorted(own) if (folder / name).is_file())
            continue
        for listed_name in record[_FILES]:
            table = inside(home, str(listed_name))
            if table.parent == folder and table.name in own:
                if not table.is_file():
                    raise MissingInputError(
                        "The table of the test set is gone", where=table,
                        fix="Put it back: training is checked against it",
                    )  # fmt: skip
                yield table


def _beside(folder: Path) -> Iterator[Path]:
    made_from = (_record(folder / SPLIT_JSON) or _record(folder / KFOLD_JSON)).get(DIGEST)
    if made_from is None:
        return
    for path in sorted(folder.parent.glob(f"*/{SPLIT_JSON}")):
        if path.parent != folder and _record(path).get(DIGEST) == made_from:
            yield path.parent


def _record(path: Path) -> dict[str, Any]:
    record = read_json(path, "record of a split") if path.is_file() else {}
    for key in (_FILES, _PARTICIPANTS):
        if not isinstance(record.get(key, {}), Mapping):
            raise InvalidDataError(
                f"The record of a split does not have {key} by name", where=path,
                found=type(record[key]).__name__, fix="Split again",
            )  # fmt: skip
    return record
