"""Masks of regions: where they are looked for, which is chosen, which is refused."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from clinicadl.config.mode import MODES, RoiMode
from clinicadl.config.preprocessing import PREPROCESSINGS, Custom, T1Linear
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts import masks
from clinicadl.layouts.masks import Mask, Place

AFFINE = np.array([[-2.0, 0, 0.1, 40], [0, 3, 0, -50], [0.2, 0, 4, -60], [0, 0, 0, 1]])
CUSTOM = Custom(custom_suffix="T1w.nii.gz")
NLIN = "tpl-MNI152NLin2009cSym"
GRID = (4, 5, 6)


def inside(number: int = 0, grid: tuple[int, ...] = GRID) -> np.ndarray:
    found = np.zeros(grid, np.uint8)
    found[1:3, 2:4, 1:5] = generator(0, "inside", sample=number).random((2, 2, 4)) < 0.6
    found[1, 2, 1] = found[2, 3, 4] = 1
    return found


def put(caps: Path, below: str, voxels=None, affine=AFFINE) -> Path:
    path = caps / below
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(inside() if voxels is None else voxels, affine), path)
    return path


def custom(*regions: str, **settings: object) -> RoiMode:
    return RoiMode(roi_list=regions, **{"roi_custom_template": "MNI", **settings})


def test_a_mask_is_cut_to_its_bounding_box(tmp_path):
    path = put(tmp_path, "masks/tpl-MNI/tpl-MNI_roi-a_mask.nii.gz")
    (mask,) = masks.read(tmp_path, custom("a"), CUSTOM)
    assert (mask.roi, mask.path, mask.grid, mask.start) == ("a", path, GRID, (1, 2, 1))
    np.testing.assert_array_equal(mask.voxels, inside()[1:3, 2:4, 1:5] == 1)
    np.testing.assert_allclose(mask.affine, AFFINE, atol=1e-6)
    assert len(mask.sha256) == 64


def test_masks_come_in_the_order_of_the_list(tmp_path):
    for number, roi in enumerate("abc"):
        put(tmp_path, f"masks/tpl-MNI/tpl-MNI_roi-{roi}_mask.nii", inside(number))
    found = masks.read(tmp_path, custom("c", "a"), CUSTOM)
    assert [mask.roi for mask in found] == ["c", "a"]
    assert found[0].path.name == "tpl-MNI_roi-c_mask.nii"


@pytest.mark.parametrize("name", [name for name in MODES if name != "roi"])
def test_a_mode_without_regions_has_no_masks(tmp_path, name):
    assert masks.read(tmp_path, MODES[name](), CUSTOM) == ()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (T1Linear(), Place("MNI152NLin2009cSym", "res-1x1x1", True)),
        (T1Linear(use_uncropped_image=True), Place("MNI152NLin2009cSym", "res-1x1x1", False)),
        (PREPROCESSINGS["flair-linear"](), Place("MNI152NLin2009cSym", "res-1x1x1", True)),
        (
            PREPROCESSINGS["pet-linear"](tracer="fdg", suvr_reference_region="pons"),
            Place("MNI152NLin2009cSym", "res-1x1x1", True),
        ),
        (PREPROCESSINGS["t1-volume"](), Place("Ixi549Space", "", None)),
    ],
    ids=str,
)
def test_each_preprocessing_has_its_template_and_its_pattern(row, expected):
    assert masks.place(RoiMode(roi_list=("a",)), row) == expected


def test_custom_images_say_their_template_and_others_do_not():
    settings = custom("a", roi_custom_mask_pattern="res-4")
    assert masks.place(settings, CUSTOM) == Place("MNI", "res-4", None)
    with pytest.raises(UsageError, match="need the name of their template"):
        masks.place(RoiMode(roi_list=("a",)), CUSTOM)
    with pytest.raises(UsageError, match="--roi_custom_template, --roi_custom_mask_pattern"):
        masks.place(settings, T1Linear())


def test_cropped_and_uncropped_images_have_masks_of_their_own(tmp_path):
    home = f"masks/{NLIN}/{NLIN}"
    cropped = put(tmp_path, f"{home}_desc-Crop_res-1x1x1_roi-a_mask.nii.gz")
    whole = put(tmp_path, f"{home}_res-1x1x1_roi-a_mask.nii.gz")
    put(tmp_path, f"{home}_res-2x2x2_roi-a_mask.nii.gz")
    for uncropped, path in ((False, cropped), (True, whole)):
        row = T1Linear(use_uncropped_image=uncropped)
        (mask,) = masks.read(tmp_path, RoiMode(roi_list=("a",)), row)
        assert mask.path == path
    whole.unlink()
    with pytest.raises(MissingInputError, match="no mask of uncropped images") as refusal:
        masks.read(tmp_path, RoiMode(roi_list=("a",)), T1Linear(use_uncropped_image=True))
    assert refusal.value.exit_code == 66


@pytest.mark.parametrize(
    ("names", "pattern", "chosen"),
    [
        (["tpl-MNI_res-1_roi-a_mask.nii", "tpl-MNI_roi-a_mask.nii"], "", 1),
        (["tpl-MNI_b-1_roi-a_mask.nii", "tpl-MNI_a-1_roi-a_mask.nii"], "", 1),
        (["tpl-MNI_a-100_roi-a_mask.nii", "tpl-MNI_b-1_roi-a_mask.nii"], "", 1),
        (["tpl-MNI_res-1_roi-a_mask.nii", "tpl-MNI_res-22_roi-a_mask.nii"], "res-22", 1),
        (["tpl-MNI_roi-aa_mask.nii", "tpl-MNI_roi-a_mask.nii.gz"], "", 1),
        ([".partial-1-tpl-MNI_roi-a_mask.nii", "tpl-MNI_res-1_roi-a_mask.nii"], "", 1),
        (["tpl-MNI_roi-a_mask.nii.md5", "tpl-MNI_res-1_roi-a_mask.nii"], "", 1),
    ],
    ids=["shorter", "alphabet", "shorter before alphabet", "pattern", "whole name", "leftover",
         "no image"],
)  # fmt: skip
def test_of_several_masks_the_shortest_name_is_taken(tmp_path, names, pattern, chosen):
    home = tmp_path / "masks" / "tpl-MNI"
    home.mkdir(parents=True)
    for name in names:
        (home / name).touch()
    place = Place("MNI", pattern, None)
    assert masks.find(tmp_path, "a", place).name == names[chosen]


def test_the_older_folder_is_looked_at_too(tmp_path):
    older = put(tmp_path, "masks/roi_based/tpl-MNI/tpl-MNI_roi-a_mask.nii")
    assert masks.find(tmp_path, "a", Place("MNI", "", None)) == older
    newer = put(tmp_path, "masks/tpl-MNI/tpl-MNI_longer-name_roi-a_mask.nii")
    assert masks.find(tmp_path, "a", Place("MNI", "", None)) == newer


def test_an_unknown_region_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(MissingInputError, match=r"Add tpl-MNI_…_roi-a_mask\.nii\.gz"):
        masks.read(tmp_path, custom("a"), CUSTOM)
    for roi in ("left", "right"):
        put(tmp_path, f"masks/tpl-MNI/tpl-MNI_res-1_roi-{roi}_mask.nii")
    with pytest.raises(MissingInputError, match="found: middle.*Known there: left, right"):
        masks.read(tmp_path, custom("left", "middle"), CUSTOM)


@pytest.mark.parametrize(
    ("voxels", "complaint"),
    [
        (inside() * 2, "0 and 1 alone.*found: 2"),
        (inside() * np.float32(0.5), "0 and 1 alone.*0.5"),
        (np.where(inside(), np.nan, 1).astype(np.float32), "0 and 1 alone.*nan"),
        (inside() * 0, "empty"),
        (np.stack([inside()] * 2, axis=-1), "not three-dimensional"),
    ],
    ids=["other label", "probability", "no number", "empty", "four axes"],
)
def test_what_is_no_mask_is_refused(tmp_path, voxels, complaint):
    path = put(tmp_path, "masks/tpl-MNI/tpl-MNI_roi-a_mask.nii.gz", voxels)
    with pytest.raises(InvalidDataError, match=complaint) as refusal:
        masks.read(tmp_path, custom("a"), CUSTOM)
    assert str(path) in str(refusal.value)


def test_masks_of_several_grids_are_refused_with_both(tmp_path):
    put(tmp_path, "masks/tpl-MNI/tpl-MNI_roi-a_mask.nii")
    put(tmp_path, "masks/tpl-MNI/tpl-MNI_roi-b_mask.nii", inside(grid=(6, 6, 6)))
    with pytest.raises(InvalidDataError, match="4x5x6.*6x6x6"):
        masks.read(tmp_path, custom("a", "b"), CUSTOM)
    put(tmp_path, "masks/tpl-MNI/tpl-MNI_roi-c_mask.nii", affine=AFFINE + np.eye(4) * [1, 0, 0, 0])
    with pytest.raises(InvalidDataError, match=r"\[-2 0 0.1 40.*\[-1 0 0.1 40"):
        masks.read(tmp_path, custom("a", "c"), CUSTOM)


def test_only_cropped_t1_linear_does_without_a_list(tmp_path):
    assert masks.read(tmp_path, RoiMode(), T1Linear()) == ()
    for row in (T1Linear(use_uncropped_image=True), PREPROCESSINGS["flair-linear"]()):
        with pytest.raises(UsageError, match="--roi_list"):
            masks.read(tmp_path, RoiMode(), row)
    with pytest.raises(UsageError, match="--roi_list"):
        masks.read(tmp_path, custom(), CUSTOM)


def named(name: str, roi: str, *, uncropped: bool) -> str:
    path = Path("caps/masks") / name.partition("_")[0] / name
    voxels = np.ones((1, 1, 1), bool)
    mask = Mask(roi, path, voxels, (0, 0, 0), (1, 1, 1), AFFINE, "")
    return masks.entities(mask, uncropped_roi=uncropped)


@pytest.mark.parametrize(
    ("mask", "cropped", "uncropped"),
    [
        (
            f"{NLIN}_desc-Crop_res-1x1x1_roi-leftHippocampusBox_mask.nii.gz",
            "space-MNI152NLin2009cSym_desc-CropRoi_res-1x1x1_roi-leftHippocampusBox",
            "space-MNI152NLin2009cSym_desc-CropImage_res-1x1x1_roi-leftHippocampusBox",
        ),
        (
            f"{NLIN}_res-1x1x1_roi-leftHippocampusBox_mask.nii.gz",
            "space-MNI152NLin2009cSym_desc-CropRoi_res-1x1x1_roi-leftHippocampusBox",
            "space-MNI152NLin2009cSym_res-1x1x1_roi-leftHippocampusBox",
        ),
        (
            "tpl-MNI_roi-leftHippocampusBox_mask.nii",
            "space-MNI_desc-CropRoi_roi-leftHippocampusBox",
            "space-MNI_roi-leftHippocampusBox",
        ),
    ],
)
def test_a_region_goes_by_the_published_name(mask, cropped, uncropped):
    assert named(mask, "leftHippocampusBox", uncropped=False) == cropped
    assert named(mask, "leftHippocampusBox", uncropped=True) == uncropped


def test_what_was_resolved_is_said_and_does_not_tell_where_the_caps_lies(tmp_path):
    put(tmp_path, f"masks/{NLIN}/{NLIN}_desc-Crop_res-1x1x1_roi-a_mask.nii.gz")
    settings = RoiMode(roi_list=("a",))
    found = masks.read(tmp_path, settings, T1Linear())
    assert masks.keys(tmp_path, settings, T1Linear(), found) == {
        "roi_template": "MNI152NLin2009cSym",
        "roi_mask_pattern": "res-1x1x1",
        "masks_location": f"masks/{NLIN}",
    }
    moved = shutil.move(tmp_path / "masks", tmp_path / "caps" / "masks")
    again = masks.read(moved.parent, settings, T1Linear())
    assert masks.keys(moved.parent, settings, T1Linear(), again)["masks_location"] == (
        f"masks/{NLIN}"
    )
    assert "masks_location" not in masks.keys(tmp_path, RoiMode(), T1Linear(), ())
