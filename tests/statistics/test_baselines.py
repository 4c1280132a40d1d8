"""What can be told without an image."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from clinicadl.statistics.baselines import Designs, designs, logistic, ridge, shares


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_logistic_regression_is_that_of_scikit_learn(n_classes):
    draws = np.random.default_rng(n_classes)
    train, asked = draws.normal(size=(60, 3)), draws.normal(size=(20, 3))
    nodes = (train[:, 0] + draws.normal(size=60) > 0).astype(int)
    nodes[:10] = n_classes - 1
    found = logistic(Designs(train, asked), nodes, n_classes)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(train, nodes)
    # Both stop where the slope is small: the minimum is found to six digits.
    np.testing.assert_allclose(found, theirs.predict_proba(asked), atol=1e-6)


def test_the_ridge_regression_is_that_of_scikit_learn():
    draws = np.random.default_rng(0)
    train, asked = draws.normal(2, 3, (40, 4)), draws.normal(size=(10, 4))
    truth = train @ [1, 2, 0, -1] + draws.normal(size=40) + 60
    theirs = Ridge(alpha=1.0).fit(train, truth).predict(asked)
    np.testing.assert_allclose(ridge(Designs(train, asked), truth), theirs, rtol=1e-9)


def test_without_a_feature_there_is_the_mean_and_the_shares():
    nothing = Designs(np.zeros((4, 0)), np.zeros((2, 0)))
    np.testing.assert_allclose(ridge(nothing, np.array([1.0, 2, 3, 6])), [3, 3])
    found = logistic(nothing, np.array([0, 0, 0, 1]), 2)
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
