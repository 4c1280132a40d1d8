"""Participants divided into folds."""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.model_selection import StratifiedKFold

from clinicadl.config.read import settings as config_of
from clinicadl.config.tables import KFoldConfig, SplitConfig
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.tables.folds import kfold, plan
from clinicadl.tables.split import split


def write(path, n=40, **changed):
    """Write a table of n participants, every fourth with a second session, and return it."""
    draw = np.random.default_rng(1)
    rows = []
    for i in range(n):
        facts = {
            "age": f"{draw.normal(70, 8):.1f}", "sex": draw.choice(["F", "M"]),
            "diagnosis": ["AD", "CN", "CN"][i % 3],
        }  # fmt: skip
        for session in ["ses-M000", "ses-M006"][: 1 + (i % 4 == 0)]:
            rows.append({"participant_id": f"sub-{i:03d}", "session_id": session, **facts})
    table = pd.DataFrame(rows)
    for column, change in changed.items():
        table = table.drop(columns=column) if change is None else table.assign(**{column: change})
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return table


def config(path, **said):
    return config_of(KFoldConfig, {"data_tsv": path, **said})


def read(path):
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def labels(tmp_path):
    write(tmp_path / "labels.tsv")
    return tmp_path / "labels.tsv"


def test_everybody_is_set_apart_once_and_learnt_from_otherwise(labels):
    table = read(labels)
    folder = kfold(config(labels, n_splits=4, valid_longitudinal=True))
    assert folder == labels.parent / "4_fold"
    apart = []
    for i in range(4):
        home = folder / f"split-{i}"
        assert {path.name for path in home.iterdir()} == {
            "train.tsv", "train_baseline.tsv", "validation.tsv", "validation_baseline.tsv",
        }  # fmt: skip
        train, validation = read(home / "train.tsv"), read(home / "validation.tsv")
        assert not set(train["participant_id"]) & set(validation["participant_id"])
        both = pd.concat([train, validation]).sort_values(["participant_id", "session_id"])
        assert both.reset_index(drop=True).equals(table)
        firsts = read(home / "validation_baseline.tsv")
        assert set(firsts["session_id"]) == {"ses-M000"}
        assert set(firsts["participant_id"]) == set(validation["participant_id"])
        apart += list(firsts["participant_id"])
    assert sorted(apart) == sorted(set(table["participant_id"]))


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from("ABC"), min_size=2, max_size=25),
    st.integers(2, 6),
    st.integers(0, 2**32 - 1),
)
def test_folds_and_their_classes_differ_by_one_at_most(tmp_path_factory, labels, n_folds, seed):
    path = tmp_path_factory.mktemp("folds") / "t.tsv"
    rows = [(f"sub-{i}", "ses-M000", label) for i, label in enumerate(labels)]
    columns = ["participant_id", "session_id", "diagnosis"]
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)
    wanted = config(path, n_splits=n_folds, seed=seed)
    if len(labels) < n_folds:
        with pytest.raises(InvalidDataError, match="fewer participants than folds"):
            plan(wanted)
        return
    folds = [division.apart_baseline for division in plan(wanted).divisions]
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    for label in set(labels):
        counts = [(fold["diagnosis"] == label).sum() for fold in folds]
        assert max(counts) - min(counts) <= 1
    names = [name for fold in folds for name in fold["participant_id"]]
    assert sorted(names) == sorted(f"sub-{i}" for i in range(len(labels)))


def test_the_classes_are_spread_as_scikit_learn_spreads_them(labels):
    folds = [division.apart_baseline for division in plan(config(labels, n_splits=3)).divisions]
    y = read(labels).drop_duplicates("participant_id")["diagnosis"].to_numpy()
    reference = StratifiedKFold(3).split(y, y)
    for label in ("AD", "CN"):
        ours = sorted((fold["diagnosis"] == label).sum() for fold in folds)
        assert ours == sorted(
            (y[test] == label).sum() for _, test in StratifiedKFold(3).split(y, y)
        )
    assert sorted(map(len, folds)) == sorted(len(test) for _, test in reference)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name in ("one", "again"):
        write(tmp_path / name / "labels.tsv")
    one, again = (
        kfold(config(tmp_path / name / "labels.tsv", seed=3)) for name in ("one", "again")
    )
    other = kfold(config(tmp_path / "one" / "labels.tsv", seed=4))
    assert contents(one) == contents(again)
    assert contents(one) != contents(other)
    name = "split-0/validation_baseline.tsv"
    assert contents(one)[name] != contents(other)[name]


def worst(folder, n_folds):
    """Return the worst balance of age and sex over the folds, by scipy."""
    found = []
    for i in range(n_folds):
        apart, train = (
            read(folder / f"split-{i}" / f"{name}_baseline.tsv") for name in ("validation", "train")
        )
        counts = [[(part["sex"] == sex).sum() for sex in "FM"] for part in (apart, train)]
        p_age = stats.ttest_ind(apart["age"].astype(float), train["age"].astype(float)).pvalue
        found.append((p_age, stats.fisher_exact(counts).pvalue))
    return np.array(found)


def test_the_folds_are_alike_in_age_and_sex(labels):
    balanced = kfold(config(labels, n_splits=4))
    plain = kfold(config(labels, n_splits=4, ignore_demographics=True))
    found = worst(balanced, 4)
    assert found.min() > worst(plain, 4).min()
    record = json.loads((balanced / "kfold.json").read_text())
    said = [[fold[column]["p"] for column in ("age", "sex")] for fold in record["balance"]]
    np.testing.assert_allclose(said, found, atol=1e-8)
    assert json.loads((plain / "kfold.json").read_text())["balance"] is None


def test_what_is_known_is_balanced_and_what_is_not_is_left_out(tmp_path, caplog):
    write(tmp_path / "t.tsv", age=None)
    record = plan(config(tmp_path / "t.tsv")).record
    assert [list(fold) for fold in record["balance"]] == [["sex"]] * 5
    table = write(tmp_path / "t.tsv")
    write(tmp_path / "t.tsv", sex=["n/a", "n/a", *table["sex"][2:]])
    plan(config(tmp_path / "t.tsv"))
    assert "without the sex of sub-000" in caplog.text


def test_a_table_of_ids_alone_is_divided_with_a_warning(tmp_path, caplog):
    write(tmp_path / "t.tsv", age=None, sex=None, diagnosis=None)
    record = plan(config(tmp_path / "t.tsv")).record
    assert (record["stratification"], record["balance"]) == (None, None)
    assert "no column diagnosis" in caplog.text


def test_a_wrong_age_is_refused_unless_demographics_are_ignored(tmp_path):
    table = write(tmp_path / "t.tsv")
    ages = list(table["age"])
    ages[1] = "80+"  # a later session, whose age is not balanced
    ages[-3] = "90+"
    write(tmp_path / "t.tsv", age=ages)
    row = len(ages) - 3 + 2
    with pytest.raises(InvalidDataError, match=rf"t\.tsv, row {row}, column age"):
        plan(config(tmp_path / "t.tsv"))
    plan(config(tmp_path / "t.tsv", ignore_demographics=True))


def test_a_column_that_was_named_must_be_there(tmp_path):
    write(tmp_path / "t.tsv", diagnosis=None)
    with pytest.raises(MissingInputError, match="no column diagnosis"):
        kfold(config(tmp_path / "t.tsv", stratification=["diagnosis"]))
    assert {path.name for path in tmp_path.iterdir()} == {"t.tsv"}


def test_another_column_can_be_stratified_by(labels):
    folds = [one.apart_baseline for one in plan(config(labels, stratification=["sex"])).divisions]
    counts = [(fold["sex"] == "F").sum() for fold in folds]
    assert max(counts) - min(counts) <= 1


def test_a_class_smaller_than_the_folds_is_a_warning(tmp_path, caplog):
    table = write(tmp_path / "t.tsv")
    write(tmp_path / "t.tsv", diagnosis=["FTD", *table["diagnosis"][1:-1], "FTD"])
    folds = plan(config(tmp_path / "t.tsv")).divisions
    assert sum((one.apart_baseline["diagnosis"] == "FTD").sum() for one in folds) == 2
    assert "FTD (2)" in caplog.text


def test_fewer_participants_than_folds_are_refused(tmp_path):
    write(tmp_path / "t.tsv", n=4)
    with pytest.raises(InvalidDataError, match=r"4 participants, 5 folds") as caught:
        kfold(config(tmp_path / "t.tsv"))
    assert caught.value.exit_code == 65
    assert {path.name for path in tmp_path.iterdir()} == {"t.tsv"}


def test_as_many_folds_as_participants_leave_one_out(tmp_path):
    write(tmp_path / "t.tsv", n=6)
    folds = plan(config(tmp_path / "t.tsv", n_splits=6)).divisions
    assert [len(one.apart_baseline) for one in folds] == [1] * 6


def test_one_fold_is_refused(labels):
    with pytest.raises(UsageError, match="one fold leaves nobody to train on"):
        config(labels, n_splits=1)


def test_zero_folds_set_everybody_apart(tmp_path):
    write(tmp_path / "t.tsv", n=4, diagnosis=None)
    folder = kfold(config(tmp_path / "t.tsv", n_splits=0, subset_name="test"))
    assert folder.name == "0_fold"
    assert set(contents(folder)) == {"kfold.json", "split-0/test_baseline.tsv"}
    assert len(read(folder / "split-0" / "test_baseline.tsv")) == 4


def test_folds_of_a_split_lie_inside_it_and_leave_the_test_set_alone(labels):
    outer = split(config_of(SplitConfig, {"data_tsv": labels, "n_test": 8, "subset_name": "test"}))
    folder = kfold(config(outer / "train.tsv", n_splits=2))
    assert folder == outer / "2_fold"
    held_out = set(read(outer / "test_baseline.tsv")["participant_id"])
    for path in folder.rglob("*.tsv"):
        assert not held_out & set(read(path)["participant_id"])


def test_folders_are_numbered(labels):
    assert kfold(config(labels)).name == "5_fold"
    assert kfold(config(labels)).name == "5_fold_2"
    assert kfold(config(labels, n_splits=2)).name == "2_fold"


def test_the_json_tells_how_the_folds_were_made(labels):
    folder = kfold(config(labels, n_splits=2, seed=9))
    record = json.loads((folder / "kfold.json").read_text())
    published = {"n_splits": 2, "subset_name": "validation", "stratification": "diagnosis"}
    assert record.items() >= published.items()
    assert record["seed"] == 9
    assert record["data_tsv"] == "labels.tsv"
    assert record["sha256"] == sha256(labels.read_bytes()).hexdigest()
    assert record["files"] == {
        name: sha256(content).hexdigest()
        for name, content in contents(folder).items()
        if name.endswith(".tsv")
    }


def test_groups_stay_together_in_every_fold(tmp_path):
    table = write(tmp_path / "t.tsv")
    family = [f"F{int(name[4:]) // 3}" for name in table["participant_id"]]
    write(tmp_path / "t.tsv", family=family)
    folds = plan(config(tmp_path / "t.tsv", group_by="family")).divisions
    # 13 families of three and one of one: three families in three folds, two in two.
    for fold in folds:
        assert not set(fold.apart_baseline["family"]) & set(fold.train["family"])
    assert sorted(len(fold.apart_baseline) for fold in folds) == [6, 7, 9, 9, 9]


def test_fewer_groups_than_folds_are_refused(tmp_path):
    write(tmp_path / "t.tsv", family=["A", "B", "C", "D"] * 12 + ["A", "B"])
    with pytest.raises(InvalidDataError, match="fewer groups than folds"):
        plan(config(tmp_path / "t.tsv", group_by="family"))


def test_columns_may_come_from_another_table(tmp_path):
    table = write(tmp_path / "merged.tsv")
    write(tmp_path / "t.tsv", age=None, sex=None, diagnosis=None)
    planned = plan(config(tmp_path / "t.tsv", merged_tsv=tmp_path / "merged.tsv"))
    assert planned.record["stratified_by"] == ["diagnosis"]
    assert "diagnosis" not in planned.divisions[0].train.columns
    assert "diagnosis" in table.columns
    assert tmp_path / "merged.tsv" in planned.read


@pytest.mark.data
def test_real_longitudinal_participants_are_divided(real_data, tmp_path):
    table = (real_data / "tables" / "oasis2_merged.tsv").read_bytes()
    (tmp_path / "labels.tsv").write_bytes(table)
    folds = [
        one.apart
        for one in plan(config(tmp_path / "labels.tsv", valid_longitudinal=True)).divisions
    ]
    assert sum(len(fold) for fold in folds) == 244
    assert len({name for fold in folds for name in set(fold["participant_id"])}) == 100
    assert sum(fold["participant_id"].nunique() for fold in folds) == 100
