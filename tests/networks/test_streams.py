"""The keyed stream of torch."""

from __future__ import annotations

import pytest
import torch

from clinicadl.draws import key
from clinicadl.networks.streams import seeded


def drawn(*what: object) -> list[float]:
    with seeded(*what):
        return torch.rand(4).tolist()


def test_the_same_key_gives_the_same_draws_whatever_was_drawn_before():
    first = drawn(3, "weights", 1, 2)
    torch.rand(5)
    assert drawn(3, "weights", 1, 2) == first


@pytest.mark.parametrize("other", [(4, "p", 0, 0), (3, "q", 0, 0), (3, "p", 1, 0), (3, "p", 0, 1)])
def test_each_part_of_the_key_changes_the_draws(other):
    assert drawn(*other) != drawn(3, "p", 0, 0)


def test_the_stream_starts_at_64_bits_of_the_key():
    reference = torch.Generator()
    reference.manual_seed(key(3, "weights", 1, 2) % 2**64)
    assert drawn(3, "weights", 1, 2) == torch.rand(4, generator=reference).tolist()
    with seeded(3, "weights", 1, 2):
        assert torch.initial_seed() == key(3, "weights", 1, 2) % 2**64


def test_the_stream_outside_goes_on_as_if_the_block_were_not_there():
    state = torch.get_rng_state()
    straight = torch.rand(6)
    torch.set_rng_state(state)
    before = torch.rand(3)
    drawn(0, "anything")
    assert torch.equal(torch.cat([before, torch.rand(3)]), straight)


def test_the_stream_is_given_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(0, "anything"):
        torch.rand(1)
        1 / 0  # noqa: B018 - the error is the point
    assert torch.equal(torch.get_rng_state(), state)


def test_blocks_can_be_nested():
    with seeded(0, "outer"):
        first = torch.rand(1)
        drawn(0, "inner")
        second = torch.rand(1)
    with seeded(0, "outer"):
        assert torch.equal(torch.rand(2), torch.cat([first, second]))
