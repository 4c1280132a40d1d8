"""One NIfTI goes the way of a prepared data group, without a CAPS and without a label."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinicadl import InterpretConfig, PredictConfig, interpret, predict, train, verify
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts import images
from clinicadl.layouts.maps import names

QUICK = {"n_proc": 0, "gpu": False}


def rows_of_the_test_set(caps):
    return pd.read_csv(caps / "split/test_baseline.tsv", sep="\t", dtype=str)


@pytest.fixture
def scan(prepared_once, tmp_path):
    """The image of a participant of the test set, alone in a folder."""
    who = rows_of_the_test_set(prepared_once)["participant_id"][0]
    (source,) = prepared_once.glob(f"subjects/{who}/ses-M000/custom/*.nii.gz")
    (tmp_path / "scans").mkdir()
    return Path(shutil.copy(source, tmp_path / "scans"))


def said(maps, group, metric="loss"):
    home = names.results(maps, 0, metric, group)
    return pd.read_csv(names.predictions(home, "image"), sep="\t")


def renamed(scan, name="scan.nii.gz"):
    return scan.rename(scan.with_name(name))


def test_one_image_is_told_what_it_is_told_among_others(trained, prepared_once, scan):
    predict(PredictConfig(image=(scan,), batch_size=1, **QUICK), trained, "one")
    table = prepared_once / "split/test_baseline.tsv"
    config = PredictConfig(
        caps_directory=prepared_once, participants_tsv=table, batch_size=1, **QUICK
    )
    predict(config, trained, "test")
    for metric in ("loss", "BA"):
        ours, theirs = said(trained, "one", metric), said(trained, "test", metric)
        theirs = theirs[theirs["participant_id"] == ours["participant_id"][0]]
        assert len(ours) == 1
        left_out = ["true_label"]
        pd.testing.assert_frame_equal(
            ours.drop(columns=left_out), theirs.drop(columns=left_out).reset_index(drop=True)
        )
        assert ours["true_label"].tolist() == [-1]
        home = names.results(trained, 0, metric, "one")
        assert not names.metrics(home, "image").exists()
        assert f"Data loaded from images: ['{scan}']" in names.description(home).read_text()


def test_the_data_of_training_are_not_needed(trained, prepared, scan, tmp_path):
    """On another machine: neither CAPS nor tables are where the MAPS says."""
    record = json.loads((trained / "maps.json").read_text())
    text = (trained / "maps.json").read_text()
    gone = record["config"]["data"]["caps_directory"]
    (trained / "maps.json").write_text(text.replace(gone, str(tmp_path / "gone")))
    predict(PredictConfig(image=(scan,), **QUICK), trained, "one")
    assert len(said(trained, "one")) == 1


def test_nothing_of_the_image_is_left_behind(trained, scan, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    predict(PredictConfig(image=(scan,), **QUICK), trained, "one")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not [*trained.rglob("*.pt"), *trained.rglob("*.nii.gz")]


def test_the_group_is_known_by_its_name_then(trained, scan):
    predict(PredictConfig(image=(scan,), selection_metrics=("BA",), **QUICK), trained, "one")
    predict(PredictConfig(selection_metrics=("loss",), **QUICK), trained, "one")
    interpret(InterpretConfig(save_nifti=True, **QUICK), trained, "one", "why")
    (path,) = names.results(trained, 0, "loss", "one").rglob("*.nii.gz")
    np.testing.assert_array_equal(images.read(path).affine, images.read(scan).affine)
    assert verify(trained).different == ()
    with pytest.raises(UsageError, match="defined already.*--image"):
        predict(PredictConfig(image=(scan,), **QUICK), trained, "one")
    with pytest.raises(OutputError, match="exist already"):
        predict(PredictConfig(**QUICK), trained, "one")


def test_an_image_that_changed_or_went_is_refused(trained, scan):
    predict(PredictConfig(image=(scan,), selection_metrics=("BA",), **QUICK), trained, "one")
    old = images.read(scan)
    images.write(scan, old.voxels + 1, affine=old.affine)
    with pytest.raises(InvalidDataError, match="1 images changed since"):
        predict(PredictConfig(selection_metrics=("loss",), **QUICK), trained, "one")
    scan.unlink()
    with pytest.raises(MissingInputError, match=scan.name):
        predict(PredictConfig(selection_metrics=("loss",), **QUICK), trained, "one")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda voxels, affine: (voxels[:-1], affine), "17 x 20 x 17 voxels, trained on 18 x 20"),
        (lambda voxels, affine: (voxels, affine + 2 * np.eye(4, k=3)), "elsewhere"),
        (lambda voxels, affine: (voxels[::-1], affine @ np.diag([-1, 1, 1, 1])), "elsewhere"),
        (lambda voxels, affine: (voxels * np.float32(0), affine), "All voxels"),
    ],
    ids=["size", "place", "orientation", "content"],
)
def test_an_image_of_another_grid_is_refused_before_anything_is_written(
    trained, scan, change, match
):
    old = images.read(scan)
    voxels, affine = change(old.voxels, old.affine)
    images.write(scan, np.ascontiguousarray(voxels), affine=affine)
    with pytest.raises(InvalidDataError, match=match):
        predict(PredictConfig(image=(scan,), **QUICK), trained, "one")
    assert not (trained / "groups/one").exists()
    assert not names.ledger(trained).exists()


def test_the_guard_knows_an_image_by_its_name_and_by_its_content(trained, prepared_once, scan):
    seen = pd.read_csv(trained / "groups/train+validation.tsv", sep="\t")["participant_id"][0]
    with pytest.raises(LeakageError, match=seen):
        config = PredictConfig(image=(scan,), participant=seen, session="ses-M048", **QUICK)
        predict(config, trained, "one")
    (source,) = prepared_once.glob(f"subjects/{seen}/ses-M000/custom/*.nii.gz")
    copy = Path(shutil.copy(source, scan.with_name("anonymous.nii.gz")))
    with pytest.raises(LeakageError, match=f"sub-unknown . ses-unknown.*{seen}"):
        predict(PredictConfig(image=(copy,), **QUICK), trained, "one")
    assert not (trained / "groups/one").exists()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("sub-A1_ses-M003_T1w.nii.gz", {}, ("sub-A1", "ses-M003")),
        ("sub-A1_T1w.nii.gz", {}, ("sub-A1", "ses-unknown")),
        ("T1w.nii.gz", {}, ("sub-unknown", "ses-unknown")),
        ("T1w.nii.gz", {"participant": "002_S_1", "session": "m06"}, ("sub-002S1", "ses-M006")),
        ("sub-A1_ses-M003.nii.gz", {"participant": "B"}, ("sub-B", "ses-M003")),
    ],
)
def test_who_is_on_the_image(trained, scan, name, given, expected):
    config = PredictConfig(
        image=(renamed(scan, name),), selection_metrics=("loss",), **given, **QUICK
    )
    predict(config, trained, "one")
    row = said(trained, "one").iloc[0]
    assert (row["participant_id"], row["session_id"]) == expected


def test_what_cannot_be_meant_is_refused(trained, scan, prepared_once):
    for more in (
        {"participants_tsv": prepared_once / "labels.tsv"},
        {"multi_cohort": True},
        {"diagnoses": ("AD",)},
    ):
        with pytest.raises(ValueError, match="in place of"):
            PredictConfig(image=(scan,), **more)
    with pytest.raises(ValueError, match="there is none"):
        PredictConfig(participant="sub-1")
    with pytest.raises(UsageError, match="take 1 image of a session"):
        predict(PredictConfig(image=(scan, scan), **QUICK), trained, "one")
    with pytest.raises(UsageError, match="no id"):
        predict(PredictConfig(image=(scan,), participant="sub-!!", **QUICK), trained, "one")
    with pytest.raises(UsageError, match="--caps_directory"):
        predict(PredictConfig(image=(scan,), caps_directory=prepared_once, **QUICK), trained, "one")
    with pytest.raises(UsageError, match="--label"):
        predict(PredictConfig(image=(scan,), label=("age",), **QUICK), trained, "one")


@pytest.fixture(scope="module")
def experiment_on_parts(prepared_once, config_of, tmp_path_factory):
    """Return a function that trains on parts in a mode, without storing them."""
    home = tmp_path_factory.mktemp("parts")

    def of(mode, **keys):
        caps = home / mode / "caps"
        shutil.copytree(prepared_once, caps)
        path = caps / "tensor_extraction" / "tiny.json"
        content = json.loads(path.read_text()) | {"mode": mode, **keys}
        path.write_text(json.dumps(content))
        if mode == "roi":
            voxels = np.zeros((18, 20, 17), np.uint8)
            voxels[2:10, 2:10, 2:10] = 1
            (source, *_) = sorted(caps.glob("subjects/*/*/custom/*.nii.gz"))
            images.write(
                caps / "masks/tpl-T/tpl-T_roi-corner_mask.nii.gz",
                voxels,
                affine=images.read(source).affine,
            )
        maps = home / mode / "maps"
        train(config_of(caps, optimization={"epochs": 1}), maps)
        return caps, maps

    return of


@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        ("patch", {"patch_size": 9, "stride_size": 9}),
        ("slice", {"slice_direction": 1, "slice_mode": "single", "discarded_slices": [8, 8]}),
        ("roi", {"roi_list": ["corner"], "roi_custom_template": "T", "uncropped_roi": True}),
    ],
)
def test_parts_of_one_image_are_those_of_a_prepared_one(experiment_on_parts, scan, mode, keys):
    caps, maps = experiment_on_parts(mode, **keys)
    predict(PredictConfig(image=(scan,), selection_metrics=("loss",), **QUICK), maps, "one")
    table = rows_of_the_test_set(caps)[:1]
    table.to_csv(caps / "one.tsv", sep="\t", index=False)
    config = PredictConfig(
        caps_directory=caps, participants_tsv=caps / "one.tsv", selection_metrics=("loss",), **QUICK
    )
    predict(config, maps, "same")
    for level in ("image", mode):
        ours, theirs = (
            pd.read_csv(
                names.predictions(names.results(maps, 0, "loss", group), level), sep="\t"
            ).drop(columns="true_label")
            for group in ("one", "same")
        )
        pd.testing.assert_frame_equal(ours, theirs)
    if mode == "roi":
        shutil.move(caps, caps.with_name("moved"))
        config = PredictConfig(image=(scan,), selection_metrics=("loss",), **QUICK)
        with pytest.raises(MissingInputError, match="masks of the regions.*--caps_directory"):
            predict(config, maps, "two")
        there = config.model_copy(update={"caps_directory": caps.with_name("moved")})
        predict(there, maps, "two")
        assert said(maps, "two").equals(said(maps, "one"))


def test_an_earlier_maps_without_a_grid_compares_the_shape(trained, scan):
    content = json.loads((trained / "maps.json").read_text())
    del content["image_grid"]
    (trained / "maps.json").write_text(json.dumps(content))
    predict(PredictConfig(image=(scan,), **QUICK), trained, "one")
    old = images.read(scan)
    images.write(scan, old.voxels[:-1], affine=old.affine)
    with pytest.raises(InvalidDataError, match="another shape"):
        predict(PredictConfig(image=(scan,), **QUICK), trained, "two")


def test_the_command_line_says_what_the_models_say(invoke, trained, scan):
    code, out, err = invoke("predict", trained, "one", "--image", scan, "--no-gpu", "-np", 0)
    assert code == 0, err
    row = said(trained, "one").iloc[0]
    who = f"{row['participant_id']} | {row['session_id']}"
    assert "no label is known, so there is nothing to compare with" in out
    line = f"{who}, split 0 by loss: AD {row['proba0']:.4g}, CN {row['proba1']:.4g}"
    assert line in out.splitlines()


def alike(maps, caps, rows, given):
    """Compare what is said of the images of one session with what is said of it in a CAPS."""
    predict(PredictConfig(image=given, participant="A", session="M000", **QUICK), maps, "one")
    table = caps / "one.tsv"
    rows.to_csv(table, sep="\t", index=False)
    predict(PredictConfig(caps_directory=caps, participants_tsv=table, **QUICK), maps, "same")
    left_out = ["participant_id", "true_label"]
    ours, theirs = (said(maps, group).drop(columns=left_out) for group in ("one", "same"))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_raw_image_is_resampled_as_those_of_training(
    invoke, prepared_once, config_of, scan, tmp_path
):
    bids, caps = tmp_path / "bids", tmp_path / "raw"
    for path in prepared_once.glob("subjects/*/*/custom/*.nii.gz"):
        who, visit = path.name.split("_")[:2]
        target = bids / who / visit / "anat" / f"{who}_{visit}_T1w.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    code, _, complaint = invoke(
        "prepare-data-from-bids", "image", bids, caps, "t1", "--voxel_size", 10, "--grid_size",
        16, 17, 15, "-ej", "tiny", "-np", 1,
    )  # fmt: skip
    assert code == 0, complaint
    data = {"tsv_directory": prepared_once / "split/2_fold"}
    train(config_of(caps, data=data, optimization={"epochs": 1}), tmp_path / "maps")
    record = json.loads((tmp_path / "maps/maps.json").read_text())
    assert record["image_grid"]["shape"] == [1, 16, 17, 15]
    alike(tmp_path / "maps", caps, rows_of_the_test_set(prepared_once)[:1], (scan,))


def test_a_model_of_two_channels_takes_two_images_in_their_order(
    invoke, prepared, config_of, scan, tmp_path
):
    for path in [*prepared.glob("subjects/*/*/custom/*.nii.gz")]:
        old = images.read(path)
        second = path.with_name(path.name.replace("desc-Tiny_T1w", "desc-Tiny_T2w"))
        images.write(second, np.sqrt(old.voxels[::-1]), affine=old.affine)
    code, _, complaint = invoke(
        "prepare-data", "image", prepared, "custom", "-cn", "desc-Tiny_T2w.nii.gz", "-ej", "second",
        "-np", 1,
    )  # fmt: skip
    assert code == 0, complaint
    config = config_of(prepared, data={"channels": ["second"]}, optimization={"epochs": 1})
    train(config, tmp_path / "maps")
    rows = rows_of_the_test_set(prepared)[:1]
    (second,) = prepared.glob(f"subjects/{rows['participant_id'][0]}/ses-M000/custom/*T2w.nii.gz")
    alike(tmp_path / "maps", prepared, rows, (scan, second))
    with pytest.raises(UsageError, match="take 2 images"):
        predict(PredictConfig(image=(scan,), **QUICK), tmp_path / "maps", "two")
