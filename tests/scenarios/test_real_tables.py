"""Real longitudinal tables go the whole way: labels, progression, split, folds, analysis, check."""

from __future__ import annotations

import pandas as pd
import pytest

pytestmark = pytest.mark.data


def read(path):
    return pd.read_csv(path, sep="\t", dtype=str)


def people(path):
    return set(read(path)["participant_id"])


@pytest.fixture
def tsvtools(invoke):
    def call(*arguments, code=0):
        found, said, complaint = invoke("tsvtools", *arguments)
        assert found == code, said + complaint
        return said

    return call


def test_oasis2_goes_from_labels_to_a_clean_audit(real_data, tmp_path, tsvtools):
    merged = real_data / "tables" / "oasis2_merged.tsv"
    home = tmp_path / "oasis"
    said = tsvtools(
        "get-labels", real_data / "tables", home, "--merged_tsv", merged, "-voi", "MMSE"
    )
    assert "100 participants, 244 sessions" in said
    labels = home / "labels.tsv"
    tsvtools("get-progression", labels, "--time_horizon", 24)
    assert set(read(labels)["progression"]) == {"s", "p", "r", "us", "uk"}

    tsvtools("split", labels, "--subset_name", "test", "--n_test", 20, "--strict")
    train, test = people(home / "split/train.tsv"), people(home / "split/test_baseline.tsv")
    assert not train & test
    assert len(test) == 20
    assert train | test == people(merged)

    tsvtools("kfold", home / "split/train.tsv", "--n_splits", 4)
    folds = [home / f"split/4_fold/split-{i}" for i in range(4)]
    apart = [people(fold / "validation_baseline.tsv") for fold in folds]
    assert set().union(*apart) == train
    assert sum(map(len, apart)) == len(train)

    tsvtools("analysis", merged, home / "split", home / "sets.tsv")
    compared = read(home / "sets_comparison.tsv").set_index("variable")
    assert float(compared.loc["age", "p_value"]) >= 0.8
    said = tsvtools("check", home)
    assert "0 leaks, 0 faults" in said

    # One participant of the test set is put into a fold's training table by hand.
    row = (home / "split/test_baseline.tsv").read_text().splitlines()[1]
    with (folds[2] / "train.tsv").open("a") as table:
        table.write(f"{row}\n")
    said = tsvtools("check", home, code=4)
    assert row.split("\t")[0] in said
    assert "split-2" in said


def test_dlbs_has_no_diagnosis_and_goes_the_same_way(real_data, tmp_path, tsvtools):
    merged = real_data / "tables" / "dlbs_merged.tsv"
    home = tmp_path / "dlbs"
    said = tsvtools(
        "get-labels", real_data / "tables", home, "--merged_tsv", merged,
        "-voi", "years_since_wave1", "--where", "has_T1w == 1",
    )  # fmt: skip
    table = read(home / "labels.tsv")
    left_out = read(home / "excluded.tsv")
    assert f"rows kept: {len(table)}" in said
    assert len(table) + len(left_out) == len(read(merged)) == 676
    kept = read(merged)
    assert len(table) == (kept["has_T1w"] == "1").sum()

    tsvtools(
        "prepare-experiment", home / "labels.tsv", "--n_test", 0.2, "--n_validation", 3,
        "--stratify_by", "sex",
    )  # fmt: skip
    test = people(home / "split/test_baseline.tsv")
    for fold in range(3):
        folder = home / f"split/3_fold/split-{fold}"
        learnt, apart = people(folder / "train.tsv"), people(folder / "validation_baseline.tsv")
        assert not learnt & apart
        assert not test & (learnt | apart)
        assert learnt | apart | test == set(table["participant_id"])
    said = tsvtools("check", home / "split")
    assert "0 leaks, 0 faults" in said


def test_what_is_published_is_read_as_it_is(real_data, tmp_path, tsvtools):
    published = (real_data / "tables" / "oasis2_longitudinal.csv").read_bytes()
    (tmp_path / "oasis2.csv").write_bytes(published)
    tsvtools(
        "split", tmp_path / "oasis2.csv", "--n_test", 20, "--stratify_by", "Group",
        "--balance_by", "Age", "M/F", "Educ",
    )  # fmt: skip
    train, apart = (
        read(tmp_path / "split/train.tsv"),
        read(tmp_path / "split/validation_baseline.tsv"),
    )
    assert len(train["participant_id"].unique()) == 80
    assert len(apart) == 20
    assert set(apart["session_id"]) == {"ses-1"}
    assert not set(train["participant_id"]) & set(apart["participant_id"])
