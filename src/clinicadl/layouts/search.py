"""The folder of a search: every name in it, its definition, and the table of its trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from math import isnan
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from pydantic import ValidationError

from clinicadl.config.base import Section
from clinicadl.config.search import SearchConfig
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import tsv
from clinicadl.layouts.files import read_bytes, read_json, write_json, write_text
from clinicadl.layouts.maps import names
from clinicadl.layouts.splits import split_folder

FORMAT = "clinicadl-search-1"
_SEAL = "sha256"

State = Literal["waiting", "running", "complete", "pruned", "failed"]
FINISHED: tuple[State, ...] = ("complete", "pruned", "failed")
"""States that stay."""

_NUMBER, _STATE, _VALUE, _OF_SPLIT = "trial", "state", "value", "value_split-"
_EPOCHS, _REASON = "epochs", "reason"
_MISSING = "n/a"


class Definition(Section):
    """What a search is: all that decides what its trials become."""

    format: str = FORMAT
    config: SearchConfig
    higher_is_better: bool
    """Whether the best trial has the highest value of the metric."""
    sizes: dict[str, tuple[int, ...]]
    """Extraction -> shape of a stored sample, channel first, before sizes are reduced."""
    threads: int
    """Threads that each trial computes with, on which its bits depend."""
    tables: dict[str, str]
    """SHA-256 of each table that the first plan read, by path."""
    plugins: dict[str, str]
    generated_by: dict[str, str]
    created: str


class Trial(NamedTuple):
    """One trial of a search, as far as it is known."""

    number: int
    state: State
    value: float | None
    """Mean over the splits; of a pruned trial, over those that it began."""
    by_split: Mapping[int, float]
    """Split -> best value of the metric on validation, over its epochs."""
    epochs: int
    """Epochs over all splits."""
    settings: Mapping[str, Any]
    """Dotted name of a setting that is searched -> its value; without those of other rows."""
    reason: str
    """Why it failed, or where it was pruned; empty else."""
    maps: Path
    """Its MAPS; absent where it failed before it began."""


def definition(folder: Path) -> Path:
    """Return the file that says what is searched."""
    return folder / "search.json"


def journal(folder: Path) -> Path:
    """Return Optuna's journal, by which workers know of each other."""
    return folder / "journal.log"


def table(folder: Path) -> Path:
    """Return the table of all trials."""
    return folder / "trials.tsv"


def trials(folder: Path) -> Path:
    """Return the folder of the MAPS of all trials."""
    return folder / "trials"


def maps(folder: Path, number: int) -> Path:
    """Return the MAPS of a trial."""
    return trials(folder) / f"trial-{number:04d}"


def siblings(trial: Path) -> list[Path]:
    """Return the MAPS of the other trials of a search, of what may be that of one of its trials."""
    home = trial.resolve()
    if home.parent != trials(home.parent.parent) or not is_search(home.parent.parent):
        return []
    return sorted(one for one in home.parent.iterdir() if one != home and names.is_maps(one))


def trial_lock(folder: Path, number: int) -> Path:
    """Return the file that the worker holds which makes a trial."""
    return trials(folder) / f".trial-{number:04d}.lock"


def outer(folder: Path, fold: int) -> Path:
    """Return the folder of the search of an outer fold."""
    return folder / f"outer-{fold}"


def outer_lock(folder: Path, fold: int) -> Path:
    """Return the file that the worker holds which evaluates the best trial of an outer fold."""
    return folder / f".outer-{fold}.lock"


def participants(folder: Path) -> Path:
    """Return the table that the outer folds divide; the tables of the folds lie beside it."""
    return folder / "tables" / "participants.tsv"


def outer_tables(folder: Path, n_folds: int, fold: int) -> Path:
    """Return the folder of the tables of an outer fold."""
    return split_folder(participants(folder).parent / f"{n_folds}_fold", fold)


def outer_results(folder: Path, what: str) -> Path:
    """Return the table of the ``folds``, or of their ``predictions`` or ``metrics`` together."""
    return folder / f"outer_{what}.tsv"


def jobs(folder: Path) -> Path:
    """Return the folder of the logs of jobs."""
    return folder / "jobs"


def is_search(folder: Path) -> bool:
    """Return whether a folder is that of a search."""
    return definition(folder).is_file()


def write_definition(folder: Path, what: Definition) -> None:
    """Write what is searched, with a seal by which an edit is told."""
    content = what.model_dump(mode="json")
    write_json(definition(folder), content | {_SEAL: _seal(content)})


def read_definition(folder: Path) -> Definition:
    """Return what is searched.

    Raises
    ------
    MissingInputError
        There is no search.
    InvalidDataError
        It was edited, or is of another release.
    """
    path = definition(folder)
    if not path.is_file():
        raise MissingInputError(
            "This is not the folder of a search", where=folder, found=f"no {path.name}",
            fix="Check the path",
        )  # fmt: skip
    content = read_json(path, "definition of the search")
    seal = content.pop(_SEAL, None)
    if content.get("format") != FORMAT:
        raise InvalidDataError(
            "The search was made by another release", where=path,
            found=content.get("format", "no format"), fix=f"Known here: {FORMAT}",
        )  # fmt: skip
    if seal != _seal(content):
        raise InvalidDataError(
            "The definition of the search was edited, and its trials follow from what it was",
            where=path, fix="Put it back as it was, or begin a new search",
        )  # fmt: skip
    try:
        return Definition.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise InvalidDataError(
            "The definition of the search is damaged", where=f"{path}, {place}", found=first["msg"]
        ) from error


def _seal(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_trials(folder: Path, found: Iterable[Trial]) -> None:
    """Write the table of all trials, whole: one row each, in the order of their numbers.

    It says nothing of when and by whom a trial was made.
    """
    rows: list[dict[str, str]] = []
    splits: dict[int, None] = {}
    settings: dict[str, None] = {}
    for one in found:
        splits |= dict.fromkeys(sorted(one.by_split))
        settings |= dict.fromkeys(one.settings)
        rows.append(
            {
                _NUMBER: str(one.number),
                _STATE: one.state,
                _VALUE: _number(one.value),
                _EPOCHS: str(one.epochs),
                **{f"{_OF_SPLIT}{split}": _number(value) for split, value in one.by_split.items()},
                **{name: _cell(value) for name, value in one.settings.items()},
                _REASON: " ".join(one.reason.split()),
            }
        )
    columns = [
        _NUMBER, _STATE, _VALUE, *(f"{_OF_SPLIT}{split}" for split in sorted(splits)), _EPOCHS,
        *settings, _REASON,
    ]  # fmt: skip
    lines = [columns, *([row.get(name, "") or _MISSING for name in columns] for row in rows)]
    write_text(table(folder), "\n".join("\t".join(line) for line in lines) + "\n")


def read_trials(folder: Path) -> list[Trial]:
    """Return the trials of a search, in the order of their numbers.

    Raises
    ------
    MissingInputError
        There is no search, or its table is gone.
    InvalidDataError
        The table is damaged.
    """
    path = table(folder)
    read_definition(folder)
    if not path.is_file():
        return []
    header, *rows = read_bytes(path, "table of trials").decode().splitlines() or [""]
    columns = header.split("\t")
    return [_trial(folder, columns, row.split("\t"), path) for row in rows]


def _trial(folder: Path, columns: Sequence[str], row: Sequence[str], path: Path) -> Trial:
    own = {_NUMBER, _STATE, _VALUE, _EPOCHS, _REASON}
    try:
        cells = zip(columns, row, strict=True)
        known = {name: value for name, value in cells if value != _MISSING}
        by_split = {
            int(name.removeprefix(_OF_SPLIT)): float(value)
            for name, value in known.items()
            if name.startswith(_OF_SPLIT)
        }
        number = int(known[_NUMBER])
        return Trial(
            number=number,
            state=_state(known[_STATE]),
            value=float(known[_VALUE]) if _VALUE in known else None,
            by_split=by_split,
            epochs=int(known[_EPOCHS]),
            settings={
                name: _value(value)
                for name, value in known.items()
                if name not in own and not name.startswith(_OF_SPLIT)
            },
            reason=known.get(_REASON, ""),
            maps=maps(folder, number),
        )
    except (KeyError, ValueError) as error:
        raise InvalidDataError(
            "The table of trials is damaged", where=path, found=error,
            fix="Remove it: clinicadl search resume writes it again",
        ) from error  # fmt: skip


def _state(text: str) -> State:
    known: tuple[State, ...] = ("waiting", "running", *FINISHED)
    for one in known:
        if one == text:
            return one
    raise ValueError(text)


def _number(value: float | None) -> str:
    return "" if value is None or isnan(value) else repr(float(value))


def _cell(value: Any) -> str:
    """Return a value as text from which `_value` makes the same: texts plain where they can be."""
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = _value(value) == value and value not in ("", _MISSING) and value.isprintable()
    return value if is_plain else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def curves(trial: Trial) -> pd.DataFrame:
    """Return how the metrics of a trial went: split, network, epoch and the columns of its logs.

    One row an epoch of each split that was begun, the last evaluation of the epoch; empty where
    the trial has no MAPS. ``network`` is empty where one network sees all parts.
    """
    found = []
    for split in names.split_numbers(trial.maps):
        for path in names.training_logs(trial.maps, split):
            log = tsv.read(path, "training log").astype(float)
            ends = log.drop_duplicates("epoch", keep="last")
            ends = ends.drop(columns=["iteration", "time"]).astype({"epoch": int})
            network = "" if path.parent == names.logs(trial.maps, split) else path.parent.name
            ends.insert(0, "network", network.removeprefix("network-"))
            ends.insert(0, "split", split)
            found.append(ends)
    if not found:
        return pd.DataFrame(columns=["split", "network", "epoch"])
    return pd.concat(found, ignore_index=True)
