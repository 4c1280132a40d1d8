"""RandomArchitecture: what a description becomes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clinicadl.config.network import RandomArchitecture
from clinicadl.errors import UsageError
from clinicadl.networks.drawn import linear_sizes
from clinicadl.networks.layers import PadMaxPool

EXAMPLE = {
    "conv0": {"in_channels": None, "out_channels": 8, "n_conv": 2, "d_reduction": "MaxPooling"},
    "conv1": {"in_channels": 8, "out_channels": 16, "n_conv": 1, "d_reduction": "MaxPooling"},
}


def described(**settings):
    return RandomArchitecture(**{"convolutions_dict": EXAMPLE, "n_fcblocks": 2, **settings})


@pytest.mark.parametrize(
    ("n_fcblocks", "sizes", "expected"),
    [
        (1, [35_152, 2], 74_080),
        (2, [35_152, 265, 2], 9_319_851),
        (3, [35_152, 1352, 52, 2], 47_601_092),
    ],
)
def test_the_published_example_has_the_published_counts(n_fcblocks, sizes, expected):
    with torch.device("meta"):
        network = described(n_fcblocks=n_fcblocks).build((1, 50, 50, 50), 2)
    assert sum(weight.numel() for weight in network.parameters()) == expected
    linear = [one for one in network.fc.modules() if isinstance(one, nn.Linear)]
    assert [linear[0].in_features, *(one.out_features for one in linear)] == sizes
    assert linear_sizes(35_152, 2, n_fcblocks) == sizes


def test_weights_have_the_names_of_the_published_files():
    names = set(described(n_fcblocks=2).build((1, 20, 20), 2).state_dict())
    weights = {name for name in names if name.endswith("weight")}
    assert weights == {
        *(f"convolutions.conv0.{i}.weight" for i in (0, 1, 3, 4)),
        *(f"convolutions.conv1.{i}.weight" for i in (0, 1)),
        "fc.FC0.0.weight", "fc.FC1.0.weight",
    }  # fmt: skip
    for norm in ("None", "InstanceNorm"):
        network = described(network_normalization=norm).build((1, 20, 20), 2)
        step = 2 if norm == "None" else 3
        assert {name for name in network.state_dict() if name.endswith("weight")} == {
            *(f"convolutions.conv0.{i}.weight" for i in (0, step)), "convolutions.conv1.0.weight",
            "fc.FC0.0.weight", "fc.FC1.0.weight",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("BatchNorm", nn.BatchNorm3d), ("InstanceNorm", nn.InstanceNorm3d), ("None", None)],
)
@pytest.mark.parametrize("reduction", ["MaxPooling", "stride"])
def test_layers_are_those_of_the_description(norm, kind, reduction):
    blocks = {"conv0": {"out_channels": 5, "n_conv": 3, "d_reduction": reduction}}
    network = described(convolutions_dict=blocks, network_normalization=norm, n_fcblocks=1).build(
        (2, 9, 8, 7), 4
    )
    layers = list(network.convolutions.conv0)
    convolutions = [one for one in layers if isinstance(one, nn.Conv3d)]
    assert [(one.in_channels, one.out_channels) for one in convolutions] == [(2, 2), (2, 2), (2, 5)]
    strides = [one.stride[0] for one in convolutions]
    assert strides == ([1, 1, 1] if reduction == "MaxPooling" else [1, 1, 2])
    assert isinstance(layers[-1], PadMaxPool) == (reduction == "MaxPooling")
    found = {type(one) for one in layers} & {nn.BatchNorm3d, nn.InstanceNorm3d}
    assert found == ({kind} if kind else set())
    assert network.convolutions(torch.rand(2, 2, 9, 8, 7)).shape == (2, 5, 5, 4, 4)
    assert type(network.fc.FC0[-1]) is nn.Linear


@given(st.integers(1, 10**6), st.integers(1, 20), st.integers(1, 8))
def test_linear_layers_shrink_by_one_ratio_from_features_to_outputs(n_features, n_outputs, m):
    sizes = linear_sizes(n_features, n_outputs, m)
    assert len(sizes) == m + 1
    assert (sizes[0], sizes[-1]) == (n_features, n_outputs)
    ratio = (n_features / n_outputs) ** (1 / m)
    for number, size in enumerate(sizes):
        assert abs(size - n_features / ratio**number) <= 0.5 + 1e-6 * n_features


@given(
    st.integers(1, 4), st.sampled_from(["MaxPooling", "stride"]), st.integers(1, 3),
    st.lists(st.integers(1, 12), min_size=2, max_size=3),
)  # fmt: skip
def test_any_description_gives_outputs(n_blocks, reduction, n_conv, sizes):
    blocks = {
        f"conv{i}": {"out_channels": 2 + i, "n_conv": n_conv, "d_reduction": reduction}
        for i in range(n_blocks)
    }
    network = described(convolutions_dict=blocks).build((1, *sizes), 3).eval()
    assert network(torch.rand(2, 1, *sizes)).shape == (2, 3)


def test_eleven_blocks_stay_in_their_order():
    blocks = {f"conv{i}": {"out_channels": i + 1} for i in range(12)}
    settings = described(convolutions_dict=dict(sorted(blocks.items())))
    assert [block.out_channels for block in settings.blocks()] == list(range(1, 13))
    network = settings.build((1, 9, 9), 2)
    assert list(dict(network.convolutions.named_children())) == [f"conv{i}" for i in range(12)]


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ({}, "at least 1"),
        ({"conv1": {"out_channels": 2}}, "must be named conv0"),
        ({"conv0": {"out_channels": 2}, "conv2": {"out_channels": 2}}, "named conv0, conv1"),
        ({"conv0": {"out_channels": 2}, "conv1": {"in_channels": 3, "out_channels": 2}},
         "conv1 takes 3 channels, but conv0 gives 2"),
        ({"conv0": {"out_channels": 0}}, "greater than or equal to 1"),
        ({"conv0": {"n_conv": 1}}, "Field required"),
        ({"conv0": {"out_channels": 2, "pool": 2}}, "not permitted"),
        ({"conv0": {"out_channels": 2, "d_reduction": "max"}}, "MaxPooling"),
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_built_is_refused(blocks, complaint):
    with pytest.raises(ValueError, match=complaint):
        described(convolutions_dict=blocks)


def test_a_first_block_of_other_channels_is_refused():
    blocks = {"conv0": {"in_channels": 3, "out_channels": 4}}
    with pytest.raises(UsageError, match=r"conv0\.in_channels \(found: 3\).*have 1"):
        described(convolutions_dict=blocks).build((1, 20, 20), 2)
    described(convolutions_dict=blocks).build((3, 20, 20), 2)


@pytest.mark.parametrize(
    ("reduction", "too_small", "enough"), [("MaxPooling", 2, 3), ("stride", 4, 5)]
)
def test_instances_of_one_voxel_are_refused(reduction, too_small, enough):
    blocks = {f"conv{i}": {"out_channels": 2, "d_reduction": reduction} for i in range(2)}
    settings = described(convolutions_dict=blocks, network_normalization="InstanceNorm")
    with pytest.raises(UsageError, match=r"more than one voxel in .*conv1"):
        settings.build((1, too_small, too_small), 2)
    network = settings.build((1, enough, enough), 2)
    for mode in (True, False):
        assert network.train(mode)(torch.rand(2, 1, enough, enough)).shape == (2, 2)
