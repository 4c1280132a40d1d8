"""Workers that make the trials of a search, one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.jobs import HERE
from clinicadl.engine import resume, train
from clinicadl.engine.devices import threads
from clinicadl.engine.events import Stopped
from clinicadl.errors import (
    CannotResumeError,
    InvalidDataError,
    MissingExtraError,
    UsageError,
    listed,
)
from clinicadl.layouts import files, search
from clinicadl.layouts.maps import names, pruned
from clinicadl.layouts.search import FINISHED, Definition, Trial
from clinicadl.search import plan, sampled, space
from clinicadl.search.course import Course, Hyperband, worth
from clinicadl.search.journal import Journal, Outcome, finished
from clinicadl.search.laws import Raw
from clinicadl.search.plan import SearchPlan
from clinicadl.search.space import Item

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

_PAUSE_S = 0.2

Watch = Callable[[], None]
"""Called whenever there is something new to show."""


class Search(NamedTuple):
    """A search on disk."""

    folder: Path
    definition: Definition
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial that was trained to its end and is best, the first among equals."""
        return best_of(self.trials, higher_is_better=self.definition.higher_is_better)


class Opened(NamedTuple):
    """A search that a worker has before it."""

    folder: Path
    definition: Definition
    items: tuple[Item, ...]
    journal: Journal


def best_of(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """Return the best of the trials that were trained to their end, the first among equals."""
    complete = [one for one in trials if one.state == "complete" and one.value is not None]
    sign = -1 if higher_is_better else 1
    return min(complete, key=lambda one: (sign * (one.value or 0.0), one.number), default=None)


def begin(planned: SearchPlan) -> None:
    """Write the folder of a search that has no trial yet, whole."""
    with files.whole_folder(planned.folder) as folder:
        Journal(folder, is_new=True, higher_is_better=planned.definition.higher_is_better)
        search.trials(folder).mkdir()
        search.write_definition(folder, planned.definition)
        search.write_trials(folder, ())


def opened(folder: Path) -> Opened:
    """Return a search that is there.

    Raises
    ------
    MissingInputError
        There is none.
    InvalidDataError
        Its definition was edited.
    """
    definition = search.read_definition(folder)
    items = space.items(definition.config.experiment, where=search.definition(folder))
    return Opened(folder, definition, items, Journal(folder))


def read(folder: Path) -> Search:
    """Return a search as it stands, with what its workers wrote so far."""
    found = opened(folder)
    return Search(folder, found.definition, tuple(found.journal.trials()))


def wanted(definition: Definition) -> set[int]:
    """Return the trials that are to be made."""
    return set(definition.config.trials or range(definition.config.n_trials))


def work(folder: Path, watch: Watch = lambda: None) -> None:
    """Make trials until there are none left; other workers may do the same at the same time.

    Which trial is made by whom, and when, changes nothing: a trial follows from its number and from
    those of earlier rounds. What a worker left that was killed is gone on with.

    Raises
    ------
    CannotResumeError
        The tables changed since the search began.
    InvalidDataError
        The definition of the search was edited.
    """
    found = opened(folder)
    chosen = wanted(found.definition)
    with threads(found.definition.threads):
        for numbers in found.definition.config.rounds():
            if not chosen.isdisjoint(numbers):
                _draw(found, numbers)
                _make_all(found, numbers, sorted(chosen & set(numbers)), watch)


def _draw(found: Opened, numbers: range) -> None:
    """Enter the trials of a round, in the order of their numbers, unless somebody did.

    Those behind the last one that is to be made are not known, where others are left out.
    """
    definition = found.definition
    stop = min(numbers.stop, max(wanted(definition)) + 1)
    with files.turn(search.trials(found.folder)):
        trials = found.journal.frozen()
        for number in range(len(trials), stop):
            asked = sampled.asked(
                definition.config, number, trials[: numbers.start],
                higher_is_better=definition.higher_is_better,
            )  # fmt: skip
            point, laws = sampled.drawn(found.items, definition, asked)
            found.journal.draw(point.raw, laws, point.values)
        _write_table(found)


def _make_all(found: Opened, numbers: range, chosen: Sequence[int], watch: Watch) -> None:
    """Make those trials of a round that nobody else makes, until all have come to their end."""
    while True:
        trials = found.journal.frozen()
        left = [number for number in chosen if not trials[number].state.is_finished()]
        if not left:
            return
        if not any(_make_if_free(found, numbers, number, watch) for number in left):
            watch()
            time.sleep(_PAUSE_S)


def _make_if_free(found: Opened, numbers: range, number: int, watch: Watch) -> bool:
    """Return whether a trial was made, which needs that no other worker does."""
    path = search.trial_lock(found.folder, number)
    if files.is_held(path):
        return False
    with files.claim(path) as is_ours:
        trials = found.journal.frozen()
        # Another worker may have come to its end, and let go, right now.
        if not is_ours or finished([trials[number]]):
            return False
        found.journal.begin(number)
        outcome = _made(found, trials[number], trials[: numbers.start], watch)
        found.journal.end(number, outcome)
        with files.turn(search.trials(found.folder)):
            _write_table(found)
    watch()
    return True


def _write_table(found: Opened) -> None:
    search.write_trials(found.folder, found.journal.trials())


def _made(
    found: Opened, trial: FrozenTrial, earlier: Sequence[FrozenTrial], watch: Watch
) -> Outcome:
    """Train a trial, or go on with it, and return what became of it.

    Raises
    ------
    MissingExtraError
        A package is not installed, which no other trial can mend.
    """
    maps = search.maps(found.folder, trial.number)
    behind = _Behind(found, trial.number, earlier, watch)
    try:
        config = plan.experiment_of(found.items, found.definition, trial.params)
        course = Course(
            found.definition.config.metric,
            higher_is_better=found.definition.higher_is_better,
            splits=config.validation.chosen(),
            n_epochs=config.optimization.epochs,
            falls_behind=behind,
        )
        _train(found, config, maps, course)
    except Stopped:
        pruned.mark(
            maps, f"trial {trial.number} of a search fell behind others after {behind.step} epochs"
        )
        return _outcome(found, trial, behind, "pruned")
    except MissingExtraError:
        raise
    except (InvalidDataError, UsageError, torch.OutOfMemoryError) as error:
        return Outcome("failed", reason=str(error))
    return _outcome(found, trial, behind, "complete")


def _train(found: Opened, config: ExperimentConfig, maps: Path, course: Course) -> None:
    """Train, or go on with, the MAPS of a trial.

    Raises
    ------
    CannotResumeError
        The tables changed since the search began.
    """
    if names.record(maps).exists():
        course.recall(maps, search.curves(_on_disk(maps)))
        resume.run(resume.ready(maps), judge=course)
        return
    planned = train.ready(config, maps, jobs=HERE)
    before = found.definition.tables
    changed = [path for path, now in planned.tables.items() if before.get(path, now) != now]
    if changed:
        raise CannotResumeError(
            "A file changed since the search began", where=listed(changed),
            fix="Put it back as it was, or begin a new search",
        )  # fmt: skip
    train.run(planned, maps, judge=course)


class _Behind:
    """Tells the journal how a trial goes, and says whether it falls behind."""

    def __init__(
        self, found: Opened, number: int, earlier: Sequence[FrozenTrial], watch: Watch
    ) -> None:
        config = found.definition.config
        self._journal, self._number, self._watch = found.journal, number, watch
        self.step = 0
        self.hyperband = None
        if config.pruner == "hyperband":
            self.hyperband = Hyperband(
                config, number, earlier,
                higher_is_better=found.definition.higher_is_better,
                most_epochs=_most_epochs(found),
            )  # fmt: skip

    def __call__(self, step: int, value: float) -> bool:
        self.step = step
        self._journal.report(self._number, step, value)
        self._watch()
        return self.hyperband is not None and self.hyperband(step, value)


def _most_epochs(found: Opened) -> int:
    """Return the epochs of the longest trial of a search, over all splits."""
    first: dict[str, Raw] = {}
    config = plan.experiment_of(found.items, found.definition, first)
    searched = [one for one in found.items if one.path == ("optimization", "epochs") and one.law]
    ends = [int(one.law.value(end)) for one in searched if one.law for end in one.law.ends()]
    return len(config.validation.chosen()) * max([*ends, config.optimization.epochs])


def _outcome(found: Opened, trial: FrozenTrial, behind: _Behind, state: search.State) -> Outcome:
    definition = found.definition
    curves = search.curves(_on_disk(search.maps(found.folder, trial.number)))
    by_split = worth(curves, definition.config.metric, higher_is_better=definition.higher_is_better)
    value = sum(by_split.values()) / len(by_split)
    marks = behind.hyperband.marks if behind.hyperband is not None else {}
    n_epochs = len(curves.drop_duplicates(["split", "epoch"]))
    if value != value:
        return Outcome(
            "failed", by_split=by_split, epochs=n_epochs,
            reason=f"{definition.config.metric} was never a number", marks=marks,
        )  # fmt: skip
    reason = f"pruned after {behind.step} epochs" if state == "pruned" else ""
    return Outcome(state, value, by_split, n_epochs, reason, marks)


def _on_disk(maps: Path) -> Trial:
    return Trial(0, "running", None, {}, 0, {}, "", maps)


def is_over(found: Search) -> bool:
    """Return whether all trials that are to be made have come to their end."""
    states = {one.number: one.state for one in found.trials}
    return all(states.get(number) in FINISHED for number in wanted(found.definition))


def refuse_failed(found: Search) -> None:
    """Refuse a search all of whose trials failed.

    Raises
    ------
    InvalidDataError
        They did.
    """
    failed = [one for one in found.trials if one.state == "failed"]
    if failed and len(failed) == len(wanted(found.definition)):
        raise InvalidDataError(
            "All trials of the search failed", where=found.folder, found=failed[0].reason,
            fix="Correct what the first one met, and begin a new search",
        )  # fmt: skip
