"""clinicadl prepare-data-from-bids: options, messages and exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clinicadl.config.mode import MODES
from clinicadl.config.raw import RAW
from clinicadl.draws import generator
from clinicadl.layouts import images

AFFINE = np.diag([-1.0, -1, 3, 1])


def put(bids: Path, participant: str, suffix: str = "T1w", shape=(12, 14, 6)) -> None:
    path = bids / participant / "ses-M000" / "anat" / f"{participant}_ses-M000_{suffix}.nii.gz"
    drawn = generator(5, participant).integers(1, 99, shape).astype(np.int16)
    images.write(path, drawn, affine=AFFINE)


@pytest.fixture
def bids(tmp_path) -> Path:
    for participant in ("sub-01", "sub-02", "sub-03"):
        put(tmp_path / "bids", participant)
    return tmp_path / "bids"


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_raw_images_become_tensors_and_a_second_run_makes_none(bids, tmp_path, invoke):
    words = ("prepare-data-from-bids", "image", bids, tmp_path / "caps", "t1", "-ej", "raw")
    code, said, _ = invoke(*words)
    assert code == 0
    assert "3 tensors written, 0 were there already" in said
    assert f"extraction JSON: {tmp_path / 'caps' / 'tensor_extraction' / 'raw.json'}" in said
    code, said, _ = invoke(*words)
    assert "0 tensors written, 3 were there already" in said
    assert "# there already: " in invoke(*words, "--dry-run")[1]


GRID = ("--voxel_size", "2", "--grid_size", "8", "9", "10")


@pytest.mark.parametrize(
    ("words", "shape", "grid"),
    [
        (GRID, (8, 9, 10), {"voxel_size": [2, 2, 2], "interpolation": "linear"}),
        (("--voxel-size", "2", "2.5", "3", "--grid-size", "7", "--interpolation", "cubic"),
         (7, 7, 7), {"voxel_size": [2, 2.5, 3], "interpolation": "cubic"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_a_grid_is_stated_by_one_number_or_three(bids, tmp_path, invoke, words, shape, grid, first):
    places = (bids, tmp_path / "caps", "t1")
    said = (*words, *places) if first else (*places, *words)
    code, _, shown = invoke("prepare-data-from-bids", "image", *said, "-ej", "g")
    assert code == 0, shown
    content = json.loads((tmp_path / "caps" / "tensor_extraction" / "g.json").read_text())
    assert content["grid"] == {"shape": list(shape), **grid}
    for path in tmp_path.rglob("*.pt"):
        assert torch.load(path).shape == (1, *shape)


def test_a_dry_run_shows_the_grid_and_writes_nothing(bids, tmp_path, invoke):
    like = next(bids.rglob("*.nii.gz"))
    words = ("prepare-data-from-bids", "slice", bids, tmp_path / "caps", "t1", "--dry-run")
    code, said, _ = invoke(*words, "--like", like, "-ds", "2", "1")
    assert code == 0
    assert f'like = "{like}"' in said
    assert said.count("# would read: ") == 3
    assert "_grid-" in said
    assert not (tmp_path / "caps").exists()


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("t2",), 2, "is not one of"),
        (("custom",), 2, "--custom"),
        (("t1", "--tracer", "18FFDG"), 2, "does not belong"),
        (("t1", "-uui"), 2, "No such option"),
        (("t1", "--grid", "3"), 2, "--grid"),
        (("t1", "--voxel_size", "2"), 2, "together"),
        (("t1", "--grid_size", "2"), 2, "together"),
        (("t1", "--voxel_size", "0", "--grid_size", "9"), 2, "above 0"),
        (("t1", "--voxel_size", "2", "--grid_size", "0"), 2, "above 0"),
        (("t1", "--voxel_size", "2", "--grid_size", "-3"), 2, "above 0"),
        (("t1", *GRID, "--like", "a.nii"), 2, "--like states a grid"),
        (("t1", "--like", "absent.nii"), 66, "absent.nii"),
        (("t1", "--interpolation", "cubic"), 2, "means nothing"),
        (("t1", "--interpolation", "sinc", *GRID), 2, "is not one of"),
        (("flair",), 66, "no image of flair"),
        (("t1", "--shard", "1/2"), 2, "needs --extract_json"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_written(
    bids, tmp_path, invoke, words, code, complaint
):
    before = files(tmp_path)
    found, _, shown = invoke("prepare-data-from-bids", "image", bids, tmp_path / "caps", *words)
    assert found == code, shown
    assert complaint in shown
    assert "Traceback" not in shown
    assert files(tmp_path) == before


def test_several_volumes_end_with_the_code_for_partial_work(bids, tmp_path, invoke):
    put(bids, "sub-02", shape=(12, 14, 6, 30))
    code, said, shown = invoke("prepare-data-from-bids", "image", bids, tmp_path / "caps", "t1")
    assert code == 3
    assert "2 tensors written" in said
    assert "holds 30 volumes" in shown


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_has_a_command_with_its_own_options_and_those_of_grids(invoke, mode):
    code, said, _ = invoke("prepare-data-from-bids", mode, "--help")
    assert code == 0
    joined = "".join(said.split())
    assert "BIDS_DIRECTORY" in said
    assert all(name in joined for name in RAW)
    own = {f"--{name.replace('_', '-')}" for name in MODES[mode].model_fields} - {"--name"}
    grid = {"--voxel-size", "--grid-size", "--like", "--interpolation", "--tracer", "--rec"}
    assert all(flag in said for flag in own | grid)
    assert "--dti-space" not in said
    assert "--suvr" not in said
    assert ("--save-features" in said) == (mode != "image")
    _, said, _ = invoke("prepare-data-from-bids", "--help")
    assert f"  {mode} " in said


def test_the_same_from_python_is_the_same_bytes(bids, tmp_path, invoke):
    from clinicadl import PrepareFromBidsConfig, prepare_data_from_bids

    invoke("prepare-data-from-bids", "image", bids, tmp_path / "one", "t1", *GRID, "-ej", "g")
    prepare_data_from_bids(
        PrepareFromBidsConfig(
            bids_directory=bids, caps_directory=tmp_path / "two", preprocessing="t1",
            voxel_size=(2,), grid_size=(8, 9, 10), extract_json="g",
        )
    )  # fmt: skip
    one, two = (files(tmp_path / name) for name in ("one", "two"))
    names = [{path.relative_to(tmp_path / name) for path in some}
             for name, some in (("one", one), ("two", two))]  # fmt: skip
    assert names[0] == names[1]
    assert list(map(one.get, sorted(one))) == list(map(two.get, sorted(two)))
