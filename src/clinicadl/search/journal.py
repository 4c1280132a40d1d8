"""What workers tell each other of the trials of a search; only user of Optuna's storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clinicadl.errors import MissingExtraError
from clinicadl.layouts import search
from clinicadl.layouts.search import State, Trial
from clinicadl.search.laws import Law, Raw

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_NAME = "search"
_SETTINGS, _BY_SPLIT, _EPOCHS, _REASON = "settings", "by_split", "epochs", "reason"


def optuna_module() -> Any:
    """Return Optuna, which says warnings only from then on.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtraError("optuna", "search") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Outcome(NamedTuple):
    """What became of a trial."""

    state: State
    value: float | None = None
    by_split: Mapping[int, float] = {}
    epochs: int = 0
    reason: str = ""
    marks: Mapping[str, Any] = {}
    """What the pruner notes of it, for later trials."""


class Journal:
    """The journal of a search: whoever opens it sees what all workers wrote so far.

    Parameters
    ----------
    folder
        Of the search.
    is_new
        Whether it is begun.
    higher_is_better
        Whether the best trial has the highest value; of a new journal.
    """

    def __init__(
        self, folder: Path, *, is_new: bool = False, higher_is_better: bool = False
    ) -> None:
        optuna = optuna_module()
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        # Its lock is a symbolic link, which also disks of the network make one at a time.
        self._storage = JournalStorage(JournalFileBackend(str(search.journal(folder))))
        self._states = optuna.trial.TrialState
        self._folder = folder
        if is_new:
            direction = optuna.study.StudyDirection
            ways = [direction.MAXIMIZE if higher_is_better else direction.MINIMIZE]
            self._storage.create_new_study(ways, _NAME)
        self._study = self._storage.get_study_id_from_name(_NAME)

    def frozen(self) -> list[FrozenTrial]:
        """Return the trials that are drawn so far, in the order of their numbers."""
        return self._storage.get_all_trials(self._study, deepcopy=False)

    def draw(
        self, raw: Mapping[str, Raw], laws: Mapping[str, Law], settings: Mapping[str, Any]
    ) -> None:
        """Enter the next trial, which nobody makes yet.

        Parameters
        ----------
        raw
            What was drawn of each setting.
        laws
            How each was drawn.
        settings
            What it means.
        """
        trial = optuna_module().trial.create_trial(
            state=self._states.WAITING,
            params=dict(raw),
            distributions={name: laws[name].optuna() for name in raw},
            user_attrs={_SETTINGS: dict(settings)},
        )
        self._storage.create_new_trial(self._study, trial)

    def begin(self, number: int) -> None:
        """Enter that somebody makes a trial, for the first time or again."""
        if self.frozen()[number].state == self._states.WAITING:
            self._storage.set_trial_state_values(self._id(number), self._states.RUNNING)

    def report(self, number: int, step: int, value: float) -> None:
        """Enter what a trial that is made is worth so far."""
        self._storage.set_trial_intermediate_value(self._id(number), step, value)

    def end(self, number: int, outcome: Outcome) -> None:
        """Enter what became of a trial; the state comes last."""
        trial = self._id(number)
        facts = {
            _BY_SPLIT: {str(split): value for split, value in outcome.by_split.items()},
            _EPOCHS: outcome.epochs,
            _REASON: outcome.reason,
        }
        for name, fact in facts.items():
            self._storage.set_trial_user_attr(trial, name, fact)
        for name, mark in outcome.marks.items():
            self._storage.set_trial_system_attr(trial, name, mark)
        states = {
            "complete": self._states.COMPLETE,
            "pruned": self._states.PRUNED,
            "failed": self._states.FAIL,
        }
        values = None if outcome.value is None else [outcome.value]
        self._storage.set_trial_state_values(trial, states[outcome.state], values)

    def trials(self) -> list[Trial]:
        """Return what is known of each trial."""
        return [self._trial(one) for one in self.frozen()]

    def _trial(self, one: FrozenTrial) -> Trial:
        states: dict[Any, State] = {
            self._states.WAITING: "waiting",
            self._states.RUNNING: "running",
            self._states.COMPLETE: "complete",
            self._states.PRUNED: "pruned",
            self._states.FAIL: "failed",
        }
        facts, steps = one.user_attrs, one.intermediate_values
        running = steps[max(steps)] if steps and not one.state.is_finished() else None
        return Trial(
            number=one.number,
            state=states[one.state],
            value=one.values[0] if one.values else running,
            by_split={int(split): value for split, value in facts.get(_BY_SPLIT, {}).items()},
            epochs=facts.get(_EPOCHS, len(steps)),
            settings=facts[_SETTINGS],
            reason=facts.get(_REASON, ""),
            maps=search.maps(self._folder, one.number),
        )

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study, number)


def finished(trials: Sequence[FrozenTrial]) -> bool:
    """Return whether all of some trials have come to an end."""
    return all(one.state.is_finished() for one in trials)
