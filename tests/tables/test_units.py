"""Who stays together, and who has a place already."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicadl.config.read import settings as config_of
from clinicadl.config.tables import KFoldConfig, SplitConfig
from clinicadl.errors import LeakageError, MissingInputError
from clinicadl.tables import sessions
from clinicadl.tables.folds import kfold
from clinicadl.tables.sessions import Source
from clinicadl.tables.split import split
from clinicadl.tables.units import units


def table_of(path, names, **columns):
    """Write a table of one session a participant and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"participant_id": list(names), "session_id": "ses-M000", **columns}
    pd.DataFrame(facts).to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


def read(path):
    table = pd.read_csv(path, sep="\t", dtype=str)
    return set(table["participant_id"])


def split_of(path, **said):
    return split(config_of(SplitConfig, {"data_tsv": path, "ignore_demographics": True, **said}))


def kfold_of(path, **said):
    return kfold(config_of(KFoldConfig, {"data_tsv": path, "ignore_demographics": True, **said}))


def parts(folder):
    return read(folder / "train.tsv"), read(folder / "validation_baseline.tsv")


def found(rows, column="family"):
    table = pd.DataFrame(rows, columns=["participant_id", "session_id", column])
    return units(sessions.baseline(table), Source(None, table), column).of.tolist()


def test_members_of_a_group_have_one_number():
    rows = [("sub-1", "ses-M000", "A"), ("sub-2", "ses-M000", "B"), ("sub-3", "ses-M000", "A")]
    assert found(rows) == [0, 1, 0]


def test_whoever_changes_groups_ties_them_together():
    rows = [
        ("sub-1", "ses-M000", "A"), ("sub-2", "ses-M000", "A"), ("sub-2", "ses-M012", "B"),
        ("sub-3", "ses-M000", "B"), ("sub-4", "ses-M000", "C"),
    ]  # fmt: skip
    assert found(rows) == [0, 0, 0, 1]


def test_nobody_in_no_group_is_tied_to_another(caplog):
    rows = [("sub-1", "ses-M000", np.nan), ("sub-2", "ses-M000", np.nan)]
    assert found(rows) == [0, 1]
    assert "2 of 2 participants are in no group of family" in caplog.text


def test_an_absent_column_of_groups_is_named(tmp_path):
    path = table_of(tmp_path / "t.tsv", ["sub-1", "sub-2"])
    with pytest.raises(MissingInputError, match="no column family to group by"):
        split_of(path, n_test=1, group_by="family")


def test_sublabels_are_split_first_and_the_parent_around_them(tmp_path):
    names = [f"sub-{i:02d}" for i in range(60)]
    stable = table_of(tmp_path / "sMCI" / "t.tsv", names[:20])
    progressive = table_of(tmp_path / "pMCI" / "t.tsv", names[20:35])
    everybody = table_of(tmp_path / "MCI" / "t.tsv", names)
    of_stable = split_of(stable, n_test=0.2)
    of_progressive = split_of(progressive, n_test=0.2, seed=4)
    folder = split_of(everybody, n_test=0.2, around=[of_stable, of_progressive])
    train, apart = parts(folder)
    for child in (of_stable, of_progressive):
        child_train, child_apart = parts(child)
        assert child_train <= train
        assert child_apart <= apart
    assert len(apart) == 12
    assert train | apart == set(names)


@st.composite
def families_of_labels(draw):
    """Label sets over 40 participants: nested to any depth, overlapping, or disjoint."""
    names = [f"sub-{i:02d}" for i in range(40)]
    sets = draw(st.lists(st.sets(st.sampled_from(names), min_size=4), min_size=1, max_size=4))
    for _ in range(draw(st.integers(0, 2))):
        parent = draw(st.sampled_from(sets))
        if len(parent) >= 4:
            sets.append(draw(st.sets(st.sampled_from(sorted(parent)), min_size=4)))
    # The smallest first: a set is split around all that were split before it.
    return [*sorted(sets, key=len), set(names)]


@settings(max_examples=25)
@given(families_of_labels(), st.integers(0, 99))
def test_nobody_is_train_in_one_label_and_test_in_another(tmp_path_factory, label_sets, seed):
    home = tmp_path_factory.mktemp("labels")
    done = []
    for i, names in enumerate(label_sets):
        path = table_of(home / str(i) / "t.tsv", sorted(names))
        done.append(split_of(path, n_test=0.3, seed=seed + i, around=done))
    trains, tests = zip(*map(parts, done), strict=True)
    assert not set().union(*trains) & set().union(*tests)
    for train, test, names in zip(trains, tests, label_sets, strict=True):
        assert train | test == names


@settings(max_examples=15)
@given(families_of_labels(), st.integers(0, 99))
def test_nobody_is_in_different_folds_of_two_labels(tmp_path_factory, label_sets, seed):
    home = tmp_path_factory.mktemp("labels")
    done = []
    fold_of = {}
    for i, names in enumerate(label_sets):
        path = table_of(home / str(i) / "t.tsv", sorted(names))
        try:
            folder = kfold_of(path, n_splits=2, seed=seed + i, around=done)
        except Exception as error:  # noqa: BLE001  # told apart below
            # All of a small set may have the same place already.
            assert "A fold would have no participants" in str(error)
            continue
        done.append(folder)
        for fold in (0, 1):
            for who in read(folder / f"split-{fold}" / "validation_baseline.tsv"):
                assert fold_of.setdefault(who, fold) == fold


def test_earlier_divisions_that_contradict_each_other_are_refused(tmp_path):
    one = table_of(tmp_path / "one" / "t.tsv", [f"sub-{i}" for i in range(9)])
    other = table_of(tmp_path / "other" / "t.tsv", [f"sub-{i}" for i in range(9)])
    first, second = split_of(one, n_test=3, seed=0), split_of(other, n_test=3, seed=1)
    with pytest.raises(LeakageError, match="different places in earlier divisions") as caught:
        split_of(one, n_test=3, around=[first, second])
    assert caught.value.exit_code == 4
    assert str(second) in str(caught.value)


def test_a_family_of_two_places_is_refused(tmp_path):
    names = [f"sub-{i}" for i in range(8)]
    first = split_of(table_of(tmp_path / "one" / "t.tsv", names), n_test=4)
    family = table_of(tmp_path / "t.tsv", names, family=["A"] * 8)
    with pytest.raises(LeakageError, match="belong together"):
        split_of(family, n_test=4, around=[first], group_by="family")


def test_a_folder_that_is_no_division_of_the_kind_is_named(tmp_path):
    path = table_of(tmp_path / "t.tsv", [f"sub-{i}" for i in range(8)])
    halves, thirds = split_of(path, n_test=4), kfold_of(path, n_splits=3)
    with pytest.raises(MissingInputError, match="no validation_baseline.tsv"):
        split_of(path, n_test=4, around=[thirds])
    for n_splits in (2, 4):
        with pytest.raises(MissingInputError, match="no earlier division of the same kind"):
            kfold_of(path, n_splits=n_splits, around=[thirds])
    with pytest.raises(MissingInputError, match=f"{halves.name}"):
        kfold_of(path, n_splits=2, around=[halves])
