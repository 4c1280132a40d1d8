"""Autoencoders with a code of numbers: published names and sizes, draws in training alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError
from clinicadl.networks.streams import seeded
from clinicadl.tasks.losses import gaussian

REDUCED = [(1, 80, 96, 80), (1, 56, 64, 56), (1, 40, 48, 40), (1, 32, 40, 32)]
COUNTS = [
    *zip(["Vanilla3DdenseVAE"] * 4, REDUCED,
         [20_411_360, 5_461_856, 2_314_592, 1_790_048], strict=True),
    *zip(["CVAE_3D_half"] * 4, REDUCED,
         [80_337_217, 27_177_281, 11_255_617, 6_650_177], strict=True),
    *zip(["CVAE_3D_final_conv"] * 4, REDUCED,
         [80_336_093, 27_176_157, 11_254_493, 6_649_053], strict=True),
    ("CVAE_3D", (1, 169, 208, 179), 866_946_369),
]  # fmt: skip
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
VARIATIONAL = [
    "Vanilla3DdenseVAE", "VanillaDenseVAE", "CVAE_3D_half", "CVAE_3D_final_conv", "CVAE_3D",
]  # fmt: skip
BOTH = ("weight", "bias")


def small(name: str, shape: tuple[int, ...] | None = None) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network of the row on a tiny grid, and images for it."""
    shape = shape or ((2, 18, 17) if name == "VanillaDenseVAE" else (2, 18, 17, 20))
    with seeded(0, "weights"):
        network = NETWORKS[name](latent_space_size=5).build(shape, 1)
    with seeded(0, "images"):
        return network, torch.rand(3, *shape)


@pytest.mark.parametrize(("name", "shape", "expected"), COUNTS, ids=str)
def test_networks_have_as_many_parameters_as_the_published_ones(name, shape, expected):
    with torch.device("meta"):
        network = NETWORKS[name]().build(shape, 1)
    assert sum(weight.numel() for weight in network.parameters()) == expected


def test_weights_of_the_dense_vae_have_the_names_of_the_published_files():
    expected = {f"encoder.{i}.layer.0.weight" for i in range(4)}
    expected |= {f"encoder.{i}.layer.1.{of}" for i in range(4) for of in BATCH_NORM}
    expected |= {f"encoder.5.0.{of}" for of in BOTH}
    expected |= {f"{layer}.{of}" for layer in ("mu_layer", "var_layer") for of in BOTH}
    expected |= {f"decoder.0.{i}.{of}" for i in (0, 2) for of in BOTH}
    expected |= {f"decoder.{i}.layer.0.weight" for i in (2, 3, 4)}
    expected |= {f"decoder.{i}.layer.1.{of}" for i in (2, 3, 4) for of in BATCH_NORM}
    expected |= {"decoder.5.0.weight"}
    with torch.device("meta"):
        network = NETWORKS["Vanilla3DdenseVAE"]().build((1, 32, 40, 32), 1)
    assert set(network.state_dict()) == expected


@pytest.mark.parametrize("name", ["CVAE_3D_half", "CVAE_3D", "CVAE_3D_final_conv"])
def test_weights_of_the_convolutional_vaes_have_the_names_of_the_published_files(name):
    layers = ["conv1", "conv2", "conv3", "fc10", "fc11", "fc2", "upconv1", "upconv2", "upconv4"]
    expected = {f"{layer}.{of}" for layer in layers for of in BOTH}
    if name == "CVAE_3D_final_conv":
        expected |= {f"final.{of}" for of in BOTH}
    else:
        expected |= {f"bn{i}.{of}" for i in range(1, 8) for of in BATCH_NORM}
    network, _ = small(name)
    assert set(network.state_dict()) == expected


def test_layers_between_code_and_maps_have_the_published_sizes():
    with torch.device("meta"):
        dense = NETWORKS["Vanilla3DdenseVAE"]().build((1, 80, 96, 80), 1)
        whole = NETWORKS["CVAE_3D"]().build((1, 169, 208, 179), 1)
        half = NETWORKS["CVAE_3D_half"]().build((1, 80, 96, 80), 1)
        plain = NETWORKS["CAE_half"]().build((1, 80, 96, 80), 1)
    assert dense.encoder[5][0].in_features == 64 * 5 * 6 * 5
    assert dense.decoder[1].unflattened_size == (64, 5, 6, 5)
    assert whole.fc10.in_features == 1_683_968
    assert [one.output_padding for one in (whole.upconv1, whole.upconv2, whole.upconv4)] == [
        (0, 1, 0), (0, 1, 1), (0, 1, 0),
    ]  # fmt: skip
    assert half.fc10.in_features == 153_600
    assert half.upconv1.output_padding == half.upconv4.output_padding == (1, 1, 1)
    assert plain.encoder[4].in_features == 153_600
    assert plain.decoder[1].unflattened_size == (256, 10, 12, 10)


@settings(max_examples=12)
@given(sizes=st.tuples(st.integers(4, 21), st.integers(4, 21), st.integers(9, 21)))
@pytest.mark.parametrize("name", ["CAE_half", "CVAE_3D_half", "CVAE_3D_final_conv", "CVAE_3D"])
def test_an_image_of_any_size_gets_its_size_back(name, sizes):
    network = NETWORKS[name](latent_space_size=3).build((1, *sizes), 1).eval()
    said = network(torch.rand(2, 1, *sizes))
    assert (said if name == "CAE_half" else said.reconstruction).shape == (2, 1, *sizes)


@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(8, 37), min_size=3, max_size=3),
    n_conv=st.integers(1, 3),
    feature_size=st.sampled_from([0, 6]),
)
def test_the_dense_vae_takes_any_size_depth_and_no_linear_layer(sizes, n_conv, feature_size):
    row = NETWORKS["Vanilla3DdenseVAE"](
        latent_space_size=3, feature_size=feature_size, n_conv=n_conv, io_layer_channels=2
    )
    sizes = [max(size, 16) for size in sizes]
    said = row.build((1, *sizes), 1).eval()(torch.rand(2, 1, *sizes))
    assert said.reconstruction.shape == (2, 1, *sizes)
    assert said.mu.shape == said.log_variance.shape == (2, 3)


@pytest.mark.parametrize("name", VARIATIONAL)
def test_in_evaluation_the_reconstruction_is_that_of_the_mean(name):
    network, images = small(name)
    network.eval()
    said = network(images)
    if name.startswith("Vanilla"):
        expected = network.decoder(network.mu_layer(network.encoder(images)))
    else:
        expected = network._decoded(said.mu)
        assert said.mu.abs().max() <= 1
    assert torch.equal(said.reconstruction, expected)
    assert torch.equal(network(images).reconstruction, said.reconstruction)


@pytest.mark.parametrize("name", VARIATIONAL)
def test_in_training_each_sample_has_a_draw_of_its_own(name):
    network, images = small(name)
    codes = []
    first = network.decoder if name.startswith("Vanilla") else network.fc2
    first.register_forward_pre_hook(lambda _, given: codes.append(given[0].detach()))
    with seeded(0, "noise"):
        said = network(images)
    noise = (codes[0] - said.mu) / (said.log_variance / 2).exp()
    with seeded(0, "noise"):
        expected = torch.randn_like(said.mu)
    # Adding the mean and taking it away again rounds.
    torch.testing.assert_close(noise, expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(network(images).reconstruction, said.reconstruction)


@pytest.mark.parametrize("name", [*VARIATIONAL, "CAE_half"])
def test_a_loss_leaves_the_mode_alone_and_goes_down(name):
    network, images = small(name)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for step in range(8):
        with seeded(0, "noise", sample=step):
            said = network(images)
        if name == "CAE_half":
            loss = (said - images).square().sum()
        else:
            terms = gaussian(said, images)
            loss = (terms.reconstruction + terms.divergence).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert network.training
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("name", "settings_", "shape", "complaint"),
    [
        ("CVAE_3D", {}, (1, 64, 64), "CVAE_3D cannot take.*found: 1 x 64 x 64.*X x Y x Z"),
        ("VanillaDenseVAE", {}, (1, 64, 64, 64), r"VanillaDenseVAE cannot take.*X x Y \(slices\)"),
        ("VanillaDenseVAE", {}, (1, 64, 15), "each size at least 16"),
        ("Vanilla3DdenseVAE", {"n_conv": 6}, (1, 63, 64, 64), "too small for 6 .*63.*size of 64"),
        ("CVAE_3D_final_conv", {}, (1, 8, 8, 8), "single voxel.*8 x 8 x 8.*at least 9"),
        ("CAE_half", {}, (0, 8, 8, 8), "CAE_half cannot take"),
    ],
)
def test_an_input_that_it_cannot_take_is_refused_with_the_expected_one(
    name, settings_, shape, complaint
):
    with pytest.raises(UsageError, match=complaint) as caught:
        NETWORKS[name](**settings_).build(shape, 1)
    assert caught.value.exit_code == 2


def test_the_least_input_that_a_message_names_is_taken():
    network = NETWORKS["CVAE_3D_final_conv"](latent_space_size=2).build((1, 9, 8, 8), 1)
    assert network(torch.rand(1, 1, 9, 8, 8)).reconstruction.shape == (1, 1, 9, 8, 8)


def test_settings_have_the_published_defaults():
    dense = NETWORKS["Vanilla3DdenseVAE"]()
    assert (dense.latent_space_size, dense.feature_size) == (128, 1024)
    assert (dense.n_conv, dense.io_layer_channels) == (4, 8)
    weights = {name: NETWORKS[name].kl_weight for name in VARIATIONAL}
    assert {name: weight for name, weight in weights.items() if weight != 1} == {"CVAE_3D": 5}
