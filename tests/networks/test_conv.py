"""Conv5_FC3, Conv4_FC3 and Stride_Conv5_FC3: layers, names and sizes of the published ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clinicadl.config.network import NETWORKS, Conv5FC3

# (input, features, parameters of Conv5_FC3 and Stride_Conv5_FC3, of Conv4_FC3), with two outputs.
COUNTS = [
    ((1, 169, 208, 179), 32_256, 42_293_972, 1_909_692),
    ((1, 193, 229, 193), 50_176, 65_589_972, 2_805_692),
    ((1, 121, 145, 121), 10_240, 13_673_172, 808_892),
    ((1, 80, 96, 80), 3_456, 4_853_972, 469_692),
    ((1, 50, 50, 50), 1_024, 1_692_372, 348_092),
    ((1, 32, 32, 32), 128, 527_572, 303_292),
    ((3, 128, 128), 2_048, 2_827_732, 203_452),
    ((1, 128, 128), 2_048, 2_827_588, 203_308),
    ((3, 208, 179), 5_376, 7_154_132, 369_852),
    ((3, 169, 208), 5_376, 7_154_132, 369_852),
    ((1, 208, 179), 5_376, 7_153_988, 369_708),
    ((1, 169, 208), 5_376, 7_153_988, 369_708),
    ((3, 169, 179), 4_608, 6_155_732, 331_452),
    ((1, 169, 179), 4_608, 6_155_588, 331_308),
]
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize(("shape", "n_features", "conv5", "conv4"), COUNTS, ids=str)
def test_networks_have_as_many_parameters_as_the_published_ones(shape, n_features, conv5, conv4):
    counts = {"Conv5_FC3": conv5, "Stride_Conv5_FC3": conv5, "Conv4_FC3": conv4}
    for name, expected in counts.items():
        with torch.device("meta"):
            network = NETWORKS[name]().build(shape, 2)
        assert sum(weight.numel() for weight in network.parameters()) == expected
        assert network.fc[2].in_features == n_features


@pytest.mark.parametrize(
    ("name", "step"), [("Conv5_FC3", 4), ("Conv4_FC3", 4), ("Stride_Conv5_FC3", 3)]
)
def test_weights_have_the_names_of_the_published_files(name, step):
    starts = range(0, 5 * step, step)
    expected = {f"convolutions.{i}.{of}" for i in starts for of in ("weight", "bias")}
    expected |= {f"convolutions.{i + 1}.{of}" for i in starts for of in BATCH_NORM}
    expected |= {f"fc.{i}.{of}" for i in (2, 4, 6) for of in ("weight", "bias")}
    assert set(NETWORKS[name]().build((1, 20, 20, 20), 2).state_dict()) == expected


@pytest.mark.parametrize(
    ("name", "hidden"),
    [("Conv5_FC3", (1300, 50)), ("Conv4_FC3", (50, 40)), ("Stride_Conv5_FC3", (1300, 50))],
)
def test_linear_layers_have_the_published_sizes(name, hidden):
    network = NETWORKS[name]().build((2, 33, 40), 5)
    sizes = [(network.fc[i].in_features, network.fc[i].out_features) for i in (2, 4, 6)]
    assert sizes == [(128 * 2 * 2, hidden[0]), hidden, (hidden[1], 5)]


@pytest.mark.parametrize("name", ["Conv5_FC3", "Conv4_FC3"])
def test_the_forward_pass_is_that_of_plain_layers_on_padded_maps(name):
    network = NETWORKS[name]().build((1, 35, 20, 41), 3).eval()
    images = torch.rand(2, 1, 35, 20, 41)
    maps = images
    for i in range(0, 20, 4):
        maps = torch.relu(network.convolutions[i + 1](network.convolutions[i](maps)))
        low_sides = [side for size in reversed(maps.shape[2:]) for side in (size % 2, 0)]
        maps = nn.functional.max_pool3d(nn.functional.pad(maps, low_sides), 2, 2)
    features = maps.flatten(1)
    for i in (2, 4):
        features = torch.relu(network.fc[i](features))
    assert torch.equal(network(images), network.fc[6](features))


def test_dropout_is_the_setting_and_acts_in_training_only():
    network = Conv5FC3(dropout=0.5).build((1, 40, 40), 2)
    assert network.fc[1].p == 0.5
    assert Conv5FC3().build((1, 40, 40), 2).fc[1].p == 0
    images = torch.rand(2, 1, 40, 40)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("size", [1, 7, 16, 17, 32, 33])
def test_sizes_that_release_1_could_not_build_are_built(size):
    for name in ("Conv5_FC3", "Stride_Conv5_FC3"):
        network = NETWORKS[name]().build((1, size, size, size), 2).eval()
        assert network(torch.rand(1, 1, size, size, size)).shape == (1, 2)


def test_strided_convolutions_halve_as_plain_ones_do():
    network = NETWORKS["Stride_Conv5_FC3"]().build((2, 35, 21), 3).eval()
    images = torch.rand(2, 2, 35, 21)
    maps = images
    for i in range(0, 15, 3):
        convolution, norm = network.convolutions[i], network.convolutions[i + 1]
        maps = nn.functional.conv2d(maps, convolution.weight, convolution.bias, 2, 1)
        maps = torch.relu(norm(maps))
    assert maps.shape == (2, 128, 2, 1)
    assert torch.equal(network(images), network.fc(maps))
