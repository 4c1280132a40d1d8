"""What every network that classifies does, on every grid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.network import NETWORKS
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded

GRIDS = [
    (1, 33, 20), (3, 32, 32), (1, 7, 45), (2, 1, 1),
    (1, 17, 20, 23), (1, 32, 32, 32), (2, 5, 3, 34), (1, 1, 1, 1), (1, 16, 9, 16),
]  # fmt: skip
CLASSIFIERS = [name for name in NETWORKS if name not in AUTOENCODERS]
LAW = pytest.mark.parametrize(
    ("name", "grid"), [(name, grid) for name in CLASSIFIERS for grid in GRIDS], ids=str
)


def network_of(name: str, grid: tuple[int, ...], *, key: str = "weights", n_outputs: int = 3):
    with seeded(0, key):
        return NETWORKS[name]().build(grid, n_outputs)


def images_of(grid: tuple[int, ...], n: int = 2) -> torch.Tensor:
    with seeded(0, "images"):
        return torch.rand(n, *grid)


@LAW
@pytest.mark.parametrize("n_outputs", [1, 2, 5])
def test_each_sample_has_n_outputs(name, grid, n_outputs):
    network = network_of(name, grid, n_outputs=n_outputs)
    assert network(images_of(grid, 3)).shape == (3, n_outputs)


@LAW
def test_a_gradient_reaches_every_weight(name, grid):
    network = network_of(name, grid)
    outputs = network(images_of(grid, 4))
    torch.nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 0])).backward()
    untouched = [
        label
        for label, weight in network.named_parameters()
        if weight.grad is None or not weight.grad.any() or not weight.grad.isfinite().all()
    ]
    assert not untouched


@LAW
def test_the_same_key_gives_the_same_weights_and_another_gives_others(name, grid):
    one, same, other = (
        network_of(name, grid, key=key).state_dict() for key in ("weights", "weights", "others")
    )
    assert all(torch.equal(one[label], same[label]) for label in one)
    assert not all(torch.equal(one[label], other[label]) for label in one)


@LAW
def test_weights_survive_write_and_read(name, grid, tmp_path):
    network = network_of(name, grid)
    network(images_of(grid, 4))  # batch statistics that are not those of a new network
    weights.write(tmp_path / "model.safetensors", network.state_dict(), {"network": name})
    back = network_of(name, grid, key="others")
    back.load_state_dict(weights.read(tmp_path / "model.safetensors").state)
    images = images_of(grid)
    assert torch.equal(back.eval()(images), network.eval()(images))


@LAW
def test_evaluation_is_deterministic_and_changes_nothing(name, grid):
    network = network_of(name, grid).eval()
    before = {label: value.clone() for label, value in network.state_dict().items()}
    images = images_of(grid)
    assert torch.equal(network(images), network(images))
    assert all(torch.equal(before[label], now) for label, now in network.state_dict().items())


@LAW
def test_a_batch_of_two_is_two_of_one(name, grid):
    network = network_of(name, grid).eval()
    images = images_of(grid)
    alone = torch.cat([network(image[None]) for image in images])
    # Another batch size makes another order of the same sums.
    torch.testing.assert_close(network(images), alone, rtol=1e-5, atol=1e-6)


@LAW
def test_channels_last_gives_the_same_outputs(name, grid):
    network = network_of(name, grid).eval()
    images = images_of(grid)
    plain = network(images)
    format_ = torch.channels_last_3d if len(grid) == 4 else torch.channels_last
    turned = network.to(memory_format=format_)(images.contiguous(memory_format=format_))
    # Another memory format makes another order of the same sums.
    torch.testing.assert_close(turned, plain, rtol=1e-5, atol=1e-6)


def test_each_network_is_named_as_its_row():
    assert all(settings().name == name for name, settings in NETWORKS.items())


def test_the_documentation_lists_the_networks_with_their_parameters():
    page = (Path(__file__).resolve().parents[2] / "docs/concepts/networks.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \|$", page, re.MULTILINE)
    with torch.device("meta"):
        networks = {name: NETWORKS[name]().build((1, 169, 208, 179), 2) for name in CLASSIFIERS}
    assert rows == [
        (name, f"{sum(weight.numel() for weight in network.parameters()):,}")
        for name, network in networks.items()
    ]
