"""Weights of releases 1.x: what they hold comes out, what could run does not run."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError
from clinicadl.networks import restricted, weights


class Evil:
    """Runs a command when somebody unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def content(**changes):
    state = OrderedDict(
        {
            "fc.weight": torch.arange(600.0).reshape(20, 30),
            "bn.num_batches_tracked": torch.tensor(3),
        }
    )
    return {"model": state, "epoch": 4, "name": "Conv5_FC3", **changes}


def saved(folder, what, **how):
    path = folder / "model.pth.tar"
    torch.save(what, path, **how)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_come_out_as_they_were_saved(tmp_path, zipped):
    path = saved(tmp_path, content(), _use_new_zipfile_serialization=zipped)
    found = weights.read_published(path)
    assert (found.epoch, found.name) == (4, "Conv5_FC3")
    assert list(found.state) == ["fc.weight", "bn.num_batches_tracked"]
    assert all(
        torch.equal(found.state[name], tensor) for name, tensor in content()["model"].items()
    )


def test_weights_of_a_gpu_are_read_without_one(tmp_path):
    path = saved(tmp_path, content())
    moved = tmp_path / "moved.pth.tar"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(moved, "w") as new:
        for name in old.namelist():
            cpu, cuda = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
            text = old.read(name)
            assert name != "model.pth/data.pkl" or cpu in text
            new.writestr(name, text.replace(cpu, cuda) if name.endswith(".pkl") else text)
    found = weights.read_published(moved)
    assert found.state["fc.weight"].device.type == "cpu"
    assert torch.equal(found.state["fc.weight"], content()["model"]["fc.weight"])


@pytest.mark.parametrize("where", ["name", "epoch", "model", "extra"])
def test_what_could_run_is_refused_and_does_not_run(tmp_path, where):
    path = saved(tmp_path, content(**{where: Evil(tmp_path / "ran")}))
    with pytest.raises(InvalidDataError, match="asks to run code.*system"):
        weights.read_published(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_does_not_run_either(tmp_path, protocol):
    path = tmp_path / "model.pth.tar"
    path.write_bytes(pickle.dumps(content(name=Evil(tmp_path / "ran")), protocol))
    with pytest.raises(InvalidDataError, match=r"model\.pth\.tar"):
        weights.read_published(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "what",
    [
        {"epoch": 1, "name": "x"}, {"model": {}, "name": "x"}, {"model": {}, "epoch": 1},
        content(epoch="4"), content(name=3), content(model=[]), [1, 2], torch.zeros(3),
        content(model={"fc": 3}), content(model={3: torch.zeros(2)}),
        content(model={"fc": torch.zeros(2, 2).to_sparse()}),
        content(model={"fc": torch.zeros(2, dtype=torch.complex64)}),
    ],
    ids=str,
)  # fmt: skip
def test_something_else_than_weights_is_refused(tmp_path, what):
    with pytest.raises(InvalidDataError, match=r"model\.pth\.tar"):
        weights.read_published(saved(tmp_path, what))


def test_a_flipped_bit_is_found(tmp_path):
    path = saved(tmp_path, content())
    found = bytearray(path.read_bytes())
    found[found.index(torch.arange(600.0).numpy().tobytes()) + 99] ^= 1
    path.write_bytes(found)
    with pytest.raises(InvalidDataError, match="checksum"):
        weights.read_published(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.pth\.tar"):
        weights.read_published(tmp_path / "none.pth.tar")
    with pytest.raises(InvalidDataError, match="none.pt"):
        restricted.load(tmp_path / "none.pt", "tensor", fix="Again")


@settings(max_examples=60)
@given(
    zipped=st.booleans(), cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
)  # fmt: skip
def test_a_damaged_file_is_refused_or_whole_but_never_a_crash(
    tmp_path_factory, zipped, cut, damage
):
    path = saved(
        tmp_path_factory.mktemp("damaged"), content(), _use_new_zipfile_serialization=zipped
    )
    found = bytearray(path.read_bytes())[: 1 + int(cut * path.stat().st_size)]
    for place, value in damage:
        found[int(place * len(found))] = value
    path.write_bytes(found)
    try:
        state = weights.read_published(path).state
    except ClinicaDLError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
