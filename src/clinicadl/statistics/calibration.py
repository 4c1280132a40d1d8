"""Whether probabilities mean what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.statistics.intervals import proportion

N_BINS = 10

BRIER, ECE = "Brier", "ECE"


def brier(probabilities: NDArray[np.float64], nodes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Brier score of each sample [1]_, shape (n,).

    Of two classes the squared error of the probability of one, between 0 and 1; of more the sum of
    those of all, between 0 and 2.

    Parameters
    ----------
    probabilities
        Shape (n, classes).
    nodes
        True class of each sample, shape (n,).

    References
    ----------
    .. [1] G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly
       Weather Review 78, 1950.
    """
    n_classes = probabilities.shape[1]
    squares = ((probabilities - np.eye(n_classes)[nodes]) ** 2).sum(1)
    return np.asarray(squares / 2 if n_classes == 2 else squares)


def bins(confidences: NDArray[np.float64], n_bins: int = N_BINS) -> NDArray[np.int64]:
    """Return the bin of each sample, of bins with as many samples each; equal ones stay together.

    Parameters
    ----------
    confidences
        Shape (n,).
    n_bins
        Number of bins; there are fewer where there are few distinct confidences.
    """
    edges = np.unique(np.quantile(confidences, np.arange(1, n_bins) / n_bins))
    return np.searchsorted(edges, confidences, side="left")


def addends(probabilities: NDArray[np.float64], nodes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what each sample adds to the sums that `of_sums` is a function of.

    Parameters
    ----------
    probabilities
        Shape (n, classes).
    nodes
        True class of each sample, shape (n,).

    Returns
    -------
    Shape (n, 2 + bins): 1, its Brier score, and in the place of its bin its confidence less
    whether it is right. The bins are those of these samples; resamples keep them.
    """
    confidences, is_right = probabilities.max(1), probabilities.argmax(1) == nodes
    gaps = np.zeros((len(nodes), N_BINS))
    gaps[np.arange(len(nodes)), bins(confidences)] = confidences - is_right
    return np.column_stack([np.ones(len(nodes)), brier(probabilities, nodes), gaps])


def of_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the mean Brier score and the expected calibration error [1]_.

    The error is the mean over samples of how far, in the bin of the sample, the mean confidence is
    from the share of right predictions.

    Parameters
    ----------
    sums
        Of `addends`, shape (..., 2 + bins).

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, Obtaining well calibrated probabilities using
       Bayesian binning, AAAI 2015; with bins of equal mass: J. Nixon et al., Measuring calibration
       in deep learning, CVPR workshops 2019.
    """
    n = sums[..., 0]
    return {BRIER: sums[..., 1] / n, ECE: abs(sums[..., 2:]).sum(-1) / n}


def reliability(
    probabilities: NDArray[np.float64], nodes: NDArray[np.int64], n_bins: int = N_BINS
) -> pd.DataFrame:
    """Return the curve of how often predictions are right, by how sure they are.

    Parameters
    ----------
    probabilities
        Shape (n, classes).
    nodes
        True class of each sample, shape (n,).
    n_bins
        Number of bins of equal mass.

    Returns
    -------
    One row a bin: ``n``, mean ``confidence``, ``share_right``, and its exact 95 % interval ``low``
    and ``high``, which takes the samples for independent.
    """
    confidences, is_right = probabilities.max(1), probabilities.argmax(1) == nodes
    which = bins(confidences, n_bins)
    rows = []
    for one in np.unique(which):
        n, n_right = int((which == one).sum()), int(is_right[which == one].sum())
        low, high = proportion(n_right, n)
        rows.append((n, confidences[which == one].mean(), n_right / n, low, high))
    return pd.DataFrame(rows, columns=["n", "confidence", "share_right", "low", "high"])
