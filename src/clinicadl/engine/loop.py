"""One epoch after another."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from math import nan
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from clinicadl.data import order
from clinicadl.engine import averages, select, shards, state
from clinicadl.engine.evaluate import Networks, Said, Watcher, evaluate, joined, predictions
from clinicadl.engine.events import BatchDone, Evaluated, Event, Row
from clinicadl.engine.profile import loading, phase
from clinicadl.engine.state import Learner, TrainState
from clinicadl.engine.training import Training
from clinicadl.engine.updates import Place, add_gradients, change_weights
from clinicadl.layouts.maps import names
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded

CHECKPOINT_SHARE = 0.01
"""Of the time of training, what may go into checkpoints."""


Learners = Mapping[int | None, Learner]
"""Number of a network -> what of it changes; the number is None where there is one."""
States = Mapping[int | None, TrainState]
Best = dict[str, tuple[dict[str, Tensor], dict[str, Any]]]
"""Metric -> best weights since the last checkpoint, and facts about them."""


def fit(training: Training, learners: Learners, start: States) -> Generator[Event, None, States]:
    """Train one split from where it stands, yield what happens and return where it then stands.

    Several networks learn from one pass over the images, each as if it were alone.

    Whenever the process is killed, what is on disk is a state from which the same bits follow:
    checkpoints, and the best models before them, are written as often as `CHECKPOINT_SHARE` allows.
    A best model may be newer than the checkpoint: it is found again. The checkpoints of several
    networks may differ by some epochs: those behind catch up alone.

    Raises
    ------
    InvalidDataError
        A loss or a gradient is not a number any more.
    """
    settings, now = training.config.optimization, dict(start)
    begun = time.perf_counter() - max(state.elapsed for state in now.values())
    next_checkpoint = 0.0
    best: dict[int | None, Best] = {number: {} for number in now}
    while due := _due(training, now):
        epoch = now[next(iter(due))].epoch
        some = {number: learners[number] for number in due}
        rows: dict[int | None, list[Row]] = {number: [] for number in due}
        last = updates_per_epoch(training)
        for done, update in train_epoch(training, some, epoch):
            with phase(training.profile, "logging"):
                yield done
            if training.profile is not None:
                training.profile.batch_done(epoch, done.batch)
            is_due = (
                settings.evaluation_steps and update and update % settings.evaluation_steps == 0
            )
            if is_due and update < last:
                for number, row in _rows(training, some, epoch, update, begun).items():
                    rows[number].append(row)
                    history = (*now[number].history, *rows[number])
                    yield Evaluated(training.split, row, (), history, number, ends_epoch=False)
        _average(training, some, epoch)
        found = _rows(training, some, epoch, last, begun)
        improved: dict[int | None, tuple[str, ...]] = {}
        for number, row in found.items():
            now[number], improved[number] = _advance(
                training, number, learners[number], now[number], (*rows[number], row)
            )
            best[number] |= _judged_best(
                training, number, learners[number], epoch, improved[number]
            )
        saving = time.perf_counter()
        is_time = training.device.ranks.as_the_first(saving >= next_checkpoint)
        still = _due(training, now)
        ended = [number for number in due if number not in still]
        for number in due if is_time or not still else ended:
            _save(training, number, learners[number], now[number], best[number])
            best[number] = {}
        if is_time:
            saved = time.perf_counter()
            next_checkpoint = saved + (saved - saving) / CHECKPOINT_SHARE
        for number, row in found.items():
            yield Evaluated(training.split, row, improved[number], now[number].history, number)
    return now


def _due(training: Training, now: States) -> list[int | None]:
    """Return the networks that learn in the next epoch: those that are furthest behind."""
    n_epochs = training.config.optimization.epochs
    unfinished = [number for number, one in now.items() if one.epoch < n_epochs and not one.stopped]
    first = min((now[number].epoch for number in unfinished), default=0)
    return [number for number in unfinished if now[number].epoch == first]


def train_epoch(
    training: Training, learners: Learners, epoch: int
) -> Iterator[tuple[BatchDone, int]]:
    """Train one epoch; yield (batch, weight updates so far where it completed one, else 0)."""
    batches = in_order(training, epoch, [*learners])
    ranks, n_networks = training.device.ranks, len(learners)
    own = [_own(training, rows, n_networks) for rows in batches]
    steps = training.config.optimization.accumulation_steps
    per_epoch = updates_per_epoch(training)
    # Of the last batch some processes may have nothing. But all of them normalize, and gather
    # divided weights, together: who has nothing looks at the first image, and learns nothing.
    looked = [mine or rows[:n_networks] for mine, rows in zip(own, batches, strict=True)]
    loaded = loading(training.profile, training.loader(looked, epoch))
    for number, batch in enumerate(loaded):
        # The last batches of an epoch may be fewer and smaller: their mean is over what they hold.
        first = number // steps * steps
        together = [row for some in batches[first : first + steps] for row in some]
        is_update = (number + 1) % steps == 0 or number + 1 == len(batches)
        losses: list[float] = []
        for i, (network, learner) in enumerate(learners.items()):
            place = Place(network, epoch, number, number // steps, per_epoch)
            of_network = together[i::n_networks]
            share = batch.share(i, n_networks)
            part = len(share.rows) / len(of_network) if own[number] else 0.0
            losses.append(add_gradients(training, learner, share, place, part))
            if is_update:
                with phase(training.profile, "step"):
                    if learner.outline is None:
                        ranks.add_gradients(learner.network.parameters())
                    change_weights(training, learner, of_network, place)
        mean = fmean(losses) if own[number] else nan
        done = BatchDone(training.split, epoch, number, mean, len(batches[number]))
        yield done, number // steps + 1 if is_update else 0
    # Whatever else counts than normalizations of batches.
    for learner in learners.values():
        for one in (learner.network, learner.average):
            if one is not None:
                ranks.even_out(one.buffers())


def _own(training: Training, rows: Sequence[int], n_networks: int) -> list[int]:
    """Return what this process takes of a batch, whose samples of an image stay together."""
    images = [rows[i : i + n_networks] for i in range(0, len(rows), n_networks)]
    return [row for image in training.device.ranks.share(images) for row in image]


def in_order(
    training: Training, epoch: int, networks: Sequence[int | None] = (None,)
) -> list[list[int]]:
    """Return the rows of each batch of an epoch, those of all processes.

    Where one network sees all parts, these come in one order of their own; where each has its
    network, images do, with all parts of an image in one batch.
    """
    is_one = None in networks
    chosen = training.rows(training.train, (None,)) if is_one else [*training.train]
    drawn = _drawn(training, chosen, epoch, one_a_part=is_one)
    batches = order.in_batches(drawn, batch_size(training))
    return batches if is_one else [training.rows(images, networks) for images in batches]


def batch_size(training: Training) -> int:
    """Return the samples that pass the network together, in all processes."""
    return training.config.optimization.batch_size * training.device.ranks.world


def _drawn(training: Training, chosen: Sequence[int], epoch: int, *, one_a_part: bool) -> list[int]:
    """Return the order of samples, or of images, in an epoch."""
    key = {"seed": training.config.reproducibility.seed, "epoch": epoch}
    sampler = training.config.data.sampler
    if sampler not in order.BY_CLASS:
        return order.shuffled(chosen, purpose=f"order/{training.split}", **key)
    per = 1 if one_a_part else len(training.part_names)
    classes = training.task.strata([training.targets[one * per] for one in chosen])
    purpose = f"{sampler} order/{training.split}"
    return order.BY_CLASS[sampler](chosen, classes, purpose=purpose, **key)


def updates_per_epoch(training: Training) -> int:
    """Return how often the weights change in an epoch."""
    steps = training.config.optimization.accumulation_steps
    return -(-n_batches(training) // steps)


def n_batches(training: Training) -> int:
    """Return the number of batches of an epoch."""
    per = len(training.part_names) if training.networks == (None,) else 1
    return -(-len(training.train) * per // batch_size(training))


def _rows(
    training: Training, learners: Learners, epoch: int, update: int, begun: float
) -> dict[int | None, Row]:
    networks = judged(training, learners, epoch)
    scores = [score(training, networks, part) for part in (training.train, training.validation)]
    elapsed = time.perf_counter() - begun
    return {
        number: Row(epoch, update, elapsed, *(found[number] for found in scores))
        for number in networks
    }


def judged(training: Training, learners: Learners, epoch: int) -> dict[int | None, nn.Module]:
    """Return what an epoch is judged by: the networks, or the averages of their weights."""
    uses_average = averages.is_judged(training.config.optimization.averaging, epoch)
    found: dict[int | None, nn.Module] = {}
    for number, learner in learners.items():
        average = learner.average if uses_average else None
        one = learner.network if average is None else average
        found[number] = _whole(training, learner, one)
    return found


def _whole(training: Training, learner: Learner, network: nn.Module) -> nn.Module:
    """Return a network, or the average of its weights, with all weights in this process."""
    if learner.outline is None:
        return network
    return training.device.put_network(shards.whole(network, learner.outline))


def _average(training: Training, learners: Learners, epoch: int) -> None:
    """Take the weights of an epoch into the means over epochs, whose normalizations count anew."""
    settings, seed = training.config.optimization.averaging, training.config.reproducibility.seed
    for number, learner in learners.items():
        mean = learner.average
        if mean is None or not averages.after_epoch(settings, mean, learner.network, epoch):
            continue
        if averages.counts(mean):
            counting = _whole(training, learner, mean)
            rows = training.rows(training.train, [number])
            batches = order.in_batches(rows, training.config.optimization.batch_size)
            images = (training.device.put(batch.images) for batch in training.loader(batches))
            with seeded(seed, training.purpose("average", number), epoch):
                averages.normalize_anew(counting, images)
            for buffer, counted in zip(mean.buffers(), counting.buffers(), strict=True):
                buffer.copy_(counted)


def score(
    training: Training, networks: Networks, images: range
) -> dict[int | None, dict[str, float]]:
    """Return the metrics of some images, each seen once, the networks in evaluation mode."""
    said = says(training, networks, images)
    return {
        number: training.task.scores(predictions({number: one}, training.table, training.part))
        for number, one in said.items()
    }


def says(
    training: Training,
    networks: Networks,
    images: range,
    *,
    watcher: Watcher | None = None,
    in_turn: bool = False,
) -> dict[int | None, Said]:
    """Return what the networks say of some images, in evaluation mode; the watcher is shown it.

    Every process looks at its share of the batches, and all get to know all. ``in_turn`` the first
    process looks at all of them, one after the other: a watcher has to see the parts of an image.
    """
    ranks, device = training.device.ranks, training.device
    rows = training.rows(images, networks)
    per = 1 if None in networks else len(networks)
    batches = order.in_batches(rows, training.config.optimization.batch_size * per)
    own = ranks.share(batches) if not in_turn else batches if ranks.is_first else []
    said = (
        evaluate(networks, training.task, training.loader(own), device, watcher=watcher)
        if own
        else {}
    )
    found = [one for one in ranks.gathered(said) if one]
    return {number: joined([one[number] for one in found]) for number in networks}


def _advance(
    training: Training,
    network: int | None,
    learner: Learner,
    now: TrainState,
    rows: tuple[Row, ...],
) -> tuple[TrainState, tuple[str, ...]]:
    """Return the state of a network after an epoch, with its best models written."""
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
    return after, improved


def _judged_best(
    training: Training,
    network: int | None,
    learner: Learner,
    epoch: int,
    improved: Sequence[str],
) -> Best:
    """Return a copy of the weights that an epoch found best, for each metric that says so."""
    everything = training.config.optimization.save_all_models
    if not improved and not everything:
        return {}
    tensors = judged(training, {network: learner}, epoch)[network].state_dict()
    if not training.device.ranks.is_first:
        return {}
    facts = {"network": training.config.network.model_dump(mode="json"), "epoch": epoch}
    if everything:
        path = names.epoch_weights(training.maps, training.split, epoch, network)
        weights.write(path, tensors, facts, durable=False)
    copied = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
    return dict.fromkeys(improved, (copied, facts))


def _save(
    training: Training, network: int | None, learner: Learner, now: TrainState, best: Best
) -> None:
    is_first = training.device.ranks.is_first
    # What the checkpoint refers to must be on the disk before it.
    for metric, (tensors, facts) in best.items():
        weights.write(names.weights(training.maps, training.split, metric, network), tensors, facts)
    places = (training.maps, training.split, network)
    former = names.former_checkpoint(*places)
    state.save(names.checkpoint(*places), learner, now, former=former, writes=is_first)
