"""What a MAPS says of itself where it is shared: all that is needed, and nobody's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.hub import PushConfig
from clinicadl.config.tracking import TrackingConfig
from clinicadl.engine import votes
from clinicadl.engine.groups import Model
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.guard import hidden as guard
from clinicadl.layouts import tsv
from clinicadl.layouts.files import sha256
from clinicadl.layouts.maps import folder, names, outcomes, published
from clinicadl.layouts.maps import hidden as layout
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.hidden import Hidden
from clinicadl.layouts.maps.record import Record
from clinicadl.layouts.maps.shared import NOT_SHARED, Domain, Score, Seen, Shared, SharedModel
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT
from clinicadl.tasks.base import IMAGE, POSITIVE_CLASS, Task, part_column
from clinicadl.tasks.metrics_table import ROWS

FEWEST = 5
"""Participants of a group or a class of which anything is told."""

_AGE, _SEX = "age", "sex"
_YEARS = 5
_WORD = re.compile(r"[A-Za-z0-9]+")


def described(
    maps: Maps, models: Iterable[Model], config: PushConfig, domain: Domain | None
) -> Shared:
    """Return what a MAPS says where it is shared; the files beside it come later.

    Parameters
    ----------
    maps
        The MAPS, which was trained here.
    models
        Its trained models.
    config
        What may be told.
    domain
        What images of training are like, if anybody looked.

    Raises
    ------
    MissingInputError
        A table of the MAPS is gone.
    InvalidDataError
        It is damaged.
    """
    chosen = tuple(models)
    task: Task = maps.record.config.task.build(maps.record.label_code)
    return Shared(
        about=config.about,
        licence=config.licence,
        record=_record(maps.record),
        models=tuple(_model(maps, task, one) for one in chosen),
        seen=_crowd(maps, config),
        hidden=tuple(_hidden(maps)),
        domain=domain,
        files={},
    )


def source_names(record: Record) -> dict[str, str]:
    """Return path of each MAPS whose weights came in -> what it is called where they are shared."""
    paths = dict.fromkeys(parent.path for parent in record.parents)
    return {path: f"source {number}" for number, path in enumerate(paths, start=1)}


def refuse_names(maps: Maps, texts: Mapping[str, str]) -> None:
    """Refuse to share what names a participant, or a place on this machine.

    Parameters
    ----------
    maps
        The MAPS.
    texts
        File -> all that can be read in it.

    Raises
    ------
    InvalidDataError
        It does: a name that nobody foresaw, such as that of a data group, holds one.
    """
    people = {*folder.read_seen(maps.path)[sessions.PARTICIPANT]}
    for home in published.groups(maps.path).values():
        people |= {*published.group(home).table[sessions.PARTICIPANT]}
    bare = {one.removeprefix("sub-") for one in people}
    # A number alone stands in every text, and hashes hold every short word.
    words = {one for one in bare if not one.isdigit() and len(one) > 3} | {
        one for one in bare if len(one) > 5
    }
    places = {str(place) for place in _places(maps) if len(place.parts) > 2}
    for file, text in texts.items():
        found = sorted({*_WORD.findall(text)} & words)
        found += [
            one for one in sorted(people) if re.search(rf"{re.escape(one)}(?![A-Za-z0-9])", text)
        ]
        found += [place for place in sorted(places) if place in text]
        if found:
            raise InvalidDataError(
                "A participant or a place on this machine would be told", where=file,
                found=listed(dict.fromkeys(found)),
                fix="Take it out of --about, of labels and of the names of data groups",
            )  # fmt: skip


def _places(maps: Maps) -> Iterator[Path]:
    yield from (maps.path.resolve(), Path.home())
    data = maps.record.config.data
    yield from (data.caps_directory, data.tsv_directory)
    yield from (Path(path).parent for path in maps.record.tables)


def _record(record: Record) -> Record:
    called = source_names(record)
    config = record.config.model_copy(update={"tracking": TrackingConfig()})
    imported = record.imported
    return record.model_copy(
        update={
            "config": ExperimentConfig.model_validate(_without_places(config.model_dump())),
            "extractions": tuple(_without_places(one) for one in record.extractions),
            "resolved": _without_places(record.resolved),
            "tables": {},
            "parents": tuple(
                one.model_copy(update={"path": called[one.path], "train": {}})
                for one in record.parents
            ),
            "guard": tuple(_without_people(one) for one in record.guard),
            "imported": imported
            and imported.model_copy(update={"path": NOT_SHARED, "settings": {}}),
        }
    )


def _without_places(value: Any) -> Any:
    """Return settings without any path, wherever it stands."""
    if isinstance(value, Mapping):
        return {name: _without_places(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_places(one) for one in value)
    is_path = isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute())
    return NOT_SHARED if is_path else value


def _without_people(finding: Mapping[str, Any]) -> dict[str, Any]:
    n = len(finding.get("participants", ()))
    rule, severity = (str(finding.get(name, "")) for name in ("rule", "severity"))
    sentence = f"{rule}: {n} participant{'s' if n != 1 else ''}, who are not named here"
    return {"rule": rule, "severity": severity, "sentence": sentence, "participants": []}


def _model(maps: Maps, task: Task, model: Model) -> SharedModel:
    mode = str(maps.record.extractions[0].get("mode", IMAGE))
    said = {}
    for level in dict.fromkeys((mode, IMAGE)):
        home = names.results(maps.path, *model, names.VALIDATION)
        if names.predictions(home, level).is_file():
            basis = outcomes.read_predictions(maps.path, *model, names.VALIDATION, level)
            said[level] = votes.condensed(task, basis, part_column(level)) or ()
    return SharedModel(
        split=model.split,
        metric=model.metric,
        networks=tuple(names.networks(maps.path, *model)),
        votes=said,
        scores=tuple(_scores(maps.path, model)),
    )


def _scores(maps: Path, model: Model) -> Iterator[Score]:
    """Yield the metrics of a model, but those of train, of few people, and of accepted leakage."""
    for group in outcomes.judged_groups(maps, *model):
        results = names.results(maps, *model, group)
        tables = names.metrics_tables(results)
        if group == names.TRAIN or not tables:
            continue
        of_images = names.metrics(results, IMAGE)
        path = of_images if of_images in tables else tables[0]
        level = path.name.removeprefix(f"{group}_").removesuffix("_level_metrics.tsv")
        people = outcomes.read_predictions(maps, *model, group, level)[sessions.PARTICIPANT]
        accepted = outcomes.read_verdict(maps, *model, group).accepted
        if people.nunique() < FEWEST or accepted is not None:
            continue
        table = tsv.read(path, "table of metrics")
        rows = dict(zip(table.iloc[:, 0].astype(str), range(len(table)), strict=True))
        for name in table.columns[1:]:
            if name not in (POSITIVE_CLASS, names.ACCEPTED):
                cells = [
                    _number(table[name].iloc[rows[row]]) if row in rows else None
                    for row in ROWS[:3]
                ]
                value, low, high = cells
                yield Score(
                    group=group, n_participants=people.nunique(), metric=str(name),
                    value=value, low=low, high=high,
                )  # fmt: skip


def _number(cell: object) -> float | None:
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return number if isfinite(number) else None


def _hidden(maps: Maps) -> Iterator[Hidden]:
    """Yield whom this MAPS and its sources have seen, without a name.

    Raises
    ------
    MissingInputError
        Nobody knows whom it was fitted on.
    """
    called, record = source_names(maps.record), maps.record
    train: dict[str, dict[int, set[str]]] = {"": {}}
    for split in published.numbered(names.group(maps.path, names.TRAIN)):
        table = folder.read_group(maps.path, names.TRAIN, split).table
        train[""][split] = {*table[sessions.PARTICIPANT]}
    if not train[""]:
        raise MissingInputError(
            "The MAPS does not say whom its models were fitted on", where=maps.path,
            fix="Put its folder groups back",
        )  # fmt: skip
    for parent in record.parents:
        theirs = train.setdefault(parent.path, {})
        for split, people in parent.train.items():
            theirs.setdefault(split, set()).update(people)
    seen = folder.read_seen(maps.path)
    for who, rows in seen.groupby("seen_by", sort=True):
        keys = sessions.sessions_of(rows)
        known = {participant for participant, _ in keys}
        fitted = {split: people & known for split, people in train.get(str(who), {}).items()}
        yield guard.hide(keys, rows["image_sha256"], fitted, who=called.get(str(who), str(who)))
    for one in layout.read(maps.path):
        yield one.model_copy(update={"who": called.get(one.who, one.who)})


def _crowd(maps: Maps, config: PushConfig) -> Seen:
    own = folder.read_seen(maps.path)
    own = own[own["seen_by"] == ""]
    groups = [
        folder.read_group(maps.path, name, split).table
        for name in names.OWN_GROUPS
        for split in published.numbered(names.group(maps.path, name))
    ]
    ids = [sessions.PARTICIPANT, sessions.SESSION]
    table = pd.concat(groups).drop_duplicates(ids)
    labels: dict[str, int] = {}
    if maps.record.label_code:
        (column,) = maps.record.config.task.labels
        labels = _counts(table[column])
    known = _known_people(maps.record, {*own[sessions.PARTICIPANT]})
    return Seen(
        n_participants=own[sessions.PARTICIPANT].nunique(),
        n_sessions=len(own),
        ages=_ages(known.get(_AGE)),
        sexes=_counts(known[_SEX]) if _SEX in known else {},
        labels=labels,
        cohorts=tuple(sorted({*table[COHORT]})) if config.cohorts and COHORT in table else (),
    )


def _known_people(record: Record, people: set[str]) -> pd.DataFrame:
    """Return age and sex of participants, a row each, from the tables that were read and lie there.

    A table that changed since then says nothing.
    """
    found = []
    for path, digest in record.tables.items():
        there = Path(path)
        if there.suffix == ".tsv" and there.is_file() and sha256(there) == digest:
            table = sessions.read(there)
            wanted = [name for name in (_AGE, _SEX) if name in table.columns]
            if wanted:
                found.append(table[[sessions.PARTICIPANT, *wanted]])
    if not found:
        return pd.DataFrame()
    table = pd.concat(found)
    return table[table[sessions.PARTICIPANT].isin(people)].groupby(sessions.PARTICIPANT).first()


def _ages(cells: pd.Series[str] | None) -> tuple[float, float] | None:
    """Return the range of ages, in whole steps; nothing of a few."""
    numbers = [] if cells is None else [sessions.number(str(cell)) for cell in cells.dropna()]
    known = [one for one in numbers if one is not None and isfinite(one)]
    if len(known) < FEWEST:
        return None
    return floor(min(known) / _YEARS) * _YEARS, ceil(max(known) / _YEARS) * _YEARS


def _counts(cells: pd.Series[str]) -> dict[str, int]:
    """Return how many there are of each, but of those of which there are a few."""
    counts = cells.dropna().astype(str).value_counts().sort_index()
    return {str(name): int(n) for name, n in counts.items() if n >= FEWEST}
