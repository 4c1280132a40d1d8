"""Ctrl-C at any moment: exit code 130, one line, nothing half-written, and a way to go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clinicadl import PrepareConfig, prepare_data, resume

SUFFIX = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}


def interrupted(command: list[str], folder: Path, line: str) -> tuple[int, str]:
    """Send Ctrl-C, as a terminal does, to all processes of a command once it says a line."""
    with subprocess.Popen(
        [sys.executable, "-m", "clinicadl", *command],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as running:  # fmt: skip
        said = ""
        for text in running.stderr:
            said += text
            if line in text:
                os.killpg(running.pid, signal.SIGINT)
                break
        said += running.stderr.read()
    return running.returncode, said


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".partial-*") if path.exists()]


@pytest.mark.parametrize("n_proc", ["0", "2"])
def test_an_interrupted_training_goes_on_to_the_same_bits(
    prepared_once, trained_once, tmp_path, n_proc
):
    maps = tmp_path / "maps"
    command = [
        "train", "classification", str(prepared_once), "tiny", str(prepared_once / "split/2_fold"),
        str(maps), "--n_splits", "2", "--split", "0", "-a", "Conv4_FC3", "--dropout", "0.3",
        "--epochs", "3", "--batch_size", "4", "-lr", "1e-3", "-sm", "loss", "BA", "-np", n_proc,
        "--no-gpu",
    ]  # fmt: skip
    code, said = interrupted(command, tmp_path, "epoch 0")
    assert code == 130, said
    assert said.count("clinicadl: interrupted") == 1
    assert "Traceback" not in said
    assert leftovers(tmp_path) == []
    resume(maps)
    one, other = (
        (folder / "split-0/best-loss/model.safetensors").read_bytes()
        for folder in (maps, trained_once)
    )
    assert one == other


@pytest.mark.parametrize("n_proc", ["1", "2"])
def test_an_interrupted_preparation_goes_on_where_it_stopped(
    prepared, prepared_once, tmp_path, n_proc
):
    for tensors in prepared.glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(tensors)
    (prepared / "tensor_extraction/tiny.json").unlink()
    command = ["prepare-data", "image", str(prepared), "custom", "-ej", "tiny", "-np", n_proc,
               "--custom_suffix", "desc-Tiny_T1w.nii.gz"]  # fmt: skip
    code, said = interrupted(command, tmp_path, "prepare-data: 2/")
    assert code == 130, said
    assert "Traceback" not in said
    assert leftovers(prepared) == []
    assert not (prepared / "tensor_extraction/tiny.json").exists()
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=SUFFIX, extract_json="tiny", n_proc=1)
    )
    for tensor in prepared_once.rglob("*.pt"):
        assert (prepared / tensor.relative_to(prepared_once)).read_bytes() == tensor.read_bytes()


def test_an_interrupted_evaluation_leaves_whole_results_or_none(
    prepared_once, trained, monkeypatch, invoke
):
    """Ctrl-C falls between the first model and the second."""
    from clinicadl.layouts.maps import outcomes

    write = outcomes.write_results

    def once(*arguments):
        if outcomes.has_results(trained, 0, "BA", "test"):
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(outcomes, "write_results", once)
    table = prepared_once / "split/test_baseline.tsv"
    command = ["predict", trained, "test", "--caps_directory", prepared_once, "--participants_tsv",
               table, "-np", 0, "--no-gpu"]  # fmt: skip
    code, _, said = invoke(*command)
    assert code == 130
    assert said.count("clinicadl: interrupted") == 1
    assert leftovers(trained) == []
    assert (trained / "ledger.tsv").read_text().count("\n") == 2
    monkeypatch.undo()
    code, _, _ = invoke("predict", trained, "test", "-sm", "loss", "-np", 0, "--no-gpu")
    assert code == 0


@pytest.mark.parametrize(
    "command",
    [
        "tsvtools split caps/labels.tsv --n_test 6 --ignore_demographics",
        "tsvtools kfold caps/labels.tsv --n_splits 2",
        "generate trivial caps out --preprocessing custom --custom_suffix desc-Tiny_T1w.nii.gz "
        "--n_subjects 3 -np 1",
        "generate shepplogan out --n_subjects 3 -np 1",
    ],
)
def test_ctrl_c_while_something_is_written_leaves_nothing(
    command, prepared, tmp_path, monkeypatch, invoke
):
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    replace, count = Path.replace, 0

    def interrupting(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupting)
    code, _, said = invoke(*command.split())
    assert code == 130, said
    assert said.count("clinicadl: interrupted") == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before
