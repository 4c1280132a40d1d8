"""Tensors that plain torch.save wrote, as release 1.x did, are read as they are, or refused."""

import re

import numpy as np
import pytest
import torch

from clinicadl import PrepareConfig, prepare_data
from clinicadl.config.mode import PatchMode, RoiMode, SliceMode
from clinicadl.config.preprocessing import Custom, T1Linear
from clinicadl.data import belonging, tensors
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import images, masks

ROW = Custom(custom_suffix="T1w.nii.gz")
KEYS = [("sub-01", "ses-M00"), ("sub-02", "ses-M00")]
SHAPE = (5, 6, 7)
AFFINE = np.diag([2.0, 3.0, 1.0, 1.0])
MODES = {
    "patch": PatchMode(patch_size=2, stride_size=3),
    "slice": SliceMode(slice_direction=1, slice_mode="rgb", discarded_slices=(1, 2)),
    "single": SliceMode(slice_direction=2, slice_mode="single"),
    "roi": RoiMode(roi_list=("left",), roi_custom_template="T"),
}


@pytest.fixture
def caps(tmp_path):
    """Return a CAPS of two images."""
    draw = np.random.default_rng(0)
    for participant, session in KEYS:
        path = tmp_path / "caps/subjects" / participant / session / "custom"
        voxels = draw.random(SHAPE, dtype=np.float32)
        images.write(path / f"{participant}_{session}_T1w.nii.gz", voxels, affine=AFFINE)
    inside = np.zeros(SHAPE, np.float32)
    inside[1:3, 2:4, 3:5] = 1
    inside[1, 2, 3] = 0
    images.write(tmp_path / "caps/masks/tpl-T/tpl-T_roi-left_mask.nii.gz", inside, affine=AFFINE)
    return tmp_path / "caps"


def source(caps, key):
    return caps.joinpath("subjects", *key, "custom", f"{key[0]}_{key[1]}_T1w.nii.gz")


def home(caps, key, mode):
    path = caps.joinpath("subjects", *key, "deeplearning_prepare_data", f"{mode}_based", "custom")
    path.mkdir(parents=True, exist_ok=True)
    return path


def saved_image(caps, key):
    """Write an image tensor as the published program does, without anything beside it."""
    tensor = torch.from_numpy(images.read(source(caps, key)).voxels)[None]
    path = home(caps, key, "image") / f"{key[0]}_{key[1]}_T1w.pt"
    torch.save(tensor, path)
    return path, tensor


def saved_parts(caps, key, name):
    """Write the parts of an image as the published program does, cut by hand."""
    voxels = torch.from_numpy(images.read(source(caps, key)).voxels)[None]
    mode = MODES[name]
    stem = f"{key[0]}_{key[1]}"
    parts = {}
    if name == "patch":
        starts = np.ndindex(2, 2, 2)
        for i, (x, y, z) in enumerate(3 * np.array(start) for start in starts):
            label = f"{stem}_patchsize-2_stride-3_patch-{i}_T1w.pt"
            parts[label] = voxels[:, x : x + 2, y : y + 2, z : z + 2]
    elif name == "slice":
        for i in range(1, 4):
            label = f"{stem}_axis-cor_channel-rgb_slice-{i}_T1w.pt"
            parts[label] = torch.cat([voxels[:, :, i]] * 3)
    elif name == "single":
        for i in range(7):
            parts[f"{stem}_axis-axi_channel-single_slice-{i}_T1w.pt"] = voxels[..., i]
    else:
        cut = voxels[:, 1:3, 2:4, 3:5].clone()
        cut[0, 0, 0, 0] = 0
        parts[f"{stem}_space-T_desc-CropRoi_roi-left_T1w.pt"] = cut
    for label, tensor in parts.items():
        torch.save(tensor.clone(), home(caps, key, mode.name) / label)
    return parts


def verify(caps, name=None):
    if name is None:
        return belonging.verify(caps, ROW, KEYS)
    mode = MODES[name]
    return belonging.verify_parts(
        caps, ROW, KEYS, mode=mode, masks=masks.read(caps, mode, ROW)
    )  # fmt: skip


def test_an_image_tensor_is_compared_with_its_image(caps, caplog):
    saved = [saved_image(caps, key) for key in KEYS]
    found = verify(caps)
    assert "2 sessions were stored by another program; 2 were compared" in caplog.text
    for key, (path, tensor) in zip(KEYS, saved, strict=True):
        (stored,), origin = found[key]
        assert stored == path
        assert torch.equal(tensors.read(stored), tensor)
        assert origin.shape == (1, *SHAPE)
        assert np.array_equal(origin.affine, AFFINE)
        assert origin.sha256 == images.read(source(caps, key)).sha256
    assert not list(caps.rglob("deeplearning_prepare_data/**/*.json"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda tensor: tensor + 1e-6, "it is not what the image holds"),
        (lambda tensor: tensor.flip(1), "it is not what the image holds"),
        (lambda tensor: tensor[0], "its shape is (5, 6, 7)"),
        (lambda tensor: tensor.double(), "The file holds no float32 tensor"),
    ],
)
def test_an_image_tensor_that_is_another_is_refused(caps, spoil, words):
    (path, tensor), _ = [saved_image(caps, key) for key in KEYS]
    torch.save(spoil(tensor), path)
    with pytest.raises(InvalidDataError, match=re.escape(f"sub-01 | ses-M00 ({words})")):
        verify(caps)


@pytest.mark.parametrize("placeholder", [False, True])
def test_an_image_tensor_stands_for_an_image_that_is_gone(caps, caplog, placeholder):
    for key in KEYS:
        saved_image(caps, key)
    source(caps, KEYS[0]).unlink()
    if placeholder:
        source(caps, KEYS[0]).write_text("0")
    known = verify(caps)
    assert known[KEYS[0]][1].affine is None
    assert known[KEYS[0]][1].sha256 != known[KEYS[1]][1].sha256
    assert "images that are gone: sub-01 | ses-M00" in caplog.text


@pytest.mark.parametrize("name", MODES)
def test_parts_are_compared_with_those_of_the_image(caps, name):
    saved = {key: saved_parts(caps, key, name) for key in KEYS}
    found = verify(caps, name)
    for key, parts in saved.items():
        paths, origin = found[key]
        assert [path.name for path in paths] == list(parts)
        assert origin.shape == (1, *SHAPE)
        for path, tensor in zip(paths, parts.values(), strict=True):
            assert torch.equal(tensors.read(path), tensor)


@pytest.mark.parametrize("name", MODES)
def test_a_part_that_is_absent_or_another_is_refused(caps, name):
    labels = [*saved_parts(caps, KEYS[0], name)]
    saved_parts(caps, KEYS[1], name)
    last = home(caps, KEYS[0], MODES[name].name) / labels[-1]
    tensor = tensors.read(last).clone()
    torch.save(tensor * 2, last)
    with pytest.raises(InvalidDataError, match=f"{last.name} is not what the image holds"):
        verify(caps, name)
    torch.save(tensor[:, :1], last)
    with pytest.raises(InvalidDataError, match=f"{last.name} has the shape"):
        verify(caps, name)
    last.write_bytes(b"half")
    with pytest.raises(InvalidDataError, match=f"{last.name}: The tensor cannot be read"):
        verify(caps, name)
    last.unlink()
    with pytest.raises((InvalidDataError, MissingInputError)) as refusal:
        verify(caps, name)
    assert "sub-01 | ses-M00" in str(refusal.value)


def test_slices_say_how_large_their_image_was(caps):
    for key in KEYS:
        saved_parts(caps, key, "slice")
        source(caps, key).unlink()
    for paths, origin in verify(caps, "slice").values():
        assert origin.shape == (1, *SHAPE)
        assert len(paths) == 3


def test_patches_whose_image_is_gone_need_a_known_grid(caps):
    for key in KEYS:
        saved_parts(caps, key, "patch")
        source(caps, key).unlink()
    with pytest.raises(InvalidDataError, match="the image is gone, and its grid is not known"):
        verify(caps, "patch")


def test_patches_of_the_published_grid_need_no_image(caps):
    """Cropped t1-linear has one grid, which 36 patches of 50 voxels fill."""
    key, mode = KEYS[0], PatchMode()
    stem = f"{key[0]}_{key[1]}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1"
    folder = home(caps, key, "patch").with_name("t1_linear")
    folder.mkdir()
    for i in range(36):
        name = f"{stem}_patchsize-50_stride-50_patch-{i}_T1w.pt"
        torch.save(torch.full((1, 50, 50, 50), float(i)), folder / name)
    paths, origin = belonging.verify_parts(caps, T1Linear(), [key], mode=mode)[key]
    assert [float(tensors.read(path)[0, 0, 0, 0]) for path in paths] == [*range(36)]
    assert origin.shape == (1, 169, 208, 179)
    (folder / f"{stem}_patchsize-50_stride-50_patch-35_T1w.pt").unlink()
    with pytest.raises(InvalidDataError, match="patch-35_T1w.pt is absent"):
        belonging.verify_parts(caps, T1Linear(), [key], mode=mode)


def test_to_prepare_ties_such_tensors_for_good(caps, caplog):
    for key in KEYS:
        saved_image(caps, key)
    prepare_data(PrepareConfig(caps_directory=caps, preprocessing=ROW, extract_json="a", n_proc=1))
    caplog.clear()
    assert len(verify(caps)) == 2
    assert not caplog.text
