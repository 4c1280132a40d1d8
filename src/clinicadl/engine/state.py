"""All that a split needs to go on where it stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from clinicadl.engine import shards
from clinicadl.engine.events import Row
from clinicadl.engine.select import Selection, Stopping
from clinicadl.errors import (
    CannotResumeError,
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    listed,
)
from clinicadl.layouts.files import writing
from clinicadl.networks import weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainState:
    """Where a split stands, besides its tensors.

    No state of a random generator is part of it: every draw is keyed by seed, purpose and epoch.
    """

    epoch: int
    """Epochs that are complete."""
    stopped: bool
    """Whether early stopping ended the training."""
    selection: Selection
    stopping: Stopping
    history: tuple[Row, ...] = ()

    @property
    def elapsed(self) -> float:
        """Seconds of training until the last row."""
        return self.history[-1].time if self.history else 0.0


@dataclass(frozen=True)
class Learner:
    """What changes while a network learns."""

    network: nn.Module
    optimizer: Optimizer
    scheduler: ReduceLROnPlateau | None
    average: nn.Module | None = None
    """Of the weights, where one is judged in their place."""
    scaler: GradScaler | None = None
    """Of losses in half precision."""
    outline: nn.Module | None = None
    """The network without weights, where several processes share them."""


def save(
    path: Path,
    learner: Learner,
    state: TrainState,
    *,
    former: Path | None = None,
    writes: bool = True,
) -> None:
    """Write a checkpoint, whole: one file with the tensors and, as JSON, everything else.

    It is the same however many processes share the weights.

    Parameters
    ----------
    path
        The file to be.
    learner
        The learner.
    state
        Where it stands.
    former
        Where the one that was there is kept.
    writes
        Whether this process does: all that share the weights have to take part.
    """
    tensors = {f"network/{name}": value for name, value in learner.network.state_dict().items()}
    if learner.average is not None:
        of_average = learner.average.state_dict()
        tensors |= {f"average/{name}": value for name, value in of_average.items()}
    of_optimizer = learner.optimizer.state_dict()
    scalars: dict[str, dict[str, Any]] = {}
    for number, values in of_optimizer["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{number}/{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    facts = {
        "state": asdict(state),
        "optimizer": {"groups": of_optimizer["param_groups"], "scalars": scalars},
        "scheduler": learner.scheduler.state_dict() if learner.scheduler else None,
        "scaler": learner.scaler.state_dict() if learner.scaler else None,
    }
    tensors = shards.gathered(tensors, keeps=writes)
    if writes:
        weights.write(path, tensors, facts, former=former)


def restore(path: Path, learner: Learner, *, former: Path) -> TrainState | None:
    """Put the newest sound checkpoint into the learner and return where it stands.

    Returns
    -------
    None where there is no checkpoint yet.

    Raises
    ------
    CannotResumeError
        All that are there are damaged.
    """
    # A process that was killed between two renames left the former one alone: it is as good.
    there = [one for one in (path, former) if one.exists()]
    damage: ClinicaDLError | None = None
    for one in there:
        try:
            state = load(one, learner)
        except (InvalidDataError, MissingInputError) as error:
            damage = error
            continue
        if damage is not None:
            logger.warning("%s The one before it is used, of epoch %d", damage, state.epoch - 1)
            # The next one must not put the damaged one in its place.
            with writing(path):
                one.replace(path)
        return state
    if damage is None:
        return None
    raise CannotResumeError(
        "The training cannot go on: its checkpoints are damaged", where=listed(there),
        found=damage.what,
        fix="Remove them to train this split from its beginning; other splits are not concerned",
    ) from damage  # fmt: skip


def load(path: Path, learner: Learner) -> TrainState:
    """Put a checkpoint into the learner and return where it stands.

    Raises
    ------
    InvalidDataError
        The checkpoint is damaged.
    """
    tensors, facts = weights.read(path)
    _load(learner.network, _below(tensors, "network/"))
    learning = [weight for group in learner.optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, value in _below(tensors, "optimizer/").items():
        number, _, field = name.partition("/")
        kept = shards.divided_like(value, learning[int(number)])
        state.setdefault(int(number), {})[field] = kept
    for number, values in facts["optimizer"]["scalars"].items():
        state.setdefault(int(number), {}).update(values)
    learner.optimizer.load_state_dict(
        {"state": state, "param_groups": _groups(facts["optimizer"]["groups"], learner.optimizer)}
    )
    if learner.scheduler is not None:
        learner.scheduler.load_state_dict(facts["scheduler"])
    if learner.average is not None:
        _load(learner.average, _below(tensors, "average/"))
    if learner.scaler is not None:
        learner.scaler.load_state_dict(facts["scaler"])
    return _state(facts["state"])


def _load(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    network.load_state_dict(
        {
            name: shards.divided_like(value, own[name]) if name in own else value
            for name, value in tensors.items()
        }
    )


def _groups(saved: list[dict[str, Any]], optimizer: Optimizer) -> list[dict[str, Any]]:
    # JSON has no tuples: each value takes back the type of the one that it replaces.
    current = optimizer.state_dict()["param_groups"]
    return [
        {
            name: tuple(value) if isinstance(now.get(name), tuple) else value
            for name, value in group.items()
        }
        for group, now in zip(saved, current, strict=True)
    ]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _state(facts: Mapping[str, Any]) -> TrainState:
    return TrainState(
        epoch=facts["epoch"],
        stopped=facts["stopped"],
        selection=Selection(**facts["selection"]),
        stopping=Stopping(**facts["stopping"]),
        history=tuple(Row(**row) for row in facts["history"]),
    )
