"""Geometry of preprocess: ITK's terms, crops, blocks and transforms, against hand calculation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from scipy.spatial.transform import Rotation

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess import space

angles = st.lists(st.floats(-180, 180), min_size=3, max_size=3)
edges = st.lists(st.floats(0.5, 5), min_size=3, max_size=3)


def affine_of(turned, edge, origin=(5.0, -7, 11), flips=(1, 1, 1)) -> np.ndarray:
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", turned, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag(np.multiply(edge, flips))
    affine[:3, 3] = origin
    return affine


@given(angles, edges, st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_itk_puts_every_voxel_where_nifti_does(turned, edge, flips):
    affine = affine_of(turned, edge, flips=flips)
    itk = space.itk_geometry(affine)
    voxel = np.array([3.0, 4, 5])
    place = itk.direction @ (itk.spacing * voxel) + itk.origin
    # LPS: the first two axes of the world point the other way.
    expected = (affine @ [*voxel, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(place, expected, atol=1e-9)
    np.testing.assert_allclose(itk.direction @ itk.direction.T, np.eye(3), atol=1e-9)


def test_the_crop_is_the_published_one():
    assert space.crop_frame().shape == (169, 208, 179)
    np.testing.assert_array_equal(space.crop_frame().affine[:3, 3], [-84, -119, -78])
    voxels = np.zeros(space.MNI.shape, np.float32)
    voxels[12, 13, 0] = 1
    voxels[180, 220, 178] = 2
    cut = space.cropped(voxels)
    assert cut.shape == (169, 208, 179)
    assert cut[0, 0, 0] == 1 and cut[-1, -1, -1] == 2


@given(angles)
def test_blocks_keep_their_centres_and_means(turned):
    voxels = np.arange(7 * 8 * 3, dtype=np.float32).reshape(7, 8, 3)
    image = Image(voxels, affine_of(turned, (1.0, 2.0, 5.0)), None)
    small, factors = space.block_means(image, 4.0)
    assert factors == (4, 2, 1)
    assert small.voxels.shape == (1, 4, 3)
    assert small.voxels[0, 1, 2] == voxels[:4, 2:4, 2].mean()
    centre = image.affine @ [1.5, 2.5, 2, 1]
    np.testing.assert_allclose(small.affine @ [0, 1, 2, 1], centre, atol=1e-9)


@given(angles, edges)
def test_a_transform_is_read_as_it_was_written(turned, edge):
    from tempfile import TemporaryDirectory

    matrix = affine_of(turned, edge)
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.mat")
        space.write_transform(path, matrix)
        np.testing.assert_allclose(space.read_transform(path), matrix, atol=1e-12)
        # What ITK does with the numbers in the file, by hand.
        content = loadmat(str(path))
        numbers = content["AffineTransform_double_3_3"].ravel()
        given_lps = np.array([10.0, 20, 30])
        moved = numbers[:9].reshape(3, 3) @ given_lps + numbers[9:]
    expected = matrix @ [-10, -20, 30, 1]
    np.testing.assert_allclose(moved * [-1, -1, 1], expected[:3], atol=1e-9)


def test_the_centre_of_a_transform_counts(tmp_path):
    # x -> A (x - c) + c + t, by hand: A doubles, c = (1, 2, 3), t = (10, 0, 0), in LPS.
    numbers = np.array([2.0, 0, 0, 0, 2, 0, 0, 0, 2, 10, 0, 0])[:, None]
    content = {"AffineTransform_float_3_3": numbers, "fixed": np.array([[1.0], [2], [3]])}
    savemat(tmp_path / "a.mat", content, format="4")
    matrix = space.read_transform(tmp_path / "a.mat")
    np.testing.assert_allclose(matrix[:3, 3], [-9, 2, -3])


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (None, MissingInputError, "cannot be read"),
        (b"", InvalidDataError, "no transform"),
        (b"no transform at all, and longer than a header", InvalidDataError, "transform"),
        ({"Euler3DTransform_double_3_3": np.zeros((6, 1))}, InvalidDataError, "Euler3D"),
    ],
)
def test_what_is_no_transform_is_refused(tmp_path, content, error, said):
    path = tmp_path / "a.mat"
    if isinstance(content, dict):
        savemat(path, content, format="4")
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=said) as caught:
        space.read_transform(path)
    assert "a.mat" in str(caught.value)


def test_a_turned_head_passes_and_a_sheared_one_does_not(tmp_path):
    turned = affine_of((20, -35, 50), (1.0, 1.0, 1.2))
    space.check_geometry(Frame((190, 200, 180), turned), tmp_path)
    sheared = turned.copy()
    sheared[:3, 0] += 0.1 * sheared[:3, 1]
    with pytest.raises(InvalidDataError, match="not perpendicular"):
        space.check_geometry(Frame((190, 200, 180), sheared), tmp_path)
