"""What is made of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special
from sklearn.metrics import balanced_accuracy_score, log_loss

from clinicadl.statistics.decisions import (
    conformal_sets,
    temperature,
    threshold,
    with_temperature,
)


def drawn(seed, n, n_classes=3):
    """Probabilities that are true of the classes that are drawn by them."""
    draws = np.random.default_rng(seed)
    said = special.softmax(draws.normal(0, 1.5, (n, n_classes)), axis=1)
    nodes = np.array([draws.choice(n_classes, p=row) for row in said])
    return said, nodes


def test_the_temperature_undoes_what_made_a_model_too_sure():
    said, nodes = drawn(0, 4000)
    too_sure = special.softmax(np.log(said) * 2.5, axis=1)
    found = temperature(too_sure, nodes)
    # The estimate of 4000 samples has a standard error of about 2 %.
    assert found == pytest.approx(2.5, rel=0.1)
    np.testing.assert_allclose(with_temperature(too_sure, 2.5), said, rtol=1e-9)
    assert log_loss(nodes, with_temperature(too_sure, found)) < log_loss(nodes, too_sure)


@given(st.integers(0, 50), st.floats(0.2, 5))
def test_no_other_temperature_is_better_and_conclusions_stay(seed, other):
    said, nodes = drawn(seed, 40)
    best = with_temperature(said, temperature(said, nodes))
    assert log_loss(nodes, best, labels=[0, 1, 2]) <= (
        log_loss(nodes, with_temperature(said, other), labels=[0, 1, 2]) + 1e-9
    )
    assert (best.argmax(1) == said.argmax(1)).all()


def test_a_probability_of_zero_has_a_temperature():
    said, nodes = np.array([[1.0, 0], [1, 0], [0, 1]]), np.array([0, 1, 1])
    assert np.isfinite(temperature(said, nodes))
    assert np.isfinite(with_temperature(said, 3.0)).all()


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=2, max_size=30))
def test_no_threshold_is_better_on_validation(pairs):
    scores = np.array([score / 10 for score, _ in pairs])
    truth = np.array([is_positive for _, is_positive in pairs])
    assume(truth.any() and not truth.all())
    best = threshold(scores, truth)
    of_all = [balanced_accuracy_score(truth, scores >= one) for one in np.linspace(-0.05, 1.05, 23)]
    assert balanced_accuracy_score(truth, scores >= best) == pytest.approx(max(of_all), abs=1e-12)


def test_of_thresholds_that_are_as_good_it_is_the_one_nearest_to_a_half():
    scores, truth = np.array([0.1, 0.9]), np.array([False, True])
    assert threshold(scores, truth) == 0.5


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_conformal_sets_hold_the_truth_as_often_as_they_say(level):
    shares = []
    for seed in range(200):
        said, nodes = drawn(seed, 150)
        sets = conformal_sets(said[100:], calibration=said[:100], nodes=nodes[:100], level=level)
        shares.append(sets[np.arange(50), nodes[100:]].mean())
    # At least the level, at most 1 / 101 above it; three standard errors of 200 x 50 samples.
    error = 3 * np.std(shares) / np.sqrt(200)
    assert level - error <= np.mean(shares) <= level + 1 / 101 + error


def test_conformal_sets_by_hand_and_of_too_small_a_calibration(caplog):
    calibration, nodes = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]), np.array([0, 0, 1])
    # Misfits 0.1, 0.3, 0.4; rank ceil(4 x 0.5) = 2: classes of at least 0.7 stay.
    found = conformal_sets(
        np.array([[0.7, 0.3], [0.5, 0.5]]), calibration=calibration, nodes=nodes, level=0.5
    )
    assert found.tolist() == [[True, False], [False, False]]
    assert conformal_sets(calibration, calibration=calibration, nodes=nodes, level=0.9).all()
    assert "too few" in caplog.text
