"""Patches, slices and regions go the whole way: training, votes, a test set, a resume."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from clinicadl import PredictConfig, predict, resume, train
from clinicadl.engine.events import BatchDone
from clinicadl.layouts import images

GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
MODES = {
    "patch": ({"patch_size": 9, "stride_size": 8}, 2 * 2 * 2, [*range(8)]),
    "slice": (
        {"slice_direction": 1, "slice_mode": "single", "discarded_slices": [1, 3]},
        16,
        [*range(1, 17)],
    ),
    "roi": ({"roi_list": ["corner"], "uncropped_roi": False, "roi_custom_template": "T",
             "roi_custom_mask_pattern": ""}, 1, [0]),
}  # fmt: skip


@pytest.fixture
def experiment(prepared, config_of):
    """Return a function that makes an experiment of a mode on the prepared CAPS."""
    corner = np.zeros(GRID, dtype=np.float32)
    corner[2:11, 2:11, 2:11] = 1
    images.write(prepared / "masks/tpl-T/tpl-T_roi-corner_mask.nii.gz", corner, affine=AFFINE)

    def of(mode, **sections):
        keys, _, _ = MODES[mode]
        path = prepared / "tensor_extraction"
        content = json.loads((path / "tiny.json").read_text())
        content |= {"mode": mode, "prepare_dl": False, "extract_json": f"{mode}.json", **keys}
        (path / f"{mode}.json").write_text(json.dumps(content))
        return config_of(
            prepared, data={"preprocessing_json": mode},
            optimization={"epochs": 2, "batch_size": 16}, **sections,
        )  # fmt: skip

    return of


def read(maps, group, level, kind="prediction"):
    path = maps / f"split-0/best-loss/{group}/{group}_{level}_level_{kind}.tsv"
    return pd.read_csv(path, sep="\t")


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_trained_and_judged_at_both_levels(experiment, prepared, tmp_path, mode):
    _, n_parts, numbers = MODES[mode]
    maps = tmp_path / "maps"
    train(experiment(mode), maps)
    record = json.loads((maps / "maps.json").read_text())
    shapes = {"patch": [1, 9, 9, 9], "slice": [1, 18, 17], "roi": [1, 9, 9, 9]}
    assert record["input_shape"] == shapes[mode]
    table = prepared / "split/test_baseline.tsv"
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=table, n_proc=0, gpu=False,
        selection_metrics=("loss",),
    )  # fmt: skip
    predict(config, maps, "test")
    for group in ("train", "validation", "test"):
        parts, whole = read(maps, group, mode), read(maps, group, "image")
        assert (
            parts.groupby(["participant_id", "session_id"])[f"{mode}_id"]
            .apply(list)
            .map(lambda found: found == numbers)
            .all()
        )
        assert len(parts) == len(whole) * n_parts
        assert list(whole["participant_id"]) == list(dict.fromkeys(parts["participant_id"])) or (
            group == "train"
        )
        np.testing.assert_allclose(whole["proba0"] + whole["proba1"], 1)
        assert "BA" in read(maps, group, mode, "metrics").columns
        assert "BA" in read(maps, group, "image", "metrics").columns


def test_the_test_set_is_voted_on_with_weights_of_validation(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment("patch"), maps)
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=prepared / "split/test_baseline.tsv",
        n_proc=0, gpu=False, selection_metrics=("loss",),
    )  # fmt: skip
    predict(config, maps, "test")
    validation, parts = read(maps, "validation", "patch"), read(maps, "test", "patch")
    right = validation["true_label"] == validation["predicted_label"]
    recall = right.groupby([validation["patch_id"], validation["true_label"]]).mean()
    share = recall.groupby(level=0).mean()
    share = share / share.sum() if share.sum() else share + 1 / len(share)
    said = parts.assign(say=parts["patch_id"].map(share))
    by_hand = (said["proba0"] * said["say"]).groupby(said["participant_id"]).sum()
    whole = read(maps, "test", "image").set_index("participant_id")["proba0"]
    np.testing.assert_allclose(whole.sort_index(), by_hand.sort_index(), rtol=1e-9)


def test_a_killed_training_of_patches_goes_on_to_the_same_bits(experiment, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (1, 2):
            raise Killed

    train(experiment("patch"), tmp_path / "one")
    with pytest.raises(Killed):
        train(experiment("patch"), tmp_path / "other", observers=[kill])
    resume(tmp_path / "other")
    name = "split-0/best-loss/model.safetensors"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    for group in ("train", "validation"):
        one, other = (read(tmp_path / maps, group, "patch") for maps in ("one", "other"))
        assert one.equals(other)
