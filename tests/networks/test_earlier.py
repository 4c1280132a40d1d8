"""Networks of release 0.2: names, counts and what is frozen."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clinicadl.config.network import NETWORKS

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BOTH = ("weight", "bias")
PUBLISHED = [
    ("Conv5_FC3_0.2", (1, 169, 208, 179), 42_293_972),
    ("Conv5_FC3_mni_0.2", (1, 121, 145, 121), 13_673_172),
    ("Conv5_FC3_down_0.2", (1, 85, 104, 90), 1_916_697),
    ("Conv6_FC3_0.2", (1, 169, 208, 179), 10_447_376),
    ("Conv4_FC3_0.2", (1, 50, 50, 50), 134_372),
    ("ConvNet_0.2", (1, 128, 128), 149_738),
    ("resnet18_0.2", (3, 224, 224), 11_691_514),
]


def on_meta(name, shape, **settings):
    with torch.device("meta"):
        return NETWORKS[name](**settings).build(shape, 2)


@pytest.mark.parametrize(("name", "shape", "expected"), PUBLISHED)
def test_networks_have_as_many_parameters_as_the_published_ones(name, shape, expected):
    network = on_meta(name, shape)
    assert sum(weight.numel() for weight in network.parameters()) == expected
    assert NETWORKS[name].example == shape


def test_every_network_of_the_release_is_tried():
    assert [name for name, *_ in PUBLISHED] == [name for name in NETWORKS if name.endswith("_0.2")]


def names(convolutions, norms, linear):
    return {
        *(f"features.{i}.{of}" for i in convolutions for of in BOTH),
        *(f"features.{i}.{of}" for i in norms for of in BATCH_NORM),
        *(f"classifier.{i}.{of}" for i in linear for of in BOTH),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, names(range(0, 20, 4), range(1, 20, 4), (2, 4, 6)))
          for name in ("Conv5_FC3_0.2", "Conv5_FC3_mni_0.2", "Conv5_FC3_down_0.2")),
        ("Conv6_FC3_0.2", names(range(0, 24, 4), range(1, 24, 4), (2, 4, 6))),
        ("Conv4_FC3_0.2", names(range(0, 16, 4), range(1, 16, 4), (2, 5, 7))),
        ("ConvNet_0.2",
         names((*range(0, 25, 5), *range(1, 25, 5)), range(2, 25, 5), (2,))),
    ],
)  # fmt: skip
def test_weights_have_the_names_of_the_published_files(name, expected):
    assert set(on_meta(name, NETWORKS[name].example).state_dict()) == expected


def test_resnet18_has_the_names_of_torchvision_and_two_layers_more():
    found = set(on_meta("resnet18_0.2", (3, 224, 224)).state_dict())
    assert {name.split(".")[0] for name in found} == {
        "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc", "fc_out",
    }  # fmt: skip
    assert {"conv1.weight", "layer2.0.downsample.1.running_var", "fc_out.bias"} <= found
    assert len(found) == 122 + 2  # torchvision's file of today has 122 entries


@pytest.mark.parametrize(
    ("name", "shape", "hidden"),
    [
        ("Conv5_FC3_0.2", (1, 169, 208, 179), [32_256, 1300, 50, 2]),
        ("Conv5_FC3_mni_0.2", (1, 121, 145, 121), [10_240, 1300, 50, 2]),
        ("Conv5_FC3_down_0.2", (1, 85, 104, 90), [4_608, 350, 25, 2]),
        ("Conv6_FC3_0.2", (1, 169, 208, 179), [9_216, 1000, 50, 2]),
        ("Conv4_FC3_0.2", (1, 50, 50, 50), [400, 50, 40, 2]),
        ("ConvNet_0.2", (1, 128, 128), [1024, 2]),
    ],
)
def test_linear_layers_have_the_published_sizes(name, shape, hidden):
    layers = [one for one in on_meta(name, shape).classifier if isinstance(one, nn.Linear)]
    assert [layers[0].in_features, *(one.out_features for one in layers)] == hidden


@pytest.mark.parametrize(
    ("earlier", "now"), [("Conv5_FC3_0.2", "Conv5_FC3"), ("resnet18_0.2", "resnet18")]
)
def test_networks_that_did_not_change_say_the_same_with_the_same_weights(earlier, now):
    shape = (1, 33, 20, 40) if earlier == "Conv5_FC3_0.2" else (3, 70, 90)
    one, other = NETWORKS[earlier]().build(shape, 3).eval(), NETWORKS[now]().build(shape, 3).eval()
    for value, same in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        same.copy_(value)
    images = torch.rand(2, *shape)
    assert torch.equal(one(images), other(images))


def test_conv4_is_that_of_plain_functions():
    network = NETWORKS["Conv4_FC3_0.2"]().build((1, 50, 33, 41), 3).eval()
    images = torch.rand(2, 1, 50, 33, 41)
    maps = images
    for i in range(0, 16, 4):
        convolution, norm = network.features[i], network.features[i + 1]
        maps = norm(F.conv3d(maps, convolution.weight, convolution.bias)).relu()
        sides = [side for size in reversed(maps.shape[2:]) for side in (size % 2, 0)]
        maps = F.max_pool3d(F.pad(maps, sides), 2)
    features = network.classifier[2](maps.flatten(1)).relu()
    expected = network.classifier[7](network.classifier[5](features).relu())
    torch.testing.assert_close(network(images), expected)


def test_conv_net_is_that_of_plain_functions():
    network = NETWORKS["ConvNet_0.2"]().build((1, 70, 33), 3).eval()
    images = torch.rand(2, 1, 70, 33)
    maps = images
    for i in range(0, 25, 5):
        for convolution in network.features[i : i + 2]:
            maps = F.conv2d(maps, convolution.weight, convolution.bias, padding=1)
        maps = F.max_pool2d(F.leaky_relu(network.features[i + 2](maps), 0.01), 2)
    torch.testing.assert_close(network(images), network.classifier[2](maps.flatten(1)))


def test_conv4_of_today_does_not_take_the_weights_of_release_0():
    renamed = {
        name.replace("features", "convolutions").replace("classifier", "fc"): value
        for name, value in NETWORKS["Conv4_FC3_0.2"]()
        .build((1, 50, 50, 50), 2)
        .state_dict()
        .items()
    }
    with pytest.raises(RuntimeError, match="size mismatch"):
        NETWORKS["Conv4_FC3"]().build((1, 50, 50, 50), 2).load_state_dict(renamed, strict=False)


def test_what_lies_before_the_last_stage_is_frozen_with_imagenet_weights(tmp_path):
    network = NETWORKS["resnet18_0.2"](pretrained=tmp_path / "named.pth").build((3, 64, 64), 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learning = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.1)
    network.train()(torch.rand(4, 3, 64, 64)).square().sum().backward()
    learning.step()
    changed = {
        name.split(".")[0]
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"layer4", "fc", "fc_out"}
    assert network.layer4.training
    assert not network.layer3.training


def test_without_imagenet_weights_everything_learns():
    network = NETWORKS["resnet18_0.2"]().build((3, 64, 64), 2)
    assert all(weight.requires_grad for weight in network.parameters())
    assert network.train().layer1.training
    assert not network.eval().layer1.training
