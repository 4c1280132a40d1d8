"""What every mode of the table does, with images of every size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clinicadl.config.base import from_table
from clinicadl.config.mode import MODES, MODES_GROUP, PatchMode, RoiMode
from clinicadl.data import parts
from clinicadl.draws import generator
from clinicadl.layouts.masks import Mask

ROWS = from_table(MODES, MODES_GROUP).all_rows()
GRIDS = [(50, 50, 50), (51, 99, 100), (60, 53, 150), (101, 50, 57)]
LAW = pytest.mark.parametrize(
    ("name", "grid"), [(name, grid) for name in ROWS for grid in GRIDS], ids=str
)
AFFINE = np.array(
    [[-1.9, 0.3, 0.2, 80], [0.3, 1.8, -0.4, -100], [0.1, 0.4, 2.1, -60], [0, 0, 0, 1]]
)


def made(name: str, grid: tuple[int, int, int]) -> parts.Parts:
    """Return the parts of a mode as it is by default; regions need masks."""
    if name != "roi":
        return parts.of(ROWS[name](), (1, *grid))
    masks = []
    for number in range(3):
        inside = generator(0, "mask", sample=number).random((5, 6, 7)) < 0.5
        home = f"masks/tpl-MNI/tpl-MNI_roi-r{number}_mask.nii.gz"
        start = (number, 2 * number, 30)
        masks.append(Mask(f"r{number}", Path(home), inside, start, grid, AFFINE, f"{number}"))
    return parts.of(RoiMode(roi_list=("r0", "r1", "r2")), (1, *grid), masks)


def numbered(grid: tuple[int, int, int]) -> torch.Tensor:
    """Return an image whose voxels are their positions, counted from 1."""
    return torch.arange(1, 1 + np.prod(grid), dtype=torch.float32).reshape(1, *grid)


@LAW
def test_parts_lie_inside_the_image_in_a_stable_order(name, grid):
    found = made(name, grid)
    assert len(found) > 0
    again = made(name, grid)
    assert (found.windows, found.names) == (again.windows, again.names)
    for start, stop in found.windows:
        assert np.all(np.array(start) >= 0)
        assert np.all(np.array(stop) <= grid)
        assert np.all(np.array(stop) > start)


@LAW
def test_no_part_comes_twice(name, grid):
    found = made(name, grid)
    assert len(set(found.windows)) == len(set(found.names)) == len(set(found.numbers)) == len(found)
    assert len(found.names) == len(found.numbers) == len(found.windows)


@LAW
def test_a_cut_has_the_shape_that_was_said_and_holds_voxels_of_the_image(name, grid):
    found, image = made(name, grid), numbered(grid)
    for index, shape in enumerate(found.shapes):
        part = found.cut(image, index)
        assert part.shape == shape
        assert part.dtype == torch.float32
        x, y, z = (slice(*ends) for ends in zip(*found.window(index), strict=True))
        assert set(part.unique().tolist()) <= {0.0, *image[0, x, y, z].flatten().tolist()}


@LAW
def test_cutting_leaves_the_image_alone(name, grid):
    found, image = made(name, grid), numbered(grid)
    for index in range(len(found)):
        found.cut(image, index).clone().add_(1)
    assert torch.equal(image, numbered(grid))


@LAW
def test_the_geometry_is_kept(name, grid):
    found = made(name, grid)
    for index in range(len(found)):
        moved = found.affine(AFFINE, index)
        np.testing.assert_array_equal(moved[:3, :3], AFFINE[:3, :3])
        start = np.array([*found.window(index).start, 1])
        np.testing.assert_allclose(moved @ [0, 0, 0, 1], AFFINE @ start, atol=1e-9)


@LAW
def test_names_can_stand_in_file_names(name, grid):
    for said in made(name, grid).names:
        assert said.isascii()
        assert not set(said) & set("/\\ *?[]:")


def test_a_mode_of_another_package_is_a_row_like_ours():
    class Slab(PatchMode):
        name: str = "slab"

    assert parts.of(Slab(patch_size=2, stride_size=2), (1, 4, 4, 4)).shape == (1, 2, 2, 2)
