"""Planes on a page: the right is where the affine says, not where the array happens to have it."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.errors import InvalidDataError
from clinicadl.report.planes import cut, edges, middle, planes_of, voxel_size

AFFINES = [
    nib.affines.from_matvec(np.eye(3)[list(order)] * (2, 3, 4) * signs, (5, -6, 7))
    for order in permutations(range(3))
    for signs in product((-1, 1), repeat=3)
]
NAMES = ["sagittal", "coronal", "axial"]


@pytest.mark.parametrize("affine", AFFINES, ids=lambda one: "".join(nib.aff2axcodes(one)))
def test_the_marks_are_right_for_every_order_of_the_axes(affine):
    codes = nib.aff2axcodes(affine)
    planes = planes_of(affine)
    assert [plane.name for plane in planes] == NAMES
    for plane, axis in zip(planes, ("LR", "PA", "IS"), strict=True):
        assert codes[plane.across] in axis
        left, right, bottom, top = plane.marks
        # What a greater index leads to, by nibabel, is where the page says that it lies.
        assert codes[plane.along] == (left if plane.runs_left else right)
        assert codes[plane.up] == (bottom if plane.runs_down else top)
        assert sorted((plane.across, plane.along, plane.up)) == [0, 1, 2]
    assert [plane.marks[:2] for plane in planes[1:]] == [("R", "L"), ("R", "L")]


@given(st.integers(0, len(AFFINES) - 1), *[st.floats(-0.4, 0.4) for _ in range(3)])
def test_an_oblique_volume_has_the_nearest_planes(number, x, y, z):
    turn = np.eye(4)
    turn[:3, :3] = (
        np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
        @ np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        @ np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    )
    assert planes_of(turn @ AFFINES[number]) == planes_of(AFFINES[number])


def test_a_plane_has_the_voxels_of_the_array():
    volume = np.arange(24).reshape(2, 3, 4)
    sagittal, coronal, _ = planes_of(np.eye(4)[[2, 0, 1, 3]])
    assert (sagittal.across, sagittal.along, sagittal.up) == (2, 0, 1)
    assert np.array_equal(cut(volume, sagittal, 3), volume[:, :, 3])
    assert (coronal.across, coronal.along, coronal.up) == (0, 2, 1)
    assert np.array_equal(cut(volume, coronal, 1), volume[1].T)


def test_the_size_of_a_voxel_is_nibabels():
    for affine in AFFINES:
        np.testing.assert_allclose(voxel_size(affine), nib.affines.voxel_sizes(affine))


def test_a_voxel_without_extent_is_refused():
    with pytest.raises(InvalidDataError, match="0 x 1 x 1 mm") as raised:
        voxel_size(np.diag([0.0, 1, 1, 1]))
    assert raised.value.exit_code == 65


def test_the_middle_is_that_of_what_is_bright():
    volume = np.zeros((20, 20, 20), np.float32)
    volume[2:5, 10:13, 15:18] = 9
    assert middle(volume) == (3, 11, 16)
    # A background that is not 0 is none the less no brain.
    assert middle(volume - 100) == (3, 11, 16)
    volume[0, 0, 0] = np.nan
    assert middle(volume) == (3, 11, 16)
    assert middle(np.zeros((5, 4, 3))) == (2, 1, 1)


def test_the_edges_of_one_voxel_are_its_four_sides():
    lines = edges(np.array([[False, True], [False, False]]), (10, 20))
    found = {tuple(map(tuple, line.tolist())) for line in lines}
    assert found == {
        ((9.5, 20.5), (9.5, 21.5)), ((10.5, 20.5), (10.5, 21.5)),
        ((9.5, 20.5), (10.5, 20.5)), ((9.5, 21.5), (10.5, 21.5)),
    }  # fmt: skip


@given(st.integers(0, 2**16 - 1))
def test_edges_separate_inside_from_outside(bits):
    inside = np.array([bits >> i & 1 for i in range(16)], bool).reshape(4, 4)
    padded = np.pad(inside, 1).astype(int)
    expected = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    assert len(edges(inside, (0, 0))) == expected
