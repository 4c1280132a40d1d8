"""What every network that gives its input back does, on every grid that it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded
from clinicadl.networks.variational import Variational

GRIDS = [(3, 33, 20), (1, 7, 45), (1, 1, 1), (1, 17, 20, 23), (2, 5, 3, 34), (1, 1, 1, 1)]
OF_THEIR_OWN = {"GeneratorUNet": [(1, 64, 32, 32)]}
"""Grids of networks that take no small ones."""
UNUSED = {
    name: {f"{layer}.{of}" for layer in ("bn4", "bn7") for of in ("weight", "bias")}
    for name in ("CVAE_3D_half", "CVAE_3D")
}
"""Weights of the published files that no arithmetic uses."""


def takes(name: str, grid: tuple[int, ...]) -> bool:
    try:
        with torch.device("meta"):
            AUTOENCODERS[name]().build(grid, 1)
    except UsageError:
        return False
    return True


CASES = [
    (name, grid)
    for name in AUTOENCODERS
    for grid in OF_THEIR_OWN.get(name, GRIDS)
    if takes(name, grid)
]
LAW = pytest.mark.parametrize(("name", "grid"), CASES, ids=str)


def network_of(name: str, grid: tuple[int, ...], *, key: str = "weights"):
    with seeded(0, key):
        return AUTOENCODERS[name]().build(grid, 1)


def images_of(grid: tuple[int, ...], n: int = 2) -> Tensor:
    with seeded(0, "images"):
        return torch.rand(n, *grid)


def nearly_equal(one: Tensor, other: Tensor) -> None:
    """Compare what differs by the order of the same sums."""
    error = 1e-9 if one.dtype == torch.float64 else 1e-4
    torch.testing.assert_close(one, other, rtol=error, atol=error)


def precise(name: str) -> torch.dtype:
    """Double precision tells an order of sums from a mistake; big networks take minutes in it."""
    return torch.float32 if name in OF_THEIR_OWN else torch.float64


def trained_on(network: torch.nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """All that a network says in training, with draws of a key."""
    with seeded(0, "noise"):
        return said(network.train()(images))


def said(outputs: Tensor | Variational) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, Variational) else (outputs,)


def test_each_network_is_tried_with_every_number_of_axes():
    for name, row in AUTOENCODERS.items():
        assert {len(grid) - 1 for case, grid in CASES if case == name} == set(row.axes), name


@LAW
@pytest.mark.parametrize("is_training", [True, False])
def test_an_image_gets_its_shape_back(name, grid, is_training):
    network = network_of(name, grid).train(is_training)
    outputs = network(images_of(grid, 3))
    assert said(outputs)[0].shape == (3, *grid)
    assert all(len(one) == 3 for one in said(outputs))
    if isinstance(outputs, Variational):
        assert outputs.mu.shape == outputs.log_variance.shape


@LAW
def test_a_gradient_reaches_every_weight(name, grid):
    network = network_of(name, grid)
    images = images_of(grid)
    reconstruction, *code = trained_on(network, images)
    loss = (reconstruction - images).square().mean() + sum(one.square().mean() for one in code)
    loss.backward()
    gradients = {label: weight.grad for label, weight in network.named_parameters()}
    untouched = {label for label, gradient in gradients.items() if gradient is None}
    assert untouched == UNUSED.get(name, set())
    for label in gradients.keys() - untouched:
        assert gradients[label].isfinite().all(), label
        # What a bias adds, normalisation behind it takes away: its gradient may round to zero.
        assert gradients[label].any() or label.endswith("bias"), label


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
    network(images_of(grid))  # batch statistics that are not those of a new network
    weights.write(tmp_path / "model.safetensors", network.state_dict(), {"network": name})
    back = network_of(name, grid, key="others")
    back.load_state_dict(weights.read(tmp_path / "model.safetensors").state)
    images = images_of(grid)
    for one, other in zip(said(back.eval()(images)), said(network.eval()(images)), strict=True):
        assert torch.equal(one, other)


@LAW
def test_evaluation_is_deterministic_and_changes_nothing(name, grid):
    network = network_of(name, grid).eval()
    before = {label: value.clone() for label, value in network.state_dict().items()}
    images = images_of(grid)
    for one, other in zip(said(network(images)), said(network(images)), strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(before[label], now) for label, now in network.state_dict().items())


@LAW
def test_training_is_deterministic_where_torch_is_asked_for_it(name, grid):
    network, images = network_of(name, grid), images_of(grid)
    found = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            network.zero_grad()
            reconstruction, *_ = trained_on(network, images)
            (reconstruction - images).square().mean().backward()
            found.append([weight.grad for weight in network.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(*found, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@LAW
def test_a_batch_of_two_is_two_of_one(name, grid):
    network = network_of(name, grid).eval().to(precise(name))
    images = images_of(grid).to(precise(name))
    alone = zip(*(said(network(image[None])) for image in images), strict=True)
    for together, one_by_one in zip(said(network(images)), alone, strict=True):
        nearly_equal(together, torch.cat(one_by_one))


@LAW
def test_channels_last_gives_the_same_outputs(name, grid):
    network = network_of(name, grid).eval().to(precise(name))
    images = images_of(grid).to(precise(name))
    plain = said(network(images))
    format_ = torch.channels_last_3d if len(grid) == 4 else torch.channels_last
    turned = network.to(memory_format=format_)(images.contiguous(memory_format=format_))
    for one, other in zip(said(turned), plain, strict=True):
        nearly_equal(one, other)


@LAW
def test_a_new_network_has_seen_no_batch(name, grid):
    state = network_of(name, grid).state_dict()
    assert all(value == 0 for label, value in state.items() if label.endswith("batches_tracked"))


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_what_a_row_says_of_its_network_is_true(name):
    row = AUTOENCODERS[name]
    assert row().name == name
    assert NETWORKS[name] is row
    assert row.tasks == ("reconstruction",)
    assert set(row.axes) <= {2, 3}
    assert len(row.example) - 1 in row.axes
    assert row.__doc__
    assert row.reference
    with torch.device("meta"):
        network = row().build(row.example, 1)
        reconstruction, *_ = said(network(torch.empty(2, *row.example)))
    assert reconstruction.shape == (2, *row.example)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_sizes_below_the_least_one_and_other_axes_are_refused(name):
    row = AUTOENCODERS[name]
    for n_axes in {1, 2, 3, 4} - set(row.axes):
        with pytest.raises(UsageError, match=rf"{name} cannot take this input.*channels x X x Y"):
            row().build((1, *(64,) * n_axes), 1)
    with pytest.raises(UsageError, match=f"{name} cannot take this input.*at least"):
        row().build((1, *(64,) * (row.axes[0] - 1), row.smallest - 1), 1)


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize("shape", [(), (1,), (1, 30), (1, 9, 9, 9, 9), (0, 64, 64), (1, 64, 0, 64)])
def test_an_input_that_is_no_image_is_refused_with_the_expected_one(name, shape):
    with pytest.raises(UsageError, match=rf"{name} cannot take.*channels x X x Y") as caught:
        AUTOENCODERS[name]().build(shape, 1)
    assert caught.value.exit_code == 2


def test_the_documentation_lists_the_networks_with_their_parameters():
    page = (Path(__file__).resolve().parents[2] / "docs/concepts/networks.md").read_text()
    section = page.partition("## Autoencoders")[2]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) at ([\dx ]+) \|", section, re.MULTILINE)
    expected = []
    for name, row in AUTOENCODERS.items():
        with torch.device("meta"):
            network = row().build(row.example, 1)
        n_parameters = sum(weight.numel() for weight in network.parameters())
        sizes = " x ".join(str(size) for size in row.example[1:])
        expected.append((name, f"{n_parameters:,}", sizes))
    assert rows == expected
