"""Evaluate trained models on a data group, behind the guard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from clinicadl.config.predict import PredictConfig
from clinicadl.data import order
from clinicadl.data.batches import Loader, readers_watched
from clinicadl.engine import ensemble, groups, one_image, votes
from clinicadl.engine.devices import memory
from clinicadl.engine.evaluate import evaluate, predictions
from clinicadl.engine.given_back import Keep, check_keep, gives_back, watching
from clinicadl.engine.groups import Look, Model
from clinicadl.engine.levels import levels
from clinicadl.engine.one_split import describe
from clinicadl.engine.stored import Stored
from clinicadl.engine.targets import targets_of
from clinicadl.errors import MissingInputError, OutputError, UsageError, listed
from clinicadl.guard.check import Verdict
from clinicadl.guard.facts import Purpose
from clinicadl.layouts.maps import folder, names, outcomes
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.layouts.maps.outcomes import Level, Results
from clinicadl.networks import codes
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE, Target, Task, part_column
from clinicadl.transforms.pipeline import pipeline


@dataclass(frozen=True)
class PredictPlan:
    """An evaluation that can begin."""

    config: PredictConfig
    look: Look
    targets: tuple[Target, ...]
    """What the models should say of each row."""
    labelled: bool
    """Whether that is known, and compared."""
    todo: tuple[Model, ...]
    """The models that have not spoken yet."""
    stored: Stored
    verdict: Verdict

    @property
    def ensembles(self) -> tuple[str, ...]:
        """Selection metrics whose models speak together."""
        chosen = dict.fromkeys(model.metric for model in self.look.models)
        return tuple(chosen) if self.config.ensemble else ()


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
        The group exists and a table was given, or the reverse; or the name cannot be one; or what
        is asked for means nothing for these models.
    LeakageError
        The models have seen participants of the group, or it is sealed.
    OutputError
        The results exist already, or the MAPS cannot be written.
    InvalidDataError
        The images are not those that the group was defined with.
    """
    purpose: Purpose = "seal" if config.seal else "unseal" if config.unseal else "evaluate"
    look = groups.opened(
        config, maps, name, label=config.label, purpose=purpose,
        needs_labels=config.use_labels and not config.image,
    )  # fmt: skip
    # A single image comes without a table, and so without a label.
    labelled = config.use_labels and not folder.images_of(look.group)
    targets = _targets(config, look.task, look.group, name, labelled=labelled)
    todo = _left(config, maps, name, look.models)
    if config.ensemble:
        ensemble.check(config, look)
    _refuse_read_only(config, maps, name, look.models)
    stored = groups.images_of(look)
    check_keep(look.task, _keep(config), stored, look.group.table)
    if config.save_latent_tensor:
        _check_code(look)
    verdict = groups.guarded(look, stored)
    return PredictPlan(config, look, targets, labelled, todo, stored, verdict)


def run(planned: PredictPlan) -> Iterator[Model]:
    """Evaluate one model after another, and yield each whose results are written.

    The look is entered in the ledger before the first prediction: a look that failed is a look.
    """
    look, config = planned.look, planned.config
    path, name = look.maps.path, look.name
    with folder.held(path), memory("fast", look.device), readers_watched():
        groups.enter(look, planned.stored, planned.verdict, reason=config.unseal)
        if config.seal:
            return
        with one_image.at_hand(look.maps, look.group, planned.stored):
            loader = _loader(planned)
            for model in planned.todo:
                with outcomes.new_results(path, *model, name) as target:
                    outcomes.write_results(target, name, _results(planned, model, loader, target))
                yield model
        for metric in planned.ensembles:
            with outcomes.new_results(path, None, metric, name) as target:
                outcomes.write_results(target, name, _together(planned, metric))


def _left(
    config: PredictConfig, maps: Path, name: str, models: tuple[Model, ...]
) -> tuple[Model, ...]:
    """Return the models that have not spoken yet: all, or the others where an ensemble is asked.

    Raises
    ------
    OutputError
        The results exist already.
    """
    if config.overwrite:
        return models
    done = [model for model in models if outcomes.has_results(maps, *model, name)]
    there = [names.results(maps, *model, name) for model in done]
    if config.ensemble:
        together = dict.fromkeys(model.metric for model in models)
        said = [metric for metric in together if outcomes.has_results(maps, None, metric, name)]
        there = [names.results(maps, None, metric, name) for metric in said]
    if there:
        raise OutputError(
            "The results exist already", where=there[0],
            fix="Read them there, choose another group, or add --overwrite",
        )  # fmt: skip
    return tuple(model for model in models if model not in done)


def _refuse_read_only(
    config: PredictConfig, maps: Path, name: str, models: tuple[Model, ...]
) -> None:
    homes = [names.results(maps, *model, name) for model in models]
    if config.ensemble:
        homes += [names.results(maps, None, model.metric, name) for model in models]
    folder.refuse_read_only(maps, *homes)


def _targets(
    config: PredictConfig, task: Task, group: Group, name: str, *, labelled: bool
) -> tuple[Target, ...]:
    if not labelled:
        if config.label:
            raise UsageError(
                "Nothing is compared with a label", where="--label",
                fix="Leave it out, or give a table that has it",
            )  # fmt: skip
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
    stored = planned.stored
    dataset = stored.dataset(
        planned.look.group.table, planned.targets, transform, n_mapped=len(stored.channels)
    )
    return planned.look.device.loader(dataset, planned.config.n_proc)


def _check_code(look: Look) -> None:
    """Refuse to keep codes that there are none of.

    Raises
    ------
    UsageError
        So it is.
    """
    record = look.maps.record
    with torch.device("meta"):
        network = record.config.network.build(record.input_shape, look.task.n_outputs).eval()
        outputs = network(torch.empty(1, *record.input_shape))
    if not (gives_back(look.task) and codes.has_one(network, outputs)):
        raise UsageError(
            "Only an autoencoder has codes", where="--save_latent_tensor",
            found=record.config.network.name, fix="Leave it out",
        )  # fmt: skip


def _keep(config: PredictConfig) -> Keep:
    return Keep(
        tensors=config.save_tensor, nifti=config.save_nifti, latent=config.save_latent_tensor
    )


def _results(planned: PredictPlan, model: Model, loader: Loader, target: Path) -> Results:
    record, stored = planned.look.maps.record, planned.stored
    networks = groups.networks_of(planned.look, planned.stored, model)
    samples = stored.samples(planned.look.group.table)
    batches = order.in_batches(range(len(samples)), planned.config.batch_size * len(networks))
    labelled = planned.labelled or not planned.look.task.labels
    transforms, keep = record.config.transforms, _keep(planned.config)
    with codes.watched(networks.values()) if keep.latent else nullcontext() as code:
        watcher = watching(planned.look.task, stored, samples, transforms, target, keep, code)
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
    return _described(planned, said_of)


def _together(planned: PredictPlan, metric: str) -> Results:
    """Return what the models by a metric say together, of the images."""
    found = ensemble.together(planned.look, metric, planned.config.ensemble_weights)
    seed = planned.look.maps.record.config.reproducibility.seed
    metrics = planned.look.task.table(found.table, seed=seed) if planned.labelled else None
    said_of = {IMAGE: Level(found.table, metrics)}
    return _described(planned, said_of, f"Ensemble: {found.say}\n")


def _described(planned: PredictPlan, said_of: dict[str, Level], more: str = "") -> Results:
    """Return results with what they are about, and why they are there in spite of the guard."""
    group = planned.look.group
    places = folder.caps_of(group), folder.images_of(group)
    accepted = planned.verdict.accepted
    description = describe(planned.look.name, group.table, *places, accepted) + more
    if accepted is not None:
        # Whoever reads a number made in spite of the guard reads why beside it.
        said_of = {name: _marked(level, accepted) for name, level in said_of.items()}
    return Results(said_of, planned.verdict.to_record(), description)


def _basis(planned: PredictPlan, model: Model) -> pd.DataFrame:
    """Return what the model said of the parts of validation, by which parts are weighed."""
    if len(planned.stored.parts) == 1:
        return pd.DataFrame()
    maps, mode = planned.look.maps, planned.stored.mode
    if maps.record.pulled is not None:
        rows = outcomes.read_votes(maps.path, *model, mode)
        return (
            votes.expanded(planned.look.task, rows, part_column(mode)) if rows else pd.DataFrame()
        )
    return outcomes.read_predictions(maps.path, *model, names.VALIDATION, mode)


def _marked(level: Level, reason: str) -> Level:
    predictions, metrics = level
    return Level(
        predictions.assign(**{names.ACCEPTED: reason}),
        None if metrics is None else metrics.assign(**{names.ACCEPTED: reason}),
    )


def sentences(planned: PredictPlan) -> Iterator[str]:
    """Yield what each model said of each image of a group whose results are written."""
    look = planned.look
    classes: dict[int, list[str]] = {}
    for label, node in look.maps.record.label_code.items():
        classes.setdefault(node, []).append(label)
    named = {f"proba{node}": "/".join(labels) for node, labels in classes.items()}
    voices = [
        *(
            (f"split {model.split} by {model.metric}", (*model, look.name))
            for model in planned.todo
        ),
        *((f"ensemble by {name}", (None, name, look.name)) for name in planned.ensembles),
    ]
    for voice, place in voices:
        home = names.results(look.maps.path, *place)
        level = IMAGE if names.predictions(home, IMAGE).is_file() else planned.stored.mode
        table = outcomes.read_predictions(look.maps.path, *place, level)
        numbers = [
            column
            for column in table.select_dtypes("number").columns
            # Of a classification the probabilities say it all.
            if not column.startswith("true_") and not (classes and column not in named)
        ]
        for key, row in zip(sessions.sessions_of(table), table[numbers].to_numpy(), strict=True):
            said = zip(numbers, row, strict=True)
            text = ", ".join(f"{named.get(name, name)} {value:.4g}" for name, value in said)
            yield f"{' | '.join(key)}, {voice}: {text}"
