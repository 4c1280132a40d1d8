"""What can be told without an image: models of a few columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from clinicadl import draws

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Weights of the squared coefficients to choose from; half of it counts in the logistic loss."""
N_FOLDS = 5
"""Of the participants of train, among which a penalty is chosen."""

_TOLERANCE = 1e-10

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
Column = NDArray[np.float64] | NDArray[np.str_]
"""Numbers, NaN where one is missing; or names, empty where one is missing."""


Fit = Callable[["Designs", NDArray[Any], float], NDArray[np.float64]]
"""Features, the truth of train, and a penalty -> what is said of the rows asked."""
Loss = Callable[[NDArray[np.float64], NDArray[Any]], float]
"""What was said, and the truth -> how far it is off, summed over rows."""


class Designs(NamedTuple):
    """Columns as numbers, of those that a model is fitted on and those that it is asked about."""

    train: NDArray[np.float64]
    asked: NDArray[np.float64]


def designs(train: Mapping[str, Column], asked: Mapping[str, Column]) -> Designs:
    """Return standardised numbers and an indicator for each name, by what train knows.

    Numbers have mean 0 and standard deviation 1 in train; missing ones have the mean. A name that
    train does not know, or that is missing, has no indicator. What does not vary in train is left
    out.

    Parameters
    ----------
    train, asked
        The same columns.

    Returns
    -------
    Shapes (rows, features).
    """
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for name, known in train.items():
        if np.issubdtype(known.dtype, np.number):
            numbers, others = known.astype(np.float64), asked[name].astype(np.float64)
            if np.isnan(numbers).all():
                continue
            mean, spread = np.nanmean(numbers), np.nanstd(numbers)
            if spread > 0:
                pair = (numbers - mean) / spread, (others - mean) / spread
                found.append((np.nan_to_num(pair[0]), np.nan_to_num(pair[1])))
            continue
        levels = sorted({str(level) for level in known} - {""})
        for level in levels if len(levels) > 1 else []:
            found.append(((known == level).astype(float), (asked[name] == level).astype(float)))
    n_train, n_asked = (len(next(iter(one.values()))) for one in (train, asked))
    if not found:
        return Designs(np.zeros((n_train, 0)), np.zeros((n_asked, 0)))
    return Designs(*(np.stack(side, axis=1) for side in zip(*found, strict=True)))


def penalty_of(
    columns: Mapping[str, Column],
    truth: NDArray[Any],
    folds: NDArray[np.int64],
    fit: Fit,
    loss: Loss,
) -> float:
    """Return the penalty with the least loss in a cross-validation within train.

    Columns are standardised in each fold by its own train. Of two that are as good it is the
    greater one; where there is one participant, the greatest.

    Parameters
    ----------
    columns
        Of train.
    truth
        Of each row of train.
    folds
        As `folds_of` gives them.
    fit, loss
        The model, and how it is judged.
    """
    if len(np.unique(folds)) < 2:
        return max(PENALTIES)
    losses = dict.fromkeys(PENALTIES, 0.0)
    for fold in np.unique(folds):
        is_held = folds == fold
        design = designs(
            *({k: v[rows] for k, v in columns.items()} for rows in (~is_held, is_held))
        )
        for penalty in PENALTIES:
            losses[penalty] += loss(fit(design, truth[~is_held], penalty), truth[is_held])
    return min(losses, key=lambda penalty: (losses[penalty], -penalty))


def folds_of(owner: NDArray[Any], strata: NDArray[Any], *, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row: all rows of a participant are in one.

    Participants are dealt out in an order by chance, those of one stratum after another, so that
    each fold has its share of each.

    Parameters
    ----------
    owner
        Participant of each row.
    strata
        Of each row; that of the first row of a participant counts.
    seed
        Of the experiment.
    """
    people, first, places = np.unique(owner, return_index=True, return_inverse=True)
    order = draws.generator(seed, "folds of baselines").permutation(len(people))
    dealt = order[np.argsort(strata[first][order], kind="stable")]
    fold = np.empty(len(people), dtype=np.int64)
    fold[dealt] = np.arange(len(people)) % N_FOLDS
    return fold[places]


def log_loss(probabilities: NDArray[np.float64], nodes: NDArray[np.int64]) -> float:
    """Return the sum over rows of less the logarithm of the probability of their class."""
    of_truth = probabilities[np.arange(len(nodes)), nodes]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)).sum())


def squared_error(said: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Return the sum over rows of the squared error."""
    return float(((said - truth) ** 2).sum())


def logistic(
    design: Designs, nodes: NDArray[np.int64], penalty: float, *, n_classes: int
) -> NDArray[np.float64]:
    """Return the probabilities of the classes by a logistic regression with a ridge penalty.

    Parameters
    ----------
    design
        Features.
    nodes
        Class of each row of train.
    penalty
        Of the squared coefficients, not of the constants.
    n_classes
        Number of classes; of two one vector of coefficients is learnt, of more one each.

    Returns
    -------
    Shape (rows asked, classes).
    """
    features, truth = _with_constant(design.train), np.eye(n_classes)[nodes]
    n_vectors = 1 if n_classes == 2 else n_classes

    def logits(of: NDArray[np.float64], flat: NDArray[np.float64]) -> NDArray[np.float64]:
        said = of @ flat.reshape(-1, n_vectors)
        return np.hstack([np.zeros_like(said), said]) if n_vectors == 1 else said

    def loss(flat: Vector) -> tuple[float, Vector]:
        logs = special.log_softmax(logits(features, flat), axis=1)
        slopes = features.T @ (np.exp(logs) - truth)[:, n_classes - n_vectors :]
        coefficients = flat.reshape(-1, n_vectors).copy()
        coefficients[0] = 0  # the constant is free
        value = -(truth * logs).sum() + penalty / 2 * (coefficients**2).sum()
        return float(value), (slopes + penalty * coefficients).ravel()

    found = optimize.minimize(
        loss,
        np.zeros(features.shape[1] * n_vectors),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": _TOLERANCE * 1e-3, "gtol": _TOLERANCE, "maxiter": 10_000},
    )
    return np.asarray(special.softmax(logits(_with_constant(design.asked), found.x), axis=1))


def ridge(design: Designs, truth: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return what a ridge regression says of the rows asked, shape (rows,).

    Parameters
    ----------
    design
        Features.
    truth
        Number of each row of train.
    penalty
        Of the squared coefficients, not of the constant.
    """
    mean, centre = truth.mean(), design.train.mean(0)
    features = design.train - centre
    square = features.T @ features + penalty * np.eye(features.shape[1])
    coefficients = np.linalg.solve(square, features.T @ (truth - mean))
    return np.asarray(mean + (design.asked - centre) @ coefficients)


def shares(nodes: Sequence[int] | NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Return how often each class is there, as shares, shape (classes,)."""
    counts = np.bincount(np.asarray(nodes, dtype=np.int64), minlength=n_classes)
    return np.asarray(counts / counts.sum())


def _with_constant(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.insert(features, 0, 1.0, axis=1)
