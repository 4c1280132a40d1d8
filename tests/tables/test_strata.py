"""Classes that keep their shares."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.tables.sessions import Source
from clinicadl.tables.strata import Strata, shuffled, strata, without_singles


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


def test_participants_without_a_class_are_named(tmp_path):
    table = people(diagnosis=["CN", np.nan, np.nan])
    with pytest.raises(InvalidDataError, match="2 participants have no diagnosis") as caught:
        classes_of(table, tmp_path, ["diagnosis"])
    assert "sub-1, sub-2" in str(caught.value)


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


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12).flatmap(
        lambda codes: st.tuples(
            st.just(codes),
            arrays(float, (3, len(codes)), elements=st.floats(0, 1, exclude_max=True)),
        )
    )
)
def test_participants_are_ordered_by_class_and_then_by_key(drawn):
    codes, keys = np.array(drawn[0]), drawn[1]
    order = shuffled(Strata(("A", "B", "C", "D"), codes, (), ()), keys)
    for row, key in zip(order, keys, strict=True):
        assert sorted(row) == list(range(len(codes)))
        pairs = [(codes[i], key[i]) for i in row]
        assert pairs == sorted(pairs)
