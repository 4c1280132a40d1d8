"""Evaluate trained models on a data group, behind the guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from torch import nn

from clinicadl.config.compute import ComputeConfig
from clinicadl.config.predict import PredictConfig
from clinicadl.data import order
from clinicadl.data.batches import Loader, readers_watched
from clinicadl.engine import plan
from clinicadl.engine.devices import Device, memory, resolve
from clinicadl.engine.evaluate import evaluate, predictions
from clinicadl.engine.given_back import Keep, check_keep, watching
from clinicadl.engine.levels import levels
from clinicadl.engine.one_split import describe
from clinicadl.engine.stored import Stored, prepared
from clinicadl.engine.targets import targets_of
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError, listed
from clinicadl.guard import check
from clinicadl.guard.check import Verdict
from clinicadl.guard.rules import Seen
from clinicadl.layouts import caps, files
from clinicadl.layouts.maps import folder, ledger, names
from clinicadl.layouts.maps.folder import Group, Level, Maps, Results
from clinicadl.networks import weights
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, Member, members
from clinicadl.tasks.base import Target, Task, part_column
from clinicadl.transforms.pipeline import output_shape, pipeline


class Model(NamedTuple):
    """A trained model of a MAPS: the best one of a split by a metric."""

    split: int
    metric: str


@dataclass(frozen=True)
class PredictPlan:
    """An evaluation that can begin."""

    config: PredictConfig
    maps: Maps
    name: str
    group: Group
    is_new: bool
    targets: tuple[Target, ...]
    """What the models should say of each row."""
    models: tuple[Model, ...]
    stored: Stored
    task: Task
    device: Device
    verdict: Verdict


def predict(config: PredictConfig, maps: Path, group: str) -> Maps:
    """Write what the trained models of a MAPS say of a data group.

    Parameters
    ----------
    config
        The images and the table of a new group, and what to compare.
    maps
        The MAPS.
    group
        Name of the data group; once defined, it is used by its name alone.

    Returns
    -------
    The MAPS, with predictions and metrics of the group beside each model.

    Raises
    ------
    LeakageError
        The models have seen participants of the group.
    OutputError
        The group, or its results, exist already.
    MissingInputError
        A model, table or image is absent.
    InvalidDataError
        A table, label or image is wrong.
    """
    planned = ready(config, maps, group)
    for _ in run(planned):
        pass
    return planned.maps


def ready(config: PredictConfig, maps: Path, name: str) -> PredictPlan:
    """Return the plan of an evaluation that may begin; nothing is written.

    Raises
    ------
    UsageError
        The group exists and a table was given, or the reverse; or the name cannot be one.
    LeakageError
        The models have seen participants of the group.
    OutputError
        The results exist already, or the MAPS cannot be written.
    InvalidDataError
        The images are not those that the group was defined with.
    """
    device = resolve(ComputeConfig(gpu=config.gpu, amp=config.amp))
    if device.ranks.world > 1:
        raise UsageError(
            "A prediction is made by one process", found=f"{device.ranks.world} processes",
            fix="Start it without torchrun or srun",
        )  # fmt: skip
    opened = folder.open_maps(maps)
    folder.check_group_name(name)
    check.evaluation(name, (), seen=(), hashes={}).enforce(None)
    is_new = config.overwrite or not folder.has_group(maps, name)
    cohorts = _cohorts(config, opened) if is_new else ()
    group = _new_group(config, opened, cohorts) if is_new else _old_group(config, opened, name)
    task: Task = opened.record.config.task.build(opened.record.label_code)
    targets = _targets(config, task, group, name)
    models = _models(config, maps)
    _refuse_existing_results(config, maps, name, models)
    folder.refuse_read_only(maps, *(names.results(maps, *model, name) for model in models))
    stored = stored_of(opened, group)
    _refuse_other_images(group, stored, name)
    check_keep(task, _keep(config), stored, group.table)
    verdict = check.evaluation(
        name,
        sessions.sessions_of(group.table),
        seen=seen_of(folder.read_seen(maps)),
        hashes={key: found.sha256 for key, found in stored.origins.items()},
        edits=plan.edits(path for one in cohorts for path in _tables(one.tables)),
    )
    verdict = verdict.enforce(config.accept_leakage)
    plan.announce(verdict)
    return PredictPlan(
        config=config,
        maps=opened,
        name=name,
        group=group,
        is_new=is_new,
        targets=targets,
        models=models,
        stored=stored,
        task=task,
        device=device,
        verdict=verdict,
    )


def run(planned: PredictPlan) -> Iterator[Model]:
    """Evaluate one model after another, and yield each whose results are written.

    The look is entered in the ledger before the first prediction: a look that failed is a look.
    """
    path, group = planned.maps.path, planned.group
    with folder.held(path), memory("fast", planned.device), readers_watched():
        if planned.is_new:
            origins = planned.stored.origins.items()
            known = folder.with_hashes(group, {key: found.sha256 for key, found in origins})
            folder.write_group(
                path, planned.name, group.table, known.origin, overwrite=planned.config.overwrite
            )
        ledger.look(
            path,
            planned.name,
            n_participants=group.table[sessions.PARTICIPANT].nunique(),
            n_sessions=len(group.table),
            models=" ".join(f"split-{model.split}/best-{model.metric}" for model in planned.models),
            table_sha256=files.sha256(names.group_table(names.group(path, planned.name))),
            accepted=planned.verdict.accepted,
        )
        loader = _loader(planned)
        for model in planned.models:
            with folder.new_results(path, *model, planned.name) as target:
                results = _results(planned, model, loader, target)
                folder.write_results(target, planned.name, results)
            yield model


def _old_group(config: PredictConfig, maps: Maps, name: str) -> Group:
    given = [
        flag
        for flag, value in {
            "--caps_directory": config.caps_directory,
            "--participants_tsv": config.participants_tsv,
            "--diagnoses": config.diagnoses,
            "--multi_cohort": config.multi_cohort or None,
        }.items()
        if value is not None
    ]
    if given:
        raise UsageError(
            "The data group is defined already, so its images and table are known",
            where=f"groups/{name}", found=listed(given),
            fix="Leave these options out, choose another name, or add --overwrite",
        )  # fmt: skip
    return folder.read_group(maps.path, name)


def _cohorts(config: PredictConfig, maps: Maps) -> tuple[Member, ...]:
    if config.caps_directory is None or config.participants_tsv is None:
        raise UsageError(
            "A new data group needs its images and its table",
            fix="Give --caps_directory and --participants_tsv",
        )
    return members(
        config.caps_directory,
        config.participants_tsv,
        is_multi=config.multi_cohort,
        diagnoses=config.diagnoses or maps.record.config.data.diagnoses,
    )


def _new_group(config: PredictConfig, maps: Maps, cohorts: tuple[Member, ...]) -> Group:
    for one in cohorts:
        caps.check(one.caps)
    tables = [_rows(config, maps, one, path) for one in cohorts for path in _tables(one.tables)]
    places = {one.name: one.caps for one in cohorts}
    origin = folder.group_origin(
        Path(str(config.caps_directory)), places, is_multi=config.multi_cohort
    )
    given = Path(str(config.participants_tsv)).absolute()
    return Group(pd.concat(tables, ignore_index=True), origin | {"participants_tsv": str(given)})


def _tables(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    found = sorted(given.glob("*_baseline.tsv"))
    if not found:
        raise MissingInputError(
            "The folder holds no *_baseline.tsv", where=given, fix="Give a table"
        )
    return found


def _rows(config: PredictConfig, maps: Maps, cohort: Member, path: Path) -> pd.DataFrame:
    experiment = maps.record.config
    table = sessions.read(path)
    labels = config.label or experiment.task.labels
    if config.use_labels:
        table = sessions.with_columns(table, path, labels)
    if cohort.diagnoses is not None and sessions.DIAGNOSIS not in table.columns:
        table = sessions.with_columns(table, path, [sessions.DIAGNOSIS])
    table = sessions.keep_diagnoses(table, cohort.diagnoses, where=path)
    columns = [sessions.PARTICIPANT, sessions.SESSION, COHORT]
    table = table.assign(**{COHORT: cohort.name})
    there = [label for label in labels if label in table.columns]
    return table[[*dict.fromkeys((*columns, *there))]].reset_index(drop=True)


def _models(config: PredictConfig, maps: Path) -> tuple[Model, ...]:
    trained = [
        Model(split, metric)
        for split in names.split_numbers(maps)
        for metric in names.selection_metrics(maps, split)
        if not folder.is_unfinished(maps, split)
    ]
    chosen = [
        model
        for model in trained
        if (not config.split or model.split in config.split)
        and (not config.selection_metrics or model.metric in config.selection_metrics)
    ]
    missing = [number for number in config.split if number not in {m.split for m in chosen}]
    unknown = [
        metric
        for metric in config.selection_metrics
        if metric not in {model.metric for model in chosen}
    ]
    if missing or unknown or not chosen:
        raise MissingInputError(
            "There is no such trained model", where=maps,
            found=listed([*(f"split {number}" for number in missing), *unknown]) or "none at all",
            fix=f"Trained: {listed(f'split {m.split} by {m.metric}' for m in trained) or 'none'}",
        )  # fmt: skip
    return tuple(chosen)


def _refuse_existing_results(
    config: PredictConfig, maps: Path, name: str, models: tuple[Model, ...]
) -> None:
    if config.overwrite:
        return
    done = [model for model in models if folder.has_results(maps, *model, name)]
    if done:
        raise OutputError(
            "The results exist already", where=names.results(maps, *done[0], name),
            fix="Read them there, choose another group, or add --overwrite",
        )  # fmt: skip


def _refuse_other_images(group: Group, stored: Stored, name: str) -> None:
    """Refuse a group whose images changed: results of one name are about the same images.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    known = folder.image_hashes(group)
    odd = [key for key, digest in known.items() if stored.origins[key].sha256 != digest]
    if odd:
        raise InvalidDataError(
            f"{len(odd)} images changed since the data group was defined", where=f"groups/{name}",
            found=listed(" | ".join(key) for key in odd),
            fix="Put them back, choose another name, or define the group anew with --overwrite",
        )  # fmt: skip


def stored_of(maps: Maps, group: Group) -> Stored:
    """Return the images of a data group, as the models of a MAPS take them.

    Raises
    ------
    MissingInputError
        An image or tensor is gone.
    InvalidDataError
        A tensor does not belong to its image any more, or its shape is another.
    """
    record, places = maps.record, folder.caps_of(group)
    where = names.record(maps.path)
    extractions = [caps.parse_extraction(content, where) for content in record.extractions]
    stored = prepared(places, extractions, group.table)
    shape = output_shape(record.config.transforms, stored.shape)
    if shape != record.input_shape:
        raise InvalidDataError(
            "The images of the group have another shape than those of training",
            where=listed(places.values()), found=f"{shape}, trained on {record.input_shape}",
            fix="Prepare the same preprocessing on the same grid",
        )  # fmt: skip
    return stored


def seen_of(table: pd.DataFrame) -> list[Seen]:
    """Return what each model saw: that of a MAPS, and those that its first weights come from.

    Parameters
    ----------
    table
        As `clinicadl.layouts.maps.names.seen` holds it; a hash that is not known is empty.
    """
    return [
        Seen(
            str(who) or "this MAPS",
            tuple(sessions.sessions_of(rows)),
            dict(zip(rows["image_sha256"], sessions.sessions_of(rows), strict=True)),
        )
        for who, rows in table.groupby("seen_by", sort=True)
    ]


def _targets(config: PredictConfig, task: Task, group: Group, name: str) -> tuple[Target, ...]:
    if not config.use_labels:
        return (task.target([None] * len(task.labels)),) * len(group.table)
    if config.label and not task.labels:
        raise UsageError("The model learnt no label", where="--label", fix="Leave it out")
    labels = config.label or task.labels
    if len(labels) != len(task.labels):
        raise UsageError(
            f"The model learnt {len(task.labels)} labels", where="--label", found=listed(labels),
            fix=f"Name as many columns, in the order of {listed(task.labels)}",
        )  # fmt: skip
    absent = [label for label in labels if label not in group.table.columns]
    if absent:
        raise MissingInputError(
            "The data group has no such column", where=f"groups/{name}", found=listed(absent),
            fix="Use --no_labels, or define the group anew with --overwrite",
        )  # fmt: skip
    ids = group.table[[sessions.PARTICIPANT, sessions.SESSION]]
    named = {ours: group.table[theirs] for ours, theirs in zip(task.labels, labels, strict=True)}
    return tuple(targets_of(task, ids.assign(**named), where=f"groups/{name}"))


def _loader(planned: PredictPlan) -> Loader:
    transform = pipeline(planned.maps.record.config.transforms)
    dataset = planned.stored.dataset(planned.group.table, planned.targets, transform)
    return planned.device.loader(dataset, planned.config.n_proc)


def _keep(config: PredictConfig) -> Keep:
    return Keep(tensors=config.save_tensor, nifti=config.save_nifti)


def _results(planned: PredictPlan, model: Model, loader: Loader, target: Path) -> Results:
    record, stored = planned.maps.record, planned.stored
    networks = _networks(planned, model)
    samples = stored.samples(planned.group.table)
    batches = order.in_batches(range(len(samples)), planned.config.batch_size * len(networks))
    labelled = planned.config.use_labels or not planned.task.labels
    transforms, keep = record.config.transforms, _keep(planned.config)
    watcher = watching(planned.task, stored, samples, transforms, target, keep)
    said = evaluate(
        networks, planned.task, loader(batches), planned.device, labelled=labelled, watcher=watcher
    )
    found = predictions(said, samples, part_column(stored.mode))
    said_of = levels(
        planned.task,
        found,
        stored.mode,
        basis=_basis(planned, model),
        seed=record.config.reproducibility.seed if labelled else None,
        images=watcher.of_images() if watcher else None,
    )
    description = describe(planned.name, planned.group.table, folder.caps_of(planned.group))
    accepted = planned.verdict.accepted
    if accepted is not None:
        # Whoever reads a number made in spite of the guard reads why beside it.
        said_of = {name: _marked(level, accepted) for name, level in said_of.items()}
        description += f"Accepted leakage: {accepted}\n"
    return Results(said_of, planned.verdict.to_record(), description)


def _networks(planned: PredictPlan, model: Model) -> dict[int | None, nn.Module]:
    """Return the networks of a trained model, with their weights, on the device.

    Raises
    ------
    MissingInputError
        A part has no network.
    """
    record, maps = planned.maps.record, planned.maps.path
    parts = range(len(planned.stored.parts))
    numbers: list[int | None] = [*parts] if record.config.multi_network else [None]
    networks: dict[int | None, nn.Module] = {}
    for number in numbers:
        network = record.config.network.build(record.input_shape, planned.task.n_outputs)
        network.load_state_dict(weights.read(names.weights(maps, *model, number)).state)
        networks[number] = planned.device.put_network(network)
    return networks


def _basis(planned: PredictPlan, model: Model) -> pd.DataFrame:
    """Return what the model said of the parts of validation, by which parts are weighed."""
    if len(planned.stored.parts) == 1:
        return pd.DataFrame()
    return folder.read_predictions(planned.maps.path, *model, names.VALIDATION, planned.stored.mode)


def _marked(level: Level, reason: str) -> Level:
    predictions, metrics = level
    return Level(
        predictions.assign(**{names.ACCEPTED: reason}),
        None if metrics is None else metrics.assign(**{names.ACCEPTED: reason}),
    )
