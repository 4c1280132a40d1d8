"""Which samples, in which order."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.data import DataConfig
from clinicadl.data.order import BY_CLASS, balanced, in_batches, shuffled, weighted

KEY = {"seed": 3, "purpose": "order"}


@given(st.lists(st.integers(), unique=True, max_size=50), st.integers(0, 100))
def test_a_shuffled_order_holds_each_index_once(indices, epoch):
    assert sorted(shuffled(indices, epoch=epoch, **KEY)) == sorted(indices)


def test_order_depends_on_seed_purpose_and_epoch_alone():
    rows = list(range(100))
    one = shuffled(rows, seed=1, purpose="a", epoch=0)
    assert one == shuffled(rows, seed=1, purpose="a", epoch=0)
    others = [("a", 1, 1), ("a", 2, 0), ("b", 1, 0)]
    assert all(shuffled(rows, seed=s, purpose=p, epoch=e) != one for p, s, e in others)


def test_weighted_order_draws_every_class_equally_often():
    classes = [0] * 900 + [1] * 90 + [2] * 10
    drawn = [weighted(range(1000), classes, epoch=e, **KEY) for e in range(20)]
    counts = np.bincount(np.take(classes, np.concatenate(drawn)), minlength=3) / 20_000
    # Standard error of a share of one third over 20,000 draws: 0.0033.
    assert counts == pytest.approx([1 / 3] * 3, abs=0.015)
    assert all(len(epoch) == 1000 for epoch in drawn)


classes_of_samples = st.lists(st.integers(-3, 3), min_size=1, max_size=60)


@given(classes_of_samples, st.integers(0, 2**32), st.integers(0, 100))
def test_balanced_order_passes_classes_and_their_samples_equally_often(classes, seed, epoch):
    key = {"seed": seed, "purpose": "order", "epoch": epoch}
    # Rows that are neither positions nor sorted, as of a part of a table.
    rows = [1000 - 7 * i for i in range(len(classes))]
    drawn = balanced(rows, classes, **key)
    assert drawn == balanced(rows, classes, **key)
    class_of = dict(zip(rows, classes, strict=True))
    n_draws = Counter(drawn)
    of_classes = Counter(class_of[row] for row in drawn)
    assert len(drawn) == len(rows)
    assert set(of_classes) == set(classes)
    assert max(of_classes.values()) - min(of_classes.values()) <= 1
    for one in set(classes):
        of_samples = [n_draws[row] for row in rows if class_of[row] == one]
        assert max(of_samples) - min(of_samples) <= 1


@given(classes_of_samples)
def test_balanced_order_follows_the_classes_and_not_their_names(classes):
    renamed = [2 * one + 100 for one in classes]
    rows = range(len(classes))
    assert balanced(rows, classes, epoch=1, **KEY) == balanced(rows, renamed, epoch=1, **KEY)


def test_balanced_order_of_classes_of_one_size_is_each_sample_once_shuffled():
    classes = [0, 1, 2] * 20
    drawn = balanced(range(60), classes, epoch=0, **KEY)
    assert sorted(drawn) == [*range(60)]
    assert drawn != sorted(drawn)
    # Classes come mixed: were they one after another, they would change twice.
    assert np.count_nonzero(np.diff(np.take(classes, drawn))) > 20


def test_balanced_order_is_another_in_each_epoch_and_leaves_no_sample_out_for_long():
    classes = [0] * 90 + [1] * 10
    drawn = [balanced(range(100), classes, epoch=e, **KEY) for e in range(20)]
    assert len({tuple(epoch) for epoch in drawn}) == 20
    assert set(np.concatenate(drawn)) == set(range(100))
    # A class smaller than its share is passed in fresh orders, not in one that repeats.
    small = [[row for row in epoch if row >= 90] for epoch in drawn]
    assert all(Counter(epoch) == dict.fromkeys(range(90, 100), 5) for epoch in small)


def test_what_is_left_over_goes_to_every_class_in_turn():
    classes = [0, 0, 1, 1, 2]
    shares = np.array(
        [np.bincount(np.take(classes, balanced(range(5), classes, epoch=e, **KEY)))
         for e in range(300)]
    )  # fmt: skip
    assert set(map(tuple, shares)) == {(1, 2, 2), (2, 1, 2), (2, 2, 1)}
    # Standard error of a mean of 300 draws of a share of two thirds: 0.027.
    assert shares.mean(axis=0) == pytest.approx([5 / 3] * 3, abs=0.11)


def test_every_sampler_of_the_settings_has_its_order():
    assert set(get_args(DataConfig.model_fields["sampler"].annotation)) == {"random", *BY_CLASS}


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9))
def test_batches_are_the_order_cut_up(order, batch_size):
    batches = in_batches(order, batch_size)
    assert [row for batch in batches for row in batch] == order
    assert all(len(batch) == batch_size for batch in batches[:-1])
