"""Weights on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.networks import weights

FACTS = {"network": {"name": "Conv5_FC3", "dropout": 0.1}, "epoch": 3, "text": "é", "none": None}
STATE = {
    "fc.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "fc.bias": torch.tensor([1.5, float("nan"), float("-inf")], dtype=torch.float64),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False, True]),
    "half": torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16),
    "empty": torch.zeros(0, 5),
    "random": torch.arange(11, dtype=torch.uint8),
}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "made" / "model.safetensors"
    weights.write(path, STATE, FACTS)
    return path


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bits, type and shape."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.reshape(-1).view(torch.uint8).tolist()
        == other.reshape(-1).view(torch.uint8).tolist()
    )


def test_tensors_and_facts_come_back_to_the_bit(stored):
    back = weights.read(stored)
    assert back.facts == FACTS
    assert back.state.keys() == STATE.keys()
    assert all(same(back.state[name], STATE[name]) for name in STATE)


def test_the_reader_of_safetensors_reads_them_too(stored):
    back = safetensors.torch.load_file(stored)
    assert back.keys() == STATE.keys()
    assert all(same(back[name], STATE[name]) for name in STATE)


def test_any_memory_layout_is_stored_in_plain_order(tmp_path):
    kernel = torch.rand(4, 3, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d)
    slice_ = torch.rand(6, 6)[1:4, ::2]
    weights.write(tmp_path / "w", {"kernel": kernel, "slice": slice_, "turned": slice_.T}, {})
    back = weights.read(tmp_path / "w").state
    assert torch.equal(back["kernel"], kernel)
    assert back["kernel"].is_contiguous()
    assert torch.equal(back["slice"], slice_)
    assert torch.equal(back["turned"], slice_.T)


def test_weights_that_need_a_gradient_or_are_shared_are_stored(tmp_path):
    shared = torch.nn.Parameter(torch.rand(3))
    weights.write(tmp_path / "w", {"one": shared, "two": shared}, {})
    assert torch.equal(weights.read(tmp_path / "w").state["two"], shared)


def test_what_is_read_can_be_changed_without_changing_the_file(stored):
    weights.read(stored).state["fc.weight"].zero_()
    assert same(weights.read(stored).state["fc.weight"], STATE["fc.weight"])


def test_facts_keep_numbers_that_are_not_finite(tmp_path):
    weights.write(tmp_path / "w", {}, {"best": float("inf")})
    assert weights.read(tmp_path / "w").facts == {"best": float("inf")}


def test_the_same_weights_are_the_same_bytes(stored, tmp_path):
    weights.write(tmp_path / "again", dict(reversed(STATE.items())), FACTS)
    assert (tmp_path / "again").read_bytes() == stored.read_bytes()


def test_tensors_lie_where_their_type_may_begin(stored):
    content = stored.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0
    for name, tensor in STATE.items():
        assert header[name]["data_offsets"][0] % tensor.element_size() == 0


def test_any_flipped_bit_is_noticed(stored):
    content = stored.read_bytes()
    for place in np.random.default_rng(0).integers(8 * len(content), size=300):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        stored.write_bytes(bytes(damaged))
        with pytest.raises(InvalidDataError):
            weights.read(stored)


@pytest.mark.parametrize("length", [0, 5, 8, 60, -1])
def test_a_truncated_file_is_refused(stored, length):
    stored.write_bytes(stored.read_bytes()[:length])
    with pytest.raises(InvalidDataError, match=r"damaged.*model\.safetensors") as caught:
        weights.read(stored)
    assert caught.value.exit_code == 65


def test_a_foreign_file_is_refused(tmp_path):
    safetensors.torch.save_file({"fc": torch.zeros(2)}, tmp_path / "theirs.safetensors")
    with pytest.raises(InvalidDataError, match=r"another program.*theirs\.safetensors"):
        weights.read(tmp_path / "theirs.safetensors")
    torch.save({"fc": torch.zeros(2)}, tmp_path / "model.pth.tar")
    with pytest.raises(InvalidDataError, match=r"no safetensors.*model\.pth\.tar"):
        weights.read(tmp_path / "model.pth.tar")


def test_an_absent_file_and_a_folder_are_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="do not exist"):
        weights.read(tmp_path / "none")
    with pytest.raises(MissingInputError, match="cannot be read"):
        weights.read(tmp_path)


def test_an_old_file_survives_when_the_new_one_cannot_be_written(stored):
    with pytest.raises(TypeError):
        weights.write(stored, STATE, {"not": object()})
    assert weights.read(stored).facts == FACTS
    assert list(stored.parent.iterdir()) == [stored]


def test_a_file_where_a_folder_should_be_is_an_output_error(stored):
    with pytest.raises(OutputError):
        weights.write(stored / "below", STATE, FACTS)
