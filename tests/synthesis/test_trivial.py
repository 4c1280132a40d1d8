"""Generate trivial: labels that anything must learn."""

import hashlib
import json
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl import TrivialConfig
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.draws import generator
from clinicadl.errors import (
    InvalidDataError,
    MissingInputError,
    OutputError,
    PartialError,
    UsageError,
)
from clinicadl.layouts import caps, images
from clinicadl.synthesis.generated import run
from clinicadl.synthesis.trivial import darken, draw_deviations, generate_trivial, plan

GRID = (10, 9, 8)
AFFINE = np.array([[4.0, 0, 0, -18], [0, 4, 0, -16], [0, 0, 4, -14], [0, 0, 0, 1]])
SPACE = "space-MNI152NLin2009cSym"
CROPPED = f"{SPACE}_desc-Crop_res-1x1x1"
T1 = f"t1_linear/{{}}_{CROPPED}_T1w.nii.gz"


def write_image(folder, participant, session="ses-M000", *, name=T1, affine=AFFINE):
    draw = generator(3, f"image/{participant}/{session}")
    voxels = np.zeros(GRID, dtype=np.float32)
    voxels[1:9, 1:8, 1:7] = draw.uniform(50, 100, (8, 7, 6))
    path = folder / "subjects" / participant / session / name.format(f"{participant}_{session}")
    images.write(path, voxels, affine=affine)
    return path


def make_caps(folder, n_participants=3, name=T1):
    for number in range(n_participants):
        write_image(folder, f"sub-{number:02d}", name=name)
    return folder


def config_of(source, target, **settings):
    quick = {"n_subjects": 2, "n_proc": 1, "seed": 5}
    return TrivialConfig(
        caps_directory=source, generated_caps_directory=target, **{**quick, **settings}
    )


def table_of(folder):
    return pd.read_csv(folder / "data.tsv", sep="\t")


def bits(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "commandline.json"
    }


def test_darkening_by_hand():
    voxels = np.array([[[100.0, 100.0, 100.0, -20.0]]], dtype=np.float32)
    mask = np.array([[[True, True, False, True]]])
    deviations = np.array([[[-0.2, 0.1, -0.3, 0.0]]], dtype=np.float32)
    # The least deviation, -0.3, lies outside the mask: losses of 61, 64, none and 63 percent.
    darkened = darken(voxels, mask, deviations, percent=60)
    np.testing.assert_allclose(darkened, [[[39, 36, 100, -7.4]]], rtol=1e-5)
    assert darkened.dtype == np.float32


@given(st.floats(0, 100), st.integers(0, 2**32 - 1))
def test_no_voxel_loses_less_than_asked_or_more_than_all(percent, seed):
    voxels = np.full((4, 4, 4), 8, dtype=np.float32)
    deviations = draw_deviations(seed, 0, voxels.shape)
    darkened = darken(voxels, np.ones(voxels.shape, dtype=bool), deviations, percent=percent)
    assert darkened.min() >= 0
    # The voxel with the least deviation loses exactly what was asked, but for rounding.
    np.testing.assert_allclose(darkened.max(), 8 * (1 - percent / 100), atol=1e-5)


def test_deviations_are_normal_with_a_tenth_of_spread_and_of_the_image_alone():
    first, second = (draw_deviations(1, number, (40, 40, 40)) for number in (0, 1))
    # 64,000 draws: five standard errors of the mean and of the standard deviation.
    assert abs(first.mean()) < 5 * 0.1 / 253
    assert abs(first.std() - 0.1) < 5 * 0.1 / 358
    assert not np.array_equal(first, second)


WHOLE = f"t2_linear/{{}}_{SPACE}_res-1x1x1_T2w.nii"


@pytest.mark.parametrize("name", [*PREPROCESSINGS, "uncropped"])
def test_the_same_preprocessing_finds_the_result(tmp_path, name, pipelines):
    settings, pattern = pipelines.get(name, ({"use_uncropped_image": True}, WHOLE))
    name = "t2-linear" if name == "uncropped" else name
    source = make_caps(tmp_path / "caps", name=pattern)
    config = config_of(source, tmp_path / "new", preprocessing={"name": name, **settings})
    folder = generate_trivial(config)
    found = caps.index(folder, config.preprocessing)
    assert list(found) == [(f"sub-TRIV{i}", "ses-M000") for i in range(4)]
    home = folder / "subjects" / "sub-TRIV3" / "ses-M000"
    assert found["sub-TRIV3", "ses-M000"].path == home / pattern.format("sub-TRIV3_ses-M000")


def test_each_source_gives_one_ad_darkened_left_and_one_cn_darkened_right(tmp_path):
    source = make_caps(tmp_path / "caps")
    folder = generate_trivial(config_of(source, tmp_path / "new"))
    preprocessing = PREPROCESSINGS["t1-linear"]()
    old = list(caps.index(source, preprocessing).values())
    new = list(caps.index(folder, preprocessing).values())
    for number, stored in enumerate(new):
        before, after = images.read(old[number // 2].path), images.read(stored.path)
        changed = before.voxels != after.voxels
        x = AFFINE[0, 0] * np.nonzero(changed)[0] + AFFINE[0, 3]
        assert changed.sum() == 4 * 7 * 6
        assert (x < 0).all() if number % 2 == 0 else (x > 0).all()
        ratio = after.voxels[changed] / before.voxels[changed]
        assert ratio.max() <= 0.4 + 1e-6
        # The mask beside the images is the truth about what was changed, at the same place.
        truth = images.read(folder / "masks" / f"sub-TRIV{number}_ses-M000_mask.nii.gz")
        np.testing.assert_array_equal(truth.voxels, changed)
        np.testing.assert_array_equal(truth.affine, AFFINE)


def test_the_arithmetic_is_that_of_the_draws(tmp_path):
    source = make_caps(tmp_path / "caps")
    folder = generate_trivial(config_of(source, tmp_path / "new", atrophy_percent=97.0))
    path = next(folder.rglob("sub-TRIV1_*_T1w.nii.gz"))
    before = images.read(next(source.rglob("sub-00_*"))).voxels.astype(np.float64)
    g = draw_deviations(5, 1, GRID).astype(np.float64)
    q = np.clip(97.0 + 10 * (g - g.min()), None, 100)
    right = (AFFINE[0, 0] * np.arange(GRID[0]) + AFFINE[0, 3] > 0)[:, None, None] & (before > 0)
    expected = np.where(right, before * (1 - q / 100), before)
    np.testing.assert_allclose(images.read(path).voxels, expected, rtol=1e-4, atol=1e-4)
    assert (expected[right] == 0).any(), "with so much darkening some voxels lose everything"


def test_each_image_says_what_it_was_made_from(tmp_path):
    source = make_caps(tmp_path / "caps")
    folder = generate_trivial(config_of(source, tmp_path / "new"))
    for number in range(4):
        said = json.loads(next(folder.rglob(f"sub-TRIV{number}_*.json")).read_text())
        original = next(source.rglob(f"sub-{number // 2:02d}_*"))
        assert source / said["source"] == original
        assert said["source_sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()
        assert said["changes"] == {"atrophy_percent": 60}


def test_affine_and_header_of_the_source_are_kept(tmp_path):
    source = tmp_path / "caps"
    turned = AFFINE.copy()
    turned[:3, :3] = np.array([[0.0, -4, 0], [4, 0, 0], [0, 0, 4]])
    turned[:3, 3] = (16, -10, 5)
    path = write_image(source, "sub-00", affine=turned)
    image = images.read(path)
    image.header["descrip"] = b"one of a kind"
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_sform(turned, code=4)
    images.write(path, image.voxels, affine=turned, header=image.header)
    folder = generate_trivial(config_of(source, tmp_path / "new", n_subjects=1))
    for name in ("subjects", "masks"):
        for written in (folder / name).rglob("*.nii.gz"):
            copy = images.read(written)
            np.testing.assert_allclose(copy.affine, turned)
            assert copy.header["descrip"].item() == b"one of a kind"
            assert int(copy.header["sform_code"]) == 4
            assert copy.header.get_xyzt_units() == ("mm", "sec")


def test_the_table_has_one_row_an_image_in_natural_order(tmp_path):
    source = make_caps(tmp_path / "caps", 12)
    folder = generate_trivial(config_of(source, tmp_path / "new", n_subjects=6))
    table = table_of(folder)
    assert list(table) == ["participant_id", "session_id", "diagnosis", "age_bl", "sex"]
    assert list(table["participant_id"]) == [f"sub-TRIV{i}" for i in range(12)]
    assert list(table["diagnosis"]) == ["AD", "CN"] * 6
    assert set(table["age_bl"]) == {60}
    assert set(table["sex"]) == {"F"}
    missing = pd.read_csv(folder / "missing_mods" / "missing_mods_ses-M000.tsv", sep="\t")
    assert list(missing) == ["participant_id", "synthetic"]
    assert list(missing["participant_id"]) == list(table["participant_id"])
    assert set(missing["synthetic"]) == {1}


def test_the_bits_do_not_depend_on_the_number_of_processes(tmp_path):
    source = make_caps(tmp_path / "caps")
    one = bits(generate_trivial(config_of(source, tmp_path / "one")))
    two = bits(generate_trivial(config_of(source, tmp_path / "two", n_proc=2)))
    other = bits(generate_trivial(config_of(source, tmp_path / "other", seed=6)))
    assert one == two
    assert one != other
    assert len(one) == 4 + 4 + 4 + 2


def test_an_image_is_the_same_however_many_are_made(tmp_path):
    source = make_caps(tmp_path / "caps")
    few = bits(generate_trivial(config_of(source, tmp_path / "few", n_subjects=1)))
    many = bits(generate_trivial(config_of(source, tmp_path / "many", n_subjects=3)))
    name = "subjects/sub-TRIV1/ses-M000/" + T1.format("sub-TRIV1_ses-M000")
    assert few[name] == many[name]


def test_the_first_session_of_each_participant_of_the_table_is_taken(tmp_path):
    source = tmp_path / "caps"
    for participant in ("sub-02", "sub-01"):
        for session in ("ses-M6", "ses-M12"):
            write_image(source, participant, session)
    table = tmp_path / "sessions.tsv"
    table.write_text(
        "participant_id\tsession_id\nsub-02\tses-M12\nsub-02\tses-M6\nsub-01\tses-M12\n"
    )
    planned = plan(config_of(source, tmp_path / "new", participants_tsv=table))
    assert [image.session for image in planned.images] == ["ses-M6"] * 2 + ["ses-M12"] * 2
    folder = generate_trivial(planned.config)
    before = images.read(next(source.rglob("sub-02_ses-M6_*"))).voxels
    after = images.read(next(folder.rglob("sub-TRIV0_ses-M6_*_T1w.nii.gz"))).voxels
    np.testing.assert_array_equal(after[AFFINE[0, 3] + 4 * np.arange(10) > 0], before[5:])
    assert sorted(path.name for path in (folder / "missing_mods").iterdir()) == [
        "missing_mods_ses-M12.tsv",
        "missing_mods_ses-M6.tsv",
    ]


def test_given_masks_replace_the_hemispheres(tmp_path):
    source = make_caps(tmp_path / "caps")
    for number in (1, 2):
        voxels = np.zeros(GRID, dtype=np.uint8)
        voxels[number + 2] = 1
        images.write(tmp_path / "masks" / f"mask-{number}.nii", voxels, affine=AFFINE)
    config = config_of(source, tmp_path / "new", mask_path=tmp_path / "masks")
    folder = generate_trivial(config)
    before = images.read(next(source.rglob("sub-01_*"))).voxels
    for number, plane in ((2, 3), (3, 4)):
        after = images.read(next(folder.rglob(f"sub-TRIV{number}_*_T1w.nii.gz"))).voxels
        assert set(np.nonzero(after != before)[0]) == {plane}


def test_more_images_than_participants_are_refused_before_anything_is_written(tmp_path):
    source = make_caps(tmp_path / "caps")
    with pytest.raises(UsageError, match=r"4 participants.*found: 3.*--n_subjects 3") as caught:
        generate_trivial(config_of(source, tmp_path / "new", n_subjects=4))
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["caps"]


def test_masks_on_another_grid_are_refused_before_anything_is_written(tmp_path):
    source = make_caps(tmp_path / "caps")
    for number in (1, 2):
        voxels = np.ones((3, 3, 3), dtype=np.uint8)
        images.write(tmp_path / "masks" / f"mask-{number}.nii", voxels, affine=AFFINE)
    with pytest.raises(InvalidDataError, match="another shape"):
        generate_trivial(config_of(source, tmp_path / "new", mask_path=tmp_path / "masks"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caps", "masks"]


def test_a_session_without_image_is_named(tmp_path):
    source = make_caps(tmp_path / "caps")
    table = tmp_path / "sessions.tsv"
    table.write_text("participant_id\tsession_id\nsub-00\tses-M000\nsub-77\tses-M000\n")
    with pytest.raises(MissingInputError, match=r"sub-77 \| ses-M000"):
        plan(config_of(source, tmp_path / "new", participants_tsv=table))


def test_a_caps_without_such_images_is_refused(tmp_path):
    source = make_caps(tmp_path / "caps")
    config = config_of(source, tmp_path / "new", preprocessing={"name": "t1-volume"})
    with pytest.raises(MissingInputError, match="no image of t1-volume"):
        plan(config)


def test_names_that_would_not_be_found_again_are_refused(tmp_path):
    source = make_caps(tmp_path / "caps")
    row = {"name": "custom", "custom_suffix": f"sub-0?_ses-M000_{CROPPED}_T1w.nii.gz"}
    with pytest.raises(UsageError, match="does not find"):
        plan(config_of(source, tmp_path / "new", preprocessing=row))


@pytest.mark.parametrize("broken", ["sub-00", "sub-01"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_an_image_that_cannot_be_read_is_listed_and_the_others_are_complete(
    tmp_path, broken, damage
):
    source = make_caps(tmp_path / "caps")
    path = next(source.rglob(f"{broken}_*"))
    content = path.read_bytes()
    path.write_bytes(content[:200] if damage == "cut" else content[:20] + b"?" * 400)
    folder = tmp_path / "new"
    number = 2 * int(broken[-1])
    lost = [f"sub-TRIV{number}", f"sub-TRIV{number + 1}"]
    with pytest.raises(PartialError, match=rf"2 of 6 images.*{lost[0]}, {lost[1]}") as caught:
        generate_trivial(config_of(source, folder, n_subjects=3))
    assert caught.value.exit_code == 3
    failed = pd.read_csv(folder / "failed.tsv", sep="\t")
    assert list(failed["participant_id"]) == lost
    assert failed["reason"].str.contains(path.name).all()
    whole = {f"sub-TRIV{i}" for i in range(6)} - set(lost)
    assert set(table_of(folder)["participant_id"]) == whole
    assert {path.name for path in (folder / "subjects").iterdir()} == whole


def test_nothing_is_left_when_no_image_can_be_read(tmp_path):
    source = make_caps(tmp_path / "caps", 2)
    planned = plan(config_of(source, tmp_path / "new"))
    for path in source.rglob("*.nii.gz"):
        path.write_bytes(b"not an image")
    with pytest.raises(InvalidDataError, match="not a NIfTI image"):
        list(run(planned))
    with pytest.raises(InvalidDataError, match="not a NIfTI image"):
        plan(planned.config)
    assert [path.name for path in tmp_path.iterdir()] == ["caps"]


def test_an_existing_output_is_refused_and_left_alone(tmp_path):
    source = make_caps(tmp_path / "caps")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError) as caught:
        plan(config_of(source, tmp_path / "new"))
    assert caught.value.exit_code == 73
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine.txt"]


def test_an_interrupted_run_leaves_no_caps(tmp_path):
    source = make_caps(tmp_path / "caps")
    steps = run(plan(config_of(source, tmp_path / "new")))
    next(steps)
    # A kill at this point would leave a folder of another name, which nothing takes for a CAPS.
    assert not (tmp_path / "new").exists()
    steps.close()
    assert [path.name for path in tmp_path.iterdir()] == ["caps"]


def test_several_runs_count_as_the_last(tmp_path, caplog):
    source = tmp_path / "caps"
    for number in (1, 2):
        write_image(source, "sub-00", name=T1.replace("{}", f"{{}}_run-{number}"))
    with caplog.at_level(logging.WARNING):
        planned = plan(config_of(source, tmp_path / "new", n_subjects=1))
    assert all("_run-2_" in image.path.name for image in planned.images)


@pytest.mark.data
def test_the_left_half_of_a_real_brain_is_darkened(tmp_path, real_data):
    source = real_data / "t1-linear-caps"
    folder = generate_trivial(config_of(source, tmp_path / "new", n_subjects=1))
    first = images.read(min(source.rglob("*_T1w.nii.gz")))
    after = images.read(next(folder.rglob("sub-TRIV0_*_T1w.nii.gz")))
    np.testing.assert_array_equal(after.affine, first.affine)
    truth = images.read(next((folder / "masks").glob("sub-TRIV0_*"))).voxels > 0
    np.testing.assert_array_equal(after.voxels != first.voxels, truth)
    x = first.affine[0, 0] * np.nonzero(truth)[0] + first.affine[0, 3]
    assert (x < 0).all()
    # A hemisphere with its skull and skin: between half a litre and three litres.
    assert 5e5 < truth.sum() < 3e6
    assert list(caps.index(folder, PREPROCESSINGS["t1-linear"]())) == [
        ("sub-TRIV0", "ses-M000"),
        ("sub-TRIV1", "ses-M000"),
    ]
