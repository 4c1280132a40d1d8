"""pet-linear, on a PET image that is made from the template, so that its place is known."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from clinicadl.config.preprocess import PreprocessPetConfig
from clinicadl.config.preprocessing import PetLinear
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, PartialError
from clinicadl.layouts import caps, images

pytest.importorskip("ants", reason="needs the extra preproc, which has an environment of its own")

from clinicadl.preprocess import brain, pet, space

TRACER, REGION = "18FFDG", "cerebellumPons2"


def rigid(degrees, mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = mm
    return matrix


TO_T1 = rigid((4, -3, 6), (5, -8, 12)) @ np.diag([1.05, 0.97, 1.02, 1])
"""From MNI to the T1-weighted image."""
TO_PET = rigid((-7, 4, 9), (-10, 14, 20))
"""From the T1-weighted image to PET."""


def sampled(image, shape, affine, matrix):
    """Return an image on a grid by SciPy; the matrix leads from the grid to the image."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    points = np.linalg.inv(image.affine) @ matrix @ affine @ np.c_[index, np.ones(len(index))].T
    return map_coordinates(image.voxels, points[:3], order=1).reshape(shape).astype(np.float32)


def grid_about(matrix, edge, shape):
    """Return the affine of a grid whose centre is that of the brain."""
    affine = np.diag([-edge, edge, edge, 1.0])
    centre = matrix @ [0, -20, 10, 1]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ (np.array(shape) / 2)
    return affine


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A data set with a T1-weighted and a PET image, the CAPS, and the mask of a region."""
    home = tmp_path_factory.mktemp("pet")
    template = brain.read_template(brain.template_path())
    top = template.voxels.max()
    grey = np.exp(-(((template.voxels / top - 0.65) / 0.1) ** 2)) * (template.voxels > 0)
    uptake = gaussian_filter(1000 * grey + 200 * (template.voxels > 0), 2.5)
    bids, raw = home / "bids", home / "bids" / "sub-1" / "ses-M000"
    shape = (84, 98, 84)
    affine = grid_about(TO_T1, 2.2, shape)
    t1 = sampled(template, shape, affine, np.linalg.inv(TO_T1))
    images.write(raw / "anat" / "sub-1_ses-M000_T1w.nii.gz", t1, affine=affine)
    shape, to_pet = (70, 82, 70), TO_PET @ TO_T1
    affine = grid_about(to_pet, 3.0, shape)
    shown = sampled(template._replace(voxels=uptake), shape, affine, np.linalg.inv(to_pet))
    images.write(raw / "pet" / f"sub-1_ses-M000_trc-{TRACER}_pet.nii.gz", shown, affine=affine)
    (bids / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    write_transform(home / "caps")
    ball = np.zeros((20, 20, 20), np.uint8)
    ball[4:16, 4:16, 4:16] = 1
    where = np.array([[2.0, 0, 0, -20.5], [0, 2, 0, -80.5], [0, 0, 2, -50.5], [0, 0, 0, 1]])
    images.write(home / "region.nii.gz", ball, affine=where)
    return home


def write_transform(directory):
    name = "sub-1_ses-M000_T1w_space-MNI152NLin2009cSym_res-1x1x1_affine.mat"
    path = directory / "subjects" / "sub-1" / "ses-M000" / "t1_linear" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    space.write_transform(path, TO_T1)


@pytest.fixture
def copied(scene, tmp_path):
    """The scene, for those who change it."""
    for name in ("bids", "caps"):
        shutil.copytree(scene / name, tmp_path / name)
    shutil.copy(scene / "region.nii.gz", tmp_path)
    return tmp_path


def settings(home, **given):
    usual = {
        "caps_directory": home / "caps", "tracer": TRACER, "suvr_reference_region": REGION,
        "reference_mask": home / "region.nii.gz",
    }  # fmt: skip
    return PreprocessPetConfig(bids_directory=home / "bids", n_proc=1, **{**usual, **given})


@pytest.fixture(scope="module")
def made(scene):
    """The CAPS with its PET image."""
    page = pet.preprocess_pet(settings(scene))
    return scene / "caps", page


def stored(directory, *, whole):
    row = PetLinear(tracer=TRACER, suvr_reference_region=REGION, use_uncropped_image=whole)
    return caps.index(directory, row)["sub-1", "ses-M000"].path


def test_pet_is_found_on_its_t1_weighted_image(made):
    path = next(stored(made[0], whole=True).parent.glob("*.mat"))
    assert path.name == f"sub-1_ses-M000_trc-{TRACER}_pet_space-T1w_rigid.mat"
    template = brain.read_template(brain.template_path())
    index = np.argwhere(template.voxels > 0)[::997]
    points = TO_T1 @ template.affine @ np.c_[index, np.ones(len(index))].T
    off = np.linalg.norm(((space.read_transform(path) - TO_PET) @ points)[:3], axis=0)
    # Half a voxel of PET.
    assert off.max() < 1.5


def test_it_is_interpolated_once_and_is_1_on_average_in_the_region(made, scene):
    directory = made[0]
    image = images.read(stored(directory, whole=True))
    sidecar = json.loads(
        stored(directory, whole=True).with_suffix("").with_suffix(".json").read_text()
    )
    np.testing.assert_array_equal(image.affine, space.MNI.affine)
    to_pet = space.read_transform(next(stored(directory, whole=True).parent.glob("*.mat")))
    raw = images.read(next(scene.glob("bids/sub-1/*/pet/*.nii.gz")))
    raw = raw._replace(voxels=np.maximum(raw.voxels, 0))
    by_scipy = sampled(raw, space.MNI.shape, space.MNI.affine, to_pet @ TO_T1)
    inside = by_scipy > 1
    difference = np.abs(image.voxels * sidecar["ReferenceMean"] - by_scipy)[inside]
    # At the rim of the field of view ITK and SciPy take 0 and a mean.
    assert np.quantile(difference, 0.999) < 1e-3 * by_scipy.max()
    mask = images.read(scene / "region.nii.gz")
    index = np.argwhere(mask.voxels > 0)
    corners = (mask.affine @ np.c_[index, np.ones(len(index))].T)[:3]
    # Voxels of 1 mm whose nearest of 2 mm is in the mask: two along each axis.
    assert sidecar["ReferenceVoxels"] == 8 * len(index)
    low, high = (
        np.floor(f(corners, axis=1) - space.MNI.affine[:3, 3]).astype(int) for f in (np.min, np.max)
    )
    region = tuple(slice(a, b + 2) for a, b in zip(low, high, strict=True))
    assert image.voxels[region].mean(dtype=float) == pytest.approx(1, abs=1e-5)


def test_the_crop_is_a_part_of_it_and_the_page_shows_it(made):
    directory, page = made
    whole, crop = (images.read(stored(directory, whole=one)) for one in (True, False))
    np.testing.assert_array_equal(crop.voxels, whole.voxels[12:181, 13:221, 0:179])
    assert "sub-1 ses-M000" in page.read_text()
    assert page.name == f"pet-linear_trc-{TRACER}_suvr-{REGION}.html"


def test_the_same_images_give_the_same_bits(made, copied):
    again = copied / "again"
    write_transform(again)
    pet.preprocess_pet(settings(copied, caps_directory=again))
    for whole in (True, False):
        assert stored(again, whole=whole).read_bytes() == stored(made[0], whole=whole).read_bytes()


def test_what_is_there_is_left_alone_unless_its_source_changed(made, scene, copied):
    path = stored(copied / "caps", whole=True)
    before = path.stat().st_mtime_ns
    pet.preprocess_pet(settings(copied))
    assert path.stat().st_mtime_ns == before
    raw = next(copied.glob("bids/sub-1/*/anat/*.nii.gz"))
    image = images.read(raw)
    images.write(raw, image.voxels + 1, affine=image.affine)
    with pytest.raises(InvalidDataError, match="not the one that was used"):
        pet.preprocess_pet(settings(copied))
    other = images.read(copied / "region.nii.gz")
    images.write(copied / "region.nii.gz", other.voxels[::-1], affine=other.affine)
    with pytest.raises(OutputError, match="other settings"):
        pet.preprocess_pet(settings(copied))


def without_t1(home):
    next(home.glob("bids/sub-1/*/anat/*.nii.gz")).unlink()


def without_transform(home):
    next(home.glob("caps/subjects/*/*/t1_linear/*.mat")).unlink()


def with_spoilt_transform(home):
    next(home.glob("caps/subjects/*/*/t1_linear/*.mat")).write_bytes(b"nothing")


def of_frames(home):
    path = next(home.glob("bids/sub-1/*/pet/*.nii.gz"))
    image = images.read(path)
    images.write(path, np.stack([image.voxels] * 2, -1), affine=image.affine)


def without_the_cerebellum(home):
    path = next(home.glob("bids/sub-1/*/pet/*.nii.gz"))
    image = images.read(path)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [0, 0, 40]
    images.write(path, image.voxels[:, :, 40:], affine=affine)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_t1, "has no T1-weighted image"),
        (without_transform, "preprocess t1-linear"),
        (with_spoilt_transform, "no transform of ITK"),
        (of_frames, "(?s)70, 82, 70, 2|70 x 82 x 70 x 2"),
        (without_the_cerebellum, "does not hold the reference region"),
    ],
)
def test_a_session_that_cannot_be_made_is_named_with_its_reason(scene, copied, spoil, says):
    shutil.rmtree(
        copied / "caps" / "subjects" / "sub-1" / "ses-M000" / "pet_linear", ignore_errors=True
    )
    spoil(copied)
    with pytest.raises(InvalidDataError, match=says) as error:
        pet.preprocess_pet(settings(copied))
    assert error.value.exit_code == 65
    assert not [*(copied / "caps").rglob("*_pet.nii.gz")]


def test_the_others_go_on(scene, copied):
    source = next(copied.glob("bids/sub-1/*/pet/*.nii.gz"))
    target = copied / "bids" / "sub-2" / "ses-M000" / "pet" / source.name.replace("sub-1", "sub-2")
    target.parent.mkdir(parents=True)
    shutil.copy(source, target)
    with pytest.raises(PartialError, match="sub-2 | ses-M000"):
        pet.preprocess_pet(settings(copied))
    assert stored(copied / "caps", whole=True).is_file()


def test_a_mask_without_a_region_and_a_tracer_without_images_are_refused(copied):
    mask = images.read(copied / "region.nii.gz")
    images.write(copied / "none.nii.gz", np.zeros_like(mask.voxels), affine=mask.affine)
    with pytest.raises(InvalidDataError, match="holds no voxel"):
        pet.preprocess_pet(settings(copied, reference_mask=copied / "none.nii.gz"))
    with pytest.raises(MissingInputError, match="does not exist"):
        pet.preprocess_pet(settings(copied, reference_mask=copied / "gone.nii.gz"))
    with pytest.raises(MissingInputError, match="no image for pet-linear"):
        pet.preprocess_pet(settings(copied, tracer="18FAV45"))
