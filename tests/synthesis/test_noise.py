"""Generate random: labels that nothing can learn."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.stats import kstest

from clinicadl import RandomConfig
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts import caps, images
from clinicadl.synthesis.generated import run
from clinicadl.synthesis.noise import draw_noise, generate_random, plan

GRID = (12, 11, 10)
AFFINE = np.array([[0, -2.0, 0, 9], [2, 0, 0, -7], [0, 0, 3, 1], [0, 0, 0, 1]])
NAME = "t1_linear/{}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"


def make_caps(folder, participants=("sub-1", "sub-2")):
    for level, participant in enumerate(participants, start=1):
        voxels = np.full(GRID, 100 * level, dtype=np.float32)
        voxels[0] = 0
        path = (
            folder / "subjects" / participant / "ses-M012" / NAME.format(f"{participant}_ses-M012")
        )
        images.write(path, voxels, affine=AFFINE)
    return folder


def config_of(source, target, **settings):
    quick = {"n_subjects": 2, "n_proc": 1, "seed": 5}
    return RandomConfig(
        caps_directory=source, generated_caps_directory=target, **{**quick, **settings}
    )


def voxels_of(folder, number):
    return images.read(next(folder.rglob(f"sub-RAND{number}_*.nii.gz"))).voxels


def bits(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "commandline.json"
    }


def test_noise_is_normal_with_the_mean_and_spread_that_were_asked():
    noise = draw_noise(1, 0, (20, 20, 20), mean=3, sigma=0.5)
    assert kstest((noise.ravel() - 3) / 0.5, "norm").pvalue > 0.01


def test_noise_is_independent_between_images():
    first, second = (draw_noise(1, number, (20, 20, 20), mean=0, sigma=1) for number in (0, 1))
    # 8000 voxels: five standard errors of a correlation that is 0.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(8000)


def test_every_image_is_the_first_one_and_fresh_noise(tmp_path):
    source = make_caps(tmp_path / "caps")
    folder = generate_random(config_of(source, tmp_path / "new", mean=2, sigma=3))
    before = images.read(next(source.rglob("sub-1_*"))).voxels
    residuals = np.stack([voxels_of(folder, number) - before for number in range(4)])
    # 4 x 1320 draws, five standard errors.
    assert abs(residuals.mean() - 2) < 5 * 3 / np.sqrt(residuals.size)
    assert abs(residuals.std() - 3) < 5 * 3 / np.sqrt(2 * residuals.size)
    assert len({residual.tobytes() for residual in residuals}) == 4


def test_without_spread_every_image_is_the_source_and_the_mean(tmp_path):
    source = make_caps(tmp_path / "caps")
    folder = generate_random(config_of(source, tmp_path / "new", mean=1.5, sigma=0))
    before = images.read(next(source.rglob("sub-1_*"))).voxels
    np.testing.assert_array_equal(voxels_of(folder, 3), before + 1.5)


def test_the_source_is_the_first_row_of_the_table(tmp_path):
    source = make_caps(tmp_path / "caps")
    table = tmp_path / "sessions.tsv"
    # The second row has no image, and is not needed.
    table.write_text("participant_id\tsession_id\nsub-2\tses-M012\nsub-9\tses-M012\n")
    config = config_of(source, tmp_path / "new", sigma=0, participants_tsv=table)
    assert voxels_of(generate_random(config), 0).max() == 200


def test_half_of_the_participants_are_ad_and_the_folder_is_a_caps(tmp_path):
    source = make_caps(tmp_path / "caps")
    config = config_of(source, tmp_path / "new", n_subjects=6)
    folder = generate_random(config)
    table = pd.read_csv(folder / "data.tsv", sep="\t")
    assert list(table) == ["participant_id", "session_id", "diagnosis", "age_bl", "sex"]
    assert list(table["participant_id"]) == [f"sub-RAND{i}" for i in range(12)]
    assert list(table["diagnosis"]) == ["AD"] * 6 + ["CN"] * 6
    assert set(table["session_id"]) == {"ses-M000"}
    found = caps.index(folder, config.preprocessing)
    assert set(found) == set(zip(table["participant_id"], table["session_id"], strict=True))
    assert found["sub-RAND7", "ses-M000"].path == (
        folder / "subjects/sub-RAND7/ses-M000" / NAME.format("sub-RAND7_ses-M000")
    )
    np.testing.assert_array_equal(images.read(found["sub-RAND7", "ses-M000"].path).affine, AFFINE)


def test_the_bits_do_not_depend_on_the_number_of_processes(tmp_path):
    source = make_caps(tmp_path / "caps")
    one = bits(generate_random(config_of(source, tmp_path / "one")))
    two = bits(generate_random(config_of(source, tmp_path / "two", n_proc=2)))
    other = bits(generate_random(config_of(source, tmp_path / "other", seed=6)))
    assert one == two
    assert one != other


def test_a_source_that_cannot_be_read_is_refused_before_anything_is_written(tmp_path):
    source = make_caps(tmp_path / "caps")
    path = next(source.rglob("sub-1_*"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidDataError, match=r"truncated or damaged.*sub-1_"):
        plan(config_of(source, tmp_path / "new"))
    assert [path.name for path in tmp_path.iterdir()] == ["caps"]


def test_an_absent_caps_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere"):
        plan(config_of(tmp_path / "nowhere", tmp_path / "new"))


def test_a_folder_that_appeared_meanwhile_is_refused_and_left_alone(tmp_path):
    planned = plan(config_of(make_caps(tmp_path / "caps"), tmp_path / "new"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        next(run(planned))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "wrong", [{"sigma": -1}, {"sigma": float("nan")}, {"mean": float("inf")}, {"n_subjects": 0}]
)
def test_settings_that_mean_nothing_are_refused(tmp_path, wrong):
    with pytest.raises(ValidationError):
        config_of(tmp_path, tmp_path / "new", **wrong)
