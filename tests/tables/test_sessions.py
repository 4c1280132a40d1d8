"""Tables with one row a session."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.tables import sessions

TWO = "participant_id\tsession_id\tage\tsex\nsub-01\tses-M000\t60\tF\nsub-02\tses-M006\t7e1\tM\n"


def table_of(tmp_path, text=TWO, name="table.tsv", **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return sessions.read(path, **options), path


def frame(*rows, columns=("participant_id", "session_id")):
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object)


def test_cells_stay_as_they_were_written(tmp_path):
    table, path = table_of(tmp_path)
    assert table["age"].tolist() == ["60", "7e1"]
    sessions.write(tmp_path / "again.tsv", table)
    assert (tmp_path / "again.tsv").read_bytes() == path.read_bytes()


def test_ids_are_rid_of_blanks(tmp_path):
    table, _ = table_of(tmp_path, TWO.replace("sub-01", " sub-01 "))
    assert sessions.sessions_of(table) == [("sub-01", "ses-M000"), ("sub-02", "ses-M006")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sub-02", "", ["participant_id", "row 3", "no value"]),
        ("sub-02", "NaN", ["participant_id", "row 3", "no value"]),
        ("ses-M006", "n/a", ["session_id", "row 3", "no value"]),
        ("sub-02", "--", ["participant_id", "row 3", "'--'", "sub-01"]),
        ("sub-02", "sub-0_2", ["participant_id", "row 3", "'sub-0_2'"]),
        ("sub-02", "sub-é", ["participant_id", "row 3"]),
        ("ses-M006", "ses-M_6", ["session_id", "row 3", "'ses-M_6'"]),
        ("sub-02\tses-M006", "sub-01\tses-M000", ["repeat", "row 3", "sub-01 | ses-M000"]),
    ],
)
def test_a_wrong_id_is_refused_with_its_row(tmp_path, old, new, words):
    with pytest.raises(InvalidDataError) as caught:
        table_of(tmp_path, TWO.replace(old, new))
    assert caught.value.exit_code == 65
    for word in ["table.tsv", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("column", ["participant_id", "session_id", "diagnosis"])
def test_a_column_that_is_needed_and_absent_is_named(tmp_path, column):
    of_one = TWO.replace("sub-02", "sub-01").replace("age", "diagnosis")
    with pytest.raises(MissingInputError, match=rf"no column {column} in .*table\.tsv"):
        table_of(tmp_path, of_one.replace(column, "other"), needs=["diagnosis"])


@pytest.mark.parametrize(
    ("written", "read", "said"),
    [
        ("participant_id\tsession_id\n01\tM06\n02\tbl\n", ["sub-01", "ses-M006"], "sub-01"),
        ("Subject ID,Visit\n002_S_0295,m06\n7,m06\n", ["sub-002S0295", "ses-M006"], "Subject ID"),
        ("PTID;VISCODE\n1003.0;v06\n1008.0;bl\n", ["sub-1003", "ses-M006"], "VISCODE"),
        ("participant_id\tsession\nsub-1\t2\nsub-2\t2\n", ["sub-1", "ses-2"], "ses-2"),
        ("participant_id\tage\nsub-1\t60\nsub-2\t61\n", ["sub-1", "ses-M000"], "ses-M000"),
    ],
)
def test_other_spellings_of_ids_are_read_and_said(tmp_path, caplog, written, read, said):
    table, _ = table_of(tmp_path, written)
    assert table[["participant_id", "session_id"]].iloc[0].tolist() == read
    assert said in caplog.text


def test_what_is_written_as_bids_is_kept_to_the_letter_and_in_silence(tmp_path, caplog):
    rows = "sub-01\tses-M06\nsub-01\tses-M012\nsub-01\tses-bl\nsub-A\tses-wave1\n"
    table, _ = table_of(tmp_path, f"participant_id\tsession_id\n{rows}")
    assert "".join(f"{one}\t{other}\n" for one, other in sessions.sessions_of(table)) == rows
    assert caplog.text == ""


@pytest.mark.parametrize("pair", [("ses-M06", "ses-M006"), ("ses-bl", "ses-M00"), ("bl", "m0")])
def test_one_month_in_two_spellings_is_a_repetition(tmp_path, pair):
    rows = "".join(f"sub-01\t{session}\n" for session in ("ses-M012", *pair))
    with pytest.raises(InvalidDataError, match="rows 3, 4|repeats"):
        table_of(tmp_path, f"participant_id\tsession_id\n{rows}")


def test_two_people_do_not_become_one_by_their_spelling(tmp_path):
    with pytest.raises(InvalidDataError, match=r"rows 2, 3.*'a_1', 'a1'"):
        table_of(tmp_path, "participant_id\tsession_id\na_1\tses-1\na1\tses-2\n")


def test_months_are_compared_as_numbers():
    table = frame(("sub-01", "ses-M12"), ("sub-01", "ses-M6"), ("sub-01", "ses-M006"))
    assert sessions.baseline(table)["session_id"].tolist() == ["ses-M006"]
    ordered = sessions.in_order(frame(("sub-02", "ses-M0"), *table.to_numpy().tolist()))
    assert ordered["session_id"].tolist() == ["ses-M006", "ses-M6", "ses-M12", "ses-M0"]


def test_sessions_without_months_are_ordered_too():
    table = frame(("sub-01", "ses-wave10"), ("sub-01", "ses-wave2"), ("sub-02", "ses-2"))
    assert sessions.baseline(table)["session_id"].tolist() == ["ses-wave2", "ses-2"]


months = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 200)), min_size=1, unique=True)


@given(months)
def test_the_baseline_is_the_first_month_of_everybody(visits):
    table = frame(*((f"sub-{who}", f"ses-M{month}") for who, month in visits))
    found = dict(sessions.sessions_of(sessions.baseline(table)))
    assert found == {
        f"sub-{who}": f"ses-M{min(month for one, month in visits if one == who)}"
        for who in {who for who, _ in visits}
    }


def test_numbers_are_read_and_missing_ones_are_nan(tmp_path):
    table, path = table_of(tmp_path, TWO.replace("60", "n/a"))
    values = sessions.numbers(table, "age", where=path)
    assert np.isnan(values[0])
    assert values[1] == 70.0


@pytest.mark.parametrize("cell", ["abc", "34,2", "inf", "1e999", "1_0", "60 years"])
def test_what_is_no_number_is_refused_with_its_row(tmp_path, cell):
    table, path = table_of(tmp_path, TWO.replace("7e1", cell))
    with pytest.raises(InvalidDataError, match=r"table\.tsv, row 3, column age") as caught:
        sessions.numbers(table, "age", where=path)
    assert repr(cell) in str(caught.value)
    assert "sub-02" in str(caught.value)


def test_rows_of_a_part_of_a_table_are_those_of_its_file(tmp_path):
    table, path = table_of(tmp_path, TWO.replace("7e1", "abc"))
    with pytest.raises(InvalidDataError, match="row 3"):
        sessions.numbers(table[1:], "age", where=path)


IDS = "participant_id\tsession_id\nsub-01\tses-M000\nsub-02\tses-M006\n"


def test_columns_come_from_the_nearest_labels_above(tmp_path):
    table_of(tmp_path, TWO.replace("60", "99"), name="labels.tsv")
    table_of(tmp_path, TWO, name="a/labels.tsv")
    table, path = table_of(tmp_path, IDS, name="a/split/5_fold/split-0/train.tsv")
    joined = sessions.with_columns(table, path, ["age", "sex"])
    assert joined["age"].tolist() == ["60", "7e1"]
    assert joined["sex"].tolist() == ["F", "M"]
    assert list(joined.columns) == ["participant_id", "session_id", "age", "sex"]


def test_rows_are_joined_by_both_ids_and_in_the_order_of_the_table(tmp_path, caplog):
    lines = TWO.splitlines()
    table_of(tmp_path, "\n".join([lines[0], lines[2], lines[1]]), name="labels.tsv")
    table, path = table_of(tmp_path, IDS + "sub-01\tses-M999\n", name="split/train.tsv")
    joined = sessions.with_columns(table, path, ["age"])
    assert joined["age"].tolist() == ["60", "7e1"]
    assert "sub-01 | ses-M999" in caplog.text


def test_columns_that_are_there_are_not_looked_for(tmp_path):
    table, path = table_of(tmp_path)
    assert sessions.with_columns(table, path, ["age"]) is table


@pytest.mark.parametrize(
    "labels", [None, IDS], ids=["no labels.tsv", "a labels.tsv without the column"]
)
def test_a_column_that_is_nowhere_is_named(tmp_path, labels):
    if labels is not None:
        table_of(tmp_path, labels, name="labels.tsv")
    table, path = table_of(tmp_path, IDS, name="split/train.tsv")
    with pytest.raises(MissingInputError, match=r"no column age in .*train\.tsv") as caught:
        sessions.with_columns(table, path, ["age"])
    assert caught.value.exit_code == 66


def test_labels_too_far_above_are_not_taken(tmp_path):
    table_of(tmp_path, TWO, name="labels.tsv")
    table, near = table_of(tmp_path, IDS, name="1/2/3/4/train.tsv")
    assert "age" in sessions.with_columns(table, near, ["age"])
    table, far = table_of(tmp_path, IDS, name="1/2/3/4/5/train.tsv")
    with pytest.raises(MissingInputError):
        sessions.with_columns(table, far, ["age"])


def test_a_labels_table_is_not_completed_by_one_above(tmp_path):
    table_of(tmp_path, TWO, name="labels.tsv")
    table, path = table_of(tmp_path, IDS, name="other/labels.tsv")
    with pytest.raises(MissingInputError):
        sessions.with_columns(table, path, ["age"])


def test_labels_of_other_people_are_refused(tmp_path):
    table_of(tmp_path, TWO.replace("sub-", "sub-X"), name="labels.tsv")
    table, path = table_of(tmp_path, IDS, name="split/train.tsv")
    with pytest.raises(InvalidDataError, match="none of the sessions"):
        sessions.with_columns(table, path, ["age"])


def test_repeated_rows_of_the_labels_are_refused_and_not_multiplied(tmp_path):
    (tmp_path / "labels.tsv").write_text(TWO + TWO.splitlines()[1] + "\n")
    table, path = table_of(tmp_path, IDS, name="split/train.tsv")
    with pytest.raises(InvalidDataError, match=r"labels\.tsv, row 4"):
        sessions.with_columns(table, path, ["age"])


DIAGNOSED = frame(
    ("sub-01", "ses-M000", "AD"), ("sub-02", "ses-M000", "MCI"), ("sub-03", "ses-M000", np.nan),
    ("sub-04", "ses-M000", "CN"), columns=("participant_id", "session_id", "diagnosis"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(None, ["AD", "CN"]), (["MCI"], ["MCI"]), (["CN", "AD", "X"], ["AD", "CN"])],
)
def test_only_the_diagnoses_asked_for_are_kept(tmp_path, asked, kept):
    table = sessions.keep_diagnoses(DIAGNOSED, asked, where=tmp_path)
    assert table["diagnosis"].tolist() == kept
    assert list(table.index) == list(range(len(kept)))


def test_a_table_without_diagnoses_is_not_filtered_unless_asked(tmp_path):
    table = DIAGNOSED.drop(columns="diagnosis")
    assert sessions.keep_diagnoses(table, None, where=tmp_path) is table
    with pytest.raises(InvalidDataError, match="no column diagnosis"):
        sessions.keep_diagnoses(table, ["AD"], where=tmp_path)


def test_when_no_session_is_left_the_diagnoses_present_are_named(tmp_path):
    with pytest.raises(InvalidDataError, match="found: AD, CN, MCI") as caught:
        sessions.keep_diagnoses(DIAGNOSED, ["FTD"], where=tmp_path)
    assert caught.value.exit_code == 65


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n_participants", "n_sessions"),
    [
        ("tables/oasis2_merged.tsv", 100, 244),
        ("tables/dlbs_merged.tsv", 309, 676),
        ("ixi-caps-4mm/labels.tsv", 121, 121),
    ],
)
def test_real_tables_are_read(real_data, name, n_participants, n_sessions):
    table = sessions.read(real_data / name, needs=["age", "sex"])
    assert len(table) == n_sessions
    assert len(sessions.baseline(table)) == n_participants
    assert sessions.numbers(table, "age", where=real_data / name).between(18, 100).all()
