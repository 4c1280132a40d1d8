"""Which voxels of an image the trivial effect darkens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import images
from clinicadl.layouts.images import Image
from clinicadl.synthesis.masks import (
    N_BINS,
    hemispheres,
    otsu_threshold,
    pair_of,
    read_masks,
)

GRID = (6, 5, 4)
AFFINE = np.array([[2.0, 0, 0, -5], [0, 2, 0, -4], [0, 0, 2, -3], [0, 0, 0, 1]])


def image_of(voxels, affine=AFFINE):
    return Image(np.asarray(voxels, dtype=np.float32), affine, None)


def write_masks(folder, first, second, affine=AFFINE, suffix=".nii"):
    for number, voxels in ((1, first), (2, second)):
        images.write(folder / f"mask-{number}{suffix}", voxels.astype(np.uint8), affine=affine)
    return folder


def halves():
    first = np.zeros(GRID, dtype=bool)
    first[:2] = True
    return first, first[::-1].copy()


def within_class_variance(voxels, threshold):
    """Return what Otsu's criterion minimises, from the histogram, one class after the other."""
    counts, edges = np.histogram(voxels, bins=N_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    total = 0.0
    for chosen in (centres < threshold, centres > threshold):
        mean = np.average(centres[chosen], weights=counts[chosen])
        total += float(np.sum(counts[chosen] * (centres[chosen] - mean) ** 2))
    return total


@settings(max_examples=20)  # each tries all thresholds
@given(
    hnp.arrays(np.float32, 60, elements=st.integers(0, 40)).filter(lambda some: np.ptp(some) > 0)
)
def test_no_other_threshold_leaves_less_variance_within_the_classes(voxels):
    edges = np.histogram(voxels, bins=N_BINS)[1][1:-1]
    best = min(within_class_variance(voxels, edge) for edge in edges)
    ours = within_class_variance(voxels, otsu_threshold(voxels))
    np.testing.assert_allclose(ours, best, rtol=1e-9, atol=1e-9)


def test_two_greys_are_set_apart_and_what_is_no_number_is_left_out():
    voxels = np.array([10, 10, 10, 200, 200, np.nan], dtype=np.float32)
    assert 10 < otsu_threshold(voxels) < 200


@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.floats(-10, 10),
)
def test_left_is_below_zero_and_right_above_in_the_world_whatever_the_axes(axes, origin):
    affine = np.array([[*axes, origin], [0, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 1]])
    voxels = np.zeros(GRID)
    voxels[1:5, 1:4, :3] = 7
    left, right = hemispheres(image_of(voxels, affine))
    for index in np.ndindex(*GRID):
        x = float(np.dot([*index, 1], affine[0]))
        if abs(x) > 1e-9:
            assert left[index] == (x < 0 and voxels[index] == 7)
            assert right[index] == (x > 0 and voxels[index] == 7)


def test_a_voxel_on_the_middle_plane_is_of_neither_half():
    affine = AFFINE.copy()
    affine[0, 3] = -4  # x of the third plane is 0
    voxels = np.ones(GRID)
    voxels[:, 0] = 0
    left, right = hemispheres(image_of(voxels, affine))
    assert left[:2, 1:].all()
    assert right[3:, 1:].all()
    assert not left[2].any()
    assert not right[2].any()


def test_only_voxels_that_are_numbers_and_not_zero_are_darkened(tmp_path):
    first, second = halves()
    voxels = np.ones(GRID)
    voxels[0, 0, 0], voxels[0, 0, 1] = 0, np.nan
    masks = read_masks(write_masks(tmp_path, first, second))
    pair = pair_of(image_of(voxels), masks, where=tmp_path)
    assert not pair[0][0, 0, 0]
    assert not pair[0][0, 0, 1]
    assert pair[0].sum() == first.sum() - 2
    np.testing.assert_array_equal(pair[1], second)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_voxel_of_a_mask_that_is_not_zero_counts(tmp_path, suffix):
    first, second = halves()
    write_masks(tmp_path, first * 3, second, suffix=suffix)
    masks = read_masks(tmp_path)
    np.testing.assert_array_equal(masks[0].voxels, first)
    np.testing.assert_array_equal(masks[1].voxels, second)


def test_an_affine_that_was_rounded_in_the_header_is_the_same(tmp_path):
    first, second = halves()
    masks = read_masks(write_masks(tmp_path, first, second, affine=AFFINE + 1e-5))
    pair = pair_of(image_of(np.ones(GRID)), masks, where=tmp_path)
    np.testing.assert_array_equal(pair[0], first)


def test_a_mask_of_another_shape_is_refused_by_name(tmp_path):
    small = np.ones((3, 5, 4))
    masks = read_masks(write_masks(tmp_path, small, small))
    with pytest.raises(InvalidDataError, match=r"mask-1.*another shape.*brain.*\(3, 5, 4\)"):
        pair_of(image_of(np.ones(GRID)), masks, where=tmp_path / "brain.nii")


def test_a_mask_of_the_same_shape_at_another_place_is_refused(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] += 1
    masks = read_masks(write_masks(tmp_path, *halves(), affine=moved))
    with pytest.raises(InvalidDataError, match=r"mask-1.*another affine"):
        pair_of(image_of(np.ones(GRID)), masks, where=tmp_path)


def test_a_half_without_a_voxel_is_refused(tmp_path):
    affine = AFFINE.copy()
    affine[0, 3] = 100
    voxels = np.ones(GRID)
    voxels[:, 0] = 0
    with pytest.raises(InvalidDataError, match="left hemisphere covers no voxel"):
        pair_of(image_of(voxels, affine), None, where=tmp_path)


def test_an_absent_mask_is_named(tmp_path):
    images.write(tmp_path / "mask-1.nii", np.ones(GRID, dtype=np.uint8), affine=AFFINE)
    with pytest.raises(MissingInputError, match=r"Mask 2 .*mask-2\.nii\.gz or mask-2\.nii"):
        read_masks(tmp_path)


def test_an_absent_folder_of_masks_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"folder of the masks.*nowhere"):
        read_masks(tmp_path / "nowhere")


def test_two_files_for_one_mask_are_refused(tmp_path):
    write_masks(tmp_path, *halves())
    write_masks(tmp_path, *halves(), suffix=".nii.gz")
    with pytest.raises(InvalidDataError, match="two files for mask 1"):
        read_masks(tmp_path)


def test_an_empty_mask_is_refused(tmp_path):
    first, second = halves()
    with pytest.raises(InvalidDataError, match=r"mask is empty.*mask-2"):
        read_masks(write_masks(tmp_path, first, second * 0))
