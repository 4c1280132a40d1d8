"""Columns that are added to a table in place."""

import pytest

from clinicadl.config.labels import MetadataConfig
from clinicadl.config.tables import SplitConfig
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import splits
from clinicadl.layouts.files import sha256
from clinicadl.tables import metadata
from clinicadl.tables.split import split

MERGED = """participant_id\tsession_id\tsite\tage\tdiagnosis\tMMSE
sub-02\tses-M000\tA\t71\tAD\t20
sub-01\tses-M006\tB\t60.5\tCN\tn/a
sub-01\tses-M000\tB\t60\tCN\t30
sub-03\tses-M000\tC\t65\tCN\t29
"""
TABLE = """participant_id\tsession_id\tdiagnosis
sub-02\tses-M000\tMCI
sub-01\tses-M06\tCN
sub-09\tses-M000\tAD
sub-01\tses-M00\tCN
"""


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "data.tsv").write_text(TABLE)
    (tmp_path / "merged.tsv").write_text(MERGED)
    return tmp_path


def config_of(tables, *variables):
    return MetadataConfig(
        data_tsv=tables / "data.tsv",
        merged_tsv=tables / "merged.tsv",
        variables_of_interest=variables,
    )


def test_all_rows_and_values_stay_and_the_rest_is_added(tables):
    assert metadata.get_metadata(config_of(tables)) == tables / "data.tsv"
    assert (tables / "data.tsv").read_text() == (
        "participant_id\tsession_id\tMMSE\tage\tdiagnosis\tsite\n"
        "sub-02\tses-M000\t20\t71\tMCI\tA\n"
        "sub-01\tses-M06\tn/a\t60.5\tCN\tB\n"
        "sub-09\tses-M000\tn/a\tn/a\tAD\tn/a\n"
        "sub-01\tses-M00\t30\t60\tCN\tB\n"
    )


def test_only_what_is_asked_for_is_added(tables, caplog):
    planned = metadata.plan(config_of(tables, "site", "diagnosis"))
    assert (planned.added, planned.n_unknown) == (("site",), 1)
    assert list(planned.table) == ["participant_id", "session_id", "diagnosis", "site"]
    assert list(planned.table["diagnosis"]) == ["MCI", "CN", "AD", "CN"]
    assert "has diagnosis already" in caplog.text
    assert (tables / "data.tsv").read_text() == TABLE


def test_a_second_time_changes_nothing(tables):
    metadata.get_metadata(config_of(tables))
    once = (tables / "data.tsv").read_bytes()
    metadata.get_metadata(config_of(tables))
    assert (tables / "data.tsv").read_bytes() == once


def test_the_order_of_rows_in_the_other_table_is_no_matter(tables):
    first = metadata.plan(config_of(tables)).table
    header, *rows = MERGED.splitlines()
    (tables / "merged.tsv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert metadata.plan(config_of(tables)).table.equals(first)


def test_ids_in_other_spellings_are_written_back_as_they_were(tables):
    (tables / "data.tsv").write_text("x\tsubject_id\tsession_id\n1\t01\tM06\n2\t02\tbl\n")
    metadata.get_metadata(config_of(tables, "site"))
    assert (tables / "data.tsv").read_text() == (
        "subject_id\tsession_id\tsite\tx\n01\tM06\tB\t1\n02\tbl\tA\t2\n"
    )


def test_an_unknown_variable_names_the_nearest(tables):
    with pytest.raises(MissingInputError, match=r"no column mmse.*merged\.tsv.*nearest is MMSE"):
        metadata.get_metadata(config_of(tables, "mmse"))
    assert (tables / "data.tsv").read_text() == TABLE


def test_a_session_twice_is_refused(tables):
    (tables / "merged.tsv").write_text(MERGED + "sub-03\tses-M00\tD\t1\tCN\t1\n")
    with pytest.raises(InvalidDataError, match=r"merged\.tsv"):
        metadata.get_metadata(config_of(tables))
    assert (tables / "data.tsv").read_text() == TABLE


@pytest.fixture
def divided(tmp_path):
    rows = [
        f"sub-{i:02d}\tses-M000\t{'AC'[i % 2]}\t{60 + i}\t{'FM'[i // 2 % 2]}" for i in range(12)
    ]
    header = "participant_id\tsession_id\tdiagnosis\tage\tsex"
    (tmp_path / "labels.tsv").write_text("\n".join([header, *rows]) + "\n")
    more = [f"sub-{i:02d}\tses-M000\t{i}" for i in range(12)]
    (tmp_path / "merged.tsv").write_text(
        "\n".join(["participant_id\tsession_id\tsite", *more]) + "\n"
    )
    folder = split(
        SplitConfig(data_tsv=tmp_path / "labels.tsv", n_test=4, ignore_demographics=True)
    )
    return folder / "train.tsv"


def test_the_record_of_a_split_goes_along(divided):
    before = splits.recorded(divided)
    metadata.get_metadata(
        MetadataConfig(data_tsv=divided, merged_tsv=divided.parents[1] / "merged.tsv")
    )
    after = splits.recorded(divided)
    assert before.digest != after.digest == sha256(divided)
    assert before.participants == after.participants


def test_an_edit_of_before_stays_visible_in_the_record(divided, caplog):
    before = splits.recorded(divided)
    divided.write_text(divided.read_text() + "sub-99\tses-M000\tA\t60\tF\n")
    metadata.get_metadata(
        MetadataConfig(data_tsv=divided, merged_tsv=divided.parents[1] / "merged.tsv")
    )
    assert splits.recorded(divided).digest == before.digest
    assert "was edited after the split" in caplog.text
    assert "site" in divided.read_text()
