"""Evaluation of trained models on a data group, behind the guard."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from clinicadl import PredictConfig, predict
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)


def new_group(caps, **settings):
    return PredictConfig(
        caps_directory=caps,
        participants_tsv=caps / "split" / "test_baseline.tsv",
        **{"n_proc": 0, "gpu": False, **settings},
    )


def results(maps, group="test", metric="loss", split=0):
    return maps / f"split-{split}" / f"best-{metric}" / group


def ledger(maps):
    return pd.read_csv(maps / "ledger.tsv", sep="\t", keep_default_na=False)


def test_every_model_says_what_it_thinks_of_each_image(trained, prepared_once):
    predict(new_group(prepared_once), trained, "test")
    table = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    for metric in ("loss", "BA"):
        folder = results(trained, metric=metric)
        said = pd.read_csv(folder / "test_image_level_prediction.tsv", sep="\t")
        assert sorted(said["participant_id"]) == sorted(table["participant_id"])
        np.testing.assert_allclose(said["proba0"] + said["proba1"], 1)
        metrics = pd.read_csv(folder / "test_image_level_metrics.tsv", sep="\t", index_col=0)
        assert metrics.index.tolist() == ["Values", "Lower bound CI", "Upper bound CI", "SE"]
        accuracy = (said["true_label"] == said["predicted_label"]).mean()
        assert float(metrics.loc["Values", "accuracy"]) == pytest.approx(accuracy)
        assert json.loads((folder / "guard.json").read_text()) == {"accepted": None, "findings": []}
        assert (folder / "description.log").read_text().count("\n") == 4


def test_predictions_equal_those_made_in_training(trained, prepared_once, tmp_path):
    """The same images through the door of a new group: the bits are the same."""
    table = pd.read_csv(trained / "groups/validation/split-0/data.tsv", sep="\t")
    table.to_csv(tmp_path / "again.tsv", sep="\t", index=False)
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=tmp_path / "again.tsv", n_proc=0,
        gpu=False, batch_size=4, accept_leakage="to compare", diagnoses=("AD", "CN"),
    )  # fmt: skip
    predict(config, trained, "again")
    ours = pd.read_csv(results(trained, "again") / "again_image_level_prediction.tsv", sep="\t")
    theirs = pd.read_csv(
        results(trained, "validation") / "validation_image_level_prediction.tsv", sep="\t"
    )
    pd.testing.assert_frame_equal(ours.drop(columns="accepted_leakage"), theirs)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("n_proc", [0, 2])
def test_batches_and_workers_change_nothing_beyond_rounding(
    trained, prepared_once, batch_size, n_proc
):
    predict(new_group(prepared_once, batch_size=batch_size, n_proc=n_proc), trained, "test")
    predict(new_group(prepared_once), trained, "reference")
    ours = pd.read_csv(results(trained) / "test_image_level_prediction.tsv", sep="\t")
    theirs = pd.read_csv(
        results(trained, "reference") / "reference_image_level_prediction.tsv", sep="\t"
    )
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5)  # float32 sums in another order


def test_participants_that_a_model_has_seen_are_refused_and_nothing_is_written(
    trained, prepared_once
):
    for table in ("train", "validation"):
        rows = (
            prepared_once
            / "split/2_fold/split-1"
            / ("train.tsv" if table == "train" else "validation_baseline.tsv")
        )
        config = PredictConfig(caps_directory=prepared_once, participants_tsv=rows, gpu=False)
        with pytest.raises(LeakageError, match="sub-T"):
            predict(config, trained, "new")
    assert not (trained / "groups/new").exists()
    assert not (trained / "ledger.tsv").exists()
    assert not results(trained, "new").exists()


def test_another_spelling_does_not_fool_the_guard(trained, prepared, tmp_path):
    seen = pd.read_csv(trained / "groups/train+validation.tsv", sep="\t")["participant_id"][0]
    respelt = "sub-" + seen.removeprefix("sub-").lower().replace("t0", "t00")
    shutil.copytree(prepared / "subjects" / seen, prepared / "subjects" / respelt)
    for path in (prepared / "subjects" / respelt).rglob("*"):
        if seen in path.name:
            path.rename(path.with_name(path.name.replace(seen, respelt)))
    (tmp_path / "t.tsv").write_text(
        f"participant_id\tsession_id\tdiagnosis\n{respelt}\tses-M000\tAD\n"
    )
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=tmp_path / "t.tsv", gpu=False, n_proc=0
    )
    with pytest.raises(LeakageError, match=respelt):
        predict(config, trained, "new")


def test_the_same_image_under_another_name_does_not_fool_the_guard(trained, prepared, tmp_path):
    from clinicadl import PrepareConfig, prepare_data

    seen = pd.read_csv(trained / "groups/train+validation.tsv", sep="\t")["participant_id"][0]
    source = next(prepared.glob(f"subjects/{seen}/ses-M000/custom/*.nii.gz"))
    copy = prepared / "subjects/sub-X999/ses-M000/custom" / source.name.replace(seen, "sub-X999")
    copy.parent.mkdir(parents=True)
    shutil.copy(source, copy)
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    (tmp_path / "t.tsv").write_text(
        "participant_id\tsession_id\tdiagnosis\nsub-X999\tses-M000\tAD\n"
    )
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=tmp_path / "t.tsv", gpu=False, n_proc=0
    )
    with pytest.raises(LeakageError, match="sub-X999"):
        predict(config, trained, "new")


def test_what_a_source_has_seen_is_refused_too(trained_once, prepared_once, config_of, tmp_path):
    """The lists are inherited: who was seen by a source alone is refused all the same."""
    from clinicadl import train

    maps = tmp_path / "child"
    tables = tmp_path / "tables"
    shutil.copytree(prepared_once / "split/2_fold", tables)
    (tables / "labels.tsv").write_text((prepared_once / "labels.tsv").read_text())
    gone = pd.read_csv(tables / "split-0/train.tsv", sep="\t")["participant_id"].iloc[0]
    for path in tables.glob("split-*/*.tsv"):
        table = pd.read_csv(path, sep="\t")
        table[table["participant_id"] != gone].to_csv(path, sep="\t", index=False)
    config = config_of(
        prepared_once,
        data={"tsv_directory": tables},
        transfer={"transfer_path": trained_once},
        optimization={"epochs": 1},
    )
    train(config, maps)
    (tmp_path / "t.tsv").write_text(
        f"participant_id\tsession_id\tdiagnosis\n{gone}\tses-M000\tAD\n"
    )
    group = PredictConfig(
        caps_directory=prepared_once, participants_tsv=tmp_path / "t.tsv", gpu=False, n_proc=0
    )
    with pytest.raises(LeakageError, match=gone) as caught:
        predict(group, maps, "new")
    assert trained_once.name in str(caught.value)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_the_groups_of_training_are_no_test_sets(trained, prepared_once, name):
    with pytest.raises(LeakageError, match=name):
        predict(PredictConfig(), trained, name)
    with pytest.raises(LeakageError, match=name):
        predict(new_group(prepared_once, overwrite=True, accept_leakage="why not"), trained, name)


def test_an_accepted_leakage_marks_every_number(trained, prepared_once):
    rows = prepared_once / "split/2_fold/split-0/validation_baseline.tsv"
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=rows, gpu=False, n_proc=0,
        accept_leakage="a check of the pipeline",
    )  # fmt: skip
    predict(config, trained, "again")
    folder = results(trained, "again")
    for table in ("prediction", "metrics"):
        marked = pd.read_csv(folder / f"again_image_level_{table}.tsv", sep="\t")
        assert set(marked["accepted_leakage"]) == {"a check of the pipeline"}
    assert "a check of the pipeline" in (folder / "description.log").read_text()
    assert json.loads((folder / "guard.json").read_text())["accepted"] == "a check of the pipeline"
    assert ledger(trained)["accepted_leakage"].tolist() == ["a check of the pipeline"]


def test_every_look_is_in_the_ledger_before_the_first_prediction(trained, prepared_once):
    predict(new_group(prepared_once), trained, "test")
    (trained / "split-0/best-loss/model.safetensors").write_bytes(b"damaged")
    again = PredictConfig(n_proc=0, gpu=False, overwrite=False, selection_metrics=("loss",))
    shutil.rmtree(results(trained))
    with pytest.raises(InvalidDataError, match="model.safetensors"):
        predict(again, trained, "test")
    looks = ledger(trained)
    assert looks["group"].tolist() == ["test", "test"]
    assert looks["n_participants"].tolist() == [6, 6]
    assert looks["models"].tolist() == [
        "split-0/best-BA split-0/best-loss", "split-0/best-loss",
    ]  # fmt: skip
    assert looks["table_sha256"].nunique() == 1


def test_existing_results_are_refused_and_kept(trained, prepared_once):
    predict(new_group(prepared_once), trained, "test")
    before = (results(trained) / "test_image_level_prediction.tsv").read_bytes()
    with pytest.raises(OutputError, match="exist already"):
        predict(PredictConfig(gpu=False), trained, "test")
    with pytest.raises(UsageError, match="defined already"):
        predict(new_group(prepared_once), trained, "test")
    assert (results(trained) / "test_image_level_prediction.tsv").read_bytes() == before


def test_overwriting_defines_the_group_anew_and_drops_every_former_result(
    trained, prepared_once, tmp_path
):
    predict(new_group(prepared_once), trained, "test")
    rows = (prepared_once / "split/test_baseline.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "fewer.tsv").write_text("".join(rows[:4]))
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=tmp_path / "fewer.tsv", n_proc=0,
        gpu=False, overwrite=True, selection_metrics=("BA",),
    )  # fmt: skip
    predict(config, trained, "test")
    assert len(pd.read_csv(trained / "groups/test/data.tsv", sep="\t")) == 3
    said = pd.read_csv(results(trained, metric="BA") / "test_image_level_prediction.tsv", sep="\t")
    assert len(said) == 3
    assert not results(trained, metric="loss").exists()


def test_overwriting_does_not_step_around_the_guard(trained, prepared_once):
    predict(new_group(prepared_once), trained, "test")
    before = (trained / "groups/test/data.tsv").read_bytes()
    config = PredictConfig(
        caps_directory=prepared_once, overwrite=True, gpu=False,
        participants_tsv=prepared_once / "split/2_fold/split-0/train.tsv",
    )  # fmt: skip
    with pytest.raises(LeakageError):
        predict(config, trained, "test")
    assert (trained / "groups/test/data.tsv").read_bytes() == before
    assert results(trained).exists()


def test_a_known_group_needs_its_name_alone(trained, prepared_once):
    predict(new_group(prepared_once, selection_metrics=("BA",)), trained, "test")
    predict(PredictConfig(n_proc=0, gpu=False, selection_metrics=("loss",)), trained, "test")
    assert results(trained, metric="loss").is_dir()


def test_a_group_without_labels_has_predictions_and_no_metrics(trained, prepared_once, tmp_path):
    table = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    table[["participant_id", "session_id"]].to_csv(folder / "t.tsv", sep="\t", index=False)
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=folder / "t.tsv", n_proc=0, gpu=False,
        use_labels=False,
    )  # fmt: skip
    predict(config, trained, "unknown")
    said = pd.read_csv(results(trained, "unknown") / "unknown_image_level_prediction.tsv", sep="\t")
    assert set(said["true_label"]) == {-1}
    assert not (results(trained, "unknown") / "unknown_image_level_metrics.tsv").exists()


def test_a_folder_of_tables_means_its_baseline_tables(trained, prepared_once, tmp_path):
    table = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    for number, rows in enumerate((table[:2], table[2:])):
        rows.to_csv(tmp_path / f"part{number}_baseline.tsv", sep="\t", index=False)
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=tmp_path, n_proc=0, gpu=False
    )
    predict(config, trained, "test")
    group = pd.read_csv(trained / "groups/test/data.tsv", sep="\t")
    assert group["participant_id"].tolist() == table["participant_id"].tolist()


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"split": (1,)}, MissingInputError, "split 1"),
        ({"selection_metrics": ("MCC",)}, MissingInputError, "MCC"),
        ({"label": ("height",)}, MissingInputError, "height"),
        ({"label": ("sex",)}, InvalidDataError, "AD, CN"),
        ({"diagnoses": ("MCI",)}, InvalidDataError, "MCI"),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_written(
    trained, prepared_once, settings, error, match
):
    with pytest.raises(error, match=match):
        predict(new_group(prepared_once, **settings), trained, "test")
    assert not (trained / "groups/test").exists()
    assert not (trained / "ledger.tsv").exists()


@pytest.mark.parametrize("name", ["", "../out", "a/b", ".hidden", "two words"])
def test_a_name_that_cannot_be_a_folder_is_refused(trained, prepared_once, name):
    with pytest.raises(UsageError, match="cannot name"):
        predict(new_group(prepared_once), trained, name)


def test_a_new_group_needs_images_and_a_table(trained, prepared_once):
    with pytest.raises(UsageError, match="--caps_directory"):
        predict(PredictConfig(caps_directory=prepared_once), trained, "test")


def test_images_of_another_grid_are_refused(trained, prepared, tmp_path):
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.layouts import images

    for path in prepared.glob("subjects/*/*/custom/*.nii.gz"):
        voxels = np.random.default_rng(0).random((18, 20, 16), dtype=np.float32)
        images.write(path, voxels, affine=np.eye(4))
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    with pytest.raises(InvalidDataError, match="another shape"):
        predict(new_group(prepared), trained, "test")


def test_a_folder_that_is_no_maps_is_refused(tmp_path, prepared_once):
    with pytest.raises(MissingInputError, match="maps.json"):
        predict(new_group(prepared_once), tmp_path, "test")


def test_an_unfinished_split_has_no_say(trained, prepared_once):
    (trained / "split-0/tmp").mkdir()
    with pytest.raises(MissingInputError, match="none"):
        predict(new_group(prepared_once), trained, "test")


def test_images_that_changed_since_the_group_was_defined_are_refused(trained, prepared):
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.layouts import images

    table = prepared / "split/test_baseline.tsv"
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=table, gpu=False, n_proc=0,
        selection_metrics=("loss",),
    )  # fmt: skip
    predict(config, trained, "new")
    again = PredictConfig(selection_metrics=("BA",), gpu=False, n_proc=0)
    who = pd.read_csv(table, sep="\t")["participant_id"][0]
    (path,) = prepared.glob(f"subjects/{who}/ses-M000/custom/*.nii.gz")
    old = images.read(path)
    images.write(path, old.voxels + 1, affine=old.affine)
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    with pytest.raises(InvalidDataError, match=f"1 images changed.*{who} . ses-M000.*--overwrite"):
        predict(again, trained, "new")
    assert not (trained / "split-0/best-BA/new").exists()
    predict(config.model_copy(update={"overwrite": True}), trained, "new")
    predict(again, trained, "new")
