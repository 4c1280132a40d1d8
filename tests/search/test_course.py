"""How a trial goes is told epoch by epoch, the same after an interruption; some fall behind."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pandas as pd
import pytest

from clinicadl.config.search import SearchConfig
from clinicadl.engine.events import BatchDone, Evaluated, Row, SplitEnded, SplitStarted
from clinicadl.search.course import Course, Hyperband, best, worth
from clinicadl.search.journal import optuna_module


def rows(values):
    return tuple(Row(epoch, 1, 0.0, {}, {"loss": value}) for epoch, value in enumerate(values))


def started(split, histories):
    return SplitStarted(Path(), split, 0, 3, 1, 1, histories)


def batch(split, epoch):
    return BatchDone(split, epoch, 0, 0.0, 1)


def judged(split, values, network=None):
    history = rows(values)
    return Evaluated(split, history[-1], (), history, network)


def course(told, *, splits=(0, 2), stops_at=None):
    def falls_behind(step, value):
        told.append((step, value))
        return step == stops_at

    return Course("loss", higher_is_better=False, splits=splits, n_epochs=3,
                  falls_behind=falls_behind)  # fmt: skip


EVENTS = [
    started(0, {None: ()}), batch(0, 0), judged(0, [0.5]), batch(0, 1), judged(0, [0.5, 0.7]),
    batch(0, 2), judged(0, [0.5, 0.7, 0.4]), SplitEnded(0, ""),
    started(2, {None: ()}), batch(2, 0), judged(2, [0.2]), batch(2, 1), judged(2, [0.2, 0.1]),
    SplitEnded(2, "early stopping"),
]  # fmt: skip
TOLD = [(1, 0.5), (2, 0.5), (3, 0.4), (4, (0.4 + 0.2) / 2), (5, (0.4 + 0.1) / 2)]


def test_each_epoch_is_told_once_with_the_mean_of_the_best_of_each_split():
    told = []
    one = course(told)
    assert not any(one(event) for event in EVENTS)
    assert told == [(step, pytest.approx(value)) for step, value in TOLD]


@pytest.mark.parametrize("moment", range(1, 8))
def test_after_an_interruption_the_same_is_told_again(moment):
    told = []
    one = course(told)
    # The checkpoint knows the epochs that were complete.
    known = [event for event in EVENTS[:moment] if isinstance(event, Evaluated)]
    history = known[-1].history if known else ()
    one(started(0, {None: history}))
    one(batch(0, len(history)))
    assert told == [(step, pytest.approx(value)) for step, value in TOLD[: len(history)]]


def test_several_networks_are_judged_when_all_are_through():
    told = []
    one = course(told, splits=(0,))
    one(started(0, {0: (), 1: ()}))
    one(batch(0, 0))
    one(judged(0, [0.4], network=0))
    one(judged(0, [0.6], network=1))
    assert told == []
    one(batch(0, 1))
    assert told == [(1, pytest.approx(0.5))]


@pytest.mark.parametrize(("stops_at", "last"), [(2, 5), (3, 7), (4, 11)])
def test_the_training_ends_where_the_trial_falls_behind(stops_at, last):
    one = course([], stops_at=stops_at)
    assert [one(event) for event in EVENTS[: last + 1]] == [False] * last + [True]


def test_a_trial_that_is_through_is_not_pruned():
    one = course([], stops_at=5)
    assert not any(one(event) for event in EVENTS)


def test_splits_that_were_trained_before_are_told_by_their_logs(tmp_path):
    told = []
    one = course(told)
    log = pd.DataFrame(
        {"split": 0, "network": "", "epoch": [0, 1, 2], "loss_valid": [0.5, 0.7, 0.4]}
    )
    one.recall(tmp_path, log)
    for event in EVENTS[8:]:
        one(event)
    assert told == [(step, pytest.approx(value)) for step, value in TOLD]
    assert worth(log, "loss", higher_is_better=False) == {0: 0.4}
    assert worth(log, "loss", higher_is_better=True) == {0: 0.7}


def test_the_best_value_is_a_number_if_there_is_one():
    assert best([nan, 0.3, 0.2], higher_is_better=False) == 0.2
    assert str(best([nan], higher_is_better=False)) == "nan"


def earlier(values):
    """Trials of an earlier round that all passed the first rung, after one epoch."""
    trial = optuna_module().trial
    return [
        trial.create_trial(
            state=trial.TrialState.COMPLETE, value=value, intermediate_values={1: value},
            system_attrs={"completed_rung_0": value},
        )
        for value in values
    ]  # fmt: skip


@pytest.mark.parametrize("higher", [False, True])
@pytest.mark.parametrize("value", [0.05, 0.15, 0.25, 0.35, 0.95])
def test_of_three_trials_one_goes_on(value, higher):
    before = [0.1, 0.2, 0.3, 0.4, 0.5]
    config = SearchConfig(pruner="hyperband", reduction_factor=3, round_size=5)
    # With two epochs at most there is one bracket, and so plain successive halving.
    pruner = Hyperband(
        config, 5, earlier(before), higher_is_better=higher, most_epochs=2
    )  # fmt: skip
    ranked = sorted([*before, value], reverse=higher)
    assert pruner(1, value) == (value not in ranked[: len(ranked) // 3])
    assert pruner.marks["completed_rung_0"] == value


def test_what_others_of_the_round_do_is_not_looked_at():
    config = SearchConfig(pruner="hyperband", reduction_factor=3, round_size=5)
    known = earlier([0.1, 0.2, 0.3, 0.4, 0.5])
    # Trials 7 and 5 know of the same five trials.
    for number in (5, 7):
        pruner = Hyperband(config, number, known, higher_is_better=False, most_epochs=2)
        assert pruner(1, 0.15) is False
        assert pruner._trial.number == number
