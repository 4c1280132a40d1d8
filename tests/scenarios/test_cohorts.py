"""Two cohorts go the whole way: training, guard, test set, resume; and two modalities."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

COHORTS = {"lyon": 0, "graz": 100}
"""Cohort -> number of its first participant."""


@pytest.fixture
def two(tmp_path, caps_of, ok):
    """Return a folder with two prepared and split cohorts, and the tables that name them."""
    for name, first in COHORTS.items():
        caps = caps_of(tmp_path / name, first=first)
        ok("tsvtools", "split", caps / "labels.tsv", "--subset_name", "test", "--n_test", 4,
           "--ignore_demographics")  # fmt: skip
        ok("tsvtools", "kfold", caps / "split/train.tsv", "--n_splits", 2)
        ok("prepare-data", "image", caps, "custom", "-cn", "T1w.nii.gz", "-ej", "tiny", "-np", 1)
    lay(tmp_path, "caps.tsv", ["cohort\tpath", "Lyon\tlyon", "Graz\tgraz"])
    header = "cohort\tpath\tdiagnoses"
    lay(tmp_path, "folds.tsv",
        [header, "Lyon\tlyon/split/2_fold\tAD, CN", "Graz\tgraz/split/2_fold\tCN"])  # fmt: skip
    tests = [f"{name.title()}\t{name}/split/test_baseline.tsv\tAD,CN" for name in COHORTS]
    lay(tmp_path, "test.tsv", [header, *tests])
    return tmp_path


def lay(folder, name, rows):
    (folder / name).write_text("\n".join(rows) + "\n")


@pytest.fixture
def ok(invoke):
    """Run a command that must succeed; return what it printed."""

    def run(*words):
        code, out, err = invoke(*words)
        assert code == 0, out + err
        return out

    return run


@pytest.fixture
def train(invoke, two):
    """Train on both cohorts; return the exit code and what was said of errors."""

    def run(*words):
        code, _, err = invoke(
            "train", "classification", two / "caps.tsv", "tiny", two / "folds.tsv", two / "maps",
            "--n_splits", 2, "--split", 0, "--epochs", 1, "--batch_size", 8, "-np", 0, "--no-gpu",
            "-a", "Conv4_FC3", *words,
        )  # fmt: skip
        return code, err

    return run


def table(path):
    return pd.read_csv(path, sep="\t")


def test_two_cohorts_are_trained_and_judged_together(two, ok, train):
    assert train("--multi_cohort")[0] == 0
    maps = two / "maps"
    rows = table(maps / "groups/train/split-0/data.tsv")
    for cohort, kinds in (("Lyon", {"AD", "CN"}), ("Graz", {"CN"})):
        expected = table(two / cohort.lower() / "split/2_fold/split-0/train.tsv")
        expected = expected[expected["diagnosis"].isin(kinds)]
        mine = rows[rows["cohort"] == cohort]
        assert list(mine["participant_id"]) == list(expected["participant_id"])
        assert set(mine["diagnosis"]) == kinds
    record = json.loads((maps / "maps.json").read_text())
    assert {str(two / "caps.tsv"), str(two / "folds.tsv")} <= set(record["tables"])
    origin = json.loads((maps / "groups/train/split-0/maps.json").read_text())
    assert origin["multi_cohort"] is True
    assert origin["caps_of_cohort"] == {"Lyon": str(two / "lyon"), "Graz": str(two / "graz")}
    ok("predict", maps, "test", "--caps_directory", two / "caps.tsv", "--participants_tsv",
       two / "test.tsv", "--multi_cohort", "-np", 0, "--no-gpu")  # fmt: skip
    group = table(maps / "groups/test/data.tsv")
    assert set(group["cohort"]) == {"Lyon", "Graz"}
    said = table(maps / "split-0/best-loss/test/test_image_level_prediction.tsv")
    assert list(said["participant_id"]) == list(group["participant_id"])
    assert "'Graz'" in (maps / "split-0/best-loss/test/description.log").read_text()
    for folder in (two / "lyon", two / "graz"):
        ok("tsvtools", "check", folder / "split")
    # Known by its name: the cohorts are remembered.
    ok("predict", maps, "test", "--split", 0, "-np", 0, "--no-gpu", "--overwrite",
       "--caps_directory", two / "caps.tsv", "--participants_tsv", two / "test.tsv",
       "--multi_cohort")  # fmt: skip
    ok("train", "resume", maps, "--split", 1)


def test_a_participant_of_both_sides_is_named_with_the_cohorts(two, ok, train):
    for file in ("train.tsv", "train_baseline.tsv"):
        path = two / "graz/split/2_fold/split-0" / file
        rows = table(path)
        stolen = table(two / "lyon/split/2_fold/split-0/validation_baseline.tsv").iloc[0]
        who = stolen["participant_id"]
        rows.loc[len(rows)] = rows.iloc[0]
        rows.loc[len(rows) - 1, ["participant_id", "session_id", "diagnosis"]] = [
            who, "ses-M900", "CN",
        ]  # fmt: skip
        rows.to_csv(path, sep="\t", index=False)
    home = two / "lyon/subjects" / who
    image = next(home.glob("*/custom/*.nii.gz"))
    copy = two / "graz/subjects" / who / "ses-M900/custom"
    copy.mkdir(parents=True)
    shutil.copy(image, copy / f"{who}_ses-M900_T1w.nii.gz")
    ok("prepare-data", "image", two / "graz", "custom", "-cn", "T1w.nii.gz", "-ej", "tiny",
       "-np", 1)  # fmt: skip
    status, said = train("--multi_cohort")
    assert status == 4
    assert f"{who} of Graz and Lyon" in said
    assert not (two / "maps").exists()


def test_a_test_set_of_one_cohort_is_kept_from_the_other(two, train):
    held_out = table(two / "lyon/split/test_baseline.tsv")["participant_id"].iloc[0]
    path = two / "graz/split/2_fold/split-0/train.tsv"
    rows = table(path)
    rows.loc[len(rows)] = rows.iloc[0]
    rows.loc[len(rows) - 1, ["participant_id", "diagnosis"]] = [held_out, "CN"]
    rows.to_csv(path, sep="\t", index=False)
    shutil.copytree(two / "lyon/subjects" / held_out, two / "graz/subjects" / held_out)
    status, said = train("--multi_cohort")
    assert status == 4
    assert held_out in said


@pytest.mark.parametrize(
    ("words", "spoil", "code", "said"),
    [
        ((), None, 2, "--multi_cohort"),
        (("--multi_cohort",), ("folds.tsv", "Graz", "Oslo"), 65, "Graz (no table), Oslo (no CAPS)"),
        (("--multi_cohort",), ("caps.tsv", "\tgraz", "\toslo"), 65, "oslo of Graz does not exist"),
        (("--multi_cohort", "-d", "AD", "MCI"), None, 65, "No cohort contributes MCI"),
    ],
)
def test_tables_of_cohorts_that_cannot_be_used(two, train, words, spoil, code, said):
    if spoil:
        name, old, new = spoil
        (two / name).write_text((two / name).read_text().replace(old, new))
    status, found = train(*words)
    assert status == code
    assert said in found
    assert not (two / "maps").exists()


def test_a_second_modality_is_a_second_channel(two, ok, invoke):
    """The network gets twice the channels; predict needs both modalities too."""
    caps = two / "lyon"
    for path in list(caps.glob("subjects/*/*/custom/*_T1w.nii.gz")):
        shutil.copy(path, path.with_name(path.name.replace("desc-Tiny_T1w", "desc-Other_flair")))
    ok("prepare-data", "image", caps, "custom", "-cn", "flair.nii.gz", "-ej", "flair", "-np", 1)
    ok(
        "train", "classification", caps, "tiny", caps / "split/2_fold", two / "both",
        "--channels", "flair", "--n_splits", 2, "--split", 0, "--epochs", 1, "-np", 0, "--no-gpu",
        "-a", "Conv4_FC3", "--batch_size", 8,
    )  # fmt: skip
    record = json.loads((two / "both/maps.json").read_text())
    assert record["input_shape"] == [2, 18, 20, 17]
    assert [one["custom_suffix"] for one in record["extractions"]] == ["T1w.nii.gz", "flair.nii.gz"]
    words = ["predict", two / "both", "test", "--caps_directory", caps, "--participants_tsv",
             caps / "split/test_baseline.tsv", "-np", 0, "--no-gpu"]  # fmt: skip
    victim = table(caps / "split/test_baseline.tsv")["participant_id"].iloc[0]
    gone = next((caps / "subjects" / victim).rglob("image_based/custom/*_flair.pt"))
    gone.rename(two / "kept.pt")
    code, _, err = invoke(*words)
    assert code == 66
    assert victim in err
    (two / "kept.pt").rename(gone)
    ok(*words)
