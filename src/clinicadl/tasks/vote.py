"""From what a network says of the parts of an image to what it says of the image."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from clinicadl.config.task import Vote
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.tasks.base import IMAGE, NO_LABEL, PREDICTED_LABEL, TRUE_LABEL, part_column

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
    names = [f"proba{node}" for node in range(n_classes)]
    say = predictions[part].map(shares).fillna(0.0).to_numpy(dtype=np.float64)
    image, keys = pd.factorize(
        pd.MultiIndex.from_frame(predictions[[PARTICIPANT, SESSION]]), sort=False
    )
    counts = np.bincount(image)
    if counts.min() != counts.max():
        logger.warning("Some images lack parts: the others speak for them")
    total = np.bincount(image, weights=say)
    # Where only parts without a say are left, each has the same.
    silent = total == 0
    say = np.where(silent[image], 1.0, say)
    total = np.where(silent, counts, total)
    probabilities = np.stack(
        [np.bincount(image, weights=say * predictions[name].to_numpy()) / total for name in names],
        axis=1,
    )
    first = np.unique(image, return_index=True)[1]
    truth = predictions[TRUE_LABEL].to_numpy()[first]
    return pd.DataFrame(
        {
            PARTICIPANT: keys.get_level_values(0),
            SESSION: keys.get_level_values(1),
            part_column(IMAGE): 0,
            TRUE_LABEL: truth if len(truth) else np.array([NO_LABEL]),
            PREDICTED_LABEL: probabilities.argmax(axis=1),
            **{name: probabilities[:, node] for node, name in enumerate(names)},
        }
    )
