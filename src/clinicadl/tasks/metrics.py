"""Metrics of each task, as functions of what is summed over the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import fsum, inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinicadl.tasks import similarity
from clinicadl.tasks.similarity import Pair

Confusion = NDArray[Any]
"""How often class i (axis -2) was taken for class j (axis -1), shape (..., classes, classes)."""
Moments = NDArray[np.float64]
"""What `moments` gave, summed over samples, shape (..., 5)."""
Values = NDArray[np.float64]
"""One value a confusion, or a sum of moments, shape (...)."""
Share = tuple[Any, Any]
"""How many samples, and of how many, each shape (...)."""

_ROUNDING = 1e-10
"""Share of a sum of squares below which a difference of two is rounding."""


class Metric(NamedTuple):
    """One row of `CLASSIFICATION` or `REGRESSION`."""

    function: Callable[[NDArray[Any]], Values]
    """Of confusions of two classes, the positive one first, shape (..., 2, 2); or of `Moments`."""
    higher_is_better: bool
    low: float
    high: float
    of_each_class: bool = True
    """With more classes: whether it is computed of each against the others, or of all at once."""
    share: Callable[[NDArray[Any]], Share] | None = None
    """How many samples of how many, where the metric is such a share."""


class ImageMetric(NamedTuple):
    """One row of `RECONSTRUCTION`."""

    function: Callable[[Pair], float]
    """Of an image and what was given back of it; a set has the mean over its images."""
    higher_is_better: bool
    low: float
    high: float


def _right(confusion: Confusion) -> Share:
    return np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1))


def _positives_found(confusion: Confusion) -> Share:
    return confusion[..., 0, 0], confusion[..., 0, :].sum(-1)


def _negatives_found(confusion: Confusion) -> Share:
    return confusion[..., 1, 1], confusion[..., 1, :].sum(-1)


def _positives_right(confusion: Confusion) -> Share:
    return confusion[..., 0, 0], confusion[..., :, 0].sum(-1)


def _negatives_right(confusion: Confusion) -> Share:
    return confusion[..., 1, 1], confusion[..., :, 1].sum(-1)


def accuracy(confusion: Confusion) -> Values:
    """Return the share of right predictions, of any number of classes."""
    return _ratio(*_right(confusion))


def sensitivity(confusion: Confusion) -> Values:
    """Return the share of positives that are found."""
    return _ratio(*_positives_found(confusion))


def specificity(confusion: Confusion) -> Values:
    """Return the share of negatives that are found."""
    return _ratio(*_negatives_found(confusion))


def ppv(confusion: Confusion) -> Values:
    """Return the share of positive predictions that are right."""
    return _ratio(*_positives_right(confusion))


def npv(confusion: Confusion) -> Values:
    """Return the share of negative predictions that are right."""
    return _ratio(*_negatives_right(confusion))


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


def moments(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> Moments:
    """Return what each sample adds to the sums that the metrics of a regression are functions of.

    Parameters
    ----------
    true, predicted
        Numbers of the samples, shape (n,).

    Returns
    -------
    Shape (n, 5): 1, the absolute and the squared error, then the truth and its square, counted
    from the mean truth, so that large numbers that differ little keep their digits.
    """
    error, truth = predicted - true, true - fsum(true) / len(true)
    return np.stack([np.ones_like(true), abs(error), error**2, truth, truth**2], axis=-1)


def r2_score(sums: Moments) -> Values:
    """Return the share of the variance of the truth that is explained; 0 where there is none."""
    n, _, squared_errors, truth, squares = np.moveaxis(sums, -1, 0)
    variation = squares - truth**2 / n
    # Of a resample whose truths are all the same, rounding leaves a rest.
    is_none = variation <= _ROUNDING * squares
    return np.where(is_none, 0.0, 1 - _ratio(squared_errors, np.where(is_none, 0, variation)))


def mae(sums: Moments) -> Values:
    """Return the mean absolute error."""
    return _ratio(sums[..., 1], sums[..., 0])


def mse(sums: Moments) -> Values:
    """Return the mean squared error."""
    return _ratio(sums[..., 2], sums[..., 0])


def rmse(sums: Moments) -> Values:
    """Return the root of the mean squared error."""
    return np.sqrt(mse(sums))


CLASSIFICATION: dict[str, Metric] = {
    "BA": Metric(balanced_accuracy, True, 0, 1),
    "accuracy": Metric(accuracy, True, 0, 1, of_each_class=False, share=_right),
    "F1_score": Metric(f1_score, True, 0, 1),
    "sensitivity": Metric(sensitivity, True, 0, 1, share=_positives_found),
    "specificity": Metric(specificity, True, 0, 1, share=_negatives_found),
    "PPV": Metric(ppv, True, 0, 1, share=_positives_right),
    "NPV": Metric(npv, True, 0, 1, share=_negatives_right),
    "MCC": Metric(mcc, True, -1, 1),
    "MK": Metric(markedness, True, -1, 1),
    "LR_plus": Metric(lr_plus, True, 0, inf),
    "LR_minus": Metric(lr_minus, False, 0, inf),
}

REGRESSION: dict[str, Metric] = {
    "R2_score": Metric(r2_score, True, -inf, 1),
    "MAE": Metric(mae, False, 0, inf),
    "RMSE": Metric(rmse, False, 0, inf),
    "MSE": Metric(mse, False, 0, inf),
}
RECONSTRUCTION: dict[str, ImageMetric] = {
    "MAE": ImageMetric(similarity.mae, False, 0, inf),
    "RMSE": ImageMetric(similarity.rmse, False, 0, inf),
    "PSNR": ImageMetric(similarity.psnr, True, -inf, similarity.MOST_PSNR),
    "SSIM": ImageMetric(similarity.ssim, True, -1, 1),
    "MSE": ImageMetric(similarity.mse, False, 0, inf),
}
"""In the order of the logs and tables, as the two tables above."""


def by_class(
    confusion: Confusion, metrics: Mapping[str, Metric] = CLASSIFICATION
) -> dict[str, Values]:
    """Return every metric of every class, under the names of the metrics tables.

    Parameters
    ----------
    confusion
        Shape (..., classes, classes).
    metrics
        Name -> row.

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
    for name, metric in metrics.items():
        if confusion.shape[-1] == 2 or not metric.of_each_class:
            values[name] = metric.function(confusion)
        else:
            for node in range(confusion.shape[-1]):
                values[f"{name}-{node}"] = metric.function(one_versus_rest(confusion, node))
    return values


def shares(
    confusion: Confusion, metrics: Mapping[str, Metric] = CLASSIFICATION
) -> dict[str, tuple[int, int]]:
    """Return how many samples of how many each metric counts that is such a share.

    Parameters
    ----------
    confusion
        Shape (classes, classes).
    metrics
        Name -> row.

    Examples
    --------
    >>> shares(np.array([[3, 1], [2, 4]]))["accuracy"], shares(np.eye(3))["PPV-2"]
    ((7, 10), (1, 1))
    """
    parts = (
        by_class(confusion, {name: one._replace(function=partial(_part, one.share, which))
                             for name, one in metrics.items() if one.share is not None})
        for which in (0, 1)
    )  # fmt: skip
    some, every = parts
    return {name: (int(some[name]), int(every[name])) for name in some}


def _part(share: Callable[[Confusion], Share], which: int, confusion: Confusion) -> Values:
    return np.asarray(share(confusion)[which])


def means(
    confusion: Confusion, metrics: Mapping[str, Metric] = CLASSIFICATION
) -> dict[str, Values]:
    """Return every metric once: of the first of two classes, the mean over the classes if more.

    Parameters
    ----------
    confusion
        Shape (..., classes, classes).
    metrics
        Name -> row.

    Examples
    --------
    >>> list(means(np.eye(3)))[:3]
    ['BA', 'accuracy', 'F1_score']
    """
    values = by_class(confusion, metrics)
    for name in metrics:
        if name not in values:
            nodes = range(confusion.shape[-1])
            values[name] = np.stack([values[f"{name}-{node}"] for node in nodes]).mean(0)
    return {name: values[name] for name in metrics}


def by_label(
    sums: Moments, labels: Sequence[str], metrics: Mapping[str, Metric] = REGRESSION
) -> dict[str, Values]:
    """Return every metric of every label, under the names of the metrics tables.

    Parameters
    ----------
    sums
        Shape (..., labels, 5).
    labels
        Names of the labels.
    metrics
        Name -> row.

    Returns
    -------
    With one label one value a metric; with more, one a metric and label (``MAE-age``, ...).

    Examples
    --------
    >>> list(by_label(np.ones((2, 5)), ["age", "mmse"]))[:3]
    ['R2_score-age', 'R2_score-mmse', 'MAE-age']
    """
    return {
        name if len(labels) == 1 else f"{name}-{label}": metric.function(sums[..., i, :])
        for name, metric in metrics.items()
        for i, label in enumerate(labels)
    }


def label_means(sums: Moments, metrics: Mapping[str, Metric] = REGRESSION) -> dict[str, Values]:
    """Return every metric once: the mean over the labels; ``sums`` has shape (..., labels, 5)."""
    return {name: metric.function(sums).mean(-1) for name, metric in metrics.items()}


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
