"""Generate atrophy: regions that lost, or gained, a known share of their volume."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from clinicadl import AtrophyConfig, generate_atrophy
from clinicadl.config.read import settings
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts import images
from clinicadl.synthesis.atrophy import plan, with_less_tissue
from clinicadl.synthesis.deformation import TOLERANCE

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
GRID = (22, 24, 20)
AFFINE = np.array([[0.0, -3, 0, 33], [3, 0, 0, -35], [0, 0, 3, -28], [0, 0, 0, 1]])
CUSTOM = {"name": "custom", "custom_suffix": "T1w.nii.gz"}


@pytest.fixture
def source(tmp_path):
    for number in range(3):
        voxels = generator(2, "image", sample=number).uniform(10, 90, GRID).astype(np.float32)
        home = tmp_path / "caps" / "subjects" / f"sub-{number}" / "ses-M000" / "t1"
        images.write(home / f"sub-{number}_ses-M000_T1w.nii.gz", voxels, affine=AFFINE)
    return tmp_path / "caps"


def write_box(path, corner):
    voxels = np.zeros(GRID, np.uint8)
    voxels[tuple(slice(start, start + 5) for start in corner)] = 1
    images.write(path, voxels, affine=AFFINE)
    return path


@pytest.fixture
def masks(tmp_path):
    return tuple(
        write_box(tmp_path / f"{name}.nii.gz", corner)
        for name, corner in (("left", (5, 9, 8)), ("right", (13, 9, 8)))
    )


def config_of(source, target, **given):
    folders = {"caps_directory": source, "generated_caps_directory": target}
    quick = {"preprocessing": CUSTOM, "margin": 12, "n_proc": 1}
    return settings(AtrophyConfig, {**quick, **folders, **given})


def test_what_is_written_is_the_truth(source, masks, tmp_path):
    folder = generate_atrophy(
        config_of(source, tmp_path / "new", mask=masks, atrophy_percent=(10, 40), seed=3)
    )
    table = pd.read_csv(folder / "data.tsv", sep="\t")
    assert len(set(table["atrophy_percent"])) == 3
    assert table["atrophy_percent"].between(10, 40).all()
    for row in table.itertuples():
        stem = f"{row.participant_id}_{row.session_id}"
        mask = images.read(folder / "masks" / f"{stem}_mask.nii.gz")
        np.testing.assert_array_equal(mask.voxels == 1, sum(images.read(m).voxels for m in masks))
        jacobian = images.read(folder / "jacobian" / f"{stem}_jacobian.nii.gz")
        written = nib.load(folder / "displacement" / f"{stem}_displacement.nii.gz")
        assert written.shape == (*GRID, 3)
        for header in (mask, jacobian, written):
            np.testing.assert_allclose(header.affine, AFFINE)
        # From mm back to voxels: by central differences it has this Jacobian.
        moved = written.get_fdata() @ np.linalg.inv(AFFINE[:3, :3]).T
        slopes = np.stack([np.stack(np.gradient(moved[..., axis]), -1) for axis in range(3)], -2)
        expected = np.linalg.det(slopes + np.eye(3))
        np.testing.assert_allclose(jacobian.voxels, expected, atol=1e-5)
        assert jacobian.voxels.min() > 0
        ratio = jacobian.voxels[mask.voxels == 1].mean()
        assert abs(ratio - (1 - row.atrophy_percent / 100)) < 2 * TOLERANCE
        before = images.read(next(source.rglob(f"{stem}_*")))
        path = next(folder.rglob(f"{stem}_atr-deformed_T1w.nii.gz"))
        after = images.read(path)
        # What is farther from the boxes than the margin.
        still = np.ones(GRID, dtype=bool)
        still[0:23, 4:19, 3:18] = False
        np.testing.assert_array_equal(after.voxels[still], before.voxels[still])
        np.testing.assert_allclose(after.affine, AFFINE)
        said = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert said["changes"]["volume_ratio"] == pytest.approx(ratio, abs=1e-5)
        assert said["changes"]["regions"] == ["left.nii.gz", "right.nii.gz"]


def test_one_number_is_a_range_of_its_own_and_a_region_may_grow(source, masks, tmp_path):
    folder = generate_atrophy(
        config_of(source, tmp_path / "new", mask=masks[:1], atrophy_percent=(-25,))
    )
    table = pd.read_csv(folder / "data.tsv", sep="\t")
    assert list(table["atrophy_percent"]) == [-25, -25, -25]
    inside = images.read(masks[0]).voxels == 1
    for path in (folder / "jacobian").iterdir():
        assert abs(images.read(path).voxels[inside].mean() - 1.25) < 2 * TOLERANCE


def test_regions_of_a_label_map_are_the_same_as_their_masks(source, masks, tmp_path):
    atlas = sum(number * images.read(mask).voxels for number, mask in enumerate(masks, start=1))
    images.write(tmp_path / "atlas.nii.gz", atlas.astype(np.int16), affine=AFFINE)
    (tmp_path / "labels.tsv").write_text("index\tname\n1\tLeft\n2\tRight\n")
    atlas = {"atlas": tmp_path / "atlas.nii.gz", "atlas_labels": tmp_path / "labels.tsv"}
    by_name = generate_atrophy(config_of(source, tmp_path / "one", regions=("Right",), **atlas))
    by_mask = generate_atrophy(config_of(source, tmp_path / "two", mask=masks[1:]))
    one, two = (
        {path.name: path.read_bytes() for path in folder.rglob("*.nii.gz")}
        for folder in (by_name, by_mask)
    )
    assert one == two
    with pytest.raises(MissingInputError, match=r"Middle.*Left, Right"):
        plan(config_of(source, tmp_path / "three", regions=("Middle",), **atlas))


def test_tissue_gives_way_to_fluid(source, masks, tmp_path):
    folder = generate_atrophy(
        config_of(
            source,
            tmp_path / "new",
            mask=masks,
            method="loss",
            fluid=20,
            margin=None,
            atrophy_percent=(25, 50),
        )
    )
    table = pd.read_csv(folder / "data.tsv", sep="\t")
    assert list(table["atrophy"]) == ["lost"] * 3
    inside = sum(images.read(mask).voxels for mask in masks) == 1
    for row in table.itertuples():
        stem = f"{row.participant_id}_{row.session_id}"
        before = images.read(next(source.rglob(f"{stem}_*"))).voxels
        after = images.read(next(folder.rglob(f"{stem}_atr-lost_T1w.nii.gz"))).voxels
        share = row.atrophy_percent / 100
        for old, new in zip(before[inside], after[inside], strict=True):
            assert new == pytest.approx(old if old < 20 else old - share * (old - 20), rel=1e-5)
        np.testing.assert_array_equal(after[~inside], before[~inside])
        loss = images.read(folder / "loss" / f"{stem}_loss.nii.gz").voxels
        np.testing.assert_allclose(loss, np.where(inside, share, 0), rtol=1e-5)


def test_the_loss_is_a_share_of_what_is_brighter_than_fluid():
    voxels = np.array([0.0, 0.1, 0.15, 0.5, 1.0])
    thinner = with_less_tissue(voxels, np.array([1.0, 1.0, 1.0, 0.2, 1.0]), fluid=0.15)
    np.testing.assert_allclose(thinner, [0, 0.1, 0.15, 0.43, 0.15], rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mask": ("a.nii",), "method": "loss"}, ("--fluid",)),
        ({"mask": ("a.nii",), "fluid": 3}, ("--method loss",)),
        ({"mask": ("a.nii",), "method": "loss", "fluid": 3}, ("--margin means nothing",)),
        (
            {
                "mask": ("a.nii",),
                "method": "loss",
                "fluid": 3,
                "margin": None,
                "atrophy_percent": (-5, 5),
            },
            ("not grow",),
        ),
        ({}, ("must be said once", "--mask")),
        ({"mask": ("a.nii",), "atlas": "b.nii", "atlas_labels": "c.tsv"}, ("must be said once",)),
        ({"atlas": "b.nii", "regions": ("A",)}, ("given together",)),
        ({"atlas": "b.nii", "atlas_labels": "c.tsv"}, ("--regions",)),
        ({"mask": ("a.nii",), "regions": ("A",)}, ("--regions",)),
        ({"mask": ("a.nii",), "atrophy_percent": (10, 90)}, ("at most 80 %",)),
        ({"mask": ("a.nii",), "atrophy_percent": (-150, 0)}, ("at most 100 %",)),
        ({"mask": ("a.nii",), "atrophy_percent": (30, 20)}, ("no range",)),
        ({"mask": ("a.nii",), "atrophy_percent": (1, 2, 3)}, ("two values are needed, not 3",)),
        ({"mask": ("a.nii",), "margin": 0}, ("margin",)),
    ],
)
def test_settings_that_mean_nothing_are_refused(given, words):
    with pytest.raises(UsageError) as caught:
        config_of("caps", "new", **given)
    assert all(word in str(caught.value) for word in words), caught.value


def test_what_cannot_be_is_refused_before_anything_is_written(source, masks, tmp_path):
    with pytest.raises(InvalidDataError, match="cannot lose 80 %"):
        plan(config_of(source, tmp_path / "new", mask=masks, atrophy_percent=(0, 80), margin=4))
    assert not (tmp_path / "new").exists()


@pytest.mark.data
def test_real_hippocampi_shrink_and_ventricles_grow(tmp_path):
    home = REAL / "ixi-caps-4mm"
    if not home.is_dir():
        pytest.skip(f"the scans are not here: {home}")
    mask = "masks/tpl-MNI152/tpl-MNI152_res-4x4x4_roi-{}_mask.nii.gz"
    (tmp_path / "one.tsv").write_text("participant_id\tsession_id\nsub-IXI014\tses-M000\n")
    for name, percent, margin in (("hippocampusLeft", 30, 20), ("lateralVentricles", -50, 30)):
        folder = generate_atrophy(
            config_of(
                home,
                tmp_path / name,
                mask=(home / mask.format(name),),
                margin=margin,
                atrophy_percent=(percent,),
                participants_tsv=tmp_path / "one.tsv",
                preprocessing={"name": "custom", "custom_suffix": "Brain_res-4x4x4_T1w.nii.gz"},
            )
        )
        for path in folder.rglob("sub-*_atr-deformed_*.nii.gz"):
            before = images.read(next(home.rglob(f"{path.name[:19]}_*.nii.gz")))
            after = images.read(path)
            inside = images.read(folder / "masks" / f"{path.name[:19]}_mask.nii.gz").voxels == 1
            assert after.header.get_data_dtype() == before.header.get_data_dtype()
            changed = before.voxels != after.voxels
            assert changed[inside].mean() > 0.5
            assert changed.mean() < 0.2
            if name == "lateralVentricles":
                # Fluid is dark, and there is more of it.
                near = changed | inside
                dark = 0.6 * np.median(before.voxels[before.voxels > 0])
                assert (after.voxels[near] < dark).sum() > 1.1 * (before.voxels[near] < dark).sum()
