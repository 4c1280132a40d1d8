"""What is shown of a training: loss, rate and the time that is left."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.cli.progress import Pace, TrainingProgress
from clinicadl.engine.events import (
    BatchDone,
    Evaluated,
    Row,
    SplitEnded,
    SplitInterrupted,
    SplitStarted,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def started(n_epochs=3, n_batches=4, first=0):
    return SplitStarted(Path("maps"), 0, first, n_epochs, n_batches, n_batches, {None: ()})


def evaluated(epoch, *, ends=True, network=None, iteration=4):
    row = Row(epoch, iteration, 1.0, {"loss": 0.5, "BA": 0.75}, {"loss": 0.6, "BA": 0.5})
    return Evaluated(0, row, ("loss",) if ends else (), (row,), network, ends_epoch=ends)


def run(shown, clock, *, n_epochs=3, n_batches=4, first=0, batch=1.0, evaluation=2.0):
    shown(started(n_epochs, n_batches, first))
    for epoch in range(first, n_epochs):
        for number in range(n_batches):
            clock.now += batch
            shown(BatchDone(0, epoch, number, 0.5 + number, 8))
        clock.now += evaluation
        shown(evaluated(epoch))
    shown(SplitEnded(0, "last epoch"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_elsewhere_each_epoch_is_a_line_with_its_seconds_and_what_is_left(capsys):
    clock = Clock()
    run(TrainingProgress(clock), clock)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("; ")[2] for line in lines[:3]] == [
        "6 s an epoch, 0:00:12 left", "6 s an epoch, 0:00:06 left", "6 s an epoch, 0:00:00 left",
    ]  # fmt: skip
    assert "loss 0.500 train 0.600 validation, BA 0.750 train 0.500 validation" in lines[0]
    assert lines[3:] == ["split 0: done (last epoch)"]


def test_on_a_terminal_the_bar_shows_mean_loss_rate_and_the_time_of_the_split(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    clock = Clock()
    shown = TrainingProgress(clock)
    bars = []

    def watched(event):
        shown(event)
        if isinstance(event, BatchDone):
            bars.append(str(shown._bar))

    run(watched, clock)
    # Behind one of 12 batches of 1 s: the evaluation is not known yet.
    assert bars[0].startswith("split 0, epoch 0/2: 1/4 |")
    assert bars[0].endswith("loss 0.5, 8 samples/s, split 0:00:11 left")
    # Behind the last batch of the next epoch: losses 0.5 to 3.5; 2 s of its 6 are left, and an
    # epoch of 6.
    assert bars[7].startswith("split 0, epoch 1/2: 4/4 |")
    assert bars[7].endswith("loss 2, 8 samples/s, split 0:00:08 left")
    assert "epoch 2 of 0-2: loss 0.500" in sys.stderr.getvalue()


def test_an_evaluation_inside_an_epoch_does_not_begin_the_bar_anew(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    clock, n_batches = Clock(), 4
    shown = TrainingProgress(clock)
    shown(started())
    for number in range(n_batches):
        clock.now += 1
        shown(BatchDone(0, 0, number, 1.0, 8))
        if number == 1:
            shown(evaluated(0, ends=False, iteration=2))
    bar = shown._bar
    assert (bar.n, bar.total) == (n_batches, n_batches)
    shown(SplitInterrupted(0))
    assert shown._bar is None


def test_a_resumed_split_counts_what_is_left_alone(capsys):
    clock = Clock()
    run(TrainingProgress(clock), clock, n_epochs=5, first=3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "split 0: goes on at epoch 3"
    assert lines[1].endswith("6 s an epoch, 0:00:06 left")


def test_the_epoch_of_several_networks_is_one(capsys):
    clock = Clock()
    shown = TrainingProgress(clock)
    shown(started(n_epochs=2))
    clock.now = 10.0
    shown(BatchDone(0, 0, 0, 1.0, 8))
    for network in range(3):
        shown(evaluated(0, network=network))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.endswith("10 s an epoch, 0:00:10 left") for line in lines)


@given(
    st.integers(1, 6), st.integers(1, 6), st.floats(0.01, 100), st.floats(0, 100), st.data()
)  # fmt: skip
def test_at_an_even_pace_the_time_left_is_true(n_epochs, n_batches, batch, evaluation, data):
    """From the second epoch on, behind any batch, it is what the rest then takes."""
    pace, now = Pace(n_epochs, n_batches, 0, 0.0), 0.0
    whole = n_epochs * (n_batches * batch + evaluation)
    for epoch in range(n_epochs):
        for number in range(n_batches):
            now += batch
            pace.batch(BatchDone(0, epoch, number, 1.0, 3))
            assert pace.rate(now) == pytest.approx(3 / batch)
            if epoch:
                assert pace.left(now) == pytest.approx(whole - now, abs=1e-6 * whole)
        now += evaluation
        pace.end_epoch(epoch, now)
        assert pace.left(now) == pytest.approx(whole - now, abs=1e-6 * whole)


def test_the_mean_loss_is_over_samples_not_batches():
    pace = Pace(1, 2, 0, 0.0)
    pace.batch(BatchDone(0, 0, 0, 1.0, 9))
    pace.batch(BatchDone(0, 0, 1, 2.0, 1))
    assert pace.loss == pytest.approx(1.1)
