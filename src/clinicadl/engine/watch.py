"""Those who watch a training: who they are, and what becomes of one that fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.tracking import TrackingConfig, Untracked
from clinicadl.engine.events import Event, Observer
from clinicadl.engine.observers import emissions
from clinicadl.engine.observers.tensorboard import TensorBoardLog
from clinicadl.engine.observers.tsv import TsvLog
from clinicadl.errors import MissingExtraError

logger = logging.getLogger(__name__)


class Watchers:
    """Everybody who watches: the table of metrics by epoch, and others who are let go if they fail.

    The table is a result of the training: that it cannot be written is an error of the training, as
    it is of a checkpoint. Whoever else fails is warned about once and told no more.

    Parameters
    ----------
    others
        Told of everything, in this order, behind the table.
    """

    def __init__(self, others: Sequence[Observer]) -> None:
        self._log = TsvLog()
        self._others = list(others)

    def tell(self, event: Event) -> None:
        """Tell everybody what happened.

        Raises
        ------
        OutputError
            The table cannot be written.
        """
        self._log(event)
        for observer in tuple(self._others):
            try:
                observer(event)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - may raise anything
                self._others = [one for one in self._others if one is not observer]
                logger.warning(
                    "%s cannot go on and is left out; the training goes on without it (%s: %s)",
                    _name(observer), type(error).__name__, error,
                )  # fmt: skip


def _name(observer: Observer) -> str:
    """Return how a person may know an observer: by its own name, else by that in the code."""
    for one in (observer, type(observer)):
        name = getattr(one, "name", None) or getattr(one, "__qualname__", None)
        if isinstance(name, str):
            return name
    return repr(observer)


def watchers(config: ExperimentConfig, given: Sequence[Observer]) -> Watchers:
    """Return those that an experiment names, and those that the caller gives."""
    named: list[Observer] = [TensorBoardLog()]
    if not isinstance(config.tracking.track_exp, Untracked):
        named.append(config.tracking.track_exp.build(config))
    if config.tracking.track_emissions:
        named.append(emissions.Emissions(config.tracking.emissions_country))
    return Watchers([*named, *given])


def check(config: TrackingConfig) -> None:
    """Refuse trackers whose packages are not installed.

    Raises
    ------
    MissingExtraError
        A package is not installed.
    UsageError
        There is no such country.
    """
    tracker = config.track_exp
    for package in tracker.packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, tracker.extra)
    if config.track_emissions:
        emissions.check(config.emissions_country)


def nobody(settings: Untracked, config: ExperimentConfig) -> Observer:
    """Return an observer that takes note of nothing."""

    def takes_no_note(event: Event) -> None:
        """Do nothing."""

    return takes_no_note
