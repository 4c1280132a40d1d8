"""The training of one split, from its first weights to its results."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from clinicadl.engine import averages, loop, shards, state, transfer
from clinicadl.engine.devices import Device
from clinicadl.engine.evaluate import predictions
from clinicadl.engine.events import Event, SplitEnded, SplitStarted
from clinicadl.engine.given_back import after_training, gives_back, watching
from clinicadl.engine.levels import levels
from clinicadl.engine.optimizers import optimizer, scheduler
from clinicadl.engine.plan import Plan, SplitPlan
from clinicadl.engine.profile import Profile
from clinicadl.engine.select import Selection, Stopping
from clinicadl.engine.state import Learner, TrainState
from clinicadl.engine.targets import targets_of
from clinicadl.engine.together import normalize_together
from clinicadl.engine.training import Training
from clinicadl.layouts.maps import folder, names, outcomes
from clinicadl.layouts.maps.outcomes import Results
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded
from clinicadl.networks.transfer import freeze
from clinicadl.tables import sessions
from clinicadl.transforms.pipeline import augmentation, pipeline

logger = logging.getLogger(__name__)


def train_split(planned: Plan, one: SplitPlan, maps: Path) -> Iterator[Event]:
    """Train one split, from scratch or its checkpoint, write its results, and say what happens.

    Raises
    ------
    InvalidDataError
        The training diverged.
    CannotResumeError
        All checkpoints are damaged.
    """
    training = _training(planned, one, maps)
    begun = {number: _begin(planned, training, number) for number in training.networks}
    learners = {number: learner for number, (learner, _) in begun.items()}
    now: loop.States = {number: state for number, (_, state) in begun.items()}
    yield SplitStarted(
        maps=maps,
        split=one.number,
        first_epoch=min(state.epoch for state in now.values()),
        n_epochs=planned.config.optimization.epochs,
        n_batches=loop.n_batches(training),
        updates_per_epoch=loop.updates_per_epoch(training),
        histories={number: state.history for number, state in now.items()},
    )
    try:
        now = yield from loop.fit(training, learners, now)
    finally:
        if training.profile is not None:
            training.profile.close()
    last = {number: state.epoch - 1 for number, state in now.items()}
    networks = {
        number: loop.judged(training, {number: learner}, last[number])[number]
        for number, learner in learners.items()
    }
    ranks = planned.device.ranks
    for metric in planned.config.task.selection_metrics:
        _conclude(planned, training, networks, now, metric)
    if ranks.is_first:
        folder.finish(maps, one.number)
    ranks.wait()
    stopped = all(state.stopped for state in now.values())
    yield SplitEnded(one.number, "early stopping" if stopped else "last epoch")


def first_network(planned: Plan, purpose: str, split: int, network: int | None = None) -> nn.Module:
    """Return a network of a split with its first weights, on the CPU.

    Parameters
    ----------
    planned
        The plan.
    purpose
        What its draw is for.
    split
        Number of the split.
    network
        Number of its part; None where one network sees all parts.
    """
    seed = planned.config.reproducibility.seed
    with seeded(seed, purpose):
        built: nn.Module = planned.config.network.build(planned.input_shape, planned.task.n_outputs)
    planned.config.network.start(built)
    transfer.load(planned.config, split, built, network)
    freeze(built, planned.config.transfer.nb_unfrozen_layer)
    return built


def layers(planned: Plan) -> str:
    """Return the printout of the layers of each network."""
    with torch.device("meta"):
        return str(planned.config.network.build(planned.input_shape, planned.task.n_outputs))


def _training(planned: Plan, one: SplitPlan, maps: Path) -> Training:
    table = pd.concat([one.train, one.validation], ignore_index=True)
    stored, task = planned.stored, planned.task
    of_images = targets_of(task, table)
    task = task.fitted(of_images[: len(one.train)])
    transforms, seed = planned.config.transforms, planned.config.reproducibility.seed
    is_multi = planned.config.multi_network
    dataset = stored.dataset(
        table, of_images, pipeline(transforms),
        augment=augmentation(transforms, seed=seed), one_draw_an_image=is_multi,
    )  # fmt: skip
    n_parts = len(stored.parts)
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
        part_names=stored.parts.names,
        networks=tuple(range(n_parts)) if is_multi else (None,),
        train=range(len(one.train)),
        validation=range(len(one.train), len(table)),
        profile=_profile(planned, one.number, maps),
    )


def _profile(planned: Plan, split: int, maps: Path) -> Profile | None:
    """Return what records the time of the first batches, if that was asked for."""
    if not planned.config.compute.profiler:
        return None
    folder = names.profiler(maps, split, datetime.now().strftime("%H:%M:%S"))
    return Profile(folder, on_gpu=planned.device.torch_device.type == "cuda")


def _begin(planned: Plan, training: Training, number: int | None) -> tuple[Learner, TrainState]:
    """Return the learner and where it stands: at the beginning, or at the checkpoint."""
    settings = planned.config.optimization
    purpose = training.purpose("weights", number)
    network = planned.device.put_network(first_network(planned, purpose, training.split, number))
    average = averages.first(settings.averaging, network)
    outline = _shared(network, average, planned.device)
    learning = optimizer(settings, network)
    learner = Learner(
        network,
        learning,
        scheduler(settings, learning),
        average,
        planned.device.scaler(),
        outline,
    )
    places, ranks = (training.maps, training.split, number), planned.device.ranks
    if not ranks.is_first:
        # A damaged checkpoint is put aside by the first, before the others look.
        ranks.wait()
    then = state.restore(
        names.checkpoint(*places), learner, former=names.former_checkpoint(*places)
    )
    if ranks.is_first:
        ranks.wait()
    if then is not None:
        return learner, then
    better = training.task.higher_is_better()
    directions = {name: better[name] for name in planned.config.task.selection_metrics}
    return learner, TrainState(0, False, Selection(directions), Stopping())


def _shared(network: nn.Module, average: nn.Module | None, device: Device) -> nn.Module | None:
    """Let the processes that train together normalize together, and share weights if asked for.

    Returns
    -------
    The outline of a network whose weights are divided.
    """
    outline = shards.outline(network) if device.n_shards > 1 else None
    if device.ranks.world > 1:
        normalize_together(network)
    for one in (network, average):
        if outline is not None and one is not None:
            shards.divide(one, device.n_shards)
    return outline


def _conclude(
    planned: Plan,
    training: Training,
    networks: Mapping[int | None, nn.Module],
    now: loop.States,
    metric: str,
) -> None:
    """Write what the best model by one metric says of train and validation."""
    for number, network in networks.items():
        path = names.weights(training.maps, training.split, metric, number)
        if metric not in now[number].selection.best:
            logger.warning(
                "split %d%s: %s was never a number, so the last epoch is kept",
                training.split, "" if number is None else f", network {number}", metric,
            )  # fmt: skip
            facts = {
                "network": training.config.network.model_dump(mode="json"),
                "epoch": now[number].epoch - 1,
            }
            if planned.device.ranks.is_first:
                weights.write(path, network.state_dict(), facts)
        planned.device.ranks.wait()
        network.load_state_dict(weights.read(path).state)
    for name, images in ((names.TRAIN, training.train), (names.VALIDATION, training.validation)):
        with _new_results(planned, training, metric, name) as target:
            if target is None:
                loop.says(training, networks, images, in_turn=gives_back(training.task))
                continue
            watcher = watching(
                training.task, planned.stored, training.table, planned.config.transforms, target,
                after_training(planned.config.task),
            )  # fmt: skip
            said = loop.says(
                training, networks, images, watcher=watcher, in_turn=gives_back(training.task)
            )
            found = predictions(said, training.table, training.part)
            results = Results(
                levels=levels(
                    training.task,
                    found,
                    training.mode,
                    basis=found,
                    seed=training.config.reproducibility.seed,
                    images=watcher.of_images() if watcher else None,
                ),
                guard=training.verdict.to_record(),
                description=describe(
                    name, training.table.iloc[training.rows(images, (None,))], training.caps_of
                ),
            )
            outcomes.write_results(target, name, results)


def _new_results(
    planned: Plan, training: Training, metric: str, name: str
) -> AbstractContextManager[Path | None]:
    """Give a folder for results to the process that writes them, and nothing to the others."""
    if planned.device.ranks.is_first:
        return outcomes.new_results(training.maps, training.split, metric, name)
    return nullcontext()


def describe(
    group: str,
    table: pd.DataFrame,
    caps_of: Mapping[str, Path],
    images: Sequence[Path] = (),
    accepted: str | None = None,
) -> str:
    """Return the lines that say what results are about.

    Parameters
    ----------
    group
        Name of the data group.
    table
        Its samples.
    caps_of
        Cohort -> CAPS.
    images
        Files that are in no CAPS.
    accepted
        Why a refusal of the guard was overridden.
    """
    places = {cohort: str(path) for cohort, path in caps_of.items()}
    source = (
        f"images: {[str(path) for path in images]}" if images else f"CAPS directories: {places}"
    )
    date = datetime.now().astimezone().strftime("%d %b %Y, %H:%M:%S")
    n_participants = table[sessions.PARTICIPANT].nunique()
    n_sessions = len(set(sessions.sessions_of(table)))
    reason = "" if accepted is None else f"Accepted leakage: {accepted}\n"
    return (
        f"Prediction {group} group - {date}\n"
        f"Data loaded from {source}\n"
        f"Number of participants: {n_participants}\n"
        f"Number of sessions: {n_sessions}\n{reason}"
    )
