"""Several cohorts, and who is who in them."""

import pytest

from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.tables.cohorts import (
    Cohort,
    Member,
    contributed,
    is_cohorts,
    members,
    read,
    read_persons,
    refuse_single,
    refuse_unmatched,
)

HEADER = "participant_id\tsession_id\tdiagnosis\tage"


def lay(folder, rows, *, header="cohort\tpath\tdiagnoses", name="cohorts.tsv"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


@pytest.fixture
def two(tmp_path):
    for cohort, kinds in (("lyon", ["AD", "CN", "MCI"]), ("graz", ["CN", "AD", "CN"])):
        rows = [f"sub-{i}\tses-M000\t{kind}\t{70 + i}" for i, kind in enumerate(kinds)]
        (tmp_path / f"{cohort}.tsv").write_text("\n".join([HEADER, *rows]) + "\n")
    return lay(tmp_path, ["Lyon\tlyon.tsv\tAD, CN,,", "Graz\tgraz.tsv\tCN"])


def test_cohorts_come_in_the_order_of_the_table_with_paths_from_its_folder(two):
    assert read(two) == (
        Cohort("Lyon", two.parent / "lyon.tsv", ("AD", "CN")),
        Cohort("Graz", two.parent / "graz.tsv", ("CN",)),
    )


def test_whole_paths_and_no_diagnoses_are_fine(tmp_path):
    (tmp_path / "caps").mkdir()
    (tmp_path / "deep").mkdir()
    table = lay(tmp_path / "deep", [f"Lyon\t{tmp_path / 'caps'}"], header="cohort\tpath")
    assert read(table) == (Cohort("Lyon", tmp_path / "caps", None),)


def test_a_cohort_whose_diagnoses_are_missing_contributes_any(two):
    lay(two.parent, ["Lyon\tlyon.tsv\tn/a", "Graz\tgraz.tsv\tCN"])
    assert [one.diagnoses for one in read(two)] == [None, ("CN",)]


def test_all_problems_are_told_at_once(tmp_path):
    (tmp_path / "a").mkdir()
    rows = ["A\ta\tAD", "A\tb\tAD", "n/a\ta\tAD", "C\t./a\t,", "D\tn/a\tCN"]
    with pytest.raises(InvalidDataError) as error:
        read(lay(tmp_path, rows))
    for words in (
        "6 things", "row 3: cohort A comes twice", "row 3: b of A does not exist",
        "row 4: no cohort", "row 5: ./a is the path of another cohort too",
        "row 5: C has commas and no diagnoses", "row 6: no path", "cohorts.tsv",
    ):  # fmt: skip
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "header", "kind", "words"),
    [
        ("cohorts.csv", "cohort\tpath", UsageError, ".tsv file"),
        ("cohorts.tsv", "cohort\tplace", MissingInputError, "no column path"),
    ],
)
def test_what_is_no_table_of_cohorts_is_refused(tmp_path, name, header, kind, words):
    with pytest.raises(kind, match=words):
        read(lay(tmp_path, ["A\ta"], header=header, name=name))


def test_a_folder_is_no_table_of_cohorts(tmp_path):
    with pytest.raises(UsageError):
        read(tmp_path)


def test_a_table_of_cohorts_is_refused_where_one_table_is_meant(two):
    assert is_cohorts(two)
    assert not is_cohorts(two.parent / "lyon.tsv")
    with pytest.raises(UsageError, match="--multi_cohort"):
        refuse_single(two)
    refuse_single(two.parent / "lyon.tsv")
    refuse_single(two.parent)


def test_cohorts_of_images_and_of_tables_must_correspond(two):
    cohorts = read(two)
    refuse_unmatched(cohorts[::-1], cohorts, where=two)
    with pytest.raises(InvalidDataError) as error:
        refuse_unmatched(
            [*cohorts, Cohort("Bonn", two)], [*cohorts, Cohort("Kiel", two)], where=two
        )
    assert "Bonn (no table), Kiel (no CAPS)" in str(error.value)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["AD", "CN"], {"Lyon": ("AD", "CN"), "Graz": ("CN",)}),
        (["AD"], {"Lyon": ("AD",), "Graz": ()}),
        (["CN", "CN"], {"Lyon": ("CN",), "Graz": ("CN",)}),
    ],
)
def test_a_cohort_contributes_what_it_has_of_what_is_asked_for(two, asked, expected):
    assert contributed(read(two), asked, where=two) == expected


def test_a_diagnosis_that_comes_from_nowhere_is_refused(two):
    with pytest.raises(InvalidDataError) as error:
        contributed(read(two), ["AD", "MCI"], where=two)
    assert "No cohort contributes MCI" in str(error.value)
    assert "Lyon (AD, CN)" in str(error.value)


@pytest.fixture
def folders(two):
    for name in ("L", "G"):
        (two.parent / name).mkdir()
    return lay(two.parent, ["Graz\tG", "Lyon\tL"], header="cohort\tpath", name="caps.tsv")


def test_images_and_tables_of_a_cohort_meet_by_its_name(folders, two):
    assert members(folders, two, is_multi=True, diagnoses=None) == (
        Member("Graz", two.parent / "G", two.parent / "graz.tsv", ("CN",)),
        Member("Lyon", two.parent / "L", two.parent / "lyon.tsv", ("AD", "CN")),
    )


def test_a_cohort_that_contributes_nothing_is_left_out(folders, two, caplog):
    found = members(folders, two, is_multi=True, diagnoses=("AD",))
    assert [(one.name, one.diagnoses) for one in found] == [("Lyon", ("AD",))]
    assert "Graz" in caplog.text


def test_one_cohort_is_called_single(tmp_path):
    assert members(tmp_path, tmp_path, is_multi=False, diagnoses=("AD",)) == (
        Member("single", tmp_path, tmp_path, ("AD",)),
    )


def test_a_table_of_cohorts_is_no_single_cohort_and_a_folder_not_several(folders, two):
    with pytest.raises(UsageError, match="--multi_cohort"):
        members(folders, two.parent, is_multi=False, diagnoses=None)
    with pytest.raises(UsageError, match="--multi_cohort"):
        members(two.parent, two, is_multi=False, diagnoses=None)
    with pytest.raises(UsageError, match="not a folder"):
        members(two.parent, two, is_multi=True, diagnoses=None)


def test_persons_in_several_cohorts_are_read(two):
    path = lay(
        two.parent, ["Lyon\tsub-0\tP1", "Graz\tsub-2\tP1", "Lyon\tsub-0\tP1"],
        header="cohort\tparticipant_id\tperson", name="same.tsv",
    )  # fmt: skip
    assert read_persons(path, read(two)) == {("Lyon", "sub-0"): "P1", ("Graz", "sub-2"): "P1"}


def test_persons_that_contradict_themselves_are_refused(two):
    path = lay(
        two.parent, ["Lyon\tsub-0\tP1", "Lyon\tsub-0\tP2", "Bonn\tsub-2\tP1", "Graz\tn/a\tP1"],
        header="cohort\tparticipant_id\tperson", name="same.tsv",
    )  # fmt: skip
    with pytest.raises(InvalidDataError) as error:
        read_persons(path, read(two))
    for words in ("row 3: sub-0 of Lyon is two persons", "row 4: Bonn is no", "row 5: a cell"):
        assert words in str(error.value)
