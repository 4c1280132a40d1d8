"""A small language of conditions on the columns of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.tables import expressions, sieve

HERE = Path("table.tsv")
NAN = float("nan")


def of(**columns):
    n_rows = len(next(iter(columns.values())))
    ids = {
        "participant_id": [f"sub-{i}" for i in range(n_rows)],
        "session_id": ["ses-M000"] * n_rows,
    }
    return pd.DataFrame({**ids, **columns}, dtype=object)


TABLE = of(
    age=["60", "70.5", NAN, "80"],
    sex=["F", "M", " F", NAN],
    **{"mini mental": ["1", "2.0", "3", NAN], "score": ["1.0", "3", "3", "x"]},
)


def judged(text, table=TABLE):
    """T holds, F fails, ? unknown."""
    truth = expressions.judge(expressions.parse(text), table, where=HERE)
    assert not (truth.holds & truth.unknown).any()
    return "".join(
        "T" if holds else "?" if unknown else "F"
        for holds, unknown in zip(truth.holds, truth.unknown, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 70.5", "FT?T"),
        ("age > 70.5", "FF?T"),
        ("age < 70.5", "TF?F"),
        ("age <= 70.5", "TT?F"),
        ("age == 60.0", "TF?F"),
        ("age != 60", "FT?T"),
        ("60 < age", "FT?T"),
        ("60 < age < 80", "FT?F"),
        ("sex == 'F'", "TFT?"),
        ('sex != "F"', "FTF?"),
        ("sex < 'G'", "TFT?"),
        ("sex in ['F', 'X']", "TFT?"),
        ("sex not in ('F',)", "FTF?"),
        ("age in [60, -1, 80]", "TF?T"),
        ("age in {70.50}", "FT?F"),
        ("`mini mental` == 2", "FTF?"),
        ("missing(age)", "FFTF"),
        ("not missing(`mini mental`)", "TTTF"),
        ("not age > 70", "TF?F"),
        ("age > 70 and sex == 'F'", "FF??"),
        ("age > 70 or sex == 'F'", "TTTT"),
        ("age > 70 and missing(sex)", "FFFT"),
        ("age - 10 * 2 == 40", "TF?F"),
        ("(age + 1) / 2 > 30.5", "FT?T"),
        ("-age < -70", "FT?T"),
        ("+age == 80", "FF?T"),
        ("age < `mini mental` * 50", "FT??"),
        ("not (age > 70 or sex == 'F')", "FFFF"),
        ("age == 60 and sex == 'F' or age == 80", "TF?T"),
    ],
)
def test_a_condition_means_what_it_says(text, expected):
    assert judged(text) == expected


def test_two_columns_of_numbers_are_compared_as_numbers_and_others_as_text():
    assert judged("age == score", of(age=["62", "3"], score=["62.0", "4"])) == "TF"
    assert judged("age == score", of(age=["62", "x"], score=["62.0", "x"])) == "FT"
    assert judged("age <= score", of(age=["9", NAN], score=["10", "1"])) == "T?"


cells = st.sampled_from(["1", "2", "3", None])


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_unknown_is_kleenes_unknown(rows):
    # A condition is unknown where what is missing could make it hold, and could make it fail.
    first, second = zip(*rows, strict=True)
    table = of(
        a=[NAN if a is None else a for a in first], b=[NAN if b is None else b for b in second]
    )
    tests = {
        "a == 1 and b == 2": lambda a, b: a == 1 and b == 2,
        "a == 1 or not b == 2": lambda a, b: a == 1 or b != 2,
        "not (a < 2 and b >= 2)": lambda a, b: not (a < 2 and b >= 2),
    }
    for text, test in tests.items():
        for (a, b), found in zip(rows, judged(text, table), strict=True):
            outcomes = {
                test(one, other)
                for one in ([float(a)] if a else [1.0, 2.0, 3.0])
                for other in ([float(b)] if b else [1.0, 2.0, 3.0])
            }
            assert found == ("?" if len(outcomes) == 2 else "T" if outcomes == {True} else "F")


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), numbers)
def test_arithmetic_is_that_of_numpy(rows, constant):
    table = of(a=[repr(a) for a, _ in rows], b=[repr(b) for _, b in rows])
    a, b = np.array(rows).T
    found = judged(f"(a - b) * 2 + {constant!r} > a / 4", table)
    assert found == "".join("FT"[int(one)] for one in (a - b) * 2 + constant > a / 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age", "a column, not a condition"),
        ("age + 1", "a number, not a condition"),
        ("'a'", "a text, not a condition"),
        ("1 < 2", "names no column"),
        ("age = 62", "no expression"),
        ("age >=", "no expression"),
        ("age >= 62; sex == 'F'", "no expression"),
        ("", "no expression"),
        ("\0", "no expression"),
        ("`age", "no expression"),
        ("age == '\\d'", "no expression"),
        ("age & sex", "means nothing here"),
        ("age ** 2 > 1", "means nothing here"),
        ("age == True", "means nothing here"),
        ("age == None", "means nothing here"),
        ("age > 1e999", "means nothing here"),
        ("age > 1j", "means nothing here"),
        ("age.real > 1", "means nothing here"),
        ("age[0] > 1", "means nothing here"),
        ("abs(age) > 1", "means nothing here"),
        ("missing('age')", "means nothing here"),
        ("missing(age, sex)", "means nothing here"),
        ("missing(name=age)", "means nothing here"),
        ("__import__('os').system('true')", "means nothing here"),
        ("(lambda: age)()", "means nothing here"),
        ("[x for x in age]", "means nothing here"),
        ("f'{age}' == '1'", "means nothing here"),
        ("(age := 1) > 0", "means nothing here"),
        ("age is 1", "not with is"),
        ("age in sex", "must be a list"),
        ("age in []", "must be a list"),
        ("age in [sex]", "values, not columns"),
        ("age in [1, 'a']", "a number cannot be compared with a text"),
        ("1 == 'a' and age > 1", "a number cannot be compared with a text"),
        ("(age > 1) == (sex == 'F')", "condition cannot be compared"),
        ("age > 1 and sex", "a column cannot stand here"),
        ("not age", "a column cannot stand here"),
        ("age - 'a' > 1", "a text cannot stand here"),
        ("- " * 50_000 + "age > 1", "nested too deeply"),
    ],
)
def test_all_else_is_refused_and_never_run(text, words):
    with pytest.raises(UsageError) as refusal:
        expressions.parse(text)
    assert words.lower() in str(refusal.value).lower()


def test_a_deep_nest_of_brackets_is_refused():
    with pytest.raises(UsageError):
        expressions.parse("(" * 5000 + "age > 1" + ")" * 5000)


def test_a_refusal_shows_names_as_they_were_written():
    with pytest.raises(UsageError, match="found: `mini mental`.real in"):
        expressions.parse("`mini mental`.real > 1")


def test_backticks_within_quotes_are_text():
    table = of(name=["`x`", "x"])
    assert judged("name == '`x`'", table) == "TF"


def test_columns_are_known_in_the_order_of_the_text():
    expression = expressions.parse("missing(z) or `b b` > a and a < `a` + c")
    assert expression.columns() == ["z", "b b", "a", "c"]
    assert expression.columns(asked=False) == ["b b", "a", "c"]


@pytest.mark.parametrize("text", ["aeg > 1", "missing(aeg)", "`aeg` == 'x'"])
def test_an_unknown_column_names_the_nearest(text):
    with pytest.raises(MissingInputError, match=r"no column aeg in table\.tsv.*nearest is age"):
        expressions.judge(expressions.parse(text), TABLE, where=HERE)


def test_a_cell_that_is_no_number_is_placed():
    with pytest.raises(InvalidDataError, match=r"table\.tsv, row 5, column score.*'x' of sub-3"):
        judged("score > 1")
    # A row that was left out before is no matter.
    assert judged("score > 1", TABLE[:3]) == "FTT"


def test_a_division_by_zero_is_placed():
    with pytest.raises(InvalidDataError, match=r"table\.tsv, row 3 .*sub-1 ses-M000"):
        judged("age / (`mini mental` - 2) > 1", TABLE)


def test_rows_that_go_have_the_reason_and_the_first_column_that_is_missing():
    table = of(age=["60", NAN, "70", NAN, "70"], sex=["F", "F", NAN, NAN, "F"])
    conditions = [expressions.parse("age >= 62   and sex == 'F'"), expressions.parse("age < 80")]
    one = expressions.keep(sieve.begin(table), conditions, where=HERE)
    assert one.kept.index.tolist() == [4]
    assert dict(zip(one.excluded["participant_id"], one.excluded["reason"], strict=True)) == {
        "sub-0": "does not hold: age >= 62 and sex == 'F'",
        "sub-1": "age is missing",
        "sub-2": "sex is missing",
        "sub-3": "age is missing",
    }


def test_a_table_without_rows_stays_one():
    one = expressions.keep(
        sieve.begin(TABLE[:0]), [expressions.parse("sex in ['F'] and age > 1")], where=HERE
    )
    assert one.n_read == 0
