"""Malformed tables: each has its one clear error, and nothing is written."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

ROWS = [
    f"sub-{i:02d}\tses-M{month:03d}\t{60 + i}\t{'FM'[i % 2]}\t{['AD', 'CN'][i // 2 % 2]}"
    for i in range(16)
    for month in (0, 12)
]
HEADER = "participant_id\tsession_id\tage\tsex\tdiagnosis"
GOOD = "\n".join([HEADER, *ROWS]) + "\n"
SPLIT = ("split", "--n_test", "4")
KFOLD = ("kfold", "--n_splits", "2")
EXPERIMENT = ("prepare-experiment", "--n_test", "4", "--n_validation", "2")


class Bad(NamedTuple):
    """A table, and what is said of it."""

    name: str
    content: str | bytes
    code: int
    words: tuple[str, ...]
    command: tuple[str, ...] = SPLIT


def cell(row: int, column: int, value: str) -> str:
    """The good table with another value in one cell; row 1 is the header."""
    lines = [line.split("\t") for line in GOOD.splitlines()]
    lines[row - 1][column] = value
    return "\n".join("\t".join(line) for line in lines) + "\n"


def without(*columns: str) -> str:
    """The good table without some columns."""
    names = HEADER.split("\t")
    kept = [i for i, name in enumerate(names) if name not in columns]
    lines = [line.split("\t") for line in GOOD.splitlines()]
    return "\n".join("\t".join(line[i] for i in kept) for line in lines) + "\n"


TABLES = [
    Bad("empty", "", 65, ("empty",)),
    Bad("blank lines", "\n\n  \n", 65, ("empty",)),
    Bad("a byte-order mark alone", b"\xef\xbb\xbf", 65, ("empty",)),
    Bad("a header alone", HEADER + "\n", 65, ("no rows",)),
    Bad("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 65, ("not a text file",)),
    Bad("a workbook", b"PK\x03\x04\x14\0\x06\0\x08\0", 65, ("not a text file",)),
    Bad("compressed", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", 65, ("not a text file",)),
    Bad("half of UTF-16", GOOD.encode("utf-16")[:-1], 65, ("UTF-16",)),
    Bad("UTF-32", GOOD.encode("utf-32"), 65, ("not a text file",)),
    Bad("JSON", '{"participant_id": ["sub-01"], "session_id": ["ses-1"]}', 65, ("no rows",)),
    Bad("a web page", "<html>\n<body>404</body>\n</html>\n", 66, ("participant_id",)),
    Bad("a sentence", "This file was moved.\nAsk the data manager.\n", 66, ("participant_id",)),
    Bad("a short row", GOOD.replace(ROWS[3], "sub-01\tses-M012"), 65, ("row 5", "2 cells")),
    Bad("a long row", GOOD.replace(ROWS[3], ROWS[3] + "\tx"), 65, ("row 5", "6 cells")),
    Bad("an empty row", GOOD.replace(ROWS[3], ""), 65, ("row 5", "an empty line")),
    Bad("a second header", GOOD.replace(ROWS[3], HEADER), 65, ("row 5", "repeats the header")),
    Bad("many short rows", HEADER + "\n" + "sub-1\n" * 40, 65, ("rows 2, 3", "30 more")),
    Bad("two columns of a name", cell(1, 3, "age"), 65, ("comes twice", "age")),
    Bad("a column without a name", cell(1, 3, ""), 65, ("no name", "column 4")),
    Bad("no participants", without("participant_id"), 66, ("no column participant_id",)),
    Bad("no sessions", without("session_id"), 66, ("no column session_id",)),
    Bad("no ids", without("participant_id", "session_id"), 66, ("participant_id",)),
    Bad("nobody", cell(5, 0, "n/a"), 65, ("row 5", "participant_id", "no value")),
    Bad("no session", cell(5, 1, ""), 65, ("row 5", "session_id", "no value")),
    Bad("a path as a name", cell(5, 0, "sub-../../x"), 65, ("row 5", "sub-../../x")),
    Bad("an underscore in a name", cell(5, 0, "sub-0_1"), 65, ("row 5", "'sub-0_1'")),
    Bad("letters of another script", cell(5, 0, "sub-\u03b11"), 65, ("row 5", "participant_id")),
    Bad("signs alone", cell(5, 0, "??"), 65, ("row 5", "'??'")),
    Bad("a file name as a session", cell(5, 1, "ses-M012_T1w"), 65, ("row 5", "ses-M012_T1w")),
    Bad("a repeated row", GOOD + ROWS[3] + "\n", 65, ("row 34", "sub-01 | ses-M012")),
    Bad("a contradicting row", GOOD + ROWS[3].replace("AD", "CN") + "\n", 65, ("row 34",)),
    Bad("one month twice", cell(5, 1, "ses-M00"), 65, ("rows 4, 5", "same month")),
    Bad("two spellings of a name", cell(5, 0, "0_1") + "0-1\tses-M024\t1\tF\tAD\n", 65,
        ("'sub-01', '0_1'", "one participant")),
    Bad("an age in words", cell(5 - 1, 2, "sixty"), 65, ("row 4", "column age", "'sixty'")),
    Bad("an age above a limit", cell(2, 2, "89+"), 65, ("row 2", "column age", "'89+'")),
    Bad("an infinite age", cell(2, 2, "inf"), 65, ("row 2", "column age")),
    Bad("no age", without("age"), 66, ("no age to balance", "--balance_by")),
    Bad("no sex", without("sex"), 66, ("no sex to balance",)),
    Bad("an age of nobody", re.sub(r"\t\d\d\t", "\tn/a\t", GOOD), 66, ("no age",)),
    Bad("too few", "\n".join([HEADER, *ROWS[:4]]) + "\n", 65, ("left to train on",)),
    Bad("fewer than folds", "\n".join([HEADER, ROWS[0]]) + "\n", 65, ("fewer", "folds"), KFOLD),
    Bad("an open quote", GOOD.replace("\t", ",").replace("sub-03", '"sub-03', 1), 65, ("quotes",)),
    Bad("a short row of commas", GOOD.replace("\t", ",").replace(",M,", ",", 1), 65, ("4 cells",)),
    Bad("a wrong age, folds", cell(2, 2, "old"), 65, ("row 2", "column age"), KFOLD),
    Bad("a repeated row, folds", GOOD + ROWS[0] + "\n", 65, ("row 34",), KFOLD),
    Bad("a repeated row, all at once", GOOD + ROWS[0] + "\n", 65, ("row 34",), EXPERIMENT),
    Bad("too few, all at once", "\n".join([HEADER, *ROWS[:8]]) + "\n", 65, ("left",), EXPERIMENT),
]  # fmt: skip


@pytest.mark.parametrize("bad", TABLES, ids=[bad.name.replace(" ", "-") for bad in TABLES])
def test_a_malformed_table_has_one_clear_error(bad, tmp_path, invoke):
    path = tmp_path / "table.tsv"
    content = bad.content if isinstance(bad.content, bytes) else bad.content.encode()
    path.write_bytes(content)
    name, *options = bad.command
    code, _, said = invoke("tsvtools", name, path, *options)
    assert code == bad.code, said
    *assumed, sentence, more = said.strip().splitlines()
    assert sentence.startswith("clinicadl: ")
    assert more.startswith("More: clinicadl explain ")
    assert all("taken as" in line or "is read as" in line or "class" in line for line in assumed)
    for word in ("table.tsv", *bad.words):
        assert word in sentence, sentence
    assert [one.name for one in tmp_path.iterdir()] == ["table.tsv"]
    assert path.read_bytes() == content


def test_the_good_table_is_good(tmp_path, invoke):
    for name, *options in (SPLIT, KFOLD, EXPERIMENT):
        path = tmp_path / name / "table.tsv"
        path.parent.mkdir()
        path.write_text(GOOD)
        assert invoke("tsvtools", name, path, *options)[0] == 0


def test_there_are_forty_different_ones():
    assert len({bad.name for bad in TABLES}) == len(TABLES) >= 40
