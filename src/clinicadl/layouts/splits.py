"""The folders that split and kfold write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.errors import MissingInputError
from clinicadl.layouts.files import existing_folder, read_json, whole_file, whole_folder, write_json

TEST, VALIDATION = "test", "validation"
SPLIT_JSON, KFOLD_JSON = "split.json", "kfold.json"
_DEPTH = 5


class SplitTables(NamedTuple):
    """The tables of one split."""

    number: int
    train: Path
    validation: Path


class Parts(NamedTuple):
    """The tables of one division; an absent one is not written."""

    train: pd.DataFrame | None
    train_baseline: pd.DataFrame | None
    subset_baseline: pd.DataFrame
    subset: pd.DataFrame | None


def read(
    directory: Path, *, n_splits: int, baseline: bool, valid_longitudinal: bool
) -> list[SplitTables]:
    """Return the tables of each split: of the folder itself, or of its ``split-<i>``.

    Raises
    ------
    MissingInputError
        A table is absent.
    """
    existing_folder(directory, "folder of split tables")
    folders = [directory / f"split-{i}" for i in range(n_splits)] if n_splits else [directory]
    train = "train_baseline.tsv" if baseline else "train.tsv"
    validation = f"{VALIDATION}.tsv" if valid_longitudinal else f"{VALIDATION}_baseline.tsv"
    found = [SplitTables(i, one / train, one / validation) for i, one in enumerate(folders)]
    for tables in found:
        for path in (tables.train, tables.validation):
            if not path.is_file():
                raise MissingInputError(
                    "A table of the split does not exist", where=path, fix=_hint(directory, n_splits)
                )
    return found


def _hint(directory: Path, n_splits: int) -> str:
    there = len(list(directory.glob("split-*")))
    if there and there != n_splits:
        return f"The folder holds {there} splits: give --n_splits {there}"
    return "Run tsvtools split or kfold, with the subset name validation"


def test_tables(directory: Path) -> list[Path]:
    """Return the tables of the test sets that were set apart in the folders above."""
    found = []
    for folder in [directory.resolve(), *directory.resolve().parents][: _DEPTH + 1]:
        description = folder / SPLIT_JSON
        if description.is_file() and read_json(description, "description of the split").get(
            "subset_name"
        ) == TEST:
            found += [path for name in (f"{TEST}.tsv", f"{TEST}_baseline.tsv")
                      if (path := folder / name).is_file()][:1]  # fmt: skip
    return found


def write_split(parent: Path, parts: Parts, subset: str, description: Mapping[str, Any]) -> Path:
    """Write one division beside its table, into the next free ``split`` folder, whole."""
    target = _next_free(parent, "split")
    with whole_folder(target) as folder:
        _write(folder, parts, subset)
        write_json(folder / SPLIT_JSON, description)
    return target


def write_kfold(
    parent: Path, folds: list[Parts], subset: str, description: Mapping[str, Any], *, n_splits: int
) -> Path:
    """Write k divisions beside their table, into the next free ``<k>_fold`` folder, whole."""
    target = _next_free(parent, f"{n_splits}_fold")
    with whole_folder(target) as folder:
        for number, parts in enumerate(folds):
            _write(folder / f"split-{number}", parts, subset)
        write_json(folder / KFOLD_JSON, description)
    return target


def next_folder(parent: Path, name: str) -> Path:
    """Return the folder that would be written next."""
    return _next_free(parent, name)


def _next_free(parent: Path, name: str) -> Path:
    target, number = parent / name, 2
    while target.exists():
        target, number = parent / f"{name}_{number}", number + 1
    return target


def _write(folder: Path, parts: Parts, subset: str) -> None:
    tables = {
        "train": parts.train,
        "train_baseline": parts.train_baseline,
        f"{subset}_baseline": parts.subset_baseline,
        subset: parts.subset,
    }
    for name, table in tables.items():
        if table is not None:
            with whole_file(folder / f"{name}.tsv") as temporary:
                table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
