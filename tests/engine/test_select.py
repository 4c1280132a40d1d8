"""Selection of the best epoch, and early stopping."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.engine.select import Selection, Stopping, after_epoch, should_stop, update

values = st.lists(st.floats(-100, 100) | st.just(float("nan")), min_size=1, max_size=30)


def stopped_after(losses, *, patience, tolerance):
    stopping = Stopping()
    for epoch, loss in enumerate(losses, start=1):
        stopping = after_epoch(stopping, loss, tolerance=tolerance)
        if should_stop(stopping, loss, patience=patience):
            return epoch
    return None


def test_the_reference_is_the_last_loss_that_passed():
    losses = [1.0, 0.95, 0.89, 0.85, 0.82]
    assert stopped_after(losses, patience=2, tolerance=0.1) == 5


def test_negative_losses_can_improve():
    assert stopped_after([-1.0, -1.2, -1.4, -1.6], patience=1, tolerance=0.1) is None
    assert stopped_after([-1.0, -1.05], patience=1, tolerance=0.1) == 2


def test_a_patience_of_zero_never_stops():
    assert stopped_after([1.0, 2.0, float("nan"), 4.0], patience=0, tolerance=0.0) is None


def test_a_loss_that_is_no_number_stops():
    assert stopped_after([1.0, 0.5, float("nan")], patience=10, tolerance=0.0) == 3


@given(values, st.booleans())
def test_the_selected_value_is_the_best_that_was_seen(scores, higher):
    selection = Selection({"metric": higher})
    epochs = []
    for epoch, value in enumerate(scores):
        selection, improved = update(selection, {"metric": value, "other": 0.0})
        if improved:
            epochs.append(epoch)
    seen = [value for value in scores if not math.isnan(value)]
    if not seen:
        assert selection.best == {}
        return
    best = max(seen) if higher else min(seen)
    assert selection.best["metric"] == best
    # Strictly better only: the first epoch that reached the best value is the one that is kept.
    assert epochs[-1] == next(i for i, value in enumerate(scores) if value == best)


@pytest.mark.parametrize(("higher", "improves"), [(True, 2.0), (False, 0.5)])
def test_equal_is_not_better(higher, improves):
    selection, _ = update(Selection({"metric": higher}), {"metric": 1.0})
    assert update(selection, {"metric": 1.0})[1] == ()
    assert update(selection, {"metric": improves})[1] == ("metric",)
