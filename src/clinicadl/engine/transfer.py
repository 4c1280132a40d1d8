"""First weights from another MAPS, and all that this MAPS had seen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.seen import unnamed_of
from clinicadl.errors import MissingInputError, UsageError, listed
from clinicadl.guard import hidden
from clinicadl.guard.facts import Ancestor
from clinicadl.layouts.caps import Session
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Parent
from clinicadl.networks import weights
from clinicadl.networks.transfer import Match, Shapes, match
from clinicadl.tables import sessions

logger = logging.getLogger(__name__)


class Ancestry(NamedTuple):
    """Where first weights come from."""

    parents: tuple[Parent, ...]
    """The source and its own parents."""
    ancestors: tuple[Ancestor, ...]
    """What each of them was fitted on, for the guard."""
    source: Path | None
    """The MAPS whose weights are taken."""


def ancestry(config: ExperimentConfig, splits: Sequence[int], keys: Sequence[Session]) -> Ancestry:
    """Return the ancestors of an experiment.

    Parameters
    ----------
    config
        The experiment.
    splits
        Every split that its tables define.
    keys
        Who is in them, and in the test sets: of those whom a source saw and nobody knows by name,
        these alone can be told.

    Raises
    ------
    MissingInputError
        There is no such MAPS, or it has no best model for one of the splits.
    InvalidDataError
        What it says of whom it has seen is damaged.
    """
    source = config.transfer.transfer_path
    if source is None:
        return Ancestry((), (), None)
    maps = folder.open_maps(source)
    metric = _metric(config, source)
    own = Parent(
        path=str(source.resolve()),
        selection_metric=metric,
        train={split: _train_participants(maps, split) for split in splits},
        epochs={split: _epochs(source, split, metric) for split in config.validation.chosen()},
    )
    parents = (own, *maps.record.parents)
    seen = sessions.sessions_of(folder.read_seen(source))
    unnamed = [
        ancestor
        for one in unnamed_of(source)
        for ancestor in hidden.ancestors(one, one.who or own.path, keys)
    ]
    return Ancestry(parents, (*_for_guard(parents, seen), *unnamed), source)


def check(config: ExperimentConfig, network: nn.Module, n_parts: int) -> Match | None:
    """Return what is copied from the source, if there is one; refuse what does not fit.

    Parameters
    ----------
    config
        The experiment.
    network
        One of its networks, on any device: its shapes alone count.
    n_parts
        Parts of each image.

    Raises
    ------
    UsageError
        The networks do not fit, or their numbers do not.
    """
    source = config.transfer.transfer_path
    if source is None:
        return None
    metric = _metric(config, source)
    target = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found: Match | None = None
    for split in config.validation.chosen():
        numbers = _networks(source, split, metric)
        _check_numbers(config, numbers, n_parts, source)
        for number in numbers:
            stored = weights.describe(names.weights(source, split, metric, number)).shapes
            found = match(_in_order(stored, target), target, config.transfer.transfer_layers)
    if found is not None:
        _tell(found, source)
    return found


def _in_order(stored: Shapes, target: Shapes) -> Shapes:
    # A file of weights has them sorted by name; those that the target knows come in its order.
    ordered = dict.fromkeys([*(name for name in target if name in stored), *stored])
    return {name: stored[name] for name in ordered}


def _check_numbers(
    config: ExperimentConfig, numbers: Sequence[int | None], n_parts: int, source: Path
) -> None:
    """Refuse several networks where one is trained, or another number of them.

    Raises
    ------
    UsageError
        So it is.
    """
    if numbers == [None]:
        return
    if not config.multi_network:
        raise UsageError(
            "The source has a network for each part, and one is to be trained", where=source,
            fix="Add --multi_network, or take a source with one network",
        )  # fmt: skip
    if len(numbers) != n_parts:
        raise UsageError(
            "The source has another number of networks", where=source,
            found=f"{len(numbers)}, for {n_parts} parts", fix="Take a source with the same parts",
        )  # fmt: skip


def _tell(found: Match, source: Path) -> None:
    logger.info("%d tensors come from %s", len(found.source_of), source)
    if found.kept:
        logger.warning(
            "%d tensors are not transferred and begin at random: %s",
            len(found.kept), listed(found.kept),
        )  # fmt: skip
    if found.unused:
        logger.warning(
            "%d tensors of the source are not used: %s", len(found.unused), listed(found.unused)
        )


def load(
    config: ExperimentConfig, split: int, network: nn.Module, number: int | None = None
) -> None:
    """Put the source's weights of the same split into a network.

    Parameters
    ----------
    config
        The experiment.
    split
        Number of the split.
    network
        Changed in place.
    number
        Of its part; it takes the source's network of this part, or the source's only network.

    Raises
    ------
    UsageError
        The weights do not fit.
    """
    source = config.transfer.transfer_path
    if source is None:
        return
    metric = _metric(config, source)
    is_one = names.networks(source, split, metric) == [None]
    path = names.weights(source, split, metric, None if is_one else number)
    state, target = weights.read(path).state, network.state_dict()
    theirs, ours = (
        {name: tuple(value.shape) for name, value in some.items()} for some in (state, target)
    )
    found = match(_in_order(theirs, ours), ours, config.transfer.transfer_layers)
    with torch.no_grad():
        for name, source_name in found.source_of.items():
            target[name].copy_(state[source_name])


def _metric(config: ExperimentConfig, source: Path) -> str:
    """Return the selection metric of the source: the one that was named, or its only one."""
    named = config.transfer.transfer_selection_metric
    splits = names.split_numbers(source)
    there = {metric for split in splits for metric in names.selection_metrics(source, split)}
    return next(iter(there)) if named is None and len(there) == 1 else named or "loss"


def _networks(source: Path, split: int, metric: str) -> list[int | None]:
    """Return the numbers of the networks of a best model of the source.

    Raises
    ------
    MissingInputError
        It has none; what it has is said.
    """
    found = names.networks(source, split, metric)
    if not found:
        raise MissingInputError(
            f"The source has no best model by {metric} for split {split}", where=source,
            found=_existing(source), fix="Choose another --transfer_selection_metric",
        )  # fmt: skip
    return found


def _epochs(source: Path, split: int, metric: str) -> tuple[int, ...]:
    """Return the epoch of the weights of each network."""
    return tuple(
        int(weights.describe(names.weights(source, split, metric, number)).facts["epoch"])
        for number in _networks(source, split, metric)
    )


def _train_participants(maps: Maps, split: int) -> tuple[str, ...]:
    if not names.group_table(names.group(maps.path, names.TRAIN, split)).exists():
        return ()
    table = folder.read_group(maps.path, names.TRAIN, split).table
    return tuple(dict.fromkeys(table[sessions.PARTICIPANT]))


def _for_guard(parents: Sequence[Parent], seen: Sequence[Session]) -> tuple[Ancestor, ...]:
    # What the source has seen includes what its own parents had: it is said of the source alone.
    return tuple(
        Ancestor(parent.path, split, participants, seen if number == 0 else ())
        for number, parent in enumerate(parents)
        for split, participants in parent.train.items()
    )


def _existing(source: Path) -> str:
    found = [
        f"split {split}: {', '.join(names.selection_metrics(source, split)) or 'none'}"
        for split in names.split_numbers(source)
    ]
    return listed(found) if found else "no trained split"
