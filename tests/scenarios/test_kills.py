"""Twenty kills at random moments change no bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from clinicadl import verify

N_KILLS = 20


def test_twenty_kills_at_random_moments_change_no_bit(prepared_once, tmp_path, same_bits):
    flags = [
        "train", "classification", str(prepared_once), "tiny", str(prepared_once / "split/2_fold"),
        "--n_splits", "2", "--split", "0", "-a", "Conv4_FC3", "--dropout", "0.3", "--epochs", "3",
        "--batch_size", "4", "-lr", "1e-3", "-sm", "loss", "BA", "-np", "0", "--no-gpu",
    ]  # fmt: skip
    driver = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(driver), json.dumps([flags, str(tmp_path), N_KILLS])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    assert sum(one["killed"] for one in tried) == N_KILLS
    # Inside epochs, while a checkpoint is written, and between it and the results.
    fell = Counter(one["phase"] for one in tried if one["killed"])
    assert fell.keys() >= {"epoch", "best model", "checkpoint", "results"}, fell
    whole = {one["maps"] for one in tried if not one["killed"]}
    for maps in ("counted", *whole):
        same_bits(tmp_path / maps, tmp_path / "whole")
        assert verify(tmp_path / maps).different == ()
        assert not [*(tmp_path / maps).rglob(".partial-*")]
        assert not (tmp_path / maps / "split-0/tmp").exists()
