"""The folders of split and kfold."""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from clinicadl.config.tables import KFoldConfig, SplitConfig
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.layouts import splits
from clinicadl.layouts.splits import Division, SplitTables
from clinicadl.tables.folds import kfold
from clinicadl.tables.split import split


def table(*participants):
    return pd.DataFrame(
        {"participant_id": list(participants), "session_id": "ses-M000", "age": np.nan},
        dtype=object,
    )


HALVES = Division(table("sub-1"), table("sub-1"), table("sub-2"), None)


def write_labels(folder, n=12):
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"sub-{i:02d}\tses-M000\n" for i in range(n))
    (folder / "labels.tsv").write_text(f"participant_id\tsession_id\n{rows}")
    return folder / "labels.tsv"


def set_apart(tsv):
    return split(SplitConfig(data_tsv=tsv, subset_name="test", n_test=4, ignore_demographics=True))


def validation(tsv):
    return split(SplitConfig(data_tsv=tsv, n_test=2, ignore_demographics=True))


def folds(tsv, **said):
    return kfold(KFoldConfig(data_tsv=tsv, n_splits=2, **said))


def test_one_division_is_written_with_names_and_hashes(tmp_path):
    splits.write_split(tmp_path / "split", HALVES, subset_name="test", record={"seed": 3})
    record = json.loads((tmp_path / "split" / "split.json").read_text())
    assert record["seed"] == 3
    assert list(record["files"]) == ["train.tsv", "train_baseline.tsv", "test_baseline.tsv"]
    for name, digest in record["files"].items():
        content = (tmp_path / "split" / name).read_bytes()
        assert sha256(content).hexdigest() == digest
        assert content.startswith(b"participant_id\tsession_id\tage\nsub-")
        assert content.endswith(b"\tses-M000\tn/a\n")


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "mine").touch()
    with pytest.raises(OutputError):
        splits.write_split(tmp_path / "split", HALVES, subset_name="test", record={})
    assert [path.name for path in tmp_path.rglob("*")] == ["split", "mine"]


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path):
    broken = HALVES._replace(apart_baseline=table("sub-\t2"))
    with pytest.raises(InvalidDataError):
        splits.write_folds(tmp_path / "2_fold", [HALVES, broken], subset_name="test", record={})
    assert list(tmp_path.iterdir()) == []


def test_the_next_folder_is_the_first_free_one(tmp_path):
    assert splits.next_folder(tmp_path, "split") == tmp_path / "split"
    for name in ("split", "split_2", "split_4"):
        (tmp_path / name).mkdir()
    assert splits.next_folder(tmp_path, "split") == tmp_path / "split_3"


@pytest.mark.parametrize(
    ("baseline", "longitudinal", "names"),
    [
        (False, False, ("train.tsv", "validation_baseline.tsv")),
        (True, False, ("train_baseline.tsv", "validation_baseline.tsv")),
        (False, True, ("train.tsv", "validation.tsv")),
    ],
)
def test_the_tables_of_a_split_are_found(tmp_path, baseline, longitudinal, names):
    home = split(
        SplitConfig(
            data_tsv=write_labels(tmp_path), n_test=2, ignore_demographics=True,
            valid_longitudinal=True,
        )
    )  # fmt: skip
    found = splits.read(home, n_splits=0, baseline=baseline, valid_longitudinal=longitudinal)
    assert found == [SplitTables(0, home / names[0], home / names[1])]


def read(folder, n_splits=0, **options):
    options = {"baseline": False, "valid_longitudinal": False, **options}
    return splits.read(folder, n_splits=n_splits, **options)


def test_the_tables_of_folds_are_found_in_their_order(tmp_path):
    home = folds(write_labels(tmp_path))
    found = read(home, 2)
    assert [one.number for one in found] == [0, 1]
    assert [one.train for one in found] == [home / f"split-{i}" / "train.tsv" for i in range(2)]


@pytest.mark.parametrize("n_splits", [0, 3, 5])
def test_another_number_of_splits_is_refused(tmp_path, n_splits):
    home = folds(write_labels(tmp_path))
    with pytest.raises(UsageError, match="holds 2 splits") as caught:
        read(home, n_splits)
    assert "--n_splits 2" in str(caught.value)


def test_a_folder_that_is_absent_or_empty_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        read(tmp_path / "nothing")
    for n_splits in (0, 2):
        with pytest.raises(MissingInputError, match=r"train\.tsv.*no tables in this folder"):
            read(tmp_path, n_splits)


def test_a_test_set_is_not_validated_on(tmp_path):
    home = set_apart(write_labels(tmp_path))
    with pytest.raises(MissingInputError, match="validation_baseline") as caught:
        read(home)
    assert f"split {home / 'train.tsv'} again" in str(caught.value)


def test_a_longitudinal_table_that_was_not_written_is_explained(tmp_path):
    home = validation(write_labels(tmp_path))
    with pytest.raises(MissingInputError, match="--valid_longitudinal"):
        read(home, valid_longitudinal=True)


def test_the_test_set_above_is_found(tmp_path):
    outer = set_apart(write_labels(tmp_path))
    inner = folds(outer / "train.tsv")
    assert splits.test_tables(inner) == [outer / "test_baseline.tsv"]
    assert splits.test_tables(inner / "split-0") == [outer / "test_baseline.tsv"]
    assert splits.test_tables(validation(outer / "train.tsv")) == [outer / "test_baseline.tsv"]


def test_both_tables_of_a_longitudinal_test_set_are_found(tmp_path):
    outer = split(
        SplitConfig(
            data_tsv=write_labels(tmp_path), subset_name="test", n_test=4,
            ignore_demographics=True, valid_longitudinal=True,
        )
    )  # fmt: skip
    found = splits.test_tables(folds(outer / "train.tsv"))
    assert {path.name for path in found} == {"test.tsv", "test_baseline.tsv"}


def test_the_test_set_of_an_outer_fold_is_found(tmp_path):
    outer = folds(write_labels(tmp_path), subset_name="test")
    inner = validation(outer / "split-1" / "train.tsv")
    assert splits.test_tables(inner) == [outer / "split-1" / "test_baseline.tsv"]


def test_without_a_test_set_none_is_found(tmp_path):
    labels = write_labels(tmp_path)
    assert splits.test_tables(folds(labels)) == []
    outer = validation(labels)
    assert splits.test_tables(folds(outer / "train.tsv")) == []


def test_a_late_split_finds_the_test_set_beside_it(tmp_path):
    labels = write_labels(tmp_path)
    outer = set_apart(labels)
    assert splits.test_tables(folds(labels)) == [outer / "test_baseline.tsv"]
    assert splits.test_tables(validation(labels)) == [outer / "test_baseline.tsv"]


def test_a_test_set_of_another_table_is_no_matter(tmp_path):
    set_apart(write_labels(tmp_path))
    (tmp_path / "labels.tsv").write_text((tmp_path / "labels.tsv").read_text() + "sub-99\tses-1\n")
    assert splits.test_tables(folds(tmp_path / "labels.tsv")) == []


def test_two_test_sets_of_one_table_do_not_disturb_each_other(tmp_path):
    labels = write_labels(tmp_path)
    set_apart(labels)
    second = set_apart(labels)
    assert splits.test_tables(folds(second / "train.tsv")) == [second / "test_baseline.tsv"]


def test_a_test_set_of_release_1_is_found_without_names(tmp_path):
    outer = set_apart(write_labels(tmp_path))
    inner = folds(outer / "train.tsv")
    (outer / "split.json").write_text(json.dumps({"n_test": 4, "subset_name": "test"}))
    assert splits.test_tables(inner) == [outer / "test_baseline.tsv"]
    (outer / "test_baseline.tsv").unlink()
    assert splits.test_tables(inner) == []


def test_a_test_table_that_is_gone_is_an_error(tmp_path):
    outer = set_apart(write_labels(tmp_path))
    inner = folds(outer / "train.tsv")
    (outer / "test_baseline.tsv").unlink()
    with pytest.raises(MissingInputError, match=r"test_baseline\.tsv") as caught:
        splits.test_tables(inner)
    assert caught.value.exit_code == 66


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"subset_name": "test", "files": "train.tsv"}',
                '{"subset_name": "test", "files": {"../../labels.tsv": ""}}'],
)  # fmt: skip
def test_a_damaged_json_is_named(tmp_path, content):
    outer = set_apart(write_labels(tmp_path))
    inner = folds(outer / "train.tsv")
    (outer / "split.json").write_text(content)
    with pytest.raises(InvalidDataError) as caught:
        splits.test_tables(inner)
    assert str(outer) in str(caught.value)
