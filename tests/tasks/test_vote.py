"""From parts to the image."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from clinicadl.tasks import vote


def table(true, predicted, n_parts, probabilities=None):
    """Predictions of images with the same parts, all of an image before the next."""
    n = len(predicted)
    rows = pd.DataFrame(
        {
            "participant_id": [f"sub-{i // n_parts}" for i in range(n)],
            "session_id": "ses-M000",
            "patch_id": [i % n_parts for i in range(n)],
            "true_label": np.repeat(true, n_parts),
            "predicted_label": predicted,
        }
    )
    first = np.asarray(predicted) == 0 if probabilities is None else np.asarray(probabilities)
    return rows.assign(proba0=np.asarray(first, dtype=float), proba1=1 - np.asarray(first, float))


@given(st.lists(st.integers(0, 1), min_size=12, max_size=12), st.data())
def test_a_part_has_the_share_of_its_balanced_accuracy(predicted, data):
    true = [0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=2, max_size=2))]
    shares = vote.weights(table(true, predicted, 3), "patch_id", threshold=0)
    scores = np.array([balanced_accuracy_score(true, predicted[part::3]) for part in range(3)])
    if scores.sum() == 0:
        scores = np.ones(3)
    np.testing.assert_allclose(shares, scores / scores.sum())
    assert list(shares.index) == [0, 1, 2]


def test_parts_below_the_threshold_have_no_say(caplog):
    # Balanced accuracies 1, 0.5 and 0.
    predicted = [0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0]
    said = table([0, 0, 1, 1], predicted, 3)
    assert vote.weights(said, "patch_id", threshold=0.6).tolist() == [1, 0, 0]
    assert vote.weights(said, "patch_id", threshold=0).round(6).tolist() == [0.666667, 0.333333, 0]
    assert not caplog.text
    none = table([0, 1], [1, 1, 0, 0], 2)
    assert vote.weights(none, "patch_id", threshold=0.9).tolist() == [0.5, 0.5]
    assert "all have the same say" in caplog.text


def test_an_image_is_the_weighted_mean_of_its_parts():
    said = table([0, 1], [0, 1, 1, 1], 2, probabilities=[0.9, 0.2, 0.4, 0.1])
    shares = pd.Series([0.75, 0.25], index=[0, 1])
    images = vote.soft_vote(said, "patch_id", shares, n_classes=2)
    np.testing.assert_allclose(images["proba0"], [0.75 * 0.9 + 0.25 * 0.2, 0.75 * 0.4 + 0.25 * 0.1])
    np.testing.assert_allclose(images["proba0"] + images["proba1"], 1)
    assert images["predicted_label"].tolist() == [0, 1]
    assert images["true_label"].tolist() == [0, 1]
    assert images["participant_id"].tolist() == ["sub-0", "sub-1"]
    assert images["image_id"].tolist() == [0, 0]


def test_missing_parts_are_spoken_for_by_the_others(caplog):
    said = table([0, 1], [0, 1, 1, 1], 2, probabilities=[0.9, 0.2, 0.4, 0.1]).iloc[:3]
    shares = pd.Series([0.75, 0.25], index=[0, 1])
    images = vote.soft_vote(said, "patch_id", shares, n_classes=2)
    np.testing.assert_allclose(images["proba0"], [0.75 * 0.9 + 0.25 * 0.2, 0.4])
    assert "lack parts" in caplog.text
    silent = vote.soft_vote(said, "patch_id", pd.Series([0.0, 1.0], index=[0, 1]), n_classes=2)
    np.testing.assert_allclose(silent["proba0"], [0.2, 0.4])


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_the_group_have_no_say(seed):
    draw = np.random.default_rng(seed)
    said = table(draw.integers(0, 2, 5), draw.integers(0, 2, 20), 4, draw.random(20))
    shares = pd.Series(draw.dirichlet(np.ones(4)))
    images = vote.soft_vote(said, "patch_id", shares, n_classes=2)
    mixed = said.assign(true_label=draw.permutation(said["true_label"]))
    again = vote.soft_vote(mixed, "patch_id", shares, n_classes=2)
    for column in ("proba0", "proba1", "predicted_label"):
        assert images[column].equals(again[column])


def test_parts_may_be_weighed_by_accuracy_or_alike():
    # Three of class 0, one of class 1: part 0 names 0 always, part 1 is right but for one of 0.
    predicted = [0, 0, 0, 0, 0, 1, 0, 1]
    said = table([0, 0, 0, 1], predicted, 2)
    by = {name: vote.weights(said, "patch_id", by=name, threshold=0).tolist()
          for name in ("balanced-accuracy", "accuracy", "mean", "hard")}  # fmt: skip
    np.testing.assert_allclose(by["balanced-accuracy"], np.array([0.5, 5 / 6]) / (0.5 + 5 / 6))
    np.testing.assert_allclose(by["accuracy"], [0.5, 0.5])
    assert by["mean"] == by["hard"] == [0.5, 0.5]
    assert vote.weights(said, "patch_id", by="mean", threshold=0.6).tolist() == [0, 1]


@given(st.lists(st.integers(0, 2), min_size=15, max_size=15))
def test_a_hard_vote_is_that_of_the_majority_the_first_class_where_they_are_even(predicted):
    said = table([0, 1, 2], predicted, 5).assign(proba2=0.0)
    hard = vote.hardened(said, 3)
    shares = vote.weights(said, "patch_id", by="hard", threshold=0)
    images = vote.soft_vote(hard, "patch_id", shares, n_classes=3)
    expected = [int(np.bincount(predicted[i : i + 5], minlength=3).argmax()) for i in (0, 5, 10)]
    assert images["predicted_label"].tolist() == expected
