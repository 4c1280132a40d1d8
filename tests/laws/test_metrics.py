"""What every metric of the table does."""

from __future__ import annotations

import re
from math import isinf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from clinicadl.config.task import SELECTABLE
from clinicadl.tasks.metrics import METRICS, one_versus_rest


def recall(true, predicted, of):
    return sklearn_metrics.recall_score(true, predicted, pos_label=of, zero_division=0)


def precision(true, predicted, of):
    return sklearn_metrics.precision_score(true, predicted, pos_label=of, zero_division=0)


def quotient(above, below):
    return above / below if below else 0.0


REFERENCE = {
    "BA": lambda t, p: (recall(t, p, 0) + recall(t, p, 1)) / 2,
    "accuracy": sklearn_metrics.accuracy_score,
    "F1_score": lambda t, p: sklearn_metrics.f1_score(t, p, pos_label=0, zero_division=0),
    "sensitivity": lambda t, p: recall(t, p, 0),
    "specificity": lambda t, p: recall(t, p, 1),
    "PPV": lambda t, p: precision(t, p, 0),
    "NPV": lambda t, p: precision(t, p, 1),
    "MCC": lambda t, p: sklearn_metrics.matthews_corrcoef(t, p) if len({*t, *p}) > 1 else 0.0,
    "MK": lambda t, p: precision(t, p, 0) + precision(t, p, 1) - 1,
    "LR_plus": lambda t, p: quotient(recall(t, p, 0), 1 - recall(t, p, 1)),
    "LR_minus": lambda t, p: quotient(1 - recall(t, p, 0), recall(t, p, 1)),
}
LAW = pytest.mark.parametrize("name", METRICS)
samples = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def value(name: str, true: list[int], predicted: list[int]) -> float:
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (true, predicted), 1)
    return float(METRICS[name].function(confusion))


@LAW
@given(samples)
def test_metric_equals_its_reference(name, pairs):
    true, predicted = (list(column) for column in zip(*pairs, strict=True))
    assert value(name, true, predicted) == pytest.approx(
        REFERENCE[name](true, predicted), rel=1e-12, abs=1e-12
    )


@LAW
@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_metric_stays_within_its_range(name, counts):
    found = METRICS[name].function(np.array(counts).reshape(2, 2))
    assert METRICS[name].low <= found <= METRICS[name].high


@LAW
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_perfect_prediction_is_best(name, n_positive, n_negative):
    found = METRICS[name].function(np.diag([n_positive, n_negative]))
    best = METRICS[name].high if METRICS[name].higher_is_better else METRICS[name].low
    # A perfect prediction divides LR_plus by zero, which by definition gives 0.
    assert found == pytest.approx(0 if isinf(best) else best, abs=1e-12)


@LAW
@given(samples, st.randoms())
def test_the_order_of_the_rows_is_irrelevant(name, pairs, shuffler):
    shuffled = list(pairs)
    shuffler.shuffle(shuffled)
    assert value(name, *zip(*pairs, strict=True)) == value(name, *zip(*shuffled, strict=True))


@LAW
def test_many_confusions_at_once_give_what_each_gives_alone(name):
    many = np.random.default_rng(0).integers(0, 4, (5, 6, 2, 2))
    together = METRICS[name].function(many)
    assert together.shape == (5, 6)
    for place in np.ndindex(5, 6):
        assert together[place] == METRICS[name].function(many[place])


@LAW
@given(samples)
def test_with_two_classes_the_second_is_scored_as_the_first_with_names_exchanged(name, pairs):
    true, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (true, predicted), 1)
    of_second = METRICS[name].function(one_versus_rest(confusion, 1))
    assert of_second == value(name, list(1 - true), list(1 - predicted))


def test_the_metrics_that_can_select_are_these_and_the_loss():
    assert sorted(SELECTABLE) == sorted([*METRICS, "loss"])


def test_every_metric_has_a_reference_and_no_other_has():
    assert REFERENCE.keys() == METRICS.keys()


def test_the_documentation_lists_the_metrics_with_their_direction():
    page = (Path(__file__).resolve().parents[2] / "docs/concepts/metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| (higher|lower) \|$", page, re.MULTILINE)
    assert rows == [
        (name, "higher" if METRICS[name].higher_is_better else "lower") for name in METRICS
    ]
