"""Spelling variants of one person match, and nobody else does."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.guard.identity import key, same_participant, same_participants, same_sessions

letters = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=5)
numbers = st.integers(0, 10**6)
# Few signs, so that hypothesis meets ids that are nearly alike.
ids = st.builds(
    lambda prefix, own: prefix + own, st.sampled_from(["sub-", ""]), st.text("aB01_-", min_size=1)
)


@st.composite
def spellings(draw, value):
    """Another way to write a number: with leading zeros."""
    return "0" * draw(st.integers(0, 4)) + str(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sub-ADNI002S0295", "002_S_0295"),
        ("sub-ADNI002S0295", "sub-002S0295"),
        ("sub-ADNI002S0295", "sub-adni002s0295"),
        ("sub-ADNI002S0295", "ADNI_2_S_295"),
        ("sub-IXI014", "sub-014"),
        ("sub-01", "sub-1"),
        ("sub-01", "sub01"),
        ("sub-01", " SUB-01 "),
        ("sub-CLNC0001", "CLNC-1"),
        ("sub-000", "sub-0"),
        ("sub-\uff11", "sub-1"),
        ("sub-\u0661\u0662", "sub-12"),
        ("sub-", "ses-"),
    ],
)
def test_spellings_of_one_person_match_in_both_directions(one, other):
    assert same_participant(one, other)
    assert same_participant(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sub-RAND1", "sub-TRIV1"),
        ("sub-IXI014", "sub-OAS014"),
        ("sub-01", "sub-10"),
        ("sub-1a", "sub-1b"),
        ("sub-ADNI002S0295", "sub-ADNI002S0296"),
        ("sub-A1", "sub-A1B"),
        ("sub-CTRL", "sub-"),
        ("sub-CTRL", "sub-PAT"),
        ("sub-??", "sub-!!"),
        ("sub-1s2", "sub-2"),
    ],
)
def test_two_people_do_not_match(one, other):
    assert not same_participant(one, other)
    assert not same_participant(other, one)


@pytest.mark.parametrize("session", ["ses-M00", "ses-M000", "M0", "m00", "ses-m_0"])
def test_the_months_of_a_session_are_compared_as_numbers(session):
    assert key(session) == key("ses-M00")


@pytest.mark.parametrize("session", ["ses-M006", "ses-00", "ses-N00", "ses-M0b"])
def test_another_visit_is_another_session(session):
    assert same_sessions([("sub-01", session)], [("sub-01", "ses-M00")]) == {}


@given(ids)
def test_everybody_is_themselves(one):
    assert same_participant(one, one)


@given(ids, ids)
def test_sameness_is_symmetric(one, other):
    assert same_participant(one, other) == same_participant(other, one)


@given(st.text(), st.text())
def test_any_text_is_an_id_that_can_be_compared(one, other):
    assert same_participant(one, one)
    assert same_participant(one, other) == same_participant(other, one)


@given(st.data(), letters, numbers)
def test_prefix_case_signs_and_zeros_do_not_make_another_person(data, cohort, number):
    one = f"sub-{cohort}{data.draw(spellings(number))}"
    other = (
        data.draw(st.sampled_from(["sub-", "", "Sub-"]))
        + data.draw(st.sampled_from([cohort, cohort.lower(), ""]))
        + data.draw(st.sampled_from(["", "_", "-", " "]))
        + data.draw(spellings(number))
    )
    assert same_participant(one, other)


@given(st.data(), numbers, numbers)
def test_distinct_numbers_never_match(data, number, another):
    prefix, its = data.draw(st.sampled_from([("sub-", "sub-"), ("", "sub-"), ("sub-IXI", "sub-")]))
    one, other = prefix + data.draw(spellings(number)), its + data.draw(spellings(another))
    assert same_participant(one, other) == (number == another)


def pieces(name):
    """The rule in other words: a list of letters and integers."""
    own = name.lower()
    own = own[4:] if own.startswith(("sub-", "ses-")) else own
    kept = [sign for sign in own if sign.isalpha() or sign.isdigit()]
    split = []
    for is_number, run in groupby(kept, key=str.isdigit):
        piece = "".join(run)
        split.append(int(piece) if is_number else piece)
    return split or [own]


def are_same(one, other):
    """The rule pair by pair."""
    a, b = pieces(one), pieces(other)
    lettered = [isinstance(piece[0], str) and len(piece) > 1 for piece in (a, b)]
    if a == b:
        return True
    if lettered == [True, False]:
        return a[1:] == b
    return lettered == [False, True] and a == b[1:]


@given(st.lists(ids, max_size=8), st.lists(ids, max_size=8))
def test_matching_sets_finds_what_comparing_all_pairs_finds(these, those):
    expected = {
        one: {other for other in those if are_same(one, other)}
        for one in these
        if any(are_same(one, other) for other in those)
    }
    found = same_participants(these, those)
    assert {one: set(others) for one, others in found.items()} == expected
    assert list(found) == [one for one in dict.fromkeys(these) if one in expected]


visits = st.tuples(ids, st.sampled_from(["ses-M00", "ses-M000", "M0", "ses-M12", "M012"]))


@given(st.lists(visits, max_size=6), st.lists(visits, max_size=6))
def test_matching_sessions_finds_what_comparing_all_pairs_finds(these, those):
    expected = {
        one: {
            other
            for other in those
            if are_same(one[0], other[0]) and pieces(one[1]) == pieces(other[1])
        }
        for one in these
    }
    found = same_sessions(these, those)
    assert {one: set(others) for one, others in found.items()} == {
        one: others for one, others in expected.items() if others
    }


def test_thousands_of_participants_are_compared_by_key_and_not_in_pairs():
    def asked():
        return key.cache_info().hits + key.cache_info().misses

    these = [f"sub-{number}" for number in range(3000)]
    those = [f"sub-IXI{number:05d}" for number in range(3000)]
    before = asked()
    assert len(same_participants(these, those)) == 3000
    assert asked() - before <= 4 * len(these)


def test_the_guard_decides_without_heavy_packages():
    heavy = "{'torch', 'pandas', 'numpy', 'nibabel', 'pydantic'}"
    code = f"import sys, clinicadl.guard.check; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
