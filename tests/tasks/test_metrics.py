"""Check values and corner cases of the metrics."""

from __future__ import annotations

import numpy as np
import pytest

from clinicadl.tasks.metrics import CLASSIFICATION, by_class, means, one_versus_rest


def confusion_of(true: list[int], predicted: list[int], n_classes: int) -> np.ndarray:
    counts = np.zeros((n_classes, n_classes), dtype=int)
    np.add.at(counts, (true, predicted), 1)
    return counts


BINARY = confusion_of([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1], 2)
MULTI = confusion_of([0, 1, 2, 2], [0, 1, 1, 2], 3)
CHECK_VALUES = {
    "BA": 0.7083, "accuracy": 0.7143, "F1_score": 0.6667, "sensitivity": 0.6667,
    "specificity": 0.75, "PPV": 0.6667, "NPV": 0.75, "MCC": 0.4167, "MK": 0.4167,
    "LR_plus": 2.6667, "LR_minus": 0.4444,
}  # fmt: skip

# One set a metric whose denominator is zero.
NOTHING_FOUND = confusion_of([0, 0, 1, 1], [1, 1, 1, 1], 2)
NO_NEGATIVE_PREDICTED = confusion_of([0, 0, 1, 1], [0, 0, 0, 0], 2)
NO_POSITIVE = confusion_of([1, 1, 1], [1, 0, 1], 2)
NO_NEGATIVE = confusion_of([0, 0, 0], [0, 1, 0], 2)
PERFECT = confusion_of([0, 0, 1, 1], [0, 0, 1, 1], 2)
NOBODY = np.zeros((2, 2))
ZERO_DENOMINATORS = {
    "BA": (NO_POSITIVE, (0 + 2 / 3) / 2),
    "accuracy": (NOBODY, 0),
    "F1_score": (NOTHING_FOUND, 0),
    "sensitivity": (NO_POSITIVE, 0),
    "specificity": (NO_NEGATIVE, 0),
    "PPV": (NOTHING_FOUND, 0),
    "NPV": (NO_NEGATIVE_PREDICTED, 0),
    "MCC": (NOTHING_FOUND, 0),
    "MK": (NOTHING_FOUND, 0 + 1 / 2 - 1),
    "LR_plus": (PERFECT, 0),
    "LR_minus": (NO_NEGATIVE, 0),
}


def test_the_binary_check_values_hold_for_node_0_as_the_positive_class():
    values = by_class(BINARY)
    assert list(values) == list(CHECK_VALUES)
    for name, expected in CHECK_VALUES.items():
        assert values[name] == pytest.approx(expected, abs=5e-5)
        assert means(BINARY)[name] == values[name]


def test_the_multi_class_check_values_hold_for_each_class():
    values = by_class(MULTI)
    assert values["BA-0"] == 1
    assert values["BA-1"] == pytest.approx(0.8333, abs=5e-5)
    assert values["BA-2"] == 0.75
    assert values["accuracy"] == 0.75
    assert "BA" not in values
    assert "accuracy-0" not in values


def test_multi_class_means_are_over_the_classes_and_have_plain_names():
    values, mean = by_class(MULTI), means(MULTI)
    assert list(mean) == list(CLASSIFICATION)
    assert mean["accuracy"] == 0.75
    for name in set(CLASSIFICATION) - {"accuracy"}:
        assert mean[name] == pytest.approx(np.mean([values[f"{name}-{k}"] for k in range(3)]))


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_zero_denominator_gives_0(name):
    confusion, expected = ZERO_DENOMINATORS[name]
    assert CLASSIFICATION[name].function(confusion) == pytest.approx(expected)


def test_one_versus_rest_counts_what_a_class_is_taken_for():
    counts = np.array([[5, 1, 0], [2, 6, 3], [1, 4, 7]])
    assert one_versus_rest(counts, 1).tolist() == [[6, 2 + 3], [1 + 4, 5 + 0 + 1 + 7]]


def test_the_first_of_two_classes_is_the_positive_one():
    assert np.array_equal(one_versus_rest(BINARY, 0), BINARY)


def test_large_sets_do_not_overflow():
    counts = np.array([[400_000, 100_000], [100_000, 400_000]])
    assert CLASSIFICATION["MCC"].function(counts) == pytest.approx(0.6)
