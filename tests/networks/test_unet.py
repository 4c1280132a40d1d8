"""U-Nets: the published one, and one for images of any size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError


def test_the_published_network_has_its_parameters_and_names():
    with torch.device("meta"):
        network = NETWORKS["GeneratorUNet"]().build((1, 64, 96, 64), 1)
    layers = [*(f"down{i}.model.0" for i in range(1, 6)), *(f"up{i}.model.0" for i in range(1, 5))]
    expected = {
        f"{layer}.{of}" for layer in (*layers, "final.model.1") for of in ("weight", "bias")
    }
    assert set(network.state_dict()) == expected
    assert sum(weight.numel() for weight in network.parameters()) == 50_527_681
    assert network(torch.empty(1, 1, 64, 96, 64, device="meta")).shape == (1, 1, 64, 96, 64)


def test_the_published_forward_pass_is_that_of_plain_layers():
    network = NETWORKS["GeneratorUNet"]().build((1, 32, 32, 64), 1).eval()
    images = torch.rand(1, 1, 32, 32, 64)
    maps, levels = images, []
    for i in range(1, 6):
        maps = getattr(network, f"down{i}").model[0](maps)
        maps = F.leaky_relu(F.instance_norm(maps), 0.2)
        levels.append(maps)
    levels.pop()
    for i in range(1, 5):
        maps = torch.relu(F.instance_norm(getattr(network, f"up{i}").model[0](maps)))
        maps = torch.cat([maps, levels.pop()], 1)
    maps = maps.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    assert torch.equal(network(images), torch.tanh(network.final["model"][1](maps)))


@pytest.mark.parametrize("shape", [(1, 80, 96, 80), (1, 32, 32, 32), (1, 64, 64), (1, 0, 64, 64)])
def test_the_published_network_refuses_other_sizes(shape):
    with pytest.raises(
        UsageError, match="GeneratorUNet cannot take this input.*(multiple of 32|64 or more)"
    ):
        NETWORKS["GeneratorUNet"]().build(shape, 1)


@settings(max_examples=25)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 2), *[st.integers(1, 18)] * 3),
    ),
    n_levels=st.integers(2, 5),
)
def test_an_image_of_any_size_gets_its_size_back(shape, n_levels):
    network = NETWORKS["UNet"](unet_channels=4, unet_levels=n_levels).build(shape, 1)
    assert network(torch.rand(1, *shape)).shape == (1, *shape)


def test_levels_double_the_channels_and_halve_the_size():
    network = NETWORKS["UNet"](unet_channels=8, unet_levels=4).build((2, 20, 21, 22), 1)
    sizes = []
    for block in (network.first, *network.down):
        block.register_forward_hook(lambda _, given, made: sizes.append(tuple(made.shape[1:])))
    network(torch.rand(1, 2, 20, 21, 22))
    assert sizes == [(8, 24, 24, 24), (16, 12, 12, 12), (32, 6, 6, 6), (64, 3, 3, 3)]


def test_what_lies_outside_the_image_is_zero_and_at_its_far_sides():
    network = NETWORKS["UNet"](unet_levels=3).build((1, 8, 8), 1).eval()
    images = torch.zeros(1, 1, 8, 8)
    images[..., :6, :5] = torch.rand(6, 5)
    cropped = network(images[..., :6, :5])
    assert torch.equal(cropped, network(images)[..., :6, :5])


def test_a_few_steps_teach_it_to_remove_noise():
    torch_generator = torch.Generator().manual_seed(0)
    clean = torch.zeros(4, 1, 12, 12, 12)
    clean[..., 3:9, 3:9, 3:9] = 1
    noise = 0.5 * torch.randn(clean.shape, generator=torch_generator)
    network = NETWORKS["UNet"](unet_channels=4, unet_levels=2).build((1, 12, 12, 12), 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        F.mse_loss(network(clean + noise), clean).backward()
        optimizer.step()
    assert F.mse_loss(network(clean + noise), clean) < 0.3 * noise.square().mean()


def test_the_widths_of_the_settings_are_multiples_of_four():
    with pytest.raises(ValueError, match="multiple of 4"):
        NETWORKS["UNet"](unet_channels=6)
