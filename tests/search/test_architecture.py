"""How the blocks of a network are drawn."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare

from clinicadl.config.drawn_architectures import ArchitectureRanges
from clinicadl.config.network import RandomArchitecture
from clinicadl.config.read import settings
from clinicadl.draws import generator
from clinicadl.errors import UsageError
from clinicadl.search.architecture import Drawn, drawn, most_blocks

sizes = st.lists(st.integers(1, 300), min_size=2, max_size=3).map(tuple)


def ranges(**given_):
    return ArchitectureRanges(
        **{"n_convblocks": [1, 4], "first_conv_width": [4, 8], "n_fcblocks": [1, 3], **given_}
    )


def draws(space, image, n):
    return [drawn(space, Drawn(generator(0, "a", sample=i)), image) for i in range(n)]


@given(image=sizes, seed=st.integers(0, 2**32 - 1))
def test_what_is_drawn_can_be_built_and_keeps_more_than_one_element(image, seed):
    space = ranges(n_conv=[1, 2], d_reduction=["MaxPooling", "stride"])
    assume(most_blocks(image) >= 1)
    found = drawn(space, Drawn(generator(seed, "architecture")), image)
    blocks = list(found.convolutions_dict.values())
    assert 1 <= len(blocks) <= 4 and 1 <= found.n_fcblocks <= 3
    assert [one["out_channels"] for one in blocks] == [
        blocks[0]["out_channels"] * 2**i for i in range(len(blocks))
    ]
    assert len({one["d_reduction"] for one in blocks}) == 1
    assert prod(ceil(size / 2 ** len(blocks)) for size in image) > 1
    row = RandomArchitecture(**found.settings(), network_normalization="InstanceNorm")
    with torch.device("meta"):
        network = row.build((1, *image), 2).eval()
        assert network(torch.empty(1, 1, *image)).shape == (1, 2)


@given(image=sizes)
def test_the_most_blocks_are_those_after_which_one_more_leaves_one_element(image):
    most = most_blocks(image)
    assert prod(ceil(size / 2 ** (most + 1)) for size in image) == 1
    assert most == 0 or prod(ceil(size / 2**most) for size in image) > 1


def test_the_same_stream_draws_the_same_architecture():
    image = (40, 40, 40)
    assert draws(ranges(), image, 20) == draws(ranges(), image, 20)


def test_every_possible_number_of_blocks_is_equally_likely():
    # Of 16 voxels, 4 halvings leave one: three blocks are the most of [1, 4].
    found = [len(one.convolutions_dict) for one in draws(ranges(), (16, 16), 3000)]
    counts = np.bincount(found)[1:]
    assert len(counts) == 3
    assert chisquare(counts).pvalue > 1e-3


def test_a_single_value_is_taken_as_it_is_and_channels_stop_doubling_at_the_limit():
    space = ranges(n_convblocks=5, first_conv_width=8, n_fcblocks=2, n_conv=3, channels_limit=20)
    (found,) = draws(space, (64, 64), 1)
    blocks = found.convolutions_dict.values()
    assert [one["out_channels"] for one in blocks] == [8, 16, 32, 32, 32]
    assert [one["in_channels"] for one in blocks] == [None, 8, 16, 32, 32]
    assert {one["n_conv"] for one in blocks} == {3}
    assert found.n_fcblocks == 2


def test_too_many_blocks_are_refused():
    with pytest.raises(UsageError, match="one element.*n_convblocks.*found: 4.*bears 3 at most"):
        drawn(ranges(n_convblocks=[4, 6]), Drawn(generator(0, "a")), (16, 16))


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"n_convblocks": [3, 2]}, "ends, at 2, before it begins, at 3"),
        ({"n_convblocks": [0, 2]}, "greater than or equal to 1"),
        ({"n_fcblocks": [1, 2, 3]}, "at most 2"),
        ({"first_conv_width": [8, 8]}, "stands there twice"),
        ({"d_reduction": ["pool"]}, "'MaxPooling' or 'stride'"),
        ({"n_blocks": 2}, "not known"),
    ],
)
def test_ranges_that_cannot_be_are_refused(given_, message):
    base = {"n_convblocks": [1, 4], "first_conv_width": [4, 8], "n_fcblocks": [1, 3]}
    with pytest.raises(UsageError, match=message):
        settings(ArchitectureRanges, base | given_)
