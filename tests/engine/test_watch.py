"""Those who watch: told of everything, and unable to change or end a training."""

from __future__ import annotations

import logging
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from clinicadl import resume, train
from clinicadl.config.base import linked
from clinicadl.config.tracking import TRACKERS
from clinicadl.engine import loop, watch
from clinicadl.engine.events import BatchDone, Evaluated, Event, SplitEnded, SplitInterrupted
from clinicadl.errors import MissingExtraError, OutputError
from clinicadl.layouts.maps import folder


def same_weights(one, other):
    ours, theirs = (
        load_file(maps / "split-0/best-loss/model.safetensors") for maps in (one, other)
    )
    return all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def same_tables(one, other):
    names = [
        f"best-loss/{group}/{group}_image_level_{what}.tsv"
        for group in ("train", "validation")
        for what in ("prediction", "metrics")
    ]
    return all(
        (one / "split-0" / name).read_bytes() == (other / "split-0" / name).read_bytes()
        for name in names
    )


class Fails:
    def __init__(self, kind, error):
        self.kind, self.error = kind, error
        self.told = []

    def __call__(self, event):
        self.told.append(event)
        if isinstance(event, self.kind):
            raise self.error


KINDS = [kind for kind in get_args(Event) if kind is not SplitInterrupted]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("error", [OSError(28, "No space left"), SystemExit(3)], ids=str)
def test_one_who_fails_is_named_once_and_let_go_and_nothing_else_changes(
    prepared_once, config_of, trained_once, tmp_path, caplog, kind, error
):
    fails, watches = Fails(kind, error), Fails((), None)
    with caplog.at_level(logging.WARNING):
        train(config_of(prepared_once), tmp_path / "maps", observers=[fails, watches])
    said = [one.getMessage() for one in caplog.records if "left out" in one.getMessage()]
    assert len(said) == 1
    assert all(word in said[0] for word in ("Fails", type(error).__name__, str(error)))
    assert [isinstance(event, kind) for event in fails.told].count(True) == 1
    assert isinstance(fails.told[-1], kind)
    assert fails.told == watches.told[: len(fails.told)]
    assert isinstance(watches.told[-1], SplitEnded)
    assert same_weights(tmp_path / "maps", trained_once)
    assert same_tables(tmp_path / "maps", trained_once)


def test_who_fails_when_a_training_is_interrupted_does_not_hide_why(
    prepared_once, config_of, tmp_path
):
    fails, stops = Fails(SplitInterrupted, ValueError("x")), Fails(BatchDone, KeyboardInterrupt())
    watches = Fails((), None)
    with pytest.raises(KeyboardInterrupt):
        train(config_of(prepared_once), tmp_path / "maps", observers=[fails, stops, watches])
    assert watches.told[-1] == SplitInterrupted(0)
    assert stops.told[-1] == SplitInterrupted(0)


def test_a_full_disk_under_the_table_of_metrics_ends_the_training_and_it_can_go_on(
    prepared_once, config_of, trained_once, tmp_path, monkeypatch
):
    written = folder.write_training_log

    def fails(maps, split, rows, network=None):
        if len(rows) == 2:
            raise OutputError("The output cannot be written", where="training.tsv")
        written(maps, split, rows, network)

    watches = Fails((), None)
    monkeypatch.setattr(folder, "write_training_log", fails)
    with pytest.raises(OutputError, match="training.tsv"):
        train(config_of(prepared_once), tmp_path / "maps", observers=[watches])
    assert watches.told[-1] == SplitInterrupted(0)
    monkeypatch.undo()
    resume(tmp_path / "maps")
    assert same_weights(tmp_path / "maps", trained_once)


def test_a_full_disk_under_tensorboard_is_no_reason_to_stop(
    prepared_once, config_of, trained_once, tmp_path, monkeypatch, caplog
):
    from tensorboardX import SummaryWriter

    def fails(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", fails)
    train(config_of(prepared_once), tmp_path / "maps")
    assert caplog.text.count("TensorBoardLog cannot go on") == 1
    assert same_weights(tmp_path / "maps", trained_once)


TRACKING = {
    **{name: {"track_exp": name} for name, row in TRACKERS.items() if row.packages},
    "emissions": {"track_emissions": True},
}


@pytest.mark.parametrize("name", TRACKING)
def test_a_missing_package_is_refused_before_anything_is_written(
    prepared_once, config_of, tmp_path, monkeypatch, name
):
    config = config_of(prepared_once, tracking=TRACKING[name])
    for module in (watch, watch.emissions):
        monkeypatch.setattr(module, "find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match=rf"clinicadl\[{name}\]") as caught:
        train(config, tmp_path / "maps")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "maps").exists()


def test_a_missing_package_is_refused_before_a_training_goes_on(
    prepared_once, config_of, tmp_path, monkeypatch
):
    config = config_of(prepared_once, tracking={"track_exp": "wandb"})
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(watch, "find_spec", lambda package: "here")
        patched.setattr(TRACKERS["wandb"], "builds", "clinicadl.engine.watch:nobody")
        train(config, tmp_path / "maps", observers=[Fails(Evaluated, KeyboardInterrupt())])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "maps").rglob("*")}
    monkeypatch.setattr(watch, "find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match="wandb"):
        resume(tmp_path / "maps")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "maps").rglob("*")}


def test_every_tracker_says_what_it_needs():
    for name, row in TRACKERS.items():
        assert row().name == name
        assert callable(linked(row.builds))
        assert bool(row.packages) == bool(row.extra) == bool(name)


def test_a_batch_tells_its_loss_and_how_many_samples_it_has(prepared_once, config_of, tmp_path):
    """The loss of the first batch is that of the first weights, in plain PyTorch."""
    from clinicadl.engine.one_split import _training, first_network
    from clinicadl.engine.plan import plan

    config = config_of(prepared_once, network={"dropout": 0.0}, optimization={"epochs": 1})
    planned = plan(config)
    training = _training(planned, planned.splits[0], tmp_path / "maps")
    batches = [*training.loader(loop.in_order(training, 0), 0)]
    network = first_network(planned, training.purpose("weights", None), 0).train()
    expected = F.cross_entropy(network(batches[0].images), batches[0].targets).item()

    events = []
    train(config, tmp_path / "maps", observers=[events.append])
    done = [event for event in events if isinstance(event, BatchDone)]
    assert done[0].loss == pytest.approx(expected, rel=1e-4)  # channels last rounds otherwise
    assert [event.n_samples for event in done] == [len(batch.rows) for batch in batches]


def test_only_the_last_evaluation_of_an_epoch_ends_it(prepared_once, config_of, tmp_path):
    config = config_of(prepared_once, optimization={"epochs": 2, "evaluation_steps": 1})
    events = []
    train(config, tmp_path / "maps", observers=[events.append])
    told = [event for event in events if isinstance(event, Evaluated)]
    last = max(event.row.iteration for event in told)
    assert last > 1
    assert [event.ends_epoch for event in told] == [event.row.iteration == last for event in told]
