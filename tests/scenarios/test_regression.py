"""Regression goes the whole way: labels, training, a test set, parts, a resume."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from clinicadl import PredictConfig, predict, resume, train
from clinicadl.engine.events import BatchDone
from clinicadl.engine.plan import plan
from clinicadl.errors import InvalidDataError, UsageError

METRICS = {
    "R2_score": sklearn_metrics.r2_score,
    "MAE": sklearn_metrics.mean_absolute_error,
    "RMSE": sklearn_metrics.root_mean_squared_error,
    "MSE": sklearn_metrics.mean_squared_error,
}


@pytest.fixture
def experiment(prepared, config_of):
    """Return a function that makes a regression on the prepared CAPS; its labels can be learnt."""
    labels = pd.read_csv(prepared / "labels.tsv", sep="\t", dtype=str)
    labels["score"] = np.where(labels["diagnosis"] == "AD", "2.5", "-1")
    labels.to_csv(prepared / "labels.tsv", sep="\t", index=False)

    def of(**sections):
        task = {"name": "regression", "label": ["score"], "selection_metrics": ["loss", "MAE"]}
        sections["task"] = {**task, **sections.get("task", {})}
        sections.setdefault("network", {"dropout": 0.0})
        return config_of(prepared, **sections)

    return of


def read(maps, group, level="image", kind="prediction", metric="loss"):
    path = maps / f"split-0/best-{metric}/{group}/{group}_{level}_level_{kind}.tsv"
    return pd.read_csv(path, sep="\t")


def settings_of_test(caps, **settings):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", n_proc=0,
        gpu=False, **settings,
    )  # fmt: skip


def check_metrics(predictions, metrics, suffix=""):
    for name, reference in METRICS.items():
        pairs = [predictions[f"{column}{suffix or '_label'}"] for column in ("true", "predicted")]
        column = f"{name}{suffix.replace('_', '-')}"
        assert float(metrics[column][0]) == pytest.approx(reference(*pairs), rel=1e-9), name
        assert float(metrics[column][1]) <= float(metrics[column][2])


def test_a_learnable_label_is_learnt_and_judged(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    optimization = {"epochs": 25, "batch_size": 8, "learning_rate": 3e-3}
    train(experiment(optimization=optimization), maps)
    log = pd.read_csv(maps / "split-0/training_logs/training.tsv", sep="\t")
    names = [*METRICS, "loss"]
    assert list(log.columns)[3:] == [f"{n}_train" for n in names] + [f"{n}_valid" for n in names]
    assert log["R2_score_train"].max() > 0.8
    # One sample weighs as much as another: the loss is the mean squared error.
    np.testing.assert_allclose(log["loss_train"], log["MSE_train"], rtol=1e-5)
    predict(settings_of_test(prepared), maps, "test")
    for group in ("train", "validation", "test"):
        predictions = read(maps, group)
        assert list(predictions.columns) == [
            "participant_id", "session_id", "image_id", "true_label", "predicted_label",
        ]  # fmt: skip
        assert set(predictions["true_label"]) == {2.5, -1.0}
        metrics = read(maps, group, kind="metrics")
        assert list(metrics.columns) == ["Metrics", *METRICS, "loss"]
        check_metrics(predictions, metrics)
    record = json.loads((maps / "maps.json").read_text())
    assert record["label_code"] == {}
    assert record["config"]["network"]["name"] == "Conv4_FC3"


def test_several_labels_are_learnt_at_once(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment(task={"label": ["score", "age"]}, optimization={"epochs": 1}), maps)
    predict(settings_of_test(prepared, selection_metrics=("MAE",)), maps, "test")
    predictions, metrics = (read(maps, "test", kind=kind, metric="MAE") for kind in
                            ("prediction", "metrics"))  # fmt: skip
    assert list(predictions.columns)[3:] == [
        "true_score", "predicted_score", "true_age", "predicted_age",
    ]  # fmt: skip
    labels = pd.read_csv(prepared / "labels.tsv", sep="\t")
    ids = ["participant_id", "session_id"]
    assert predictions["true_age"].tolist() == predictions.merge(labels, on=ids)["age"].tolist()
    for label in ("score", "age"):
        check_metrics(predictions, metrics, f"_{label}")


def test_a_group_without_labels_has_predictions_and_no_metrics(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment(optimization={"epochs": 1}), maps)
    predict(settings_of_test(prepared), maps, "known")
    predict(settings_of_test(prepared, use_labels=False), maps, "unknown")
    path = maps / "split-0/best-loss/unknown/unknown_image_level_prediction.tsv"
    assert set(pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)["true_label"]) == {
        "n/a"
    }
    known, unknown = read(maps, "known"), read(maps, "unknown")
    assert unknown["predicted_label"].equals(known["predicted_label"])
    assert not path.with_name("unknown_image_level_metrics.tsv").exists()


@pytest.mark.parametrize("vote", ["mean", "inverse-mae"])
def test_parts_speak_for_their_image(experiment, prepared, tmp_path, vote):
    path = prepared / "tensor_extraction"
    content = json.loads((path / "tiny.json").read_text())
    content |= {"mode": "patch", "patch_size": 9, "stride_size": 8, "extract_json": "patch.json"}
    (path / "patch.json").write_text(json.dumps(content))
    maps = tmp_path / "maps"
    config = experiment(
        data={"preprocessing_json": "patch"}, task={"vote": vote},
        optimization={"epochs": 1, "batch_size": 16},
    )  # fmt: skip
    train(config, maps)
    predict(settings_of_test(prepared), maps, "test")
    parts, images = read(maps, "test", "patch"), read(maps, "test")
    validation = read(maps, "validation", "patch")
    errors = (validation["true_label"] - validation["predicted_label"]).abs()
    say = 1 / errors.groupby(validation["patch_id"]).mean()
    say = say / say.sum() if vote == "inverse-mae" else say * 0 + 1 / 8
    by_hand = (parts["predicted_label"] * parts["patch_id"].map(say)).groupby(
        parts["participant_id"]
    )
    found = images.set_index("participant_id")["predicted_label"].sort_index()
    np.testing.assert_allclose(found, by_hand.sum().sort_index(), rtol=1e-9)
    for level, predictions in (("patch", parts), ("image", images)):
        check_metrics(predictions, read(maps, "test", level, "metrics"))


@pytest.mark.parametrize("cell", ["AD", "inf", "7,5"])
def test_a_label_that_is_no_number_is_refused_with_its_table_and_session(
    experiment, prepared, tmp_path, cell
):
    labels = pd.read_csv(prepared / "labels.tsv", sep="\t", dtype=str, keep_default_na=False)
    table = prepared / "split/2_fold/split-0/validation_baseline.tsv"
    who = pd.read_csv(table, sep="\t")["participant_id"][0]
    labels.loc[labels["participant_id"] == who, "score"] = cell
    labels.to_csv(prepared / "labels.tsv", sep="\t", index=False)
    with pytest.raises(InvalidDataError) as caught:
        train(experiment(), tmp_path / "maps")
    assert caught.value.exit_code == 65
    for words in ("label score is not a number", f"{who} | ses-M000", f"{cell!r}", str(table)):
        assert words in str(caught.value)
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("cell", ["n/a", "nan", ""])
def test_a_missing_label_is_refused_with_its_table_and_session(
    experiment, prepared, tmp_path, cell
):
    labels = pd.read_csv(prepared / "labels.tsv", sep="\t", dtype=str)
    labels.loc[labels["participant_id"] == "sub-T001", "score"] = cell
    labels.to_csv(prepared / "labels.tsv", sep="\t", index=False)
    with pytest.raises(InvalidDataError, match=r"no label.*column score.*sub-T001 \| ses-M000"):
        train(experiment(), tmp_path / "maps")


def test_a_wrong_label_of_a_test_set_is_refused(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment(optimization={"epochs": 1}), maps)
    with pytest.raises(InvalidDataError, match=r"score is not a number in groups/test.*sub-T"):
        predict(settings_of_test(prepared, label=("diagnosis",)), maps, "test")
    assert not (maps / "ledger.tsv").exists()
    with pytest.raises(UsageError, match="learnt 1 labels"):
        predict(settings_of_test(prepared, label=("age", "score")), maps, "test")


def test_the_weighted_sampler_evens_out_bins_of_the_label(experiment, prepared):
    from clinicadl.engine import loop
    from clinicadl.engine.one_split import _training

    labels = pd.read_csv(prepared / "labels.tsv", sep="\t", dtype=str)
    rare = pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t")["participant_id"][0]
    labels["score"] = np.where(labels["participant_id"] == rare, "9", "1")
    labels.to_csv(prepared / "labels.tsv", sep="\t", index=False)
    planned = plan(experiment(data={"sampler": "weighted"}))
    training = _training(planned, planned.splits[0], prepared)
    drawn = [row for epoch in range(60) for batch in loop.in_order(training, epoch)
             for row in batch]  # fmt: skip
    share = np.mean([training.targets[row] == 9 for row in drawn])
    # Half of the draws, whatever the numbers: three standard deviations of so many.
    assert abs(share - 0.5) < 3 * 0.5 / np.sqrt(len(drawn))


def test_a_killed_training_goes_on_to_the_same_bits(experiment, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (2, 1):
            raise Killed

    train(experiment(), tmp_path / "one")
    with pytest.raises(Killed):
        train(experiment(), tmp_path / "other", observers=[kill])
    resume(tmp_path / "other")
    for name in ("model.safetensors", "train/train_image_level_metrics.tsv"):
        one, other = (tmp_path / maps / "split-0/best-MAE" / name for maps in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()


def test_the_command_line_makes_the_same_bits(experiment, prepared, tmp_path, invoke):
    config = experiment(task={"selection_metrics": ["loss"]}, optimization={"epochs": 1})
    train(config, tmp_path / "api")
    code, out, _ = invoke(
        "train", "regression", prepared, "tiny", prepared / "split/2_fold", tmp_path / "cli",
        "--label", "score", "--n_splits", 2, "--split", 0, "-a", "Conv4_FC3", "--epochs", 1,
        "--batch_size", 4, "-lr", 0.001, "--no-gpu", "-np", 0,
    )  # fmt: skip
    assert code == 0
    assert "MAPS:" in out
    name = "split-0/best-loss/model.safetensors"
    assert (tmp_path / "api" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes()


def test_a_dry_run_writes_nothing_and_prints_a_file_for_the_same_command(
    experiment, prepared, tmp_path, invoke
):
    words = ["train", "regression", prepared, "tiny", prepared / "split/2_fold", tmp_path / "maps",
             "--n_splits", 2, "--label", "score", "age", "--no-gpu", "--dry-run"]  # fmt: skip
    code, out, _ = invoke(*words)
    assert code == 0
    assert "classes" not in out
    assert not (tmp_path / "maps").exists()
    (tmp_path / "again.toml").write_text(out)
    words = [*words[:6], "--config_file", tmp_path / "again.toml", "--dry-run"]
    assert invoke(*words)[1] == out


def test_a_file_that_does_not_name_the_task_is_one_for_the_command(
    experiment, prepared, tmp_path, invoke
):
    (tmp_path / "one.toml").write_text('[task]\nlabel = "score"\nloss = "L1Loss"\n')
    words = ["train", "regression", prepared, "tiny", prepared / "split/2_fold", tmp_path / "maps",
             "--n_splits", 2, "--no-gpu", "--dry-run", "-c", tmp_path / "one.toml"]  # fmt: skip
    code, out, _ = invoke(*words)
    assert code == 0
    assert 'loss = "L1Loss"' in out
    code, _, said = invoke("train", "classification", *words[2:])
    assert code == 65
    assert "L1Loss" in said


@pytest.mark.parametrize("flag", ["--selection_threshold", "--kl_weight", "--label_code"])
def test_settings_of_other_tasks_are_no_options(prepared, tmp_path, invoke, flag):
    words = ["train", "regression", prepared, "tiny", prepared / "split/2_fold", tmp_path / "maps"]
    code, _, said = invoke(*words, flag, 1)
    assert code == 2
    assert flag.replace("_", "-") in said.replace("_", "-")
