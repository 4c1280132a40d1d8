"""Scores of maps against a known truth, each beside an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from clinicadl.attribution.judged import Judged
from clinicadl.attribution.score import (
    area_under_curve,
    by_region,
    dice_by_chance,
    dice_of_top,
    importance,
)
from clinicadl.attribution.truth import Atlas, Truth, read_atlas, read_mask, read_truth
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import images
from clinicadl.layouts.images import Frame
from clinicadl.statistics.intervals import N_RESAMPLES, resamples

GRID = (5, 4, 3)
FRAME = Frame(GRID, np.diag([2.0, 2, 2, 1]))


def draw(seed):
    generator = np.random.default_rng(seed)
    mask = np.zeros(60, dtype=bool)
    mask[generator.choice(60, generator.integers(1, 59), replace=False)] = True
    return generator, mask.reshape(GRID)


@given(st.integers(0, 10**6), st.booleans())
def test_the_area_is_that_of_scikit_learn(seed, has_ties):
    generator, mask = draw(seed)
    important = generator.integers(0, 4, GRID) if has_ties else generator.random(GRID)
    expected = roc_auc_score(mask.ravel(), important.ravel())
    assert area_under_curve(important.astype(float), mask) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 10**6), st.floats(0.02, 0.9))
def test_the_dice_of_the_top_is_the_f1_of_scikit_learn(seed, fraction):
    generator, mask = draw(seed)
    important = generator.random(GRID)
    for given_fraction, n_top in ((fraction, max(1, round(fraction * 60))), (None, mask.sum())):
        chosen = np.zeros(60, dtype=bool)
        chosen[np.argsort(important.ravel())[60 - n_top :]] = True
        expected = f1_score(mask.ravel(), chosen)
        assert dice_of_top(important, mask, given_fraction) == pytest.approx(expected, abs=1e-12)


def test_equal_voxels_count_as_a_random_choice_among_them():
    mask = np.zeros(GRID, dtype=bool)
    mask[0] = True  # 12 of 60
    assert dice_of_top(np.ones(GRID), mask, None) == pytest.approx(12 / 60)
    assert area_under_curve(np.ones(GRID), mask) == 0.5


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_the_dice_by_chance_is_the_mean_over_maps_that_say_nothing(fraction):
    generator, mask = draw(3)
    found = [dice_of_top(generator.random(GRID), mask, fraction) for _ in range(2000)]
    error = np.std(found) / np.sqrt(2000)
    assert abs(np.mean(found) - dice_by_chance(mask, fraction)) < 4 * error


@given(st.integers(0, 10**6))
def test_the_truth_itself_scores_one(seed):
    _, mask = draw(seed)
    assert dice_of_top(mask.astype(float), mask, None) == 1
    assert area_under_curve(mask.astype(float), mask) == 1


def test_regions_have_the_mean_of_their_voxels():
    generator = np.random.default_rng(0)
    of_channels = generator.normal(size=(2, *GRID)).astype(np.float32)
    region = generator.integers(0, 4, GRID) * 5
    table = by_region(of_channels, Atlas(region, {5: "five", 10: "ten", 15: "fifteen"}))
    assert table["name"].tolist() == ["five", "ten", "fifteen"]
    for row in table.itertuples():
        own = of_channels[:, region == row.index].astype(float)
        assert row.n_voxels == own.shape[1]
        assert row.mean == pytest.approx(own.sum(0).mean())
        assert row.mean_magnitude == pytest.approx(np.abs(own).sum(0).mean())
    np.testing.assert_allclose(importance(of_channels), np.abs(of_channels).sum(0), rtol=1e-6)


def written(path, voxels, affine=FRAME.affine):
    images.write(path, np.asarray(voxels, dtype=np.float32), affine=affine)
    return path


def test_a_mask_that_tells_nothing_or_lies_elsewhere_is_refused(tmp_path):
    path = tmp_path / "mask.nii.gz"
    for voxels in (np.zeros(GRID), np.ones(GRID)):
        with pytest.raises(InvalidDataError, match=r"tells no voxel from another.*mask.nii.gz"):
            read_mask(written(path, voxels), FRAME)
    half = np.zeros(GRID)
    half[0] = 1
    with pytest.raises(InvalidDataError, match="another grid than the maps"):
        read_mask(written(path, half, affine=np.eye(4)), FRAME)
    with pytest.raises(InvalidDataError, match="5x4x2.*5x4x3"):
        read_mask(written(path, half[..., :2]), FRAME)
    np.testing.assert_array_equal(read_mask(written(path, half), FRAME), half == 1)


KEYS = [("sub-1", "ses-M000"), ("sub-1", "ses-M012"), ("sub-2", "ses-M000")]
NAMES = ["_".join(key) for key in KEYS]


def masks_of(folder, *, empty=()):
    """A mask for each image: another layer of the grid each."""
    folder.mkdir(exist_ok=True)
    of_name = {}
    for place, name in enumerate(NAMES):
        inside = np.zeros(GRID, dtype=bool)
        inside[place] = name not in empty
        written(folder / f"{name}_mask.nii{'.gz' if place else ''}", inside)
        of_name[name] = inside
    return of_name


def test_each_image_may_have_a_mask_of_its_own(tmp_path):
    expected = masks_of(tmp_path / "masks")
    for place, path in enumerate(("masks", "masks/{participant_id}_{session_id}_mask.nii.gz")):
        truth = read_truth(tmp_path / path, KEYS[place:], FRAME)
        for name in NAMES[place:]:
            np.testing.assert_array_equal(truth.of(name), expected[name])
        assert truth.of("mean") is None
    whole = read_truth(tmp_path / f"masks/{NAMES[1]}_mask.nii.gz", KEYS, FRAME)
    for name in (*NAMES, "mean"):
        np.testing.assert_array_equal(whole.of(name), expected[NAMES[1]])


def test_an_image_in_which_nothing_matters_has_an_empty_mask(tmp_path):
    masks_of(tmp_path / "masks", empty=NAMES[:1])
    truth = read_truth(tmp_path / "masks", KEYS, FRAME)
    assert truth.of(NAMES[0]) is None
    assert truth.of(NAMES[1]) is not None
    masks_of(tmp_path / "masks", empty=NAMES)
    with pytest.raises(InvalidDataError, match="masks of all images are empty"):
        read_truth(tmp_path / "masks", KEYS, FRAME)


def test_masks_that_are_missing_or_tell_nothing_are_refused(tmp_path):
    masks_of(tmp_path / "masks")
    (tmp_path / f"masks/{NAMES[2]}_mask.nii.gz").unlink()
    said = r"1 of 3 images have no mask in .*masks .found: sub-2_ses-M000_mask.nii.gz"
    with pytest.raises(MissingInputError, match=said) as error:
        read_truth(tmp_path / "masks", KEYS, FRAME)
    assert error.value.exit_code == 66
    written(tmp_path / f"masks/{NAMES[2]}_mask.nii.gz", np.ones(GRID))
    with pytest.raises(InvalidDataError, match=r"all voxels are inside"):
        read_truth(tmp_path / "masks", KEYS, FRAME)
    written(tmp_path / f"masks/{NAMES[2]}_mask.nii.gz", np.eye(3)[None])
    with pytest.raises(InvalidDataError, match="another grid than the maps"):
        read_truth(tmp_path / "masks", KEYS, FRAME)


def test_the_mean_of_the_scores_has_an_interval_over_participants(limits_by_hand):
    generator = np.random.default_rng(0)
    names = [f"sub-{i // 2}_ses-M00{i % 2}" for i in range(13)]
    mask = np.zeros(GRID, dtype=bool)
    mask[1] = True
    owners = {name: name[: name.index("_")] for name in names}
    judged = Judged(Truth(FRAME, mask, {}), None, None, participant_of=owners, seed=3)
    for name in (*names, "mean"):
        judged(name, torch.from_numpy(generator.random((1, *GRID)).astype(np.float32)))
    scores = judged.tables()["scores"].set_index("map")
    found = judged.tables()["scores_mean"].set_index("score")
    assert found["by_chance"].tolist() == [pytest.approx(12 / 60), 0.5]
    assert set(found["n_images"]) == {13}
    assert set(found["n_participants"]) == {7}
    owner = np.arange(13) // 2
    for score in ("dice", "AUC"):
        values = scores[score].drop("mean").to_numpy()
        assert found["mean"][score] == pytest.approx(values.mean())
        times = np.concatenate(list(resamples(3, 7, N_RESAMPLES)))[:, owner]
        left_out = [values[owner != one].mean() for one in range(7)]
        limits = limits_by_hand(values.mean(), times @ values / times.sum(1), left_out)
        np.testing.assert_allclose(found.loc[score, ["low", "high", "SE"]].to_list(), limits)


def test_one_participant_has_no_interval():
    mask = np.zeros(GRID, dtype=bool)
    mask[1] = True
    names = {"sub-1_ses-M000": "sub-1"}
    judged = Judged(Truth(FRAME, mask, {}), None, None, participant_of=names, seed=3)
    judged("sub-1_ses-M000", torch.rand(1, *GRID, generator=torch.Generator()))
    assert judged.tables()["scores_mean"][["low", "high", "SE"]].isna().all(axis=None)


def test_an_atlas_needs_whole_numbers_and_a_name_for_each(tmp_path):
    path, labels = tmp_path / "atlas.nii.gz", tmp_path / "labels.tsv"
    half = np.zeros(GRID)
    with pytest.raises(InvalidDataError, match="no region"):
        read_atlas(written(path, half), None, FRAME)
    half[0], half[1] = 3, 7
    assert read_atlas(written(path, half), None, FRAME).names == {3: "3", 7: "7"}
    labels.write_text("index\tname\n3\tleft\n8\tother\n")
    with pytest.raises(InvalidDataError, match=r"1 regions .* no name in .*labels.tsv .found: 7"):
        read_atlas(path, labels, FRAME)
    labels.write_text("index\tname\n7\tright\n3\tleft\n")
    assert read_atlas(path, labels, FRAME).names == {3: "left", 7: "right"}
    labels.write_text("index\tname\nseven\tright\n")
    with pytest.raises(InvalidDataError, match=r"whole number in .*column index .found: seven"):
        read_atlas(path, labels, FRAME)
    with pytest.raises(InvalidDataError, match="not of whole numbers"):
        read_atlas(written(path, half / 2), None, FRAME)
