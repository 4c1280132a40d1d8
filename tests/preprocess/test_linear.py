"""preprocess t1-linear, whole: made-up participants whose transform is known, and real scans."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("ants", reason="needs antspyx, of the extra preproc")

from clinicadl import PreprocessLinearConfig, preprocess_linear
from clinicadl.config.preprocessing import T1Linear
from clinicadl.errors import InvalidDataError, MissingExtraError, PartialError
from clinicadl.layouts import caps, images
from clinicadl.layouts.images import Image
from clinicadl.preprocess import brain, heads, linear, space

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
POINTS = np.array(
    [[x, y, z, 1.0] for x in (-50, 0, 50) for y in (-90, -20, 50) for z in (-30, 10, 60)]
).T


def real(name: str) -> Path:
    if not (REAL / name).exists():
        pytest.skip(f"the real scans of {name} are not there")
    return REAL / name


def true_of(number: int) -> np.ndarray:
    """Return where a made-up participant lies: from the template to it."""
    matrix = np.eye(4)
    turned = [(9, -12, 7), (-15, 6, 11)][number]
    rotation = Rotation.from_euler("xyz", turned, degrees=True).as_matrix()
    matrix[:3, :3] = rotation @ np.diag([(0.94, 1.05, 1.08), (1.1, 0.97, 0.92)][number])
    matrix[:3, 3] = [(12, -20, 9), (-8, 15, -14)][number]
    return matrix


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """A data set of two participants: the template at 3 mm, elsewhere, and unevenly bright."""
    home = tmp_path_factory.mktemp("data") / "bids"
    small, _ = space.block_means(brain.read_template(brain.template_path()), 3.0)
    x, _, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in small.voxels.shape), indexing="ij")
    for number in (0, 1):
        who = f"sub-0{number + 1}"
        voxels = (small.voxels * np.exp(0.3 * x * (1 - 2 * number)) * 3).astype(np.int16)
        images.write(
            home / who / "anat" / f"{who}_T1w.nii.gz", voxels,
            affine=true_of(number) @ small.affine,
        )  # fmt: skip
    (home / "dataset_description.json").write_text("{}")
    return home


@pytest.fixture(scope="module")
def made(people, tmp_path_factory) -> Path:
    """The CAPS that the command makes of them, in two processes."""
    import subprocess
    import sys

    directory = tmp_path_factory.mktemp("made") / "caps"
    words = ["preprocess", "t1-linear", people, directory, "--skull-stripped", "--n-proc", "2"]
    said = subprocess.run(
        [sys.executable, "-m", "clinicadl", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "2 images written, 0 were there already" in said.stdout
    return directory


def home_of(directory: Path, who: str, session: str = "ses-M000") -> Path:
    return directory / "subjects" / who / session / "t1_linear"


@pytest.mark.parametrize("number", [0, 1])
def test_a_participant_lands_where_it_belongs(made, number):
    home = home_of(made, f"sub-0{number + 1}")
    found = space.read_transform(next(home.glob("*_affine.mat")))
    error = np.linalg.norm(((found - true_of(number)) @ POINTS)[:3], axis=0)
    assert error.max() < 1.0
    said = json.loads(next(home.glob("*.png")).with_suffix(".json").read_text())
    # Voxels of 3 mm beside one of 1 mm: not all is explained.
    assert said["VarianceExplained"] > 0.85 and said["BrainDice"] > 0.95


def test_the_images_are_on_the_published_grids_and_even(made):
    template = linear._template(brain.template_path(), is_brain=True)
    for uncropped, shape, origin in (
        (True, (193, 229, 193), (-96, -132, -78)), (False, (169, 208, 179), (-84, -119, -78))
    ):  # fmt: skip
        found = caps.index(made, T1Linear(use_uncropped_image=uncropped))
        assert len(found) == 2
        for stored in found.values():
            image = images.read(stored.path)
            assert image.voxels.shape == shape
            np.testing.assert_array_equal(image.affine[:3, 3], origin)
            np.testing.assert_array_equal(image.affine[:3, :3], np.eye(3))
            if uncropped:
                # The field of 0.3 from side to side is gone: both halves are equally bright.
                left, right = (
                    image.voxels[half][template.inside[half]].mean()
                    for half in (slice(0, 96), slice(97, 193))
                )
                assert abs(left / right - 1) < 0.06


def test_the_same_image_gives_the_same_bits_whoever_else_is_made(people, made, tmp_path):
    import subprocess
    import sys

    words = ["preprocess", "t1-linear", people, tmp_path / "other", "--skull-stripped"]
    subprocess.run(
        [sys.executable, "-m", "clinicadl", *map(str, words), "-np", "1", "--participant-label",
         "02"],
        check=True, capture_output=True,
    )  # fmt: skip
    ours, theirs = home_of(made, "sub-02"), home_of(tmp_path / "other", "sub-02")
    names = sorted(path.name for path in ours.iterdir())
    assert names == sorted(path.name for path in theirs.iterdir())
    for name in names:
        if not name.endswith(".json"):  # these name the source by its path
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_a_dry_run_shows_what_would_be_done(people, made, tmp_path, invoke):
    words = ("preprocess", "t1-linear", people, tmp_path / "new", "--dry-run")
    code, said, _ = invoke(*words, "--skull-stripped")
    assert code == 0
    assert said.count("# would write:") == 3 and said.count("# would read:") == 2
    assert "skull_stripped = true" in said
    assert not (tmp_path / "new").exists()
    code, said, _ = invoke("preprocess", "t1-linear", people, made, "--skull-stripped", "--dry-run")
    assert said.count("# there already:") == 2


def test_the_second_run_makes_nothing(people, made, invoke):
    before = {path: path.stat().st_mtime_ns for path in (made / "subjects").rglob("*")}
    code, said, _ = invoke("preprocess", "t1-linear", people, made, "--skull-stripped", "-np", "1")
    assert code == 0
    assert "0 images written, 2 were there already" in said
    assert {path: path.stat().st_mtime_ns for path in (made / "subjects").rglob("*")} == before


def test_what_shows_no_brain_is_skipped(tmp_path):
    pytest.importorskip("deepbet", reason="needs deepbet, of the extra preproc")
    home = tmp_path / "bids" / "sub-01" / "anat"
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
    bars = (800 * ((x * 8).astype(int) % 2 * (np.abs(y) < 0.1) * (np.abs(z) < 0.1))).astype(
        np.int16
    )
    images.write(home / "sub-01_T1w.nii.gz", bars, affine=np.diag([4.0, 4, 4, 1]))
    for said in (None, True):
        config = PreprocessLinearConfig(
            pipeline="t1-linear", bids_directory=tmp_path / "bids", n_proc=1,
            caps_directory=tmp_path / "caps", skull_stripped=said,
        )  # fmt: skip
        with pytest.raises(InvalidDataError, match="[Bb]rain"):
            preprocess_linear(config)


def test_without_deepbet_whole_heads_are_refused_and_brains_are_not(people, tmp_path, monkeypatch):
    monkeypatch.setattr(brain, "find_spec", lambda name: None if name == "deepbet" else _spec(name))
    config = {"pipeline": "t1-linear", "bids_directory": people, "caps_directory": tmp_path / "c"}
    with pytest.raises(MissingExtraError, match="deepbet"):
        linear.planned(PreprocessLinearConfig(**config))
    assert linear.planned(PreprocessLinearConfig(**config, skull_stripped=True)).jobs


def _spec(name):
    from importlib.util import find_spec

    return find_spec(name)


@pytest.mark.data
def test_brains_alone_are_told_from_heads():
    pytest.importorskip("deepbet", reason="needs deepbet, of the extra preproc")
    for name, alone in (
        ("ixi-bids-2mm/sub-IXI096/ses-M000/anat/sub-IXI096_ses-M000_T1w.nii.gz", True),
        ("open-ms-bids/sub-MS01/ses-M000/anat/sub-MS01_ses-M000_T1w.nii.gz", False),
    ):
        image = heads.read(real(name))
        found = brain.find(image, REAL / name)
        assert brain.is_alone(image, found) == alone


@pytest.mark.data
@pytest.mark.slow
def test_a_real_oblique_head_lands_on_the_template_and_a_bad_neighbour_is_skipped(tmp_path):
    pytest.importorskip("deepbet", reason="needs deepbet, of the extra preproc")
    import shutil

    bids = tmp_path / "bids"
    shutil.copytree(real("forrest-bids"), bids)
    for folder in [bids, *(path for path in bids.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)
    whole = next((bids / "sub-02").rglob("*_T1w.nii.gz"))
    bad = bids / "sub-03" / "anat" / "sub-03_T1w.nii.gz"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(whole.read_bytes()[:100_000])
    config = PreprocessLinearConfig(
        pipeline="t1-linear", bids_directory=bids, caps_directory=tmp_path / "caps", n_proc=1
    )
    with pytest.raises(PartialError, match=r"sub-03 \| ses-M000"):
        preprocess_linear(config)
    crop = images.read(next(home_of(tmp_path / "caps", "sub-02").glob("*desc-Crop*.nii.gz")))
    said = json.loads(next(home_of(tmp_path / "caps", "sub-02").glob("*.png")).with_suffix(
        ".json").read_text())  # fmt: skip
    assert said["BrainDice"] > 0.95
    # Somebody else registered the same head with another program to a like template.
    other: Image = images.read(next(real("t1-linear-caps").glob("subjects/sub-02/*/*/*.nii.gz")))
    np.testing.assert_array_equal(crop.affine, other.affine)
    assert np.corrcoef(crop.voxels.ravel(), other.voxels.ravel())[0, 1] > 0.93
