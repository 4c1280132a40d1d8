"""``clinicadl quality-check`` of a CAPS: each flag has an effect, the same as from Python."""

import hashlib

import nibabel as nib
import numpy as np
import pytest

from clinicadl import (
    PetQualityConfig,
    VolumeQualityConfig,
    quality_check_pet_linear,
    quality_check_t1_volume,
)
from clinicadl.draws import generator
from clinicadl.errors import MissingExtraError
from clinicadl.layouts import images
from clinicadl.quality import pet, volume

GRID = (9, 10, 8)
AFFINE = np.diag([8.0, 8, 8, 1])
MNI = "space-MNI152NLin2009cSym"
PET = "pet_linear/{}_ses-M000_trc-18FFDG_" + MNI + "{}_res-1x1x1_suvr-pons_pet.nii.gz"
GREY = (
    "t1/spm/segmentation/normalized_space/"
    "{}_ses-M000_T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability.nii.gz"
)


def mask():
    inside = np.zeros(GRID, np.uint8)
    inside[2:7, 6:9, 2:6] = 1
    return inside


@pytest.fixture
def study(tmp_path):
    """Three people with PET and grey matter, a template, a mask, and a table of two of them."""
    for number in range(3):
        who = f"sub-{number}"
        draw = generator(9, "quality", sample=number)
        home = tmp_path / "caps" / "subjects" / who / "ses-M000"
        for crop in ("_desc-Crop", ""):
            images.write(home / PET.format(who, crop), draw.uniform(0, 1, GRID).astype("f4"),
                         affine=AFFINE)  # fmt: skip
        grey = draw.uniform(0, 1, GRID) * (draw.uniform(size=GRID) < 0.3)
        grey[0, 0, 0] = 1
        images.write(home / GREY.format(who), grey.astype("f4"), affine=AFFINE)
    template = tmp_path / "caps" / "groups" / "group-G" / "t1" / "group-G_template.nii.gz"
    template.parent.mkdir(parents=True)
    tissues = generator(9, "template").uniform(0, 1, (*GRID, 3)).astype("f4")
    nib.save(nib.Nifti1Image(tissues, AFFINE), template)
    images.write(tmp_path / "mask.nii.gz", mask(), affine=AFFINE)
    (tmp_path / "two.tsv").write_text(
        "participant_id\tsession_id\nsub-0\tses-M000\nsub-2\tses-M000\n"
    )
    return tmp_path


FLAGS = {
    "threshold": (["--threshold", "0.5"], {"threshold": 0.5}),
    "table": (["-tsv", "{}/two.tsv"], {"participants_tsv": "{}/two.tsv"}),
    "people": (["--participant_label", "1", "2"], {"participant_label": ["1", "2"]}),
    "shard": (["--shard", "2/2"], {"shard": "2/2"}),
}
OF_PET = FLAGS | {"uncropped": (["-uui"], {"use_uncropped_image": True})}
OF_VOLUME = FLAGS | {
    "threshold": (["--threshold", "0.9"], {"threshold": 0.9}),
    "eyes": (["--eyes-mask", "{}/mask.nii.gz"], {"eyes_mask": "{}/mask.nii.gz"}),
}


def at(study, settings):
    return {
        name: value.format(study) if isinstance(value, str) else value
        for name, value in settings.items()
    }


@pytest.mark.parametrize("name", OF_PET)
def test_each_flag_of_pet_linear_has_an_effect_the_same_as_from_python(invoke, study, name):
    flags, settings = OF_PET[name]
    given = {
        "caps_directory": study / "caps", "tracer": "18FFDG", "suvr_reference_region": "pons",
        "contour_mask": study / "mask.nii.gz", "n_proc": 1,
    }  # fmt: skip
    plain = quality_check_pet_linear(PetQualityConfig(**given, output_tsv=study / "plain.tsv"))
    other = quality_check_pet_linear(
        PetQualityConfig(**given, **at(study, settings), output_tsv=study / "other.tsv")
    )
    code, said, _ = invoke(
        "quality-check", "pet-linear", study / "caps", study / "cli.tsv", "18FFDG", "pons",
        "--contour_mask", study / "mask.nii.gz", "-np", 1, *(flag.format(study) for flag in flags),
    )  # fmt: skip
    assert code == 0
    sha256 = hashlib.sha256((study / "mask.nii.gz").read_bytes()).hexdigest()
    assert f"mask.nii.gz (SHA-256 {sha256}, not the published one)" in said
    assert (study / "cli.tsv").read_bytes() == other.read_bytes() != plain.read_bytes()


@pytest.mark.parametrize("name", OF_VOLUME)
def test_each_flag_of_t1_volume_has_an_effect_the_same_as_from_python(invoke, study, name):
    flags, settings = OF_VOLUME[name]
    given = {"caps_directory": study / "caps", "group_label": "G", "n_proc": 1}
    more = []
    if name == "threshold":
        given["eyes_mask"] = study / "mask.nii.gz"
        more = ["--eyes_mask", study / "mask.nii.gz"]
    plain = quality_check_t1_volume(VolumeQualityConfig(**given, output_directory=study / "plain"))
    other = quality_check_t1_volume(
        VolumeQualityConfig(**given, **at(study, settings), output_directory=study / "other")
    )
    code, said, _ = invoke(
        "quality-check", "t1-volume", study / "caps", study / "cli", "G", "-np", 1, *more,
        *(flag.format(study) for flag in flags),
    )  # fmt: skip
    assert code == 0
    if not more and name != "eyes":
        assert "third step: left out: it needs --eyes-mask" in said
    names = sorted(path.name for path in other.parent.iterdir())
    assert sorted(path.name for path in (study / "cli").iterdir()) == names
    assert all((study / "cli" / one).read_bytes() == (other.parent / one).read_bytes()
               for one in names)  # fmt: skip
    assert other.read_bytes() != plain.read_bytes()


def test_a_dry_run_writes_nothing_and_names_what_it_would(invoke, study):
    before = sorted(study.iterdir())
    code, said, _ = invoke("quality-check", "t1-volume", study / "caps", study / "qc", "G",
                           "--dry-run")  # fmt: skip
    assert code == 0
    assert said.count("# would read:") == 3
    assert said.count("# would write:") == 3
    code, said, _ = invoke(
        "quality-check", "pet-linear", study / "caps", study / "pet.tsv", "18FFDG", "pons",
        "--contour_mask", study / "mask.nii.gz", "--dry-run",
    )  # fmt: skip
    assert (code, said.count("# would read:"), said.count("# would write:")) == (0, 3, 1)
    assert sorted(study.iterdir()) == before


def test_an_image_that_cannot_be_read_ends_with_3_and_a_table(invoke, study):
    path = study / "caps" / "subjects" / "sub-1" / "ses-M000" / GREY.format("sub-1")
    path.write_bytes(path.read_bytes()[:100])
    code, said, complaint = invoke(
        "quality-check", "t1-volume", study / "caps", study / "qc", "G", "-np", 1
    )
    assert code == 3
    assert "of 3 images pass" in said
    assert "1 of 3 images could not be looked at" in complaint
    assert (study / "qc" / "QC_metrics.tsv").is_file()


def test_the_tables_of_both_are_understood_by_get_labels(invoke, study):
    rows = "".join(f"sub-{number}\tses-M000\t7{number}\tF\n" for number in range(3))
    (study / "merged.tsv").write_text(f"participant_id\tsession_id\tage\tsex\n{rows}")
    grey = study / "caps" / "subjects" / "sub-1" / "ses-M000" / GREY.format("sub-1")
    images.write(grey, 0.5 * images.read(grey).voxels, affine=AFFINE)
    pet_image = study / "caps" / "subjects" / "sub-2" / "ses-M000" / PET.format(
        "sub-2", "_desc-Crop"
    )  # fmt: skip
    bright = images.read(pet_image).voxels
    images.write(pet_image, np.where(mask() == 1, 1, bright).astype("f4"), affine=AFFINE)
    invoke("quality-check", "t1-volume", study / "caps", study / "qc", "G", "-np", 1)
    invoke("quality-check", "pet-linear", study / "caps", study / "pet.tsv", "18FFDG", "pons",
           "--contour_mask", study / "mask.nii.gz", "-np", 1, "--threshold", 0.3)  # fmt: skip
    code, _, _ = invoke(
        "tsvtools", "get-labels", study, study / "labels", "--merged_tsv", study / "merged.tsv",
        "--qc", study / "qc" / "QC_metrics.tsv", study / "pet.tsv",
    )  # fmt: skip
    assert code == 0
    assert (study / "labels" / "excluded.tsv").read_text().splitlines()[1:] == [
        "sub-1\tses-M000\tfailed the quality check QC_metrics.tsv",
        "sub-2\tses-M000\tfailed the quality check pet.tsv",
    ]


def test_the_published_masks_are_known_by_their_checksums(study, monkeypatch):
    sha256 = hashlib.sha256((study / "mask.nii.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(pet, "PUBLISHED_MASK", sha256)
    monkeypatch.setattr(volume, "PUBLISHED_MASK", sha256)
    planned = pet.plan(
        PetQualityConfig(
            caps_directory=study / "caps", output_tsv=study / "pet.tsv", tracer="18FFDG",
            suvr_reference_region="pons", contour_mask=study / "mask.nii.gz",
        )
    )  # fmt: skip
    assert planned.mask.said.endswith(f"(SHA-256 {sha256}, the published one)")
    planned = volume.plan(
        VolumeQualityConfig(
            caps_directory=study / "caps", output_directory=study / "qc", group_label="G",
            eyes_mask=study / "mask.nii.gz",
        )
    )  # fmt: skip
    assert planned.mask.said.endswith(f"(SHA-256 {sha256}, the published one)")


def test_without_nilearn_and_a_mask_the_extra_is_named(study, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nilearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "clinicadl\[report\]"'):
        pet.plan(
            PetQualityConfig(
                caps_directory=study / "caps", output_tsv=study / "pet.tsv", tracer="18FFDG",
                suvr_reference_region="pons",
            )
        )  # fmt: skip
