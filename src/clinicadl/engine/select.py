"""Which epoch is the best, and when to stop: pure decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Selection:
    """The best value of each selection metric so far."""

    higher_is_better: Mapping[str, bool]
    best: Mapping[str, float] = field(default_factory=dict)


def update(selection: Selection, scores: Mapping[str, float]) -> tuple[Selection, tuple[str, ...]]:
    """Return the selection after an epoch, and the metrics that are strictly better than ever.

    A value that is not a number is never better.
    """
    best = dict(selection.best)
    improved = []
    for name, higher in selection.higher_is_better.items():
        value, old = scores[name], best.get(name)
        if math.isnan(value):
            continue
        if old is None or (value > old if higher else value < old):
            best[name] = value
            improved.append(name)
    return Selection(selection.higher_is_better, best), tuple(improved)


@dataclass(frozen=True)
class Stopping:
    """The validation loss that counts as the best, and the epochs since."""

    best: float | None = None
    n_bad: int = 0


def after_epoch(stopping: Stopping, loss: float, *, tolerance: float) -> Stopping:
    """Return the state after an epoch.

    A loss is better when it is below best - abs(best) * tolerance; the first one is the best.
    """
    if stopping.best is None or loss < stopping.best - abs(stopping.best) * tolerance:
        return Stopping(best=loss)
    return Stopping(stopping.best, stopping.n_bad + 1)


def should_stop(stopping: Stopping, loss: float, *, patience: int) -> bool:
    """Return whether training ends early; a patience of 0 never ends it."""
    return patience > 0 and (stopping.n_bad >= patience or math.isnan(loss))
