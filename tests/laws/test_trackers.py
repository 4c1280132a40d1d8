"""Laws of every tracker: it changes nothing, has each epoch once, and stays within the MAPS."""

from __future__ import annotations

import json
import math
import signal
import struct
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from clinicadl import resume, train
from clinicadl.config.read import to_toml
from clinicadl.config.tracking import TRACKERS
from clinicadl.engine.events import BatchDone, Evaluated
from clinicadl.layouts.maps import names


def rows_of_mlflow(maps):
    from mlflow import MlflowClient

    uri = f"sqlite:///{names.mlflow_store(maps)}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            rows = found.setdefault(run.info.run_name, [])
            for name in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, name)
                rows += [(one.step, name, one.value) for one in history]
    return found


def records(path):
    """Read the log of Weights & Biases: blocks of 32 KiB of parts of records."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    # Its own process writes behind our back; at the latest it is done when that is ended.
    wandb.teardown()
    content, position, record = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(record)
            record = b""


def rows_of_wandb(maps):
    found = {}
    for path in sorted(names.wandb_runs(maps).glob("offline-run-*/*.wandb")):
        rows = []
        for record in records(path):
            if record.WhichOneof("record_type") == "run":
                rows = found.setdefault(record.run.display_name, [])
            for item in record.history.item:
                (name,) = item.nested_key or [item.key]
                if not name.startswith("_") and name != "epoch":
                    value = float(item.value_json.strip('"'))
                    rows.append((record.history.step.num, name, value))
    return found


ROWS_OF = {"mlflow": rows_of_mlflow, "wandb": rows_of_wandb}
"""Tracker -> what reads, of a MAPS, run -> (epoch, metric, value) of each entry."""


@pytest.fixture(params=[name for name, row in TRACKERS.items() if row.packages])
def tracker(request, tmp_path, monkeypatch):
    for package in TRACKERS[request.param].packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return request.param


@pytest.fixture
def two_patches(prepared, config_of):
    """Return a function that makes an experiment of a network for each of two patches."""
    home = prepared / "tensor_extraction"
    content = json.loads((home / "tiny.json").read_text())
    content |= {"mode": "patch", "extract_json": "two.json", "patch_size": 9, "stride_size": 11}
    (home / "two.json").write_text(json.dumps(content))

    def of(tracker):
        config = config_of(
            prepared,
            data={"preprocessing_json": "two"},
            optimization={"epochs": 2, "batch_size": 5},
            validation={"split": [0, 1]},
            tracking={"track_exp": tracker},
        )
        return config.model_copy(update={"multi_network": True})

    return of


def assert_same_as_tables(tracker, maps, logs):
    """Each run has each metric of each epoch of its table, once and with its value."""
    found = ROWS_OF[tracker](maps)
    assert found.keys() == logs.keys()
    for run, place in logs.items():
        log = pd.read_csv(maps / place / "training.tsv", sep="\t")
        log = log[log["iteration"] == log["iteration"].max()].drop(columns="iteration")
        expected = log.melt("epoch", var_name="name", value_name="value").dropna()
        told = [row for row in found[run] if math.isfinite(row[2])]
        assert max(Counter(row[:2] for row in told).values()) == 1
        told = {row[:2]: row[2] for row in told if row[1] != "time"}
        expected = {
            (row.epoch, row.name): row.value
            for row in expected.itertuples(index=False)
            if math.isfinite(row.value) and row.name != "time"
        }
        assert {name for _, name in expected} >= {"loss_train", "loss_valid"}
        assert {key: told[key] for key in expected} == pytest.approx(expected)


def test_each_epoch_is_told_once_and_nothing_else_changes(
    tracker, prepared_once, config_of, trained_once, tmp_path, caplog
):
    train(config_of(prepared_once, tracking={"track_exp": tracker}), tmp_path / "maps")
    assert "left out" not in caplog.text
    assert_same_as_tables(tracker, tmp_path / "maps", {"split-0": "split-0/training_logs"})
    ours, theirs = (
        load_file(maps / "split-0/best-loss/model.safetensors")
        for maps in (tmp_path / "maps", trained_once)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)
    assert not [*(tmp_path / "elsewhere").rglob("*")]


@pytest.mark.parametrize("moment", [(Evaluated, 1), (BatchDone, 2)], ids=["after", "within"])
def test_a_resumed_run_is_the_same_run_without_double_rows(
    tracker, prepared_once, config_of, tmp_path, caplog, moment
):
    class Killed(BaseException):
        pass

    def kill(event):
        kind, epoch = moment
        if isinstance(event, kind) and getattr(event, "epoch", epoch) == epoch:
            if kind is Evaluated and event.row.epoch != epoch:
                return
            raise Killed

    maps = tmp_path / "maps"
    config = config_of(prepared_once, tracking={"track_exp": tracker})
    with pytest.raises(Killed):
        train(config, maps, observers=[kill])
    identity = names.tracked_run(maps, 0, tracker).read_bytes()
    resume(maps)
    assert names.tracked_run(maps, 0, tracker).read_bytes() == identity
    assert "left out" not in caplog.text
    assert_same_as_tables(tracker, maps, {"split-0": "split-0/training_logs"})


def test_each_network_of_each_split_is_a_run(tracker, two_patches, tmp_path, caplog):
    maps = tmp_path / "maps"
    train(two_patches(tracker), maps)
    assert "left out" not in caplog.text
    logs = {
        f"split-{split}_network-{network}": f"split-{split}/training_logs/network-{network}"
        for split in (0, 1)
        for network in (0, 1)
    }
    assert_same_as_tables(tracker, maps, logs)


def test_no_participant_and_no_path_is_told(
    tracker, prepared_once, config_of, trained_once, tmp_path
):
    maps = tmp_path / "maps"
    config = config_of(
        prepared_once, tracking={"track_exp": tracker}, optimization={"evaluation_steps": 1}
    )
    train(config, maps)
    ROWS_OF[tracker](maps)  # waits until all is written
    folder = {"mlflow": "mlruns", "wandb": "wandb"}[tracker]
    told = b"".join(
        path.read_bytes()
        for path in (maps / folder).rglob("*")
        if path.is_file() and path.suffix not in (".log", ".safetensors")
    )
    assert b"Conv4_FC3" in told
    assert b"sub-T0" not in told
    assert str(prepared_once).encode() not in told


KILLED = """
import os, signal, sys
from pathlib import Path
from clinicadl import read_experiment, train
from clinicadl.engine.events import Evaluated

def kill(event):
    if isinstance(event, Evaluated) and event.row.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

train(read_experiment({}, file=Path(sys.argv[1])), Path(sys.argv[2]), observers=[kill])
"""


def test_what_was_told_before_a_kill_9_is_told_once(
    tracker, prepared_once, config_of, tmp_path, caplog
):
    maps, file = tmp_path / "maps", tmp_path / "experiment.toml"
    file.write_text(to_toml(config_of(prepared_once, tracking={"track_exp": tracker})))
    said = subprocess.run(
        [sys.executable, "-c", KILLED, file, maps], capture_output=True, text=True, check=False
    )
    assert said.returncode == -signal.SIGKILL, said.stderr
    assert "left out" not in said.stderr
    resume(maps)
    assert "left out" not in caplog.text
    assert_same_as_tables(tracker, maps, {"split-0": "split-0/training_logs"})
