"""Splits as jobs, and a training that is killed and goes on to the same bits."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from matplotlib import pyplot as plt
from steps import BLUE, GREY, ORANGE, ROOT, STYLE, occupied, run, save, table

from clinicadl.layouts.maps import names

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
N_SPLITS = 2
PATIENCE = 600
"""Seconds after which a training that does not get on is given up."""


def prepare(caps: Path, *, n_participants: int) -> None:
    """Make brains, prepare them in two shards, and divide the people."""
    run(f"python examples/demo/make_caps.py {caps} --n-participants {n_participants} --seed 51")
    run(f"clinicadl tsvtools kfold {caps}/labels.tsv --n_splits {N_SPLITS}")
    for shard in (1, 2):
        run(
            f"clinicadl prepare-data roi {caps} custom --custom_suffix {SUFFIX} -ej regions "
            "--roi_list leftHippocampus rightHippocampus --roi_custom_template MNI152 "
            f"--shard {shard}/2"
        )


def training(caps: Path, maps: Path, *, epochs: int) -> str:
    """Return the command of the training."""
    return (
        f"clinicadl train classification {caps} regions {caps}/{N_SPLITS}_fold {maps} "
        f"--n_splits {N_SPLITS} --architecture Conv4_FC3 --epochs {epochs} --learning_rate 3e-4"
    )


def killed(command: str, maps: Path, *, epoch: int) -> int:
    """Start a command, end it without warning once it has logged an epoch, and return its code."""
    print(f"$ {command} &", flush=True)
    words = command.split()
    # The bits depend on the number of threads: as many as the training beside it has.
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-m", *words], env=threads,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log, until = names.training_log(maps, 0), time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if log.is_file() and table(log)["epoch"].max() >= epoch:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    print(f"$ kill -9 {process.pid}", flush=True)
    return process.wait()


def same_bits(one: Path, other: Path) -> int:
    """Return how many files of both trainings were compared, all of them the same.

    Raises
    ------
    AssertionError
        A file differs.
    """
    files = sorted(path.relative_to(one) for path in one.glob("split-*/best-loss/**/*.tsv"))
    files += sorted(path.relative_to(one) for path in one.glob("split-*/best-loss/*.safetensors"))
    for name in files:
        if (one / name).read_bytes() != (other / name).read_bytes():
            raise AssertionError(f"{name} is not the same")
    return len(files)


def draw(whole: Path, broken: Path, begun: pd.DataFrame, path: Path) -> None:
    """Draw the curves of both trainings: one that was left alone, one that was killed."""
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, N_SPLITS, figsize=(9.5, 3.2), sharey=True,
                                      layout="constrained")  # fmt: skip
        for i, ax in enumerate(panels):
            one, other = (table(names.training_log(maps, i)) for maps in (whole, broken))
            last = begun["epoch"].max() if i == 0 else -1
            before, after = other[other["epoch"] <= last], other[other["epoch"] >= last]
            ax.plot(one["epoch"], one["loss_valid"], color=GREY, lw=7, alpha=0.4,
                    label="left alone")  # fmt: skip
            if len(before):
                ax.plot(before["epoch"], before["loss_valid"], color=BLUE, lw=2, label="begun")
                ax.plot(last, before["loss_valid"].iloc[-1], "X", color=BLUE, ms=11,
                        label="kill -9")  # fmt: skip
            ax.plot(after["epoch"], after["loss_valid"], color=ORANGE, lw=2,
                    label="resumed, as a job")  # fmt: skip
            ax.set(title=f"split {i}", xlabel="epoch")
        panels[0].set_ylabel("validation loss")
        panels[0].legend()
        save(figure, path)


def main() -> int:
    """Run every command, compare the bits and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "cluster", help="where to work")
    parser.add_argument("--n-participants", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--killed-after", type=int, default=6, help="epoch; default: %(default)s")
    parser.add_argument("--picture", type=Path, help="PNG (default: cluster.png in the folder)")
    given = parser.parse_args()
    if occupied(given.folder):
        return 73
    caps, whole, broken = (given.folder / name for name in ("caps", "whole", "broken"))
    prepare(caps, n_participants=given.n_participants)
    run(f"{training(caps, whole, epochs=given.epochs)} --submit local")
    code = killed(training(caps, broken, epochs=given.epochs), broken, epoch=given.killed_after)
    if code != -signal.SIGKILL:
        raise AssertionError(f"the training ended by itself, with exit code {code}")
    begun = table(names.training_log(broken, 0))
    run(f"clinicadl train resume {broken} --submit local")
    n_files = same_bits(whole, broken)
    print(f"\nkilled after epoch {begun['epoch'].max()}; {n_files} files, the same to the last bit")
    draw(whole, broken, begun, given.picture or given.folder / "cluster.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
