"""How each session goes on."""

import logging
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.summary import STAGES, ProgressionConfig
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts import splits, tsv
from clinicadl.tables import progression, sessions
from clinicadl.tables.progression import get_progression, inferred, progressions

NA = np.nan


def history(months, diagnoses, participant="sub-1"):
    return pd.DataFrame(
        {
            "participant_id": participant,
            "session_id": [f"ses-M{month:03d}" for month in months],
            "diagnosis": pd.Series(diagnoses, dtype=object),
        }
    )


def labels(months, diagnoses, **options):
    return progressions(history(months, diagnoses), **{"horizon": 36, **options}).tolist()


@pytest.mark.parametrize(
    ("months", "diagnoses", "expected"),
    [
        ([0, 12, 24, 36, 48], ["CN"] * 5, "s s s s uk"),
        ([0, 12, 24, 36, 48], ["MCI"] * 4 + ["AD"], "s p p p uk"),
        ([0, 24, 60], ["MCI", "MCI", "AD"], "p p uk"),
        ([0, 24], ["MCI", "CN"], "r uk"),
        ([0, 12, 36, 48, 60, 72], ["MCI", "CN", "MCI", "MCI", "CN", "AD"], "us us us us us us"),
        ([0], ["MCI"], "uk"),
        # The horizon lies between 24 and 48: the one before differs, and counts.
        ([0, 24, 48], ["CN", "MCI", "AD"], "p p uk"),
        # The one at the horizon is of the same stage: what comes after it is of no account.
        ([0, 36, 48], ["CN", "CN", "AD"], "s p uk"),
        ([0, 12], ["AD", "Dementia"], "s uk"),
        # No label of these says that the disease rises, but the sessions do.
        ([0, 60, 120, 180], ["CN", "MCI", "MCI", "CN"], "us us us us"),
        ([0, 12, 24], ["MCI", NA, "AD"], "p nan uk"),
    ],
)
def test_the_published_table_and_its_neighbours(months, diagnoses, expected):
    assert [str(label) for label in labels(months, diagnoses)] == expected.split()


def by_hand(months, stages, horizon):
    """The three rules of the definition, as they are written, one session after the other."""
    moves = [later - earlier for earlier, later in pairwise(stages)]
    if min(moves, default=0) < 0 < max(moves, default=0):
        return ["us"] * len(months)
    found = []
    for month, stage in zip(months, stages, strict=True):
        goal = month + horizon
        if goal in months:
            other = stages[months.index(goal)]
        elif goal > months[-1]:
            other = stages[-1]
        else:
            before = max(i for i, one in enumerate(months) if one < goal)
            other = stages[before] if stages[before] != stage else stages[before + 1]
        found.append({1: "p", 0: "s", -1: "r"}[int(np.sign(other - stage))])
    return [*found[:-1], "uk"]


CASES = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(sorted(STAGES))),
    min_size=1, max_size=8, unique_by=lambda one: one[0],
)  # fmt: skip


@given(CASES, st.integers(1, 40))
def test_every_history_is_labelled_as_the_definition_says(case, horizon):
    case = sorted(case)
    months, diagnoses = [one[0] for one in case], [one[1] for one in case]
    expected = by_hand(months, [STAGES[one] for one in diagnoses], horizon)
    assert labels(months, diagnoses, horizon=horizon) == expected


@given(st.lists(CASES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_neither_other_participants_nor_the_order_of_rows_matter(cases, draw):
    tables = [
        history([one[0] for one in case], [one[1] for one in case], f"sub-{i}")
        for i, case in enumerate(cases)
    ]
    table = pd.concat(tables, ignore_index=True)
    alone = pd.concat([progressions(one, horizon=12) for one in tables], ignore_index=True)
    order = draw.sample(range(len(table)), len(table))
    found = progressions(table.iloc[order], horizon=12)
    assert found.index.tolist() == order
    assert found.sort_index().tolist() == alone.tolist()


def test_months_are_compared_as_numbers_and_ids_of_any_length_are_one_scale():
    table = history([0, 0], ["CN", "AD"])
    table["session_id"] = ["ses-M6", "ses-M012"]
    assert progressions(table, horizon=6).tolist() == ["p", "uk"]


def test_other_stages_make_any_disease_of_it():
    stages = {"remission": 0, "relapse": 1, "progressive": 2}
    assert labels([0, 12], ["relapse", "progressive"], stages=stages) == ["p", "uk"]


def test_a_diagnosis_without_a_stage_is_listed():
    with pytest.raises(InvalidDataError, match=r"EMCI, LMCI have no stage") as caught:
        labels([0, 12, 24], ["EMCI", "LMCI", "CN"])
    assert "sub-1 ses-M000, sub-1 ses-M012)" in str(caught.value)


def test_two_stages_at_one_time_are_refused():
    table = history([0, 0, 12], ["CN", "AD", "AD"])
    table["session_id"] = ["ses-M00", "ses-M000", "ses-M012"]
    with pytest.raises(InvalidDataError, match="two stages at one time") as caught:
        progressions(table, horizon=36)
    assert "sub-1 ses-M00, sub-1 ses-M000" in str(caught.value)


def test_a_session_without_a_month_is_named():
    table = history([0, 12], ["CN", "AD"]).assign(session_id=["ses-M000", "ses-wave2"])
    with pytest.raises(InvalidDataError, match=r"cannot be told .* row 3, .*ses-wave2"):
        progressions(table, horizon=36)


@pytest.mark.parametrize(
    ("diagnoses", "expected"),
    [
        (["CN", NA, "CN"], ["CN", "CN", "CN"]),
        (["CN", NA, "AD"], ["CN", NA, "AD"]),
        ([NA, "CN", "CN"], [NA, "CN", "CN"]),
        (["CN", "CN", NA], ["CN", "CN", NA]),
        (["CN", NA, NA, "CN"], ["CN", "CN", "CN", "CN"]),
        ([NA, NA], [NA, NA]),
        (["CN", "AD"], ["CN", "AD"]),
    ],
)
def test_a_missing_diagnosis_is_that_of_equal_neighbours(diagnoses, expected):
    table = history(range(len(diagnoses)), diagnoses)
    backwards = inferred(table.iloc[::-1])
    assert backwards.index.tolist() == table.index[::-1].tolist()
    for found in (inferred(table), backwards.sort_index()):
        pd.testing.assert_series_equal(found["diagnosis"], pd.Series(expected, dtype=object),
                                       check_names=False)  # fmt: skip


def test_nobody_inherits_the_diagnosis_of_another():
    table = pd.concat([history([0, 12], ["CN", NA]), history([0, 12], [NA, "CN"], "sub-2")])
    assert inferred(table.reset_index(drop=True))["diagnosis"].isna().sum() == 2


def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    tsv.write(path, table)
    return path


def test_the_table_is_edited_in_place_and_its_ids_stay_as_they_were(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text(
        "participant_id\tsession_id\tage\tdiagnosis\n"
        "002_S_1\tM12\t71.50\tAD\n002_S_1\tbl\tNA\tMCI\nsub-2\tses-M00\t 60\t\n"
    )
    planned = progression.plan(ProgressionConfig(data_tsv=path))
    assert planned.n_labels == {"p": 1, "uk": 1, "no diagnosis": 1}
    assert (planned.replaces, planned.n_participants) == (False, 2)
    assert get_progression(planned.config) == path
    assert path.read_text() == (
        "participant_id\tsession_id\tage\tdiagnosis\tprogression\n"
        "002_S_1\tM12\t71.50\tAD\tuk\n002_S_1\tbl\tn/a\tMCI\tp\nsub-2\tses-M00\t 60\tn/a\tn/a\n"
    )


def test_an_old_column_is_replaced_where_it_stands(tmp_path):
    table = history([0, 12], ["MCI", "AD"])
    table.insert(2, "progression", ["uk", "s"])
    planned = progression.plan(ProgressionConfig(data_tsv=write(tmp_path / "t.tsv", table)))
    assert planned.replaces
    assert list(planned.table.columns) == list(table.columns)
    assert planned.table["progression"].tolist() == ["p", "uk"]


def test_the_same_bytes_come_out_twice(tmp_path):
    path = write(tmp_path / "t.tsv", history([0, 12, 24], ["MCI", "AD", NA]))
    get_progression(ProgressionConfig(data_tsv=path))
    once = path.read_bytes()
    get_progression(ProgressionConfig(data_tsv=path))
    assert path.read_bytes() == once


def test_diagnoses_come_from_the_labels_above_under_another_spelling_of_the_month(tmp_path):
    write(tmp_path / "labels.tsv", history([0, 12, 24], ["MCI", "AD", "AD"]))
    table = pd.DataFrame(
        {"participant_id": ["sub-1", "sub-1", "sub-9"],
         "session_id": ["ses-M12", "ses-M00", "ses-M00"]}
    )  # fmt: skip
    path = write(tmp_path / "split" / "5_fold" / "split-0" / "train.tsv", table)
    planned = progression.plan(ProgressionConfig(data_tsv=path))
    assert planned.read == (path, tmp_path / "labels.tsv")
    assert planned.table["progression"].fillna("n/a").tolist() == ["uk", "p", "n/a"]
    assert list(planned.table.columns) == ["participant_id", "session_id", "progression"]


def test_a_diagnosis_that_is_nowhere_is_an_error(tmp_path):
    ids = history([0], ["CN"]).drop(columns="diagnosis")
    with pytest.raises(MissingInputError, match="no column diagnosis"):
        progression.plan(ProgressionConfig(data_tsv=write(tmp_path / "t.tsv", ids)))
    with pytest.raises(InvalidDataError, match="No session has a diagnosis"):
        empty = write(tmp_path / "t.tsv", history([0], [NA]))
        progression.plan(ProgressionConfig(data_tsv=empty))


def test_years_in_a_column_are_months(tmp_path):
    table = history([0, 1, 2], ["MCI", "MCI", "AD"]).assign(years=["0.1", "3.1", "n/a"])
    table["session_id"] = ["ses-wave1", "ses-wave2", "ses-wave3"]
    more = table.assign(participant_id="sub-2", years=["0", "2.5", "3.1"])
    path = write(tmp_path / "t.tsv", pd.concat([table, more]))
    config = ProgressionConfig(data_tsv=path, time_column="years", time_unit="years")
    planned = progression.plan(config)
    expected = ["s", "uk", "n/a", "p", "p", "uk"]
    assert planned.table["progression"].fillna("n/a").tolist() == expected
    assert planned.n_labels == {"s": 1, "p": 2, "uk": 2, "no time": 1}
    with pytest.raises(MissingInputError, match="no column days"):
        progression.plan(ProgressionConfig(data_tsv=path, time_column="days"))
    with pytest.raises(InvalidDataError, match="--time_column"):
        progression.plan(ProgressionConfig(data_tsv=path))


def test_the_record_of_a_split_goes_along_unless_the_table_was_edited(tmp_path, caplog):
    table = history([0, 12], ["MCI", "AD"])
    people = sessions.baseline(table)
    division = splits.Division(table, people, people.assign(participant_id="sub-2"), None)
    folder = tmp_path / "split"
    splits.write_split(folder, division, subset_name="test", record={"subset_name": "test"})
    path = folder / "train.tsv"
    before = splits.recorded(path).digest
    get_progression(ProgressionConfig(data_tsv=path))
    after = splits.recorded(path).digest
    assert after == splits.sha256(path) != before
    path.write_text(path.read_text().replace("sub-1", "sub-2"))
    with caplog.at_level(logging.WARNING):
        get_progression(ProgressionConfig(data_tsv=path))
    assert splits.recorded(path).digest == after
    assert "edited after the split" in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stages": ("CN",)}, "no diagnosis with its stage"),
        ({"stages": ("CN=x",)}, "no diagnosis with its stage"),
        ({"stages": ("=1",)}, "no diagnosis with its stage"),
        ({"stages": ("CN=0", "CN=1")}, "comes twice"),
        ({"time_unit": "years"}, "without time_column"),
        ({"time_horizon": 0}, "time_horizon"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, words):
    from clinicadl.config.read import settings as checked

    with pytest.raises(UsageError) as caught:
        checked(ProgressionConfig, {"data_tsv": "t.tsv", **settings})
    assert words.replace("_", "-") in str(caught.value).replace("_", "-")


@pytest.mark.data
def test_real_histories_are_told_apart(real_data):
    """47 stay CN, 42 stay AD, 10 go from CN to AD and one the other way, says their table."""
    table = sessions.read(real_data / "tables" / "oasis2_merged.tsv")
    found = progressions(table, horizon=1000)
    kinds = Counter()
    for _, of_one in sessions.in_order(table.assign(label=found)).groupby("participant_id"):
        start, end = of_one["diagnosis"].iloc[[0, -1]]
        kinds[start, end, of_one["diagnosis"].nunique(), of_one["label"].iloc[0]] += 1
    # With no end of the horizon, the first label of a participant tells where they end.
    assert kinds == {
        ("CN", "CN", 1, "s"): 47,
        ("AD", "AD", 1, "s"): 42,
        # Of the ten who get AD, two are CN again later.
        ("CN", "AD", 2, "p"): 8,
        ("CN", "CN", 2, "us"): 2,
        ("AD", "CN", 2, "r"): 1,
    }
    assert (found == "us").sum() == 3 + 4


@pytest.mark.data
@pytest.mark.parametrize("horizon", [12, 24, 36, 60])
def test_real_histories_are_labelled_as_the_definition_says(real_data, horizon):
    table = sessions.read(real_data / "tables" / "oasis2_merged.tsv")
    table["label"] = progressions(table, horizon=horizon)
    for _, of_one in sessions.in_order(table).groupby("participant_id"):
        months = [sessions.month(name) for name in of_one["session_id"]]
        stages = [STAGES[name] for name in of_one["diagnosis"]]
        assert of_one["label"].tolist() == by_hand(months, stages, horizon)


@pytest.mark.data
def test_waves_of_a_real_study_are_placed_by_their_years(real_data, tmp_path):
    table = sessions.read(real_data / "tables" / "dlbs_merged.tsv")
    score = table["MMSE"].astype(float)
    table["diagnosis"] = pd.Series(np.where(score < 27, "low", "high")).where(score.notna())
    config = ProgressionConfig(
        data_tsv=write(tmp_path / "dlbs.tsv", table), stages=("high=0", "low=1"),
        time_column="years_since_wave1", time_unit="years", time_horizon=60,
    )  # fmt: skip
    planned = progression.plan(config)
    assert sum(planned.n_labels.values()) == 676
    untold = table["years_since_wave1"].isna()
    assert untold.sum() == 44
    assert planned.n_labels["no time"] == (untold & score.notna()).sum()
    assert {"s", "p", "r", "uk"} <= set(planned.n_labels)
