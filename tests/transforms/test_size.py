"""Smaller samples."""

import numpy as np
import pytest
import torch

from clinicadl.errors import UsageError
from clinicadl.transforms.size import GRID, WINDOWS, reduced, reduced_affine, reduced_shape

PUBLISHED = {2: (80, 96, 80), 3: (56, 64, 56), 4: (40, 48, 40), 5: (32, 40, 32)}
FIRST = {2: (4, 8, 8), 3: (0, 8, 4), 4: (4, 8, 8), 5: (4, 0, 8)}


@pytest.mark.parametrize("factor", WINDOWS)
def test_the_published_voxels_are_kept(factor):
    sizes, first = PUBLISHED[factor], FIRST[factor]
    # The value of a voxel is its number, so that each tells where it came from.
    image = torch.arange(np.prod(GRID), dtype=torch.float64).reshape(1, *GRID)
    places = [start + factor * np.arange(n) for start, n in zip(first, sizes, strict=True)]
    expected = np.ravel_multi_index(np.ix_(*places), GRID)
    small = reduced(image, factor=factor)
    assert np.array_equal(small.numpy()[0], expected)
    assert small.shape == reduced_shape((1, *GRID), factor) == (1, *sizes)


@pytest.mark.parametrize("factor", WINDOWS)
def test_a_reduced_voxel_keeps_its_place_in_the_world(factor):
    affine = np.array([[-1.2, 0.1, 0, 80], [0.2, 1.5, 0, -100], [0, 0, 1, -60], [0, 0, 0, 1]])
    image = torch.arange(np.prod(GRID), dtype=torch.float64).reshape(1, *GRID)
    small = reduced(image, factor=factor)[0].numpy()
    for voxel in [(0, 0, 0), (3, 1, 7), tuple(size - 1 for size in small.shape)]:
        source = np.unravel_index(int(small[voxel]), GRID)
        place = reduced_affine(affine, factor) @ [*voxel, 1]
        np.testing.assert_allclose(place, affine @ [*source, 1], rtol=1e-12)


def test_a_reduced_sample_does_not_hold_on_to_the_whole_image():
    small = reduced(torch.zeros(2, *GRID), factor=5)
    assert small.untyped_storage().nbytes() == 2 * 32 * 40 * 32 * 4


@pytest.mark.parametrize("shape", [(1, 169, 208), (1, 50, 50, 50), (1, 179, 208, 169)])
def test_another_grid_is_refused(shape):
    with pytest.raises(UsageError, match="169x208x179") as caught:
        reduced_shape(shape, 2)
    assert "x".join(map(str, shape[1:])) in str(caught.value)
    assert caught.value.exit_code == 2
