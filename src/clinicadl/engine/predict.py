"""Evaluate trained models on a data group, behind the guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinicadl.config.predict import PredictConfig
from clinicadl.data import order
from clinicadl.data.batches import Loader, readers_watched
from clinicadl.engine import groups
from clinicadl.engine.devices import memory
from clinicadl.engine.evaluate import evaluate, predictions
from clinicadl.engine.given_back import Keep, check_keep, watching
from clinicadl.engine.groups import Look, Model
from clinicadl.engine.levels import levels
from clinicadl.engine.one_split import describe
from clinicadl.engine.stored import Stored
from clinicadl.engine.targets import targets_of
from clinicadl.errors import MissingInputError, OutputError, UsageError, listed
from clinicadl.guard.check import Verdict
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Group, Level, Maps, Results
from clinicadl.tables import sessions
from clinicadl.tasks.base import Target, Task, part_column
from clinicadl.transforms.pipeline import pipeline


@dataclass(frozen=True)
class PredictPlan:
    """An evaluation that can begin."""

    config: PredictConfig
    look: Look
    targets: tuple[Target, ...]
    """What the models should say of each row."""
    stored: Stored
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
    return planned.look.maps


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
    look = groups.opened(config, maps, name, label=config.label, needs_labels=config.use_labels)
    targets = _targets(config, look.task, look.group, name)
    _refuse_existing_results(config, maps, name, look.models)
    folder.refuse_read_only(maps, *(names.results(maps, *model, name) for model in look.models))
    stored = groups.images_of(look)
    check_keep(look.task, _keep(config), stored, look.group.table)
    return PredictPlan(config, look, targets, stored, groups.guarded(look, stored))


def run(planned: PredictPlan) -> Iterator[Model]:
    """Evaluate one model after another, and yield each whose results are written.

    The look is entered in the ledger before the first prediction: a look that failed is a look.
    """
    look = planned.look
    path, name = look.maps.path, look.name
    with folder.held(path), memory("fast", look.device), readers_watched():
        groups.enter(look, planned.stored, planned.verdict)
        loader = _loader(planned)
        for model in look.models:
            with folder.new_results(path, *model, name) as target:
                folder.write_results(target, name, _results(planned, model, loader, target))
            yield model


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
    transform = pipeline(planned.look.maps.record.config.transforms)
    dataset = planned.stored.dataset(planned.look.group.table, planned.targets, transform)
    return planned.look.device.loader(dataset, planned.config.n_proc)


def _keep(config: PredictConfig) -> Keep:
    return Keep(tensors=config.save_tensor, nifti=config.save_nifti)


def _results(planned: PredictPlan, model: Model, loader: Loader, target: Path) -> Results:
    record, stored = planned.look.maps.record, planned.stored
    networks = groups.networks_of(planned.look, planned.stored, model)
    samples = stored.samples(planned.look.group.table)
    batches = order.in_batches(range(len(samples)), planned.config.batch_size * len(networks))
    labelled = planned.config.use_labels or not planned.look.task.labels
    transforms, keep = record.config.transforms, _keep(planned.config)
    watcher = watching(planned.look.task, stored, samples, transforms, target, keep)
    said = evaluate(
        networks,
        planned.look.task,
        loader(batches),
        planned.look.device,
        labelled=labelled,
        watcher=watcher,
    )
    found = predictions(said, samples, part_column(stored.mode))
    said_of = levels(
        planned.look.task,
        found,
        stored.mode,
        basis=_basis(planned, model),
        seed=record.config.reproducibility.seed if labelled else None,
        images=watcher.of_images() if watcher else None,
    )
    group, accepted = planned.look.group, planned.verdict.accepted
    description = describe(planned.look.name, group.table, folder.caps_of(group), accepted)
    if accepted is not None:
        # Whoever reads a number made in spite of the guard reads why beside it.
        said_of = {name: _marked(level, accepted) for name, level in said_of.items()}
    return Results(said_of, planned.verdict.to_record(), description)


def _basis(planned: PredictPlan, model: Model) -> pd.DataFrame:
    """Return what the model said of the parts of validation, by which parts are weighed."""
    if len(planned.stored.parts) == 1:
        return pd.DataFrame()
    return folder.read_predictions(
        planned.look.maps.path, *model, names.VALIDATION, planned.stored.mode
    )


def _marked(level: Level, reason: str) -> Level:
    predictions, metrics = level
    return Level(
        predictions.assign(**{names.ACCEPTED: reason}),
        None if metrics is None else metrics.assign(**{names.ACCEPTED: reason}),
    )
