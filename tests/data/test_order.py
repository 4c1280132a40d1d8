"""Which samples, in which order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.data.order import in_batches, shuffled, weighted

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


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9))
def test_batches_are_the_order_cut_up(order, batch_size):
    batches = in_batches(order, batch_size)
    assert [row for batch in batches for row in batch] == order
    assert all(len(batch) == batch_size for batch in batches[:-1])
