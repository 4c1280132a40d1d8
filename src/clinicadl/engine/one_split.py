"""The training of one split, from its first weights to its results."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
from torch import nn

from clinicadl.data import order
from clinicadl.engine import loop, state, transfer
from clinicadl.engine.evaluate import evaluate, predictions
from clinicadl.engine.events import Event, SplitEnded, SplitStarted
from clinicadl.engine.given_back import Keep, watching
from clinicadl.engine.levels import levels
from clinicadl.engine.loop import Training
from clinicadl.engine.optimizers import optimizer, scheduler
from clinicadl.engine.plan import Plan, SplitPlan
from clinicadl.engine.select import Selection, Stopping
from clinicadl.engine.state import Learner, TrainState
from clinicadl.engine.targets import targets_of
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Results
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded
from clinicadl.tables import sessions
from clinicadl.transforms.pipeline import augmentation, pipeline

logger = logging.getLogger(__name__)


def train_split(planned: Plan, one: SplitPlan, maps: Path) -> Iterator[Event]:
    """Train one split, from scratch or its checkpoint, write its results, and say what happens.

    Raises
    ------
    InvalidDataError
        The training diverged, or the checkpoint is damaged.
    """
    training = _training(planned, one, maps)
    learner, now = _begin(planned, training)
    settings = planned.config.optimization
    yield SplitStarted(
        maps=maps,
        split=one.number,
        first_epoch=now.epoch,
        n_epochs=settings.epochs,
        n_batches=-(-len(training.train) // settings.batch_size),
        updates_per_epoch=loop.updates_per_epoch(training),
        history=now.history,
    )
    now = yield from loop.fit(training, learner, now)
    for metric in planned.config.task.selection_metrics:
        _conclude(planned, training, learner.network, now, metric)
    folder.finish(maps, one.number)
    yield SplitEnded(one.number, "early stopping" if now.stopped else "last epoch")


def first_network(planned: Plan, split: int) -> nn.Module:
    """Return the network of a split with its first weights, on the CPU."""
    seed = planned.config.reproducibility.seed
    with seeded(seed, f"weights/{split}"):
        network: nn.Module = planned.config.network.build(
            planned.input_shape, planned.task.n_outputs
        )
    transfer.load(planned.config, split, network)
    return network


def _training(planned: Plan, one: SplitPlan, maps: Path) -> Training:
    table = pd.concat([one.train, one.validation], ignore_index=True)
    stored, task = planned.stored, planned.task
    of_images = targets_of(task, table)
    transforms, seed = planned.config.transforms, planned.config.reproducibility.seed
    dataset = stored.dataset(
        table, of_images, pipeline(transforms), augment=augmentation(transforms, seed=seed)
    )
    n_parts = len(stored.parts)
    n_train = len(one.train) * n_parts
    return Training(
        maps=maps,
        split=one.number,
        config=planned.config,
        task=task,
        device=planned.device,
        loader=planned.device.loader(dataset, planned.config.compute.n_proc),
        verdict=planned.verdict,
        caps_of={one.name: one.caps for one in planned.cohorts},
        mode=stored.mode,
        table=stored.samples(table),
        targets=[target for target in of_images for _ in range(n_parts)],
        train=range(n_train),
        validation=range(n_train, len(dataset)),
    )


def _begin(planned: Plan, training: Training) -> tuple[Learner, TrainState]:
    """Return the learner and where it stands: at the beginning, or at the checkpoint."""
    settings = planned.config.optimization
    network = planned.device.put_network(first_network(planned, training.split))
    learning = optimizer(settings, network)
    learner = Learner(network, learning, scheduler(settings, learning))
    checkpoint = names.checkpoint(training.maps, training.split)
    if checkpoint.exists():
        return learner, state.load(checkpoint, learner)
    folder.begin(training.maps, training.split)
    better = training.task.higher_is_better()
    directions = {name: better[name] for name in planned.config.task.selection_metrics}
    return learner, TrainState(0, False, Selection(directions), Stopping())


def _conclude(
    planned: Plan, training: Training, network: nn.Module, now: TrainState, metric: str
) -> None:
    """Write what the best model by one metric says of train and validation."""
    path = names.weights(training.maps, training.split, metric)
    if metric not in now.selection.best:
        logger.warning(
            "split %d: %s was never a number, so the last epoch is kept", training.split, metric
        )
        facts = {"network": training.config.network.model_dump(), "epoch": now.epoch - 1}
        weights.write(path, network.state_dict(), facts)
    network.load_state_dict(weights.read(path).state)
    for name, rows in ((names.TRAIN, training.train), (names.VALIDATION, training.validation)):
        with folder.new_results(training.maps, training.split, metric, name) as target:
            results = _results(planned, training, network, name, rows, target)
            folder.write_results(target, name, results)


def _results(
    planned: Plan,
    training: Training,
    network: nn.Module,
    name: str,
    rows: Sequence[int],
    target: Path,
) -> Results:
    """Return what a model says of train or validation; images may go into a folder at once."""
    batches = order.in_batches(rows, training.config.optimization.batch_size)
    watcher = watching(
        training.task, planned.stored, training.table, planned.config.transforms, target,
        Keep(first_tensors=True),
    )  # fmt: skip
    said = evaluate(
        network, training.task, training.loader(batches), training.device, watcher=watcher
    )
    found = predictions(said, training.table, training.part)
    return Results(
        levels=levels(
            training.task,
            found,
            training.mode,
            basis=found,
            seed=training.config.reproducibility.seed,
            images=watcher.of_images() if watcher else None,
        ),
        guard=training.verdict.to_record(),
        description=describe(name, training.table.iloc[list(rows)], training.caps_of),
    )


def describe(group: str, table: pd.DataFrame, caps_of: Mapping[str, Path]) -> str:
    """Return the four lines that say what results are about.

    Parameters
    ----------
    group
        Name of the data group.
    table
        Its samples.
    caps_of
        Cohort -> CAPS.
    """
    places = {cohort: str(path) for cohort, path in caps_of.items()}
    date = datetime.now().astimezone().strftime("%d %b %Y, %H:%M:%S")
    n_participants = table[sessions.PARTICIPANT].nunique()
    n_sessions = len(set(sessions.sessions_of(table)))
    return (
        f"Prediction {group} group - {date}\n"
        f"Data loaded from CAPS directories: {places}\n"
        f"Number of participants: {n_participants}\n"
        f"Number of sessions: {n_sessions}\n"
    )
