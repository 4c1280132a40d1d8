"""The check of t1-volume: its steps on maps that fail one each, its similarity by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from clinicadl import VolumeQualityConfig, quality_check_t1_volume
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, PartialError
from clinicadl.layouts import images
from clinicadl.quality import volume

AFFINE = np.diag([8.0, 8, 8, 1])
GRID = (12, 14, 12)
NAME = (
    "subjects/{0}/ses-M000/t1/spm/segmentation/normalized_space/"
    "{0}_ses-M000_T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability.nii.gz"
)
COLUMNS = [
    "participant_id", "session_id", "max_intensity", "non_zero_percentage", "frontal_similarity",
]  # fmt: skip


def by_scikit_learn(one, other):
    """Normalised mutual information over 10 x 10 bins of two whole images."""

    def bins(values):
        return np.digitize(values.ravel(), np.histogram_bin_edges(values, 10)[1:-1])

    def information(a, b):
        return mutual_info_score(bins(a), bins(b))

    return 2 * information(one, other) / (information(one, one) + information(other, other))


def eyes():
    mask = np.zeros(GRID, np.uint8)
    mask[2:10, 9:13, 2:8] = 1
    return mask


def tissue():
    """Some grey matter: 27 % of the voxels are not 0, the highest is 1."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    radius = x**2 + y**2 + z**2
    values = np.where(radius < 0.8, 1 - radius, 0)
    return (values / values.max()).astype(np.float32)


@pytest.fixture
def caps(tmp_path):
    """Maps that fail the first, the second, the third and no step."""
    home = tmp_path / "caps"
    inside = eyes() == 1
    maps = {name: tissue() for name in ("sub-1", "sub-2", "sub-3", "sub-4")}
    maps["sub-1"] *= 0.9
    maps["sub-2"][maps["sub-2"] == 0] = 0.01
    maps["sub-3"][inside] = 0
    for name, voxels in maps.items():
        images.write(home / NAME.format(name), voxels, affine=AFFINE)
    import nibabel as nib

    path = home / "groups" / "group-X" / "t1" / "group-X_template.nii.gz"
    path.parent.mkdir(parents=True)
    parts = np.stack([0.7 * tissue(), 0.3 * tissue()], axis=-1)
    nib.save(nib.Nifti1Image(parts, AFFINE), path)
    images.write(tmp_path / "eyes.nii.gz", eyes(), affine=AFFINE)
    return home


def config(caps, **settings):
    basic = {"caps_directory": caps, "output_directory": caps.parent / "qc", "group_label": "X",
             "eyes_mask": caps.parent / "eyes.nii.gz", "n_proc": 1}  # fmt: skip
    return VolumeQualityConfig(**{**basic, **settings})


def table(path):
    return pd.read_csv(path, sep="\t")


@given(seed=st.integers(0, 1000), noise=st.floats(0, 2))
def test_similarity_is_that_of_scikit_learn_on_whole_images(seed, noise):
    draw = generator(seed, "similarity")
    inside = draw.uniform(size=GRID) < 0.3
    one = draw.uniform(0, 1, GRID) * inside
    other = (one + noise * draw.normal(size=GRID)) * inside
    one, other = one.astype(np.float32), other.astype(np.float32)
    found = volume.frontal_similarity(one[inside], other[inside], one.size)
    assert found == pytest.approx(by_scikit_learn(one, other), abs=1e-6)
    assert -1e-9 <= found <= 1 + 1e-9


def test_similarity_of_an_image_with_itself_is_one_and_of_nothing_zero():
    values = generator(1, "same").uniform(size=200).astype(np.float32)
    assert volume.frontal_similarity(values, values, 1000) == pytest.approx(1)
    assert volume.frontal_similarity(values, np.zeros_like(values), 1000) == pytest.approx(0)
    assert volume.frontal_similarity(np.zeros(5, np.float32), np.zeros(5, np.float32), 9) == 0


def test_each_step_leaves_out_the_map_that_fails_it(caps):
    path = quality_check_t1_volume(config(caps))
    home = path.parent
    metrics = table(path)
    assert [*metrics.columns] == [*COLUMNS, "pass"]
    assert metrics["max_intensity"].is_monotonic_increasing
    passed = [table(home / f"pass_step-{step}.tsv") for step in (1, 2, 3)]
    assert [{*one["participant_id"]} for one in passed] == [
        {"sub-2", "sub-3", "sub-4"}, {"sub-3", "sub-4"}, {"sub-4"},
    ]  # fmt: skip
    assert all([*one.columns] == COLUMNS for one in passed)
    of = metrics.set_index("participant_id")
    assert of["pass"].to_dict() == {
        "sub-1": False, "sub-2": False, "sub-3": False, "sub-4": True,
    }  # fmt: skip
    assert of["max_intensity"]["sub-1"] == pytest.approx(0.9)
    assert of["non_zero_percentage"]["sub-4"] == pytest.approx((tissue() != 0).mean())
    assert of["non_zero_percentage"]["sub-2"] == 1
    for name in of.index:
        voxels = images.read(caps / NAME.format(name)).voxels
        expected = by_scikit_learn(tissue() * eyes(), voxels * eyes())
        assert of["frontal_similarity"][name] == pytest.approx(expected, abs=1e-6)


def test_the_threshold_of_the_third_step_is_free(caps):
    quality_check_t1_volume(config(caps, threshold=1))
    assert "sub-" not in (caps.parent / "qc" / "pass_step-3.tsv").read_text()


def test_without_a_mask_the_third_step_is_left_out(caps):
    quality_check_t1_volume(config(caps))
    path = quality_check_t1_volume(config(caps, eyes_mask=None, overwrite=True))
    assert not (path.parent / "pass_step-3.tsv").exists()
    of = table(path).set_index("participant_id")
    assert of["frontal_similarity"].isna().all()
    assert of["pass"].to_dict() == {"sub-1": False, "sub-2": False, "sub-3": True, "sub-4": True}


def test_a_map_that_cannot_be_read_does_not_pass(caps):
    (caps / NAME.format("sub-4")).write_bytes(b"")
    with pytest.raises(PartialError, match="empty file"):
        quality_check_t1_volume(config(caps))
    of = table(caps.parent / "qc" / "QC_metrics.tsv").set_index("participant_id")
    assert not of["pass"]["sub-4"]
    assert np.isnan(of["max_intensity"]["sub-4"])


def test_what_can_be_refused_is_refused_before_anything_is_written(caps):
    with pytest.raises(MissingInputError, match=r"no template.*group-Y.*group-X"):
        quality_check_t1_volume(config(caps, group_label="Y"))
    other = caps.parent / "other.nii.gz"
    images.write(other, eyes(), affine=2 * AFFINE)
    with pytest.raises(InvalidDataError, match="grid"):
        quality_check_t1_volume(config(caps, eyes_mask=other))
    assert not (caps.parent / "qc").exists()
    quality_check_t1_volume(config(caps))
    with pytest.raises(OutputError, match="pass_step-1"):
        quality_check_t1_volume(config(caps))


@pytest.mark.data
def test_grey_matter_of_the_template_passes_and_half_of_it_does_not(real_data, tmp_path):
    import nibabel as nib

    maps = [
        images.read(real_data / "templates" / f"tpl-MNI152NLin2009aSym_desc-Crop_res-1_label-{kind}"
                    "_probseg.nii.gz")
        for kind in ("GM", "WM")
    ]  # fmt: skip
    coarse = [image.voxels[::4, ::4, ::4] for image in maps]
    affine = maps[0].affine @ np.diag([4, 4, 4, 1])
    path = tmp_path / "caps" / "groups" / "group-X" / "t1" / "group-X_template.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.stack(coarse, axis=-1), affine), path)
    images.write(tmp_path / "caps" / NAME.format("sub-1"), coarse[0], affine=affine)
    half = coarse[0].copy()
    half[:, half.shape[1] // 3 :] = 0
    images.write(tmp_path / "caps" / NAME.format("sub-2"), half, affine=affine)
    output = quality_check_t1_volume(config(tmp_path / "caps", eyes_mask=None))
    of = table(output).set_index("participant_id")
    assert of["pass"].to_dict() == {"sub-1": True, "sub-2": False}
