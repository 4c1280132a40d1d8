"""The examples of the publications, end to end on the participants of the demonstration."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from clinicadl.layouts.maps import names

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
QUICK = ["--n_splits", 2, "--split", 0, "--batch_size", 5, "-cpu", "-np", 0]


@pytest.fixture(scope="module")
def made(tmp_path_factory, clinicadl):
    """A CAPS of sixteen participants, four of them for the test, and two folds of the others."""
    pytest.importorskip("nilearn", reason="nilearn, of the extra demo, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DEMO)
        make_caps = import_module("make_caps")
    caps = tmp_path_factory.mktemp("examples") / "caps"
    list(make_caps.make_caps(caps, n_participants=16, seed=0))
    for words in (
        ["split", caps / "labels.tsv", "--subset_name", "test", "--n_test", 4,
         "--ignore_demographics"],
        ["kfold", caps / "split/train.tsv", "--n_splits", 2],
    ):  # fmt: skip
        said = clinicadl("tsvtools", *words)
        assert said.returncode == 0, said.stderr
    return caps, make_caps


def train(invoke, made, maps, mode, kind, network, *options):
    caps, make_caps = made
    code, out, err = invoke(
        "train", mode, kind, caps, "custom", caps / "split/2_fold", maps, network,
        "-cn", make_caps.SUFFIX, *QUICK, *options,
    )  # fmt: skip
    assert code == 0, err
    assert "stands for: clinicadl train" in out
    return json.loads((maps / "maps.json").read_text())


def predict(invoke, caps, maps, group, table, *options):
    return invoke(
        "predict", maps, group, "--caps_directory", caps, "--participants_tsv", table,
        "-np", 0, "--no-gpu", *options,
    )  # fmt: skip


def read(maps, metric, group, level, what="prediction"):
    folder = names.results(maps, 0, metric, group)
    return pd.read_csv(folder / f"{group}_{level}_level_{what}.tsv", sep="\t")


def test_regions_autoencoder_to_cnn_to_one_network_a_region(made, invoke, tmp_path):
    caps, make_caps = made
    regions = ["--roi_list", *make_caps.REGIONS, "-ct", make_caps.TEMPLATE, "--epochs", 1]
    encoder, cnn, multi = (tmp_path / name for name in ("encoder", "cnn", "multi"))
    train(invoke, made, encoder, "roi", "autoencoder", "Conv4_FC3", *regions, "--visualization")
    train(invoke, made, cnn, "roi", "cnn", "Conv4_FC3", *regions,
          "--transfer_learning_path", encoder)  # fmt: skip
    record = train(invoke, made, multi, "roi", "multicnn", "Conv4_FC3", *regions,
                   "--transfer_learning_path", cnn,
                   "--transfer_learning_selection", "best_balanced_accuracy")  # fmt: skip
    assert [parent["selection_metric"] for parent in record["parents"]] == ["BA", "loss"]
    assert names.networks(multi, 0, "BA") == [*range(len(make_caps.REGIONS))]

    # What the encoder gave back lies where the regions are in the head.
    kept = sorted(names.results(encoder, 0, "loss", "validation").rglob("*output.nii.gz"))
    assert len(kept) == 3
    for path in kept:
        image = nib.load(path)
        assert image.shape == (42, 52, 44)
        np.testing.assert_allclose(image.affine, make_caps.AFFINE)

    code, _, err = predict(invoke, caps, multi, "test", caps / "split/test_baseline.tsv")
    assert code == 0, err
    assert len(read(multi, "BA", "test", "image")) == 4
    assert len(read(multi, "BA", "test", "roi")) == 4 * len(make_caps.REGIONS)
    # Whom only the encoder saw is known to its grandchild.
    seen = pd.read_csv(caps / "split/2_fold/split-0/train.tsv", sep="\t")
    seen.iloc[:1].to_csv(tmp_path / "one.tsv", sep="\t", index=False)
    code, _, err = predict(invoke, caps, multi, "other", tmp_path / "one.tsv")
    assert code == 4
    assert seen["participant_id"][0] in err


def test_slices_with_resnet18(made, invoke, tmp_path):
    caps, _ = made
    record = train(invoke, made, tmp_path / "maps", "slice", "cnn", "resnet18", "--epochs", 1,
                   "-sd", 2, "--discarded_slices", 18, "18")  # fmt: skip
    assert record["config"]["network"]["name"] in ("resnet18", "EarlierResNet18")
    assert record["input_shape"] == [3, 42, 52]
    code, _, err = predict(
        invoke, caps, tmp_path / "maps", "test", caps / "split/test_baseline.tsv"
    )
    assert code == 0, err
    parts = read(tmp_path / "maps", "BA", "test", "slice")
    assert sorted(parts["slice_id"].unique()) == [*range(18, 26)]


def test_patches_vote_with_weights_of_validation_alone(prepared, invoke, tmp_path):
    maps, table = tmp_path / "maps", prepared / "split/test_baseline.tsv"
    code, _, err = invoke(
        "train", "patch", "multicnn", prepared, "custom", prepared / "split/2_fold", maps,
        "Conv4_FC3", "-cn", "T1w.nii.gz", *QUICK, "--epochs", 12, "-ps", 9, "-ss", 8,
        "--selection_threshold", 0.6, "-lr", 1e-3,
    )  # fmt: skip
    assert code == 0, err
    code, _, err = predict(invoke, prepared, maps, "test", table)
    assert code == 0, err

    found = read(maps, "BA", "validation", "patch")
    weights = found.groupby("patch_id").apply(
        lambda part: balanced_accuracy_score(part["true_label"], part["predicted_label"]),
        include_groups=False,
    )
    assert weights.min() < 0.6 < weights.max()
    weights = weights.where(weights >= 0.6, 0)
    weights /= weights.sum()
    parts, images = (read(maps, "BA", "test", level) for level in ("patch", "image"))
    columns = ["proba0", "proba1"]
    by_hand = (
        parts[columns].mul(parts["patch_id"].map(weights), axis=0)
        .groupby([parts["participant_id"], parts["session_id"]]).sum()
    )  # fmt: skip
    np.testing.assert_allclose(images[columns], by_hand, atol=1e-12)
    assert images["predicted_label"].tolist() == by_hand.to_numpy().argmax(1).tolist()

    # Nobody's own label has a say: all of them turned round, the images are told the same.
    turned = pd.read_csv(table, sep="\t")
    turned["diagnosis"] = turned["diagnosis"].map({"AD": "CN", "CN": "AD"})
    turned.to_csv(tmp_path / "turned.tsv", sep="\t", index=False)
    code, _, err = predict(invoke, prepared, maps, "turned", tmp_path / "turned.tsv")
    assert code == 0, err
    again = read(maps, "BA", "turned", "image")
    assert again[columns].equals(images[columns])
    assert (again["true_label"] == 1 - images["true_label"]).all()
