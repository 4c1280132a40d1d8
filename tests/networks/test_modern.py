"""DenseNet121_3D, SFCN and ViT against published counts and plain functions."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clinicadl.config.network import NETWORKS
from clinicadl.networks.densenet import dense_convolutions
from clinicadl.networks.streams import seeded
from clinicadl.networks.vit import Transformer


def n_parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_densenet121_has_the_published_counts():
    with torch.device("meta"):
        convolutions, n_channels = dense_convolutions(3, n_axes=2)
        on_volumes = NETWORKS["DenseNet121_3D"]().build((1, 169, 208, 179), 2)
    # That of torchvision's documentation, and that of MONAI 1.6.1.
    assert n_parameters(convolutions) + n_parameters(nn.Linear(n_channels, 1000)) == 7_978_856
    assert n_parameters(on_volumes) == 11_244_674


def test_densenet121_is_that_of_plain_functions():
    network = NETWORKS["DenseNet121_3D"]().build((1, 40, 33, 36), 3)
    images = torch.rand(2, 1, 40, 33, 36)
    network(images)  # statistics that are not those of a new network
    stem, norm, _, _, *blocks, last, _, _ = network.eval().convolutions
    maps = F.max_pool3d(norm(stem(images)).relu(), 3, 2, padding=1)
    for block in blocks:
        if isinstance(block, nn.Sequential):
            kept = [maps]
            for layer in block:
                norm1, _, conv1, norm2, _, conv2 = layer.layers
                inner = conv1(norm1(torch.cat(kept, 1)).relu())
                kept.append(conv2(norm2(inner).relu()))
            maps = torch.cat(kept, 1)
        elif isinstance(block, nn.BatchNorm3d):
            maps = block(maps).relu()
        elif isinstance(block, nn.Conv3d):
            maps = F.avg_pool3d(F.conv3d(maps, block.weight), 2)
    expected = network.fc[2](last(maps).relu().mean((2, 3, 4)))
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_sfcn_has_the_three_million_parameters_of_the_paper():
    channels = (1, 32, 64, 128, 256, 256)
    by_hand = sum(27 * i * o + o for i, o in pairwise(channels))
    by_hand += 256 * 64 + 64 + sum(2 * c for c in (*channels[1:], 64)) + 64 * 40 + 40
    for shape in ((1, 160, 192, 160), (1, 169, 208, 179)):
        with torch.device("meta"):
            network = NETWORKS["SFCN"]().build(shape, 40)
        assert n_parameters(network) == by_hand == 2_952_936


def test_sfcn_has_the_map_of_the_paper_and_its_average():
    with torch.device("meta"):
        network = NETWORKS["SFCN"]().build((1, 160, 192, 160), 40)
        maps = network.convolutions[:-1](torch.empty(1, 1, 160, 192, 160))
    assert maps.shape == (1, 64, 5, 6, 5)
    assert NETWORKS["SFCN"]().dropout == 0.5


def test_sfcn_is_that_of_plain_functions():
    network = NETWORKS["SFCN"]().build((1, 65, 40, 33), 3).eval()
    images = torch.rand(2, 1, 65, 40, 33)
    maps = images
    for i in range(0, 20, 4):
        convolution, norm = network.convolutions[i], network.convolutions[i + 1]
        maps = F.conv3d(maps, convolution.weight, convolution.bias, padding=1)
        maps = F.max_pool3d(norm(maps), 2).relu()
    maps = network.convolutions[21](network.convolutions[20](maps)).relu()
    assert maps.shape[2:] == (2, 1, 1)
    torch.testing.assert_close(network(images), network.fc[2](maps.mean((2, 3, 4))))


@pytest.mark.parametrize(
    ("shape", "n_outputs", "settings", "expected"),
    [
        # ViT-B/16 of the paper and ViT-Tiny on ImageNet; ViT-Tiny of MONAI 1.6.1 on volumes, less
        # its 4608 weights for another task, and with the position of the class token.
        ((3, 224, 224), 1000, {"embedding_size": 768, "n_heads": 12}, 86_567_656),
        ((3, 224, 224), 1000, {}, 5_717_416),
        ((1, 96, 96, 96), 2, {}, 6_172_034 - 4_608 + 192),
    ],
)
def test_vit_has_the_published_counts(shape, n_outputs, settings, expected):
    with torch.device("meta"):
        network = NETWORKS["ViT"](**settings).build(shape, n_outputs)
    assert n_parameters(network) == expected


def small(shape: tuple[int, ...]) -> Transformer:
    settings = {"token_size": 4, "embedding_size": 12, "n_layers": 2, "n_heads": 3}
    with seeded(0, "weights"):
        return NETWORKS["ViT"](**settings).build(shape, 3).eval()


@given(st.lists(st.integers(1, 13), min_size=2, max_size=3))
def test_vit_pads_the_high_sides_with_zeros_to_whole_tokens(sizes):
    network = small((1, *sizes))
    images = torch.rand(2, 1, *sizes)
    short = [side for size in reversed(sizes) for side in (0, -size % 4)]
    torch.testing.assert_close(network(images), network(F.pad(images, short)))
    n_tokens = 1
    for size in sizes:
        n_tokens *= -(-size // 4)
    assert network.positions.shape == (1, n_tokens + 1, 12)


def test_vit_is_that_of_plain_functions():
    network = small((2, 8, 12))
    images = torch.rand(3, 2, 8, 12)
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4)  # sample, channel, row, column, x, y
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(3, 6, 2 * 4 * 4)
    cubes = patches @ network.embedding.weight.reshape(12, -1).T + network.embedding.bias
    tokens = torch.cat([network.class_token.expand(3, 1, 12), cubes], 1) + network.positions
    for layer in network.layers:
        of = layer.attention.qkv(F.layer_norm(tokens, (12,), *layer.norm1.parameters(), 1e-6))
        seen = []
        for head in range(3):
            query, key, value = (
                of[..., 12 * i + 4 * head : 12 * i + 4 * head + 4] for i in range(3)
            )
            seen.append((query @ key.transpose(1, 2) / 2).softmax(2) @ value)  # 2 is sqrt(4)
        tokens = tokens + layer.attention.out(torch.cat(seen, 2))
        inner = layer.mlp[0](F.layer_norm(tokens, (12,), *layer.norm2.parameters(), 1e-6))
        tokens = tokens + layer.mlp[2](F.gelu(inner))
    first = F.layer_norm(tokens[:, 0], (12,), *network.norm.parameters(), 1e-6)
    torch.testing.assert_close(network(images), network.fc[1](first), rtol=1e-4, atol=1e-5)


def test_heads_that_cannot_share_the_numbers_are_refused():
    with pytest.raises(ValueError, match="multiple of n_heads"):
        NETWORKS["ViT"](embedding_size=10, n_heads=3)
