"""Grids: every voxel keeps its place in the world, and tensors of two grids have two names."""

import itertools
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to
from scipy.ndimage import map_coordinates

from clinicadl.config.preprocessing import T1Linear
from clinicadl.config.raw import Grid, RawT1
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import grids, images
from clinicadl.layouts.images import Frame, Image

SHAPE = (7, 6, 5)
OBLIQUE = np.array(
    [[-1.9, 0.3, 0.2, 80], [0.3, 1.8, -0.4, -100], [0.1, 0.4, 2.1, -60], [0, 0, 0, 1]]
)
WAYS = ["linear", "nearest", "cubic"]
ORDER = {"nearest": 0, "linear": 1, "cubic": 3}
each_way = pytest.mark.parametrize("way", WAYS)
HERE = Path("sub-1_T1w.nii.gz")


def image(affine=OBLIQUE, shape=SHAPE) -> Image:
    drawn = generator(0, "grids").normal(100, 30, shape)
    return Image(drawn.astype(np.float32), np.array(affine, dtype=np.float64), None)


def world(shape, affine, way="linear") -> Grid:
    rows = tuple(tuple(float(cell) for cell in row) for row in np.asarray(affine))
    return Grid(shape=shape, affine=rows, interpolation=way)


def places(shape, affine, source: Image) -> np.ndarray:
    """Return where each voxel of a grid lies in a source, in voxels of the source: (x, y, z, 3)."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return apply_affine(np.linalg.inv(source.affine), apply_affine(affine, voxels))


def is_inside(at: np.ndarray, shape, margin: float = 0.5) -> np.ndarray:
    return np.all((at >= -margin) & (at <= np.array(shape) - 1 + margin), axis=-1)


@each_way
def test_the_own_grid_gives_the_image_to_the_bit(way):
    one = image()
    found = grids.onto(one, world(SHAPE, OBLIQUE, way), HERE)
    assert found.voxels.tobytes() == one.voxels.tobytes()
    np.testing.assert_array_equal(found.affine, OBLIQUE)
    assert found.voxels.dtype == np.float32
    assert found.voxels.flags.c_contiguous


@each_way
def test_a_grid_that_differs_as_headers_round_gives_the_image_to_the_bit(way):
    drawn = generator(0, "range").uniform(-4, 9, SHAPE)
    # Small values beside large ones: what interpolation makes of these would show in those.
    one = Image((10**drawn).astype(np.float32), OBLIQUE.astype(np.float32).astype(float), None)
    assert not np.array_equal(one.affine, OBLIQUE)
    found = grids.onto(one, world(SHAPE, OBLIQUE, way), HERE)
    assert found.voxels.tobytes() == one.voxels.tobytes()


@each_way
@pytest.mark.parametrize("shift", [(1, 0, 0), (0, -2, 3), (-6, 5, -4), (2, 2, 2)])
def test_a_shift_by_whole_voxels_moves_values_and_leaves_0_behind(way, shift):
    one = image()
    moved = OBLIQUE.copy()
    moved[:3, 3] += OBLIQUE[:3, :3] @ np.array(shift)
    found = grids.onto(one, world(SHAPE, moved, way), HERE).voxels
    expected = np.zeros(SHAPE, np.float32)
    for at in itertools.product(*map(range, SHAPE)):
        there = tuple(np.array(at) + shift)
        if all(0 <= place < size for place, size in zip(there, SHAPE, strict=True)):
            expected[at] = one.voxels[there]
    assert found.tobytes() == expected.tobytes()


@each_way
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)), ids=str)
def test_turned_axes_come_out_ras_with_every_voxel_at_its_world_place(way, order, signs):
    edges = (1.5, 2.0, 3.0)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (to, sign, edge) in enumerate(zip(order, signs, edges, strict=True)):
        affine[to, axis] = sign * edge
    affine[:3, 3] = [11.3, -7.1, 5.9]
    one = image(affine)
    shape, voxel = [0] * 3, [0.0] * 3
    for axis, to in enumerate(order):
        shape[to], voxel[to] = SHAPE[axis], edges[axis]
    grid = Grid(shape=tuple(shape), voxel_size=tuple(voxel), interpolation=way)
    found = grids.onto(one, grid, HERE)
    assert images.orientation(found.affine) == "RAS"
    value_at = {
        tuple(np.round(apply_affine(affine, at), 3)): one.voxels[at]
        for at in itertools.product(*map(range, SHAPE))
    }
    for at in itertools.product(*map(range, shape)):
        assert found.voxels[at] == value_at[tuple(np.round(apply_affine(found.affine, at), 3))]


@st.composite
def affines(draw) -> np.ndarray:
    """Voxel to world: turned, sheared a little, with edges between 0.7 and 3.5 mm."""
    numbers = st.floats(-1, 1, width=32)
    turn = np.array([draw(numbers) for _ in range(9)]).reshape(3, 3)
    left, values, right = np.linalg.svd(turn)
    assume(values.min() > 0.05)
    edges = np.diag([draw(st.floats(0.7, 3.5)) for _ in range(3)])
    shear = np.eye(3) + 0.1 * np.triu(turn, 1)
    affine = np.eye(4)
    affine[:3, :3] = left @ right @ edges @ shear
    affine[:3, 3] = [draw(st.floats(-20, 20)) for _ in range(3)]
    return affine


def smoothed(one: Image, target: np.ndarray) -> np.ndarray:
    """Return an image smoothed along its axes by kernels that are written out."""
    voxels = one.voxels.astype(np.float64)
    for axis, edge in enumerate(np.linalg.norm(one.affine[:3, :3], axis=0)):
        along = one.affine[:3, axis] / edge
        wanted = math.sqrt(sum(float(along @ target[:3, other]) ** 2 for other in range(3)))
        if wanted <= edge:
            continue
        sigma = math.sqrt((wanted**2 - edge**2) / (8 * math.log(2))) / edge
        reach = int(4 * sigma + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        framed = np.pad(voxels, [(reach, reach) if a == axis else (0, 0) for a in range(3)], "edge")
        voxels = np.apply_along_axis(np.convolve, axis, framed, kernel / kernel.sum(), "valid")
    return voxels


@given(affines(), affines(), st.sampled_from(WAYS))
def test_an_image_on_any_grid_equals_map_coordinates_at_the_places_of_its_voxels(
    affine, target, way
):
    one = image(affine)
    # Around the image, so that both overlap.
    shape = (6, 7, 8)
    centre = apply_affine(affine, (np.array(SHAPE) - 1) / 2)
    target[:3, 3] += centre - apply_affine(target, (np.array(shape) - 1) / 2)
    at = places(shape, target, one)
    # Where a value changes at once, the last bit decides, and it may differ.
    near_edge = is_inside(at, SHAPE, 0.5 + 2e-4) & ~is_inside(at, SHAPE, 0.5 - 2e-4)
    if way == "nearest":
        near_edge |= (np.abs(at % 1 - 0.5) < 1e-6).any(axis=-1)
        voxels = one.voxels
    else:
        voxels = smoothed(one, target)
    expected = map_coordinates(voxels, np.moveaxis(at, -1, 0), order=ORDER[way], mode="nearest")
    expected = np.where(is_inside(at, SHAPE), expected, 0)
    found = grids.onto(one, world(shape, target, way), HERE)
    np.testing.assert_array_equal(found.affine, target)
    # Smoothing and values are kept in single precision: 100 has 7 digits.
    np.testing.assert_allclose(found.voxels[~near_edge], expected[~near_edge], atol=2e-3)


@given(affines(), affines(), st.tuples(*[st.floats(-2, 2)] * 4))
def test_a_ramp_in_the_world_is_reproduced_by_linear_interpolation(affine, target, slopes):
    shape = (9, 8, 7)
    at_source = apply_affine(
        affine, np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    )
    ramp = at_source @ np.array(slopes[:3]) + slopes[3]
    one = Image(ramp.astype(np.float32), affine, None)
    # Voxels no larger than those of the source are not smoothed, which flattens a ramp at the edge.
    target[:3, :3] *= 0.5
    assume(not grids.sigmas(affine, target).any())
    centre = apply_affine(affine, (np.array(SHAPE) - 1) / 2)
    target[:3, 3] += centre - apply_affine(target, (np.array(shape) - 1) / 2)
    at = places(shape, target, one)
    between = is_inside(at, SHAPE, margin=-1e-6)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    expected = apply_affine(target, grid) @ np.array(slopes[:3]) + slopes[3]
    found = grids.onto(one, world(shape, target), HERE).voxels
    np.testing.assert_allclose(found[between], expected[between], atol=1e-3)


def test_a_finer_grid_equals_that_of_nibabel_between_the_voxels():
    one = image()
    target = OBLIQUE @ np.diag([0.5, 0.4, 0.7, 1])
    shape = (12, 13, 6)
    found = grids.onto(one, world(shape, target), HERE).voxels
    theirs = resample_from_to(nib.Nifti1Image(one.voxels, OBLIQUE), (shape, target), order=1)
    between = is_inside(places(shape, target, one), SHAPE, margin=-1e-6)
    assert between.sum() > 500
    np.testing.assert_allclose(found[between], theirs.get_fdata()[between], rtol=1e-5)


@given(affines(), st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.floats(0.5, 9)] * 3))
def test_the_centre_of_the_field_of_view_is_kept_and_the_axes_are_of_the_world(
    affine, shape, voxel
):
    frame = grids.frame_on(Grid(shape=shape, voxel_size=voxel), Frame(SHAPE, affine))
    assert frame.shape == shape
    np.testing.assert_array_equal(frame.affine[:3, :3], np.diag(voxel))
    centres = [
        apply_affine(some, (np.array(size) - 1) / 2)
        for some, size in ((affine, SHAPE), (frame.affine, shape))
    ]
    np.testing.assert_allclose(*centres, atol=1e-9)


def test_a_shared_grid_lies_where_it_lies():
    frame = grids.frame_on(world((2, 3, 4), OBLIQUE), Frame(SHAPE, np.eye(4)))
    assert frame.shape == (2, 3, 4)
    np.testing.assert_array_equal(frame.affine, OBLIQUE)


def test_sigmas_by_hand():
    # From 1 mm to 2 mm: sqrt((4 - 1) / (8 ln 2)) = 0.7355 mm; from 3 mm to 2 mm: none.
    found = grids.sigmas(np.diag([1.0, 0.5, 3, 1]), np.diag([2.0, 2, 2, 1]))
    np.testing.assert_allclose(found, [0.73552, math.sqrt(3.75 / 5.545177) / 0.5, 0], rtol=1e-4)
    # Axes that are turned: each is smoothed as the axis of the grid that lies along it.
    turned = np.array([[0.0, 0, 3, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    found = grids.sigmas(turned, np.diag([6.0, 2, 4, 1]))
    by_hand = [math.sqrt(one / 5.545177) for one in (4 - 1, 16 - 1, (36 - 9) / 9)]
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)


def test_smoothing_keeps_what_would_alias_and_the_nearest_value_never_smooths():
    stripes = np.zeros((16, 4, 4), np.float32)
    stripes[::2] = 1
    one = Image(stripes, np.eye(4), None)
    half = np.diag([2.0, 1, 1, 1])
    mean = grids.onto(one, world((8, 4, 4), half), HERE).voxels
    # Half of the stripes are 1: without smoothing every voxel taken would be one of these.
    assert (mean[1:-1] > 0.45).all()
    assert (mean[1:-1] < 0.62).all()
    taken = grids.onto(one, world((8, 4, 4), half, "nearest"), HERE).voxels
    assert (taken == 1).all()


def test_the_field_of_view_ends_with_the_outermost_voxels():
    one = Image(np.full((4, 4, 4), 5, np.float32), np.diag([3.0, 3, 3, 1]), None)
    fine = np.eye(4)
    fine[:3, 3] = -3
    found = grids.onto(one, world((17, 17, 17), fine), HERE).voxels
    # Voxels of 3 mm at 0, 3, 6, 9 mm reach from -1.5 to 10.5 mm.
    expected = np.zeros((17, 17, 17), np.float32)
    expected[2:14, 2:14, 2:14] = 5
    np.testing.assert_array_equal(found, expected)


def test_what_is_no_number_counts_as_0_and_does_not_spread():
    one = image(np.eye(4))
    one.voxels[3, 3, 3] = np.nan
    found = grids.onto(one, Grid(shape=SHAPE, voxel_size=(1, 1, 1)), HERE).voxels
    assert found[3, 3, 3] == 0
    found[3, 3, 3] = one.voxels[3, 3, 3] = 1
    np.testing.assert_array_equal(found, one.voxels)
    one.voxels[3, 3, 3] = np.nan
    half = grids.onto(one, Grid(shape=SHAPE, voxel_size=(2, 2, 2)), HERE).voxels
    assert np.isfinite(half).all()


def test_an_image_away_from_the_grid_is_refused():
    away = OBLIQUE.copy()
    away[:3, 3] += 500
    with pytest.raises(InvalidDataError, match=r"do not overlap in sub-1_T1w\.nii\.gz"):
        grids.onto(image(), world(SHAPE, away), HERE)


def test_voxels_without_an_extent_are_refused(tmp_path):
    flat = np.diag([1.0, 0, 1, 1])
    with pytest.raises(InvalidDataError, match="no extent"):
        grids.onto(image(flat), Grid(shape=SHAPE, voxel_size=(1, 1, 1)), HERE)
    path = tmp_path / "flat.nii"
    header = nib.Nifti1Header()
    header.set_sform(flat, code=1)
    images.write(path, image().voxels, affine=flat, header=header)
    with pytest.raises(InvalidDataError, match=r"no extent.*flat\.nii"):
        grids.like(path, "linear")


def test_the_grid_of_an_image_is_read_and_named_the_same_wherever_it_is_read(tmp_path):
    for name in ("a.nii", "b.nii.gz"):
        images.write(tmp_path / name, image().voxels, affine=OBLIQUE)
    one, other = (grids.like(tmp_path / name, "cubic") for name in ("a.nii", "b.nii.gz"))
    assert one == other
    assert one.shape == SHAPE
    assert one.interpolation == "cubic"
    np.testing.assert_array_equal(one.affine, OBLIQUE.astype(np.float32))
    again = Grid.model_validate(json.loads(json.dumps(one.model_dump(mode="json"))))
    assert grids.digest(again) == grids.digest(one)
    with pytest.raises(MissingInputError, match=r"c\.nii"):
        grids.like(tmp_path / "c.nii", "linear")
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(InvalidDataError, match=r"not a NIfTI image.*text\.nii"):
        grids.like(tmp_path / "text.nii", "linear")


def test_minus_0_is_0_in_the_name_of_a_grid(tmp_path):
    images.write(tmp_path / "a.nii", image().voxels, affine=np.diag([1.0, 1, 1, 1]))
    negative = np.diag([1.0, 1, 1, 1])
    negative[0, 1] = -0.0
    images.write(tmp_path / "b.nii", image().voxels, affine=negative)
    one, other = (grids.like(tmp_path / name, "linear") for name in ("a.nii", "b.nii"))
    assert grids.digest(one) == grids.digest(other)


def test_every_part_of_a_grid_is_in_its_name():
    some = [
        Grid(shape=SHAPE, voxel_size=(2, 2, 2)),
        Grid(shape=SHAPE, voxel_size=(2, 2, 2.5)),
        Grid(shape=(7, 6, 4), voxel_size=(2, 2, 2)),
        Grid(shape=SHAPE, voxel_size=(2, 2, 2), interpolation="nearest"),
        world(SHAPE, np.diag([2.0, 2, 2, 1])),
        world(SHAPE, OBLIQUE),
    ]
    names = [grids.digest(grid) for grid in some]
    assert len(set(names)) == len(some)
    for grid, name in zip(some, names, strict=True):
        stem = grids.stem_on("sub-01_acq-x_T1w", grid)
        assert stem == f"sub-01_acq-x_grid-{name}_T1w"
        assert grids.stem_off(stem, grid) == "sub-01_acq-x_T1w"
        assert grids.stem_off(stem, None) is None
        assert all(grids.stem_off(stem, other) is None for other in some if other != grid)
        assert grids.stem_off("sub-01_acq-x_T1w", grid) is None
    assert grids.stem_off("sub-01_acq-x_T1w", None) == "sub-01_acq-x_T1w"


def test_images_of_a_caps_stay_on_their_grid():
    grid = Grid(shape=SHAPE, voxel_size=(2, 2, 2))
    assert grids.of(RawT1(grid=grid)) == grid
    assert grids.of(RawT1()) is None
    assert grids.of(T1Linear()) is None


@pytest.mark.parametrize("given", [{}, {"voxel_size": (1, 1, 1), "affine": OBLIQUE.tolist()}])
def test_a_grid_lies_somewhere_and_at_one_place(given):
    with pytest.raises(ValueError, match="either a voxel size or an affine"):
        Grid(shape=SHAPE, **given)
