"""The calls of ANTs against SciPy, and against transforms and bias fields that are known."""

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation

pytest.importorskip("ants", reason="needs antspyx, of the extra preproc")

from clinicadl.draws import generator
from clinicadl.layouts import images
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess import ants, brain, space

POINTS = np.array(
    [[x, y, z, 1.0] for x in (-50, 0, 50) for y in (-90, -20, 50) for z in (-30, 10, 60)]
).T
"""In the brain of the template, in mm."""


@pytest.fixture(scope="module")
def template() -> Image:
    return brain.read_template(brain.template_path())


def moved(turned=(10, -14, 8), scales=(0.94, 1.05, 1.1), shift=(9.0, -12, 15)) -> np.ndarray:
    """Return a transform from the template to a participant."""
    matrix = np.eye(4)
    rotation = Rotation.from_euler("xyz", turned, degrees=True).as_matrix()
    # The scales first: axes of the participant's image stay perpendicular.
    matrix[:3, :3] = rotation @ np.diag(scales)
    matrix[:3, 3] = shift
    return matrix


def error_mm(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(((found - true) @ POINTS)[:3], axis=0).max())


def blurred(shape=(40, 44, 36)) -> np.ndarray:
    drawn = generator(3, "image").random(shape, dtype=np.float32)
    return gaussian_filter(drawn, 2) * 1000


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, 1)])
def test_scipy_resamples_by_the_written_transform_as_ants_does(tmp_path, flips):
    # An oblique image of other voxels, in any order of its axes, and a transform of every kind.
    affine = moved((25, -20, 30), np.multiply((3.0, 2.5, 4.0), flips))
    image = Image(blurred(), affine, None)
    # The middle of the image lies in that of the world.
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(image.voxels.shape) - 1) / 2)
    matrix = moved((6, 3, -5), (1.1, 0.9, 1.0), (3.0, -4, 5))
    grid = Frame((30, 32, 28), moved((0, 0, 0), (3.5, 3.5, 3.5), (-50.0, -54, -46)))
    ours = ants.resample(image, grid, matrix)
    np.testing.assert_array_equal(ours.affine, grid.affine)

    space.write_transform(tmp_path / "a.mat", matrix)
    numbers = loadmat(str(tmp_path / "a.mat"))["AffineTransform_double_3_3"].ravel()
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = numbers[:9].reshape(3, 3), numbers[9:]
    turn = np.diag([-1.0, -1, 1, 1])
    steps = np.linalg.inv(image.affine) @ turn @ lps @ turn @ grid.affine
    expected, inside = (
        affine_transform(one, steps[:3, :3], steps[:3, 3], output_shape=grid.shape, order=1,
                         mode="constant", cval=0)
        for one in (image.voxels.astype(np.float64), np.ones(image.voxels.shape))
    )  # fmt: skip
    whole = inside > 1 - 1e-6
    assert whole.sum() > 2000
    np.testing.assert_allclose(ours.voxels[whole], expected[whole], atol=0.05)
    assert not np.any(ours.voxels[inside == 0] > image.voxels.max())


def test_ants_reads_the_transform_that_is_written(tmp_path):
    import ants as library

    matrix = moved()
    space.write_transform(tmp_path / "a.mat", matrix)
    read = library.read_transform(str(tmp_path / "a.mat"))
    point = np.array([12.0, -34, 56])
    there = np.array(read.apply_to_point(tuple(point * [-1, -1, 1]))) * [-1, -1, 1]
    np.testing.assert_allclose(there, (matrix @ [*point, 1])[:3], atol=1e-4)


def test_labels_stay_labels():
    voxels = (blurred() > 500).astype(np.float32) * 7
    image = Image(voxels, np.diag([2.0, 2, 2, 1]), None)
    grid = Frame((30, 30, 30), np.diag([1.7, 1.7, 1.7, 1]))
    found = ants.resample(image, grid, np.eye(4), nearest=True)
    assert set(np.unique(found.voxels)) == {0, 7}


def test_an_affine_that_is_known_is_found(template):
    # The template itself at 4 mm, put elsewhere by its header alone: nothing is interpolated.
    true = moved()
    small, _ = space.block_means(template, 4.0)
    participant = small._replace(affine=true @ small.affine)
    space.check_geometry(Frame(participant.voxels.shape, participant.affine), brain.template_path())
    found = ants.register(template, participant, "affine")
    # A quarter of a voxel of the participant.
    assert error_mm(found, true) < 1.0


def test_a_rigid_transform_is_found_rigid_and_across_contrasts(template):
    true = moved((-8, 12, 20), (1, 1, 1), (-20.0, 15, 8))
    small, _ = space.block_means(template, 3.0)
    inverted = np.where(small.voxels > 0, 1.2 * small.voxels.max() - small.voxels, 0)
    participant = small._replace(voxels=inverted.astype(np.float32), affine=true @ small.affine)
    found = ants.register(small, participant, "rigid")
    rotation = found[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    assert error_mm(found, true) < 0.6
    # A search that begins near the end finds the same.
    again = ants.register(small, participant, "rigid", start=true)
    assert error_mm(again, found) < 0.6


def test_a_bias_field_that_is_known_is_taken_away(template):
    small, _ = space.block_means(template, 4.0)
    mask = small.voxels > 0
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in small.voxels.shape), indexing="ij")
    field = np.exp(0.35 * x - 0.25 * y + 0.2 * x * y).astype(np.float32)
    plain = ants.n4(small, mask).voxels
    corrected = ants.n4(small._replace(voxels=small.voxels * field), mask).voxels

    def unevenness(voxels: np.ndarray) -> float:
        ratio = np.log(voxels[mask & (plain > 0)] / plain[mask & (plain > 0)])
        return float(ratio.std())

    assert unevenness(small.voxels * field) > 0.15
    assert unevenness(corrected) < 0.25 * unevenness(small.voxels * field)
    assert np.isfinite(corrected).all() and not corrected[~mask].any()


def test_the_same_image_gives_the_same_bits(template):
    small, _ = space.block_means(template, 4.0)
    participant = small._replace(affine=moved() @ small.affine)
    one, two = (ants.register(small, participant, "affine") for _ in range(2))
    np.testing.assert_array_equal(one, two)
    mask = participant.voxels > 0
    np.testing.assert_array_equal(
        ants.n4(participant, mask).voxels, ants.n4(participant, mask).voxels
    )


def test_the_template_lies_on_the_grid_voxel_by_voxel(template):
    found = ants.resample(template, space.MNI, np.eye(4))
    # Whole millimetres apart: no value is interpolated.
    x, y, z = (space.MNI.affine[:3, 3] - template.affine[:3, 3]).astype(int)
    nx, ny, nz = space.MNI.shape
    ours = np.zeros(space.MNI.shape, np.float32)
    cut = template.voxels[max(x, 0) : x + nx, max(y, 0) : y + ny, max(z, 0) : z + nz]
    at = [max(-one, 0) for one in (x, y, z)]
    ours[tuple(slice(a, a + n) for a, n in zip(at, cut.shape, strict=True))] = cut
    np.testing.assert_allclose(found.voxels, ours, atol=1e-3)
    assert images.orientation(found.affine) == "RAS"
