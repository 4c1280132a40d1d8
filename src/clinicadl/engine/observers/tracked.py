"""What trackers are told: one run for each network of a split, a row for each epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clinicadl.config.base import Section
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.events import (
    Evaluated,
    Event,
    Row,
    SplitEnded,
    SplitInterrupted,
    SplitStarted,
    log_columns,
)
from clinicadl.layouts.files import read_json, write_json
from clinicadl.layouts.maps import names

_PER_MB = 10**6
_ID = "run"


@dataclass(frozen=True)
class RunOf:
    """Whose run it is."""

    maps: Path
    split: int
    network: int | None

    @property
    def name(self) -> str:
        """The name of the run."""
        return f"split-{self.split}" + ("" if self.network is None else f"_network-{self.network}")


class Run(Protocol):
    """A run that is open in a tracker."""

    identity: str
    """By which the tracker finds it again."""

    def known(self) -> Collection[int]:
        """Return the epochs that it has."""
        ...

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the metrics of an epoch."""
        ...

    def keep(self, path: Path, folder: str) -> None:
        """Copy a file into a folder of the run."""
        ...

    def end(self, *, is_complete: bool) -> None:
        """Close it: the split is trained, or was interrupted."""
        ...


Open = Callable[[RunOf, str | None], Run]
"""Opens a new run, or that of the identity where there is one."""


class Tracked:
    """Tells a tracker of each epoch, once, also after a resume; at the end it gives the results.

    Parameters
    ----------
    tracker
        Name of the tracker, for the file that remembers the run.
    opens
        Opens a run.
    config
        The experiment.
    """

    def __init__(self, tracker: str, opens: Open, config: ExperimentConfig) -> None:
        self.name = f"The tracker {tracker}"
        self._tracker, self._opens = tracker, opens
        self._largest = config.tracking.track_weights * _PER_MB
        self._runs: dict[int | None, Run] = {}
        self._known: dict[int | None, frozenset[int]] = {}
        self._maps = Path()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._maps = event.maps
            for network, history in event.histories.items():
                self._begin(RunOf(event.maps, event.split, network), history, event)
        elif isinstance(event, Evaluated) and event.ends_epoch:
            self._log(event.network, event.row)
        elif isinstance(event, SplitEnded):
            for network, run in self._runs.items():
                for path, folder in results(self._maps, event.split, network, self._largest):
                    run.keep(path, folder)
            self._end(is_complete=True)
        elif isinstance(event, SplitInterrupted):
            self._end(is_complete=False)

    def _begin(self, of: RunOf, history: tuple[Row, ...], event: SplitStarted) -> None:
        path = names.tracked_run(of.maps, of.split, self._tracker, of.network)
        before = str(read_json(path, "run of the tracker")[_ID]) if path.exists() else None
        run = self._opens(of, before)
        self._runs[of.network] = run
        if run.identity != before:
            write_json(path, {_ID: run.identity})
        self._known[of.network] = frozenset(run.known())
        for row in history:
            if row.iteration == event.updates_per_epoch:
                self._log(of.network, row)

    def _log(self, network: int | None, row: Row) -> None:
        # An epoch behind the last checkpoint is trained again after an interruption, to the same
        # bits: the run has it already.
        if row.epoch not in self._known[network]:
            self._runs[network].log(row.epoch, _values(row))

    def _end(self, *, is_complete: bool) -> None:
        runs, self._runs = self._runs, {}
        for run in runs.values():
            run.end(is_complete=is_complete)


def _values(row: Row) -> dict[str, float]:
    """Return the metrics of an epoch by the names that they have in ``training.tsv``."""
    columns = log_columns(row)
    return {name: float(columns[name]) for name in columns if name not in ("epoch", "iteration")}


def facts(config: ExperimentConfig) -> dict[str, Any]:
    """Return what a tracker is told of the settings: of paths only their last name.

    Examples
    --------
    >>> data = {"caps_directory": "study/caps", "preprocessing_json": "x", "tsv_directory": "t"}
    >>> facts(ExperimentConfig.model_validate({"data": data}))["data.caps_directory"]
    'caps'
    """
    return dict(_facts(config.model_copy(update={"tracking": None}), ""))


def _facts(section: Section, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in section:
        if isinstance(value, Section):
            yield from _facts(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", _told(value)


def _told(value: Any) -> Any:
    if isinstance(value, Section):
        return _told(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): _told(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_absolute()):
        return Path(value).name
    return value if isinstance(value, str | bool | int | float) else str(value)


def as_text(fact: Any) -> str:
    """Return a fact as text, for trackers that know nothing else."""
    return fact if isinstance(fact, str) else json.dumps(fact)


def results(
    maps: Path, split: int, network: int | None, largest: int
) -> Iterator[tuple[Path, str]]:
    """Yield the files of a trained split that a tracker gets, each with its folder there.

    They are tables of metrics, which name no participant, and weights of up to ``largest`` bytes.
    """
    yield names.training_log(maps, split, network), ""
    for metric in names.selection_metrics(maps, split):
        folder = names.best(maps, split, metric).name
        for group in names.OWN_GROUPS:
            for path in names.metrics_tables(names.results(maps, split, metric, group)):
                yield path, f"{folder}/{group}"
        weights = names.weights(maps, split, metric, network)
        if weights.stat().st_size <= largest:
            yield weights, folder
