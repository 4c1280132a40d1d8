"""What validation makes of the probabilities of a model, judged on groups it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.task import Classification
from clinicadl.layouts.maps import names, outcomes
from clinicadl.layouts.maps.record import Record
from clinicadl.report.results import Metric, Result, classes, finite, model_name, positive_node
from clinicadl.statistics import calibration, decisions
from clinicadl.statistics.intervals import proportion
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE, PREDICTED_LABEL, TRUE_LABEL
from clinicadl.tasks.judging import judge
from clinicadl.tasks.metrics_table import limits

LEVEL = 0.9
"""How often a set of classes is to hold the truth."""
_FEWEST_IN_BIN = 10
"""Images in a bin of the curve, below which its share says nothing."""


class Sets(NamedTuple):
    """How often sets of classes hold the truth; one image of each participant."""

    coverage: float
    low: float
    high: float
    """Of its exact 95 % interval."""
    mean_size: float
    n_one: int
    """Participants whose set is one class."""
    n: int


class Decision(NamedTuple):
    """What was tuned on the validation of a model, and what it does on a data group."""

    split: int
    chosen_by: str
    group: str
    temperature: float
    calibration: Mapping[str, tuple[float, float]]
    """Brier score and calibration error, as they are and with the temperature."""
    curves: tuple[pd.DataFrame, ...]
    """Reliability, as it is and with the temperature."""
    threshold: float | None
    """Of the positive class; None where there are more classes than two."""
    at_threshold: tuple[Metric, ...]
    sets: Sets | None
    """None where validation has too few participants to exclude any class."""

    @property
    def model(self) -> str:
        """What the model is called."""
        return model_name(self.split, self.chosen_by)


def decided(maps: Path, record: Record, tested: Iterable[Result]) -> Iterator[Decision]:
    """Yield what was tuned on validation, for each result on a group that a model has not seen.

    Nothing where the task has no classes, or validation lacks one of them.

    Parameters
    ----------
    maps
        The MAPS.
    record
        Its record.
    tested
        The results; their labels are known.
    """
    named = classes(record)
    if not isinstance(record.config.task, Classification):
        return
    for one in tested:
        if one.split is None:
            continue  # an ensemble has no validation: each participant is in that of one split
        known = outcomes.read_predictions(maps, one.split, one.chosen_by, names.VALIDATION, IMAGE)
        if set(known[TRUE_LABEL]) == set(named):
            yield _decision(record, one.split, one, known, named)


def _decision(
    record: Record, split: int, one: Result, known: pd.DataFrame, named: Mapping[int, str]
) -> Decision:
    said = one.predictions
    degree = decisions.temperature(_probabilities(known, named), _nodes(known))
    as_is, nodes = _probabilities(said, named), _nodes(said)
    cooled = decisions.with_temperature(as_is, degree)
    n_bins = min(calibration.N_BINS, max(2, len(nodes) // _FEWEST_IN_BIN))
    before, after = (
        calibration.of_sums(calibration.addends(some, nodes).sum(0)) for some in (as_is, cooled)
    )
    threshold: float | None = None
    metrics: tuple[Metric, ...] = ()
    if len(named) == 2:
        positive = positive_node(one, named)
        column = f"proba{positive}"
        is_positive = known[TRUE_LABEL].to_numpy() == positive
        threshold = decisions.threshold(known[column].to_numpy(), is_positive)
        is_said = said[column].to_numpy() >= threshold
        moved = said.assign(**{PREDICTED_LABEL: np.where(is_said, positive, 1 - positive)})
        metrics = tuple(_metrics(record, moved, len(named), one.positive))
    return Decision(
        split=split,
        chosen_by=one.chosen_by,
        group=one.group,
        temperature=degree,
        calibration={name: (float(before[name]), float(after[name])) for name in before},
        curves=tuple(calibration.reliability(p, nodes, n_bins) for p in (as_is, cooled)),
        threshold=threshold,
        at_threshold=metrics,
        sets=_sets(known, said, named),
    )


def _metrics(record: Record, said: pd.DataFrame, n_classes: int, about: str) -> Iterator[Metric]:
    sums, statistics, shares = judge(record.config.task, n_classes)
    counts, seed = sums(said), record.config.reproducibility.seed
    intervals = limits(counts, statistics, seed=seed, shares=shares(counts))
    for name, value in statistics(counts.sum(0)).items():
        found = intervals.get(name)
        low, high = (None, None) if found is None else (finite(found.low), finite(found.high))
        yield Metric(name, finite(float(value)), low, high, about)


def _sets(known: pd.DataFrame, said: pd.DataFrame, named: Mapping[int, str]) -> Sets | None:
    """Return what sets of classes are worth, of the first session of each participant."""
    calibrated, judged = sessions.baseline(known), sessions.baseline(said)
    if len(calibrated) < decisions.fewest(LEVEL):
        return None
    found = decisions.conformal_sets(
        _probabilities(judged, named), level=LEVEL,
        calibration=_probabilities(calibrated, named), nodes=_nodes(calibrated),
    )  # fmt: skip
    n, sizes = len(judged), found.sum(1)
    n_right = int(found[np.arange(n), _nodes(judged)].sum())
    low, high = proportion(n_right, n)
    return Sets(n_right / n, low, high, float(sizes.mean()), int((sizes == 1).sum()), n)


def _probabilities(table: pd.DataFrame, named: Mapping[int, str]) -> NDArray[np.float64]:
    return table[[f"proba{node}" for node in named]].to_numpy(dtype=np.float64)


def _nodes(table: pd.DataFrame) -> NDArray[np.int64]:
    return table[TRUE_LABEL].to_numpy(dtype=np.int64)
