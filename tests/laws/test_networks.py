"""What every network that classifies does, on every grid that it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clinicadl.config.architecture import Architecture
from clinicadl.config.network import NETWORKS
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.engine.devices import deterministic
from clinicadl.errors import UsageError
from clinicadl.networks import weights
from clinicadl.networks.fits import check_fits, check_input
from clinicadl.networks.listing import list_models, parse_input_size, shown_input_size
from clinicadl.networks.streams import seeded

GRIDS = [
    (1, 33, 20), (3, 32, 32), (3, 7, 45), (2, 1, 1),
    (1, 32, 33, 35), (1, 17, 20, 23), (2, 5, 3, 34), (1, 1, 1, 1), (1, 63, 64, 65),
]  # fmt: skip
CLASSIFIERS = [name for name, row in NETWORKS.items() if "classification" in row.tasks]
LARGE = 3_000_000
"""Parameters beyond which a network is tried on the first fitting grid of each kind alone."""


def settings_of(name: str, **settings: object) -> Architecture:
    return NETWORKS[name](**{**NETWORKS[name].needed, **settings})


def fits(name: str, grid: tuple[int, ...]) -> bool:
    try:
        check_input(settings_of(name), grid)
    except UsageError:
        return False
    return True


def n_parameters(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def grids_of(name: str) -> Sequence[tuple[int, ...]]:
    """Fitting grids; the largest is for those that take no other, and big networks get few."""
    grids = [grid for grid in GRIDS if fits(name, grid)]
    grids = [grid for grid in grids if prod(grid) < 10**5] or grids
    with torch.device("meta"):
        if n_parameters(settings_of(name).build(grids[0], 2)) < LARGE:
            return grids
    return list({len(grid): grid for grid in reversed(grids)}.values())


CASES = [(name, grid) for name in CLASSIFIERS for grid in grids_of(name)]
LAW = pytest.mark.parametrize(("name", "grid"), CASES, ids=str)


def network_of(name: str, grid: tuple[int, ...], *, key: str = "weights", n_outputs: int = 3):
    with seeded(0, key):
        return settings_of(name).build(grid, n_outputs)


def images_of(grid: tuple[int, ...], n: int = 2) -> Tensor:
    with seeded(0, "images"):
        return torch.rand(n, *grid)


def said(outputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """All that a network says: most say one thing."""
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def test_each_network_is_tried_with_every_number_of_axes():
    for name in CLASSIFIERS:
        tried = {len(grid) - 1 for case, grid in CASES if case == name}
        assert tried == set(NETWORKS[name].axes), name


@LAW
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_each_sample_has_n_outputs(name, grid, n_outputs):
    network = network_of(name, grid, n_outputs=n_outputs).eval()
    first, *_ = said(network(images_of(grid, 3)))
    assert first.shape == (3, n_outputs)


def untouched(name: str, grid: tuple[int, ...], key: str) -> set[str]:
    network = network_of(name, grid, key=key)
    targets = torch.tensor([0, 1, 1, 0])
    with seeded(0, "dropout"):
        outputs = said(network(images_of(grid, 4)))
    sum(torch.nn.functional.cross_entropy(one, targets) for one in outputs).backward()
    return {
        label
        for label, weight in network.named_parameters()
        if weight.grad is None or not weight.grad.any() or not weight.grad.isfinite().all()
    }


@LAW
def test_a_gradient_reaches_every_weight(name, grid):
    # Forward and backward, and no operation that gives other bits each time.
    with deterministic(ReproducibilityConfig(deterministic=True)):
        left = untouched(name, grid, "weights")
    for key in ("others", "more", "again"):
        # A single ReLU that is never positive for four images is chance, and no fault.
        left = left and left & untouched(name, grid, key)
    assert not left


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
def test_a_batch_of_two_is_two_of_one(name, grid):
    network = network_of(name, grid).eval()
    images = images_of(grid)
    alone = zip(*(said(network(image[None])) for image in images), strict=True)
    for together, one_by_one in zip(said(network(images)), alone, strict=True):
        # Another batch size makes another order of the same sums.
        torch.testing.assert_close(together, torch.cat(one_by_one), rtol=1e-5, atol=1e-5)


@LAW
def test_channels_last_gives_the_same_outputs(name, grid):
    network = network_of(name, grid).eval()
    images = images_of(grid)
    plain = said(network(images))
    format_ = torch.channels_last_3d if len(grid) == 4 else torch.channels_last
    turned = network.to(memory_format=format_)(images.contiguous(memory_format=format_))
    # Another memory format makes another order of the same sums.
    for one, other in zip(said(turned), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@LAW
def test_a_new_network_has_seen_no_batch(name, grid):
    state = network_of(name, grid).state_dict()
    assert all(value == 0 for label, value in state.items() if label.endswith("batches_tracked"))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_dropout_of_the_settings_is_that_of_the_network(name):
    row = NETWORKS[name]
    for expected in (row.model_fields["dropout"].default, 0.25):
        with torch.device("meta"):
            network = settings_of(name, dropout=expected).build(row.example, 2)
        found = {one.p for one in network.modules() if isinstance(one, torch.nn.Dropout)}
        assert found == {expected}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_a_row_says_of_its_network_is_true(name):
    row, settings = NETWORKS[name], settings_of(name)
    assert settings.name == name
    assert row.reference
    assert row.__doc__
    assert set(row.tasks) <= {"classification", "regression", "reconstruction"}
    assert set(row.axes) <= {2, 3}
    n_channels = row.channels or 1
    for task in row.tasks:
        check_fits(settings, task, row.example, n_domains=row.n_domains)
    for n_axes in row.axes:
        with torch.device("meta"):
            network = settings.build((n_channels, *(row.smallest,) * n_axes), 2)
            images = torch.empty(3, n_channels, *(row.smallest,) * n_axes)
        assert said(network.eval()(images))[0].shape == (3, 2)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("shape", [(), (1,), (1, 30), (1, 9, 9, 9, 9), (0, 90, 90), (1, 90, 0, 90)])
def test_an_input_that_is_no_image_is_refused_with_the_expected_one(name, shape):
    with pytest.raises(UsageError, match=rf"{name} cannot take.*channels x X x Y") as caught:
        settings_of(name).build(shape, 2)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_an_input_that_is_too_small_or_has_other_channels_or_axes_is_refused(name):
    row, settings = NETWORKS[name], settings_of(name)
    sizes = (row.smallest,) * max(row.axes)
    wrong = [(row.channels or 1, row.smallest - 1, *sizes[1:])]
    wrong += [(row.channels or 1, *(90,) * n_axes) for n_axes in {2, 3} - set(row.axes)]
    wrong += [(row.channels + 1, *sizes)] if row.channels else []
    for shape in wrong:
        with pytest.raises(UsageError, match=f"at least {row.smallest}"):
            settings.build(shape, 2)


def test_the_documentation_lists_the_networks_with_their_parameters():
    page = (Path(__file__).resolve().parents[2] / "docs/concepts/networks.md").read_text()
    table = page[page.index("| name | tasks |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| `([\w.]+)` \|(.*)\|$", table, re.MULTILINE)
    expected = [
        (
            one.name,
            f" {', '.join(one.tasks)} | {one.dimension} | {one.takes} "
            f"| {shown_input_size(one.input_shape)} | {one.n_parameters:,} | {one.reference} ",
        )
        for one in list_models()
    ]
    assert rows == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_examples_are_written_and_read_in_the_published_form(name):
    example = NETWORKS[name].example
    assert parse_input_size(shown_input_size(example)) == example
