"""Cutting an image and putting it together again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.mode import ImageMode, PatchMode, RoiMode, SliceMode
from clinicadl.data import parts
from clinicadl.data.assembly import Assembly, assembled
from clinicadl.layouts.masks import Mask


def image_of(shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def covered_by(found: parts.Parts) -> torch.Tensor:
    """Return which voxels are in a part, by cutting an image of ones."""
    ones = torch.ones(found.image_shape)
    covered = torch.zeros(found.image_shape[1:], dtype=torch.bool)
    for index, (start, stop) in enumerate(found.windows):
        x, y, z = (slice(*ends) for ends in zip(start, stop, strict=True))
        part = ones[0, x, y, z]
        if found.masks:
            part = part * torch.from_numpy(found.masks[index].voxels)
        covered[x, y, z] |= part > 0
    return covered


def masks_of(grid, seed):
    stream = np.random.default_rng(seed)
    affine = np.eye(4)
    return [
        Mask(f"r{n}", Path(f"tpl-T_roi-r{n}_mask.nii.gz"), stream.random((3, 4, 2)) < 0.6,
             (n, n, 2 * n), grid, affine, f"{n}")
        for n in range(3)
    ]  # fmt: skip


grids = st.tuples(*[st.integers(6, 13)] * 3)


@st.composite
def cuts(draw):
    """Return the parts of an image of one or two channels, in any mode."""
    grid = draw(grids)
    shape = (draw(st.integers(1, 2)), *grid)
    mode = draw(st.sampled_from(["image", "patch", "slice", "rgb", "roi"]))
    if mode == "image":
        return parts.of(ImageMode(), shape)
    if mode == "patch":
        sizes = {"patch_size": draw(st.integers(2, 6)), "stride_size": draw(st.integers(1, 6))}
        return parts.of(PatchMode(**sizes, pad=draw(st.booleans())), shape)
    if mode in ("slice", "rgb"):
        settings = {
            "slice_direction": draw(st.integers(0, 2)),
            "slice_mode": "rgb" if mode == "rgb" else "single",
            "discarded_slices": (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        }
        return parts.of(SliceMode(**settings), (1 if mode == "rgb" else shape[0], *grid))
    masks = masks_of(grid, draw(st.integers(0, 99)))
    settings = RoiMode(roi_list=("r0", "r1", "r2"), uncropped_roi=draw(st.booleans()))
    return parts.of(settings, shape, masks)


@given(cuts(), st.integers(0, 99))
def test_cutting_and_putting_together_gives_the_image_back_where_parts_are(found, seed):
    image = image_of(found.image_shape, seed)
    volume, covered = assembled(found, (found.cut(image, index) for index in range(len(found))))
    assert torch.equal(covered, covered_by(found))
    assert volume.dtype == torch.float32
    assert torch.equal(volume, image.where(covered, 0))


def test_where_parts_overlap_is_their_mean():
    found = parts.of(PatchMode(patch_size=2, stride_size=1), (1, 3, 2, 2))
    volume, covered = assembled(found, [torch.full((1, 2, 2, 2), value) for value in (1.0, 4.0)])
    assert volume[0, :, 0, 0].tolist() == [1, 2.5, 4]
    assert covered.all()


def test_outputs_may_have_other_channels_than_the_image():
    found = parts.of(SliceMode(slice_mode="rgb", discarded_slices=(0, 0)), (1, 4, 3, 2))
    two = [torch.stack([torch.full((3, 2), float(i * 10 + c)) for c in range(6)]) for i in range(4)]
    volume, _ = assembled(found, two)
    assert volume.shape == (2, 4, 3, 2)
    assert volume[:, 2, 0, 0].tolist() == [21, 24]


def test_parts_that_did_not_come_leave_their_place_uncovered():
    found = parts.of(PatchMode(patch_size=2, stride_size=2), (1, 4, 2, 2))
    growing = Assembly(found, 1)
    growing.add(1, torch.ones(1, 2, 2, 2))
    volume, covered = growing.assembled()
    assert covered[:, 0, 0].tolist() == [False, False, True, True]
    assert volume[0, :, 0, 0].tolist() == [0, 0, 1, 1]


def test_what_a_network_says_outside_of_a_region_is_left_out():
    (mask, *_) = masks_of((8, 9, 7), 0)
    for uncropped in (False, True):
        settings = RoiMode(roi_list=("r0",), uncropped_roi=uncropped)
        found = parts.of(settings, (1, 8, 9, 7), [mask])
        volume, covered = assembled(found, [torch.ones(found.shape)])
        assert volume.sum() == covered.sum() == mask.voxels.sum()


def test_gradients_and_other_precisions_do_not_matter():
    found = parts.of(ImageMode(), (1, 3, 3, 3))
    part = torch.ones(1, 3, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    assert assembled(found, [part]).volume.tolist() == torch.ones(1, 3, 3, 3).tolist()
