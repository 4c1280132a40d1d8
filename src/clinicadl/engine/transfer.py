"""First weights from another MAPS, and all that this MAPS had seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.errors import MissingInputError, UsageError, listed
from clinicadl.guard.rules import Ancestor
from clinicadl.layouts.caps import Session
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Parent
from clinicadl.networks import weights
from clinicadl.tables import sessions


class Ancestry(NamedTuple):
    """Where first weights come from."""

    parents: tuple[Parent, ...]
    """The source and its own parents."""
    ancestors: tuple[Ancestor, ...]
    """What each of them was fitted on, for the guard."""
    source: Path | None
    """The MAPS whose weights are taken."""


def ancestry(config: ExperimentConfig, splits: Sequence[int]) -> Ancestry:
    """Return the ancestors of an experiment, after checking that their weights can be taken.

    Raises
    ------
    MissingInputError
        There is no such MAPS, or it has no best model for one of the splits.
    UsageError
        Its networks are others than those to be trained.
    """
    source = config.transfer.transfer_path
    if source is None:
        return Ancestry((), (), None)
    maps = folder.open_maps(source)
    if maps.record.config.network != config.network:
        raise UsageError(
            "Weights can be taken from an identical network alone", where=source,
            found=f"{maps.record.config.network} there, {config.network} here",
            fix="Give the same --architecture and its parameters",
        )  # fmt: skip
    metric = config.transfer.transfer_selection_metric
    for split in config.validation.chosen():
        if not names.weights(source, split, metric).is_file():
            raise MissingInputError(
                f"The source has no best model by {metric} for split {split}", where=source,
                found=_existing(source), fix="Choose another --transfer_selection_metric",
            )  # fmt: skip
    own = Parent(
        path=str(source.resolve()),
        selection_metric=metric,
        train={split: _train_participants(maps, split) for split in splits},
    )
    parents = (own, *maps.record.parents)
    seen = sessions.sessions_of(folder.read_seen(source))
    return Ancestry(parents, _for_guard(parents, seen), source)


def load(config: ExperimentConfig, split: int, network: nn.Module) -> None:
    """Put the source's weights of the same split into a network.

    Raises
    ------
    UsageError
        The shapes differ, as they do for another number of classes.
    """
    source, metric = config.transfer.transfer_path, config.transfer.transfer_selection_metric
    if source is None:
        return
    try:
        network.load_state_dict(weights.read(names.weights(source, split, metric)).state)
    except RuntimeError as error:
        raise UsageError(
            "The source's weights do not fit this network", where=source,
            found=str(error).splitlines()[-1].strip(),
            fix="Number of classes and shape of the images must be the same",
        ) from error  # fmt: skip


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
