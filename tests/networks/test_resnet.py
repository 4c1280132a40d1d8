"""Residual networks: names and counts of the published ones, and arithmetic by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clinicadl.config.network import NETWORKS
from clinicadl.networks import resnet
from clinicadl.networks.resnet import BasicBlock, Bottleneck

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def n_parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("shape", [(3, 128, 128), (3, 208, 179), (3, 20, 30)])
def test_resnet18_has_as_many_parameters_as_the_published_one(shape):
    with torch.device("meta"):
        network = NETWORKS["resnet18"]().build(shape, 2)
    assert n_parameters(network) == 11_691_514


def test_resnet18_has_the_names_of_the_published_files():
    expected = {"convolutions.0.weight", *(f"convolutions.1.{of}" for of in BATCH_NORM)}
    for stage in (4, 5, 6, 7):
        for block in (0, 1):
            prefix = f"convolutions.{stage}.{block}"
            expected |= {f"{prefix}.conv{i}.weight" for i in (1, 2)}
            expected |= {f"{prefix}.bn{i}.{of}" for i in (1, 2) for of in BATCH_NORM}
    for stage in (5, 6, 7):
        prefix = f"convolutions.{stage}.0.downsample"
        expected |= {f"{prefix}.0.weight", *(f"{prefix}.1.{of}" for of in BATCH_NORM)}
    expected |= {f"fc.{name}.{of}" for name in ("1", "fc_out") for of in ("weight", "bias")}
    with torch.device("meta"):
        network = NETWORKS["resnet18"]().build((3, 64, 64), 2)
    assert set(network.state_dict()) == expected
    assert list(dict(network.fc.named_children())) == ["0", "1", "drop_out", "fc_out"]
    assert len(network.convolutions) == 9


@pytest.mark.parametrize(
    ("block", "n_blocks", "expected"),
    [
        (BasicBlock, (2, 2, 2, 2), 11_689_512),
        (BasicBlock, (3, 4, 6, 3), 21_797_672),
        (Bottleneck, (3, 4, 6, 3), 25_557_032),
    ],
)
def test_the_family_has_the_published_counts_in_two_dimensions(block, n_blocks, expected):
    # Those of ResNet-18, -34 and -50 on ImageNet, in torchvision's documentation.
    with torch.device("meta"):
        layers = [*resnet.stem(3, n_axes=2), *resnet.stages(block, n_blocks, n_axes=2)]
        network = nn.Sequential(*layers, nn.Linear(512 * block.expansion, 1000))
    assert n_parameters(network) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # MONAI 1.6.1, one channel, two outputs, projections without bias.
        ("ResNet10_3D", 14_356_546),
        ("ResNet18_3D", 33_161_026),
        ("ResNet34_3D", 63_470_658),
        ("ResNet50_3D", 46_159_170),
    ],
)
@pytest.mark.parametrize("shape", [(1, 169, 208, 179), (1, 20, 20, 20)])
def test_the_family_has_the_published_counts_on_volumes(name, expected, shape):
    with torch.device("meta"):
        network = NETWORKS[name]().build(shape, 2)
    assert n_parameters(network) == expected


def normalised(norm: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    shape = (1, -1, *(1,) * (maps.dim() - 2))
    mean, variance, weight, bias = (
        one.reshape(shape) for one in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (maps - mean) / (variance + norm.eps).sqrt() * weight + bias


def by_hand(block: nn.Module, maps: torch.Tensor, *, stride: int) -> torch.Tensor:
    convolve = F.conv3d if maps.dim() == 5 else F.conv2d
    kept = maps
    if block.downsample is not None:
        kept = convolve(maps, block.downsample[0].weight, stride=stride)
        kept = normalised(block.downsample[1], kept)
    if isinstance(block, Bottleneck):
        maps = normalised(block.bn1, convolve(maps, block.conv1.weight)).relu()
        maps = convolve(maps, block.conv2.weight, stride=stride, padding=1)
        maps = normalised(block.bn2, maps).relu()
        maps = normalised(block.bn3, convolve(maps, block.conv3.weight))
    else:
        maps = convolve(maps, block.conv1.weight, stride=stride, padding=1)
        maps = normalised(block.bn1, maps).relu()
        maps = normalised(block.bn2, convolve(maps, block.conv2.weight, padding=1))
    return (maps + kept).relu()


@pytest.mark.parametrize("name", ["resnet18", "ResNet10_3D", "ResNet50_3D"])
def test_the_forward_pass_is_that_of_plain_functions(name):
    shape = (3, 75, 66) if name == "resnet18" else (2, 37, 40, 33)
    network = NETWORKS[name]().build(shape, 3)
    images = torch.rand(2, *shape)
    network(images)  # statistics that are not those of a new network
    network.eval()
    convolve, pool = (F.conv2d, F.max_pool2d) if len(shape) == 3 else (F.conv3d, F.max_pool3d)
    maps = convolve(images, network.convolutions[0].weight, stride=2, padding=3)
    maps = pool(normalised(network.convolutions[1], maps).relu(), 3, 2, padding=1)
    for number, stage in enumerate(network.convolutions[4:8]):
        for place, block in enumerate(stage):
            maps = by_hand(block, maps, stride=2 if number and not place else 1)
    expected = network.fc(maps.flatten(2).mean(2))
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_there_is_no_activation_between_the_two_last_layers_of_resnet18():
    network = NETWORKS["resnet18"]().build((3, 40, 40), 2).eval()
    features = torch.randn(2, 512)
    first, last = network.fc[1], network.fc.fc_out
    assert torch.equal(network.fc(features), last(first(features)))
