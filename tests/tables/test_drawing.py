"""Random divisions that keep the shares of classes, groups and earlier places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinicadl.tables.drawing import (
    Drawing,
    allotted,
    apart,
    fold_numbers,
    shares,
    shuffled,
    still_due,
)
from clinicadl.tables.units import APART_PLACE, FREE, TRAIN_PLACE, Units


def keys(n, n_draws=4, seed=0):
    return np.random.default_rng(seed).random((n_draws, n))


def drawing(code, unit=None, place=None):
    n = len(code)
    return Drawing(
        np.array(code),
        Units(np.arange(n) if unit is None else np.unique(unit, return_inverse=True)[1]),
        np.full(n, FREE) if place is None else np.array(place),
    )


@given(st.lists(st.integers(2, 60), min_size=2, max_size=6), st.data())
def test_shares_are_proportional_and_leave_every_class_in_both_parts(sizes, data):
    total, n_classes = sum(sizes), len(sizes)
    n_test = data.draw(st.integers(n_classes, total - n_classes))
    counts = shares(np.array(sizes), n_test)
    assert counts.sum() == n_test
    for size, count in zip(sizes, counts, strict=True):
        assert 1 <= count <= size - 1
    exact = np.array(sizes) * n_test / total
    is_clipped = np.any((exact < 1) | (exact > np.array(sizes) - 1))
    assert is_clipped or np.all(np.abs(counts - exact) < 1)


def test_shares_by_hand():
    # Shares 9.4, 8.4 and 2.2: 9, 8 and 2, and one more for the first of the larger remainders.
    assert shares(np.array([47, 42, 11]), 20).tolist() == [10, 8, 2]
    assert shares(np.array([2, 2]), 1) is None


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any), st.integers(0, 200), st.data()
)
def test_what_is_allotted_adds_up_and_keeps_its_bounds(weights, n, data):
    most = np.array(
        data.draw(st.lists(st.integers(0, 80), min_size=len(weights), max_size=len(weights)))
    )
    n = min(n, int(most.sum()))
    found = allotted(np.array(weights), n, least=np.zeros_like(most), most=most)
    assert found.sum() == n
    assert np.all((found >= 0) & (found <= most))


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
    order = shuffled(codes, keys)
    for row, key in zip(order, keys, strict=True):
        assert sorted(row) == list(range(len(codes)))
        pairs = [(codes[i], key[i]) for i in row]
        assert pairs == sorted(pairs)


codes = st.lists(st.integers(0, 2), min_size=6, max_size=40)


@given(codes, st.data())
def test_as_many_of_each_class_are_set_apart_as_are_due(code, data):
    place = data.draw(
        st.lists(st.sampled_from([FREE, FREE, FREE, TRAIN_PLACE, APART_PLACE]),
                 min_size=len(code), max_size=len(code))
    )  # fmt: skip
    one = drawing(code, place=place)
    n_test = data.draw(st.integers(1, len(code) - 1))
    due = still_due(one, n_test)
    before = np.array(place) == APART_PLACE
    free = np.array(place) == FREE
    assert due.sum() == min(max(n_test - before.sum(), 0), free.sum())
    masks = apart(one, due, keys(len(code)))
    for mask in masks:
        assert mask[before].all()
        assert not mask[np.array(place) == TRAIN_PLACE].any()
        for label in range(one.n_classes):
            assert (mask & free)[one.code == label].sum() == due[label]


def test_who_has_a_place_counts_in_the_share_of_the_class():
    # 8 of 40 are to be apart, 2 of the 10 of class 0: one is already, so one more is due.
    code = [0] * 10 + [1] * 30
    place = [APART_PLACE, TRAIN_PLACE, TRAIN_PLACE] + [FREE] * 37
    assert still_due(drawing(code, place=place), 8).tolist() == [1, 6]


@given(codes, st.data())
def test_groups_are_set_apart_whole(code, data):
    unit = data.draw(st.lists(st.integers(0, 9), min_size=len(code), max_size=len(code)))
    one = drawing(code, unit)
    n_test = data.draw(st.integers(1, len(code) - 1))
    due = allotted(
        np.bincount(code, minlength=one.n_classes), n_test,
        least=np.zeros(one.n_classes, dtype=int), most=np.bincount(code, minlength=one.n_classes),
    )  # fmt: skip
    for mask in apart(one, due, keys(len(code))):
        assert mask.sum() <= n_test
        for number in set(unit):
            assert len(set(mask[np.array(unit) == number].tolist())) == 1


def test_families_fill_a_part_to_the_last_participant():
    # Couples and people alone: 10 can be reached, and each class has its share.
    code, unit = [0, 1] * 20 + [0, 1] * 5, [i // 2 for i in range(40)] + list(range(100, 110))
    one = drawing(code, unit)
    masks = apart(one, np.array([5, 5]), keys(50, n_draws=20))
    assert (masks.sum(axis=1) == 10).all()
    assert (masks[:, one.code == 0].sum(axis=1) == 5).all()


@settings(max_examples=60)
@given(codes, st.integers(2, 5), st.data())
def test_folds_keep_groups_whole_and_places(code, n_folds, data):
    n = len(code)
    unit = data.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    of_unit = {number: data.draw(st.integers(-1, n_folds - 1)) for number in sorted(set(unit))}
    place = [of_unit[number] for number in unit]
    folds = fold_numbers(drawing(code, unit, place), n_folds, keys(n))
    assert np.all((folds >= 0) & (folds < n_folds))
    for row in folds:
        for number in set(unit):
            (fold,) = set(row[np.array(unit) == number].tolist())
            assert of_unit[number] in (FREE, fold)


@given(codes, st.integers(2, 5), st.data())
def test_folds_around_places_are_as_even_as_these_allow(code, n_folds, data):
    n = len(code)
    place = data.draw(st.lists(st.sampled_from([FREE, FREE, 0]), min_size=n, max_size=n))
    one = drawing(code, place=place)
    for row in fold_numbers(one, n_folds, keys(n)):
        for label in range(one.n_classes):
            counts = np.bincount(row[one.code == label], minlength=n_folds)
            taken = (one.place[one.code == label] == 0).sum()
            # Fold 0 has those with a place; nobody joins it while another fold has fewer.
            assert counts[1:].max() - counts[1:].min() <= 1
            assert counts[0] == taken or counts[0] - counts[1:].min() <= 1


@pytest.mark.parametrize("n_folds", [2, 5])
def test_families_are_dealt_evenly(n_folds):
    draw = np.random.default_rng(3)
    unit = np.repeat(np.arange(60), draw.integers(1, 5, 60))
    code = draw.integers(0, 2, len(unit))
    for row in fold_numbers(drawing(code, unit), n_folds, keys(len(unit))):
        for label in (0, 1):
            counts = np.bincount(row[code == label], minlength=n_folds)
            assert counts.max() - counts.min() <= 4
