"""Modes: the published options with their bounds, and what is refused."""

import pytest
from pydantic import ValidationError

from clinicadl.config.base import places
from clinicadl.config.mode import MODES, PatchMode, RoiMode, SliceMode
from clinicadl.config.prepare import PrepareConfig

CAPS = {"caps_directory": "caps", "preprocessing": "t1-linear"}


def test_the_published_options_have_their_published_defaults_and_short_forms():
    shown = {
        place.flag: (place.said("short"), place.field.get_default())
        for row in MODES.values()
        for place in places(row)
        if place.flag != "name"
    }
    assert shown == {
        "patch_size": ("ps", 50),
        "stride_size": ("ss", 50),
        "pad": (None, False),
        "roi_list": (None, ()),
        "uncropped_roi": (None, False),
        "roi_custom_template": ("ct", ""),
        "roi_custom_mask_pattern": ("cmp", ""),
        "slice_direction": ("sd", 0),
        "slice_mode": ("sm", "rgb"),
        "discarded_slices": ("ds", (0, 0)),
        "num_slices": (None, None),
    }


@pytest.mark.parametrize("name", MODES)
def test_the_name_of_a_row_is_its_key(name):
    assert MODES[name]().name == name


@pytest.mark.parametrize(
    ("row", "settings", "complaint"),
    [
        (PatchMode, {"patch_size": 0}, "greater than or equal to 1"),
        (PatchMode, {"stride_size": 0}, "greater than or equal to 1"),
        (SliceMode, {"slice_direction": 3}, "less than or equal to 2"),
        (SliceMode, {"slice_direction": -1}, "greater than or equal to 0"),
        (SliceMode, {"slice_mode": "grey"}, "'rgb' or 'single'"),
        (SliceMode, {"discarded_slices": (1, 2, 3)}, "at most 2"),
        (SliceMode, {"discarded_slices": ()}, "at least 1"),
        (SliceMode, {"discarded_slices": (3, -1)}, "not below 0"),
        (SliceMode, {"num_slices": 0}, "greater than or equal to 1"),
        (RoiMode, {"roi_list": ("a", "b", "a")}, "listed twice"),
        (RoiMode, {"roi_list": ("a", "../b")}, "'../b' cannot stand"),
        (RoiMode, {"roi_list": ("*",)}, "cannot stand"),
        (RoiMode, {"roi_custom_template": "../x"}, "pattern"),
        (RoiMode, {"roi_custom_mask_pattern": "a/b"}, "pattern"),
        (RoiMode, {"patch_size": 3}, "Extra inputs"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused(row, settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        row(**settings)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"save_features": True}, "an image is stored whole"),
        ({"save_features": True, "mode": "roi"}, "needs --roi_list"),
        ({"shard": "1/2"}, "needs --extract_json"),
        ({"shard": "0/2", "extract_json": "a"}, "from 1/2 to 2/2"),
        ({"shard": "3/2", "extract_json": "a"}, "from 1/2 to 2/2"),
        ({"shard": "one", "extract_json": "a"}, "pattern"),
        ({"mode": "patches"}, "nearest are patch"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        PrepareConfig(**CAPS, **settings)


def test_a_preparation_is_of_whole_images_unless_said_otherwise():
    assert PrepareConfig(**CAPS).mode == MODES["image"]()
    config = PrepareConfig(**CAPS, mode={"name": "patch", "patch_size": 9}, save_features=True)
    assert config.mode == PatchMode(patch_size=9)
