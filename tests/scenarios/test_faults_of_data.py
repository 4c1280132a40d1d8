"""Readers that are killed, and tensors that change while they are in use: said, and resumed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from clinicadl import resume, train
from clinicadl.engine import loop
from clinicadl.engine.events import BatchDone, SplitStarted
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import images


@pytest.fixture
def checkpoints(monkeypatch):
    """After each epoch."""
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)


@pytest.fixture
def tensor(prepared) -> Path:
    """A tensor that is read in every epoch of training."""
    table = pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t")
    who = table["participant_id"].iloc[-1]
    (found,) = prepared.glob(f"subjects/{who}/ses-M000/deeplearning_prepare_data/**/*.pt")
    return found


def epochs_of(events):
    return {one.epoch for one in events if isinstance(one, BatchDone)}


@pytest.mark.parametrize("which", [0, 1])
def test_a_reader_that_is_killed_inside_an_epoch_ends_the_training_with_one_sentence(
    prepared_once, config_of, tmp_path, same_bits, which
):
    """In a process of its own: torch raises it wherever that happens to be."""
    maps, n_epochs = tmp_path / "maps", 15
    command = [
        sys.executable, "-m", "clinicadl", "train", "classification", str(prepared_once), "tiny",
        str(prepared_once / "split/2_fold"), str(maps), "--n_splits", "2", "--split", "0", "-a",
        "Conv4_FC3", "--dropout", "0.3", "--epochs", str(n_epochs), "--batch_size", "4", "-lr",
        "1e-3", "-sm", "loss", "BA", "-np", "2", "--no-gpu",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as training:
        assert any("epoch 1 " in line for line in training.stderr)
        children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[which]), signal.SIGKILL)
        said = training.stderr.read()
    assert training.returncode == 1, said
    assert said.count("clinicadl: ") == 1
    assert "process that reads samples was killed" in said.splitlines()[-2]
    assert "--n_proc" in said.splitlines()[-2]
    assert "Traceback" not in said
    assert not [one for one in children if Path(f"/proc/{one}").exists()]
    events = []
    resume(maps, observers=[events.append])
    assert min(epochs_of(events)) >= 1
    train(config_of(prepared_once, optimization={"epochs": n_epochs}), tmp_path / "whole")
    same_bits(maps, tmp_path / "whole")


CHANGES = {
    "cut short": (lambda path, _: os.truncate(path, path.stat().st_size // 2), InvalidDataError),
    "emptied": (lambda path, _: os.truncate(path, 0), InvalidDataError),
    "replaced": (lambda path, kept: shutil.copy(other(path), kept) and kept.replace(path),
                 InvalidDataError),
    "written over": (lambda path, _: path.write_bytes(other(path).read_bytes()), InvalidDataError),
    "gone": (lambda path, _: path.unlink(), MissingInputError),
}  # fmt: skip


def other(path: Path) -> Path:
    """Return the tensor of somebody else, of the same size."""
    everybody = sorted(path.parents[5].glob("*/ses-M000/deeplearning_prepare_data/**/*.pt"))
    return next(one for one in everybody if one != path)


@pytest.mark.parametrize("n_proc", [0, 2])
@pytest.mark.parametrize("name", CHANGES)
def test_a_tensor_that_changes_between_two_epochs_is_named_and_put_back(
    prepared, tensor, config_of, trained_once, tmp_path, checkpoints, same_bits, name, n_proc
):
    change, kind = CHANGES[name]
    kept, now = Path(shutil.copy2(tensor, tmp_path / "kept.pt")), []

    def spoil(event):
        if isinstance(event, BatchDone) and not now and event.epoch == 1:
            now.append(event)
            change(tensor, tmp_path / "new.pt")

    with pytest.raises(kind) as refusal:
        train(config_of(prepared, compute={"n_proc": n_proc}), tmp_path / "maps", observers=[spoil])
    assert refusal.value.where == tensor
    assert now
    shutil.copy2(kept, tensor)
    events = []
    resume(tmp_path / "maps", observers=[events.append])
    (start,) = [one for one in events if isinstance(one, SplitStarted)]
    assert start.first_epoch >= 1
    same_bits(tmp_path / "maps", trained_once)


def test_an_image_that_changes_between_two_epochs_is_found_by_resume(
    prepared, tensor, config_of, trained_once, tmp_path, checkpoints, same_bits
):
    """The tensor is what is read, so that the epochs go on; a resume looks at the images again."""

    class Killed(BaseException):
        pass

    session = tensor.parents[3]
    (image,) = session.glob("custom/*.nii.gz")
    kept = Path(shutil.copy2(image, tmp_path / "kept.nii.gz"))

    def spoil(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (1, 0):
            old = images.read(image)
            images.write(image, old.voxels + 1, affine=old.affine)
        if isinstance(event, BatchDone) and event.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(config_of(prepared), tmp_path / "maps", observers=[spoil])
    with pytest.raises(InvalidDataError, match=session.parent.name):
        resume(tmp_path / "maps")
    shutil.copy2(kept, image)
    events = []
    resume(tmp_path / "maps", observers=[events.append])
    assert epochs_of(events) == {2}
    same_bits(tmp_path / "maps", trained_once)
