"""Regression: targets, reading of the outputs, scores, intervals and images."""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from clinicadl.config.task import Regression
from clinicadl.errors import InvalidDataError
from clinicadl.statistics.intervals import N_RESAMPLES, resamples
from clinicadl.tasks.base import Task
from clinicadl.tasks.metrics import REGRESSION

TWO = ("age", "mmse")
SKLEARN = {
    "R2_score": sklearn_metrics.r2_score,
    "MAE": sklearn_metrics.mean_absolute_error,
    "RMSE": sklearn_metrics.root_mean_squared_error,
    "MSE": sklearn_metrics.mean_squared_error,
}


def task_of(label="age", **settings: object):
    return Regression(label=label, **settings).build({})


def predictions_of(true, predicted, *, participants=None, loss=0.5) -> pd.DataFrame:
    names = participants or [f"sub-{i:03}" for i in range(len(true))]
    return pd.DataFrame(
        {"participant_id": names, "true_label": true, "predicted_label": predicted, "loss": loss}
    )


def drawn(n: int, seed: int = 0) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    true = draws.uniform(50, 90, n).round(1)
    return predictions_of(true, true + draws.normal(0, 5, n), loss=draws.random(n))


# Targets


def test_a_target_is_the_number_of_the_cell_or_those_of_several():
    assert task_of().target([" 71.3 "]) == 71.3
    assert task_of(TWO).target(["71", "-2e1"]) == (71.0, -20.0)
    assert math.isnan(task_of().target([None]))
    assert task_of(TWO).target(["71", None])[0] == 71


@pytest.mark.parametrize("cell", ["AD", "", "71,3", "nan", "n/a", "inf", "-Infinity", "1_000"])
def test_a_cell_that_is_no_finite_number_is_refused(cell):
    with pytest.raises(InvalidDataError, match="label mmse is not a number") as caught:
        task_of(TWO).target(["71", cell])
    assert caught.value.found == repr(cell)


def test_an_empty_cell_is_refused():
    with pytest.raises(InvalidDataError, match="no label"):
        task_of().target([float("nan")])


def test_one_label_may_be_written_without_a_list_and_none_twice():
    assert Regression(label="age").labels == ("age",)
    with pytest.raises(ValueError, match="twice"):
        Regression(label=["age", "age"])
    with pytest.raises(ValueError, match="at least 1"):
        Regression(label=[])


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=60))
def test_strata_are_five_bins_of_equal_width_and_the_last_holds_the_highest(numbers):
    # Multiples of the width of a bin are exact: both round in the same way.
    low, high = min(numbers), max(numbers)
    found = task_of().strata([5.0 * number for number in numbers])
    assert set(found) <= set(range(5))
    if low == high:
        assert set(found) == {0}
        return
    counts, _ = np.histogram(numbers, bins=5, range=(low, high))
    assert [found.count(k) for k in range(5)] == counts.tolist()


def test_each_combination_of_bins_of_several_labels_is_a_class():
    found = task_of(TWO).strata([(0.0, 0.0), (10.0, 0.0), (0.0, 10.0), (10.0, 10.0), (5.0, 0.0)])
    assert len(set(found)) == 5


# Losses and reading of the outputs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_losses_are_computed_in_single_precision_one_a_sample(dtype):
    outputs = torch.tensor([[1.0], [0.5]], dtype=dtype)
    losses = task_of().losses(outputs, outputs, torch.tensor([3.0, 0.0]))["loss"]
    assert losses.dtype == torch.float32
    assert losses.tolist() == [4, 0.25]


def test_the_loss_of_several_labels_is_their_mean_and_that_of_the_settings():
    outputs, targets = torch.tensor([[1.0, 5.0]]), torch.tensor([[2.0, 2.0]])
    assert task_of(TWO).losses(outputs, outputs, targets)["loss"].tolist() == [(1 + 9) / 2]
    l1 = task_of(TWO, loss="L1Loss").losses(outputs, outputs, targets)["loss"]
    assert l1.tolist() == [(1 + 3) / 2]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("KLDivLoss", "log-probabilities"), ("BCEWithLogitsLoss", "logits"), ("L1Loss", None)],
)
def test_losses_that_take_the_outputs_for_something_else_bring_a_warning(loss, expected, caplog):
    with caplog.at_level(logging.WARNING):
        task_of(loss=loss)
    assert (expected in caplog.text) if expected else not caplog.text


def test_predictions_are_the_outputs_as_the_shortest_decimals_of_single_precision():
    outputs = torch.tensor([[71.3], [0.1]], requires_grad=True)
    columns = task_of().predictions(outputs, outputs, torch.tensor([70.2, float("nan")]))
    assert list(columns) == ["true_label", "predicted_label"]
    assert columns["predicted_label"].tolist() == [71.3, 0.1]
    assert columns["true_label"][0] == 70.2
    assert np.isnan(columns["true_label"][1])


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_predictions_are_the_outputs_to_the_last_bit(numbers):
    outputs = torch.tensor(numbers)[:, None]
    found = task_of().predictions(outputs, outputs, torch.zeros(len(numbers)))["predicted_label"]
    assert np.array_equal(found.astype(np.float32), outputs[:, 0].numpy())


def test_several_labels_have_a_column_of_truth_and_one_of_prediction_each():
    outputs, targets = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
    columns = task_of(TWO).predictions(outputs, outputs, targets)
    assert {name: column.tolist() for name, column in columns.items()} == {
        "true_age": [3], "predicted_age": [1], "true_mmse": [4], "predicted_mmse": [2],
    }  # fmt: skip
    assert list(columns) == ["true_age", "predicted_age", "true_mmse", "predicted_mmse"]


# Scores


def test_scores_are_those_of_scikit_learn_and_the_mean_loss():
    predictions = drawn(50)
    scores = task_of().scores(predictions)
    assert list(scores) == [*REGRESSION, "loss"]
    for name, reference in SKLEARN.items():
        expected = reference(predictions["true_label"], predictions["predicted_label"])
        assert scores[name] == pytest.approx(expected, rel=1e-12)
    assert scores["loss"] == pytest.approx(predictions["loss"].mean(), rel=1e-12)


def several(predictions: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "participant_id": predictions["participant_id"],
            "true_age": predictions["true_label"],
            "predicted_age": predictions["predicted_label"],
            "true_mmse": other["true_label"],
            "predicted_mmse": other["predicted_label"],
            "loss": predictions["loss"],
        }
    )


def test_several_labels_have_a_column_each_and_their_mean_as_score():
    ages, mmse = drawn(40), drawn(40, seed=1)
    task = task_of(TWO)
    table = task.table(several(ages, mmse), seed=3)
    columns = [f"{name}-{label}" for name in REGRESSION for label in TWO]
    assert list(table.columns) == ["Metrics", *columns, "loss"]
    scores = task.scores(several(ages, mmse))
    assert list(scores) == [*REGRESSION, "loss"]
    for label, alone in (("age", ages), ("mmse", mmse)):
        expected = task_of().table(alone, seed=3)
        for name in REGRESSION:
            assert table[f"{name}-{label}"].tolist() == expected[name].tolist()
            mean = (task_of().scores(ages)[name] + task_of().scores(mmse)[name]) / 2
            assert scores[name] == pytest.approx(mean, rel=1e-12)


def test_large_numbers_that_differ_little_keep_their_digits():
    predictions = drawn(30).assign(true_label=lambda t: t["true_label"] + 1e9)
    predictions["predicted_label"] += 1e9
    expected = sklearn_metrics.r2_score(predictions["true_label"], predictions["predicted_label"])
    assert task_of().scores(predictions)["R2_score"] == pytest.approx(expected, rel=1e-6)


def test_the_order_of_the_rows_changes_neither_scores_nor_table():
    predictions = drawn(60).assign(participant_id=[f"sub-{i % 7}" for i in range(60)])
    shuffled = predictions.sample(frac=1, random_state=0)
    task = task_of()
    assert task.scores(shuffled) == task.scores(predictions)
    pd.testing.assert_frame_equal(
        task.table(shuffled, seed=1), task.table(predictions, seed=1), check_exact=True
    )


def test_a_missing_label_is_refused_with_the_participants():
    predictions = drawn(4)
    predictions.loc[2, "true_label"] = np.nan
    with pytest.raises(InvalidDataError, match=r"sub-002.*no-labels"):
        task_of().scores(predictions)


def test_every_metric_that_can_select_has_a_score_and_a_direction():
    task = task_of()
    assert sorted(task.scores(drawn(9))) == sorted(("loss", *Regression.metrics))
    better = task.higher_is_better()
    assert better == {"R2_score": True, "MAE": False, "RMSE": False, "MSE": False, "loss": False}


def test_a_regression_is_a_task():
    task: Task = task_of(TWO)
    assert task.n_outputs == 2
    assert task.labels == TWO


# Intervals


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_intervals_are_those_of_a_plain_loop_over_the_same_resampled_participants(
    limits_by_hand, seed, n
):
    draws = np.random.default_rng(seed)
    owners = draws.permutation(np.repeat(np.arange(n), draws.integers(1, 4, size=n)))
    true, predicted = draws.normal(60, 10, len(owners)), draws.normal(60, 10, len(owners))
    names = [f"sub-{owner}" for owner in owners]
    table = task_of().table(predictions_of(true, predicted, participants=names), seed=seed)
    whole, left_out = np.ones((1, n)), 1 - np.eye(n)
    drawn = np.concatenate(list(resamples(seed, n, N_RESAMPLES)))
    found = [_by_hand(times[:, owners], true, predicted) for times in (whole, drawn, left_out)]
    for name in found[0]:
        value, values, jackknife = (some[name] for some in found)
        expected = limits_by_hand(value[0], values, jackknife)
        np.testing.assert_allclose(table[name].tolist()[1:], expected, rtol=1e-6)


def _by_hand(times, true, predicted):
    """Each metric where each row counts so often, shape (resamples, rows)."""
    errors = predicted - true
    count = times.sum(1)
    mean = times @ true / count
    # Around the mean of each resample, so that nothing is lost by subtraction.
    variation = (times * (true - mean[:, None]) ** 2).sum(1)
    is_none = (np.where(times > 0, true, np.nan) == true[times.argmax(1)][:, None]).sum(1)
    is_none = is_none == (times > 0).sum(1)
    return {
        "R2_score": np.where(is_none, 0, 1 - times @ errors**2 / np.where(is_none, 1, variation)),
        "MAE": times @ abs(errors) / count,
        "RMSE": np.sqrt(times @ errors**2 / count),
        "MSE": times @ errors**2 / count,
    }


def test_the_interval_of_the_mean_error_agrees_with_that_of_scipy():
    predictions = drawn(60)
    errors = (predictions["true_label"] - predictions["predicted_label"]).abs().to_numpy()
    theirs = stats.bootstrap(
        (errors,), np.mean, n_resamples=50_000, method="BCa", rng=np.random.default_rng(0)
    )
    limits = [theirs.confidence_interval.low, theirs.confidence_interval.high]
    # Four times the noise of our 3000 draws in a limit and in the bias, 0.07 standard errors.
    found = task_of().table(predictions, seed=0)["MAE"].tolist()[1:]
    np.testing.assert_allclose(found, [*limits, theirs.standard_error], atol=0.1)


# From parts to the image


def parts_of(true, predicted, n_parts):
    n = len(predicted)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i // n_parts}" for i in range(n)],
            "session_id": "ses-M000",
            "patch_id": [i % n_parts for i in range(n)],
            "true_label": np.repeat(true, n_parts).astype(float),
            "predicted_label": np.asarray(predicted, dtype=float),
        }
    )


def test_an_image_is_the_mean_of_its_parts():
    said = parts_of([10, 20], [9, 12, 15, 18, 20, 25], 3)
    images = task_of().of_images(said, "patch_id", basis=pd.DataFrame())
    assert images.columns.tolist() == [
        "participant_id", "session_id", "image_id", "true_label", "predicted_label",
    ]  # fmt: skip
    assert images["predicted_label"].tolist() == [12, 21]
    assert images["true_label"].tolist() == [10, 20]
    assert images["image_id"].tolist() == [0, 0]


def test_parts_may_be_weighed_by_their_error_in_the_basis_and_never_in_the_group():
    basis = parts_of([10, 20], [11, 14, 22, 20], 2)  # mean absolute errors 1.5 and 2
    said = parts_of([50, 60], [40, 47, 80, 87], 2)
    task = task_of(vote="inverse-mae")
    images = task.of_images(said, "patch_id", basis=basis)
    shares = np.array([1 / 1.5, 1 / 2]) / (1 / 1.5 + 1 / 2)
    np.testing.assert_allclose(images["predicted_label"], [[40, 47] @ shares, [80, 87] @ shares])
    mixed = task.of_images(said.assign(true_label=0.0), "patch_id", basis=basis)
    assert mixed["predicted_label"].tolist() == images["predicted_label"].tolist()


def test_parts_without_any_error_speak_alone():
    basis = parts_of([10, 20], [10, 14, 20, 20], 2)
    images = task_of(vote="inverse-mae").of_images(
        parts_of([50], [40, 47], 2), "patch_id", basis=basis
    )
    assert images["predicted_label"].tolist() == [40]


def test_missing_parts_are_spoken_for_by_the_others(caplog):
    said = parts_of([10, 20], [9, 12, 15, 18, 20, 25], 3).drop(index=5)
    images = task_of().of_images(said, "patch_id", basis=pd.DataFrame())
    assert images["predicted_label"].tolist() == [12, 19]
    assert "lack parts" in caplog.text


def test_several_labels_are_averaged_each_by_its_own_weights():
    basis = pd.DataFrame(
        {
            "participant_id": "sub-0", "session_id": "ses-M000", "patch_id": [0, 1],
            "true_age": 10.0, "predicted_age": [11.0, 13.0],
            "true_mmse": 10.0, "predicted_mmse": [13.0, 11.0],
        }
    )  # fmt: skip
    task = task_of(TWO, vote="inverse-mae")
    images = task.of_images(basis, "patch_id", basis=basis)
    assert images["predicted_age"].tolist() == [pytest.approx(0.75 * 11 + 0.25 * 13)]
    assert images["predicted_mmse"].tolist() == [pytest.approx(0.25 * 13 + 0.75 * 11)]
