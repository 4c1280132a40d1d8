"""The form of release 0.2: it prepares, trains, and says what it stands for."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest

from clinicadl.layouts import images
from clinicadl.layouts.maps import names

GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])


@pytest.fixture
def caps(caps_of, tmp_path, invoke):
    folder = caps_of(tmp_path / "caps")
    for corner in ("low", "high"):
        inside = np.zeros(GRID, dtype=np.float32)
        first = 1 if corner == "low" else 7
        inside[first : first + 9, first : first + 9, first : first + 9] = 1
        images.write(folder / f"masks/tpl-T/tpl-T_roi-{corner}_mask.nii.gz", inside, affine=AFFINE)
    code, _, err = invoke("tsvtools", "kfold", folder / "labels.tsv", "--n_splits", 2)
    assert code == 0, err
    return folder


QUICK = ["--n_splits", 2, "--split", 0, "--epochs", 1, "--batch_size", 8, "-cpu", "-np", 0]
CUSTOM = ["-cn", "T1w.nii.gz"]
ROI = ["--roi_list", "low", "high", "-ct", "T"]


@pytest.mark.parametrize(
    ("mode", "own", "shape"),
    [
        ("image", [], [1, 18, 20, 17]),
        ("patch", ["-ps", 9, "-ss", 9], [1, 9, 9, 9]),
        ("roi", ROI, [1, 9, 9, 9]),
        ("slice", ["-sd", 1, "--discarded_slices", 8, "8"], [3, 18, 17]),
    ],
)
def test_a_cnn_is_trained_on_what_was_not_prepared(caps, invoke, tmp_path, mode, own, shape):
    words = ["train", mode, "cnn", caps, "custom", caps / "2_fold", tmp_path / "maps", "Conv4_FC3"]
    code, out, err = invoke(*words, *CUSTOM, *own, *QUICK)
    assert code == 0, err
    record = json.loads((tmp_path / "maps/maps.json").read_text())
    assert record["input_shape"] == shape
    assert record["config"]["task"]["selection_metrics"] == ["BA", "loss"]
    prepare, train = (shlex.split(line) for line in re.findall("stands for: (.*)", out))
    # The two commands, typed by a person, are the same experiment.
    index = train.index(str(tmp_path / "maps"))
    again = [*train[1:index], str(tmp_path / "again"), *train[index + 1 :]]
    for command in (prepare[1:], again):
        code, _, err = invoke(*command)
        assert code == 0, err
    other = json.loads((tmp_path / "again/maps.json").read_text())
    assert record["config"] == other["config"]
    weights = [names.weights(maps, 0, "loss").read_bytes()
               for maps in (tmp_path / "maps", tmp_path / "again")]  # fmt: skip
    assert weights[0] == weights[1]


def test_what_is_prepared_is_not_made_again(caps, invoke, tmp_path):
    words = ["train", "roi", "cnn", caps, "custom", caps / "2_fold"]
    code, out, err = invoke(*words, tmp_path / "one", "Conv4_FC3", *CUSTOM, *ROI, *QUICK)
    assert code == 0, err
    assert "25 tensors written, 0 were there already" in out
    code, out, err = invoke(*words, tmp_path / "two", "Conv4_FC3", *CUSTOM, *ROI, *QUICK)
    assert code == 0, err
    assert "0 tensors written, 25 were there already" in out
    assert len(list((caps / "tensor_extraction").glob("*.json"))) == 1


def test_several_networks_begin_with_those_of_a_source(caps, invoke, tmp_path):
    words = ["train", "roi", "multicnn", caps, "custom", caps / "2_fold"]
    code, _, err = invoke(*words, tmp_path / "one", "Conv4_FC3", *CUSTOM, *ROI, *QUICK)
    assert code == 0, err
    assert names.networks(tmp_path / "one", 0, "BA") == [0, 1]
    code, _, err = invoke(
        *words, tmp_path / "two", "Conv4_FC3", *CUSTOM, *ROI, *QUICK,
        "--transfer_learning_path", tmp_path / "one", "--selection_threshold", 0.6,
    )  # fmt: skip
    assert code == 0, err
    record = json.loads((tmp_path / "two/maps.json").read_text())
    assert record["parents"][0]["selection_metric"] == "BA"
    assert record["config"]["multi_network"] is True
    assert record["config"]["task"]["selection_threshold"] == 0.6


def test_parts_that_are_stored_are_read_and_none_is_made(caps, invoke, tmp_path):
    code, _, err = invoke(
        "prepare-data", "roi", caps, "custom", *CUSTOM, *ROI, "--save_features", "-ej", "mine"
    )
    assert code == 0, err
    for path in caps.rglob("deeplearning_prepare_data/*/*/*.json"):
        path.unlink()
    words = ["train", "roi", "cnn", caps, "custom", caps / "2_fold", tmp_path / "maps", "Conv4_FC3"]
    code, out, err = invoke(*words, *CUSTOM, *ROI, *QUICK, "--use_extracted_roi")
    assert code == 0, err
    assert "tensors written" not in out
    assert "stored by another program" in err
    assert not list(caps.rglob("image_based"))


def test_a_dry_run_writes_nothing(caps, invoke, tmp_path):
    before = sorted(caps.rglob("*"))
    words = ["train", "patch", "cnn", caps, "custom", caps / "2_fold", tmp_path / "maps"]
    code, out, err = invoke(*words, "Conv4_FC3", *CUSTOM, "-ps", 9, "-ss", 9, "--dry-run")
    assert code == 0, err
    assert out.count("stands for: clinicadl ") == 2
    assert sorted(caps.rglob("*")) == before
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["image", "multicnn"], 2),
        (["roi", "cnn", "CAPS", "custom", "TSV", "OUT", "Conv9"], 2),
        (["roi", "cnn", "CAPS", "custom", "TSV", "CAPS", "Conv4_FC3", "-cn", "T1w.nii.gz"], 73),
    ],
)
def test_wrong_words_are_refused_before_anything_is_prepared(caps, invoke, tmp_path, words, code):
    of = {"CAPS": caps, "TSV": caps / "2_fold", "OUT": tmp_path / "maps"}
    found, _, err = invoke("train", *(of.get(word, word) for word in words))
    assert found == code, err
    assert not (caps / "tensor_extraction").exists()
