"""What is in a MAPS, as a page of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.read import recorded, values
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import tsv
from clinicadl.layouts.maps import folder, ledger, names, outcomes, pruned, published, seals
from clinicadl.layouts.maps.record import Record
from clinicadl.networks import weights
from clinicadl.report.columns import Row, aligned
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE, LOSS

FINISHED, RUNNING, INTERRUPTED = "finished", "running", "interrupted"
NOT_TRAINED = "not trained"

_ALWAYS = (("task", "name"), ("network", "name"))
_MOST_METRICS = 4
"""Metrics of a table that are shown, beside the selection metric and the loss."""


class Model(NamedTuple):
    """A best model of a split."""

    metric: str
    epochs: tuple[int, ...]
    """Of each of its networks, as far as they are known without reading the weights."""
    scores: str
    """Its metrics on validation."""
    groups: tuple[str, ...]
    """Data groups that it has results on."""


class Split(NamedTuple):
    """How far the training of a split is."""

    number: int
    state: str
    """One of four words, and how far the training is that runs or was interrupted."""
    models: tuple[Model, ...]


class Group(NamedTuple):
    """How many are in a data group; train and validation have one a split."""

    name: str
    split: int | None
    table: pd.DataFrame


class Contents(NamedTuple):
    """What is in a MAPS."""

    origin: tuple[str, ...]
    experiment: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    """What the guard found before training."""
    splits: tuple[Split, ...]
    ensembles: tuple[tuple[str, str], ...]
    """(selection metric, data group) of which the models of all splits said something together."""
    groups: tuple[Group, ...]
    seals: Mapping[str, str]
    """What there is to say of the data groups that were sealed."""
    looks: pd.DataFrame
    """Lines of the ledger: seals, their ends, and looks."""


def show_maps(maps: Path) -> str:
    """Return what is in a MAPS, of this release or of releases 1.x, as a page of text.

    Parameters
    ----------
    maps
        The MAPS; nothing is changed.

    Returns
    -------
    The experiment, the splits with their best models and the metrics of these on validation, the
    data groups, and the looks at them.

    Raises
    ------
    MissingInputError
        There is no MAPS.
    InvalidDataError
        A file of it is damaged.
    """
    found = _of_1(maps) if published.is_one(maps) else contents(maps)
    return "\n".join(_page(maps, found)) + "\n"


def contents(maps: Path) -> Contents:
    """Return what is in a MAPS of this release.

    Raises
    ------
    MissingInputError
        There is no MAPS.
    InvalidDataError
        A file of it is damaged.
    """
    record = folder.open_maps(maps).record
    config = record.config
    numbers = {*range(max(config.validation.n_splits, 1)), *names.split_numbers(maps)}
    return Contents(
        origin=(*_origin(record), *_pruned(maps)),
        experiment=(*_settings(config), *_facts(record.label_code, record.input_shape)),
        findings=tuple(str(finding["sentence"]) for finding in record.guard),
        splits=tuple(_split(maps, config, number) for number in sorted(numbers)),
        ensembles=tuple(
            (metric, path.name)
            for metric in names.selection_metrics(maps, None)
            for path in sorted(names.best(maps, None, metric).iterdir())
        ),
        groups=tuple(_groups(maps)),
        seals=dict(_seals(maps)),
        looks=ledger.read(maps),
    )


def _origin(record: Record) -> Iterator[str]:
    made = ", ".join(f"{name} {version}" for name, version in record.generated_by.items())
    yield f"created {record.created}, with {made or 'versions that are not known'}"
    old = record.imported
    if old is not None:
        yield f"imported {old.date} from {old.path} ({old.format})"
    if record.pulled is not None:
        yield f"pulled {record.pulled.date} from {record.pulled.origin}: nobody is known by name"
    for parent in record.parents:
        yield f"first weights from {parent.path}, best by {parent.selection_metric}"


def _pruned(maps: Path) -> Iterator[str]:
    why = pruned.reason(maps)
    if why is not None:
        yield f"pruned: {why}"


def _settings(config: ExperimentConfig) -> Iterator[tuple[str, str]]:
    """Yield the settings that are not at their defaults, task and network in any case."""
    for place, value in values(config):
        default = place.field.get_default()
        if place.path in _ALWAYS or value != (default.name if place.table else default):
            yield ".".join(place.path), _text(value)


def _facts(codes: Mapping[str, int], shape: Sequence[int]) -> Iterator[tuple[str, str]]:
    if codes:
        yield "nodes", ", ".join(f"{label} = {node}" for label, node in codes.items())
    yield "shape of a sample", " x ".join(str(size) for size in shape)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(_text(one) for one in value)
    name = getattr(value, "name", None)
    return str(name if isinstance(name, str) and not isinstance(value, Path) else value)


def _split(maps: Path, config: ExperimentConfig, number: int) -> Split:
    metrics = names.selection_metrics(maps, number)
    state = FINISHED if metrics else NOT_TRAINED
    if folder.is_unfinished(maps, number):
        state = RUNNING if folder.is_running(maps, number) else INTERRUPTED
        state += _how_far(maps, number, config.optimization.epochs)
    models = []
    for metric in metrics:
        stored = [
            weights.describe(names.weights(maps, number, metric, network)).facts
            for network in names.networks(maps, number, metric)
        ]
        best = names.best(maps, number, metric)
        judged = outcomes.judged_groups(maps, number, metric)
        epochs = tuple(int(facts["epoch"]) for facts in stored)
        models.append(Model(metric, epochs, _scores(best / names.VALIDATION, metric), judged))
    return Split(number, state, tuple(models))


def _how_far(maps: Path, number: int, n_epochs: int) -> str:
    """Return the last epoch that was evaluated, of the network that is furthest behind."""
    found = [
        int(str(tsv.read(path, "training log")["epoch"].iloc[-1]))
        for path in names.training_logs(maps, number)
    ]
    return f", epoch {min(found)} of 0-{n_epochs - 1}" if found else ""


def _groups(maps: Path) -> Iterator[Group]:
    of_splits = {
        (name, number): names.group(maps, name, number)
        for name in names.OWN_GROUPS
        for number in published.numbered(names.group(maps, name))
    }
    for name, number in of_splits:
        yield Group(name, number, folder.read_group(maps, name, number).table)
    for name in published.groups(maps):
        yield Group(name, None, folder.read_group(maps, name).table)


def _seals(maps: Path) -> Iterator[tuple[str, str]]:
    for one in seals.states(maps):
        if one.is_sealed:
            yield one.name, f"unsealed on {one.unsealed}" if one.unsealed else "sealed"


def _of_1(maps: Path) -> Contents:
    """Return what is in a MAPS of releases 1.x, as far as it can be read."""
    content = published.open_published(maps).settings
    made = published.versions(published.environment(maps))
    created = published.created(published.information(maps)) or "at a date that is not known"
    versions = ", ".join(f"{name} {version}" for name, version in made.items()) or "release 1.x"
    try:
        experiment = tuple(_settings(recorded(content, names.record(maps)).config))
        way = f"to use it here, read it with: clinicadl maps import {maps} NEW_MAPS"
    except InvalidDataError as error:
        experiment = tuple((key, _text(value)) for key, value in content.items() if value)
        way = f"it cannot be imported. {error}"
    shape = content.get("input_size")
    return Contents(
        origin=(f"created {created}, with {versions}", way),
        experiment=(*experiment, *_facts(content.get("label_code") or {}, shape or ())),
        findings=(),
        splits=tuple(_split_of_1(*one) for one in published.numbered(maps).items()),
        ensembles=(),
        groups=tuple(_groups_of_1(maps)),
        seals={},
        looks=ledger.read(maps),
    )


def _split_of_1(number: int, path: Path) -> Split:
    best = published.best(path)
    state = FINISHED if best else NOT_TRAINED
    models = tuple(
        Model(metric, (), _scores(one / names.VALIDATION, metric), tuple(published.results(one)))
        for metric, one in best.items()
    )
    return Split(number, INTERRUPTED if published.is_unfinished(path) else state, models)


def _groups_of_1(maps: Path) -> Iterator[Group]:
    for name in names.OWN_GROUPS:
        for number, path in published.numbered(names.group(maps, name)).items():
            yield Group(name, number, published.group(path).table)
    for name, path in published.groups(maps).items():
        yield Group(name, None, published.group(path).table)


def _scores(results: Path, metric: str) -> str:
    """Return the metrics of a table of results, those of the images where they are."""
    tables = (
        [path for path in published.tables(results) if "_metrics" in path.name]
        if results.is_dir()
        else []
    )
    if not tables:
        return "no metrics"
    of_images = names.metrics(results, IMAGE)
    table = tsv.read(of_images if of_images in tables else tables[0], "table of metrics")
    shown = [name for name in table.columns if name != "Metrics"]
    wanted = dict.fromkeys([*shown[:_MOST_METRICS], metric, LOSS])
    said = (_score(name, table[name].tolist(), table) for name in wanted if name in shown)
    return ", ".join(said)


def _score(name: str, cells: Sequence[object], table: pd.DataFrame) -> str:
    """Return a metric with its interval; tables without intervals have one row."""
    value, *interval = [_number(cell) for cell in cells[:3]]
    if "Metrics" in table.columns and len(interval) == 2 and None not in interval:
        return f"{name} {value} [{interval[0]}, {interval[1]}]"
    return f"{name} {value or 'n/a'}"


def _number(cell: object) -> str | None:
    """Return a cell with three decimals; None where it holds no number."""
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return None if isnan(number) else f"{number:.3f}"


def _page(maps: Path, found: Contents) -> Iterator[str]:
    yield f"MAPS {maps}"
    yield from (f"  {line}" for line in found.origin)
    yield from ("", "Experiment (settings that are not named here are at their defaults)")
    yield from aligned(found.experiment)
    if found.findings:
        yield from ("", "Findings of the leakage guard before training")
        yield from (f"  {sentence}" for sentence in found.findings)
    yield from ("", "Splits and their best models (metrics of validation, with 95 % intervals)")
    yield from aligned(_split_rows(found.splits))
    yield from ("", "Data groups")
    yield from aligned(_group_rows(found))
    yield from ("", "Looks at data groups")
    columns = [name for name in found.looks.columns if name != "table_sha256"]
    rows = found.looks[columns].astype(str).to_numpy().tolist()
    yield from aligned([columns, *rows] if rows else [["nobody looked yet"]])


def _split_rows(splits: Iterable[Split]) -> Iterator[Row]:
    for split in splits:
        first = (f"split {split.number}", split.state)
        for model in split.models:
            epochs = " ".join(str(epoch) for epoch in model.epochs)
            of = f" (epoch {epochs})" if epochs else ""
            yield (*first, f"best by {model.metric}{of}", model.scores)
            first = ("", "")
        if not split.models:
            yield first


def _group_rows(found: Contents) -> Iterator[Row]:
    for name, split, table in found.groups:
        judges = [
            f"split {one.number} by {model.metric}"
            for one in found.splits
            for model in one.models
            if name in model.groups and split in (None, one.number)
        ]
        judges += [f"ensemble by {metric}" for metric, judged in found.ensembles if judged == name]
        yield (
            name,
            "" if split is None else f"split {split}",
            f"{table[sessions.PARTICIPANT].nunique()} participants",
            f"{len(table)} sessions",
            f"predicted: {', '.join(judges)}" if judges else "not predicted",
            found.seals.get(name, ""),
        )
