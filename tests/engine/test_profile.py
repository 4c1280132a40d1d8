"""Where the time of the first batches goes, and that looking changes no bit."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from clinicadl import train
from clinicadl.engine import profile
from clinicadl.layouts.maps import names


def test_a_profiled_training_is_the_same_and_leaves_a_trace_and_a_table(
    prepared_once, config_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(profile, "N_RECORDED", 5)
    train(config_of(prepared_once), tmp_path / "plain")
    train(config_of(prepared_once, compute={"profiler": True}), tmp_path / "profiled")
    one, other = (load_file(names.weights(tmp_path / name, 0, "loss"))
                  for name in ("plain", "profiled"))  # fmt: skip
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert not (tmp_path / "plain/profiler").exists()
    (folder,) = (tmp_path / "profiled/profiler").glob("clinicadl_*/split-0")
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    named = {event.get("name") for event in events}
    assert {*profile.PHASES} <= named
    assert any("conv" in str(name) for name in named)
    table = pd.read_csv(folder / "steps.tsv", sep="\t")
    assert [*table.columns] == ["epoch", "batch", "total", *profile.PHASES]
    assert len(table) == 5
    assert table["total"].is_monotonic_decreasing
    assert table["total"].tolist() == pytest.approx(
        table[[*profile.PHASES]].sum(axis=1).tolist(), abs=1e-5
    )
    assert (table[["loading", "forward", "backward", "step"]] > 0).all(axis=None)
    # The first four batches do not count.
    seen = sorted(zip(table["epoch"], table["batch"], strict=True))
    log = pd.read_csv(names.training_log(tmp_path / "plain", 0), sep="\t")
    per_epoch = int(log["iteration"][0])
    assert seen == [divmod(n, per_epoch) for n in range(4, 9)]


def test_the_ten_costliest_of_thirty_are_shown(tmp_path):
    found = profile.Profile(tmp_path / "profile", on_gpu=False)
    for number in range(40):
        with found.phase("forward"):
            torch.ones(10).sum()
        found.batch_done(0, number)
    found.close()
    table = pd.read_csv(tmp_path / "profile/steps.tsv", sep="\t")
    assert len(table) == 10
    assert table["batch"].between(4, 33).all()


def test_too_few_batches_leave_nothing_behind(tmp_path):
    found = profile.Profile(tmp_path / "profile", on_gpu=False)
    for number in range(4):
        found.batch_done(0, number)
    found.close()
    found.close()
    assert not (tmp_path / "profile").exists()
