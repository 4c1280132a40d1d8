"""How a trial goes: what it is worth after each epoch, and whether it falls behind others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd

from clinicadl.config.search import SearchConfig
from clinicadl.engine.events import BatchDone, Evaluated, Event, Row, SplitEnded, SplitStarted
from clinicadl.layouts.maps import folder
from clinicadl.search.journal import optuna_module
from clinicadl.search.sampled import study_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Values = Sequence[float]
"""Validation metric at the end of each epoch."""


def best(values: Values, *, higher_is_better: bool) -> float:
    """Return the best value that is a number, or nan.

    Examples
    --------
    >>> best([0.5, float("nan"), 0.7], higher_is_better=True)
    0.7
    """
    known = [value for value in values if not isnan(value)]
    if not known:
        return nan
    return max(known) if higher_is_better else min(known)


def worth(curves: pd.DataFrame, metric: str, *, higher_is_better: bool) -> dict[int, float]:
    """Return the best value of a metric on validation in each split; of several networks, the mean.

    Parameters
    ----------
    curves
        As `clinicadl.layouts.search.curves` returns them.
    metric
        The metric.
    higher_is_better
        Whether its best value is the highest.
    """
    found: dict[int, list[float]] = {}
    if len(curves):
        for key, rows in curves.groupby(["split", "network"], sort=True):
            values = rows[f"{metric}_valid"].tolist()
            split = int(str(key[0]))
            found.setdefault(split, []).append(best(values, higher_is_better=higher_is_better))
    return {split: fmean(values) for split, values in found.items()}


class Course:
    """Judges a training: it is told every event, and says when the training ends.

    An epoch counts once all networks that learn in it are through, which the first batch of the
    next one tells; so what is judged is the same after an interruption.

    Parameters
    ----------
    metric
        The metric.
    higher_is_better
        Whether its best value is the highest.
    splits
        Those that are trained, in their order.
    n_epochs
        Most epochs of one.
    falls_behind
        Told the epochs so far, over all splits, and the worth of the trial; says whether it ends.
    """

    def __init__(
        self,
        metric: str,
        *,
        higher_is_better: bool,
        splits: Sequence[int],
        n_epochs: int,
        falls_behind: Callable[[int, float], bool],
    ) -> None:
        self._metric, self._higher = metric, higher_is_better
        self._splits, self._n_epochs = splits, n_epochs
        self._falls_behind = falls_behind
        self._values: dict[int, dict[str, Values]] = {}
        self._told: dict[int, int] = {}
        self._is_over = False

    def recall(self, maps: Path, curves: pd.DataFrame) -> None:
        """Take note of the splits that were trained to their end before, by their logs."""
        for split in self._splits:
            rows = curves[curves["split"] == split]
            if len(rows) and not folder.is_unfinished(maps, split):
                networks = rows.groupby("network")[f"{self._metric}_valid"]
                self._values[split] = {str(name): values.tolist() for name, values in networks}
                self._is_over |= self._tell(split, self._n_epochs)

    def __call__(self, event: Event) -> bool:
        """Return whether the training ends with an event."""
        if self._is_over:
            return True
        if isinstance(event, SplitStarted):
            self._values[event.split] = {
                str(network): self._of(history) for network, history in event.histories.items()
            }
        elif isinstance(event, Evaluated):
            self._values[event.split][str(event.network)] = self._of(event.history)
        elif isinstance(event, BatchDone):
            return self._tell(event.split, event.epoch)
        elif isinstance(event, SplitEnded):
            is_behind = self._tell(event.split, self._n_epochs)
            return is_behind and event.split != self._splits[-1]
        return False

    def _of(self, history: Sequence[Row]) -> Values:
        by_epoch = {row.epoch: row.validation[self._metric] for row in history}
        return [*by_epoch.values()]

    def _tell(self, split: int, n_epochs: int) -> bool:
        """Tell the epochs of a split that are through and not told yet."""
        values = self._values[split]
        through = min(n_epochs, max(len(one) for one in values.values()))
        for epoch in range(self._told.get(split, 0), through):
            self._told[split] = epoch + 1
            before = [self._worth(one, None) for one in self._values if one != split]
            now = fmean([*before, self._worth(split, epoch + 1)])
            step = self._splits.index(split) * self._n_epochs + epoch + 1
            if self._falls_behind(step, now):
                return True
        return False

    def _worth(self, split: int, n_epochs: int | None) -> float:
        networks = self._values[split].values()
        return fmean(best(one[:n_epochs], higher_is_better=self._higher) for one in networks)


class Hyperband:
    """Says whether a trial falls behind those of earlier rounds, by Optuna's Hyperband.

    Parameters
    ----------
    config
        The search.
    number
        Of the trial.
    earlier
        All trials of earlier rounds, in the order of their numbers.
    higher_is_better
        Whether the best trial has the highest value.
    most_epochs
        Epochs of the longest trial that there may be, over all splits.
    """

    def __init__(
        self,
        config: SearchConfig,
        number: int,
        earlier: Sequence[FrozenTrial],
        *,
        higher_is_better: bool,
        most_epochs: int,
    ) -> None:
        optuna = optuna_module()
        pruner = optuna.pruners.HyperbandPruner(
            min_resource=config.min_epochs,
            max_resource=max(most_epochs, config.min_epochs),
            reduction_factor=config.reduction_factor,
        )
        # What the others of the round do is not looked at: they keep their numbers, and no more.
        unknown = [
            optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
            for _ in range(len(earlier), number)
        ]
        self._study = study_of(
            config, [*earlier, *unknown], higher_is_better=higher_is_better,
            sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner,
        )  # fmt: skip
        self._trial = self._study.ask()

    def __call__(self, step: int, value: float) -> bool:
        """Return whether the trial ends after so many epochs."""
        self._trial.report(value, step)
        return bool(self._trial.should_prune())

    @property
    def marks(self) -> Mapping[str, Any]:
        """What later trials are compared with."""
        return dict(self._study.trials[-1].system_attrs)
