"""Pools whose two forms, and whose gradients, are those of PyTorch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.networks import pools
from clinicadl.networks.pools import AveragePool, GlobalAverage, MaxPool
from clinicadl.networks.streams import seeded

SHAPES = st.one_of(
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(3, 7)),
)
WINDOWS = st.sampled_from([(2, 0), (2, 1), (3, 0), (3, 1)])


def drawn(sizes: tuple[int, ...], *, ties: bool) -> torch.Tensor:
    with seeded(1, "maps"):
        maps = torch.randn(2, 2, *sizes)
    return (maps.round() if ties else maps).requires_grad_()


def with_gradient(function, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a function gives, and the gradient of a sum that weighs each element otherwise."""
    pooled = function(maps)
    weights = torch.arange(1.0, pooled.numel() + 1).reshape(pooled.shape)
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), maps)
    return pooled, gradient


@given(SHAPES, WINDOWS, st.booleans())
def test_the_largest_of_shifts_is_that_of_pytorch_with_its_gradient(sizes, window, ties):
    kernel, padding = window
    maps = drawn(sizes, ties=ties)
    pool = F.max_pool3d if len(sizes) == 3 else F.max_pool2d
    expected = with_gradient(lambda maps: pool(maps, kernel, 2, padding), maps)
    for function in (
        MaxPool(kernel, padding=padding),
        lambda m: pools.largest_of_shifts(m, *window),
    ):
        found = with_gradient(function, maps)
        assert torch.equal(found[0], expected[0])
        # Windows overlap: their shares of one voxel are added in another order.
        torch.testing.assert_close(found[1], expected[1])


@given(SHAPES)
def test_the_mean_of_shifts_is_that_of_pytorch_with_its_gradient(sizes):
    maps = drawn(sizes, ties=False)
    pool = F.avg_pool3d if len(sizes) == 3 else F.avg_pool2d
    expected = with_gradient(lambda maps: pool(maps, 2), maps)
    for function in (AveragePool(), pools.mean_of_shifts):
        found = with_gradient(function, maps)
        torch.testing.assert_close(found, expected)


def test_an_undefined_value_stays_undefined():
    maps = torch.zeros(1, 1, 5, 5)
    maps[..., 2, 2] = torch.nan
    for function in (MaxPool(3), lambda maps: pools.largest_of_shifts(maps, 3, 0)):
        assert function(maps).isnan().all()


@pytest.mark.parametrize("sizes", [(4, 3), (5, 4, 3)])
def test_the_global_average_is_a_mean_and_keeps_the_axes(sizes):
    maps = drawn(sizes, ties=False).detach()
    averaged = GlobalAverage()(maps)
    assert averaged.shape == (2, 2, *(1,) * len(sizes))
    torch.testing.assert_close(averaged.flatten(1), maps.flatten(2).mean(2))


def test_a_printed_network_says_what_its_pools_are():
    assert str(MaxPool(3, padding=1)) == "MaxPool(kernel=3, padding=1)"


@pytest.mark.gpu
def test_gradients_on_a_gpu_are_the_same_bits_each_time():
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    maps = torch.rand(2, 8, 33, 34, 35, device="cuda", requires_grad=True)
    for function in (MaxPool(3, padding=1), MaxPool(2), AveragePool()):
        gradients = [torch.autograd.grad(function(maps).square().sum(), maps) for _ in range(5)]
        assert all(torch.equal(one[0], gradients[0][0]) for one in gradients)
