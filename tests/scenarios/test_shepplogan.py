"""Phantoms are split, learnt and predicted as they are made, by us or by release 1.x."""

from __future__ import annotations

import json

import pandas as pd
import pytest


@pytest.fixture
def phantoms(tmp_path, invoke):
    """A CAPS of 24 phantoms, eight of them set apart."""
    caps = tmp_path / "caps"
    made = invoke("generate", "shepplogan", caps, "--n_subjects", 12, "--image_size", 32, "-np", 1,
                  "-ej", "phantoms", "-csd", 1, 0, 0, "-asd", 0, 0, 1)  # fmt: skip
    assert made[0] == 0, made
    split = ("tsvtools", "split", "--ignore_demographics")
    for table, subset in (("data.tsv", "test"), ("split/train.tsv", "validation")):
        code, _, shown = invoke(*split, caps / table, "--n_test", 8, "--subset_name", subset)
        assert code == 0, shown
    return caps


def as_release_1_wrote_it(caps):
    """Leave of the images a placeholder, and of the JSON the published keys."""
    for image in caps.rglob("*_phantom.nii.gz"):
        image.write_text("0")
    path = caps / "tensor_extraction/phantoms.json"
    published = (
        "preprocessing", "mode", "use_uncropped_image", "prepare_dl", "slice_direction",
        "slice_mode", "discarded_slices", "num_slices", "file_type",
    )  # fmt: skip
    said = json.loads(path.read_text())
    content = {key: said[key] for key in published}
    assert (content["discarded_slices"], content["num_slices"]) == (0, 1)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("published", [False, True], ids=["ours", "release 1.x"])
def test_phantoms_are_learnt_from_the_command_line(phantoms, tmp_path, invoke, published):
    if published:
        as_release_1_wrote_it(phantoms)
    maps = tmp_path / "maps"
    code, _, shown = invoke(
        "train", "classification", phantoms, "phantoms", phantoms / "split/split", maps,
        "-a", "Conv4_FC3", "--epochs", 2, "--batch_size", 4, "--no-gpu", "-np", 0,
    )  # fmt: skip
    assert code == 0, shown
    record = json.loads((maps / "maps.json").read_text())
    assert record["input_shape"] == [1, 32, 32]
    code, _, shown = invoke(
        "predict", maps, "test", "--caps_directory", phantoms, "--no-gpu",
        "--participants_tsv", phantoms / "split/test_baseline.tsv",
    )  # fmt: skip
    assert code == 0, shown
    said = pd.read_csv(maps / "split-0/best-loss/test/test_slice_level_prediction.tsv", sep="\t")
    assert said["slice_id"].tolist() == [0] * 8
