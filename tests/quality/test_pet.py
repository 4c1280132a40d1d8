"""The check of pet-linear: its number by hand, and real PET that is moved away."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from clinicadl import PetQualityConfig, quality_check_pet_linear
from clinicadl.draws import generator
from clinicadl.errors import (
    InvalidDataError,
    MissingInputError,
    OutputError,
    PartialError,
    UsageError,
)
from clinicadl.layouts import images
from clinicadl.quality import pet

AFFINE = np.array([[4.0, 0, 0, -80], [0, 4, 0, -110], [0, 0, 4, -70], [0, 0, 0, 1]])
NAME = (
    "subjects/{0}/ses-M000/pet_linear/"
    "{0}_ses-M000_trc-18FFDG_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-pons_pet.nii.gz"
)


def by_hand(voxels, contour):
    """Every voxel in turn, as the publication says it."""
    low, high = voxels.min(), voxels.max()
    total = 0.0
    for value in voxels[contour].tolist():
        scaled = (value - low) / (high - low)
        total += scaled if scaled >= 0.35 else 0
    return 1 - total / contour.sum()


def brain(move=0):
    x, y, z = np.meshgrid(np.arange(40), np.arange(50), np.arange(40), indexing="ij")
    radius = ((x - 20 - move) / 14) ** 2 + ((y - 23) / 18) ** 2 + ((z - 19) / 14) ** 2
    drawn = generator(2, "pet").uniform(0, 0.1, radius.shape)
    return ((radius < 1) * (1.2 - 0.4 * radius) + drawn).astype(np.float32)


@pytest.fixture
def caps(tmp_path):
    """Three people: well placed, moved by 36 mm, and placed but with a voxel that is no number."""
    for name, move in (("sub-1", 0), ("sub-2", 9), ("sub-3", 0)):
        voxels = brain(move)
        if name == "sub-3":
            voxels[0, 0, 0] = np.nan
        images.write(tmp_path / "caps" / NAME.format(name), voxels, affine=AFFINE)
    return tmp_path / "caps"


def config(caps, **settings):
    basic = {
        "caps_directory": caps, "output_tsv": caps.parent / "pet.tsv", "tracer": "18FFDG",
        "suvr_reference_region": "pons", "n_proc": 1,
    }  # fmt: skip
    return PetQualityConfig(**{**basic, **settings})


def contour_file(caps, values=(0, 1), affine=AFFINE):
    radius = brain() > 0.4
    mask = np.where(np.roll(radius, 4, axis=0) & ~radius, *values[::-1])
    images.write(caps.parent / "contour.nii.gz", mask.astype(np.uint8), affine=affine)
    return caps.parent / "contour.nii.gz"


def test_the_number_is_that_by_hand():
    draw = generator(1, "score")
    for _ in range(5):
        voxels = draw.normal(2, 3, (6, 7, 8)).astype(np.float32)
        contour = draw.uniform(size=voxels.shape) < 0.3
        assert pet.probability(voxels, contour) == pytest.approx(by_hand(voxels, contour), abs=1e-6)


def test_the_table_is_as_published_lowest_first(caps):
    mask = contour_file(caps)
    path = quality_check_pet_linear(config(caps, contour_mask=mask))
    table = pd.read_csv(path, sep="\t")
    assert [*table.columns] == ["participant_id", "session_id", "pass_probability", "pass"]
    assert table["participant_id"][0] == "sub-2"
    assert table["pass_probability"].is_monotonic_increasing
    inside = np.asarray(nib.load(mask).dataobj) == 1
    expected = by_hand(brain(9), inside)
    assert table["pass_probability"][0] == pytest.approx(expected, abs=1e-6)
    assert table["pass"].tolist() == (table["pass_probability"] > 0.9).tolist()


def test_what_surrounds_the_brain_of_mni_is_the_default(caps):
    pytest.importorskip("nilearn", reason="the brain mask comes with nilearn")
    planned = pet.plan(config(caps))
    assert planned.mask.said == "what is 6 to 9 mm outside of the brain of MNI152"
    path = quality_check_pet_linear(config(caps))
    table = pd.read_csv(path, sep="\t").set_index("participant_id")
    assert table["pass"].to_dict() == {"sub-1": True, "sub-2": False, "sub-3": True}


def test_one_and_two_processes_write_the_same(caps):
    mask = contour_file(caps)
    path = quality_check_pet_linear(config(caps, contour_mask=mask))
    before = path.read_bytes()
    quality_check_pet_linear(config(caps, contour_mask=mask, n_proc=2, overwrite=True))
    assert path.read_bytes() == before


def test_an_image_that_cannot_be_read_does_not_pass_and_the_others_go_on(caps):
    broken = caps / NAME.format("sub-1")
    broken.write_bytes(broken.read_bytes()[:900])
    with pytest.raises(PartialError, match=r"1 of 3 images.*truncated"):
        quality_check_pet_linear(config(caps, contour_mask=contour_file(caps)))
    table = pd.read_csv(caps.parent / "pet.tsv", sep="\t", keep_default_na=False)
    assert table.iloc[0].tolist() == ["sub-1", "ses-M000", "n/a", False]
    assert len(table) == 3


@pytest.mark.parametrize("name", ["sub-1", "sub-3"])
def test_an_image_on_another_grid_than_most_is_named(caps, name):
    moved = AFFINE.copy()
    moved[0, 3] += 1
    images.write(caps / NAME.format(name), brain(), affine=moved)
    with pytest.raises(PartialError, match=rf"1 of 3 images.*not on the grid.*{name}"):
        quality_check_pet_linear(config(caps, contour_mask=contour_file(caps)))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"output_tsv": "pet.csv"}, UsageError, r"\.tsv"),
        ({"tracer": "18FAV45"}, MissingInputError, "18FAV45"),
        ({"participant_label": ["9"]}, MissingInputError, "sub-9"),
        ({"shard": "4/4"}, MissingInputError, "shard has no session"),
    ],
)
def test_what_can_be_refused_is_refused_before_anything_is_written(caps, settings, error, words):
    with pytest.raises(error, match=words):
        quality_check_pet_linear(config(caps, contour_mask=contour_file(caps), **settings))
    assert not (caps.parent / "pet.tsv").exists()


def test_images_none_of_which_can_be_read_are_refused(caps):
    for name in ("sub-1", "sub-2", "sub-3"):
        (caps / NAME.format(name)).write_bytes(b"")
    with pytest.raises(InvalidDataError, match="None of the 3 images can be read"):
        quality_check_pet_linear(config(caps, contour_mask=contour_file(caps)))


def test_masks_that_are_none_and_tables_that_are_there_are_refused(caps):
    with pytest.raises(InvalidDataError, match="zeros and ones"):
        pet.plan(config(caps, contour_mask=contour_file(caps, values=(0, 2))))
    with pytest.raises(InvalidDataError, match="grid"):
        pet.plan(config(caps, contour_mask=contour_file(caps, affine=2 * AFFINE)))
    mask = contour_file(caps)
    assert "not the published one" in pet.plan(config(caps, contour_mask=mask)).mask.said
    quality_check_pet_linear(config(caps, contour_mask=mask))
    with pytest.raises(OutputError, match="pet.tsv"):
        quality_check_pet_linear(config(caps, contour_mask=mask))


@pytest.mark.slow
@pytest.mark.data
def test_real_pet_passes_where_it_belongs_and_not_elsewhere(real_data, tmp_path):
    pytest.importorskip("nilearn", reason="the brain mask comes with nilearn")
    source = next((real_data / "pet-linear-caps").rglob("*_pet.nii.gz"))
    image = images.read(source)
    home = tmp_path / "caps"
    for name, move in (("sub-0", (0, 0, 0)), ("sub-x", (10, 0, 0)), ("sub-z", (0, 0, -20))):
        voxels = np.roll(image.voxels, move, axis=(0, 1, 2))
        images.write(home / NAME.format(name), voxels, affine=image.affine)
    path = quality_check_pet_linear(config(home))
    table = pd.read_csv(path, sep="\t").set_index("participant_id")
    assert table["pass"].to_dict() == {"sub-z": False, "sub-x": False, "sub-0": True}
    assert table["pass_probability"]["sub-0"] > 0.95
