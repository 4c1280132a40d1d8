"""Whether probabilities mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss

from clinicadl.statistics.calibration import addends, bins, brier, of_sums, reliability


def probabilities(seed, n, n_classes):
    return np.random.default_rng(seed).dirichlet(np.ones(n_classes), n)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_brier_score_is_that_of_scikit_learn(n_classes):
    said = probabilities(0, 40, n_classes)
    nodes = np.arange(40) % n_classes
    found = of_sums(addends(said, nodes).sum(0))["Brier"]
    assert found == pytest.approx(brier(said, nodes).mean())
    theirs = brier_score_loss(nodes == 1, said[:, 1]) if n_classes == 2 else (
        np.mean([sum((p - (k == node)) ** 2 for k, p in enumerate(row))
                 for row, node in zip(said, nodes, strict=True)]))  # fmt: skip
    assert found == pytest.approx(theirs)


@given(st.integers(0, 100), st.integers(2, 60))
def test_the_calibration_error_is_that_of_a_loop_over_the_bins(seed, n):
    said = probabilities(seed, n, 2)
    nodes = np.random.default_rng(seed + 1).integers(2, size=n)
    confidence, right = said.max(1), said.argmax(1) == nodes
    which = bins(confidence)
    expected = sum(
        (which == one).mean() * abs(right[which == one].mean() - confidence[which == one].mean())
        for one in np.unique(which)
    )
    assert of_sums(addends(said, nodes).sum(0))["ECE"] == pytest.approx(expected)


def test_bins_hold_as_many_samples_each_and_keep_equal_ones_together():
    assert np.bincount(bins(np.linspace(0.5, 1, 100))).tolist() == [10] * 10
    assert len(set(bins(np.full(30, 0.7)))) == 1


def test_numbers_by_hand():
    # Two bins of two: confidence 0.6 twice, one right; 0.9 twice, both right.
    said = np.array([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.9, 0.1]])
    nodes = np.array([0, 0, 0, 0])
    found = of_sums(addends(said, nodes).sum(0))
    assert found["ECE"] == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    assert found["Brier"] == pytest.approx((0.16 + 0.36 + 0.01 + 0.01) / 4)


def test_the_reliability_curve_has_what_the_calibration_error_is_made_of():
    said, nodes = probabilities(3, 200, 3), np.random.default_rng(4).integers(3, size=200)
    curve = reliability(said, nodes)
    assert curve["n"].tolist() == [20] * 10
    gap = (curve["n"] * (curve["confidence"] - curve["share_right"]).abs()).sum() / 200
    assert of_sums(addends(said, nodes).sum(0))["ECE"] == pytest.approx(gap)
    first = curve.iloc[0]
    theirs = binomtest(round(first["share_right"] * 20), 20).proportion_ci()
    assert (first["low"], first["high"]) == pytest.approx((theirs.low, theirs.high))
