"""One update of the weights: gradients of its batches, rate, step, average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from clinicadl.data.batches import Batch
from clinicadl.engine import averages, shards, state
from clinicadl.engine.profile import phase
from clinicadl.engine.rates import rate
from clinicadl.engine.select import Selection, Stopping
from clinicadl.engine.state import Learner, TrainState
from clinicadl.engine.together import looking_on
from clinicadl.engine.training import Training
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts.maps import names
from clinicadl.networks.recompute import recomputed
from clinicadl.networks.streams import seeded
from clinicadl.networks.transfer import train_mode
from clinicadl.tables import sessions

_LEAST_SCALE = 2.0**-10
"""Of losses in half precision: what overflows even when it is scaled like this is no number."""


class Place(NamedTuple):
    """Where a batch stands."""

    network: int | None
    epoch: int
    batch: int
    update: int
    """Updates of this epoch before the one that the batch is part of."""
    per_epoch: int
    """Updates of an epoch."""

    @property
    def updates(self) -> int:
        """Updates before this one, over all epochs."""
        return self.epoch * self.per_epoch + self.update


def add_gradients(
    training: Training, learner: Learner, batch: Batch, place: Place, part: float
) -> float:
    """Add to the gradients what a batch has of the mean over an update's samples.

    Parameters
    ----------
    training
        The split.
    learner
        The network that learns, in training mode afterwards.
    batch
        Samples.
    place
        Where they stand.
    part
        Share of its samples among those of all batches that make this update together: their
        gradients are those of one big batch, but for rounding and, where several batches follow
        each other, for normalizations of batches. Where it is 0, no normalization counts them.

    Returns
    -------
    The mean loss of the batch.

    Raises
    ------
    InvalidDataError
        The loss is not a number any more.
    """
    seed = training.config.reproducibility.seed
    train_mode(learner.network)
    with phase(training.profile, "transfer"):
        images = training.device.put(batch.images)
        targets = batch.targets.to(training.device.torch_device)
    # Processes that train together drop other features, each of its own samples.
    rank = training.device.ranks.rank
    purpose = training.purpose("network", place.network) + (f"/{rank}" if rank else "")
    draws = seeded(seed, purpose, place.epoch, place.batch)
    recomputes = training.config.compute.activation_checkpointing
    blocks = recomputed(learner.network) if recomputes else nullcontext()
    # Also in the backward pass, which may compute blocks again.
    with nullcontext() if part else looking_on(learner.network):
        with phase(training.profile, "forward"), draws, blocks, training.device.autocast():
            outputs = learner.network(images)
            loss: Tensor = training.task.training_losses(outputs, images, targets).mean()
            value = loss.item()
        if not math.isfinite(value):
            _stop(training, learner, batch.rows, place, f"The loss is {value}")
        with phase(training.profile, "backward"):
            share = loss * part
            if learner.scaler is not None:
                share = learner.scaler.scale(share)
            share.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return value


def change_weights(training: Training, learner: Learner, rows: Sequence[int], place: Place) -> None:
    """Change the weights by the gradients that were added up, and the average with them.

    Parameters
    ----------
    training
        The split.
    learner
        The network that learns.
    rows
        Samples that the gradients come from, by their place in the table.
    place
        That of the last one.

    Raises
    ------
    InvalidDataError
        The gradient is not a number any more.
    """
    settings, optimizer, scaler = training.config.optimization, learner.optimizer, learner.scaler
    now = rate(settings, place.updates, per_epoch=place.per_epoch)
    for group in optimizer.param_groups if now is not None else ():
        group["lr"] = now
    if scaler is not None:
        scaler.unscale_(optimizer)
    weights = [weight for weight in learner.network.parameters() if weight.grad is not None]
    norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    is_number = bool(torch.isfinite(shards.full(norm)))
    if not is_number and (scaler is None or scaler.get_scale() < _LEAST_SCALE):
        _stop(training, learner, rows, place, "The gradient is no finite number")
    if settings.gradient_clipping is not None and is_number:
        clip_grads_with_norm_(weights, settings.gradient_clipping, norm)
    if scaler is None:
        optimizer.step()
    else:
        # A step whose gradients overflowed is left out, and the next ones are scaled less.
        scaler.step(optimizer)
        scaler.update()
    optimizer.zero_grad()
    if learner.average is not None and is_number:
        averages.after_update(settings.averaging, learner.average, learner.network, place.updates)


def _stop(
    training: Training, learner: Learner, rows: Sequence[int], place: Place, what: str
) -> NoReturn:
    """Keep the network as it is, and name the samples.

    Weights and optimizer are those before the update; the checkpoint is left alone.

    Raises
    ------
    InvalidDataError
        Always.
    """
    path = names.diverged(training.maps, training.split, place.network)
    # No process holds all the weights where they are divided, and others may not be here.
    is_kept = learner.outline is None
    if is_kept:
        state.save(path, learner, TrainState(place.epoch, False, Selection({}), Stopping()))
    samples = training.table.iloc[list(rows)]
    ids = samples[[sessions.PARTICIPANT, sessions.SESSION, training.part]].astype(str)
    who = "" if place.network is None else f", network {place.network}"
    raise InvalidDataError(
        f"{what}: the training cannot go on",
        where=f"split {training.split}{who}, epoch {place.epoch}, batch {place.batch}",
        found=f"samples {listed((' | '.join(key) for key in ids.to_numpy()), most=len(rows))}",
        fix="Look at these samples, or lower --learning_rate; the last checkpoint is kept"
        + (f", and the network before them: {path.relative_to(training.maps)}" if is_kept else ""),
    )
