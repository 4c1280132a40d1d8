"""What every mode of the table does, ours and those of other packages, with images of every size.

A package runs them on the modes that it declares: ``pytest tests/laws/test_modes.py -k <name>``.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from clinicadl.config.base import from_table
from clinicadl.config.mode import MODES, MODES_GROUP, RoiMode
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.data import parts, tensors
from clinicadl.draws import generator
from clinicadl.errors import UsageError
from clinicadl.layouts import caps
from clinicadl.layouts.masks import Mask

ROWS = from_table(MODES, MODES_GROUP).all_rows()
CROPPED = (169, 208, 179)
GRIDS = [(50, 50, 50), (51, 99, 100), (60, 53, 150), (101, 50, 57), CROPPED]
EACH = pytest.mark.parametrize("name", ROWS)
LAW = pytest.mark.parametrize(
    ("name", "grid"), [(name, grid) for name in ROWS for grid in GRIDS], ids=str
)
AFFINE = np.array(
    [[-1.9, 0.3, 0.2, 80], [0.3, 1.8, -0.4, -100], [0.1, 0.4, 2.1, -60], [0, 0, 0, 1]]
)
HEAVY = {"torch", "numpy", "pandas", "scipy", "nibabel"}


def made(name: str, grid: tuple[int, int, int]) -> parts.Parts:
    """Return the parts of a mode as it is by default; regions need masks."""
    if name == "roi":
        chosen = masks(grid)
        return parts.of(RoiMode(roi_list=[mask.roi for mask in chosen]), (1, *grid), chosen)
    try:
        return parts.of(ROWS[name](), (1, *grid))
    except UsageError as error:
        pytest.skip(f"the mode is not for such images: {error}")


def masks(grid: tuple[int, int, int]) -> list[Mask]:
    found = []
    for number in range(3):
        inside = generator(0, "mask", sample=number).random((5, 6, 7)) < 0.5
        home = f"masks/tpl-MNI/tpl-MNI_roi-r{number}_mask.nii.gz"
        start = (number, 2 * number, 30)
        found.append(Mask(f"r{number}", Path(home), inside, start, grid, AFFINE, f"{number}"))
    return found


def numbered(grid: tuple[int, int, int]) -> torch.Tensor:
    """Return an image whose voxels are their positions, counted from 1."""
    return torch.arange(1, 1 + np.prod(grid), dtype=torch.float32).reshape(1, *grid)


@EACH
def test_a_mode_has_a_name_that_can_stand_everywhere(name):
    """In a command, a folder, a file and a column."""
    assert ROWS[name]().name == name
    assert re.fullmatch("[a-z][a-z0-9]*", name)
    assert name != "preview", "a command of this name is there already"


@EACH
def test_a_mode_has_parts_of_some_image(name):
    def has_parts(grid: tuple[int, int, int]) -> bool:
        try:
            return len(parts.of(ROWS[name](), (1, *grid))) > 0
        except UsageError:
            return False

    assert any(has_parts(grid) for grid in GRIDS)


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


@EACH
def test_the_order_is_the_same_in_every_process(name):
    """Sets of words, for one, have another order in each process."""
    if name == "roi":
        pytest.skip("regions come in the order of the list")
    code = """
import json, sys
from clinicadl.config.base import from_table
from clinicadl.config.mode import MODES, MODES_GROUP
from clinicadl.data import parts
from clinicadl.errors import UsageError
mode = from_table(MODES, MODES_GROUP).all_rows()[sys.argv[1]]()
for grid in json.loads(sys.argv[2]):
    try:
        found = parts.of(mode, (1, *grid))
        print(json.dumps([found.windows, found.names, found.numbers]))
    except UsageError:
        print("none")
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", code, name, json.dumps(GRIDS)],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


@LAW
def test_no_part_comes_twice(name, grid):
    found = made(name, grid)
    for facts in (found.windows, found.names, found.numbers):
        assert Counter(facts).most_common(1)[0][1] == 1
        assert len(facts) == len(found)
    assert all(type(number) is int for number in found.numbers)


@LAW
def test_a_cut_has_the_shape_that_was_said(name, grid):
    found, image = made(name, grid), numbered(grid)
    for index, shape in enumerate(found.shapes):
        part = found.cut(image, index)
        assert part.shape == shape
        assert part.dtype == torch.float32


@LAW
def test_every_voxel_of_a_cut_is_one_of_the_image_in_its_place_in_the_world(name, grid):
    """A voxel says where it was in the image: its affine must lead to the same place."""
    found, image = made(name, grid), numbered(grid)
    for index in range(len(found)):
        part = found.cut(image, index)
        volume = part if found.axis is None else part.unsqueeze(1 + found.axis)
        channel, *voxel = volume.nonzero(as_tuple=True)
        assert len(channel)
        values = volume[channel, *voxel].long() - 1
        place = np.stack(np.unravel_index(values.numpy(), grid))
        # Whole steps of one voxel are exact, so the affine is compared on its own.
        start = np.array(found.window(index).start)[:, np.newaxis]
        np.testing.assert_array_equal(np.stack([one.numpy() for one in voxel]) + start, place)
        moved = found.affine(AFFINE, index)
        np.testing.assert_array_equal(moved[:3, :3], AFFINE[:3, :3])
        np.testing.assert_allclose(
            moved @ [0, 0, 0, 1], AFFINE @ [*start[:, 0], 1], rtol=0, atol=1e-9
        )


@LAW
def test_cutting_leaves_the_image_alone(name, grid):
    found, image = made(name, grid), numbered(grid)
    for index in range(len(found)):
        found.cut(image, index).clone().add_(1)
    assert torch.equal(image, numbered(grid))


@LAW
def test_a_part_that_is_stored_is_the_part_that_is_cut_on_the_fly(name, grid, tmp_path):
    found, image = made(name, grid), numbered(grid)
    tensors.write(tmp_path / "image.pt", image[0].numpy())
    mapped = tensors.read(tmp_path / "image.pt")
    for index in {0, len(found) // 2, len(found) - 1}:
        tensors.write_part(tmp_path / "part.pt", found.cut(image, index).numpy())
        stored = tensors.read(tmp_path / "part.pt")
        assert torch.equal(found.cut(mapped, index), stored)
        assert stored.shape == found.shapes[index]


@LAW
def test_names_can_stand_in_file_names(name, grid):
    for said in made(name, grid).names:
        assert said.isascii()
        assert not set(said) & set("/\\ *?[]:\0")
        assert not said.startswith(".")
        assert name == "image" or f"{name}-" in said, "files are found by the name of the mode"


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@EACH
def test_settings_come_back_from_the_extraction_json(name, preprocessing):
    """A setting that has the name of another key would take its place."""
    needed = {
        "pet-linear": {"tracer": "18FFDG", "suvr_reference_region": "pons"},
        "custom": {"custom_suffix": "T1w.nii.gz"},
    }
    row, mode = PREPROCESSINGS[preprocessing](**needed.get(preprocessing, {})), ROWS[name]()
    path = Path("tensor_extraction/law.json")
    keys = mode.model_dump(mode="json", exclude={"name"})
    without = caps.extraction_content(path, row, mode=name)
    assert not set(keys) & set(without)
    content = json.loads(json.dumps(caps.extraction_content(path, row, mode=name, parts=keys)))
    extraction = caps.parse_extraction(content, path)
    assert (extraction.preprocessing, caps.mode_settings(extraction)) == (row, mode)


@EACH
def test_a_mode_has_a_command_whose_flags_are_its_own(name):
    from clinicadl.cli.prepare_data import group

    command = group.get_command(None, name)
    flags = Counter(
        flag for param in command.params for flag in (*param.opts, *param.secondary_opts)
    )
    assert [flag for flag, n in flags.items() if n > 1] == []
    assert set(ROWS[name].model_fields) - {"name"} <= {
        (param.name or "").removeprefix("mode__") for param in command.params
    }


@EACH
def test_the_settings_of_a_mode_start_at_once(name):
    """``--help`` imports the settings: what builds the parts belongs into another module."""
    code = f"import sys, {ROWS[name].__module__}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(said.stdout.split())
