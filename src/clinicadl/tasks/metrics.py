"""Metrics of a classification, as functions of how often each class was taken for each."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Confusion = NDArray[Any]
"""How often class i (axis -2) was taken for class j (axis -1), shape (..., classes, classes)."""
Values = NDArray[np.float64]
"""One value a confusion, shape (...)."""


class Metric(NamedTuple):
    """One row of `METRICS`."""

    function: Callable[[Confusion], Values]
    """Of confusions of two classes, the positive one first, shape (..., 2, 2)."""
    higher_is_better: bool
    low: float
    high: float
    of_each_class: bool = True
    """With more classes: whether it is computed of each against the others, or of all at once."""


def accuracy(confusion: Confusion) -> Values:
    """Return the share of right predictions, of any number of classes."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1)))


def sensitivity(confusion: Confusion) -> Values:
    """Return the share of positives that are found."""
    return _ratio(confusion[..., 0, 0], confusion[..., 0, :].sum(-1))


def specificity(confusion: Confusion) -> Values:
    """Return the share of negatives that are found."""
    return _ratio(confusion[..., 1, 1], confusion[..., 1, :].sum(-1))


def ppv(confusion: Confusion) -> Values:
    """Return the share of positive predictions that are right."""
    return _ratio(confusion[..., 0, 0], confusion[..., :, 0].sum(-1))


def npv(confusion: Confusion) -> Values:
    """Return the share of negative predictions that are right."""
    return _ratio(confusion[..., 1, 1], confusion[..., :, 1].sum(-1))


def balanced_accuracy(confusion: Confusion) -> Values:
    """Return the mean of sensitivity and specificity."""
    return (sensitivity(confusion) + specificity(confusion)) / 2


def f1_score(confusion: Confusion) -> Values:
    """Return the harmonic mean of PPV and sensitivity."""
    precision, recall = ppv(confusion), sensitivity(confusion)
    return _ratio(2 * precision * recall, precision + recall)


def mcc(confusion: Confusion) -> Values:
    """Return Matthews' correlation between truth and prediction."""
    counts = np.asarray(confusion, dtype=np.float64)
    right = counts[..., 0, 0] * counts[..., 1, 1]
    wrong = counts[..., 0, 1] * counts[..., 1, 0]
    margins = counts.sum(-1).prod(-1) * counts.sum(-2).prod(-1)
    return _ratio(right - wrong, np.sqrt(margins))


def markedness(confusion: Confusion) -> Values:
    """Return PPV + NPV - 1."""
    return ppv(confusion) + npv(confusion) - 1


def lr_plus(confusion: Confusion) -> Values:
    """Return sensitivity / (1 - specificity)."""
    return _ratio(sensitivity(confusion), 1 - specificity(confusion))


def lr_minus(confusion: Confusion) -> Values:
    """Return (1 - sensitivity) / specificity."""
    return _ratio(1 - sensitivity(confusion), specificity(confusion))


METRICS: dict[str, Metric] = {
    "BA": Metric(balanced_accuracy, True, 0, 1),
    "accuracy": Metric(accuracy, True, 0, 1, of_each_class=False),
    "F1_score": Metric(f1_score, True, 0, 1),
    "sensitivity": Metric(sensitivity, True, 0, 1),
    "specificity": Metric(specificity, True, 0, 1),
    "PPV": Metric(ppv, True, 0, 1),
    "NPV": Metric(npv, True, 0, 1),
    "MCC": Metric(mcc, True, -1, 1),
    "MK": Metric(markedness, True, -1, 1),
    "LR_plus": Metric(lr_plus, True, 0, inf),
    "LR_minus": Metric(lr_minus, False, 0, inf),
}
"""In the order of the logs and tables."""


def by_class(confusion: Confusion) -> dict[str, Values]:
    """Return every metric of every class, under the names of the metrics tables.

    Parameters
    ----------
    confusion
        Shape (..., classes, classes).

    Returns
    -------
    With two classes one value a metric, the first class being the positive one; with more, one
    value a metric and class (``BA-0``, ``BA-1``, ...), except for accuracy.

    Examples
    --------
    >>> list(by_class(np.eye(3)))[:5]
    ['BA-0', 'BA-1', 'BA-2', 'accuracy', 'F1_score-0']
    """
    values: dict[str, Values] = {}
    for name, metric in METRICS.items():
        if confusion.shape[-1] == 2 or not metric.of_each_class:
            values[name] = metric.function(confusion)
        else:
            for node in range(confusion.shape[-1]):
                values[f"{name}-{node}"] = metric.function(one_versus_rest(confusion, node))
    return values


def means(confusion: Confusion) -> dict[str, Values]:
    """Return every metric once: of the first of two classes, the mean over the classes if more.

    Parameters
    ----------
    confusion
        Shape (..., classes, classes).

    Examples
    --------
    >>> list(means(np.eye(3)))[:3]
    ['BA', 'accuracy', 'F1_score']
    """
    values = by_class(confusion)
    for name in METRICS:
        if name not in values:
            nodes = range(confusion.shape[-1])
            values[name] = np.stack([values[f"{name}-{node}"] for node in nodes]).mean(0)
    return {name: values[name] for name in METRICS}


def one_versus_rest(confusion: Confusion, node: int) -> Confusion:
    """Return the confusions of one class, made positive, with all others taken as one.

    Parameters
    ----------
    confusion
        Shape (..., classes, classes).
    node
        The class.

    Returns
    -------
    Shape (..., 2, 2).

    Examples
    --------
    >>> one_versus_rest(np.array([[5, 1, 0], [2, 6, 0], [1, 0, 7]]), 1)
    array([[ 6,  2],
           [ 1, 13]])
    """
    found = confusion[..., node, node]
    missed = confusion[..., node, :].sum(-1) - found
    mistaken = confusion[..., :, node].sum(-1) - found
    rest = confusion.sum((-2, -1)) - found - missed - mistaken
    rows = [np.stack(row, axis=-1) for row in ((found, missed), (mistaken, rest))]
    return np.stack(rows, axis=-2)


def _ratio(above: ArrayLike, below: ArrayLike) -> Values:
    """Return a quotient, 0 where there is nothing to divide by."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    quotient = np.zeros(below.shape)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient
