"""Pooling with a zero before the first element of an odd axis, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.networks.layers import (
    CropMaxUnpool,
    PadMaxPool,
    Windows,
    pool_by_pairs,
    pool_in_place,
    pool_with_places,
    unpool_by_windows,
    unpool_in_place,
)

WAYS = [pool_in_place, pool_by_pairs]
UNPOOLING = [unpool_in_place, unpool_by_windows]
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


def drawn(*shape: int, seed: int, low: int = -3, high: int = 4) -> torch.Tensor:
    """Whole numbers, many of them equal."""
    draws = np.random.default_rng(seed)
    return torch.from_numpy(draws.integers(low, high, shape).astype(np.float32))


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch refuse what depends on the order of threads."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def round_trip_by_hand(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pooled maps and twice their value unpooled, by torch alone on a padded copy."""
    odd = [size % 2 for size in maps.shape[2:]]
    padded = torch.nn.functional.pad(maps, [side for one in reversed(odd) for side in (one, 0)])
    volumes = maps.dim() == 5
    pool = torch.nn.functional.max_pool3d if volumes else torch.nn.functional.max_pool2d
    unpool = torch.nn.functional.max_unpool3d if volumes else torch.nn.functional.max_unpool2d
    pooled, indices = pool(padded, 2, 2, return_indices=True)
    back = unpool(2 * pooled, indices, 2, 2, output_size=padded.shape[2:])
    return pooled, back[(..., *(slice(one, None) for one in odd))]


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


@given(sizes=SIZES, seed=st.integers(0, 999))
def test_there_and_back_is_what_torch_makes_of_padded_maps(sizes, seed):
    maps = drawn(2, 3, *sizes, seed=seed)
    weights = drawn(2, 3, *sizes, seed=seed + 1)
    expected_from, ours_from = (maps.clone().requires_grad_() for _ in range(2))
    pooled, back = round_trip_by_hand(expected_from)
    (back * weights).sum().backward()
    with deterministic():
        found, places = pool_with_places(ours_from)
        returned = CropMaxUnpool()(2 * found, places)
        (returned * weights).sum().backward()
    assert torch.equal(found, pooled)
    assert torch.equal(returned, back)
    assert torch.equal(ours_from.grad, expected_from.grad)


@given(sizes=SIZES, seed=st.integers(0, 999))
def test_pooling_with_places_gives_what_pooling_gives(sizes, seed):
    maps = drawn(2, 3, *sizes, seed=seed)
    alone, with_places = (maps.clone().requires_grad_() for _ in range(2))
    pooled, (found, _) = PadMaxPool()(alone), pool_with_places(with_places)
    weights = drawn(*pooled.shape, seed=seed + 1)
    for one in (pooled, found):
        (one * weights).sum().backward()
    assert torch.equal(found, pooled)
    assert torch.equal(alone.grad, with_places.grad)


@pytest.mark.parametrize("way", UNPOOLING)
@given(sizes=SIZES, seed=st.integers(0, 999))
def test_both_ways_put_values_where_the_largest_ones_stood(way, sizes, seed):
    maps = drawn(2, 3, *sizes, seed=seed)
    pooled, places = pool_with_places(maps)
    assert torch.equal(way(2 * pooled, places), round_trip_by_hand(maps)[1])


@pytest.mark.parametrize("way", UNPOOLING)
@given(
    axes=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 1), st.integers(3, 8)), min_size=2, max_size=3
    ),
    seed=st.integers(0, 999),
)
def test_windows_of_other_sizes_are_unpooled_as_torch_does(way, axes, seed):
    edges = tuple(edge for edge, _, _ in axes)
    padding = tuple(min(pad, edge // 2) for edge, pad, _ in axes)
    maps = drawn(2, 2, *(size for _, _, size in axes), seed=seed)
    volumes = len(axes) == 3
    pool = torch.nn.functional.max_pool3d if volumes else torch.nn.functional.max_pool2d
    unpool = torch.nn.functional.max_unpool3d if volumes else torch.nn.functional.max_unpool2d
    expected, indices = pool(maps, edges, edges, padding, return_indices=True)
    pooled, places = pool_with_places(maps, Windows(edges, padding))
    assert torch.equal(pooled, expected)
    # By hand, as max_unpool refuses sizes that only padding explains.
    back = torch.zeros(2, 2, maps[0, 0].numel())
    back.scatter_(2, indices.flatten(2), expected.flatten(2))
    assert torch.equal(way(pooled, places), back.view_as(maps))
    if padding == (0,) * len(axes):
        assert torch.equal(
            way(pooled, places), unpool(expected, indices, edges, output_size=maps.shape[2:])
        )


def test_the_published_example_gets_its_size_back():
    maps = torch.rand(1, 1, 5, 6, 7)
    pooled, places = pool_with_places(maps)
    assert pooled.shape == (1, 1, 3, 3, 4)
    assert places.windows.padding == (1, 0, 1)
    back = CropMaxUnpool()(pooled, places)
    assert back.shape == maps.shape
    assert torch.equal(back[back != 0], maps[back != 0])
    assert (back != 0).sum() == pooled.numel()


def test_a_value_whose_largest_element_was_padding_is_lost():
    maps = torch.tensor([[[[-1.0, 3, 2]]]]).repeat(1, 1, 2, 1)
    pooled, places = pool_with_places(maps)
    assert pooled.tolist() == [[[[0, 3]]]]
    values = torch.tensor([[[[7.0, 8]]]], requires_grad=True)
    back = CropMaxUnpool()(values, places)
    assert back.tolist() == [[[[0, 8, 0], [0, 0, 0]]]]
    back.sum().backward()
    assert values.grad.tolist() == [[[[0, 1]]]]
    assert values.tolist() == [[[[7, 8]]]]


@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 7), (2, 3, 5, 6)], ids=str)
@pytest.mark.parametrize("is_last", [False, True])
def test_there_and_back_keeps_the_memory_format(shape, is_last):
    last = torch.channels_last_3d if len(shape) == 5 else torch.channels_last
    format_ = last if is_last else torch.contiguous_format
    maps = drawn(*shape, seed=0).contiguous(memory_format=format_).requires_grad_()
    pooled, places = pool_with_places(maps)
    back = CropMaxUnpool()(pooled, places)
    gradients = torch.autograd.grad(back.square().sum(), [maps, pooled])
    for one in (pooled, back, *gradients):
        assert one.is_contiguous(memory_format=format_)
    assert torch.equal(back, round_trip_by_hand(maps)[1] / 2)


def test_there_and_back_has_the_gradient_that_differences_have():
    values = torch.randperm(3 * 4 * 5, generator=torch.Generator().manual_seed(0))
    maps = (values.double() - 20).view(1, 1, 3, 4, 5).requires_grad_()

    def round_trip(given: torch.Tensor) -> torch.Tensor:
        pooled, places = pool_with_places(given)
        return CropMaxUnpool()(pooled.square(), places)

    assert torch.autograd.gradcheck(round_trip, (maps,))
    assert torch.autograd.gradgradcheck(round_trip, (maps,))


@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 7), (2, 3, 5, 6)], ids=str)
def test_sizes_can_be_told_without_memory(shape):
    pooled, places = pool_with_places(torch.empty(shape, device="meta"))
    assert CropMaxUnpool()(pooled, places).shape == shape


@pytest.mark.gpu
def test_there_and_back_on_a_gpu_is_deterministic_and_equal_to_that_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    on_cpu = drawn(2, 4, 9, 8, 7, seed=0)
    on_gpu = on_cpu.cuda()
    found = []
    for maps in (on_cpu.requires_grad_(), on_gpu.requires_grad_()):
        with deterministic():
            pooled, places = pool_with_places(maps)
            back = CropMaxUnpool()(2 * pooled, places)
            back.square().sum().backward()
        found.append([pooled.cpu(), back.cpu(), maps.grad.cpu()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


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
