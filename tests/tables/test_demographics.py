"""Age and sex, and how alike two groups are in them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from clinicadl.errors import InvalidDataError
from clinicadl.tables import demographics, sessions
from clinicadl.tables.sessions import Source

HEADER = "participant_id\tsession_id\t"


def of(tmp_path, text, name="table.tsv"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return sessions.read(path), path


groups = st.lists(st.integers(180, 1000), min_size=4, max_size=30).flatmap(
    lambda ages: st.tuples(st.just(ages), st.integers(1, len(ages) - 1))
)


@given(groups)
def test_the_balance_of_age_is_the_t_test_of_scipy(drawn):
    ages, n_in = np.array(drawn[0]) / 10, drawn[1]
    inside, outside = ages[:n_in], ages[n_in:]
    # scipy warns of a group of equal ages; those are tested by hand below.
    assume(all(len(group) == 1 or np.ptp(group) > 0 for group in (inside, outside)))
    assume(len(ages) > 2)
    found = demographics.age_balance(ages, np.arange(n_in)[None])
    np.testing.assert_allclose(
        found, [stats.ttest_ind(inside, outside).pvalue], rtol=1e-6, atol=1e-9
    )


def test_unknown_ages_are_left_out_of_the_t_test():
    ages = np.array([60.0, np.nan, 70, 65, np.nan, 80, 71])
    found = demographics.age_balance(ages, np.array([[0, 1, 2], [3, 4, 5]]))
    expected = [
        stats.ttest_ind([60, 70], [65, 80, 71]).pvalue,
        stats.ttest_ind([65, 80], [60, 70, 71]).pvalue,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_age_of_all_is_balanced_and_an_unknown_group_is_not():
    assert demographics.age_balance(np.full(4, 60.0), np.array([[0]])) == [1.0]
    assert demographics.age_balance(np.array([np.nan, 1, 2]), np.array([[0]])) == [0.0]
    assert demographics.age_balance(np.array([1.0, 1, 2, 2]), np.array([[0, 1]])) == [0.0]


@given(st.lists(st.booleans(), min_size=4, max_size=30), st.data())
def test_the_balance_of_sex_is_the_chi_square_of_shares(women, data):
    sex = np.array(women, dtype=float)
    n_in = data.draw(st.integers(1, len(sex) - 1))
    share_in, share_out = sex[:n_in].mean(), sex[n_in:].mean()
    assume(0 < share_out < 1)
    expected = stats.chisquare([1 - share_in, share_in], [1 - share_out, share_out]).pvalue
    found = demographics.sex_balance(sex, np.arange(n_in)[None])
    np.testing.assert_allclose(found, [expected], rtol=1e-6, atol=1e-9)


def test_a_score_of_080_is_a_gap_of_about_twelve_points():
    others = [1.0] * 50 + [0] * 50
    for gap, is_balanced in ((12, True), (13, False)):
        chosen = [1.0] * (50 + gap) + [0] * (50 - gap)
        score = demographics.sex_balance(np.array(chosen + others), np.arange(100)[None])[0]
        assert (score >= 0.80) == is_balanced


def test_one_sex_of_all_is_balanced_and_one_sex_of_the_others_is_not():
    assert demographics.sex_balance(np.ones(4), np.array([[0]])) == [1.0]
    assert demographics.sex_balance(np.array([0.0, 1, 1]), np.array([[0]])) == [0.0]
    assert demographics.sex_balance(np.array([np.nan, 0, 1]), np.array([[0]])) == [0.0]


@pytest.mark.parametrize("column", ["age", "age_bl"])
def test_ages_are_found_under_both_names(tmp_path, column):
    table, path = of(tmp_path, f"{HEADER}{column}\nsub-1\tses-1\t34.24\nsub-2\tses-1\tn/a\n")
    trait = demographics.ages(table, Source(path, table))
    assert (trait.column, trait.read) == (column, path)
    np.testing.assert_array_equal(trait.value, [34.24, np.nan])


def test_an_empty_column_of_ages_gives_way_to_the_other_name(tmp_path):
    table, path = of(tmp_path, f"{HEADER}age\tage_bl\nsub-1\tses-1\tn/a\t34\n")
    assert demographics.ages(table, Source(path, table)).column == "age_bl"


def test_what_the_table_lacks_comes_from_the_labels_above(tmp_path):
    _, labels = of(
        tmp_path, f"{HEADER}sex\tage\nsub-2\tses-1\tF\t2\nsub-1\tses-1\tM\t1\n", "labels.tsv"
    )
    table, path = of(tmp_path, f"{HEADER}x\nsub-1\tses-1\t0\nsub-2\tses-1\t0\n", "split/train.tsv")
    sex, age = (
        demographics.sexes(table, Source(path, table)),
        demographics.ages(table, Source(path, table)),
    )
    assert sex.value.tolist() == [0, 1]
    assert age.value.tolist() == [1, 2]
    assert sex.read == labels


def test_a_wrong_age_of_a_participant_is_placed_and_that_of_a_stranger_is_no_matter(tmp_path):
    text = f"{HEADER}age\nsub-1\tses-1\t1\nsub-2\tses-1\told\n"
    table, path = of(tmp_path, text)
    assert demographics.ages(table[:1], Source(path, table)).value.tolist() == [1]
    with pytest.raises(InvalidDataError, match=r"table\.tsv, row 3, column age"):
        demographics.ages(table[1:].reset_index(drop=True), Source(path, table))


@pytest.mark.parametrize("column", ["sex\tage", "other\tthing"])
def test_nothing_known_of_anybody_is_nothing_to_balance(tmp_path, column):
    table, path = of(tmp_path, f"{HEADER}{column}\nsub-1\tses-1\tn/a\tn/a\n")
    assert demographics.ages(table, Source(path, table)) is None
    assert demographics.sexes(table, Source(path, table)) is None


def test_only_m_and_f_are_sexes(tmp_path):
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i}" for i in range(5)],
            "session_id": "ses-M000",
            "sex": ["M", " F ", "m", "0", np.nan],
        }
    )
    found = demographics.sexes(table, Source(tmp_path / "table.tsv", table))
    np.testing.assert_array_equal(found.value, [0, 1, np.nan, np.nan, np.nan])
