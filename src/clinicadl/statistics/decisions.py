"""What is made of probabilities, tuned on validation and never on the group that is judged."""

from __future__ import annotations

import logging
from itertools import count
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

logger = logging.getLogger(__name__)

_SMALLEST = 1e-300
"""Stands for a probability of zero, whose logarithm is no number."""
_WIDEST = 7.0
"""Natural logarithm of the highest temperature that is tried."""


def temperature(probabilities: NDArray[np.float64], nodes: NDArray[np.int64]) -> float:
    """Return the temperature that makes the probabilities of validation as likely as can be [1]_.

    Parameters
    ----------
    probabilities
        What the model says of validation, shape (n, classes).
    nodes
        True class of each sample, shape (n,).

    Returns
    -------
    Above 1 where the model is too sure of itself; within 1/1097 and 1097.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks,
       ICML 2017.
    """
    logits = np.log(np.maximum(probabilities, _SMALLEST))

    def loss(log_temperature: float) -> float:
        logs = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-logs[np.arange(len(nodes)), nodes].mean())

    found = optimize.minimize_scalar(
        loss, bounds=(-_WIDEST, _WIDEST), method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))


def with_temperature(probabilities: NDArray[np.float64], degree: float) -> NDArray[np.float64]:
    """Return probabilities whose logits are divided by a temperature, shape (n, classes).

    The conclusions stay as they are.
    """
    logits = np.log(np.maximum(probabilities, _SMALLEST))
    return np.asarray(special.softmax(logits / degree, axis=1))


def threshold(scores: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> float:
    """Return the threshold with the best balanced accuracy on validation.

    A sample is positive if its score is at least the threshold.

    Parameters
    ----------
    scores
        Probability of the positive class, shape (n,).
    is_positive
        Truth, shape (n,); there are positives and negatives.

    Returns
    -------
    Half-way between two scores; of several that are as good the one nearest to 0.5.
    """
    values = np.unique(scores)
    candidates = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [1.0]])
    positives, negatives = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    found = 1 - np.searchsorted(positives, candidates) / len(positives)
    spared = np.searchsorted(negatives, candidates) / len(negatives)
    quality = (found + spared) / 2
    best = candidates[quality >= quality.max() - 1e-12]
    return float(best[np.argmin(abs(best - 0.5))])


def fewest(level: float) -> int:
    """Return how many samples a calibration needs so that any class can be excluded.

    Examples
    --------
    >>> fewest(0.9), fewest(0.95)
    (9, 19)
    """
    return next(m for m in count(1) if ceil((m + 1) * level) <= m)


def conformal_sets(
    probabilities: NDArray[np.float64],
    *,
    calibration: NDArray[np.float64],
    nodes: NDArray[np.int64],
    level: float = 0.9,
) -> NDArray[np.bool_]:
    """Return which classes cannot be excluded, by split conformal prediction [1]_.

    The set of a new sample holds its true class with a probability of at least ``level``, provided
    that it is exchangeable with those of the calibration: independent of the model, and one of each
    participant. **Validation chose the epoch of the model**, so that with validation as calibration
    the sets hold the truth somewhat less often than they say; a data group of their own is better.

    Parameters
    ----------
    probabilities
        Of new samples, shape (n, classes).
    calibration
        Probabilities of the samples of the calibration, shape (m, classes).
    nodes
        Their true classes, shape (m,).
    level
        How often the truth is to be in the set.

    Returns
    -------
    Shape (n, classes). With a warning all classes, where the calibration is too small to exclude
    any.

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, A gentle introduction to conformal prediction and
       distribution-free uncertainty quantification, 2021.
    """
    m = len(nodes)
    rank = ceil((m + 1) * level)
    if rank > m:
        logger.warning("%d samples of calibration are too few for sets at %g", m, level)
        return np.ones(probabilities.shape, dtype=bool)
    misfit = np.sort(1 - calibration[np.arange(m), nodes])
    return np.asarray(1 - probabilities <= misfit[rank - 1])
