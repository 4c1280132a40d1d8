"""The slices that the published networks see."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch.nn import functional

from clinicadl.quality import linear_views
from clinicadl.quality.linear_views import LARGER_SIDE, views


def by_hand(voxels):
    """The same in NumPy and SciPy: every pixel of the result is looked up in the slice."""
    scaled = (voxels.astype(np.float64) - voxels.min()) / (voxels.max() - voxels.min()) - 0.5
    planes = [
        scaled[:, :, voxels.shape[2] // 2],
        scaled[voxels.shape[0] // 2],
        scaled[:, voxels.shape[1] // 2],
    ]
    made = []
    for plane in planes:
        flipped = plane[::-1]
        sizes = [int(np.round(size * 256 / max(plane.shape))) for size in plane.shape]
        centres = [
            (np.arange(size) + 0.5) * given / size - 0.5
            for size, given in zip(sizes, plane.shape, strict=True)
        ]
        rows, columns = np.meshgrid(*centres, indexing="ij")
        resized = map_coordinates(flipped, [rows, columns], order=1, mode="nearest")
        canvas = np.zeros((256, 256))
        top, left = ((256 - size) // 2 for size in sizes)
        canvas[top : top + sizes[0], left : left + sizes[1]] = resized
        made.append(np.fliplr(np.rot90(canvas[16:240, 16:240])))
    return np.stack(made)


@pytest.mark.parametrize("shape", [(169, 208, 179), (193, 229, 193), (42, 52, 44), (300, 20, 11)])
def test_views_are_those_of_numpy_and_scipy(shape):
    voxels = np.random.default_rng(0).gamma(2, 100, shape).astype(np.float32)
    seen = views(voxels)
    assert seen.shape == (3, 224, 224)
    np.testing.assert_allclose(seen, by_hand(voxels), atol=2e-5)


@pytest.mark.parametrize("size", [(208, 169), (169, 179), (52, 44)])
def test_pixels_between_pixels_are_those_of_torch(size):
    plane = np.random.default_rng(3).random(size).astype(np.float32)
    made = [round(one * LARGER_SIDE / max(size)) for one in size]
    wanted = functional.interpolate(
        torch.from_numpy(plane)[None, None], size=made, mode="bilinear", align_corners=False
    )[0, 0]
    of_rows, of_columns = (linear_views._between(*pair) for pair in zip(made, size, strict=True))
    np.testing.assert_allclose(of_rows @ plane @ of_columns.T, wanted, atol=2e-5)


@settings(max_examples=20)
@given(st.tuples(*[st.integers(2, 40)] * 3), st.floats(0.1, 1e4), st.floats(-1e3, 1e3))
def test_brightness_and_contrast_are_irrelevant(shape, contrast, brightness):
    voxels = np.random.default_rng(1).random(shape).astype(np.float32)
    other = (voxels * contrast + brightness).astype(np.float32)
    np.testing.assert_allclose(views(other), views(voxels), atol=2e-3)
    assert float(np.abs(views(voxels)).max()) <= 0.5


def test_what_is_no_number_counts_as_0():
    voxels = np.random.default_rng(2).random((20, 24, 22)).astype(np.float32)
    voxels[:, :, 11] = np.nan
    with_zeros = np.nan_to_num(voxels, nan=0.0)
    assert np.array_equal(views(voxels), views(with_zeros))
