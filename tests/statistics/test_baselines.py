"""What can be told without an image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss as their_log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinicadl.statistics.baselines import (
    N_FOLDS,
    PENALTIES,
    Designs,
    designs,
    folds_of,
    log_loss,
    logistic,
    penalty_of,
    ridge,
    shares,
    squared_error,
)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_logistic_regression_is_that_of_scikit_learn(n_classes):
    draws = np.random.default_rng(n_classes)
    train, asked = draws.normal(size=(60, 3)), draws.normal(size=(20, 3))
    nodes = (train[:, 0] + draws.normal(size=60) > 0).astype(int)
    nodes[:10] = n_classes - 1
    found = logistic(Designs(train, asked), nodes, 1.0, n_classes=n_classes)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(train, nodes)
    # Both stop where the slope is small: the minimum is found to six digits.
    np.testing.assert_allclose(found, theirs.predict_proba(asked), atol=1e-6)


def test_the_ridge_regression_is_that_of_scikit_learn():
    draws = np.random.default_rng(0)
    train, asked = draws.normal(2, 3, (40, 4)), draws.normal(size=(10, 4))
    truth = train @ [1, 2, 0, -1] + draws.normal(size=40) + 60
    theirs = Ridge(alpha=1.0).fit(train, truth).predict(asked)
    np.testing.assert_allclose(ridge(Designs(train, asked), truth, 1.0), theirs, rtol=1e-9)


def test_without_a_feature_there_is_the_mean_and_the_shares():
    nothing = Designs(np.zeros((4, 0)), np.zeros((2, 0)))
    np.testing.assert_allclose(ridge(nothing, np.array([1.0, 2, 3, 6]), 1.0), [3, 3])
    found = logistic(nothing, np.array([0, 0, 0, 1]), 1.0, n_classes=2)
    np.testing.assert_allclose(found, [[0.75, 0.25]] * 2, atol=1e-6)
    np.testing.assert_allclose(shares([0, 0, 2, 0], 3), [0.75, 0, 0.25])


def test_columns_become_what_train_knows_of_them():
    train = {"age": np.array([60.0, 70, 80, np.nan]), "site": np.array(["a", "b", "a", ""])}
    asked = {"age": np.array([70.0, np.nan]), "site": np.array(["c", "b"])}
    found = designs(train, asked)
    spread = np.sqrt(200 / 3)
    np.testing.assert_allclose(found.train[:, 0], np.array([-10, 0, 10, 0]) / spread)
    np.testing.assert_allclose(found.train[:, 1:], [[1, 0], [0, 1], [1, 0], [0, 0]])
    # A missing age is the mean; a site that train does not know is none of its sites.
    np.testing.assert_allclose(found.asked, [[0, 0, 0], [0, 0, 1]])


def test_a_column_that_does_not_vary_or_is_empty_tells_nothing():
    known = {"age": np.array([60.0, 60]), "site": np.array(["a", "a"]), "x": np.full(2, np.nan)}
    assert designs(known, known).train.shape == (2, 0)


def given_columns(seed, n=40):
    """Columns of two visits of each of 20 people, of which the first says something."""
    draws = np.random.default_rng(seed)
    table = draws.normal([70, 3, 0], [8, 1, 50], (n, 3))
    owner = np.array([f"sub-{i // 2:02}" for i in range(n)])
    return {f"x{i}": column for i, column in enumerate(table.T)}, table, owner, draws


def searched(model, grid, table, truth, folds, scoring):
    """The best of a grid by scikit-learn, on the same folds."""
    cuts = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in np.unique(folds)]
    search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=cuts, scoring=scoring)
    return search.fit(table, truth)


@pytest.mark.parametrize("noise", [0.1, 30, 300])
@pytest.mark.parametrize("seed", range(4))
def test_the_penalty_of_a_ridge_is_that_of_scikit_learn_on_the_same_folds(seed, noise):
    columns, table, owner, draws = given_columns(seed)
    truth = table[:, 0] + draws.normal(0, noise, len(table))
    folds = folds_of(owner, np.zeros(len(owner)), seed=seed)
    grid = {"ridge__alpha": PENALTIES}
    theirs = searched(Ridge(), grid, table, truth, folds, "neg_mean_squared_error")
    found = penalty_of(columns, truth, folds, ridge, squared_error)
    assert found == theirs.best_params_["ridge__alpha"]


def test_the_ridge_penalty_follows_the_noise():
    columns, table, owner, draws = given_columns(0)
    folds = folds_of(owner, np.zeros(len(owner)), seed=0)
    clear, unclear = (
        penalty_of(columns, table[:, 0] + draws.normal(0, noise, 40), folds, ridge, squared_error)
        for noise in (0.1, 3000)
    )
    assert clear == min(PENALTIES)
    assert unclear >= 100


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("spread", [0.1, 2, 30])
def test_the_penalty_of_a_logistic_regression_is_that_of_scikit_learn(n_classes, spread):
    columns, table, owner, draws = given_columns(n_classes)
    nodes = np.digitize(table[:, 0] + draws.normal(0, spread, 40), [70, 75][: n_classes - 1])
    folds = folds_of(owner, nodes, seed=5)
    of_grid = {}
    for penalty in PENALTIES:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, tol=1e-9))
        losses = []
        for k in range(N_FOLDS):
            said = model.fit(table[folds != k], nodes[folds != k]).predict_proba(table[folds == k])
            every = [*range(n_classes)]
            losses.append(their_log_loss(nodes[folds == k], said, labels=every, normalize=False))
        of_grid[penalty] = sum(losses)

    def fit(design, nodes, penalty):
        return logistic(design, nodes, penalty, n_classes=n_classes)

    assert penalty_of(columns, nodes, folds, fit, log_loss) == min(of_grid, key=of_grid.get)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=30), st.integers(0, 1000))
def test_participants_are_in_one_fold_and_classes_in_all(n_rows, seed):
    owner = np.repeat([f"sub-{i:02}" for i in range(len(n_rows))], n_rows)
    strata = np.repeat(np.arange(len(n_rows)) % 2, n_rows)
    folds = folds_of(owner, strata, seed=seed)
    fold_of = {who: {*folds[owner == who]} for who in owner}
    assert all(len(some) == 1 for some in fold_of.values())
    for stratum in (0, 1):
        people = [who for who in fold_of if strata[owner == who][0] == stratum]
        counts = np.bincount([*(min(fold_of[who]) for who in people)] or [0], minlength=N_FOLDS)
        if people:
            assert counts.max() - counts.min() <= 1


def test_one_participant_has_the_greatest_penalty():
    folds = folds_of(np.array(["a", "a"]), np.zeros(2), seed=0)
    columns = {"age": np.array([1.0, 2])}
    assert penalty_of(columns, np.array([1.0, 2]), folds, ridge, squared_error) == max(PENALTIES)
