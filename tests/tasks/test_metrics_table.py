"""Sums over participants, exact in any order of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.tasks import metrics_table as table

rows = st.lists(
    st.tuples(st.integers(0, 4), st.floats(-1e9, 1e9), st.floats(-1e-9, 1e9)), min_size=1
)


def split(some):
    owners, *values = zip(*some, strict=True)
    frame = pd.DataFrame({"participant_id": [f"sub-{owner}" for owner in owners]})
    return frame, np.array(values).T.reshape(-1, 1, 2)


@given(rows, st.randoms())
def test_sums_do_not_depend_on_the_order_of_the_rows(some, shuffler):
    shuffled = list(some)
    shuffler.shuffle(shuffled)
    one, other = (table.by_participant(*split(order)) for order in (some, shuffled))
    assert np.array_equal(one, other)
    assert np.array_equal(table.total(one), table.total(other))


@given(rows)
def test_each_participant_has_the_sum_of_its_rows(some):
    frame, addends = split(some)
    found = table.by_participant(frame, addends)
    expected = pd.DataFrame(addends[:, 0]).groupby(frame["participant_id"]).sum()
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(table.total(found)[0], addends.sum((0, 1)), rtol=1e-9, atol=1e-3)


def test_losses_and_single_participants_have_no_interval():
    def mean(sums):
        return {"mean": sums[..., 0] / sums[..., 1]}

    several = np.array([[1.0, 1], [3, 1], [8, 1]])
    found = table.metrics_table(several, mean, {"loss": 0.5}, seed=0)
    assert found["Metrics"].tolist() == ["Values", "Lower bound CI", "Upper bound CI", "SE"]
    assert found["mean"][0] == 4
    assert found["mean"][1] < 4 < found["mean"][2]
    assert found["loss"].tolist() == [0.5, "N/A", "N/A", "N/A"]
    alone = table.metrics_table(several[:1], mean, {}, seed=0)
    assert alone["mean"].tolist() == [1, "N/A", "N/A", "N/A"]
