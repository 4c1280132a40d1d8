"""Conv5_FC3 and Conv4_FC3: layers, names and sizes of the published networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clinicadl.config.network import NETWORKS, Conv5FC3
from clinicadl.errors import UsageError

# (input, features, parameters of Conv5_FC3, parameters of Conv4_FC3), with two outputs.
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
    for name, expected in (("Conv5_FC3", conv5), ("Conv4_FC3", conv4)):
        with torch.device("meta"):
            network = NETWORKS[name]().build(shape, 2)
        assert sum(weight.numel() for weight in network.parameters()) == expected
        assert network.fc[2].in_features == n_features


@pytest.mark.parametrize("name", ["Conv5_FC3", "Conv4_FC3"])
def test_weights_have_the_names_of_the_published_files(name):
    expected = {f"convolutions.{i}.{of}" for i in (0, 4, 8, 12, 16) for of in ("weight", "bias")}
    expected |= {f"convolutions.{i}.{of}" for i in (1, 5, 9, 13, 17) for of in BATCH_NORM}
    expected |= {f"fc.{i}.{of}" for i in (2, 4, 6) for of in ("weight", "bias")}
    assert set(NETWORKS[name]().build((1, 20, 20, 20), 2).state_dict()) == expected


@pytest.mark.parametrize(("name", "hidden"), [("Conv5_FC3", (1300, 50)), ("Conv4_FC3", (50, 40))])
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


def test_a_new_network_has_seen_no_batch():
    state = Conv5FC3().build((1, 10, 10, 10), 2).state_dict()
    assert all(value == 0 for name, value in state.items() if name.endswith("num_batches_tracked"))


@pytest.mark.parametrize("shape", [(), (1,), (1, 30), (1, 9, 9, 9, 9), (0, 9, 9), (1, 9, 0, 9)])
@pytest.mark.parametrize("name", ["Conv5_FC3", "Conv4_FC3"])
def test_an_input_that_is_no_image_is_refused_with_the_expected_one(name, shape):
    with pytest.raises(UsageError, match=rf"{name} cannot take.*channels x X x Y x Z") as caught:
        NETWORKS[name]().build(shape, 2)
    assert caught.value.exit_code == 2
