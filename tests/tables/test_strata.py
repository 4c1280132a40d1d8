"""Classes that keep their shares."""

import numpy as np
import pandas as pd
import pytest

from clinicadl.errors import MissingInputError
from clinicadl.tables.sessions import Source
from clinicadl.tables.strata import Strata, strata, without_singles


def people(**columns):
    n = len(next(iter(columns.values())))
    ids = {"participant_id": [f"sub-{i}" for i in range(n)], "session_id": ["ses-M000"] * n}
    return pd.DataFrame({**ids, **columns}, dtype=object)


def classes_of(table, folder, columns, **options):
    return strata(table, Source(folder / "t.tsv", table), columns, **options)


def coded(*codes):
    names = tuple("ABCDE"[: max(codes) + 1])
    return Strata(names, np.array(codes), ("diagnosis",), ())


def test_classes_are_sorted_and_do_not_follow_the_order_of_rows(tmp_path):
    found = classes_of(people(diagnosis=["CN", "AD", "CN", "MCI"]), tmp_path, ["diagnosis"])
    assert found.names == ("AD", "CN", "MCI")
    assert found.code.tolist() == [1, 0, 1, 2]
    assert found.sizes.tolist() == [1, 2, 1]


def test_several_columns_make_classes_together(tmp_path):
    table = people(site=["x", "y", "x"], diagnosis=["CN", "CN", "AD"])
    found = classes_of(table, tmp_path, ["diagnosis", "site"])
    assert found.names == ("AD, x", "CN, x", "CN, y")
    assert found.columns == ("diagnosis", "site")


def test_no_column_is_one_class(tmp_path):
    found = classes_of(people(site=["x", "y"]), tmp_path, [])
    assert (found.names, found.code.tolist()) == (("",), [0, 0])


def test_an_absent_column_is_an_error_unless_it_is_optional(tmp_path, caplog):
    table = people(site=["x", "y"])
    with pytest.raises(MissingInputError, match=r"no column diagnosis .*t\.tsv"):
        classes_of(table, tmp_path, ["diagnosis"])
    assert classes_of(table, tmp_path, ["diagnosis"], optional=["diagnosis"]).columns == ()
    assert "t.tsv has no column diagnosis" in caplog.text


def test_a_column_may_come_from_the_labels_above(tmp_path):
    people(diagnosis=["AD", "CN"]).to_csv(tmp_path / "labels.tsv", sep="\t", index=False)
    found = classes_of(people(site=["x", "y"]), tmp_path / "split", ["diagnosis"])
    assert found.names == ("AD", "CN")
    assert found.read == (tmp_path / "labels.tsv",)


def test_participants_without_a_class_are_a_class_of_their_own(tmp_path, caplog):
    found = classes_of(people(diagnosis=["CN", np.nan, np.nan]), tmp_path, ["diagnosis"])
    assert found.names == ("CN", "unknown")
    assert found.code.tolist() == [0, 1, 1]
    assert "2 participants without a diagnosis" in caplog.text
    assert "sub-1, sub-2" in caplog.text


def test_a_class_comes_from_a_later_session_where_the_first_has_none(tmp_path):
    table = people(diagnosis=["CN", np.nan])
    later = table.assign(session_id="ses-M012", diagnosis=["AD", "AD"])
    both = pd.concat([later, table], ignore_index=True)
    found = strata(table, Source(tmp_path / "t.tsv", both), ["diagnosis"])
    assert [found.names[i] for i in found.code] == ["CN", "AD"]


def test_a_class_of_one_joins_the_first_class(caplog):
    merged = without_singles(coded(0, 0, 1, 2, 2))
    assert merged.names == ("A", "C")
    assert merged.code.tolist() == [0, 0, 0, 1, 1]
    assert "merged into the class A: B" in caplog.text


def test_a_first_class_of_one_joins_the_first_larger_class():
    merged = without_singles(coded(0, 1, 1, 2, 2))
    assert merged.names == ("B", "C")
    assert merged.code.tolist() == [0, 0, 0, 1, 1]


def test_classes_of_one_only_become_one_class():
    assert without_singles(coded(0, 1, 2)).code.tolist() == [0, 0, 0]


@pytest.mark.parametrize("codes", [(0, 0, 1, 1), (0,)])
def test_larger_classes_stay(codes, caplog):
    classes = coded(*codes)
    assert without_singles(classes) is classes
    assert not caplog.text
