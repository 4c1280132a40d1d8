"""How alike two sets are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from clinicadl.errors import InvalidDataError
from clinicadl.tables import balance, sessions
from clinicadl.tables.balance import CRITERIA, Covariate, Least, covariate
from clinicadl.tables.sessions import Source

HEADER = "participant_id\tsession_id\t"


def of(tmp_path, text, name="table.tsv"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return sessions.read(path), path


def numbers(values):
    return Covariate("age", None, np.array(values, dtype=float), ())


def classes(values, names=("F", "M")):
    return Covariate("sex", None, np.array(values, dtype=float), names)


def first(n_in, n):
    """The first participants are set apart: one draw."""
    return (np.arange(n) < n_in)[None]


def mask(n, *draws):
    return np.array([[i in draw for i in range(n)] for draw in draws])


groups = st.lists(st.integers(180, 1000), min_size=4, max_size=30).flatmap(
    lambda ages: st.tuples(st.just(ages), st.integers(1, len(ages) - 1))
)


@given(groups)
def test_numbers_are_compared_as_scipy_compares_them(drawn):
    ages, n_in = np.array(drawn[0]) / 10, drawn[1]
    inside, outside = ages[:n_in], ages[n_in:]
    # scipy warns of a group of equal ages; those are tested by hand below.
    assume(all(len(group) == 1 or np.ptp(group) > 0 for group in (inside, outside)))
    assume(len(ages) > 2)
    draw = first(n_in, len(ages))
    p = balance.student(numbers(ages), draw)
    np.testing.assert_allclose(p, [stats.ttest_ind(inside, outside).pvalue], atol=1e-8)
    squares = sum(((group - group.mean()) ** 2).sum() for group in (inside, outside))
    d = abs(inside.mean() - outside.mean()) / np.sqrt(squares / (len(ages) - 2))
    np.testing.assert_allclose(balance.smd(numbers(ages), draw), [d], rtol=1e-6, atol=1e-8)


@given(groups)
def test_distributions_are_compared_as_scipy_compares_them(drawn):
    ages, n_in = np.array(drawn[0]) / 10, drawn[1]
    d = stats.ks_2samp(ages[:n_in], ages[n_in:]).statistic
    n, m = n_in, len(ages) - n_in
    expected = stats.kstwobign.sf(np.sqrt(n * m / (n + m)) * d)
    found = balance.kolmogorov_smirnov(numbers(ages), first(n_in, len(ages)))
    np.testing.assert_allclose(found, [expected], atol=1e-8)


def test_unknown_values_are_left_out():
    ages = np.array([60.0, np.nan, 70, 65, np.nan, 80, 71])
    draws = mask(7, (0, 1, 2), (3, 4, 5))
    pairs = [([60, 70], [65, 80, 71]), ([65, 80], [60, 70, 71])]
    expected = [stats.ttest_ind(*pair).pvalue for pair in pairs]
    np.testing.assert_allclose(balance.student(numbers(ages), draws), expected, atol=1e-8)
    found = balance.kolmogorov_smirnov(numbers(ages), draws)
    d = [stats.ks_2samp(*pair).statistic for pair in pairs]
    np.testing.assert_allclose(found, stats.kstwobign.sf(np.sqrt(6 / 5) * np.array(d)), atol=1e-8)


@pytest.mark.parametrize("measure", [balance.student, balance.kolmogorov_smirnov])
def test_one_value_of_all_is_balanced_and_an_unknown_set_is_not(measure):
    assert measure(numbers([60.0] * 4), mask(4, (0,))) == [1.0]
    assert measure(numbers([np.nan, 1, 2]), mask(3, (0,))) == [0.0]


def test_two_values_that_divide_the_sets_are_as_far_apart_as_can_be():
    draw = mask(4, (0, 1))
    assert balance.student(numbers([1, 1, 2, 2]), draw) == [0.0]
    assert balance.smd(numbers([1, 1, 2, 2]), draw) == [np.inf]
    assert balance.smd(numbers([3, 3, 3, 3]), draw) == [0.0]
    assert balance.smd(numbers([np.nan, np.nan, 3, 4]), draw) == [np.inf]


@given(st.lists(st.booleans(), min_size=4, max_size=30), st.data())
def test_two_classes_are_compared_by_the_exact_test_of_fisher(women, data):
    sex = np.array(women, dtype=float)
    n_in = data.draw(st.integers(1, len(sex) - 1))
    assume(0 < sex.sum() < len(sex))
    table = [[(part == code).sum() for code in (0, 1)] for part in (sex[:n_in], sex[n_in:])]
    found = balance.counts(classes(sex), first(n_in, len(sex)))
    np.testing.assert_allclose(found, [stats.fisher_exact(table).pvalue], atol=1e-8)


@given(st.lists(st.integers(0, 3), min_size=8, max_size=40), st.data())
def test_more_classes_are_compared_by_the_chi_square_of_counts(codes, data):
    assume(len(set(codes)) == 4)
    n_in = data.draw(st.integers(1, len(codes) - 1))
    inside, outside = np.array(codes[:n_in]), np.array(codes[n_in:])
    table = [np.bincount(part, minlength=4) for part in (inside, outside)]
    found = balance.counts(classes(codes, tuple("ABCD")), first(n_in, len(codes)))
    expected = stats.chi2_contingency(table, correction=False).pvalue
    np.testing.assert_allclose(found, [expected], atol=1e-8)


def test_a_test_of_counts_depends_on_the_number_of_participants():
    """A gap of 12 points is nothing among 50 and much among 5,000; the shares do not change."""
    for factor, is_balanced in ((1, True), (100, False)):
        codes = ([1] * 31 + [0] * 19 + [1] * 25 + [0] * 25) * factor
        apart = np.array(([True] * 50 + [False] * 50) * factor)[None]
        assert (balance.counts(classes(codes), apart)[0] > 0.2) == is_balanced
        assert balance.shares(classes(codes), apart)[0] == pytest.approx(0.8103, abs=1e-4)


@given(st.lists(st.booleans(), min_size=4, max_size=30), st.data())
def test_the_published_balance_of_sex_is_the_chi_square_of_shares(women, data):
    sex = np.array(women, dtype=float)
    n_in = data.draw(st.integers(1, len(sex) - 1))
    share_in, share_out = sex[:n_in].mean(), sex[n_in:].mean()
    assume(0 < share_out < 1)
    expected = stats.chisquare([1 - share_in, share_in], [1 - share_out, share_out]).pvalue
    found = balance.shares(classes(sex), first(n_in, len(sex)))
    np.testing.assert_allclose(found, [expected], atol=1e-8)


def test_a_score_of_080_is_a_gap_of_about_twelve_points():
    others = [1.0] * 50 + [0] * 50
    for gap, is_balanced in ((12, True), (13, False)):
        chosen = [1.0] * (50 + gap) + [0] * (50 - gap)
        score = balance.shares(classes(chosen + others), first(100, 200))[0]
        assert (score >= 0.80) == is_balanced


@pytest.mark.parametrize("measure", [balance.shares, balance.counts])
def test_one_class_of_all_is_balanced_and_an_unknown_set_is_not(measure):
    assert measure(classes([0.0] * 4, ("M",)), mask(4, (0,))) == [1.0]
    assert measure(classes([np.nan, 0, 1]), mask(3, (0,))) == [0.0]


def test_one_class_of_the_others_has_no_score():
    assert balance.shares(classes([0.0, 1, 1]), mask(3, (0,))) == [0.0]


def test_the_margin_is_that_of_the_worst_measure():
    age, sex = numbers([60, 70, 61, 69, 80, 62]), classes([0, 1, 0, 1, 1, 0])
    draws = mask(6, (0, 1), (1, 4), (2, 3))
    least = Least(p_numbers=0.5, p_classes=0.7, most_smd=0.2)
    found = balance.balance([age, sex], draws, CRITERIA["tests"], least)
    worst = np.min(
        [
            balance.student(age, draws) - 0.5,
            0.2 - balance.smd(age, draws),
            balance.counts(sex, draws) - 0.7,
        ],
        axis=0,
    )
    np.testing.assert_array_equal(found.margin, worst)
    assert found.of(1)["age"]["smd"] == balance.smd(age, draws)[1]
    assert set(found.of(1)) == {"age", "sex"}


@pytest.mark.parametrize("name", CRITERIA)
def test_whoever_is_asked_first_makes_no_difference(name):
    """Both sets are compared with each other: to swap them changes no test, only the shares."""
    draw = np.random.default_rng(0)
    age, sex = numbers(draw.normal(70, 8, 30)), classes(draw.integers(0, 2, 30))
    one = first(9, 30)
    for covariate_, functions in (
        (age, CRITERIA[name].of_numbers), (sex, CRITERIA[name].of_classes)
    ):  # fmt: skip
        for measure in functions.values():
            if measure is not balance.shares:
                np.testing.assert_allclose(measure(covariate_, one), measure(covariate_, ~one))


@pytest.mark.parametrize("column", ["age", "age_bl"])
def test_ages_are_found_under_both_names(tmp_path, column):
    table, path = of(tmp_path, f"{HEADER}{column}\nsub-1\tses-1\t34.24\nsub-2\tses-1\tn/a\n")
    found = covariate(table, Source(path, table), "age")
    assert (found.column, found.read, found.classes) == (column, path, ())
    np.testing.assert_array_equal(found.value, [34.24, np.nan])


def test_an_empty_column_of_ages_gives_way_to_the_other_name(tmp_path):
    table, path = of(tmp_path, f"{HEADER}age\tage_bl\nsub-1\tses-1\tn/a\t34\n")
    assert covariate(table, Source(path, table), "age").column == "age_bl"


def test_what_the_table_lacks_comes_from_the_labels_above(tmp_path):
    _, labels = of(
        tmp_path, f"{HEADER}sex\tage\nsub-2\tses-1\tF\t2\nsub-1\tses-1\tM\t1\n", "labels.tsv"
    )
    table, path = of(tmp_path, f"{HEADER}x\nsub-1\tses-1\t0\nsub-2\tses-1\t0\n", "split/train.tsv")
    sex, age = (covariate(table, Source(path, table), name) for name in ("sex", "age"))
    assert [sex.classes[int(code)] for code in sex.value] == ["M", "F"]
    assert age.value.tolist() == [1, 2]
    assert sex.read == labels


def test_a_wrong_age_of_a_participant_is_placed_and_that_of_a_stranger_is_no_matter(tmp_path):
    text = f"{HEADER}age\nsub-1\tses-1\t1\nsub-2\tses-1\told\n"
    table, path = of(tmp_path, text)
    assert covariate(table[:1], Source(path, table), "age").value.tolist() == [1]
    with pytest.raises(InvalidDataError, match=r"table\.tsv, row 3, column age"):
        covariate(table[1:].reset_index(drop=True), Source(path, table), "age")


@pytest.mark.parametrize("column", ["sex\tage", "other\tthing"])
def test_nothing_known_of_anybody_is_nothing_to_balance(tmp_path, column):
    table, path = of(tmp_path, f"{HEADER}{column}\nsub-1\tses-1\tn/a\tn/a\n")
    assert covariate(table, Source(path, table), "age") is None
    assert covariate(table, Source(path, table), "sex") is None


def test_few_values_are_classes_and_many_numbers_are_numbers():
    ids = {"participant_id": [f"sub-{i}" for i in range(24)], "session_id": "ses-M000"}
    many = [str(i / 2) for i in range(24)]
    few = [str(i % 3) for i in range(24)]
    table = pd.DataFrame(
        {**ids, "score": many, "site": few, "name": [f"x{i}" for i in range(24)], "sex": many}
    )
    given_ = Source(None, table)
    assert covariate(table, given_, "score").value.tolist() == [i / 2 for i in range(24)]
    assert covariate(table, given_, "site").classes == ("0", "1", "2")
    assert len(covariate(table, given_, "name").classes) == 24
    assert len(covariate(table, given_, "sex").classes) == 24
    assert balance.numeric_columns(given_) == ("score",)
