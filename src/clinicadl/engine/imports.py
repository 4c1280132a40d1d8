"""Read a MAPS of releases 1.x into one of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from clinicadl.config import plugins
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.published import extraction
from clinicadl.config.read import recorded
from clinicadl.config.task import Reconstruction
from clinicadl.engine.seen import seen_of
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    UsageError,
    listed,
)
from clinicadl.guard import check
from clinicadl.guard.check import Verdict
from clinicadl.guard.facts import TrainingSplit
from clinicadl.layouts import caps, files
from clinicadl.layouts.maps import folder, hashes, ledger, names, published
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.layouts.maps.ledger import Entry
from clinicadl.layouts.maps.published import PublishedMaps
from clinicadl.layouts.maps.record import Imported, Parent, Record
from clinicadl.networks import weights
from clinicadl.networks.fits import check_task
from clinicadl.tables import cohorts as cohort_tables
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, SINGLE
from clinicadl.tasks.base import Task
from clinicadl.tasks.reconstruction import resolved

logger = logging.getLogger(__name__)

_ADAPTATION = "ssda_network"
_LOSSES = "sum of the means of batches"

Groups = dict[tuple[str, int | None], Group]


class StoredModel(NamedTuple):
    """One file of weights of the other release, and what it is."""

    split: int
    metric: str
    network: int | None
    path: Path


@dataclass(frozen=True)
class ImportPlan:
    """A MAPS of another release that can be read."""

    source: PublishedMaps
    maps: Path
    record: Record
    seen: pd.DataFrame
    groups: Groups
    models: tuple[StoredModel, ...]
    verdicts: Mapping[str, Verdict]
    """Data group -> what the guard says of its results; train and validation share theirs."""


def import_maps(source: Path, maps: Path) -> Maps:
    """Read a MAPS of releases 1.x into a new one, which predicts as it did.

    Parameters
    ----------
    source
        The MAPS that release 1.x wrote; it is left as it is.
    maps
        The MAPS to be; absent or an empty folder.

    Returns
    -------
    The new MAPS: settings, groups, weights, training logs and tables of predictions of each split
    whose training was finished.

    Raises
    ------
    OutputError
        There is something at ``maps``.
    MissingInputError
        A file of the source is absent, or no split is trained.
    InvalidDataError
        A file of the source is damaged, could run code, or is of a network that we do not have.
    """
    planned = ready(source, maps)
    write(planned)
    return Maps(planned.maps, planned.record)


def ready(source: Path, maps: Path) -> ImportPlan:
    """Return the plan of an import; everything is read and nothing is written.

    Raises
    ------
    OutputError
        There is something at ``maps``, or nothing can be written there.
    """
    opened = published.open_published(source)
    files.refuse_existing(maps)
    files.refuse_unwritable(maps)
    config = _config(opened)
    groups = _groups(opened)
    seen, parents = _seen(opened, config, groups)
    splits = _finished(opened)
    verdicts = _verdicts(groups, seen)
    record = _record(opened, config, parents, verdicts[names.TRAIN])
    network = _network(record, names.record(source))
    record = _with_loss(record, network, names.record(source))
    models = _models(record, splits, opened.settings.get("num_networks"))
    _check_models(record, models, network)
    return ImportPlan(opened, maps, record, seen, groups, models, verdicts)


def write(planned: ImportPlan) -> None:
    """Write the new MAPS, whole or not at all."""
    source = planned.source.path
    with files.whole_folder(planned.maps) as new:
        folder.fill(
            new, planned.record, seen=planned.seen, groups=planned.groups,
            environment=published.environment(source), information=published.information(source),
        )  # fmt: skip
        for model in planned.models:
            stored = weights.read_published(model.path)
            facts = {
                "network": planned.record.config.network.model_dump(mode="json"),
                "epoch": stored.epoch,
            }
            target = names.weights(new, model.split, model.metric, model.network)
            weights.write(target, stored.state, facts)
        for split, old in _by_split(planned).items():
            for path in published.logs(old):
                _copy(path, names.split(new, split) / path.relative_to(old))
            hashes.seal_split(new, split)
        looks = _copy_results(planned, new)
        _enter(planned, new, looks)


def _config(source: PublishedMaps) -> ExperimentConfig:
    """Return the experiment; what it says of how it was computed and we cannot do is left out.

    Raises
    ------
    InvalidDataError
        We have no such task or network, or a setting is wrong.
    """
    where = names.record(source.path)
    config, unsupported = recorded(source.settings, where)
    if _ADAPTATION in unsupported:
        raise InvalidDataError(
            "A network that was adapted to a second domain cannot be read yet", where=where,
            found=f"{_ADAPTATION} = {unsupported[_ADAPTATION]}",
        )  # fmt: skip
    if unsupported:
        said = listed(f"{key} = {value!r}" for key, value in unsupported.items())
        logger.warning("noted in the record alone, since we have no such setting: %s", said)
    return config


def _groups(source: PublishedMaps) -> Groups:
    """Return every data group: train and validation of each split, and those of users.

    Raises
    ------
    MissingInputError
        Train or validation of a split is not there: nobody would know whom the models have seen.
    """
    own = {
        (name, split): path
        for name in names.OWN_GROUPS
        for split, path in published.numbered(names.group(source.path, name)).items()
    }
    trained = published.numbered(source.path)
    needed = {*trained, *(split for _, split in own)}
    missing = [f"{name} of split {split}" for name in names.OWN_GROUPS for split in sorted(needed)
               if (name, split) not in own]  # fmt: skip
    if missing or not own:
        raise MissingInputError(
            "The MAPS does not say whom its models have seen, so that nobody could be kept from "
            "evaluating them on their training images",
            where=names.seen(source.path).parent, found=f"no {listed(missing or names.OWN_GROUPS)}",
            fix="Copy the folder groups as well",
        )  # fmt: skip
    groups: Groups = {key: _group(path) for key, path in own.items()}
    return groups | {
        (name, None): _group(path) for name, path in published.groups(source.path).items()
    }


def _group(path: Path) -> Group:
    """Return a data group that says of each cohort where its images are."""
    table, origin = published.group(path)
    cohorts = table[COHORT].fillna(SINGLE) if COHORT in table.columns else SINGLE
    table = table.assign(**{COHORT: cohorts})
    given, is_multi = Path(origin["caps_directory"]), bool(origin.get("multi_cohort"))
    known = {SINGLE: given}
    if is_multi:
        try:
            known = {one.name: one.path for one in cohort_tables.read(given)}
        except ClinicaDLError as error:
            logger.warning("the images of %s are not found any more: %s", path.name, error)
    caps_of = {str(name): known.get(str(name), given) for name in table[COHORT].unique()}
    return Group(table, folder.group_origin(given, caps_of, is_multi=is_multi))


def _seen(
    source: PublishedMaps, config: ExperimentConfig, groups: Groups
) -> tuple[pd.DataFrame, tuple[Parent, ...]]:
    """Return everybody that the models have seen, and the source of their first weights.

    Whoever the other release lists beside the participants of the splits was seen by that source;
    without one it lists too many, and they count as seen all the same.
    """
    ids = [sessions.PARTICIPANT, sessions.SESSION]
    tables = [group.table[ids] for (_, split), group in groups.items() if split is not None]
    own = pd.concat(tables).drop_duplicates()
    people = set(own[sessions.PARTICIPANT])
    listed_ones = published.seen(source.path)[ids]
    extra = listed_ones[~listed_ones[sessions.PARTICIPANT].isin(people)]
    others = tuple(dict.fromkeys(extra[sessions.PARTICIPANT]))
    parent = config.transfer.transfer_path
    if others and parent is None:
        logger.warning(
            "%d participants are in no split, but listed as seen, and count so: %s",
            len(others), listed(others),
        )  # fmt: skip
    seen = pd.concat([own, listed_ones]).drop_duplicates().sort_values(ids, ignore_index=True)
    theirs = seen[sessions.PARTICIPANT].isin(others)
    who = "" if parent is None else str(parent)
    seen = seen.assign(image_sha256="", seen_by=[who if one else "" for one in theirs])
    if parent is None:
        return seen, ()
    metric = config.transfer.transfer_selection_metric or "loss"
    splits = sorted({split for _, split in groups if split is not None})
    # In which split the source saw them is not known: the guard takes them as seen in each.
    found = Parent(
        path=who, selection_metric=metric, train=dict.fromkeys(splits, others), epochs={}
    )
    return seen, (found,)


def _finished(source: PublishedMaps) -> dict[int, Path]:
    """Return the folders of the splits whose training was finished.

    Raises
    ------
    MissingInputError
        There is none.
    """
    found = published.numbered(source.path)
    open_ones = [split for split, path in found.items() if published.is_unfinished(path)]
    if open_ones:
        logger.warning("splits whose training was not finished are left out: %s", listed(open_ones))
    done = {
        split: path
        for split, path in found.items()
        if split not in open_ones and published.best(path)
    }
    if not done:
        raise MissingInputError(
            "No split of the MAPS was trained to its end", where=source.path,
            fix="Finish the training with the release that began it",
        )  # fmt: skip
    return done


def _verdicts(groups: Groups, seen: pd.DataFrame) -> dict[str, Verdict]:
    """Return what the guard says of the results that are read, and tell it."""
    splits = sorted({split for _, split in groups if split is not None})
    keys = {key: sessions.sessions_of(group.table) for key, group in groups.items()}
    training = check.training(
        [
            TrainingSplit(split, keys[names.TRAIN, split], keys[names.VALIDATION, split])
            for split in splits
        ]
    )
    verdicts = dict.fromkeys(names.OWN_GROUPS, training)
    for (name, split), group in groups.items():
        if split is None:
            there = sessions.sessions_of(group.table)
            verdicts[name] = check.evaluation(name, there, seen=seen_of(seen), hashes={})
    for finding in dict.fromkeys(one for each in verdicts.values() for one in each.findings):
        logger.warning("%s", finding.sentence)
    return verdicts


def _record(
    source: PublishedMaps, config: ExperimentConfig, parents: Sequence[Parent], verdict: Verdict
) -> Record:
    where, content = names.record(source.path), source.settings
    prepared = extraction(content)
    # Whatever predict will ask of it is asked now.
    caps.mode_settings(caps.parse_extraction(prepared, where))
    generated_by = published.versions(published.environment(source.path))
    release = generated_by.get("clinicadl", "1.x")
    return Record(
        config=config,
        extractions=(prepared,),
        label_code=_codes(content.get("label_code"), where),
        input_shape=_shape(content.get("input_size"), where),
        resolved={},
        tables={},
        parents=tuple(parents),
        guard=tuple(verdict.to_record()["findings"]),
        loss_convention=_LOSSES,
        plugins=plugins.loaded(),
        imported=Imported(
            path=str(source.path.resolve()),
            format=f"release {release}",
            date=datetime.now().astimezone().isoformat(timespec="seconds"),
            settings=content,
        ),
        generated_by=generated_by,
        created=published.created(published.information(source.path)) or "not known",
    )


def _codes(given: Any, where: Path) -> dict[str, int]:
    """Return the node of each class; none for a task without classes.

    Raises
    ------
    InvalidDataError
        These are no nodes.
    """
    codes = given or {}
    if not isinstance(codes, dict) or not all(type(node) is int for node in codes.values()):
        raise InvalidDataError("label_code gives no nodes", where=where, found=given)
    return codes


def _shape(given: Any, where: Path) -> tuple[int, ...]:
    """Return the shape of a sample, channel first.

    Raises
    ------
    InvalidDataError
        There is none.
    """
    is_shape = isinstance(given, list) and all(type(size) is int and size > 0 for size in given)
    if not is_shape or len(given) not in (3, 4):
        raise InvalidDataError(
            "The record does not say what the network was given: input_size is no shape",
            where=where, found=given, fix="It holds the channels, then two or three sizes",
        )  # fmt: skip
    return tuple(given)


def _models(
    record: Record, splits: Mapping[int, Path], n_networks: int | None
) -> tuple[StoredModel, ...]:
    """Return every file of weights.

    Parameters
    ----------
    record
        The new record.
    splits
        Split -> its folder.
    n_networks
        How many networks there are where each part has one, if the record says so.

    Raises
    ------
    MissingInputError
        A best model has none, or not one for each part.
    """
    models = []
    for split, path in splits.items():
        for metric, best in published.best(path).items():
            found = published.weights(best)
            needed: list[int | None] = [None]
            if record.config.multi_network:
                needed = [*range(n_networks or len(found))]
            if [*found] != needed or not found:
                raise MissingInputError(
                    "The weights of a best model are not all there", where=best,
                    found=listed(one.name for one in found.values()) or "none",
                    fix="Copy the folder again",
                )  # fmt: skip
            models += [StoredModel(split, metric, number, one) for number, one in found.items()]
    return tuple(models)


def _network(record: Record, where: Path) -> nn.Module:
    """Return the network without numbers: its shapes alone count.

    Raises
    ------
    InvalidDataError
        There is none for such samples, or for this task.
    """
    settings = record.config.network
    with _laid_at(where), torch.device("meta"):
        check_task(settings, record.config.task.kind)
        task: Task = record.config.task.build(record.label_code)
        network: nn.Module = settings.build(record.input_shape, task.n_outputs)
    return network.eval()


def _with_loss(record: Record, network: nn.Module, where: Path) -> Record:
    """Return the record with the loss that the network needs, if none was chosen.

    Raises
    ------
    InvalidDataError
        The loss is not one for it.
    """
    config = record.config
    if not isinstance(config.task, Reconstruction):
        return record
    outputs = network(torch.empty(1, *record.input_shape, device="meta"))
    with _laid_at(where):
        task = resolved(config.task, config.network, outputs, record.input_shape)
    return record.model_copy(update={"config": config.model_copy(update={"task": task})})


@contextmanager
def _laid_at(where: Path) -> Iterator[None]:
    """Turn what settings cannot mean into a fault of the file that holds them.

    Raises
    ------
    InvalidDataError
        The settings cannot be used.
    """
    try:
        yield
    except UsageError as error:
        raise InvalidDataError(error.what, where=where, found=error.found) from error


def _check_models(record: Record, models: Iterable[StoredModel], network: nn.Module) -> None:
    """Refuse weights that are not those of the network; all of them are read.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    settings, shape = record.config.network, " x ".join(map(str, record.input_shape))
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for model in models:
        stored = weights.read_published(model.path)
        there = {name: tuple(value.shape) for name, value in stored.state.items()}
        odd = [name for name in {**wanted, **there} if wanted.get(name) != there.get(name)]
        if stored.name != settings.name or odd:
            raise InvalidDataError(
                f"The weights are not those of {settings.name} for samples of {shape}",
                where=model.path,
                found=f"network {stored.name}; {len(odd)} other tensors: {listed(odd)}",
                fix="Check that maps.json and the weights belong together",
            )  # fmt: skip


def _by_split(planned: ImportPlan) -> dict[int, Path]:
    found = published.numbered(planned.source.path)
    return {model.split: found[model.split] for model in planned.models}


def _copy_results(planned: ImportPlan, new: Path) -> dict[str, list[str]]:
    """Copy the tables of predictions and metrics; return the models that looked at each group."""
    looks: dict[str, list[str]] = {}
    for split, old in _by_split(planned).items():
        for metric, best in published.best(old).items():
            for name, results in published.results(best).items():
                if name not in planned.verdicts:
                    logger.warning("results of %s are left out: it is no data group", name)
                    continue
                target = names.results(new, split, metric, name)
                for path in published.tables(results):
                    _copy(path, target / path.name)
                if names.description(results).exists():
                    _copy(names.description(results), names.description(target))
                files.write_json(names.guard(target), planned.verdicts[name].to_record())
                hashes.seal(target)
                looks.setdefault(name, []).append(f"split-{split}/best-{metric}")
    return looks


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(files.read_bytes(source, "file of the MAPS"))


def _enter(planned: ImportPlan, new: Path, looks: Mapping[str, Sequence[str]]) -> None:
    """Enter the looks that were there already into the ledger, each with its own date."""
    for name, models in looks.items():
        if name in names.OWN_GROUPS:
            continue
        table = planned.groups[name, None].table
        split, _, best = models[0].partition("/best-")
        results = names.results(new, int(split.removeprefix("split-")), best, name)
        entry = Entry(
            name,
            n_participants=table[sessions.PARTICIPANT].nunique(),
            n_sessions=len(table),
            models=" ".join(models),
            table_sha256=files.sha256(names.group_table(names.group(new, name))),
        )
        ledger.append(new, entry, date=published.date_of_results(results) or "not known")
