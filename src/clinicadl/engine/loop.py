"""One epoch after another."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from torch import Tensor

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.data import order
from clinicadl.data.batches import Batch, Loader
from clinicadl.engine import select, state
from clinicadl.engine.devices import Device
from clinicadl.engine.evaluate import evaluate, predictions
from clinicadl.engine.events import BatchDone, Evaluated, Event, Row
from clinicadl.engine.state import Learner, TrainState
from clinicadl.errors import InvalidDataError
from clinicadl.guard.check import Verdict
from clinicadl.layouts.files import flush
from clinicadl.layouts.maps import names
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded
from clinicadl.tasks.base import Task, part_column

CHECKPOINT_SHARE = 0.01
"""Of the time of training, what may go into checkpoints."""


@dataclass(frozen=True)
class Training:
    """Everything that training one split takes and that does not change while it learns."""

    maps: Path
    split: int
    config: ExperimentConfig
    task: Task
    device: Device
    loader: Loader
    verdict: Verdict
    """What the guard said before the training."""
    mode: str
    table: pd.DataFrame
    """All samples of train, then all of validation."""
    targets: Sequence[int | float]
    """What the network should say of each."""
    train: Sequence[int]
    """Rows that the network is fitted on."""
    validation: Sequence[int]
    """Rows that choose its best epoch."""

    @property
    def part(self) -> str:
        """Column of the table that names the part of the image."""
        return part_column(self.mode)


def fit(
    training: Training, learner: Learner, now: TrainState
) -> Generator[Event, None, TrainState]:
    """Train one split from where it stands, yield what happens and return where it then stands.

    Whenever the process is killed, what is on disk is a state from which the same bits follow:
    the best models are written after each epoch that improves them, and checkpoints as often as
    `CHECKPOINT_SHARE` allows. A best model may be newer than the checkpoint: it is found again.

    Raises
    ------
    InvalidDataError
        The loss is not a number any more.
    """
    settings = training.config.optimization
    start = time.perf_counter() - now.elapsed
    next_checkpoint = 0.0
    while now.epoch < settings.epochs and not now.stopped:
        rows: list[Row] = []
        last = updates_per_epoch(training)
        for batch, update in _epoch(training, learner, now.epoch):
            yield BatchDone(training.split, now.epoch, batch)
            is_due = (
                settings.evaluation_steps and update and update % settings.evaluation_steps == 0
            )
            if is_due and update < last:
                rows.append(_row(training, learner, now.epoch, update, start))
                yield Evaluated(training.split, rows[-1], (), (*now.history, *rows))
        row = _row(training, learner, now.epoch, last, start)
        now, improved = _advance(training, learner, now, (*rows, row))
        saving = time.perf_counter()
        if saving >= next_checkpoint or now.stopped or now.epoch == settings.epochs:
            _save(training, learner, now)
            saved = time.perf_counter()
            next_checkpoint = saved + (saved - saving) / CHECKPOINT_SHARE
        yield Evaluated(training.split, row, improved, now.history)
    return now


def _epoch(training: Training, learner: Learner, epoch: int) -> Iterator[tuple[int, int]]:
    """Train one epoch; yield (batch, weight updates so far where it completed one, else 0)."""
    batches = in_order(training, epoch)
    steps = training.config.optimization.accumulation_steps
    for number, batch in enumerate(training.loader(batches, epoch)):
        # The last group of an epoch may be smaller: its mean is over what it holds.
        in_group = min(steps, len(batches) - number // steps * steps)
        learner.network.train()
        _backward(training, learner, batch, epoch, number, in_group)
        is_update = (number + 1) % steps == 0 or number + 1 == len(batches)
        if is_update:
            learner.optimizer.step()
            learner.optimizer.zero_grad()
        yield number, number // steps + 1 if is_update else 0


def _backward(
    training: Training, learner: Learner, batch: Batch, epoch: int, number: int, in_group: int
) -> None:
    seed = training.config.reproducibility.seed
    images = training.device.put(batch.images)
    targets = batch.targets.to(training.device.torch_device)
    with seeded(seed, f"network/{training.split}", epoch, number):
        loss: Tensor = training.task.losses(learner.network(images).float(), targets).mean()
    if not math.isfinite(loss.item()):
        raise InvalidDataError(
            "The loss is not a number any more",
            where=f"split {training.split}, epoch {epoch}, batch {number}",
            found=loss.item(),
            fix="Lower --learning_rate; the last checkpoint is kept",
        )
    # Each backward pass adds to the gradients: dividing makes the update follow their mean.
    (loss / in_group).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def in_order(training: Training, epoch: int) -> list[list[int]]:
    """Return the rows of each batch of an epoch."""
    config = training.config
    key = {"seed": config.reproducibility.seed, "epoch": epoch}
    sampler = config.data.sampler
    if sampler in order.BY_CLASS:
        classes = [int(training.targets[i]) for i in training.train]
        drawn = order.BY_CLASS[sampler](
            training.train, classes, purpose=f"{sampler} order/{training.split}", **key
        )
    else:
        drawn = order.shuffled(training.train, purpose=f"order/{training.split}", **key)
    return order.in_batches(drawn, config.optimization.batch_size)


def updates_per_epoch(training: Training) -> int:
    """Return how often the weights change in an epoch."""
    settings = training.config.optimization
    n_batches = -(-len(training.train) // settings.batch_size)
    return -(-n_batches // settings.accumulation_steps)


def _row(training: Training, learner: Learner, epoch: int, update: int, start: float) -> Row:
    scores = [score(training, learner, rows) for rows in (training.train, training.validation)]
    return Row(epoch, update, time.perf_counter() - start, *scores)


def score(training: Training, learner: Learner, rows: Sequence[int]) -> dict[str, float]:
    """Return the metrics of some samples, each seen once, the network in evaluation mode."""
    batches = training.loader(order.in_batches(rows, training.config.optimization.batch_size))
    said = evaluate(learner.network, training.task, batches, training.device)
    return training.task.scores(predictions(training.task, said, training.table, training.part))


def _advance(
    training: Training, learner: Learner, now: TrainState, rows: tuple[Row, ...]
) -> tuple[TrainState, tuple[str, ...]]:
    """Return the state after an epoch, with its best models written."""
    settings = training.config.optimization
    scores = rows[-1].validation
    selection, improved = select.update(now.selection, scores)
    stopping = select.after_epoch(now.stopping, scores["loss"], tolerance=settings.tolerance)
    if learner.scheduler is not None:
        learner.scheduler.step(scores["loss"])
    after = replace(
        now,
        epoch=now.epoch + 1,
        stopped=select.should_stop(stopping, scores["loss"], patience=settings.patience),
        selection=selection,
        stopping=stopping,
        history=(*now.history, *rows),
    )
    facts = {"network": training.config.network.model_dump(), "epoch": now.epoch}
    targets = [names.weights(training.maps, training.split, metric) for metric in improved]
    if settings.save_all_models:
        targets.append(names.epoch_weights(training.maps, training.split, now.epoch))
    tensors = learner.network.state_dict()
    for path in targets:
        weights.write(path, tensors, facts, durable=False)
    return after, improved


def _save(training: Training, learner: Learner, now: TrainState) -> None:
    # What the checkpoint refers to must be on the disk before it.
    for metric in now.selection.best:
        flush(names.weights(training.maps, training.split, metric))
    state.save(names.checkpoint(training.maps, training.split), learner, now)
