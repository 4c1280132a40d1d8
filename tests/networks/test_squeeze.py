"""ResNet3D and SqueezeExcitationCNN: names and counts of the published ones, arithmetic by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clinicadl.config.network import NETWORKS
from clinicadl.networks.squeeze import SqueezeExcitation

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
PUBLISHED = (1, 169, 208, 179)


@pytest.mark.parametrize(
    ("name", "expected", "first", "place"),
    [("ResNet3D", 3_517_314, 1, 4), ("SqueezeExcitationCNN", 3_523_049, 2, 4)],
)
def test_networks_have_as_many_parameters_as_the_published_ones(name, expected, first, place):
    with torch.device("meta"):
        network = NETWORKS[name]().build(PUBLISHED, 2)
    assert sum(weight.numel() for weight in network.parameters()) == expected
    assert (network.fc[first].in_features, network.fc[first].out_features) == (10_240, 256)
    assert network.fc[place].in_features == 256


@pytest.mark.parametrize(
    ("name", "linear"), [("ResNet3D", (1, 4)), ("SqueezeExcitationCNN", (2, 4))]
)
def test_weights_have_the_names_of_the_published_files(name, linear):
    expected = set()
    for stage in range(5):
        prefix = f"convolutions.{stage}.0"
        expected |= {f"{prefix}.conv{i}.weight" for i in (1, 2)} | {f"{prefix}.shortcut.0.weight"}
        expected |= {f"{prefix}.bn{i}.{of}" for i in (1, 2) for of in BATCH_NORM}
        if name == "SqueezeExcitationCNN":
            both = ("weight", "bias")
            expected |= {f"{prefix}.se_block.fc{i}.{of}" for i in (1, 2) for of in both}
    expected |= {f"fc.{i}.{of}" for i in linear for of in ("weight", "bias")}
    with torch.device("meta"):
        network = NETWORKS[name]().build(PUBLISHED, 2)
    assert set(network.state_dict()) == expected


@pytest.mark.parametrize(
    ("shape", "n_outputs"), [((1, 63, 70, 64), 1), ((2, 96, 63, 80), 5)], ids=str
)
@pytest.mark.parametrize("name", ["ResNet3D", "SqueezeExcitationCNN"])
def test_size_channels_and_outputs_are_free(name, shape, n_outputs):
    with torch.device("meta"):
        network = NETWORKS[name]().build(shape, n_outputs)
        assert network(torch.empty(2, *shape)).shape == (2, n_outputs)


@pytest.mark.parametrize(("name", "default"), [("ResNet3D", 0.8), ("SqueezeExcitationCNN", 0.5)])
def test_dropout_is_the_published_one_unless_it_is_said(name, default):
    assert NETWORKS[name]().dropout == default
    with torch.device("meta"):
        network = NETWORKS[name](dropout=0.1).build(PUBLISHED, 2)
    assert {one.p for one in network.modules() if isinstance(one, nn.Dropout)} == {0.1}


@pytest.mark.parametrize("name", ["ResNet3D", "SqueezeExcitationCNN"])
def test_the_forward_pass_is_that_of_plain_functions(name):
    network = NETWORKS[name]().build((1, 63, 64, 66), 3).eval()
    activate = F.elu if name == "ResNet3D" else F.relu
    images = torch.rand(2, 1, 63, 64, 66)
    maps = images
    for stage in network.convolutions:
        block = stage[0]
        made = activate(block.bn1(F.conv3d(maps, block.conv1.weight, padding=1)))
        made = block.bn2(F.conv3d(made, block.conv2.weight, padding=1))
        if name == "SqueezeExcitationCNN":
            first, second = block.se_block.fc1, block.se_block.fc2
            gates = second(first(made.mean((2, 3, 4))).relu()).sigmoid()
            made = torch.einsum("ncxyz,nc->ncxyz", made, gates)
        maps = activate(made + F.conv3d(maps, block.shortcut[0].weight))
        maps = F.max_pool3d(maps, 3, 2)
    features = maps.flatten(1)
    expected = (
        network.fc[4](F.elu(network.fc[1](features)))
        if name == "ResNet3D"
        else network.fc[4](network.fc[2](features).relu())
    )
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_squeeze_and_excitation_narrows_by_eight():
    block = SqueezeExcitation(64)
    assert (block.fc1.out_features, block.fc2.in_features) == (8, 8)
