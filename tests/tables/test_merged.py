"""The table with one row a session that labels are made from."""

import pytest

from clinicadl.config.labels import LabelsConfig
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.tables import merged


def make(home, texts):
    for name, text in texts.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


@pytest.fixture
def data_set(tmp_path):
    return make(
        tmp_path / "bids",
        {
            "participants.tsv": "participant_id\tsex\tage\tsite\n"
            "sub-02\tM\t70\tB\nsub-01\tF\t60\tA\nsub-09\tF\t1\tA\n",
            "sub-01/sub-01_sessions.tsv": "session_id\tage\tdiagnosis\n"
            "ses-M06\t60.5\tCN\nses-M000\tn/a\tn/a\nses-M099\t1\tX\n",
            "sub-01/ses-M000/anat/sub-01_ses-M000_T1w.nii.gz": "",
            "sub-01/ses-M006/anat/sub-01_ses-M006_T1w.nii.gz": "",
            "sub-01/ses-M012/anat/sub-01_ses-M012_T1w.nii.gz": "",
            "sub-02/ses-M000/anat/sub-02_ses-M000_T1w.nii.gz": "",
            "sub-03/ses-M000/anat/sub-03_ses-M000_T1w.nii.gz": "",
        },
    )


def config_of(home, tmp_path, **more):
    return LabelsConfig(bids_directory=home, output_directory=tmp_path / "out", **more)


def test_what_is_said_of_a_session_goes_before_what_is_said_of_its_participant(
    data_set, tmp_path, caplog
):
    given = merged.read(config_of(data_set, tmp_path))
    assert list(given.table) == [
        "participant_id", "session_id", "sex", "age", "site", "diagnosis",
    ]  # fmt: skip
    rows = given.table.astype(object).where(given.table.notna(), None).to_numpy().tolist()
    assert rows == [
        ["sub-01", "ses-M000", "F", None, "A", None],
        ["sub-01", "ses-M006", "F", "60.5", "A", "CN"],
        ["sub-01", "ses-M012", "F", "60", "A", None],
        ["sub-02", "ses-M000", "M", "70", "B", None],
        ["sub-03", "ses-M000", None, None, None, None],
    ]
    assert "1 participants without a session on the disk, left out: sub-09" in caplog.text
    assert "1 participants who are not in this table: sub-03" in caplog.text
    assert [path.name for path in given.read] == ["participants.tsv", "sub-01_sessions.tsv"]


def test_sessions_without_participants_are_enough(data_set, tmp_path):
    (data_set / "participants.tsv").unlink()
    given = merged.read(config_of(data_set, tmp_path))
    assert list(given.table) == ["participant_id", "session_id", "age", "diagnosis"]
    assert len(given.table) == 5


def test_participants_without_sessions_are_enough(data_set, tmp_path):
    (data_set / "sub-01" / "sub-01_sessions.tsv").unlink()
    given = merged.read(config_of(data_set, tmp_path))
    assert given.table["age"].tolist()[:4] == ["60", "60", "60", "70"]


def test_who_has_no_session_level_gets_the_first_month(tmp_path, caplog):
    home = make(
        tmp_path / "bids",
        {
            "participants.tsv": "participant_id\tage\nsub-01\t60\n",
            "sub-01/anat/sub-01_T1w.nii.gz": "",
        },
    )
    given = merged.read(config_of(home, tmp_path))
    assert given.table.to_numpy().tolist() == [["sub-01", "ses-M000", "60"]]
    assert "taken as ses-M000" in caplog.text


def test_a_data_set_without_tables_says_what_to_do(data_set, tmp_path):
    (data_set / "participants.tsv").unlink()
    (data_set / "sub-01" / "sub-01_sessions.tsv").unlink()
    with pytest.raises(MissingInputError, match=r"neither.*--merged_tsv"):
        merged.read(config_of(data_set, tmp_path))


def test_a_data_set_of_tables_alone_has_no_sessions(tmp_path):
    home = make(
        tmp_path / "bids",
        {"participants.tsv": "participant_id\nsub-01\n", "sub-01/sub-01_sessions.tsv": "x"},
    )
    with pytest.raises(InvalidDataError, match="no files of sessions"):
        merged.read(config_of(home, tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("participants.tsv", "participant_id\tage\nsub-01\t1\nsub-01\t2\n"),
        ("participants.tsv", "participant_id\tage\n01\t1\n"),
        ("sub-01/sub-01_sessions.tsv", "session_id\tage\nM000\t1\n"),
        ("sub-01/sub-01_sessions.tsv", "session_id\tage\nses-M000\n"),
        ("sub-01/sub-01_sessions.tsv", ""),
    ],
)
def test_a_wrong_table_is_named(data_set, tmp_path, name, content):
    (data_set / name).write_text(content)
    with pytest.raises(InvalidDataError, match=name):
        merged.read(config_of(data_set, tmp_path))


def test_a_merged_table_in_the_output_comes_before_the_data_set(data_set, tmp_path):
    text = "participant_id\tsession_id\tx\nsub-01\tses-M000\t1\n"
    make(tmp_path / "out", {"merged.tsv": text})
    given = merged.read(config_of(data_set, tmp_path))
    assert (given.path, given.files) == (tmp_path / "out" / "merged.tsv", None)
    assert len(given.table) == 1
    make(tmp_path, {"other.tsv": text + "sub-02\tses-M000\t1\n"})
    named = merged.read(config_of(data_set, tmp_path, merged_tsv=tmp_path / "other.tsv"))
    assert (named.path, len(named.table)) == (tmp_path / "other.tsv", 2)


def test_files_are_looked_at_where_the_folder_is_a_data_set(data_set, tmp_path):
    make(tmp_path, {"m.tsv": "participant_id\tsession_id\nsub-01\tses-M000\n"})
    given = merged.read(config_of(data_set, tmp_path, merged_tsv=tmp_path / "m.tsv"))
    assert len(merged.files_of(given, data_set)) == 6
    assert merged.files_of(given, tmp_path) is None
    with pytest.raises(MissingInputError, match="does not exist"):
        merged.files_of(given, tmp_path / "gone")


def test_a_real_data_set_is_joined(real_data, tmp_path):
    given = merged.read(config_of(real_data / "open-ms-bids", tmp_path))
    columns = ["participant_id", "session_id", "sex", "age", "diagnosis"]
    assert given.table[columns].to_numpy().tolist() == [
        ["sub-MS01", "ses-M000", "F", "20.0", "MS"],
        ["sub-MS01", "ses-M007", "F", "20.6", "MS"],
        ["sub-MS03", "ses-M022", "M", "20.8", "MS"],
        ["sub-MS04", "ses-M000", "F", "33", "MS"],
    ]  # fmt: skip
