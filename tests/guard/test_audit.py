"""The leakage rules on split tables of any origin."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicadl.config.audit import CheckConfig
from clinicadl.config.read import settings as config_of
from clinicadl.config.tables import KFoldConfig, SplitConfig
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.guard.audit import check_tables
from clinicadl.tables.folds import kfold
from clinicadl.tables.split import split


def people(*numbers, name="sub-{:03d}", sessions=("ses-M000",), without=(), **columns):
    """Return the rows of some participants: odd ones AD, even ones CN, ages and sexes mixed."""
    rows = []
    for i in numbers:
        for session in sessions:
            row = {
                "participant_id": name.format(i),
                "session_id": session,
                "diagnosis": "AD" if i % 2 else "CN",
                "age": 60 + 7 * i % 25,
                "sex": "FM"[i // 2 % 2],
            }
            row |= {key: value(i) if callable(value) else value for key, value in columns.items()}
            rows.append({key: value for key, value in row.items() if key not in without})
    return rows


def text(rows, mark):
    frame = pd.DataFrame(rows)
    return frame.to_csv(sep=mark, index=False, na_rep="n/a")


def lay(folder, files):
    """Write files: rows as a table, text as it is."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            content = text(content, "," if path.suffix == ".csv" else "\t")
        path.write_text(content)
    return folder


def audit(folder, *paths, **said):
    said = {
        key: tuple(one.format(folder) for one in value) if key == "sets" else value
        for key, value in said.items()
    }
    if "same_person" in said:
        said["same_person"] = folder / said["same_person"]
    where = tuple(folder / one for one in paths) or (() if "sets" in said else (folder,))
    return check_tables(config_of(CheckConfig, {"paths": where, **said}))


P, R = people, range
BOTH = ("ses-M000", "ses-M012")
COHORTS = "cohort\tpath\nLyon\tlyon\nGraz\tgraz\n"


def of(kind, *numbers, **changed):
    return [row for row in people(*numbers, **changed) if row["diagnosis"] == kind]


def set_column(train, test, column="split"):
    return [*people(*train, **{column: "train"}), *people(*test, **{column: "test"})]


def folds(n=20, k=2, home="", **changed):
    """Return the tables of k folds."""
    files = {}
    for i in R(k):
        apart = [one for one in R(n) if one // 4 % k == i]
        files[f"{home}fold{i}/train.csv"] = people(*sorted({*R(n)} - {*apart}), **changed)
        files[f"{home}fold{i}/val.csv"] = people(*apart, **changed)
    return files


# name -> (files, paths, settings, words that the report must hold)
LEAKS = {
    "train and validation share somebody": (
        {"train.tsv": P(*R(20)), "validation.tsv": P(*R(19, 30))}, (), {},
        ["1 participant of validation", "validation.tsv) is also in train", "sub-019"],
    ),
    "train and test share somebody": (
        {"train.csv": P(*R(20)), "test.csv": P(18, 19, *R(30, 40))}, (), {},
        ["2 participants of test", "sub-018, sub-019"],
    ),
    "validation and test share somebody": (
        {"train.tsv": P(*R(20)), "val.tsv": P(*R(20, 30)), "test.tsv": P(*R(29, 40))},
        (), {}, ["of test", "also in validation", "sub-029"],
    ),
    "twelve are shared, ten are named": (
        {"train.tsv": P(*R(20)), "test.tsv": P(*R(8, 40))}, (), {},
        ["12 participants", "sub-008", "sub-017 and 2 more"],
    ),
    "zeros in front": (
        {"train.csv": P(*R(1, 20)), "val.csv": P(7, *R(30, 40), name="sub-{}")}, (), {},
        ["sub-7 = sub-007"],
    ),
    "the name of the data set in front": (
        {"train.csv": P(*R(20), name="sub-ADNI002S{:04d}"),
         "test.csv": P(5, *R(30, 40), name="002_S_{:04d}")}, (), {},
        ["002_S_0005 = sub-ADNI002S0005"],
    ),
    "capital letters": (
        {"train.csv": P(*R(20), name="sub-a{}"), "test.csv": P(5, *R(30, 40), name="SUB-A{}")},
        (), {}, ["SUB-A5 = sub-a5"],
    ),
    "sessions were divided instead of participants": (
        {"train.tsv": P(*R(20), sessions=["ses-M000"]),
         "test.tsv": P(*R(20), sessions=["ses-M012"])}, (), {}, ["20 participants of test"],
    ),
    "the very session, spelt otherwise": (
        {"train.tsv": P(*R(20), sessions=["ses-M00"]),
         "test.tsv": P(3, *R(30, 40), sessions=["ses-M000"])}, (), {},
        ["with 1 session the same", "sub-003"],
    ),
    "in a folder for each fold": (
        {**folds(), "fold1/val.csv": P(0, 4, 5, 6, 7, 12, 13, 14, 15)}, (), {},
        ["fold1/val.csv) is also in train", "sub-000"],
    ),
    "in the name of the file for each fold": (
        {"train_fold0.tsv": P(*R(10)), "val_fold0.tsv": P(*R(10, 20)),
         "train_fold1.tsv": P(*R(10, 20)), "val_fold1.tsv": P(*R(11))}, (), {},
        ["val_fold1.tsv", "train_fold1.tsv", "sub-010"],
    ),
    "a test participant in the train table of a fold": (
        {"split/train.tsv": P(*R(20)), "split/test_baseline.tsv": P(*R(20, 30)),
         "split/2_fold/split-0/train.tsv": P(*R(10), 25),
         "split/2_fold/split-0/validation_baseline.tsv": P(*R(10, 20))}, (), {},
        ["split-0/train.tsv) is in the test set", "test_baseline.tsv", "sub-025"],
    ),
    "a test participant in the validation of a fold": (
        {"train.csv": P(*R(20)), "test.csv": P(*R(20, 30)),
         "cv/fold1/train.csv": P(*R(10)), "cv/fold1/dev.csv": P(*R(10, 21))}, (), {},
        ["fold1/dev.csv) is in the test set", "sub-020"],
    ),
    "a test participant in folds of the same folder": (
        {"test.tsv": P(*R(20, 30)), "train_0.tsv": P(*R(10), 29),
         "val_0.tsv": P(*R(10, 20))}, (), {}, ["train_0.tsv) is in the test set", "sub-029"],
    ),
    "a fold holds whom the parent set apart": (
        {"split/train.tsv": P(*R(20)), "split/validation_baseline.tsv": P(*R(20, 30)),
         "split/2_fold/split-0/train.tsv": P(*R(10), 22),
         "split/2_fold/split-0/validation_baseline.tsv": P(*R(10, 20))}, (), {},
        ["not in the train set that it divides", "1 of them set apart", "sub-022"],
    ),
    "a fold holds whom the parent never saw": (
        {"split/train.tsv": P(*R(20)), "split/test_baseline.tsv": P(*R(20, 30)),
         "split/2_fold/split-0/train.tsv": P(*R(10), 77),
         "split/2_fold/split-0/validation_baseline.tsv": P(*R(10, 20))}, (), {},
        ["not in the train set that it divides", "sub-077"],
    ),
    "folders of release 1.1, a table a diagnosis": (
        {"train/AD.tsv": of("AD", *R(20)), "train/CN.tsv": of("CN", *R(20)),
         "test/AD_baseline.tsv": of("AD", 3, *R(20, 30)), "test/CN_baseline.tsv": of("CN", *R(20,
         30))},
        (), {}, ["test/AD_baseline.tsv", "train/AD.tsv", "sub-003"],
    ),
    "folds of release 0.2, a table a diagnosis": (
        {f"{name}_splits-5/split-0/{kind}{end}.tsv": of(kind, *numbers)
         for name, numbers, end in (("train", R(20), ""), ("validation", R(18, 30), "_baseline"))
         for kind in ("AD", "CN")}, (), {},
        ["validation_splits-5/split-0", "train_splits-5/split-0", "sub-018, sub-019"],
    ),
    "a converter is AD in train and CN in test": (
        {"AD_train.tsv": of("AD", *R(20)), "CN_train.tsv": of("CN", *R(20)),
         "AD_test.tsv": of("AD", *R(20, 30)), "CN_test.tsv": P(7, *R(20, 30, 2), diagnosis="CN")},
        (), {}, ["CN_test.tsv", "AD_train.tsv", "sub-007"],
    ),
    "a column names the set": (
        {"all.csv": set_column(R(20), R(19, 30))}, (), {}, ["split: test", "split: train",
         "sub-019"],
    ),
    "a column numbers the folds": (
        {"all.csv": [*P(*R(10), fold=0), *P(*R(9, 20), sessions=["ses-M012"], fold=1)]},
        (), {}, ["fold 0", "fold 1", "sub-009"],
    ),
    "a table for each fold": (
        {"fold0.csv": P(*R(10)), "fold1.csv": P(*R(10, 20)), "fold2.csv": P(*R(19, 30))},
        (), {}, ["fold1.csv", "fold2.csv", "sub-019"],
    ),
    "sets that were named": (
        {"a.csv": P(*R(20)), "b.csv": P(*R(19, 30))}, (),
        {"sets": ("train={}/a.csv", "test={}/b.csv")}, ["of test", "b.csv", "sub-019"],
    ),
    "sets of one's own names": (
        {"a.csv": P(*R(20)), "b.csv": P(*R(19, 30))}, (),
        {"sets": ("mine={}/a.csv", "yours={}/b.csv")}, ["mine", "yours", "sub-019"],
    ),
    "two tables of two folders": (
        {"a/train.csv": P(*R(20)), "b/test.csv": P(*R(19, 30))},
        ("a/train.csv", "b/test.csv"), {}, ["b/test.csv", "a/train.csv", "sub-019"],
    ),
    "other words for the sets": (
        {"TrainingSet.csv": P(*R(20)), "hold-out.csv": P(*R(19, 30))}, (), {},
        ["hold-out.csv", "TrainingSet.csv", "sub-019"],
    ),
    "train and validation in one table": (
        {"trainval.csv": P(*R(20)), "test.csv": P(*R(19, 30))}, (), {},
        ["also in train and validation", "sub-019"],
    ),
    "participants stand in paths only": (
        {f"{name}.csv": [{"image": f"caps/sub-{i:02d}/ses-M00/x.nii.gz",
         "label": i % 2} for i in some]
         for name, some in (("train", R(20)), ("test", R(19, 30)))}, (), {}, ["sub-19"],
    ),
    "a torn family": (
        {"train.tsv": P(*R(20), family=lambda i: f"f{i}"),
         "val.tsv": P(*R(20, 30), family=lambda i: f"f{i - 19}")}, (), {"group_by": "family"},
        ["10 groups of family", "f1 (sub-020, sub-001)"],
    ),
    "one person in two cohorts, as declared": (
        {"cohorts.tsv": COHORTS, "lyon/train.tsv": P(*R(20)), "lyon/test.tsv": P(*R(20, 30)),
         "graz/train.tsv": P(*R(20)), "graz/test.tsv": P(*R(20, 30)),
         "same.tsv": "cohort\tparticipant_id\tperson\nLyon\tsub-003\tP1\nGraz\tsub-025\tP1\n"},
        ("cohorts.tsv",), {"same_person": "same.tsv"}, ["graz/test.tsv", "lyon/train.tsv",
         "person: P1"],
    ),
    "within one cohort of two": (
        {"cohorts.tsv": COHORTS, "lyon/train.tsv": P(*R(20)), "lyon/test.tsv": P(*R(20, 30)),
         "graz/train.tsv": P(*R(20)), "graz/test.tsv": P(19, *R(20, 30))},
        ("cohorts.tsv",), {}, ["1 participant of test", "graz/test.tsv", "Graz: sub-019"],
    ),
    "a leak and a fault: both are told, the leak decides": (
        {"train.tsv": [*P(*R(20)), *P(3)], "val.tsv": P(*R(19, 30))}, (), {},
        ["sub-019", "1 row of", "sub-003 | ses-M000"],
    ),
}  # fmt: skip

FAULTS = {
    "a row twice": (
        {"train.tsv": [*P(*R(20)), *P(3)], "val.tsv": P(*R(20, 30))}, (), {},
        ["1 row of", "train.tsv", "sub-003 | ses-M000"],
    ),
    "a month twice": (
        {"train.tsv": [*P(*R(20)), *P(3, sessions=["ses-M00"])],
         "val.tsv": P(*R(20, 30))}, (), {}, ["train.tsv", "sub-003 | ses-M00"],
    ),
    "a row twice where sessions are not told": (
        {"train.csv": P(*R(20), 4, without=["session_id"]),
         "val.csv": P(*R(20, 30), without=["session_id"])}, (), {}, ["train.csv", "sub-004"],
    ),
    "one session in the tables of two diagnoses": (
        {"train/AD.tsv": P(*R(1, 20, 2)), "train/CN.tsv": P(*R(0, 20, 2), 3, diagnosis="CN"),
         "test/AD.tsv": P(*R(21, 30, 2)), "test/CN.tsv": P(*R(20, 30, 2))}, (), {},
        ["train/CN.tsv", "train/AD.tsv", "sub-003 | ses-M000"],
    ),
    "a baseline that is a later session": (
        {"train.tsv": P(*R(20), sessions=BOTH), "train_baseline.tsv":
         [*P(*R(19)), *P(19, sessions=["ses-M012"])], "val.tsv": P(*R(20, 30))}, (), {},
        ["train_baseline.tsv is not the baseline", "first sessions", "sub-019"],
    ),
    "a baseline by the alphabet": (
        {"train.tsv": P(*R(20), sessions=["ses-M6", "ses-M12"]),
         "train_baseline.tsv": P(*R(20), sessions=["ses-M12"]), "val.tsv": P(*R(20, 30))},
        (), {}, ["not the baseline", "20 participants"],
    ),
    "a baseline without somebody": (
        {"train.tsv": P(*R(20)), "train_baseline.tsv": P(*R(19)),
         "val.tsv": P(*R(20, 30))}, (), {}, ["lacks participants", "sub-019"],
    ),
    "a baseline with somebody else": (
        {"train.tsv": P(*R(20)), "train_baseline.tsv": P(*R(20), 40),
         "val.tsv": P(*R(20, 30))}, (), {}, ["has participants that", "sub-040"],
    ),
    "a baseline of two sessions": (
        {"train.tsv": P(*R(20)), "val_baseline.tsv": P(*R(20, 30), sessions=BOTH)}, (), {},
        ["val_baseline.tsv", "several sessions of 10 participants", "sub-020"],
    ),
    "a label is missing in one table": (
        {"train.tsv": P(*R(20)), "val.tsv": P(*R(20, 30), without=["diagnosis"])}, (), {},
        ["val.tsv has no column diagnosis", "train.tsv"],
    ),
    "a class is missing in validation": (
        {"train.tsv": P(*R(20)), "val.tsv": P(*R(20, 30, 2))}, (), {},
        ["validation", "val.tsv) has nobody of diagnosis AD (in all 10)"],
    ),
    "a class is missing in train": (
        {"train.tsv": P(*R(0, 20, 2)), "val.tsv": P(*R(20, 30))}, (), {},
        ["train.tsv) has nobody of diagnosis AD (in all 5)"],
    ),
    "a class of another column": (
        {"train.tsv": P(*R(20), sex="F"), "val.tsv": P(*R(20, 30))}, (), {"label": "sex"},
        ["has nobody of sex M"],
    ),
    "a row of another length": (
        {"train.tsv": text(P(*R(20)), "\t") + "sub-99\tses-M000\n", "val.tsv": P(*R(20, 30))},
        (), {}, ["train.tsv, row 22", "not as many cells"],
    ),
    "no text": (
        {"train.tsv": "\0\0\1", "val.tsv": P(*R(20, 30))}, (), {}, ["train.tsv", "not a text file"],
    ),
    "no participants": (
        {"train.csv": "weight,label\n1,AD\n", "val.csv": P(*R(20, 30))}, (), {},
        ["train.csv", "no column of participants"],
    ),
    "a row of nobody": (
        {"train.csv": [*P(*R(20)), *P(5, participant_id=np.nan)],
         "val.csv": P(*R(20, 30))}, (), {}, ["1 row of", "without a participant"],
    ),
}  # fmt: skip

LABELS = P(*R(30), sessions=BOTH)
IDS = {"without": ["diagnosis", "age", "sex"]}
CLEAN = {
    "sub-1 beside sub-10": (
        {"train.tsv": P(1, 2, *R(21, 30), name="sub-{}"),
         "val.tsv": P(*R(10, 20), name="sub-{}")}, (), {},
    ),
    "every visit of one person in one set": (
        {"train.tsv": P(*R(20), sessions=[*BOTH, "ses-M024"]),
         "train_baseline.tsv": P(*R(20)), "val.tsv": P(*R(20, 30), sessions=BOTH)}, (), {},
    ),
    "the same number in two cohorts": (
        {"cohorts.tsv": COHORTS, "lyon/train.tsv": P(*R(20)), "lyon/test.tsv": P(*R(20, 30)),
         "graz/train.tsv": P(*R(10, 30)), "graz/test.tsv": P(*R(10))}, ("cohorts.tsv",), {},
    ),
    "the same number in two cohorts of a column": (
        {"train.csv": P(*R(20), cohort="Lyon"), "test.csv": P(*R(10, 30), cohort="Graz")},
        (), {},
    ),
    "the same number behind two names": (
        {"train.csv": P(*R(20), name="sub-IXI{:03d}"), "test.csv": P(*R(20), name="sub-OAS{:03d}")},
        (), {},
    ),
    "twenty participants, unlike by chance": (
        {"train.tsv": P(*R(14), age=lambda i: 60 + i),
         "val.tsv": P(*R(14, 20), age=lambda i: 70 + i)}, (), {},
    ),
    "whole ages and scores that coincide": (
        {f"{name}.tsv": P(*some, MMSE=lambda i: 20 + i % 11, education=lambda i: 8 + i % 9)
         for name, some in (("train", R(600)), ("test", R(600, 900)))}, (), {},
    ),
    "the test set lies in each fold again": (
        {**folds(), "test.csv": P(*R(20, 30)), "fold0/test.csv": P(*R(20, 30)),
         "fold1/test.csv": P(*R(20, 30))}, (), {},
    ),
    "scores of a test, of everybody": (
        {"train.csv": P(*R(20)), "val.csv": P(*R(20, 30)), "test_scores.csv": P(*R(30))},
        (), {},
    ),
    "predictions beside the sets": (
        {"train.csv": P(*R(20)), "val.csv": P(*R(20, 30)),
         "test_image_level_prediction.tsv": P(*R(30)), "training_logs/training.tsv": "epoch\n1\n"},
        (), {},
    ),
    "a class of one in two folds": (
        folds(diagnosis=lambda i: "MCI" if i == 3 else "AD" if i % 2 else "CN"), (), {},
    ),
    "several images of a session": (
        {"train.csv": [*P(*R(20), image="t1.nii"), *P(*R(20), image="flair.nii")],
         "val.csv": P(*R(20, 30), image="t1.nii")}, (), {},
    ),
    "two divisions of one folder": (
        {"small_train.csv": P(*R(10)), "small_val.csv": P(*R(10, 20)),
         "large_train.csv": P(*R(10, 30)), "large_val.csv": P(*R(10))}, (), {},
    ),
    "random splits that overlap": (
        {"seed1/train.csv": P(*R(20)), "seed1/test.csv": P(*R(20, 30)),
         "seed2/train.csv": P(*R(10, 30)), "seed2/test.csv": P(*R(10))}, (), {},
    ),
    "a quantity is learnt": (
        {"train.csv": P(*R(20)), "val.csv": P(*R(20, 30))}, (), {"label": "age"},
    ),
    "the test set has a class of its own": (
        {"train.csv": P(*R(20)), "val.csv": P(*R(20, 30)),
         "test.csv": P(*R(30, 40), diagnosis="MCI")}, (), {},
    ),
    "a participant begins with a later session": (
        {"train.tsv": [*P(*R(19), sessions=BOTH), *P(19, sessions=["ses-M012"])],
         "train_baseline.tsv": [*P(*R(19)), *P(19, sessions=["ses-M012"])],
         "val_baseline.tsv": [*P(*R(20, 29)), *P(29, sessions=["ses-M006"])]}, (), {},
    ),
    "two spellings of the months": (
        {"train.tsv": P(*R(20), sessions=["ses-M00", "ses-M12"]),
         "train_baseline.tsv": P(*R(20), sessions=["ses-M000"]),
         "val.tsv": P(*R(20, 30), sessions=["ses-bl"])}, (), {},
    ),
    "ids alone, with labels above": (
        {"labels.tsv": LABELS, "split/train.tsv": P(*R(20), sessions=BOTH, **IDS),
         "split/train_baseline.tsv": P(*R(20), **IDS),
         "split/validation_baseline.tsv": P(*R(20, 30), **IDS)}, ("split",), {},
    ),
    "ids alone": (
        {"train.tsv": P(*R(20), **IDS), "val.tsv": P(*R(20, 30), **IDS)}, (), {},
    ),
    "a single validation beside folds of everybody": (
        {"train.csv": P(*R(14)), "val.csv": P(*R(14, 20)), **folds(home="cv/")}, (), {},
    ),
    "another data set below": (
        {"train.csv": P(*R(20)), "test.csv": P(*R(20, 30)),
         **folds(home="other/", name="sub-OAS{:03d}")}, (), {},
    ),
    "semicolons, decimal commas and a byte-order mark": (
        {"train.csv": "\ufeff" + text(P(*R(20), z=lambda i: f"{i},5"), ";"),
         "val.csv": text(P(*R(20, 30), z=lambda i: f"{i},5"), ";")}, (), {},
    ),
    "one table with three sets": (
        {"all.csv": [*set_column(R(20), R(20, 30)), *P(*R(30, 40), split="Val")]}, (), {},
    ),
    "folds in a column, the others marked": (
        {"all.csv": [*P(*R(10), fold=0), *P(*R(10, 20), fold=1), *P(*R(20, 30), fold=-1)]},
        (), {},
    ),
    "folds inside folds": (
        {"outer0_test.csv": P(*R(20, 30)), "outer0_inner0_train.csv": P(*R(10)),
         "outer0_inner0_val.csv": P(*R(10, 20)), "outer1_test.csv": P(*R(10)),
         "outer1_inner0_train.csv": P(*R(10, 20)), "outer1_inner0_val.csv": P(*R(20, 30))},
        (), {},
    ),
    "two scanners, both with both classes": (
        {"train.csv": P(*R(40), scanner=lambda i: i // 2 % 2),
         "val.csv": P(*R(40, 60), scanner=lambda i: i // 2 % 2)}, (), {},
    ),
    "twins have one birth date": (
        {"train.csv": P(*R(40), birth_date=lambda i: f"19{40 + i}-01-02"),
         "val.csv": P(*R(40, 60), birth_date=lambda i: f"19{i}-01-02")}, (), {},
    ),
    "families are whole": (
        {"train.tsv": P(*R(20), family=lambda i: f"f{i // 2}"),
         "val.tsv": P(*R(20, 30), family=lambda i: f"f{i // 2}")}, (), {"group_by": "family"},
    ),
    "one table that is not divided": ({"labels.tsv": LABELS}, ("labels.tsv",), {}),
    "train alone": ({"train.tsv": P(*R(20))}, (), {}),
}  # fmt: skip


def report_of(tmp_path, scenario):
    files, paths, said, *_ = scenario
    return audit(lay(tmp_path, files), *paths, **said)


@pytest.mark.parametrize("name", LEAKS)
def test_leakage_is_found_and_named(tmp_path, name):
    report = report_of(tmp_path, LEAKS[name])
    lines = "\n".join(report.lines())
    for word in LEAKS[name][3]:
        assert word in lines
    assert report.leaks
    assert report.exit_code == 4
    with pytest.raises(LeakageError):
        report.enforce()


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_in_itself_is_found_and_named(tmp_path, name):
    report = report_of(tmp_path, FAULTS[name])
    assert not report.leaks
    lines = "\n".join(finding.sentence for finding in report.faults)
    for word in FAULTS[name][3]:
        assert word in lines
    assert report.exit_code == 65
    with pytest.raises(InvalidDataError):
        report.enforce()


@pytest.mark.parametrize("name", CLEAN)
def test_what_only_looks_odd_is_silent(tmp_path, name):
    report = report_of(tmp_path, CLEAN[name])
    assert [one.sentence for one in (*report.leaks, *report.faults, *report.warnings)] == []
    assert report.exit_code == 0
    assert report.sets
    report.enforce()


def test_there_are_scenarios_enough():
    assert len(LEAKS) + len(FAULTS) >= 25
    assert len(CLEAN) >= 20


@pytest.mark.parametrize("name", [*LEAKS, *FAULTS, *CLEAN])
def test_the_order_of_rows_does_not_matter(tmp_path, name):
    scenario = {**LEAKS, **FAULTS, **CLEAN}[name]
    report = report_of(tmp_path / "straight", scenario)
    files = {
        file: content if isinstance(content, str) else content[::-1]
        for file, content in scenario[0].items()
    }
    turned = report_of(tmp_path / "turned", (files, *scenario[1:]))
    lines = [line.replace("straight", "turned") for line in report.lines()]
    assert lines == [*turned.lines()]


@pytest.fixture
def divided(tmp_path):
    lay(tmp_path, {"labels.tsv": people(*R(60), sessions=BOTH)})
    home = split(SplitConfig(data_tsv=tmp_path / "labels.tsv", subset_name="test", n_test=12))
    kfold(KFoldConfig(data_tsv=home / "train.tsv", n_splits=3))
    return tmp_path


def test_the_folders_of_split_and_kfold_are_understood(divided):
    report = audit(divided)
    assert (report.exit_code, report.warnings) == (0, ())
    found = {
        (one.division.partition("/split")[2], one.role, one.n_participants) for one in report.sets
    }
    assert found == {
        ("", "train", 48), ("", "test", 12),
        *(("/3_fold/split-" + str(i), "train", 32) for i in R(3)),
        *(("/3_fold/split-" + str(i), "validation", 16) for i in R(3)),
    }  # fmt: skip
    for one in report.sets:
        assert (one.inside is None) == ("3_fold" not in one.division)
        assert sum(one.classes.values()) == one.n_participants


def test_a_recorded_test_set_above_the_folder_is_looked_at(divided):
    test = pd.read_csv(divided / "split" / "test_baseline.tsv", sep="\t", dtype=str)
    path = divided / "split" / "3_fold" / "split-1" / "train.tsv"
    path.write_text(path.read_text() + text(test.head(1), "\t").partition("\n")[2])
    report = audit(divided, "split/3_fold")
    assert [one.rule for one in report.leaks] == ["late-split"]
    assert report.leaks[0].participants == (test["participant_id"][0],)


def test_an_edited_table_that_took_somebody_of_another_set_leaks(divided):
    home = divided / "split" / "3_fold" / "split-0"
    rows = (home / "validation_baseline.tsv").read_text().splitlines()
    moved = rows.pop(1)
    (home / "validation_baseline.tsv").write_text("\n".join(rows) + "\n")
    (home / "train.tsv").write_text((home / "train.tsv").read_text() + moved + "\n")
    report = audit(divided)
    # Nobody is in both tables now; only the record knows.
    assert [one.rule for one in report.leaks] == ["edited-leak"]
    assert report.leaks[0].participants == (moved.partition("\t")[0],)
    assert "recorded in validation" in report.leaks[0].sentence
    assert [one.rule for one in report.faults] == ["not-the-baseline"]


def test_an_edit_that_moved_nobody_is_a_warning(divided):
    path = divided / "split" / "train.tsv"
    path.write_text(path.read_text().replace("\t67\t", "\t68\t"))
    report = audit(divided)
    assert report.exit_code == 0
    assert [one.rule for one in report.warnings] == ["edited-table"]
    assert "0 participants came and 0 went" in report.warnings[0].sentence


def test_a_damaged_record_is_invalid(divided):
    (divided / "split" / "split.json").write_text("{")
    report = audit(divided)
    assert report.exit_code == 65
    assert "split.json" in report.faults[0].sentence


random_table = st.tuples(
    st.lists(st.sampled_from(["AD", "CN", "MCI"]), min_size=12, max_size=60).filter(
        lambda labels: all(labels.count(one) != 1 for one in labels)
    ),
    st.integers(0, 2**16),
)


@settings(max_examples=25)
@given(random_table, st.integers(2, 4), st.data())
def test_what_split_and_kfold_make_is_clean_and_one_participant_moved_is_not(
    tmp_path_factory, drawn, n_folds, data
):
    labels, seed = drawn
    draw = np.random.default_rng(seed)
    rows = [
        row
        for i, label in enumerate(labels)
        for row in people(
            i, sessions=BOTH[: draw.integers(1, 3)], diagnosis=label, age=draw.integers(55, 90),
            sex=draw.choice(["F", "M"]), MMSE=draw.integers(10, 31), site=draw.choice(["x", "y"]),
        )
    ]  # fmt: skip
    folder = lay(tmp_path_factory.mktemp("random"), {"labels.tsv": rows})
    n_test = data.draw(st.integers(len(set(labels)), len(labels) - 2 * n_folds))
    home = split(
        SplitConfig(data_tsv=folder / "labels.tsv", subset_name="test", n_test=n_test, seed=seed)
    )
    kfold(KFoldConfig(data_tsv=home / "train.tsv", n_splits=n_folds, seed=seed))
    report = audit(folder)
    found = (*report.leaks, *report.faults, *report.warnings)
    assert [one.sentence for one in found] == []

    (home / "split.json").unlink()
    shutil.rmtree(home / f"{n_folds}_fold")
    train = (home / "train.tsv").read_text().splitlines()
    moved = data.draw(st.sampled_from(train[1:]))
    test = home / "test_baseline.tsv"
    test.write_text(test.read_text() + moved + "\n")
    leaking = audit(folder)
    assert leaking.exit_code == 4
    assert leaking.leaks[0].participants == (moved.partition("\t")[0],)


@pytest.mark.parametrize(
    ("files", "paths", "said", "kind", "words"),
    [
        ({"labels.tsv": LABELS}, (), {}, MissingInputError, ["which set", "--set"]),
        ({}, ("absent",), {}, MissingInputError, ["absent", "does not exist"]),
        ({"a.csv": LABELS}, (), {"sets": ("train={}/b.csv",)}, MissingInputError, ["b.csv"]),
        ({"train.csv": LABELS}, (), {"label": "dx"}, MissingInputError, ["no", "dx"]),
        ({"train.csv": LABELS}, (), {"group_by": "kin"}, MissingInputError, ["kin"]),
        ({"train.csv": LABELS}, (), {"sets": ("train",)}, UsageError, ["train=mine.tsv"]),
        ({"train.csv": LABELS}, (), {"same_person": "x.tsv"}, UsageError, ["same_person"]),
        ({"cohorts.tsv": COHORTS}, ("cohorts.tsv",), {}, InvalidDataError, ["lyon", "graz"]),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_one_sentence(tmp_path, files, paths, said, kind, words):
    with pytest.raises(kind) as error:
        audit(lay(tmp_path, files), *paths, **said)
    for word in words:
        assert word in str(error.value)


def test_nothing_to_check_is_a_usage_error():
    with pytest.raises(UsageError, match="nothing to check"):
        config_of(CheckConfig, {})


def test_the_json_says_what_the_lines_say(tmp_path):
    lay(tmp_path, {"train.tsv": people(*R(20)), "val.tsv": people(*R(19, 30))})
    report = audit(tmp_path, json_file=tmp_path / "found.json")
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["exit_code"] == 4
    assert [one["set"] for one in record["sets"]] == ["train", "validation"]
    assert record["sets"][0]["classes"] == {"AD": 10, "CN": 10}
    (finding,) = record["findings"]
    assert (finding["level"], finding["rule"]) == ("leak", "shared-participants")
    assert finding["participants"] == ["sub-019"]
    assert finding["sentence"] == report.leaks[0].sentence
    with pytest.raises(OutputError):
        audit(tmp_path, json_file=tmp_path / "found.json")


def test_real_tables_are_clean_but_for_other_names_of_the_label(real_data, tmp_path):
    shutil.copy(real_data / "tables" / "oasis2_merged.tsv", tmp_path / "labels.tsv")
    home = split(SplitConfig(data_tsv=tmp_path / "labels.tsv", subset_name="test", n_test=20))
    kfold(KFoldConfig(data_tsv=home / "train.tsv", n_splits=3))
    report = audit(tmp_path)
    assert report.exit_code == 0
    told = {one.sentence.split()[0] for one in report.warnings}
    assert told == {"cdr_global", "group"}


@pytest.mark.parametrize(
    "name", ["oasis2_longitudinal.csv", "dlbs_merged.tsv", "dlbs_participants.tsv"]
)
def test_real_tables_of_everybody_have_no_faults(real_data, name):
    report = check_tables(CheckConfig(paths=(real_data / "tables" / name,)))
    assert (report.exit_code, report.warnings) == (0, ())
