"""Generate artifacts: what can go wrong in a scanner, at a known strength."""

import json
import logging
import re
from itertools import pairwise
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from clinicadl import ArtifactsConfig, generate_artifacts
from clinicadl.config.generate import ARTIFACTS, SEVERITIES
from clinicadl.config.read import settings
from clinicadl.draws import generator
from clinicadl.errors import MissingExtraError, UsageError
from clinicadl.layouts import images
from clinicadl.layouts.images import Image
from clinicadl.synthesis import artifacts
from clinicadl.synthesis.artifacts import contrast, draw, plan, spread
from clinicadl.transforms import augment

PAGE = Path(__file__).resolve().parents[2] / "docs/commands/generate.md"
GRID = (20, 24, 18)
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])
CUSTOM = {"name": "custom", "custom_suffix": "T1w.nii.gz"}
FUNCTIONS = {
    "motion": augment.motion, "ghosting": augment.ghosting, "spikes": augment.spike,
    "bias_field": augment.bias_field, "blur": augment.blur,
    "down_sampling": augment.down_sampling, "contrast": artifacts.contrast,
    "noise": augment.noise,
}  # fmt: skip
EACH = pytest.mark.parametrize("name", ARTIFACTS)


@pytest.fixture(autouse=True)
def _torchio():
    pytest.importorskip("torchio")


def head(scale=1.0):
    """Return an image of a head: a smooth ellipsoid with some texture."""
    x, y, z = np.meshgrid(*(np.linspace(-1.3, 1.3, size) for size in GRID), indexing="ij")
    inside = x**2 + y**2 + z**2 < 1
    texture = ndimage.gaussian_filter(generator(1, "head").standard_normal(GRID), 1)
    voxels = np.where(inside, 100 + 60 * texture, 0).astype(np.float32)
    return Image(np.float32(scale) * voxels, AFFINE, None)


@pytest.fixture
def source(tmp_path):
    for number in range(3):
        image = head(1 + number / 10)
        home = tmp_path / "caps" / "subjects" / f"sub-{number}" / "ses-M000" / "t1"
        images.write(home / f"sub-{number}_ses-M000_T1w.nii.gz", image.voxels, affine=AFFINE)
    return tmp_path / "caps"


def config_of(source=Path("caps"), target=Path("new"), **given):
    quick = {"n_proc": 1, "preprocessing": CUSTOM}
    return ArtifactsConfig(
        caps_directory=source, generated_caps_directory=target, **{**quick, **given}
    )


def change(image, config, number=0):
    tensor = torch.from_numpy(image.voxels[None])
    for apply in draw(config, number, image).values():
        tensor = apply(tensor)
    return tensor[0].numpy()


@EACH
def test_what_was_written_can_be_made_again_from_its_numbers(source, tmp_path, name):
    folder = generate_artifacts(config_of(source, tmp_path / "new", **{name: True}))
    for number in range(3):
        path = next(folder.rglob(f"sub-{number}_*_art-{name[:3]}_T1w.nii.gz"))
        before = images.read(next(source.rglob(f"sub-{number}_*.nii.gz"))).voxels
        said = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        numbers = {
            key: np.array(value)
            if isinstance(value, list) and isinstance(value[0], list)
            else value
            for key, value in said["changes"][name].items()
        }
        if name == "motion":
            numbers["times"] = np.array(numbers["times"])
        again = FUNCTIONS[name](torch.from_numpy(before[None]), **numbers)[0].numpy()
        after = images.read(path).voxels
        np.testing.assert_array_equal(after, again)
        assert not np.array_equal(after, before)


@EACH
def test_a_higher_severity_changes_more(name):
    image = head()

    def strength(severity):
        config = config_of(severity=severity, **{name: True})
        changed = [change(image, config, number) for number in range(12)]
        return np.mean([np.sqrt(np.mean((one - image.voxels) ** 2)) for one in changed])

    found = [strength(severity) for severity in SEVERITIES]
    assert all(low < high for low, high in pairwise(found)), found


@EACH
def test_each_artefact_has_numbers_of_its_own_whatever_else_is_selected(name):
    image = head()
    alone = draw(config_of(**{name: True}), 4, image)[name]
    among_all = draw(config_of(**dict.fromkeys(ARTIFACTS, True)), 4, image)
    assert list(among_all) == list(ARTIFACTS)
    np.testing.assert_equal(among_all[name].keywords, alone.keywords)


@EACH
def test_the_intensities_may_have_any_unit(name):
    config = config_of(**{name: True})
    one, other = (change(head(scale), config) for scale in (1, 1 / 512))
    # Rounding of float32, there and back through the spectrum.
    np.testing.assert_allclose(other * 512, one, rtol=0, atol=2e-3)


def test_the_noise_is_normal_with_the_standard_deviation_that_was_drawn():
    image = Image(np.zeros((60, 60, 60), np.float32), np.eye(4), None)
    image.voxels[:30] = 100
    for given, unit in (
        ({"noise_std": (5, 15)}, 1),
        ({"noise_level": (0.05, 0.15)}, 100),
        ({}, 100),
    ):
        config = config_of(noise=True, **given)
        added = change(image, config) - image.voxels
        low, high = next(iter(given.values()), SEVERITIES[3].noise_level)
        drawn = draw(config, 0, image)["noise"].keywords["std"]
        assert low * unit <= drawn <= high * unit
        # 216,000 draws: five standard errors.
        assert abs(added.mean()) < 5 * drawn / 464
        assert abs(added.std() / drawn - 1) < 5 / 657


def test_the_spread_is_that_of_the_percentiles():
    voxels = np.arange(101, dtype=np.float32).reshape(1, 1, -1)
    assert spread(voxels) == 98
    # Where nearly all is background, all that is there counts.
    few = np.zeros((1, 1, 1000), np.float32)
    few[..., 0] = 7
    assert spread(few) == 7
    assert spread(np.where(voxels > 90, np.nan, voxels)) == pytest.approx(0.98 * 90)


def test_contrast_is_a_power_of_what_is_relative_to_the_brightest():
    image = torch.tensor([[[[0.0, 50.0, -25.0, 100.0]]]])
    expected = 100 * np.array([0, 0.5**0.8, -(0.25**0.8), 1])
    np.testing.assert_allclose(contrast(image, power=0.8)[0, 0, 0], expected, rtol=1e-6)
    drawn = draw(config_of(contrast=True, gamma=(-0.2, -0.05)), 0, head())["contrast"].keywords
    assert exp(-0.2) <= drawn["power"] <= exp(-0.05)


def test_the_blur_is_in_millimetres():
    image = head()
    config = config_of(blur=True)
    stds = np.array(draw(config, 0, image)["blur"].keywords["stds"])
    low, high = SEVERITIES[3].blur
    assert ((stds * [2, 3, 4] >= low) & (stds * [2, 3, 4] <= high)).all()
    expected = ndimage.gaussian_filter(image.voxels, stds)
    np.testing.assert_allclose(change(image, config), expected, rtol=1e-6)


def test_the_motion_is_in_millimetres():
    image = torch.from_numpy(head().voxels[None])
    moves = {"degrees": np.zeros((1, 3)), "times": np.array([0.4])}
    # 6 mm are 3 voxels of 2 mm, 2 of 3 mm and 1.5 of 4 mm.
    in_mm = augment.motion(
        image, **moves, translation=np.array([[6.0, 6.0, 6.0]]), spacing=(2, 3, 4)
    )
    in_voxels = augment.motion(image, **moves, translation=np.array([[3.0, 2.0, 1.5]]))
    np.testing.assert_allclose(in_mm, in_voxels, atol=1e-3)
    config = config_of(motion=True, translation=(1, 2), rotation=(3, 3), num_transforms=5)
    drawn = draw(config, 0, head())["motion"].keywords
    assert drawn["spacing"] == (2, 3, 4)
    assert drawn["translation"].shape == (5, 3)
    assert ((drawn["translation"] >= 1) & (drawn["translation"] <= 2)).all()
    assert (drawn["degrees"] == 3).all()


def test_thick_slices_by_hand():
    image = torch.tensor([1.0, 3, 5, 7, 20]).reshape(1, 5, 1)
    thick = augment.down_sampling(image, factor=2, axis=0)
    # Slices 2, 6 and 20 with their centres at 0.5, 2.5 and 4.
    expected = [2, 3, 5, 6 + 14 / 3, 20]
    np.testing.assert_allclose(thick[0, :, 0], expected, rtol=1e-6)


def test_the_background_stays_where_asked(source, tmp_path):
    config = config_of(source, tmp_path / "new", noise=True, keep_background=True)
    path = next(generate_artifacts(config).rglob("sub-0*.nii.gz"))
    before, after = head().voxels, images.read(path).voxels
    assert (after[before == 0] == 0).all()
    assert (after[before != 0] != before[before != 0]).mean() > 0.99


def test_what_is_no_number_stays_none_and_spoils_nothing(source, tmp_path):
    path = next(source.rglob("sub-0*.nii.gz"))
    voxels = head().voxels
    voxels[10, 12, 9] = np.nan
    images.write(path, voxels, affine=AFFINE)
    folder = generate_artifacts(config_of(source, tmp_path / "new", blur=True, motion=True))
    after = images.read(next(folder.rglob("sub-0*.nii.gz"))).voxels
    np.testing.assert_array_equal(np.argwhere(np.isnan(after)), [[10, 12, 9]])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ("no artefact is selected", "--motion", "--noise")),
        ({"noise": True, "translation": (1, 2)}, ("translation means nothing without motion",)),
        ({"noise": True, "gamma": (-1, 0)}, ("gamma means nothing without contrast",)),
        ({"motion": True, "noise_std": (1, 2)}, ("noise_std means nothing without noise",)),
        ({"noise": True, "noise_std": (1, 2), "noise_level": (0, 1)}, ("give one of them",)),
        ({"noise": True, "noise_std": (1, 2, 3)}, ("two values are needed, not 3",)),
        ({"noise": True, "noise_std": (3,)}, ("two values are needed, not 1",)),
        ({"noise": True, "noise_std": (3, 2)}, ("from 3 to 2 is no range",)),
        ({"noise": True, "noise_std": (-1, 2)}, ("begins at -1, below 0",)),
        ({"contrast": True, "gamma": (float("nan"), 2)}, ("no range",)),
        ({"noise": True, "severity": 6}, ("severity",)),
    ],
)
def test_settings_that_mean_nothing_are_refused(given, words):
    folders = {"caps_directory": "caps", "generated_caps_directory": "new"}
    with pytest.raises(UsageError) as caught:
        settings(ArtifactsConfig, {**folders, **given})
    assert all(word in str(caught.value) for word in words), caught.value
    assert caught.value.exit_code == 2


def test_a_missing_torchio_is_said_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(artifacts, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"clinicadl\[augment\]"):
        plan(config_of(tmp_path / "nowhere", tmp_path / "new", ghosting=True))


def test_noise_that_drowns_the_images_is_told(source, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        plan(config_of(source, tmp_path / "new", noise=True, noise_std=(5, 15)))
        assert not caplog.records
        plan(config_of(source, tmp_path / "new", noise=True, noise_std=(5, 500)))
    assert "--noise_level is relative" in caplog.text


def test_the_documentation_has_the_strength_of_each_severity():
    rows = re.findall(r"^\| ([1-5]) \|(.*)\|$", PAGE.read_text(), re.MULTILINE)

    def shown(value):
        return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"

    expected = [
        (str(severity), " | ".join(map(shown, strength)))
        for severity, strength in SEVERITIES.items()
    ]
    assert [(severity, cells.strip()) for severity, cells in rows] == expected
