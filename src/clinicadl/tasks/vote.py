"""From what a network says of the parts of an image to what it says of the image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.task import Vote
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.tasks.base import IMAGE, PREDICTED_LABEL, TRUE_LABEL, part_column

logger = logging.getLogger(__name__)


def weights(
    predictions: pd.DataFrame, part: str, *, by: Vote = "balanced-accuracy", threshold: float
) -> pd.Series[float]:
    """Return how much each part has to say: how often it is right, as a share of all.

    Parameters
    ----------
    predictions
        Rows whose labels may be known to the model: of train, or of validation. Never those of the
        group that is judged: this would be biased ensemble learning [1]_.
    part
        Column that names the part.
    by
        ``balanced-accuracy``, the mean recall over the classes that there are; or ``accuracy``, the
        share of right predictions, as release 1.6 has it. By any other, all parts that reach the
        threshold have the same say.
    threshold
        Parts with a lower (balanced) accuracy have no say.

    Returns
    -------
    Index: the parts, sorted; the sum is 1. All the same, with a warning, if none has a say.

    References
    ----------
    .. [1] E. Thibeau-Sutre et al., ClinicaDL: an open-source deep learning software for
       reproducible neuroimaging processing, 2022, section 2.2.
    """
    is_right = predictions[TRUE_LABEL] == predictions[PREDICTED_LABEL]
    if by == "accuracy":
        accuracies = is_right.groupby(predictions[part]).mean().sort_index()
    else:
        recalls = is_right.groupby([predictions[part], predictions[TRUE_LABEL]]).mean()
        accuracies = recalls.groupby(level=0).mean().sort_index()
    is_weighed = by in ("balanced-accuracy", "accuracy")
    kept = (accuracies if is_weighed else accuracies * 0 + 1).where(accuracies >= threshold, 0.0)
    total = float(kept.sum())
    if total == 0:
        logger.warning("No part has an accuracy of %g or more: all have the same say", threshold)
        return pd.Series(1 / len(kept), index=kept.index)
    return kept / total


def hardened(predictions: pd.DataFrame, n_classes: int) -> pd.DataFrame:
    """Return predictions with all of the probability on the class that each part names.

    Their soft vote is the vote of the majority; of classes with as many votes the first wins.
    """
    named = predictions[PREDICTED_LABEL].to_numpy()
    columns = {f"proba{node}": (named == node).astype(np.float64) for node in range(n_classes)}
    return predictions.assign(**columns)


def soft_vote(
    predictions: pd.DataFrame, part: str, shares: pd.Series[float], *, n_classes: int
) -> pd.DataFrame:
    """Return the weighted mean of the probabilities of each image's parts, and what it says.

    Parameters
    ----------
    predictions
        One row a part: identifiers, the part, truth, ``proba0``, ``proba1``, ...
    part
        Column that names the part.
    shares
        What `weights` gave. Those of the parts that an image has are scaled to a sum of 1.
    n_classes
        Number of columns of probabilities.

    Returns
    -------
    One row an image, in the order of the first rows: identifiers, ``image_id`` 0, truth,
    conclusion (the first of classes with the same probability), probabilities.
    """
    images = _images(predictions)
    names = [f"proba{node}" for node in range(n_classes)]
    means = [_means(images, predictions, name, predictions[part].map(shares)) for name in names]
    probabilities = np.stack(means, axis=1)
    truth = predictions[TRUE_LABEL].to_numpy()[images.first]
    return images.ids.assign(
        **{
            TRUE_LABEL: truth,
            PREDICTED_LABEL: probabilities.argmax(axis=1),
            **{name: probabilities[:, node] for node, name in enumerate(names)},
        }
    )


def equal(predictions: pd.DataFrame, part: str) -> pd.Series[float]:
    """Return 1, the say of each part where all have the same; ``part`` is the column of parts."""
    return pd.Series(1.0, index=np.sort(predictions[part].unique()))


def inverse_errors(
    predictions: pd.DataFrame, part: str, true: str, predicted: str
) -> pd.Series[float]:
    """Return how much each part has to say: 1 / MAE, as a share of all.

    Parameters
    ----------
    predictions
        Rows whose labels may be known to the model: of train, or of validation, as in `weights`.
    part
        Column that names the part.
    true, predicted
        Columns of truth and prediction.

    Returns
    -------
    Index: the parts, sorted; the sum is 1. Parts without any error share all.
    """
    errors = (predictions[predicted] - predictions[true]).abs()
    means = errors.groupby(predictions[part]).mean().sort_index()
    say = (means == 0).astype(float) if (means == 0).any() else 1 / means
    return say / say.sum()


def weighted_means(
    predictions: pd.DataFrame, part: str, shares: Mapping[tuple[str, str], pd.Series[float]]
) -> pd.DataFrame:
    """Return the weighted mean of what each image's parts predict.

    Parameters
    ----------
    predictions
        One row a part: identifiers, the part, truths and predictions.
    part
        Column that names the part.
    shares
        Of each pair of columns (truth, prediction), how much each part has to say; those of the
        parts that an image has are scaled to a sum of 1.

    Returns
    -------
    One row an image, in the order of the first rows: identifiers, ``image_id`` 0, truths and
    predictions.
    """
    images = _images(predictions)
    columns = {}
    for (true, predicted), of_parts in shares.items():
        columns[true] = predictions[true].to_numpy()[images.first]
        columns[predicted] = _means(images, predictions, predicted, predictions[part].map(of_parts))
    return images.ids.assign(**columns)


class _Images(NamedTuple):
    """The images of a table of parts."""

    of_row: NDArray[np.intp]
    """Number of the image of each row."""
    first: NDArray[np.intp]
    """First row of each image."""
    ids: pd.DataFrame
    """Identifiers and ``image_id`` of each image."""


def _images(predictions: pd.DataFrame) -> _Images:
    keys = pd.MultiIndex.from_frame(predictions[[PARTICIPANT, SESSION]])
    of_row, _ = pd.factorize(keys, sort=False)
    counts = np.bincount(of_row)
    if counts.min() != counts.max():
        logger.warning("Some images lack parts: the others speak for them")
    first = np.unique(of_row, return_index=True)[1]
    ids = predictions.iloc[first][[PARTICIPANT, SESSION]].reset_index(drop=True)
    return _Images(of_row, first, ids.assign(**{part_column(IMAGE): 0}))


def _means(
    images: _Images, predictions: pd.DataFrame, column: str, shares: pd.Series[float]
) -> NDArray[np.float64]:
    """Return the weighted mean of a column over the rows of each image."""
    say = shares.fillna(0.0).to_numpy(dtype=np.float64)
    total = np.bincount(images.of_row, weights=say)
    # Where only parts without a say are left, each has the same.
    silent = total == 0
    say = np.where(silent[images.of_row], 1.0, say)
    total = np.where(silent, np.bincount(images.of_row), total)
    summed = np.bincount(images.of_row, weights=say * predictions[column].to_numpy())
    return np.asarray(summed / total, dtype=np.float64)
