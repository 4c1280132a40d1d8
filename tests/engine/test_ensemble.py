"""The models of several splits speak together: means by hand, equal or weighed on validation."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from clinicadl import PredictConfig, predict, read_experiment, show_maps, train, verify
from clinicadl.errors import LeakageError, MissingInputError, OutputError, UsageError
from clinicadl.layouts.maps import names

QUICK = {"n_proc": 0, "gpu": False}
BOTH = {"validation": {"n_splits": 2, "split": [0, 1]}}


@pytest.fixture(scope="module")
def two_once(prepared_once, config_of, tmp_path_factory):
    """A MAPS of two trained splits; nobody writes to it."""
    maps = tmp_path_factory.mktemp("two") / "maps"
    train(config_of(prepared_once, **BOTH), maps)
    return maps


@pytest.fixture
def two(two_once, tmp_path):
    return shutil.copytree(two_once, tmp_path / "maps")


@pytest.fixture(scope="module")
def regression_once(prepared_once, config_of, tmp_path_factory):
    maps = tmp_path_factory.mktemp("ages") / "maps"
    task = {"name": "regression", "label": "age", "selection_metrics": ["loss"]}
    train(config_of(prepared_once, **BOTH, optimization={"epochs": 1}, task=task), maps)
    return maps


def new_group(caps, **settings):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", **QUICK, **settings
    )


def table(maps, split, group="test", metric="loss"):
    home = names.results(maps, split, metric, group)
    return pd.read_csv(names.predictions(home, "image"), sep="\t")


def metrics(maps, split=None, metric="loss"):
    path = names.metrics(names.results(maps, split, metric, "test"), "image")
    return pd.read_csv(path, sep="\t", index_col=0)


def test_probabilities_are_the_mean_of_those_of_the_splits(two, prepared_once):
    predict(new_group(prepared_once, ensemble=True), two, "test")
    for metric in ("loss", "BA"):
        of_splits = [table(two, split, metric=metric) for split in (0, 1)]
        ours = table(two, None, metric=metric)
        for node in ("proba0", "proba1"):
            by_hand = np.mean([one[node].to_numpy() for one in of_splits], axis=0)
            np.testing.assert_allclose(ours[node], by_hand, rtol=1e-12)
        np.testing.assert_array_equal(
            ours["predicted_label"], np.argmax(ours[["proba0", "proba1"]].to_numpy(), axis=1)
        )
        for column in ("participant_id", "session_id", "image_id", "true_label"):
            assert ours[column].tolist() == of_splits[0][column].tolist()
        found = metrics(two, metric=metric)
        accuracy = np.mean(ours["true_label"] == ours["predicted_label"])
        assert float(found.loc["Values", "accuracy"]) == pytest.approx(accuracy)
        assert found.index.tolist() == ["Values", "Lower bound CI", "Upper bound CI", "SE"]
        about = names.description(names.results(two, None, metric, "test")).read_text()
        assert about.endswith("Ensemble: split 0 0.5, split 1 0.5\n")
    assert verify(two).different == ()
    assert "ensemble by BA, ensemble by loss" in show_maps(two)


def test_splits_weigh_by_their_balanced_accuracy_on_validation_and_by_nothing_else(
    two, prepared_once
):
    # A validation that tells the splits apart: split 0 errs once, in one of its classes.
    for split in (0, 1):
        home = names.results(two, split, "loss", "validation")
        path = names.predictions(home, "image")
        rows = pd.read_csv(path, sep="\t")
        rows["predicted_label"] = rows["true_label"]
        if split == 0:
            rows.loc[0, "predicted_label"] = 1 - rows.loc[0, "true_label"]
        rows.to_csv(path, sep="\t", index=False)
    say = [
        balanced_accuracy_score(rows["true_label"], rows["predicted_label"])
        for rows in (table(two, split, "validation") for split in (0, 1))
    ]
    assert say[0] < say[1] == 1
    config = new_group(
        prepared_once, ensemble=True, ensemble_weights="validation", selection_metrics=("loss",)
    )
    predict(config, two, "test")
    by_hand = np.average([table(two, split)["proba1"] for split in (0, 1)], axis=0, weights=say)
    np.testing.assert_allclose(table(two, None)["proba1"], by_hand, rtol=1e-12)


@pytest.mark.parametrize("weights", ["equal", "validation"])
def test_numbers_are_the_mean_of_those_of_the_splits(
    regression_once, prepared_once, tmp_path, weights
):
    maps = shutil.copytree(regression_once, tmp_path / "maps")
    predict(new_group(prepared_once, ensemble=True, ensemble_weights=weights), maps, "test")
    say = [
        1 / np.mean(np.abs(rows["predicted_label"] - rows["true_label"]))
        for rows in (table(maps, split, "validation") for split in (0, 1))
    ]
    say = [1, 1] if weights == "equal" else say
    by_hand = np.average([table(maps, split)["predicted_label"] for split in (0, 1)], axis=0,
                         weights=say)  # fmt: skip
    ours = table(maps, None)
    np.testing.assert_allclose(ours["predicted_label"], by_hand, rtol=1e-12)
    error = np.mean(np.abs(ours["true_label"] - by_hand))
    assert float(metrics(maps).loc["Values", "MAE"]) == pytest.approx(error)


def test_whoever_any_split_has_seen_is_refused(two, prepared_once):
    for table_of in ("split-0/train.tsv", "split-1/validation_baseline.tsv"):
        config = PredictConfig(
            caps_directory=prepared_once, ensemble=True, **QUICK,
            participants_tsv=prepared_once / "split/2_fold" / table_of,
        )  # fmt: skip
        with pytest.raises(LeakageError):
            predict(config, two, "again")
    assert not (two / "ensemble").exists()


def test_what_the_splits_said_before_is_taken_as_it_is(two, prepared_once):
    predict(new_group(prepared_once, split=(0,), selection_metrics=("loss",)), two, "test")
    path = names.predictions(names.results(two, 0, "loss", "test"), "image")
    before = path.stat().st_mtime_ns
    together = PredictConfig(ensemble=True, selection_metrics=("loss",), **QUICK)
    predict(together, two, "test")
    assert path.stat().st_mtime_ns == before
    by_hand = np.mean([table(two, split)["proba0"] for split in (0, 1)], axis=0)
    np.testing.assert_allclose(table(two, None)["proba0"], by_hand, rtol=1e-12)
    with pytest.raises(OutputError, match="exist already.*ensemble"):
        predict(together, two, "test")


def test_a_group_that_is_defined_anew_loses_what_was_said_together(two, prepared_once):
    predict(new_group(prepared_once, ensemble=True), two, "test")
    predict(new_group(prepared_once, overwrite=True, split=(0,)), two, "test")
    assert not names.results(two, None, "loss", "test").exists()


def test_a_reason_marks_what_is_said_together(two, prepared_once):
    seen = prepared_once / "split/2_fold/split-0/train.tsv"
    config = new_group(prepared_once, ensemble=True, accept_leakage="a check", split=(0, 1))
    predict(config.model_copy(update={"participants_tsv": seen}), two, "test")
    assert set(table(two, None)["accepted_leakage"]) == {"a check"}


def test_without_labels_there_are_predictions_alone(two, prepared_once):
    predict(new_group(prepared_once, ensemble=True, use_labels=False), two, "test")
    assert set(table(two, None)["true_label"]) == {-1}
    assert not names.metrics(names.results(two, None, "loss", "test"), "image").exists()


def test_what_has_no_ensemble_is_refused_before_anything_is_written(two, prepared_once):
    with pytest.raises(ValueError, match="add ensemble"):
        PredictConfig(ensemble_weights="validation")
    with pytest.raises(UsageError, match="needs the models of two splits"):
        predict(new_group(prepared_once, ensemble=True, split=(0,)), two, "test")
    names.predictions(names.results(two, 1, "BA", "validation"), "image").unlink()
    config = new_group(prepared_once, ensemble=True, ensemble_weights="validation")
    with pytest.raises(MissingInputError, match="split-1/best-BA/validation"):
        predict(config, two, "test")
    assert not (two / "groups/test").exists()


def test_a_reconstruction_has_none(prepared_once, config_of, tmp_path):
    quick = config_of(prepared_once, **BOTH, optimization={"epochs": 1}).model_dump(mode="json")
    task = {"name": "reconstruction", "selection_metrics": ["loss"]}
    config = read_experiment({**quick, "task": task, "network": {"name": "AE_Conv4_FC3"}})
    train(config, tmp_path / "maps")
    with pytest.raises(UsageError, match="classification or a regression"):
        predict(new_group(prepared_once, ensemble=True), tmp_path / "maps", "test")


def test_one_image_is_told_by_all_splits(invoke, two, prepared_once, tmp_path):
    who = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")["participant_id"][0]
    (scan,) = prepared_once.glob(f"subjects/{who}/ses-M000/custom/*.nii.gz")
    code, said, _ = invoke(
        "predict", two, "one", "--image", scan, "--ensemble", "-sm", "loss", "-np", 0, "--no-gpu"
    )
    assert code == 0
    row = table(two, None, "one").iloc[0]
    line = f"ensemble by loss: AD {row['proba0']:.4g}, CN {row['proba1']:.4g}"
    assert f"{who} | ses-M000, {line}" in said.splitlines()
    assert f"results: {two}/ensemble/best-loss/one" in said.splitlines()
