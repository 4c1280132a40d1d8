"""Classification: nodes, reading of the outputs, scores and tables."""

from __future__ import annotations

import io
import logging

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sklearn_metrics

from clinicadl.config.task import Classification
from clinicadl.errors import InvalidDataError
from clinicadl.statistics.intervals import N_RESAMPLES, resamples
from clinicadl.tasks.base import Task
from clinicadl.tasks.classification import classification, codes_of, label_text
from clinicadl.tasks.metrics import CLASSIFICATION

TWO = {"AD": 0, "CN": 1}
THREE = {"AD": 0, "CN": 1, "MCI": 2}


def task_of(codes: dict[str, int], **settings: object):
    return Classification(**settings).build(codes)


def predictions_of(true, predicted, *, participants=None, loss=0.5) -> pd.DataFrame:
    names = participants or [f"sub-{i:03}" for i in range(len(true))]
    return pd.DataFrame(
        {"participant_id": names, "true_label": true, "predicted_label": predicted, "loss": loss}
    )


def drawn(n: int, n_classes: int, seed: int = 0) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    true = draws.integers(n_classes, size=n)
    predicted = np.where(draws.random(n) < 0.7, true, draws.integers(n_classes, size=n))
    return predictions_of(true, predicted, loss=draws.random(n).astype(np.float32))


# Nodes of the classes


def test_sorted_classes_are_numbered_from_0():
    assert codes_of(["MCI", "CN", "AD", "CN"], Classification()) == THREE


def test_classes_that_are_numbers_are_sorted_as_numbers_and_written_in_one_way():
    assert codes_of(["10", "2.0", "2", "1"], Classification()) == {"1": 0, "2": 1, "10": 2}


def test_label_code_decides_and_several_classes_may_share_a_node():
    settings = Classification(label_code={"AD": 1, "MCI": 1, "CN": 0})
    codes = codes_of(["AD", "CN"], settings)
    assert codes == {"AD": 1, "MCI": 1, "CN": 0}
    assert classification(settings, codes).n_outputs == 2


def test_label_code_may_write_whole_numbers_as_the_table_does_not():
    settings = Classification(label_code={"0.0": 1, "1": 0})
    assert codes_of(["0", "1.0"], settings) == {"0": 1, "1": 0}


def test_a_class_without_a_node_is_refused_with_the_known_ones():
    settings = Classification(label_code=TWO)
    with pytest.raises(InvalidDataError, match=r"diagnosis.*found: MCI.*label_code has AD, CN"):
        codes_of(["AD", "CN", "MCI"], settings)


@pytest.mark.parametrize(
    ("labels", "code"),
    [(["AD", "AD"], None), (["1", "1.0"], None), (["AD", "CN"], {"AD": 0, "CN": 0, "MCI": 1})],
)
def test_one_class_is_refused(labels, code):
    with pytest.raises(InvalidDataError, match="diagnosis has one class") as caught:
        codes_of(labels, Classification(label_code=code))
    assert caught.value.exit_code == 65


def test_a_missing_label_is_refused():
    with pytest.raises(InvalidDataError, match="no label"):
        codes_of(["AD", "CN", float("nan")], Classification())


@pytest.mark.parametrize(
    "codes", [{}, {"AD": 0}, {"AD": 0, "CN": 2}, {"AD": 1, "CN": 2}, {"A": -1, "B": 0}]
)
def test_nodes_with_a_gap_or_fewer_than_two_are_refused(codes):
    with pytest.raises(InvalidDataError, match=r"nodes of the label diagnosis must be 0, 1"):
        task_of(codes)


def test_a_class_with_two_nodes_is_refused():
    with pytest.raises(InvalidDataError, match=r"two nodes in label_code \(found: 1\)"):
        task_of({"1": 0, "1.0": 1})


@given(st.integers(-(10**6), 10**6), st.integers(0, 3))
def test_a_whole_number_is_one_label_however_it_is_written(number, n_zeros):
    assert label_text(f"{number}") == label_text(f" {number}.{'0' * n_zeros}") == str(number)


@pytest.mark.parametrize("text", ["AD", "1.5", "01", "1e3", "nan", "-", ".0", "1.0.0"])
def test_other_labels_stay_as_they_are(text):
    assert label_text(text) == text


# Targets and losses


def test_targets_are_nodes():
    task = task_of({"0": 1, "1": 0})
    assert [task.target([label]) for label in ("0", "0.0", "1.", None)] == [1, 1, 0, -1]


def test_an_unknown_label_is_refused_with_the_known_ones():
    with pytest.raises(InvalidDataError, match=r"diagnosis.*found: MCI.*known values are AD, CN"):
        task_of(TWO).target(["MCI"])


def test_an_empty_cell_is_refused():
    with pytest.raises(InvalidDataError, match="no label"):
        task_of(TWO).target([float("nan")])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_losses_are_computed_in_single_precision_one_a_sample(dtype):
    outputs = torch.tensor([[1.0, 2.0], [0.5, -3.0]], dtype=dtype)
    losses = task_of(TWO).losses(outputs, outputs, torch.tensor([0, 1]))["loss"]
    assert losses.dtype == torch.float32
    expected = [np.log(1 + np.e), 3.5 + np.log(1 + np.exp(-3.5))]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_the_loss_is_that_of_the_settings():
    losses = task_of(TWO, loss="MultiMarginLoss").losses(
        torch.zeros(1, 2), torch.zeros(1), torch.tensor([0])
    )["loss"]
    assert losses.tolist() == [0.5]


# Reading of the outputs


def test_predictions_are_the_classes_with_the_highest_softmax():
    outputs = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    columns = task_of(THREE).predictions(
        torch.from_numpy(outputs).float(), torch.zeros(3), torch.tensor([1, 0, -1])
    )
    assert list(columns) == ["true_label", "predicted_label", "proba0", "proba1", "proba2"]
    assert columns["true_label"].tolist() == [1, 0, -1]
    assert columns["predicted_label"].tolist() == [1, 0, 0]
    expected = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    found = np.stack([columns[f"proba{k}"] for k in range(3)], axis=1)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(st.lists(st.tuples(*[st.floats(-200, 200, width=32)] * 2), min_size=1, max_size=8))
def test_probabilities_sum_to_1_and_the_prediction_is_the_first_highest(rows):
    columns = task_of(TWO).predictions(torch.tensor(rows), torch.zeros(1), torch.zeros(len(rows)))
    found = np.stack([columns["proba0"], columns["proba1"]], axis=1)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert columns["predicted_label"].tolist() == [int(b > a) for a, b in found]


def test_outputs_that_need_a_gradient_are_read():
    outputs = torch.tensor([[0.0, 1.0]], requires_grad=True)
    columns = task_of(TWO).predictions(outputs, torch.zeros(1), torch.tensor([1]))
    assert columns["predicted_label"].tolist() == [1]


# Scores


def test_scores_of_two_classes_are_the_check_values_and_the_mean_loss():
    predictions = predictions_of(
        [0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1], loss=[1, 2, 3, 4, 5, 6, 7.5]
    )
    scores = task_of(TWO).scores(predictions)
    assert list(scores) == [*CLASSIFICATION, "loss"]
    assert scores["BA"] == pytest.approx(0.7083, abs=5e-5)
    assert scores["LR_minus"] == pytest.approx(0.4444, abs=5e-5)
    assert scores["loss"] == 28.5 / 7


def test_scores_of_more_classes_are_means_over_the_classes():
    scores = task_of(THREE).scores(predictions_of([0, 1, 2, 2], [0, 1, 1, 2]))
    assert scores["BA"] == pytest.approx((1 + 5 / 6 + 0.75) / 3)
    assert scores["accuracy"] == 0.75
    assert list(scores) == [*CLASSIFICATION, "loss"]


def test_the_mean_loss_is_exact_in_any_order_of_the_rows():
    task = task_of(TWO)
    for losses in ([1e16, 1.0, 1.0], [1.0, 1.0, 1e16]):
        predictions = predictions_of([0, 1, 1], [0, 1, 1], loss=losses)
        assert task.scores(predictions)["loss"] == (1e16 + 2) / 3


def test_every_metric_that_can_select_has_a_score_and_a_direction():
    task = task_of(TWO)
    assert sorted(task.scores(drawn(9, 2))) == sorted(("loss", *Classification.metrics))
    better = task.higher_is_better()
    assert sorted(better) == sorted(("loss", *Classification.metrics))
    assert [name for name, higher in better.items() if not higher] == ["LR_minus", "loss"]


@pytest.mark.parametrize("codes", [TWO, THREE])
def test_the_order_of_the_rows_changes_neither_scores_nor_table(codes):
    predictions = drawn(40, len(codes))
    shuffled = predictions.sample(frac=1, random_state=0)
    task = task_of(codes)
    assert task.scores(shuffled) == task.scores(predictions)
    pd.testing.assert_frame_equal(
        task.table(shuffled, seed=1), task.table(predictions, seed=1), check_exact=True
    )


def test_a_set_with_one_class_has_its_numbers_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        scores = task_of(TWO).scores(predictions_of([1, 1, 1], [1, 1, 1]))
    assert scores["BA"] == 0.5
    assert "All 3 samples have the same label CN" in caplog.text


def test_a_set_with_two_classes_brings_no_warning(caplog):
    with caplog.at_level(logging.WARNING):
        task_of(THREE).scores(predictions_of([1, 0], [1, 1]))
    assert not caplog.records


def test_samples_without_a_label_are_refused_by_name():
    predictions = predictions_of([0, -1, 1], [0, 1, 1])
    for refused in (task_of(TWO).scores, lambda given: task_of(TWO).table(given, seed=0)):
        with pytest.raises(InvalidDataError, match="sub-001"):
            refused(predictions)


# Tables


def test_the_table_has_the_published_rows_and_columns():
    table = task_of(TWO).table(drawn(30, 2), seed=0)
    assert list(table.columns) == ["Metrics", *CLASSIFICATION, "loss", "positive_class"]
    assert table["Metrics"].tolist() == ["Values", "Lower bound CI", "Upper bound CI", "SE"]
    assert table["loss"].tolist()[1:] == ["N/A"] * 3


def test_the_table_of_more_classes_has_a_column_a_metric_and_class_except_accuracy():
    table = task_of(THREE).table(drawn(30, 3), seed=0)
    expected = [
        column
        for name in CLASSIFICATION
        for column in ([name] if name == "accuracy" else [f"{name}-{k}" for k in range(3)])
    ]
    assert list(table.columns) == ["Metrics", *expected, "loss"]


def test_the_values_of_the_table_are_the_scores():
    predictions = drawn(30, 2)
    values = task_of(TWO).table(predictions, seed=0).iloc[0].drop("Metrics").to_dict()
    assert values.pop("positive_class") == "AD"
    assert values == task_of(TWO).scores(predictions)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [(TWO, "AD"), ({"CN": 0, "AD": 1}, "CN"), ({"AD": 0, "MCI": 0, "CN": 1}, "AD/MCI")],
)
def test_the_table_of_two_classes_says_which_is_positive(codes, expected):
    task = task_of(codes)
    # Also at the level of images, where there is no loss.
    for predictions in (drawn(30, 2), drawn(30, 2).drop(columns="loss")):
        table = task.table(predictions, seed=0)
        assert table["positive_class"].tolist() == [expected, "N/A", "N/A", "N/A"]
        assert table.columns[-1] == "positive_class"


def test_intervals_are_those_of_scikit_learn_over_the_same_resampled_participants(limits_by_hand):
    draws = np.random.default_rng(4)
    # Up to three sessions a participant, in an order that is not that of the participants.
    owners = draws.permutation(np.repeat(np.arange(9), draws.integers(1, 4, size=9)))
    true = draws.integers(2, size=len(owners))
    predicted = draws.integers(2, size=len(owners))
    names = [f"sub-{owner}" for owner in owners]
    table = task_of(TWO).table(predictions_of(true, predicted, participants=names), seed=7)
    references = {
        "accuracy": sklearn_metrics.accuracy_score,
        "F1_score": lambda t, p: sklearn_metrics.f1_score(t, p, pos_label=0, zero_division=0),
        "NPV": lambda t, p: sklearn_metrics.precision_score(t, p, pos_label=1, zero_division=0),
    }
    found = {name: [] for name in references}
    for times in np.concatenate(list(resamples(7, 9, N_RESAMPLES)))[:, owners].astype(int)[:300]:
        for name, reference in references.items():
            found[name].append(reference(np.repeat(true, times), np.repeat(predicted, times)))
    ours = _resampled(true, predicted, owners)
    for name in references:
        np.testing.assert_allclose(ours[name][:300], found[name], rtol=1e-12)
        reference = references[name]
        others = [reference(true[owners != one], predicted[owners != one]) for one in range(9)]
        expected = limits_by_hand(reference(true, predicted), ours[name], others)
        np.testing.assert_allclose(table[name].tolist()[1:], expected, rtol=1e-9)


@pytest.mark.parametrize(("codes", "n_classes"), [(TWO, 2), ({"AD": 0, "CN": 1, "MCI": 2}, 3)])
def test_shares_of_one_sample_each_have_the_exact_interval_of_scipy(codes, n_classes):
    draws = np.random.default_rng(5)
    true, predicted = draws.integers(n_classes, size=(2, 40))
    table = task_of(codes).table(predictions_of(true, predicted), seed=0)
    counted = {"accuracy": (true == predicted, np.full(40, True))}
    for node in range(1 if n_classes == 2 else n_classes):
        end = "" if n_classes == 2 else f"-{node}"
        is_it, said_it = true == node, predicted == node
        counted |= {
            f"sensitivity{end}": (said_it, is_it), f"specificity{end}": (~said_it, ~is_it),
            f"PPV{end}": (is_it, said_it), f"NPV{end}": (~is_it, ~said_it),
        }  # fmt: skip
    for name, (has, of) in counted.items():
        exact = binomtest(int(has[of].sum()), int(of.sum())).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(table[name].tolist()[1:3], [exact.low, exact.high], rtol=1e-9)
    # With a second session of one participant, samples are not independent any more.
    again = predictions_of(true, predicted, participants=[f"sub-{max(n, 1)}" for n in range(40)])
    assert task_of(codes).table(again, seed=0)["accuracy"][1] != table["accuracy"][1]


def test_no_mistake_in_few_people_is_no_proof():
    table = task_of(TWO).table(predictions_of([0, 1] * 6, [0, 1] * 6), seed=0)
    assert table["accuracy"].tolist()[:3] == pytest.approx([1, 0.025 ** (1 / 12), 1])


def _resampled(true, predicted, owners) -> dict[str, np.ndarray]:
    """Each metric of each resample, from repeated rows."""
    found = {name: [] for name in ("accuracy", "F1_score", "NPV")}
    for times in np.concatenate(list(resamples(7, 9, N_RESAMPLES)))[:, owners].astype(int):
        counts = np.zeros((2, 2), dtype=int)
        np.add.at(counts, (np.repeat(true, times), np.repeat(predicted, times)), 1)
        for name, values in found.items():
            values.append(CLASSIFICATION[name].function(counts))
    return {name: np.array(values) for name, values in found.items()}


def test_the_same_seed_gives_the_same_table_and_another_gives_another():
    predictions = drawn(30, 2)
    one, same, other = (task_of(TWO).table(predictions, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert one["BA"][1:].tolist() != other["BA"][1:].tolist()


def test_with_one_participant_the_interval_does_not_apply():
    predictions = predictions_of([0, 1, 1], [0, 1, 0], participants=["sub-1"] * 3)
    table = task_of(TWO).table(predictions, seed=0)
    assert (table.iloc[1:].drop(columns="Metrics") == "N/A").all(axis=None)
    assert table["accuracy"][0] == pytest.approx(2 / 3)


def test_a_perfect_set_has_an_interval_without_width():
    table = task_of(TWO).table(predictions_of([0, 1] * 20, [0, 1] * 20), seed=0)
    assert table["BA"].tolist() == [1, 1, 1, 0]
    # But for a share, of which it is known how often no mistake happens by chance.
    assert table["accuracy"].tolist()[1] == pytest.approx(0.025 ** (1 / 40))


def test_the_table_survives_a_file():
    table = task_of(TWO).table(drawn(20, 2), seed=0)
    text = table.to_csv(sep="\t", index=False)
    back = pd.read_csv(io.StringIO(text), sep="\t", keep_default_na=False)
    assert [float(cell) for cell in back["BA"]] == table["BA"].tolist()
    assert back["loss"].tolist()[1:] == ["N/A"] * 3


def test_a_classification_is_a_task():
    task: Task = task_of(TWO)
    assert task.n_outputs == 2
    assert task_of(THREE).n_outputs == 3
