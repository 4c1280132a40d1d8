"""What every metric of every task does."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf, isinf, log10, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as sklearn_metrics

from clinicadl.config.task import TASKS
from clinicadl.tasks.metrics import (
    CLASSIFICATION,
    RECONSTRUCTION,
    REGRESSION,
    moments,
    one_versus_rest,
)
from clinicadl.tasks.similarity import MOST_PSNR, Pair

TABLES = {
    "classification": CLASSIFICATION,
    "regression": REGRESSION,
    "reconstruction": RECONSTRUCTION,
}


def recall(true, predicted, of):
    return sklearn_metrics.recall_score(true, predicted, pos_label=of, zero_division=0)


def precision(true, predicted, of):
    return sklearn_metrics.precision_score(true, predicted, pos_label=of, zero_division=0)


def quotient(above, below):
    return above / below if below else 0.0


def r2(true, predicted):
    return sklearn_metrics.r2_score(true, predicted) if len({*true}) > 1 else 0.0


def range_of(true):
    if true.min() < -1 or true.max() > 1:
        return true.max() - true.min() or 1
    return 2 if true.min() < 0 else 1


def psnr(true, given_back):
    error = sqrt(np.mean((true - given_back) ** 2)) / range_of(true)
    return -20 * log10(max(error, 2.0**-24))


def ssim(true, given_back):
    """The formula as it is written, with the whole window at once."""
    offsets = np.indices([11] * (true.ndim - 1)) - 5
    window = np.exp(-(offsets**2).sum(0) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image):
        return ndimage.correlate(image, window, mode="constant")

    c1, c2 = (0.01 * range_of(true)) ** 2, (0.03 * range_of(true)) ** 2
    maps = []
    for x, y in zip(true, given_back, strict=True):
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        maps.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return np.mean(maps)


REFERENCE = {
    ("classification", "BA"): lambda t, p: (recall(t, p, 0) + recall(t, p, 1)) / 2,
    ("classification", "accuracy"): sklearn_metrics.accuracy_score,
    ("classification", "F1_score"): lambda t, p: sklearn_metrics.f1_score(
        t, p, pos_label=0, zero_division=0
    ),
    ("classification", "sensitivity"): lambda t, p: recall(t, p, 0),
    ("classification", "specificity"): lambda t, p: recall(t, p, 1),
    ("classification", "PPV"): lambda t, p: precision(t, p, 0),
    ("classification", "NPV"): lambda t, p: precision(t, p, 1),
    ("classification", "MCC"): lambda t, p: (
        sklearn_metrics.matthews_corrcoef(t, p) if len({*t, *p}) > 1 else 0.0
    ),
    ("classification", "MK"): lambda t, p: precision(t, p, 0) + precision(t, p, 1) - 1,
    ("classification", "LR_plus"): lambda t, p: quotient(recall(t, p, 0), 1 - recall(t, p, 1)),
    ("classification", "LR_minus"): lambda t, p: quotient(1 - recall(t, p, 0), recall(t, p, 1)),
    ("regression", "R2_score"): r2,
    ("regression", "MAE"): sklearn_metrics.mean_absolute_error,
    ("regression", "RMSE"): sklearn_metrics.root_mean_squared_error,
    ("regression", "MSE"): sklearn_metrics.mean_squared_error,
    ("reconstruction", "MAE"): lambda t, p: np.abs(t - p).mean(),
    ("reconstruction", "RMSE"): lambda t, p: sqrt(((t - p) ** 2).mean()),
    ("reconstruction", "PSNR"): psnr,
    ("reconstruction", "SSIM"): ssim,
    ("reconstruction", "MSE"): lambda t, p: ((t - p) ** 2).mean(),
}


class Kind(NamedTuple):
    """What the metrics of a task are asked about."""

    truths: st.SearchStrategy[Any]
    """Truths and what was said of them."""
    value: Callable[[Any, Any, Any], float]
    """From a row, the truths and what was said to its value."""


def of_confusion(row, true, predicted):
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (true, predicted), 1)
    return float(row.function(confusion))


def of_numbers(row, true, predicted):
    return float(row.function(moments(np.array(true), np.array(predicted)).sum(0)))


def of_images(row, true, given_back):
    return row.function(Pair(torch.from_numpy(true), torch.from_numpy(given_back)))


def columns(pairs):
    return tuple(list(column) for column in zip(*pairs, strict=True))


@st.composite
def images(draw):
    """Two images of two or three axes, of intensities within [0, 1], [-1, 1] or neither."""
    shape = (draw(st.integers(1, 2)), *draw(st.lists(st.integers(1, 14), min_size=2, max_size=3)))
    low, high = draw(st.sampled_from([(0, 1), (-1, 1), (-3, 900)]))
    stream = np.random.default_rng(draw(st.integers(0, 10**6)))
    true = stream.uniform(low, high, shape)
    noise = draw(st.sampled_from([0.0, 0.01, 0.5])) * (high - low)
    return true, true + stream.normal(0, 1, shape) * noise


classes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
numbers = st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=16)] * 2), min_size=2, max_size=40)
KINDS = {
    "classification": Kind(classes.map(columns), of_confusion),
    "regression": Kind(numbers.map(columns), of_numbers),
    "reconstruction": Kind(images(), of_images),
}
ROWS = [(task, name) for task, rows in TABLES.items() for name in rows]
LAW = pytest.mark.parametrize(("task", "name"), ROWS, ids=" ".join)
COUNTED = [pair for pair in ROWS if pair[0] != "reconstruction"]


def best(row) -> float:
    return row.high if row.higher_is_better else row.low


@LAW
@given(st.data())
def test_metric_equals_its_reference(task, name, data):
    true, predicted = data.draw(KINDS[task].truths)
    found = KINDS[task].value(TABLES[task][name], true, predicted)
    # The structural similarity divides by constants that are small beside what is subtracted.
    tolerance = 1e-9 if name in ("SSIM", "R2_score") else 1e-12
    assert found == pytest.approx(
        REFERENCE[task, name](true, predicted), rel=tolerance, abs=tolerance
    )


@LAW
@given(st.data())
def test_metric_stays_within_its_range(task, name, data):
    row = TABLES[task][name]
    assert row.low <= KINDS[task].value(row, *data.draw(KINDS[task].truths)) <= row.high


@LAW
@given(st.data())
def test_a_perfect_prediction_is_best(task, name, data):
    true, _ = data.draw(KINDS[task].truths)
    if task != "reconstruction":
        # Of a class that nobody has, or a label that does not vary, nothing can be told.
        assume(len({*true}) > 1)
    found = KINDS[task].value(TABLES[task][name], true, true)
    # A perfect prediction divides LR_plus by zero, which by definition gives 0.
    expected = 0 if name == "LR_plus" else best(TABLES[task][name])
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("task", "name"), COUNTED, ids=" ".join)
@given(st.data(), st.randoms())
def test_the_order_of_the_rows_is_irrelevant(task, name, data, shuffler):
    true, predicted = data.draw(KINDS[task].truths)
    pairs = list(zip(true, predicted, strict=True))
    shuffler.shuffle(pairs)
    value, row = KINDS[task].value, TABLES[task][name]
    # Sums of numbers are rounded, which the tables avoid: see the tests of `metrics_table`.
    assert value(row, *columns(pairs)) == pytest.approx(value(row, true, predicted), rel=1e-9)


@pytest.mark.parametrize("name", RECONSTRUCTION)
@given(images())
def test_mirrored_images_are_as_near(name, pair):
    row = RECONSTRUCTION[name]
    mirrored = (np.flip(one, range(1, one.ndim)).copy() for one in pair)
    assert of_images(row, *mirrored) == pytest.approx(of_images(row, *pair), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("task", "name"), COUNTED, ids=" ".join)
def test_many_sums_at_once_give_what_each_gives_alone(task, name):
    function, draws = TABLES[task][name].function, np.random.default_rng(0)
    if task == "classification":
        many = draws.integers(0, 4, (5, 6, 2, 2))
    else:
        many = moments(draws.normal(size=90), draws.normal(size=90)).reshape(5, 6, 3, 5).sum(2)
    together = function(many)
    assert together.shape == (5, 6)
    for place in np.ndindex(5, 6):
        assert together[place] == function(many[place])


@pytest.mark.parametrize("name", CLASSIFICATION)
@given(classes)
def test_with_two_classes_the_second_is_scored_as_the_first_with_names_exchanged(name, pairs):
    true, predicted = (np.array(column) for column in columns(pairs))
    confusion = np.zeros((2, 2), dtype=int)
    np.add.at(confusion, (true, predicted), 1)
    row = CLASSIFICATION[name]
    of_second = row.function(one_versus_rest(confusion, 1))
    assert of_second == of_confusion(row, list(1 - true), list(1 - predicted))


@pytest.mark.parametrize("name", CLASSIFICATION)
@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_large_counts_stay_within_the_range(name, counts):
    row = CLASSIFICATION[name]
    assert row.low <= row.function(np.array(counts).reshape(2, 2)) <= row.high


@given(st.floats(-1e3, 1e3, width=16), st.integers(1, 9), st.floats(-9, 9))
@example(70.1, 7, 1.0)
def test_a_label_that_does_not_vary_explains_nothing(number, n, error):
    assert of_numbers(REGRESSION["R2_score"], [number] * n, [number + error] * n) == 0


def test_what_can_select_are_the_metrics_of_the_task_and_the_loss():
    assert {name: [*rows] for name, rows in TABLES.items()} == {
        name: [*row.metrics] for name, row in TASKS.items()
    }


def test_every_metric_has_a_reference_and_no_other_has():
    assert [*REFERENCE] == ROWS


def test_the_documentation_lists_the_metrics_with_their_range_and_direction():
    page = (Path(__file__).resolve().parents[2] / "docs/concepts/metrics.md").read_text()
    found = re.findall(r"^\| `(\w+)` \|.*\| (.+) \| (higher|lower) \|$", page, re.MULTILINE)
    expected = [(name, row) for task in TABLES for name, row in TABLES[task].items()]
    assert found == [
        (name, shown(row.low, row.high), "higher" if row.higher_is_better else "lower")
        for name, row in expected
    ]


def shown(low: float, high: float) -> str:
    if isinf(low):
        return f"up to {high:.4g}".replace("-", "\N{MINUS SIGN}")
    if high == inf:
        return f"{low} and above"
    return f"{low} to {high}".replace("-", "\N{MINUS SIGN}")


def test_the_best_psnr_is_that_of_single_precision():
    assert pytest.approx(20 * log10(2**24)) == MOST_PSNR
