"""The same seed gives the same bits: any number of workers, after a kill, from CLI and API."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clinicadl import resume, train


@pytest.mark.parametrize("n_proc", [0, 1, 2, 4])
def test_workers_change_nothing(
    prepared_once, trained_once, config_of, tmp_path, n_proc, same_bits
):
    train(config_of(prepared_once, compute={"n_proc": n_proc}), tmp_path / "maps")
    same_bits(tmp_path / "maps", trained_once)


def test_the_memory_setting_changes_nothing(
    prepared_once, trained_once, config_of, tmp_path, same_bits
):
    train(config_of(prepared_once, compute={"memory": "lean"}), tmp_path / "maps")
    same_bits(tmp_path / "maps", trained_once)


def test_another_seed_changes_weights_and_order(
    prepared_once, trained_once, config_of, tmp_path, bits_of
):
    train(config_of(prepared_once, reproducibility={"seed": 1}), tmp_path / "maps")
    ours, theirs = bits_of(tmp_path / "maps"), bits_of(trained_once)
    assert sorted(ours) == sorted(theirs)
    weights = [name for name in ours if name.endswith(".safetensors")]
    assert all(ours[name] != theirs[name] for name in weights)


def flags(caps: Path, maps: Path) -> list[str]:
    return [
        "train", "classification", str(caps), "tiny", str(caps / "split" / "2_fold"), str(maps),
        "--n_splits", "2", "--split", "0", "-a", "Conv4_FC3", "--dropout", "0.3", "--epochs", "3",
        "--batch_size", "4", "-lr", "1e-3", "-sm", "loss", "BA", "-np", "0", "--no-gpu",
    ]  # fmt: skip


def one_thread() -> dict[str, str]:
    import os

    # The fixtures train on one thread; sums over several threads end in other last bits.
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_the_command_line_and_the_function_do_the_same(
    prepared_once, trained_once, tmp_path, same_bits
):
    command = [sys.executable, "-m", "clinicadl", *flags(prepared_once, tmp_path / "maps")]
    subprocess.run(command, check=True, capture_output=True, env=one_thread())
    same_bits(tmp_path / "maps", trained_once)


@pytest.mark.parametrize(
    ("line", "n_proc"), [("epoch 0", 0), ("epoch 1", 0), ("epoch 1", 2), ("epoch 2", 0)]
)
def test_a_killed_training_goes_on_to_the_same_bits(
    prepared_once, trained_once, tmp_path, line, n_proc, same_bits
):
    maps = tmp_path / "maps"
    command = [sys.executable, "-m", "clinicadl", *flags(prepared_once, maps), "-np", str(n_proc)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=one_thread()) as training:
        # The line is said after the checkpoint: the kill falls into whatever comes next.
        assert any(line in said for said in training.stderr)
        training.send_signal(signal.SIGKILL)
    assert training.returncode == -signal.SIGKILL
    resume(maps)
    same_bits(maps, trained_once)


@pytest.mark.parametrize(("share", "again"), [(1e9, {2}), (1e-9, {1, 2})])
def test_a_kill_costs_what_was_trained_since_the_checkpoint(
    prepared_once, trained_once, config_of, tmp_path, monkeypatch, share, again, same_bits
):
    from clinicadl.engine import loop
    from clinicadl.engine.events import BatchDone, Evaluated

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Evaluated) and event.row.epoch == 1:
            raise Killed

    # Checkpoints after every epoch, and after the first and the last alone: the best models of the
    # second epoch are then newer than the checkpoint.
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", share)
    with pytest.raises(Killed):
        train(config_of(prepared_once), tmp_path / "maps", observers=[kill])
    events = []
    resume(tmp_path / "maps", observers=[events.append])
    same_bits(tmp_path / "maps", trained_once)
    assert {event.epoch for event in events if isinstance(event, BatchDone)} == again


def test_a_kill_inside_an_epoch_costs_that_epoch_alone(
    prepared_once, trained_once, config_of, tmp_path, same_bits
):
    from clinicadl.engine.events import BatchDone

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (1, 1):
            raise Killed

    with pytest.raises(Killed):
        train(config_of(prepared_once), tmp_path / "maps", observers=[kill])
    events = []
    resume(tmp_path / "maps", observers=[events.append])
    same_bits(tmp_path / "maps", trained_once)
    assert {event.epoch for event in events if isinstance(event, BatchDone)} == {1, 2}


def test_a_kill_before_the_results_redoes_the_results_alone(
    prepared_once, trained_once, config_of, tmp_path, same_bits
):
    from clinicadl.engine.events import BatchDone, Evaluated

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Evaluated) and event.row.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(config_of(prepared_once), tmp_path / "maps", observers=[kill])
    events = []
    resume(tmp_path / "maps", observers=[events.append])
    same_bits(tmp_path / "maps", trained_once)
    assert not [event for event in events if isinstance(event, BatchDone)]


def test_a_finished_training_has_nothing_to_resume(trained, trained_once, same_bits):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    resume(trained)
    changed = [path for path in before if path.stat().st_mtime_ns != before[path]]
    assert [path.name for path in changed if path.name != ".lock"] == []
    same_bits(trained, trained_once)


AUGMENTED = {"augmentation": [{"name": "Noise"}, {"name": "Flip", "p": 0.5}, {"name": "Gamma"}]}


def test_augmentation_follows_the_epoch_and_the_sample_and_nothing_else(
    prepared_once, trained_once, config_of, tmp_path, same_bits, bits_of
):
    """Workers, a kill and a resume change no draw; the training is another than without."""
    from clinicadl.engine.events import BatchDone

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (1, 1):
            raise Killed

    for n_proc in (0, 2):
        config = config_of(prepared_once, transforms=AUGMENTED, compute={"n_proc": n_proc})
        train(config, tmp_path / f"maps-{n_proc}")
    with pytest.raises(Killed):
        train(config, tmp_path / "killed", observers=[kill])
    resume(tmp_path / "killed")
    same_bits(tmp_path / "maps-0", tmp_path / "maps-2")
    same_bits(tmp_path / "maps-0", tmp_path / "killed")
    ours, theirs = bits_of(tmp_path / "maps-0"), bits_of(trained_once)
    assert all(ours[name] != theirs[name] for name in ours if name.endswith(".safetensors"))
