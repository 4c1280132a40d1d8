"""Logs: TensorBoard shows what the table says, also after a resume."""

from __future__ import annotations

import struct
from pathlib import Path

import pandas as pd
import pytest
from tensorboardX.proto.event_pb2 import Event

from clinicadl import resume, train
from clinicadl.engine.events import Evaluated


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Read TensorBoard's own record format: length, crc, payload, crc."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.iterdir()):
        content, position = path.read_bytes(), 0
        while position < len(content):
            (length,) = struct.unpack_from("<Q", content, position)
            event = Event.FromString(content[position + 12 : position + 12 + length])
            position += 16 + length
            if event.HasField("session_log"):  # what was written for later steps is void
                for values in found.values():
                    for step in [step for step in values if step >= event.step]:
                        del values[step]
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def assert_same_as_table(maps: Path) -> None:
    log = pd.read_csv(maps / "split-0/training_logs/training.tsv", sep="\t")
    for part, end in (("train", "train"), ("validation", "valid")):
        found = scalars(maps / "split-0/training_logs/tensorboard" / part)
        steps = (log["epoch"] * log["iteration"].max() + log["iteration"]).tolist()
        for name in ("loss", "BA", "MCC"):
            assert list(found[name]) == steps
            assert list(found[name].values()) == pytest.approx(log[f"{name}_{end}"].tolist())


def test_tensorboard_shows_what_the_table_says(trained_once):
    assert_same_as_table(trained_once)


def test_a_resumed_run_shows_every_step_once(prepared_once, config_of, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Evaluated) and event.row.epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        train(config_of(prepared_once), tmp_path / "maps", observers=[kill])
    resume(tmp_path / "maps")
    assert_same_as_table(tmp_path / "maps")
