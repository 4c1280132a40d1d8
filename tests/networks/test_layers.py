"""Pooling with a zero before the first element of an odd axis."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.networks.layers import PadMaxPool, pool_by_pairs, pool_in_place

WAYS = [pool_in_place, pool_by_pairs]
SIZES = st.lists(st.integers(1, 7), min_size=2, max_size=3)


def by_hand(maps: np.ndarray) -> np.ndarray:
    """Pad with zeros before the first element, then take the largest value of each window."""
    odd = [(size % 2, 0) for size in maps.shape[2:]]
    padded = np.pad(maps, [(0, 0), (0, 0), *odd])
    pooled = np.empty((*maps.shape[:2], *(ceil(size / 2) for size in maps.shape[2:])), maps.dtype)
    for place in np.ndindex(*pooled.shape[2:]):
        window = tuple(slice(2 * i, 2 * i + 2) for i in place)
        corner = padded[(slice(None), slice(None), *window)]
        pooled[(slice(None), slice(None), *place)] = corner.max(tuple(range(2, maps.ndim)))
    return pooled


def gradient_by_hand(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The same through plain PyTorch, on a padded copy."""
    given = maps.clone().requires_grad_()
    odd = [side for size in reversed(maps.shape[2:]) for side in (size % 2, 0)]
    padded = torch.nn.functional.pad(given, odd)
    pool = torch.nn.functional.max_pool3d if maps.dim() == 5 else torch.nn.functional.max_pool2d
    (pool(padded, 2, 2) * weights).sum().backward()
    return given.grad


@pytest.mark.parametrize("way", WAYS)
@given(sizes=SIZES, seed=st.integers(0, 999))
def test_pooling_takes_the_largest_value_of_each_padded_window(way, sizes, seed):
    maps = np.random.default_rng(seed).integers(-3, 3, (2, 3, *sizes)).astype(np.float32)
    np.testing.assert_array_equal(way(torch.from_numpy(maps)).numpy(), by_hand(maps))


@pytest.mark.parametrize("way", WAYS)
@given(sizes=SIZES, seed=st.integers(0, 999))
def test_the_gradient_goes_to_the_first_of_equal_values(way, sizes, seed):
    draws = np.random.default_rng(seed)
    maps = torch.from_numpy(draws.integers(-2, 2, (2, 2, *sizes)).astype(np.float32))
    weights = torch.from_numpy(
        draws.integers(1, 9, (2, 2, *(ceil(size / 2) for size in sizes))).astype(np.float32)
    )
    given_maps = maps.clone().requires_grad_()
    (way(given_maps) * weights).sum().backward()
    assert torch.equal(given_maps.grad, gradient_by_hand(maps, weights))


@pytest.mark.parametrize("way", WAYS)
def test_the_padded_zero_wins_over_negative_values_on_the_low_side_only(way):
    pooled = way(torch.full((1, 1, 3, 5), -1.0))
    assert pooled[0, 0].tolist() == [[0, 0, 0], [0, -1, -1]]


@pytest.mark.parametrize("way", WAYS)
def test_an_undefined_value_stays_undefined(way):
    maps = torch.zeros(1, 1, 3, 3, 3)
    maps[0, 0, 0, 0, 0] = maps[0, 0, 2, 1, 1] = float("nan")
    pooled = way(maps)
    assert pooled[0, 0, 0, 0, 0].isnan()
    assert pooled[0, 0, 1, 1, 1].isnan()
    assert pooled.isnan().sum() == 2


@pytest.mark.parametrize("format_", [torch.contiguous_format, torch.channels_last_3d])
def test_the_memory_format_is_kept(format_):
    maps = torch.rand(2, 3, 5, 6, 7).contiguous(memory_format=format_).requires_grad_()
    pooled = PadMaxPool()(maps)
    pooled.sum().backward()
    assert pooled.shape == (2, 3, 3, 3, 4)
    assert pooled.is_contiguous(memory_format=format_)
    assert maps.grad.is_contiguous(memory_format=format_)


def test_the_input_is_left_as_it_was():
    maps = torch.full((1, 1, 3, 3), -1.0)
    PadMaxPool()(maps)
    assert (maps == -1).all()


@pytest.mark.gpu
def test_pooling_on_a_gpu_is_deterministic_and_equal_to_that_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    maps = torch.randint(-2, 3, (2, 4, 9, 8, 7)).float()
    torch.use_deterministic_algorithms(True)
    try:
        on_gpu = maps.cuda().requires_grad_()
        pooled = PadMaxPool()(on_gpu)
        pooled.square().sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    on_cpu = maps.requires_grad_()
    PadMaxPool()(on_cpu).square().sum().backward()
    assert torch.equal(pooled.cpu(), PadMaxPool()(on_cpu))
    assert torch.equal(on_gpu.grad.cpu(), on_cpu.grad)
