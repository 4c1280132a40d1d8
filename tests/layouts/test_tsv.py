"""Tab-separated tables."""

import codecs
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts import tsv

ROWS = [["sub-01", "ses-M000", "60.10"], ["sub-02", "ses-M000", "n/a"]]
TEXT = "participant_id\tsession_id\tage\nsub-01\tses-M000\t60.10\nsub-02\tses-M000\tn/a\n"


def read(tmp_path, content, **options):
    path = tmp_path / "table.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tsv.read(path, "table", **options)


def refusal(tmp_path, content, **options):
    with pytest.raises((InvalidDataError, MissingInputError)) as caught:
        read(tmp_path, content, **options)
    message = str(caught.value)
    assert "table.tsv" in message
    return caught.value.exit_code, message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["no mark", "byte-order mark"])
@pytest.mark.parametrize("last", [True, False], ids=["last line ended", "last line open"])
def test_line_ends_and_byte_order_marks_are_no_matter(tmp_path, end, mark, last):
    text = (TEXT if last else TEXT[:-1]).replace("\n", end)
    table = read(tmp_path, mark + text.encode())
    assert list(table.columns) == ["participant_id", "session_id", "age"]
    assert list(table.index) == [0, 1]
    assert table["age"][0] == "60.10"
    assert np.isnan(table["age"][1])


def test_a_line_separator_inside_a_cell_is_no_line_end(tmp_path):
    assert read(tmp_path, "a\tb\n1\x0b2\t3\u20284\n").to_numpy().tolist() == [
        ["1\x0b2", "3\u20284"]
    ]


def test_blank_lines_at_the_end_are_no_rows(tmp_path):
    assert len(read(tmp_path, TEXT + "\n\t\t\n  \n")) == 2


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_index_column_without_a_name_is_ignored(tmp_path, name):
    table = read(tmp_path, f"{name}\ta\tb\n0\tx\ty\n1\tz\tw\n")
    assert list(table.columns) == ["a", "b"]
    assert table["a"].tolist() == ["x", "z"]


@pytest.mark.parametrize("cell", ["", " ", "n/a", "N/A", "NA", "nan", "NaN", "null", "<NA>"])
def test_what_says_missing_is_missing(tmp_path, cell):
    assert read(tmp_path, f"a\tb\nx\t{cell}\ny\t1\n")["b"].isna().tolist() == [True, False]


@pytest.mark.parametrize("cell", ["None", "0", "no", "-", "false"])
def test_what_may_be_a_value_is_one(tmp_path, cell):
    assert read(tmp_path, f"a\tb\nx\t{cell}\n")["b"].tolist() == [cell]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 65, ["empty"]),
        (codecs.BOM_UTF8 + b"\n\n", 65, ["empty"]),
        (b"a\tb\n", 65, ["header", "no rows"]),
        (b"a\tb\n1\t2\n3\n", 65, ["row 3", "1 cells", "2 column names"]),
        (b"a\tb\n1\t2\t3\n4\t5\t6\n", 65, ["rows 2, 3", "3 cells"]),
        (b"a\tb\n1\t2\n\n3\t4\n", 65, ["row 3", "an empty line"]),
        (b"a\tb\n1\t2\n\x00\x01\t3\n", 65, ["not a text file", "row 3"]),
        (TEXT.encode("utf-16-le"), 65, ["not a text file", "row 1"]),
        (TEXT.encode("utf-16")[:-1], 65, ["begins as UTF-16"]),
        (b"a,b\n1,2\n3\n", 65, ["row 3", "1 cells", "2 column names"]),
        (b'a,b\n"1,2\n3,4\n', 65, ["quotes", "damaged"]),
        (b"a\ta\n1\t2\n", 65, ["comes twice", "found: a"]),
        (b"a\t\tb\n1\t2\t3\n", 65, ["no name", "column 2"]),
        (b"a\tb\n1\t2\n", 66, ["no column c", "columns a, b"]),
    ],
    ids=lambda value: None if isinstance(value, list | int) else repr(value)[:24],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path, content, code, words):
    found, message = refusal(tmp_path, content, needs=["c"] if code == 66 else [])
    assert found == code
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.replace("\t", ",").encode(), "separated by commas"),
        (TEXT.replace("\t", ";").encode(), "separated by semicolons"),
        (TEXT.replace("\t", "|").encode(), "separated by bars"),
        (TEXT.replace("\t", "   ").encode(), "separated by blanks"),
        (
            TEXT.replace("\t", ";").replace(".", ",").encode(),
            "separated by semicolons, with decimal",
        ),
        (TEXT.encode("utf-16"), "in UTF-16"),
        (re.sub(r"[^\t\n]+", r'"\g<0>"', TEXT).encode(), ""),
        (re.sub(r"[^\t\n]+", r'"\g<0>"', TEXT).replace("\t", ",").encode(), "separated by commas"),
    ],
    ids=["commas", "semicolons", "bars", "blanks", "decimal commas", "UTF-16", "R", "quoted"],
)
def test_other_forms_are_recognized_and_said(tmp_path, caplog, content, said):
    usual = read(tmp_path, TEXT)
    caplog.clear()
    table = read(tmp_path, content)
    assert table.equals(usual)
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


def test_a_quoted_cell_may_hold_the_separator(tmp_path):
    table = read(tmp_path, 'a,b\n"Smith, J.",2\n')
    assert table.to_numpy().tolist() == [["Smith, J.", "2"]]


def test_old_western_text_is_read(tmp_path, caplog):
    table = read(tmp_path, "a\tb\né\t2\n".encode("cp1252"))
    assert table["a"].tolist() == ["é"]
    assert "Windows-1252" in caplog.text


def test_one_column_whose_name_has_a_blank_is_one_column(tmp_path):
    assert list(read(tmp_path, "my column\n1\n").columns) == ["my column"]


def test_many_wrong_rows_are_one_sentence(tmp_path):
    _, message = refusal(tmp_path, "a\tb\n" + "1\n" * 30)
    assert "rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 20 more" in message


def test_an_absent_file_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"absent\.tsv"):
        tsv.read(tmp_path / "absent.tsv", "table")


def test_a_folder_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError):
        tsv.read(tmp_path, "table")


cells = st.text(
    st.characters(exclude_characters="\t\r\n\0", exclude_categories=["Cs"]), max_size=8
).filter(lambda text: not tsv.is_missing(text))


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_what_was_written_is_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("round") / "table.tsv"
    table = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    tsv.write(path, table)
    assert tsv.read(path, "table").equals(table)


def test_what_was_read_is_written_again_to_the_byte(tmp_path):
    table = read(tmp_path, TEXT)
    tsv.write(tmp_path / "again.tsv", table)
    assert (tmp_path / "again.tsv").read_bytes() == TEXT.encode()


def test_numbers_and_nothing_can_be_written_too(tmp_path):
    table = pd.DataFrame({"a": [1, 2], "b": [0.1, np.nan], "c": [None, "x"]})
    tsv.write(tmp_path / "table.tsv", table)
    assert (tmp_path / "table.tsv").read_text() == "a\tb\tc\n1\t0.1\tn/a\n2\tn/a\tx\n"


@pytest.mark.parametrize("cell", ["a\tb", "a\nb", "a\rb"])
def test_a_cell_that_would_break_the_table_is_not_written(tmp_path, cell):
    with pytest.raises(InvalidDataError, match="tab or a line end"):
        tsv.write(tmp_path / "table.tsv", pd.DataFrame({"a": [cell]}))
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_not_written_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        tsv.write(tmp_path / "file" / "table.tsv", pd.DataFrame({"a": ["1"]}))


def test_a_place_counts_rows_as_a_person_does():
    assert tsv.place(Path("t.tsv"), [0]) == "t.tsv, row 2"
