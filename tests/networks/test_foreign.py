"""Weights of other programs: read whole, never run."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.networks import foreign

STATE = {
    "conv1.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "bn1.num_batches_tracked": torch.tensor(7),
}


def old_form(path):
    torch.save(STATE, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save(STATE, path),
        old_form,
        lambda path: safetensors.torch.save_file(STATE, path),
    ],
    ids=["zip", "pickle", "safetensors"],
)
def test_every_form_is_read_whatever_the_name_of_the_file(tmp_path, write):
    write(tmp_path / "weights.any")
    back = foreign.read(tmp_path / "weights.any")
    assert back.keys() == STATE.keys()
    assert all(torch.equal(back[name], STATE[name]) for name in STATE)


def test_parameters_are_read_as_tensors_that_can_be_copied(tmp_path):
    torch.save({"fc": torch.nn.Parameter(torch.ones(2))}, tmp_path / "w.pth")
    assert torch.equal(foreign.read(tmp_path / "w.pth")["fc"].detach(), torch.ones(2))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, is_zip):
    path = tmp_path / "bomb.pth"
    content = {**STATE, "x": Bomb(tmp_path / "exploded")}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(InvalidDataError, match=r"asks to run code in .*bomb\.pth"):
        foreign.read(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "content", [[1, 2], torch.ones(2), {"a": 1}, {1: torch.ones(2)}, {"state_dict": STATE}], ids=str
)
def test_a_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InvalidDataError, match=r"something else than named weights in .*x\.pth"):
        foreign.read(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"text that is no weights", pickle.dumps(print)], ids=str)
def test_a_file_that_is_none_of_weights_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"x\.pth"):
        foreign.read(tmp_path / "x.pth")


@pytest.mark.parametrize("form", ["zip", "safetensors"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, form):
    path = tmp_path / "x"
    save = torch.save if form == "zip" else safetensors.torch.save_file
    save(STATE, path)
    content = path.read_bytes()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(InvalidDataError):
            foreign.read(path)


def test_an_absent_file_and_a_folder_are_missing_input(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MissingInputError, match="cannot be read") as caught:
            foreign.read(path)
        assert caught.value.exit_code == 66
