"""A smooth deformation without folds that changes the volume of a region by a known share."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError
from clinicadl.layouts.images import Image
from clinicadl.synthesis.deformation import (
    TOLERANCE,
    Deformation,
    deformation_of,
    deformed,
    flow,
    in_world,
    jacobian_of,
    on_image,
)

WHERE = Path("image.nii.gz")
GRID = (30, 28, 26)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def ball(centre=(14, 13, 12), radius=4.0, stretch=(1, 1, 1)):
    grid = np.indices(GRID).transpose(1, 2, 3, 0)
    return np.linalg.norm((grid - centre) / stretch, axis=-1) <= radius


def some(inside, percent, *, affine=AFFINE, margin_mm=14.0):
    """Return a deformation whose box is the whole image."""
    found = deformation_of(inside, affine, percent=percent, margin_mm=margin_mm, where=WHERE)
    whole = [np.zeros((3, *GRID)), np.zeros((3, *GRID)), np.ones(GRID)]
    for to, part in zip(whole, found[1:], strict=True):
        to[(..., *found.box)] = part
    return Deformation(tuple(slice(0, size) for size in GRID), *whole)


regions = st.builds(
    ball,
    centre=st.tuples(*(st.integers(size // 2 - 4, size // 2 + 4) for size in GRID)),
    radius=st.floats(2, 4),
    stretch=st.tuples(*[st.floats(0.7, 1.4)] * 3),
)


@settings(max_examples=15)  # each flows several times
@given(regions, st.floats(-40, 40))
def test_the_volume_changes_as_asked_without_folds(inside, percent):
    found = some(inside, percent)
    assert abs(found.jacobian[inside].mean() - (1 - percent / 100)) < TOLERANCE
    assert found.jacobian.min() > 0
    # What the region loses, its surroundings gain: nothing leaves the support.
    np.testing.assert_allclose(found.jacobian.mean(), 1, atol=1e-4)


def test_the_jacobian_is_that_of_the_map_by_finite_differences():
    found = some(ball(), 30)
    i, j, k = 15, 11, 13
    new = np.indices(GRID) + found.displacement
    columns = [
        (new[:, i + 1, j, k] - new[:, i - 1, j, k]) / 2,
        (new[:, i, j + 1, k] - new[:, i, j - 1, k]) / 2,
        (new[:, i, j, k + 1] - new[:, i, j, k - 1]) / 2,
    ]
    expected = np.dot(columns[0], np.cross(columns[1], columns[2]))
    np.testing.assert_allclose(found.jacobian[i, j, k], expected, rtol=1e-12)


@pytest.mark.parametrize("centre", [(14, 13, 12), (7, 13, 20)])
def test_the_box_holds_all_that_moves(centre):
    """Nothing is lost at its faces: neither slopes of the map nor feet of splines."""
    inside = ball(centre, radius=3)
    found = deformation_of(inside, AFFINE, percent=20, margin_mm=8, where=WHERE)
    whole = some(inside, 20, margin_mm=8)
    np.testing.assert_array_equal(jacobian_of(whole.displacement), whole.jacobian)
    np.testing.assert_array_equal(
        on_image(found.jacobian, found.box, GRID, still=1), whole.jacobian.astype(np.float32)
    )
    image = Image(generator(0, "image").random(GRID, dtype=np.float32), AFFINE, None)
    np.testing.assert_allclose(deformed(image, found), deformed(image, whole), atol=1e-6)


def test_the_jacobian_of_a_linear_map_is_its_determinant():
    matrix = np.array([[0.9, 0.1, 0.0], [-0.2, 1.3, 0.05], [0.0, 0.1, 1.1]])
    place = np.indices((6, 7, 8)).astype(float)
    displacement = np.einsum("ij,jxyz->ixyz", matrix - np.eye(3), place)
    np.testing.assert_allclose(jacobian_of(displacement), np.linalg.det(matrix), rtol=1e-10)


@pytest.mark.parametrize("percent", [30, -40])
def test_the_volume_of_the_deformed_region_itself_is_as_asked(percent):
    """Counted on a finer grid: the points of the new image that come from inside."""
    radius = 5.0
    found = some(ball(radius=radius), percent)
    fine = np.stack(np.meshgrid(*(np.arange(3, 24, 0.25),) * 3, indexing="ij")).reshape(3, -1)
    back = fine + [map_coordinates(part, fine, order=1, mode="nearest") for part in found.backward]
    centre = np.array([[14], [13], [12]])
    n_before = (np.linalg.norm(fine - centre, axis=0) <= radius).sum()
    n_after = (np.linalg.norm(back - centre, axis=0) <= radius).sum()
    # Voxels at the edge belong to the ball with a part of their volume only.
    assert abs(n_after / n_before - (1 - percent / 100)) < 0.05


@settings(max_examples=10)
@given(regions, st.floats(-40, 40))
def test_there_and_back_again(inside, percent):
    found = some(inside, percent)
    place = np.indices(GRID) + found.displacement
    back = place + np.stack([map_coordinates(part, place, order=3) for part in found.backward])
    # Voxels; what is left is the interpolation of the field.
    assert np.abs(back - np.indices(GRID)).max() < 0.06


def test_beyond_the_margin_no_bit_changes():
    inside = ball()
    found = some(inside, 35, margin_mm=10.0)
    image = Image(generator(0, "image").random(GRID, dtype=np.float32), AFFINE, None)
    image.voxels[0, 0, 0] = np.nan
    after = deformed(image, found)
    distance = np.linalg.norm(np.indices(GRID).transpose(1, 2, 3, 0) - (14, 13, 12), axis=-1)
    far = distance * 2 > 4 * 2 + 10 + 2
    np.testing.assert_array_equal(after[far], image.voxels[far])
    assert not found.displacement[:, far].any()
    assert not found.backward[:, far].any()
    assert (after[inside] != image.voxels[inside]).mean() > 0.9
    assert after.dtype == np.float32


def test_a_region_that_shrinks_draws_in_what_is_around_it():
    inside = ball()
    image = Image(np.where(inside, 1, 0).astype(np.float32), AFFINE, None)
    smaller, larger = (deformed(image, some(inside, percent)).sum() for percent in (30, -30))
    assert smaller < 0.8 * image.voxels.sum()
    assert larger > 1.2 * image.voxels.sum()


def test_voxels_of_unequal_edges_and_turned_axes_change_nothing_in_the_world():
    """The same ball, in mm, on a grid with other voxels, turned by a quarter."""
    turned = np.array([[0.0, -2, 0, 60], [2, 0, 0, -7], [0, 0, 3, 5], [0, 0, 0, 1]])
    size_mm = np.array([2.0, 2.0, 3.0])
    centre = np.array((14, 13, 12))
    grid = np.indices(GRID).transpose(1, 2, 3, 0)
    inside = np.linalg.norm((grid - centre) * size_mm, axis=-1) <= 9
    found = some(inside, 25, affine=turned)
    assert abs(found.jacobian[inside].mean() - 0.75) < TOLERANCE
    world = in_world(found.displacement, turned)
    assert world.shape == (*GRID, 3)
    np.testing.assert_allclose(
        world[10, 12, 11], turned[:3, :3] @ found.displacement[:, 10, 12, 11], rtol=1e-6
    )
    # Towards the centre, about as strongly along all axes at the same distance in mm.
    at_x, at_z = (
        found.displacement[:, 17, 13, 12] * size_mm,
        found.displacement[:, 14, 13, 14] * size_mm,
    )
    assert at_x[0] < -0.1
    assert at_z[2] < -0.1
    np.testing.assert_allclose(at_x[0], at_z[2], rtol=0.15)


def test_a_region_at_the_border_stays_in_the_image():
    inside = np.zeros(GRID, dtype=bool)
    inside[4:9, 10:16, 10:16] = True
    found = some(inside, 15)
    for axis in range(3):
        faces = np.take(found.displacement, [0, -1], axis=axis + 1)
        assert not faces.any()
    assert abs(found.jacobian[inside].mean() - 0.85) < TOLERANCE


def test_the_flow_is_that_of_the_differential_equation():
    """Euler's method with many small steps, for some points."""
    velocity = np.stack([0.8 * np.sin(np.indices((12, 12, 12))[axis] / 3) for axis in (1, 2, 0)])
    velocity[:, [0, -1]] = velocity[:, :, [0, -1]] = velocity[:, :, :, [0, -1]] = 0
    points = np.array([[5.0, 6, 4], [6, 5, 5], [5, 4, 6]])
    here = points.copy()
    for _ in range(2000):
        here += np.stack([map_coordinates(part, here, order=3) for part in velocity]) / 2000
    carried = flow(velocity, 1.0)[:, *points.astype(int)]
    np.testing.assert_allclose(points + carried, here, atol=0.03)
    np.testing.assert_array_equal(flow(velocity, 0.0), 0 * velocity)


def test_nothing_moves_where_nothing_is_lost():
    found = some(ball(), 0)
    assert not found.displacement.any()
    np.testing.assert_array_equal(found.jacobian, 1)


@pytest.mark.parametrize(
    ("inside", "percent", "margin_mm"), [(ball(radius=4), 80, 3.0), (ball(radius=0), 75, 2.0)]
)
def test_what_would_fold_is_refused(inside, percent, margin_mm):
    with pytest.raises(InvalidDataError, match=r"cannot lose.*image\.nii\.gz.*--margin"):
        some(inside, percent, margin_mm=margin_mm)
