"""Folders of release 1.1 in the layout of today."""

import json
import shutil

import pandas as pd
import pytest

from clinicadl.config.summary import AdaptConfig
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts import splits, tsv
from clinicadl.tables import adapt as module
from clinicadl.tables import sessions
from clinicadl.tables.adapt import adapt

PEOPLE = {"AD": ["sub-A1", "sub-A2", "sub-A3", "sub-A4"], "CN": ["sub-C1", "sub-C2", "sub-C3"]}


def write(folder, people, *, baseline_only=False):
    folder.mkdir(parents=True, exist_ok=True)
    for label, names in people.items():
        rows = [
            {"participant_id": name, "session_id": session, "diagnosis": label, "age": "70.0"}
            for name in names
            for session in ("ses-M00", "ses-M12")
        ]
        table = pd.DataFrame(rows, columns=["participant_id", "session_id", "diagnosis", "age"])
        if not baseline_only:
            tsv.write(folder / f"{label}.tsv", table)
        tsv.write(folder / f"{label}_baseline.tsv", sessions.baseline(table))


def part(first, last):
    return {label: names[first:last] for label, names in PEOPLE.items()}


@pytest.fixture
def old(tmp_path):
    """Labels, a test set, and in its training part two folds and a single split."""
    folder = tmp_path / "old"
    write(folder, PEOPLE)
    (folder / "getlabels.json").write_text('{"modality": "t1w"}')
    (folder / "split.json").write_text('{"subset_name": "test", "n_test": 1}')
    write(folder / "train", part(1, None))
    write(folder / "test", part(0, 1), baseline_only=True)
    train = folder / "train"
    (train / "kfold.json").write_text('{"subset_name": "validation", "n_splits": 2}')
    for split, (inside, outside) in enumerate([(part(2, None), part(1, 2)),
                                               (part(1, 2), part(2, None))]):  # fmt: skip
        write(train / "train_splits-2" / f"split-{split}", inside)
        write(train / "validation_splits-2" / f"split-{split}", outside, baseline_only=True)
    (train / "split.json").write_text('{"subset_name": "validation"}')
    write(train / "train", part(2, None))
    write(train / "validation", part(1, 2))
    return folder


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def people(path):
    return sorted(set(sessions.read(path)["participant_id"]))


def test_every_table_stands_where_it_is_looked_for_today(old, tmp_path):
    new = adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    fold = ["train.tsv", "train_baseline.tsv", "validation_baseline.tsv"]
    assert files(new) == sorted(
        [
            "getlabels.json", "labels.tsv", "labels_baseline.tsv",
            "split/split.json", "split/train.tsv", "split/train_baseline.tsv",
            "split/test_baseline.tsv",
            "split/2_fold/kfold.json",
            *(f"split/2_fold/split-{i}/{name}" for i in (0, 1) for name in fold),
            "split/split/split.json", "split/split/validation.tsv",
            *(f"split/split/{name}" for name in fold),
        ]
    )  # fmt: skip
    assert people(new / "labels.tsv") == sorted(PEOPLE["AD"] + PEOPLE["CN"])
    assert people(new / "split" / "test_baseline.tsv") == ["sub-A1", "sub-C1"]
    assert people(new / "split" / "2_fold" / "split-0" / "train.tsv") == [
        "sub-A3", "sub-A4", "sub-C3"
    ]  # fmt: skip
    labels = sessions.read(new / "labels.tsv")
    assert len(labels) == 14
    assert labels.equals(sessions.in_order(labels))
    assert labels["diagnosis"].tolist() == ["AD"] * 8 + ["CN"] * 6


def test_what_was_adapted_is_trained_on_and_its_test_set_is_guarded(old, tmp_path):
    new = adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    folds = new / "split" / "2_fold"
    found = splits.read(folds, n_splits=2, baseline=False, valid_longitudinal=False)
    assert [people(one.validation) for one in found] == [
        ["sub-A2", "sub-C2"], ["sub-A3", "sub-A4", "sub-C3"]
    ]  # fmt: skip
    assert new / "split" / "test_baseline.tsv" in splits.test_tables(folds)


def test_records_are_copied(old, tmp_path):
    new = adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    assert json.loads((new / "getlabels.json").read_text()) == {"modality": "t1w"}
    said = json.loads((new / "split" / "split.json").read_text())
    assert said == {"subset_name": "test", "n_test": 1}


def test_folders_without_records_are_told_by_their_names(old, tmp_path):
    for record in old.rglob("*.json"):
        record.unlink()
    new = adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    assert json.loads((new / "split" / "split.json").read_text()) == {"subset_name": "test"}
    said = json.loads((new / "split" / "2_fold" / "kfold.json").read_text())
    assert said == {"n_splits": 2, "subset_name": "validation"}


def test_labels_that_are_named_are_taken_alone(old, tmp_path):
    new = adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new", labels_list=("CN",)))
    assert people(new / "labels.tsv") == PEOPLE["CN"]
    assert people(new / "split" / "2_fold" / "split-1" / "train.tsv") == ["sub-C2"]
    with pytest.raises(MissingInputError, match=r"no table of the label MCI .*labels AD, CN"):
        adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "x", labels_list=("MCI", "CN")))
    assert not (tmp_path / "x").exists()


def test_a_table_without_diagnoses_is_named_by_its_file(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "sMCI.tsv").write_text("participant_id\tsession_id\nsub-1\tses-M00\n")
    new = adapt(AdaptConfig(old_tsv_dir=folder, new_tsv_dir=tmp_path / "new"))
    assert sessions.read(new / "labels.tsv")["diagnosis"].tolist() == ["sMCI"]


def test_rows_that_repeat_are_written_once_and_rows_that_differ_are_refused(old, tmp_path):
    shutil.copy(old / "CN.tsv", old / "CN2.tsv")
    config = AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new")
    planned = module.plan(config)
    assert planned.n_repeated == 6
    assert len(next(iter(planned.tables.values()))) == 14
    table = (old / "CN2.tsv").read_text()
    (old / "CN2.tsv").write_text(table.replace("ses-M12\tCN", "ses-M12\tsCN"))
    with pytest.raises(InvalidDataError, match=r"3 sessions .*labels CN, CN2") as caught:
        adapt(config)
    assert "sub-C1 ses-M12" in str(caught.value)
    assert "--labels_list" in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_columns_of_one_table_only_are_missing_in_the_others(old, tmp_path):
    table = tsv.read(old / "AD.tsv", "table").assign(apoe4="1")
    tsv.write(old / "AD.tsv", table)
    new = adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    assert sessions.read(new / "labels.tsv")["apoe4"].notna().tolist() == [True] * 8 + [False] * 6


def test_an_existing_folder_is_refused(old, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    assert files(tmp_path / "new") == []


def spoil_record(old):
    (old / "split.json").write_text("{")


def remove_train(old):
    shutil.rmtree(old / "train" / "train_splits-2")


def remove_folds(old):
    remove_train(old)
    shutil.rmtree(old / "train" / "validation_splits-2")


def remove_test(old):
    shutil.rmtree(old / "test")


def two_subsets(old):
    (old / "split.json").unlink()
    write(old / "validation", part(0, 1))


def empty(old):
    shutil.rmtree(old)
    old.mkdir()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (spoil_record, InvalidDataError, "not JSON"),
        (remove_train, MissingInputError, "train_splits-2"),
        (remove_folds, MissingInputError, "folders of a k-fold are gone"),
        (remove_test, MissingInputError, "test"),
        (two_subsets, InvalidDataError, "test, validation"),
        (empty, MissingInputError, "holds no table"),
        (shutil.rmtree, MissingInputError, "does not exist"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_written(old, tmp_path, spoil, error, words):
    spoil(old)
    with pytest.raises(error, match=words):
        adapt(AdaptConfig(old_tsv_dir=old, new_tsv_dir=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
