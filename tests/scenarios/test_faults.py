"""Damaged checkpoints, full disks, two processes, moved and closed MAPS: said, and nothing lost."""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path

import pytest

from clinicadl import PredictConfig, predict, resume, show_maps, train, verify
from clinicadl.engine import loop
from clinicadl.engine.events import BatchDone, Evaluated
from clinicadl.errors import CannotResumeError, OutputError
from clinicadl.layouts.maps import folder, names


class Killed(BaseException):
    pass


def killer(event):
    """Kill after the second epoch, whose checkpoint is written."""
    if isinstance(event, Evaluated) and event.row.epoch == 1:
        raise Killed


@pytest.fixture
def broken(prepared_once, config_of, tmp_path, monkeypatch):
    """A MAPS whose training was killed after two epochs of three, with a checkpoint of each."""
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    with pytest.raises(Killed):
        train(config_of(prepared_once), tmp_path / "maps", observers=[killer])
    return tmp_path / "maps"


DAMAGES = {
    "a flipped bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
}


def damage(path, how):
    path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_is_used(
    broken, trained_once, same_bits, caplog, how
):
    damage(names.checkpoint(broken, 0), how)
    epochs = []
    with caplog.at_level(logging.WARNING):
        resume(broken, observers=[epochs.append])
    (said,) = [one.getMessage() for one in caplog.records if "The one before" in one.getMessage()]
    assert str(names.checkpoint(broken, 0)) in said
    assert said.endswith("The one before it is used, of epoch 0")
    assert {one.epoch for one in epochs if isinstance(one, BatchDone)} == {1, 2}
    same_bits(broken, trained_once)


def test_a_damaged_checkpoint_never_takes_the_place_of_a_sound_one(broken, trained_once, same_bits):
    """The resumed training is killed at once, and then its new checkpoint is damaged, too."""
    damage(names.checkpoint(broken, 0), "zeros")
    with pytest.raises(Killed):
        resume(broken, observers=[killer])
    damage(names.checkpoint(broken, 0), "empty")
    resume(broken)
    same_bits(broken, trained_once)


def test_a_kill_between_the_two_renames_of_a_checkpoint_is_no_damage(
    broken, trained_once, same_bits, caplog
):
    names.checkpoint(broken, 0).unlink()
    with caplog.at_level(logging.WARNING):
        resume(broken)
    assert not [one for one in caplog.records if "checkpoint" in one.getMessage()]
    same_bits(broken, trained_once)


def test_without_a_sound_checkpoint_the_way_out_is_named_and_leads_out(
    broken, trained_once, same_bits
):
    both = [names.checkpoint(broken, 0), names.former_checkpoint(broken, 0)]
    for path in both:
        damage(path, "a flipped bit")
    with pytest.raises(CannotResumeError, match="Remove them to train this split") as refusal:
        resume(broken)
    assert refusal.value.exit_code == 75
    assert all(str(path) in str(refusal.value) for path in both)
    for path in both:
        path.unlink()
    resume(broken)
    same_bits(broken, trained_once)


def test_of_several_networks_only_the_one_whose_checkpoint_is_damaged_falls_back(
    prepared, config_of, tmp_path, monkeypatch, same_bits
):
    content = json.loads((prepared / "tensor_extraction/tiny.json").read_text())
    slices = {"mode": "slice", "slice_mode": "single", "discarded_slices": [8, 7]}
    (prepared / "tensor_extraction/slices.json").write_text(json.dumps(content | slices))
    config = config_of(prepared, data={"preprocessing_json": "slices"})
    config = config.model_copy(update={"multi_network": True})
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    train(config, tmp_path / "whole")
    with pytest.raises(Killed):
        train(config, tmp_path / "maps", observers=[killer])
    damage(names.checkpoint(tmp_path / "maps", 0, 1), "cut short")
    resume(tmp_path / "maps")
    same_bits(tmp_path / "maps", tmp_path / "whole")


@pytest.mark.parametrize("n_written", [0, 1, 2])
def test_a_disk_that_is_full_while_a_checkpoint_is_written_costs_an_epoch_at_most(
    prepared_once, config_of, trained_once, tmp_path, monkeypatch, same_bits, n_written
):
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    maps, fsync, n_checkpoints = tmp_path / "maps", os.fsync, 0

    def full(handle):
        nonlocal n_checkpoints
        if "checkpoint" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            n_checkpoints += 1
            if n_checkpoints > n_written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="Free some space") as refusal:
        train(config_of(prepared_once), maps)
    assert refusal.value.where == names.checkpoint(maps, 0)
    assert names.checkpoint(maps, 0).exists() == (n_written > 0)
    assert not [*maps.rglob(".partial-*")]
    monkeypatch.setattr(os, "fsync", fsync)
    events = []
    resume(maps, observers=[events.append])
    assert {one.epoch for one in events if isinstance(one, BatchDone)} == {*range(n_written, 3)}
    same_bits(maps, trained_once)


def looking(caps):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", gpu=False, n_proc=0
    )


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("closed", ["", "split-0/best-loss"])
def test_a_maps_that_cannot_be_written_is_refused_before_anything_is_computed(
    trained, prepared_once, monkeypatch, closed
):
    """The superuser may write everywhere: what the system says of one folder is given here."""
    access, where, before = os.access, trained / closed, files_of(trained)

    def denied(path, mode, **options):
        return not (Path(path) == where and mode & os.W_OK) and access(path, mode, **options)

    monkeypatch.setattr(os, "access", denied)
    monkeypatch.setattr("clinicadl.engine.groups.stored_of", None)
    with pytest.raises(OutputError, match="copy the MAPS and go on with the copy") as refusal:
        predict(looking(prepared_once), trained, "new")
    assert refusal.value.where == trained
    if not closed:
        monkeypatch.setattr("clinicadl.engine.train.plan", None)
        with pytest.raises(OutputError, match="The MAPS cannot be written"):
            resume(trained)
    monkeypatch.undo()
    assert files_of(trained) == before


def test_a_maps_that_cannot_be_written_is_shown_and_verified(trained, monkeypatch):
    def closed(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "replace", "touch", "write_text", "write_bytes", "unlink"):
        monkeypatch.setattr(Path, name, closed)
    assert "split 0" in show_maps(trained)
    assert verify(trained).different == ()


def test_a_maps_that_was_moved_goes_on_where_it_is(
    broken, trained_once, prepared_once, same_bits, tmp_path, invoke
):
    moved = tmp_path / "elsewhere" / "other"
    moved.parent.mkdir()
    broken.rename(moved)
    assert f"data.caps_directory {prepared_once}" in " ".join(show_maps(moved).split())
    resume(moved)
    same_bits(moved, trained_once)
    again = tmp_path / "again"
    moved.rename(again)
    predict(looking(prepared_once), again, "new")
    assert (again / "split-0/best-loss/new").is_dir()
    assert verify(again).different == ()
    assert verify(again).unchecked == ()
    for command in (("maps", "show"), ("verify",), ("train", "resume")):
        code, _, said = invoke(*command, again)
        assert (code, said) == (0, "")
    assert not broken.exists()
    assert not moved.exists()


def test_of_two_processes_that_train_one_split_the_second_refuses(
    prepared_once, config_of, trained_once, same_bits, tmp_path, clinicadl
):
    """The second one comes in the middle of an epoch of the first, in all the ways there are."""
    maps, said = tmp_path / "maps", []

    def second(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (1, 1):
            said.append(clinicadl("train", "resume", maps))
            with pytest.raises(OutputError) as refusal:
                resume(maps)
            said.append(refusal.value)

    train(config_of(prepared_once), maps, observers=[second])
    process, error = said
    assert process.returncode == error.exit_code == 73
    assert "Another process is writing to the MAPS" in process.stderr
    assert "Another process is writing to the MAPS" in str(error)
    assert "Traceback" not in process.stderr
    same_bits(maps, trained_once)
    assert not folder.is_unfinished(maps, 0)
