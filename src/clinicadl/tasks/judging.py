"""What the rows of a table of predictions add to the sums that metrics are functions of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.task import Classification, Reconstruction, Regression, TaskSettings
from clinicadl.errors import UsageError
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.statistics.intervals import Shares, Statistics
from clinicadl.tasks import metrics_table as table
from clinicadl.tasks.base import NO_LABEL, PREDICTED_LABEL, TRUE_LABEL
from clinicadl.tasks.metrics import (
    CLASSIFICATION,
    RECONSTRUCTION,
    REGRESSION,
    Metric,
    by_class,
    by_label,
    moments,
    shares,
)


def no_shares(_: NDArray[Any]) -> Shares:
    """Return nothing: of this task no metric counts samples."""
    return {}


class Judge(NamedTuple):
    """How a set of predictions of a task becomes metrics."""

    sums: Callable[[pd.DataFrame], NDArray[Any]]
    """Predictions -> what each participant adds, in the order of their identifiers."""
    statistics: Statistics
    """Sums -> each metric, under the names of the metrics tables."""
    shares: Callable[[NDArray[Any]], Shares] = no_shares
    """What each participant adds -> how many of how many independent samples a metric counts."""


def judge(settings: TaskSettings, n_classes: int) -> Judge:
    """Return how predictions of a task are judged, without any network and without torch.

    Parameters
    ----------
    settings
        The task of an experiment; metrics that it adds load what they need.
    n_classes
        Number of nodes, of account in classification alone.

    Raises
    ------
    UsageError
        A task that others declare: nothing is known of what its metrics are functions of.
    """
    if isinstance(settings, Classification):
        metrics = _with_added(CLASSIFICATION, settings)
        return Judge(
            partial(confusions, n_classes=n_classes),
            partial(by_class, metrics=metrics),
            partial(independent_shares, metrics=metrics),
        )
    if isinstance(settings, Regression):
        columns, metrics = columns_of(settings.labels), _with_added(REGRESSION, settings)
        statistics = partial(by_label, labels=settings.labels, metrics=metrics)
        return Judge(partial(sums_of_moments, columns=columns), statistics)
    if isinstance(settings, Reconstruction):
        names = tuple(_with_added(RECONSTRUCTION, settings))
        return Judge(partial(sums_of_values, names=names), partial(mean_values, names=names))
    raise UsageError(
        "The metrics of this task are not known as functions of sums over participants",
        found=settings.kind, fix="Known are classification, regression and reconstruction",
    )  # fmt: skip


def _with_added(rows: Mapping[str, Any], settings: TaskSettings) -> Mapping[str, Any]:
    if not settings.extra_metrics:
        return rows
    from clinicadl.tasks.added_metrics import with_added

    return with_added(rows, settings.kind, settings.extra_metrics)


def confusions(predictions: pd.DataFrame, n_classes: int) -> NDArray[np.int64]:
    """Return the confusion of each participant, in the order of their identifiers.

    Parameters
    ----------
    predictions
        Columns ``participant_id``, ``true_label`` and ``predicted_label``.
    n_classes
        Number of nodes.

    Returns
    -------
    Shape (participants, classes, classes).

    Raises
    ------
    InvalidDataError
        A sample has no label.
    """
    true = predictions[TRUE_LABEL].to_numpy(dtype=np.int64)
    predicted = predictions[PREDICTED_LABEL].to_numpy(dtype=np.int64)
    table.refuse_unlabelled(predictions, true == NO_LABEL)
    owner, participants = pd.factorize(predictions[PARTICIPANT], sort=True)
    shape = (len(participants), n_classes, n_classes)
    cells = np.ravel_multi_index((owner, true, predicted), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def independent_shares(counts: NDArray[np.int64], metrics: Mapping[str, Metric]) -> Shares:
    """Return the metrics that count samples; none where a participant has several of these.

    Parameters
    ----------
    counts
        Confusion of each participant, shape (participants, classes, classes).
    metrics
        Name -> row.
    """
    if (counts.sum((1, 2)) != 1).any():
        return {}
    return shares(counts.sum(0), metrics)


def columns_of(labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the names of truth and prediction of each label of a regression in the tables.

    Examples
    --------
    >>> columns_of(["age"]), columns_of(["age", "mmse"])[1]
    ((('true_label', 'predicted_label'),), ('true_mmse', 'predicted_mmse'))
    """
    if len(labels) == 1:
        return ((TRUE_LABEL, PREDICTED_LABEL),)
    return tuple((f"true_{label}", f"predicted_{label}") for label in labels)


def sums_of_moments(
    predictions: pd.DataFrame, columns: Sequence[tuple[str, str]]
) -> NDArray[np.float64]:
    """Return the sums of the moments of each participant, shape (participants, labels, 5).

    Parameters
    ----------
    predictions
        ``participant_id``, truth and prediction of each label.
    columns
        What `columns_of` gave.

    Raises
    ------
    InvalidDataError
        A sample has no label.
    """
    true, predicted = (
        predictions[[pair[i] for pair in columns]].to_numpy(dtype=np.float64) for i in (0, 1)
    )
    table.refuse_unlabelled(predictions, np.isnan(true).any(axis=1))
    found = [moments(true[:, i], predicted[:, i]) for i in range(len(columns))]
    return table.by_participant(predictions, np.stack(found, axis=1))


def sums_of_values(predictions: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the number of rows and the sums of some columns of each participant."""
    values = predictions[[*names]].to_numpy(dtype=np.float64)
    return table.by_participant(predictions, np.insert(values, 0, 1.0, axis=1))


def mean_values(sums: NDArray[np.float64], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each column, from `sums_of_values`, shape (..., 1 + columns)."""
    return {name: sums[..., 1 + i] / sums[..., 0] for i, name in enumerate(names)}
