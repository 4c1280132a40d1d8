"""Labels and splits of release 1.1, in the layout of today."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.config.summary import AdaptConfig
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import tsv
from clinicadl.layouts.files import (
    existing_folder,
    read_json,
    refuse_existing,
    refuse_unwritable,
    whole_folder,
    write_json,
)
from clinicadl.layouts.splits import KFOLD_JSON, SPLIT_JSON, TRAIN, table_name
from clinicadl.tables import sessions

logger = logging.getLogger(__name__)

_BASELINE = "_baseline"
_SUBSET = "subset_name"
_FOLDS = re.compile(r"(?P<part>.+)_splits-(?P<k>\d+)")
_SPLIT = re.compile(r"split-\d+")


class Plan(NamedTuple):
    """A folder in the layout of today, and nothing written."""

    config: AdaptConfig
    tables: dict[Path, pd.DataFrame]
    """Path in the new folder -> table."""
    records: dict[Path, dict[str, Any]]
    """Path in the new folder -> JSON."""
    sources: dict[Path, tuple[Path, ...]]
    """Path in the new folder -> the files that its table is made of."""
    n_repeated: int
    """Rows that stood in two files to the letter, and are written once."""


class _Found(NamedTuple):
    """What a folder is made into: where each table comes from, and the records."""

    sources: dict[Path, tuple[Path, ...]]
    records: dict[Path, dict[str, Any]]


def adapt(config: AdaptConfig) -> Path:
    """Write a folder of labels and splits of release 1.1 in the layout of today.

    Parameters
    ----------
    config
        The folders, and the labels that are taken.

    Returns
    -------
    The new folder.

    Raises
    ------
    MissingInputError
        The old folder, or what its records speak of, is absent.
    InvalidDataError
        A table is wrong, or two tables of one folder differ about a session.
    OutputError
        The new folder exists, or cannot be written.
    """
    planned = plan(config)
    write(planned)
    return config.new_tsv_dir


def plan(config: AdaptConfig) -> Plan:
    """Return what `adapt` would write.

    Raises
    ------
    MissingInputError
        The old folder, or what its records speak of, is absent.
    InvalidDataError
        A table is wrong, or two tables of one folder differ about a session.
    OutputError
        The new folder exists, or cannot be written.
    """
    old = existing_folder(config.old_tsv_dir, "folder of labels and splits")
    refuse_existing(config.new_tsv_dir)
    refuse_unwritable(config.new_tsv_dir)
    present = {_label(path) for path in old.rglob("*.tsv")}
    absent = [label for label in config.labels_list if label not in present]
    if absent:
        raise MissingInputError(
            f"There is no table of the label{'s' if len(absent) > 1 else ''} {listed(absent)}",
            where=old, found=f"labels {listed(sorted(present))}", fix="Correct --labels_list",
        )  # fmt: skip
    found = _found(old, Path(), Path(sessions.LABELS).stem, config.labels_list)
    if not found.sources:
        raise MissingInputError(
            "The folder holds no table", where=old,
            found=listed(sorted(path.name for path in old.iterdir())) or "nothing",
            fix="Give the folder that holds the tables of labels",
        )  # fmt: skip
    tables: dict[Path, pd.DataFrame] = {}
    n_repeated = 0
    for name, paths in found.sources.items():
        tables[name], n = _joined(paths)
        n_repeated += n
    return Plan(config, tables, found.records, found.sources, n_repeated)


def write(planned: Plan) -> None:
    """Write what was planned, whole.

    Raises
    ------
    OutputError
        The folder was made in the meantime, or cannot be written.
    """
    with whole_folder(planned.config.new_tsv_dir) as temporary:
        for name, table in planned.tables.items():
            tsv.write(temporary / name, table)
        for name, record in planned.records.items():
            write_json(temporary / name, record)


def _found(old: Path, new: Path, name: str, labels: Sequence[str]) -> _Found:
    """Return what an old folder and those below it are made into.

    Parameters
    ----------
    old
        The folder.
    new
        Where its tables go, from the new folder on.
    name
        What its tables are called there: ``labels``, ``train``, ...
    labels
        The labels that are taken; none takes all.
    """
    sources: dict[Path, tuple[Path, ...]] = {}
    for baseline in (False, True):
        chosen = tuple(
            path
            for path in sorted(old.glob("*.tsv"))
            if path.stem.endswith(_BASELINE) == baseline and (not labels or _label(path) in labels)
        )
        if chosen:
            sources[new / table_name(name, baseline=baseline)] = chosen
    own = {SPLIT_JSON, KFOLD_JSON}
    records = {
        new / (path.name if new == Path() else f"{name}_{path.name}"): read_json(path, "record")
        for path in sorted(old.glob("*.json"))
        if path.name not in own
    }
    for below in (_split(old, new, labels), *_folds(old, new, labels)):
        sources |= below.sources
        records |= below.records
    return _Found(sources, records)


def _split(old: Path, new: Path, labels: Sequence[str]) -> _Found:
    """Return what the two parts of a folder are made into, if it was split."""
    record = _record(old / SPLIT_JSON)
    there = sorted(
        path.name
        for path in old.iterdir()
        if path.is_dir() and not _FOLDS.fullmatch(path.name) and any(path.glob("*.tsv"))
    )
    if record is None and TRAIN not in there:
        return _Found({}, {})
    home = new / "split"
    subset = _subset(record, there, old / SPLIT_JSON)
    found = _Found({}, {home / SPLIT_JSON: {**(record or {}), _SUBSET: subset}})
    for part in (TRAIN, subset):
        # Nobody is left to train on where everybody was set apart.
        if part in there or part != TRAIN:
            _add(found, _found(_existing(old / part), home, part, labels))
    return found


def _folds(old: Path, new: Path, labels: Sequence[str]) -> Iterator[_Found]:
    """Yield what each k-fold of a folder is made into.

    Raises
    ------
    MissingInputError
        There is a record and no fold.
    """
    record = _record(old / KFOLD_JSON)
    matches = [one for path in sorted(old.iterdir()) if (one := _FOLDS.fullmatch(path.name))]
    if record is not None and not matches:
        raise MissingInputError(
            "The folders of a k-fold are gone", where=old, found=f"{KFOLD_JSON} alone",
            fix=f"Put back train_splits-<k>, or remove {KFOLD_JSON}",
        )  # fmt: skip
    for k in sorted({int(match["k"]) for match in matches}):
        parts = [match["part"] for match in matches if int(match["k"]) == k]
        subset = _subset(record, parts, old / KFOLD_JSON)
        home = new / f"{k}_fold"
        said = {**(record or {}), "n_splits": k, _SUBSET: subset}
        found = _Found({}, {home / KFOLD_JSON: said})
        for part in (TRAIN, subset):
            folder = _existing(old / f"{part}_splits-{k}")
            for split in sorted(path for path in folder.iterdir() if _SPLIT.fullmatch(path.name)):
                _add(found, _found(split, home / split.name, part, labels))
        yield found


def _add(found: _Found, below: _Found) -> None:
    found.sources.update(below.sources)
    found.records.update(below.records)


def _record(path: Path) -> dict[str, Any] | None:
    return read_json(path, "record of a split") if path.is_file() else None


def _subset(record: dict[str, Any] | None, there: Sequence[str], path: Path) -> str:
    """Return the name of the part that was set apart.

    Raises
    ------
    InvalidDataError
        It cannot be told.
    """
    others = [name for name in there if name != TRAIN]
    named = (record or {}).get(_SUBSET)
    if isinstance(named, str):
        return named
    if len(others) != 1:
        raise InvalidDataError(
            "The part that was set apart cannot be told", where=path,
            found=f"parts {listed(others) or 'none'} beside {TRAIN}",
            fix=f'Write its name in the file: "{_SUBSET}": "validation"',
        )  # fmt: skip
    return others[0]


def _existing(folder: Path) -> Path:
    return existing_folder(folder, "folder of a part")


def _label(path: Path) -> str:
    return path.stem.removesuffix(_BASELINE)


def _joined(paths: Sequence[Path]) -> tuple[pd.DataFrame, int]:
    """Return the rows of the tables of several labels, sorted, and how many came twice.

    Raises
    ------
    InvalidDataError
        Two tables differ about a session.
    """
    tables = []
    for path in paths:
        table = sessions.read(path)
        if sessions.DIAGNOSIS not in table.columns:
            table = table.assign(**{sessions.DIAGNOSIS: _label(path)})
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True)
    # What one table has no column for is missing in its rows, and a row is compared as written.
    kept = joined[~joined.duplicated()]
    again = Counter(sessions.sessions_of(kept))
    differing = [key for key, n in again.items() if n > 1]
    if differing:
        origin = [
            _label(path) for path, one in zip(paths, tables, strict=True) for _ in range(len(one))
        ]
        where = {origin[i] for i, key in zip(kept.index, sessions.sessions_of(kept), strict=True)
                 if again[key] > 1}  # fmt: skip
        raise InvalidDataError(
            f"{len(differing)} session{'s are' if len(differing) > 1 else ' is'} in two tables "
            f"that differ, of the labels {listed(sorted(where))}",
            where=paths[0].parent, found=listed(" ".join(key) for key in sorted(differing)),
            fix="Choose labels that do not overlap with --labels_list",
        )  # fmt: skip
    return sessions.in_order(kept), len(joined) - len(kept)
