"""Tensors of parts: the published names letter by letter, and found again."""

from pathlib import Path

import pytest

from clinicadl.config.preprocessing import PREPROCESSINGS, Custom, T1Linear
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import part_files
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.part_files import PartFolder

SPACE = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1"
KEY = ("sub-01", "ses-M000")


def folder_of(caps: Path, mode: str, name: str = f"sub-01_ses-M000_{SPACE}_T1w") -> PartFolder:
    image = StoredImage(*KEY, caps / f"{name}.nii.gz")
    return part_files.part_folder(caps, image, T1Linear(), mode)


@pytest.mark.parametrize(
    ("mode", "image", "name", "expected"),
    [
        (
            "patch", f"sub-01_ses-M000_{SPACE}_T1w", "patchsize-50_stride-25_patch-7",
            f"sub-01_ses-M000_{SPACE}_patchsize-50_stride-25_patch-7_T1w.pt",
        ),
        (
            "slice", f"sub-01_ses-M000_{SPACE}_T1w", "axis-sag_channel-rgb_slice-20",
            f"sub-01_ses-M000_{SPACE}_axis-sag_channel-rgb_slice-20_T1w.pt",
        ),
        (
            "slice", f"sub-01_ses-M00_T1w_{SPACE}_T1w", "axis-axi_channel-single_slice-0",
            f"sub-01_ses-M00_T1w_{SPACE}_axis-axi_channel-single_slice-0_T1w.pt",
        ),
        (
            "roi", f"sub-01_ses-M000_{SPACE}_T1w",
            "space-MNI152NLin2009cSym_desc-CropRoi_res-1x1x1_roi-leftHippocampusBox",
            "sub-01_ses-M000_space-MNI152NLin2009cSym_desc-CropRoi_res-1x1x1_"
            "roi-leftHippocampusBox_T1w.pt",
        ),
        (
            "roi", f"sub-01_ses-M00_T1w_{SPACE}_T1w", "space-MNI_roi-a",
            "sub-01_ses-M00_T1w_space-MNI_roi-a_T1w.pt",
        ),
        (
            "roi", f"sub-01_ses-M000_trc-18FFDG_{SPACE}_suvr-pons_pet", "space-MNI_roi-a",
            "sub-01_ses-M000_space-MNI_roi-a_pet.pt",
        ),
    ],
)  # fmt: skip
def test_the_tensor_of_a_part_has_its_published_name(tmp_path, mode, image, name, expected):
    home = folder_of(tmp_path, mode, image)
    based = f"subjects/sub-01/ses-M000/deeplearning_prepare_data/{mode}_based/t1_linear"
    assert part_files.part_tensor(home, name) == tmp_path / based / expected
    assert home.origin == tmp_path / based / f"{image}.json"


@pytest.mark.parametrize(
    ("row", "folder"),
    [
        (PREPROCESSINGS["pet-linear"](tracer="a", suvr_reference_region="pons"), "pet_linear"),
        (Custom(custom_suffix="T1w.nii.gz"), "custom"),
    ],
)
def test_each_preprocessing_has_its_folder(tmp_path, row, folder):
    image = StoredImage(*KEY, tmp_path / "a_T1w.nii")
    found = part_files.part_folder(tmp_path, image, row, "patch").folder
    assert found.name == folder
    assert found.parent.name == "patch_based"


def put(home: PartFolder, *names: str) -> None:
    home.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        part_files.part_tensor(home, name).touch()


def test_stored_parts_are_found_by_their_names_in_the_order_of_their_numbers(tmp_path):
    home = folder_of(tmp_path, "slice")
    names = [f"axis-sag_channel-rgb_slice-{i}" for i in (2, 10, 9, 100)]
    put(home, *names)
    (home.folder / ".partial-1-sub-01_ses-M000_slice-1_T1w.pt").touch()
    (home.folder / "another_slice-1_T1w.pt").touch()
    home.origin.touch()
    found = part_files.stored_parts(home)
    assert list(found) == [names[0], names[2], names[1], names[3]]
    for name, path in found.items():
        assert path == part_files.part_tensor(home, name)
    assert part_files.stored_parts(folder_of(tmp_path, "patch")) == {}


def test_parts_are_found_by_their_origin_without_the_image(tmp_path):
    (tmp_path / "subjects").mkdir()
    home = folder_of(tmp_path, "patch")
    keys = [KEY, ("sub-02", "ses-M000")]
    assert part_files.index_parts(tmp_path, T1Linear(), keys, "patch") == {}
    put(home, "patchsize-50_stride-50_patch-0")
    home.origin.touch()
    home.origin.with_name("other_T1w.json").touch()
    assert part_files.index_parts(tmp_path, T1Linear(), keys, "patch") == {KEY: home}
    assert part_files.index_parts(tmp_path, T1Linear(), keys, "slice") == {}
    home.origin.with_name(f"sub-01_ses-M000_run-2_{SPACE}_T1w.json").touch()
    with pytest.raises(InvalidDataError, match="Several tensors match in sub-01 . ses-M000"):
        part_files.index_parts(tmp_path, T1Linear(), keys, "patch")


def test_other_images_of_the_same_folder_are_known(tmp_path):
    home = folder_of(tmp_path, "roi")
    other = folder_of(tmp_path, "roi", "sub-01_ses-M000_acq-b_T1w")
    put(home)
    for one in (home, other):
        one.origin.touch()
    assert part_files.neighbours(home) == [other]
    assert part_files.neighbours(other) == [home]


def test_names_that_lead_out_of_the_caps_are_refused(tmp_path):
    image = StoredImage("../../x", "ses-M000", tmp_path / "a.nii")
    with pytest.raises(InvalidDataError, match="leads out"):
        part_files.part_folder(tmp_path, image, T1Linear(), "patch")
