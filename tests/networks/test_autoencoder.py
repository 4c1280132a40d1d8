"""The mirror image of a network: its layers, names and sizes, and what it gives back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError
from clinicadl.networks.autoencoder import Autoencoder, mirror_image
from clinicadl.networks.layers import CropMaxUnpool, PadMaxPool
from clinicadl.networks.streams import seeded

PUBLISHED = ["AE_Conv5_FC3", "AE_Conv4_FC3"]
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def facts(layer: nn.Module) -> tuple[object, ...]:
    """What kind of layer it is, and its channels."""
    if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.output_padding)
        return type(layer), layer.in_channels, layer.out_channels, *(one[0] for one in sizes)
    channels = getattr(layer, "num_features", None)
    return (type(layer),) if channels is None else (type(layer), channels)


@pytest.mark.parametrize("name", PUBLISHED)
def test_in_volumes_a_block_is_unpooling_convolution_normalisation_and_relu(name):
    decoder = NETWORKS[name]().build((2, 33, 40, 35), 1).decoder
    expected = []
    for given_channels, made in ((128, 64), (64, 32), (32, 16), (16, 8), (8, 2)):
        expected += [
            (CropMaxUnpool,),
            (nn.ConvTranspose3d, given_channels, made, 3, 1, 1, 0),
            (nn.BatchNorm3d, made),
            (nn.ReLU,),
        ]
    assert [facts(layer) for layer in decoder] == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_in_slices_a_block_is_unpooling_relu_normalisation_and_convolution(name):
    decoder = NETWORKS[name]().build((3, 37, 45), 1).decoder
    expected = []
    for given_channels, made in ((128, 64), (64, 32), (32, 16), (16, 8), (8, 3)):
        expected += [
            (CropMaxUnpool,),
            (nn.ReLU,),
            (nn.BatchNorm2d, given_channels),
            (nn.ConvTranspose2d, given_channels, made, 3, 1, 1, 0),
        ]
    assert [facts(layer) for layer in decoder] == expected


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    ("shape", "convolutions", "normalisations"),
    [
        ((1, 50, 50, 50), (1, 5, 9, 13, 17), (2, 6, 10, 14, 18)),
        ((1, 128, 128), (3, 7, 11, 15, 19), (2, 6, 10, 14, 18)),
    ],
    ids=str,
)
def test_weights_have_the_names_of_the_published_files(name, shape, convolutions, normalisations):
    expected = {f"encoder.{i}.{of}" for i in (0, 4, 8, 12, 16) for of in ("weight", "bias")}
    expected |= {f"encoder.{i}.{of}" for i in (1, 5, 9, 13, 17) for of in BATCH_NORM}
    expected |= {f"decoder.{i}.{of}" for i in convolutions for of in ("weight", "bias")}
    expected |= {f"decoder.{i}.{of}" for i in normalisations for of in BATCH_NORM}
    assert set(NETWORKS[name]().build(shape, 1).state_dict()) == expected


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 50, 50, 50), 589_059),
        ((1, 169, 208, 179), 589_059),
        ((1, 128, 128), 197_345),
        ((3, 37, 45), 197_635),
    ],
    ids=str,
)
def test_networks_have_as_many_parameters_as_the_published_ones(name, shape, expected):
    with torch.device("meta"):
        network = NETWORKS[name]().build(shape, 1)
    assert sum(weight.numel() for weight in network.parameters()) == expected


def test_the_encoder_is_what_the_network_of_the_same_key_begins_with():
    with seeded(0, "weights"):
        network = NETWORKS["Conv5_FC3"]().build((1, 20, 20, 20), 2)
    with seeded(0, "weights"):
        encoder = NETWORKS["AE_Conv5_FC3"]().build((1, 20, 20, 20), 2).encoder.state_dict()
    state = network.convolutions.state_dict()
    assert state.keys() == encoder.keys()
    assert all(torch.equal(state[label], encoder[label]) for label in state)


@pytest.mark.parametrize("shape", [(1, 35, 20, 41), (2, 35, 41)], ids=str)
def test_the_forward_pass_is_that_of_plain_layers_on_padded_maps(shape):
    network = NETWORKS["AE_Conv5_FC3"]().build(shape, 1).eval()
    pool = F.max_pool3d if len(shape) == 4 else F.max_pool2d
    unpool = F.max_unpool3d if len(shape) == 4 else F.max_unpool2d
    maps = images = torch.rand(2, *shape)
    found = []
    for i in range(0, 20, 4):
        maps = torch.relu(network.encoder[i + 1](network.encoder[i](maps)))
        odd = [size % 2 for size in maps.shape[2:]]
        padded = F.pad(maps, [side for one in reversed(odd) for side in (one, 0)])
        maps, indices = pool(padded, 2, 2, return_indices=True)
        found.append((indices, padded.shape[2:], odd))
    for i in range(0, 20, 4):
        indices, size, odd = found.pop()
        maps = unpool(maps, indices, 2, 2, output_size=size)
        maps = maps[(..., *(slice(one, None) for one in odd))]
        for layer in network.decoder[i + 1 : i + 4]:
            maps = layer(maps)
    assert torch.equal(network(images), maps)


@settings(max_examples=25)
@given(shape=st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 35), st.integers(1, 20)),
))  # fmt: skip
def test_an_image_of_any_size_gets_its_size_back(shape):
    network = NETWORKS["AE_Conv5_FC3"]().build(shape, 1).eval()
    assert network(torch.rand(1, *shape)).shape == (1, *shape)


def _layers_of(draw: st.DrawFn, n_axes: int, n_channels: int) -> list[nn.Module]:
    convolution = nn.Conv3d if n_axes == 3 else nn.Conv2d
    max_pool = nn.MaxPool3d if n_axes == 3 else nn.MaxPool2d
    batch_norm = nn.BatchNorm3d if n_axes == 3 else nn.BatchNorm2d
    each = st.lists(st.integers(1, 3), min_size=n_axes, max_size=n_axes).map(tuple)
    layers: list[nn.Module] = []
    for kind in draw(st.lists(st.sampled_from("cpmbrldn"), min_size=1, max_size=8)):
        if kind == "c":
            made = draw(st.integers(1, 3))
            kernel, stride, dilation = draw(each), draw(each), draw(each)
            padding = tuple(draw(st.integers(0, 2)) for _ in range(n_axes))
            layers.append(convolution(n_channels, made, kernel, stride, padding, dilation))
            n_channels = made
        else:
            layers.append({
                "p": PadMaxPool(), "m": max_pool(draw(each)), "b": batch_norm(n_channels),
                "r": nn.ReLU(), "l": nn.LeakyReLU(0.2), "d": nn.Dropout(0.5),
                "n": nn.Sequential(nn.Tanh(), nn.Sequential(PadMaxPool())),
            }[kind])  # fmt: skip
    return layers


@settings(max_examples=60)
@given(st.data(), st.integers(2, 3), st.integers(1, 2))
def test_whatever_has_a_mirror_image_gives_the_size_back(data, n_axes, n_channels):
    layers = nn.Sequential(*_layers_of(data.draw, n_axes, n_channels))
    sizes = data.draw(st.lists(st.integers(1, 17), min_size=n_axes, max_size=n_axes))
    images = torch.rand(2, n_channels, *sizes)
    layers.eval()
    try:
        layers(images)
    except RuntimeError:  # a map has become smaller than a kernel
        assume(False)
    network = Autoencoder(layers, (n_channels, *sizes)).eval()
    assert network(images).shape == images.shape


def test_each_layer_has_the_mirror_image_that_was_published():
    layers = nn.Sequential(
        nn.Conv2d(2, 6, (3, 5), stride=2, padding=1, groups=2, bias=False),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Sequential(nn.Conv2d(6, 4, 1), nn.ELU()),
        nn.Flatten(),
        nn.Linear(4 * 2 * 2, 5, bias=False),
        nn.BatchNorm1d(5),
    )
    normalisation, linear, back, elu, narrow, dropout, unpool, leaky, wide = mirror_image(
        layers, (2, 9, 12)
    )
    assert facts(normalisation) == (nn.BatchNorm1d, 5)
    assert (linear.in_features, linear.out_features, linear.bias) == (5, 16, None)
    assert isinstance(back, nn.Unflatten)
    assert back.unflattened_size == (4, 2, 2)
    assert isinstance(elu, nn.ELU)
    assert elu is not layers[4][1]
    assert facts(narrow) == (nn.ConvTranspose2d, 4, 6, 1, 1, 0, 0)
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.3
    assert isinstance(unpool, CropMaxUnpool)
    assert leaky.negative_slope == 5
    assert (wide.kernel_size, wide.stride, wide.groups, wide.bias) == ((3, 5), (2, 2), 2, None)
    # 9 -> 5 -> 9 and, with a kernel of 5, 12 -> 5 -> 11 without what is added.
    assert wide.output_padding == (0, 1)
    network = Autoencoder(layers, (2, 9, 12)).eval()
    assert network(torch.rand(3, 2, 9, 12)).shape == (3, 2, 9, 12)


def test_a_convolution_of_stride_two_gets_the_size_back_that_it_halved():
    layers = nn.Sequential(
        nn.Conv3d(1, 8, 3, stride=2, padding=1), nn.BatchNorm3d(8), nn.ReLU(),
        nn.Conv3d(8, 16, 3, stride=2, padding=1), nn.BatchNorm3d(16), nn.ReLU(),
    )  # fmt: skip
    image = mirror_image(layers, (1, 7, 8, 10))
    assert [facts(layer) for layer in image] == [
        (nn.ConvTranspose3d, 16, 8, 3, 2, 1, 1), (nn.BatchNorm3d, 8), (nn.ReLU,),
        (nn.ConvTranspose3d, 8, 1, 3, 2, 1, 0), (nn.BatchNorm3d, 1), (nn.ReLU,),
    ]  # fmt: skip
    assert [image[i].output_padding for i in (0, 3)] == [(1, 1, 0), (0, 1, 1)]


def test_only_the_relu_of_its_own_convolution_changes_places():
    layers = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Conv3d(2, 3, 1), nn.Tanh(), nn.LeakyReLU(0.5))
    kinds = [type(layer) for layer in mirror_image(layers, (1, 4, 4, 4))]
    assert kinds == [nn.ConvTranspose3d, nn.Tanh, nn.LeakyReLU, nn.ConvTranspose3d]


def test_training_is_deterministic_and_reaches_every_weight():
    network = NETWORKS["AE_Conv5_FC3"]().build((1, 33, 40, 35), 1)
    images = torch.rand(2, 1, 33, 40, 35)
    gradients = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            network.zero_grad()
            F.mse_loss(network(images), images).backward()
            gradients.append([weight.grad.clone() for weight in network.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert all(gradient.any() for gradient in gradients[0])


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.AvgPool3d(2), "AvgPool3d"),
        (nn.MaxPool3d(3, stride=2), r"MaxPool3d\(kernel_size=3, stride=2"),
        (nn.MaxPool3d(2, ceil_mode=True), "ceil_mode=True"),
        (nn.MaxPool3d(2, dilation=2), "dilation=2"),
        (nn.Conv3d(1, 1, 3, padding="same"), "padding=same"),
        (nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular"), "padding_mode=circular"),
        (nn.GroupNorm(1, 1), "GroupNorm"),
        (nn.LeakyReLU(0), "LeakyReLU"),
        (nn.Flatten(0), "Flatten"),
        (nn.Bilinear(1, 1, 1), "Bilinear"),
    ],
    ids=str,
)
def test_layers_without_a_mirror_image_are_all_named(layer, named):
    layers = nn.Sequential(nn.Conv3d(1, 1, 1), layer, nn.ReLU(), nn.Softmax(1))
    with pytest.raises(UsageError, match=rf"no mirror image.*{named}.*Softmax\(dim=1\)") as caught:
        mirror_image(layers, (1, 8, 8, 8))
    assert caught.value.exit_code == 2


def test_any_network_is_mirrored_by_its_name():
    ours = NETWORKS["Autoencoder"](of="Conv4_FC3")
    for settings_, shape in ((ours, (1, 20, 9, 8)), (NETWORKS["Autoencoder"](), (2, 20, 30))):
        network = settings_.build(shape, 1)
        published = NETWORKS["AE_Conv5_FC3"]().build(shape, 1)
        assert str(network) == str(published)


@pytest.mark.parametrize(
    ("of", "complaint"),
    [
        ("Conv5FC3", "no network of this name.*found: Conv5FC3.*nearest.*Conv5_FC3"),
        ("GeneratorUNet", "no convolutions.*found: GeneratorUNet"),
        ("Autoencoder", "no convolutions.*found: Autoencoder"),
    ],
)
def test_a_name_without_convolutions_is_refused(of, complaint):
    with pytest.raises(UsageError, match=complaint):
        NETWORKS["Autoencoder"](of=of).build((1, 32, 32, 64), 1)
