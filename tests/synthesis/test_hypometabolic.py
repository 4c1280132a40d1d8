"""Generate hypometabolic: uptake lowered where a kind of dementia lowers it."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import correlate1d

from clinicadl import HypometabolicConfig, generate_hypometabolic
from clinicadl.config.read import settings
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts import caps, images
from clinicadl.synthesis import regions
from clinicadl.synthesis.hypometabolic import factors, plan
from clinicadl.synthesis.pathologies import PATTERNS, SPELLINGS, regions_of
from clinicadl.synthesis.regions import side_of

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
GRID = (12, 14, 10)
AFFINE = np.array([[4.0, 0, 0, -22], [0, 4, 0, -26], [0, 0, 4, -18], [0, 0, 0, 1]])
NAME = "pet_linear/{}_trc-{}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-{}_pet.nii.gz"


@pytest.fixture
def source(tmp_path):
    """Three participants, each with two sessions and two tracers."""
    for number, session in product(range(3), ("ses-M000", "ses-M006")):
        for tracer, region in (("18FFDG", "cerebellumPons2"), ("18FAV45", "pons")):
            voxels = np.full(GRID, 1 + number, np.float32)
            voxels[0, 0, 0] = 0
            home = tmp_path / "caps" / "subjects" / f"sub-{number}" / session
            images.write(
                home / NAME.format(f"sub-{number}_{session}", tracer, region), voxels, affine=AFFINE
            )
    return tmp_path / "caps"


@pytest.fixture
def mask(tmp_path):
    """A mask on a grid of 3 mm, turned and shifted."""
    affine = np.array([[0.0, 3, 0, -10], [-3, 0, 0, 9], [0, 0, 3, -8], [0, 0, 0, 1]])
    images.write(tmp_path / "mask.nii.gz", np.full((7, 6, 5), 4, np.uint8), affine=affine)
    return tmp_path / "mask.nii.gz"


def config_of(source, target, **given):
    folders = {"caps_directory": source, "generated_caps_directory": target}
    return settings(HypometabolicConfig, {"n_subjects": 3, "n_proc": 1, **folders, **given})


def test_factors_are_a_smoothed_step():
    inside = np.zeros((31, 31, 31), dtype=bool)
    inside[8:20, 10:22, 9:25] = True
    sigma, reach = 2.0, 8
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    expected = np.where(inside, 0.7, 1.0)
    for axis in range(3):
        expected = correlate1d(expected, kernel / kernel.sum(), axis=axis, mode="reflect")
    found = factors(inside, percent=30, sigma=sigma)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(
        factors(inside, percent=30, sigma=0), np.where(inside, np.float32(0.7), np.float32(1))
    )


def test_the_first_session_of_the_published_tracer_is_multiplied_with_the_factors(
    source, mask, tmp_path
):
    folder = generate_hypometabolic(
        config_of(source, tmp_path / "new", mask=mask, anomaly_degree=40, sigma=1, pathology="pca")
    )
    table = pd.read_csv(folder / "data.tsv", sep="\t", dtype=str)
    assert table.to_dict("records") == [
        {
            "participant_id": f"sub-{number}",
            "session_id": "ses-M000",
            "pathology": "pca",
            "percentage": "40",
        }
        for number in range(3)
    ]
    row = HypometabolicConfig.model_fields["preprocessing"].default
    found = caps.index(folder, row)
    assert len(found) == 3
    for (participant, session), stored in found.items():
        stem = f"{participant}_{session}"
        assert stored.path.name == NAME.format(
            f"{stem}_pat-pca_deg-40", "18FFDG", "cerebellumPons2"
        ).removeprefix("pet_linear/")
        before = images.read(next(source.rglob(f"{stem}_trc-18FFDG*")))
        inside = images.read(folder / "masks" / f"{stem}_mask.nii.gz")
        factor = images.read(folder / "factor" / f"{stem}_factor.nii.gz")
        np.testing.assert_allclose(
            factor.voxels, factors(inside.voxels == 1, percent=40, sigma=1), rtol=1e-6
        )
        after = images.read(stored.path)
        np.testing.assert_array_equal(after.voxels, before.voxels * factor.voxels)
        np.testing.assert_array_equal(after.affine, AFFINE)
        said = json.loads(next(folder.rglob(f"subjects/**/{stem}_*.json")).read_text())
        assert said["changes"]["regions"] == ["mask.nii.gz"]


def test_a_mask_of_any_grid_is_brought_to_the_image_by_the_nearest_voxel(source, mask):
    image = images.read(next(source.rglob("*.nii.gz")))
    found = regions.on_grid(regions.of_masks([mask]), image, where=Path("here"))
    of_mask = images.read(mask)
    back = np.linalg.inv(of_mask.affine)
    for place in product(*map(range, GRID)):
        i, j, k = np.rint((back @ AFFINE @ [*place, 1])[:3]).astype(int)
        is_there = 0 <= i < 7 and 0 <= j < 6 and 0 <= k < 5
        assert found[place] == is_there
    assert found.any()


def test_part_of_the_preprocessing_may_be_said(source, mask, tmp_path):
    both = {"tracer": "18FAV45", "suvr_reference_region": "pons"}
    planned = plan(config_of(source, tmp_path / "new", mask=mask, preprocessing=both))
    assert all("trc-18FAV45" in image.path.name for image in planned.images)
    with pytest.raises(MissingInputError, match="pet-linear"):
        plan(config_of(source, tmp_path / "new", mask=mask, preprocessing={"tracer": "18FAV45"}))


def test_a_share_stays_untouched_and_has_an_empty_mask(source, mask, tmp_path):
    folder = generate_hypometabolic(config_of(source, tmp_path / "new", mask=mask, share=0.4))
    table = pd.read_csv(folder / "data.tsv", sep="\t", dtype=str)
    assert sorted(table["pathology"]) == ["ad", "untouched", "untouched"]
    for row in table.itertuples():
        path = folder / "masks" / f"{row.participant_id}_{row.session_id}_mask.nii.gz"
        assert images.read(path).voxels.any() == (row.pathology == "ad")


def write_atlas(folder, names):
    """Write a label map of one column of voxels a region, and its table."""
    voxels = np.zeros(GRID, np.int16)
    lines = ["index\tname"]
    for number, name in enumerate(names, start=1):
        voxels[number % 12, number // 12] = number
        lines.append(f"{number}\t{name}")
    images.write(folder / "atlas.nii.gz", voxels, affine=AFFINE)
    (folder / "labels.tsv").write_text("\n".join(lines) + "\n")
    return {"atlas": folder / "atlas.nii.gz", "atlas_labels": folder / "labels.tsv"}


AAL = (
    "Precentral_L", "Precentral_R", "Frontal_Sup_2_L", "Frontal_Mid_2_L", "Frontal_Inf_Oper_L",
    "Frontal_Inf_Oper_R", "Frontal_Inf_Tri_L", "Supp_Motor_Area_L", "Frontal_Sup_Medial_L",
    "Rectus_L", "Insula_L", "Insula_R", "Cingulate_Ant_L", "Cingulate_Post_L", "Cingulate_Post_R",
    "Calcarine_L", "Cuneus_L", "Lingual_L", "Occipital_Mid_L", "Fusiform_L", "Fusiform_R",
    "Parietal_Sup_L", "Parietal_Inf_L", "SupraMarginal_L", "Angular_L", "Angular_R", "Precuneus_L",
    "Precuneus_R", "Temporal_Sup_L", "Temporal_Pole_Sup_L", "Temporal_Pole_Mid_L",
    "Temporal_Mid_L", "Temporal_Mid_R", "Temporal_Inf_L", "Temporal_Inf_R", "Heschl_L",
    "Caudate_L",
)  # fmt: skip


@pytest.mark.parametrize(
    ("pathology", "expected"),
    [
        (
            "ad",
            {
                "Angular_L", "Angular_R", "Cingulate_Post_L", "Cingulate_Post_R", "Precuneus_L",
                "Precuneus_R", "Temporal_Mid_L", "Temporal_Mid_R", "Temporal_Inf_L",
                "Temporal_Inf_R",
            },
        ),
        (
            "nfvppa",
            {
                "Frontal_Inf_Oper_L", "Frontal_Inf_Tri_L", "Insula_L", "Supp_Motor_Area_L",
                "Precentral_L",
            },
        ),
        (
            "lvppa",
            {
                "SupraMarginal_L", "Angular_L", "Parietal_Inf_L", "Temporal_Sup_L",
                "Temporal_Mid_L",
            },
        ),
        (
            "svppa",
            {
                "Temporal_Pole_Sup_L", "Temporal_Pole_Mid_L", "Temporal_Inf_L", "Temporal_Inf_R",
                "Fusiform_L", "Fusiform_R",
            },
        ),
        (
            "pca",
            {
                "Cuneus_L", "Calcarine_L", "Lingual_L", "Occipital_Mid_L", "Parietal_Sup_L",
                "Angular_L", "Angular_R", "Fusiform_L", "Fusiform_R",
            },
        ),
        (
            "bvftd",
            {
                "Frontal_Sup_Medial_L", "Frontal_Sup_2_L", "Frontal_Mid_2_L", "Rectus_L",
                "Cingulate_Ant_L", "Insula_L", "Insula_R", "Temporal_Pole_Sup_L",
                "Temporal_Pole_Mid_L",
            },
        ),
    ],
)  # fmt: skip
def test_the_regions_of_each_pathology_are_found_by_the_names_of_a_label_map(
    source, tmp_path, pathology, expected
):
    config = config_of(
        source, tmp_path / "new", pathology=pathology, sigma=0, **write_atlas(tmp_path, AAL)
    )
    folder = generate_hypometabolic(config)
    said = json.loads(next(folder.rglob("subjects/**/*.json")).read_text())["changes"]
    assert set(said["regions"]) == expected
    mask = images.read(next((folder / "masks").iterdir())).voxels
    numbers = images.read(tmp_path / "atlas.nii.gz").voxels
    wanted = [number for number, name in enumerate(AAL, start=1) if name in expected]
    np.testing.assert_array_equal(mask == 1, np.isin(numbers, wanted))


def test_every_region_has_a_spelling_and_every_pathology_a_source():
    used = {region for pattern in PATTERNS.values() for region in pattern.regions}
    assert used == set(SPELLINGS)
    assert all(pattern.source for pattern in PATTERNS.values())
    assert set(PATTERNS) == {"ad", "bvftd", "lvppa", "nfvppa", "pca", "svppa"}


@pytest.mark.data
@pytest.mark.parametrize("pathology", PATTERNS)
def test_a_real_label_map_has_every_region(pathology):
    home = REAL / "ixi-bids-2mm" / "derivatives" / "dlmuse"
    if not home.is_dir():
        pytest.skip(f"the label maps are not here: {home}")
    table = home / "dseg.tsv"
    known = [str(one) for one in pd.read_csv(table, sep="\t", keep_default_na=False)["name"]]
    names = regions_of(pathology, known, where=table)
    is_left = PATTERNS[pathology].left_alone
    assert {side_of(name) for name in names} == ({"left"} if is_left else {"left", "right"})
    atlas = next(home.rglob("*dseg.nii.gz"))
    found = regions.of_atlas(atlas, table, names)
    image = images.read(atlas)
    inside = regions.on_grid(found, image, where=atlas)
    # A cortex of 600 ml has many regions.
    volume_ml = inside.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert 20 < volume_ml < 400
    x = (image.affine[:3, :3] @ np.argwhere(inside).T)[0] + image.affine[0, 3]
    middle = (image.affine @ [*np.argwhere(image.voxels > 0).mean(axis=0), 1])[0]
    assert (np.median(x) < middle - 20) == is_left


def test_a_label_map_without_the_regions_or_their_sides_is_refused(source, tmp_path):
    def refused(names, pathology="lvppa"):
        atlas = write_atlas(tmp_path, names)
        with pytest.raises(InvalidDataError) as caught:
            plan(config_of(source, tmp_path / "new", pathology=pathology, **atlas))
        return str(caught.value)

    assert "supramarginal" in refused(["Caudate_L", "Angular_L"])
    sideless = ["Angular", "SupraMarginal", "Temporal_Sup", "Temporal_Mid"]
    assert "no side" in refused(sideless)
    assert "labels.tsv" in refused(sideless)


def test_a_table_that_is_not_that_of_the_label_map_is_refused(source, tmp_path):
    atlas = write_atlas(tmp_path, AAL)
    with atlas["atlas_labels"].open("a") as table:
        table.write("99\tAngular_9_L\n")
    with pytest.raises(InvalidDataError, match="Angular_9_L"):
        plan(config_of(source, tmp_path / "new", **atlas))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ("must be said once", "--mask", "--atlas")),
        ({"mask": "m.nii", "atlas": "a.nii", "atlas_labels": "l.tsv"}, ("must be said once",)),
        ({"atlas": "a.nii"}, ("given together",)),
        ({"mask": "m.nii", "atlas_labels": "l.tsv"}, ("given together",)),
        ({"mask": "m.nii", "pathology": "xyz"}, ("pathology",)),
        ({"mask": "m.nii", "anomaly_degree": 0}, ("anomaly_degree",)),
    ],
)
def test_settings_that_mean_nothing_are_refused(given, words):
    with pytest.raises(UsageError) as caught:
        config_of("caps", "new", **given)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_mask_elsewhere_or_everywhere_is_refused_before_anything_is_written(source, tmp_path):
    for shift, size, words in ((900, 3, "covers no voxel"), (-100, 70, "cover the whole image")):
        affine = np.diag([4.0, 4, 4, 1])
        affine[:3, 3] = shift
        images.write(tmp_path / "m.nii", np.ones((size,) * 3, np.uint8), affine=affine)
        with pytest.raises(InvalidDataError, match=words):
            plan(config_of(source, tmp_path / "new", mask=tmp_path / "m.nii"))
    with pytest.raises(MissingInputError):
        plan(config_of(source, tmp_path / "new", mask=tmp_path / "absent.nii"))
    assert not (tmp_path / "new").exists()


def test_more_participants_than_there_are_are_refused(source, mask, tmp_path):
    with pytest.raises(UsageError, match=r"300 participants.*--n_subjects 3"):
        plan(config_of(source, tmp_path / "new", mask=mask, n_subjects=300))


@pytest.mark.data
def test_a_real_pet_image_keeps_its_grid_and_loses_in_the_region(mask, tmp_path):
    home = REAL / "pet-linear-caps"
    if not home.is_dir():
        pytest.skip(f"the PET image is not here: {home}")
    preprocessing = {"tracer": "15OWater"}
    config = config_of(
        home, tmp_path / "new", mask=mask, n_subjects=1, preprocessing=preprocessing,
        anomaly_degree=50, sigma=0,
    )  # fmt: skip
    folder = generate_hypometabolic(config)
    before = images.read(next(home.rglob("*_pet.nii.gz")))
    after = images.read(next(folder.rglob("*_pet.nii.gz")))
    inside = images.read(next((folder / "masks").iterdir())).voxels == 1
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.voxels[~inside], before.voxels[~inside])
    np.testing.assert_allclose(after.voxels[inside], before.voxels[inside] / 2, rtol=1e-6)
