"""Parts of an image: equal to an independent cut, in the published order, in their place."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.mode import ImageMode, PatchMode, RoiMode, SliceMode
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.data import parts, tensors
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, UsageError
from clinicadl.layouts import images, masks
from clinicadl.layouts.masks import Mask

AFFINE = np.array(
    [[-1.9, 0.3, 0.2, 80], [0.3, 1.8, -0.4, -100], [0.1, 0.4, 2.1, -60], [0, 0, 0, 1]]
)
CROPPED = (169, 208, 179)
grids = st.tuples(*[st.integers(1, 9)] * 3)


def volume(grid: tuple[int, ...]) -> np.ndarray:
    return generator(0, "volume").normal(size=grid).astype(np.float32)


def tensor(voxels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(voxels)[None]


def mask_of(inside: np.ndarray, roi: str = "a", name: str = "tpl-MNI_roi-a_mask.nii") -> Mask:
    """Return a mask as it is read, with its bounding box found voxel by voxel."""
    positions = np.argwhere(inside)
    start, stop = positions.min(0), positions.max(0) + 1
    box = np.ascontiguousarray(inside[tuple(map(slice, start, stop))])
    home = Path("masks/tpl-MNI", name)
    return Mask(roi, home, box, tuple(map(int, start)), inside.shape, AFFINE, roi)


def expected_patches(voxels: np.ndarray, size: int, stride: int, pad: bool) -> list[np.ndarray]:
    """Return patches by trying every voxel of a large frame of zeros as a first one."""
    n = np.array(voxels.shape)
    framed = np.zeros(n + size + stride, np.float32)
    framed[: n[0], : n[1], : n[2]] = voxels
    found = []
    for first in itertools.product(*map(range, n)):
        at = np.array(first)
        fits = at + size <= n
        is_next = (at - stride + size < n) & (at > 0) & pad
        if np.all(at % stride == 0) and np.all(fits | is_next):
            x, y, z = first
            found.append(framed[x : x + size, y : y + size, z : z + size])
    return found


@given(grids, st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_patches_equal_an_independent_cut(grid, size, stride, pad):
    settings = PatchMode(patch_size=size, stride_size=stride, pad=pad)
    if size > min(grid):
        with pytest.raises(UsageError, match="larger than the image"):
            parts.of(settings, (1, *grid))
        return
    voxels = volume(grid)
    found, expected = parts.of(settings, (1, *grid)), expected_patches(voxels, size, stride, pad)
    assert len(found) == len(expected)
    if not pad:
        assert len(found) == np.prod([(n - size) // stride + 1 for n in grid])
    assert found.shape == (1, size, size, size)
    for index, part in enumerate(expected):
        np.testing.assert_array_equal(found.cut(tensor(voxels), index)[0].numpy(), part)


@given(grids, st.integers(1, 5), st.integers(1, 5))
def test_padded_patches_cover_every_voxel(grid, size, stride):
    if size > min(grid) or stride > size:
        return
    found = parts.of(PatchMode(patch_size=size, stride_size=stride, pad=True), (1, *grid))
    covered = np.zeros(grid, int)
    for start, stop in found.windows:
        covered[tuple(map(slice, start, stop))] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize(
    ("grid", "size", "stride", "pad", "n"),
    [
        (CROPPED, 50, 50, False, 36),
        (CROPPED, 50, 50, True, 4 * 5 * 4),
        ((193, 229, 193), 50, 50, False, 36),
        (CROPPED, 64, 32, False, 4 * 5 * 4),
        ((50, 50, 50), 50, 50, True, 1),
    ],
)
def test_the_published_number_of_patches(grid, size, stride, pad, n):
    settings = PatchMode(patch_size=size, stride_size=stride, pad=pad)
    assert len(parts.of(settings, (1, *grid))) == n


def test_36_patches_of_a_cropped_image_come_in_row_major_order_of_3_4_3():
    found = parts.of(PatchMode(), (1, *CROPPED))
    firsts = np.array([window.start for window in found.windows]).reshape(3, 4, 3, 3)
    for x, y, z in np.ndindex(3, 4, 3):
        assert firsts[x, y, z].tolist() == [50 * x, 50 * y, 50 * z]
    assert found.names[0] == "patchsize-50_stride-50_patch-0"
    assert found.names[35] == "patchsize-50_stride-50_patch-35"
    assert found.numbers == tuple(range(36))


def test_padded_patches_have_names_of_their_own():
    names = [parts.of(PatchMode(pad=pad), (1, 60, 60, 60)).names[0] for pad in (False, True)]
    assert names == ["patchsize-50_stride-50_patch-0", "patchsize-50_stride-50_pad-zero_patch-0"]


@given(
    grids, st.integers(0, 2), st.sampled_from(["rgb", "single"]),
    st.lists(st.integers(0, 4), min_size=1, max_size=2),
)  # fmt: skip
def test_slices_equal_an_independent_cut(grid, direction, channel, discarded):
    settings = SliceMode(
        slice_direction=direction, slice_mode=channel, discarded_slices=tuple(discarded)
    )
    begin, end, n = discarded[0], discarded[-1], grid[direction]
    if begin + end >= n:
        with pytest.raises(UsageError, match="All slices are discarded"):
            parts.of(settings, (1, *grid))
        return
    voxels, found = volume(grid), parts.of(settings, (1, *grid))
    absolute = [i for i in range(n) if begin <= i <= n - end - 1]
    assert list(found.numbers) == absolute
    names = ["sag", "cor", "axi"]
    for index, i in enumerate(absolute):
        assert found.names[index] == f"axis-{names[direction]}_channel-{channel}_slice-{i}"
        plane = np.take(voxels, i, axis=direction)
        channels = 3 if channel == "rgb" else 1
        part = found.cut(tensor(voxels), index)
        assert part.shape == found.shape == (channels, *plane.shape)
        np.testing.assert_array_equal(part.numpy(), np.stack([plane] * channels))


@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 3), st.integers(1, 9))
def test_a_number_of_slices_counts_from_the_first_that_is_left(n, begin, end, wanted):
    settings = SliceMode(discarded_slices=(begin, end), num_slices=wanted, slice_direction=1)
    left = [i for i in range(n) if begin <= i < n - end]
    if wanted > len(left):
        with pytest.raises(UsageError, match="All slices are discarded|fewer slices than wanted"):
            parts.of(settings, (1, 2, n, 3))
        return
    assert list(parts.of(settings, (1, 2, n, 3)).numbers) == left[:wanted]


@st.composite
def images_with_masks(draw):
    grid = draw(grids)
    inside = []
    for number in range(draw(st.integers(1, 3))):
        found = generator(draw(st.integers(0, 99)), "mask", sample=number).random(grid) < 0.3
        found.flat[draw(st.integers(0, found.size - 1))] = True
        inside.append(found)
    return volume(grid), inside


@given(images_with_masks(), st.booleans())
def test_regions_equal_the_image_times_the_mask(drawn, uncropped):
    voxels, inside = drawn
    found_masks = [mask_of(one, f"r{i}") for i, one in enumerate(inside)]
    settings = RoiMode(roi_list=[mask.roi for mask in found_masks], uncropped_roi=uncropped)
    found = parts.of(settings, (1, *voxels.shape), found_masks)
    assert len(found) == len(inside)
    for index, one in enumerate(inside):
        product = voxels * one
        if not uncropped:
            box = np.argwhere(one)
            product = product[tuple(map(slice, box.min(0), box.max(0) + 1))]
        part = found.cut(tensor(voxels), index)
        assert part.shape == found.shapes[index]
        np.testing.assert_array_equal(part[0].numpy(), product)


def test_what_is_no_number_outside_of_a_mask_stays_there():
    voxels = volume((4, 4, 4))
    voxels[0], voxels[1, 1, 1] = np.nan, np.nan
    inside = np.zeros((4, 4, 4), bool)
    inside[1:3, 1:3, 1:3] = True
    inside[2, 2, 2] = False
    for uncropped in (False, True):
        found = parts.of(RoiMode(uncropped_roi=uncropped), (1, 4, 4, 4), [mask_of(inside)])
        part = found.cut(tensor(voxels), 0)
        assert torch.isnan(part).sum() == 1
        assert part.nan_to_num(0).count_nonzero() == 6


def test_a_region_keeps_every_bit_inside_of_its_mask_and_none_outside():
    """Numbers that are none, signed zeros and the smallest ones too."""
    bits = generator(0, "bits").integers(0, 2**32, (1, 6, 7, 8), dtype=np.uint32)
    bits[0, 1, 1, :4] = 0x80000000, 1, 0x7FC00123, 0xFF800001
    inside = generator(0, "inside").random((6, 7, 8)) < 0.5
    inside[1, 1, :4] = True
    inside[[0, -1]] = True
    for uncropped in (False, True):
        settings = RoiMode(roi_list=["a"], uncropped_roi=uncropped)
        found = parts.of(settings, (1, 6, 7, 8), [mask_of(inside)])
        part = found.cut(torch.from_numpy(bits.view(np.float32)), 0)
        np.testing.assert_array_equal(part.numpy().view(np.uint32), np.where(inside, bits, 0))


def test_without_a_list_there_are_two_boxes_around_the_hippocampi():
    voxels = volume(CROPPED)
    found = parts.of(RoiMode(), (1, *CROPPED))
    assert found.shape == (1, 50, 50, 50)
    right, left = (found.cut(tensor(voxels), index)[0].numpy() for index in (0, 1))
    np.testing.assert_array_equal(right, voxels[84:134, 71:121, 43:93])
    np.testing.assert_array_equal(left, voxels[36:86, 71:121, 43:93])
    # Right is where x is positive in the world.
    world = np.array([[1, 0, 0, -84], [0, 1, 0, -119], [0, 0, 1, -78], [0, 0, 0, 1.0]])
    assert found.affine(world, 0)[0, 3] + 25 == 25
    assert found.affine(world, 1)[0, 3] + 25 == -23
    with pytest.raises(UsageError, match="grid of cropped t1-linear.*193x229x193"):
        parts.of(RoiMode(), (1, 193, 229, 193))


def test_regions_of_several_shapes_are_no_input_of_one_network():
    small, large = np.zeros((5, 5, 5), bool), np.ones((5, 5, 5), bool)
    small[1, 1, 1] = True
    chosen = [mask_of(small, "small"), mask_of(large, "large")]
    found = parts.of(RoiMode(), (1, 5, 5, 5), chosen)
    assert found.shapes == ((1, 1, 1, 1), (1, 5, 5, 5))
    with pytest.raises(UsageError, match="several shapes.*roi-small 1x1x1x1.*roi-large 1x5x5x5"):
        found.shape  # noqa: B018
    found = parts.of(RoiMode(uncropped_roi=True), (1, 5, 5, 5), chosen)
    assert found.shape == (1, 5, 5, 5)


def test_a_mask_of_another_shape_or_affine_is_refused_with_both_grids():
    mask = mask_of(np.ones((5, 6, 7), bool))
    with pytest.raises(InvalidDataError, match="5x6x7.*4x6x7"):
        parts.of(RoiMode(roi_list=("a",)), (1, 4, 6, 7), [mask])
    moved = AFFINE.copy()
    moved[2, 3] += 0.5
    with pytest.raises(InvalidDataError, match=r"image\.nii.*-60\].*-59\.5\]") as refusal:
        parts.check_grid([mask], (1, 5, 6, 7), moved, "image.nii")
    assert refusal.value.exit_code == 65
    parts.check_grid([mask], (1, 5, 6, 7), AFFINE.astype(np.float32), "image.nii")


def test_an_image_is_its_own_only_part():
    voxels = volume((3, 4, 5))
    found = parts.of(ImageMode(), (1, 3, 4, 5))
    assert (len(found), found.shape) == (1, (1, 3, 4, 5))
    assert torch.equal(found.cut(tensor(voxels), 0), tensor(voxels))


def test_several_channels_are_cut_alike_and_cannot_become_rgb():
    voxels = torch.from_numpy(volume((2, 6, 5, 4)))
    found = parts.of(PatchMode(patch_size=3, stride_size=1), (2, 6, 5, 4))
    assert torch.equal(found.cut(voxels, 1), voxels[:, :3, :3, 1:4])
    assert found.shape == (2, 3, 3, 3)
    single = parts.of(SliceMode(slice_direction=2, slice_mode="single"), (2, 6, 5, 4))
    assert torch.equal(single.cut(voxels, 3), voxels[..., 3])
    with pytest.raises(UsageError, match="2 channels"):
        parts.of(SliceMode(), (2, 6, 5, 4))


MODES_ON_A_GRID = [
    (PatchMode(patch_size=3, stride_size=2), False),
    (PatchMode(patch_size=3, stride_size=2, pad=True), False),
    (SliceMode(slice_direction=0, slice_mode="single", discarded_slices=(1, 2)), False),
    (SliceMode(slice_direction=1, slice_mode="single"), False),
    (SliceMode(slice_direction=2, slice_mode="single"), False),
    (RoiMode(), True),
    (RoiMode(uncropped_roi=True), True),
]


@pytest.mark.parametrize(("mode", "has_mask"), MODES_ON_A_GRID, ids=str)
def test_a_part_that_is_saved_as_nifti_lies_where_it_was_in_the_head(tmp_path, mode, has_mask):
    voxels = volume((6, 7, 8)) + 10
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "head.nii.gz")
    head = nib.load(tmp_path / "head.nii.gz")
    inside = np.zeros((6, 7, 8), bool)
    inside[2:5, 3:6, 1:7] = True
    found = parts.of(mode, (1, 6, 7, 8), [mask_of(inside)] if has_mask else [])
    for index in range(len(found)):
        part = found.cut(tensor(voxels), index)[0].numpy()
        if found.axis is not None:
            part = np.expand_dims(part, found.axis)
        path = tmp_path / f"{index}.nii.gz"
        images.write(path, part, affine=found.affine(head.affine, index))
        saved = nib.load(path)
        places = np.argwhere(saved.get_fdata() != 0)
        world = nib.affines.apply_affine(saved.affine, places)
        there = nib.affines.apply_affine(np.linalg.inv(head.affine), world)
        np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
        in_head = head.get_fdata()[tuple(np.rint(there).astype(int).T)]
        np.testing.assert_array_equal(saved.get_fdata()[tuple(places.T)], in_head)
        assert len(places) > 0


def test_only_what_lies_in_the_window_is_read(tmp_path):
    voxels = volume((40, 64, 64))
    tensors.write(tmp_path / "a.pt", voxels)
    mapped = tensors.read(tmp_path / "a.pt")
    found = parts.of(PatchMode(patch_size=8, stride_size=8), (1, 40, 64, 64))
    part = found.cut(mapped, 5)
    # A view into the mapping: nothing was copied, so nothing was read.
    assert part.untyped_storage().data_ptr() == mapped.untyped_storage().data_ptr()
    np.testing.assert_array_equal(part[0].numpy(), voxels[:8, :8, 40:48])


@pytest.mark.data
def test_real_patches_and_boxes_equal_a_cut_by_nibabel(real_data):
    (path,) = (real_data / "t1-linear-caps" / "subjects" / "sub-02").rglob("*.nii.gz")
    image, other = images.read(path), nib.load(path)
    shape = (1, *image.voxels.shape)
    found = parts.of(PatchMode(), shape)
    assert len(found) == 36
    for index in (0, 17, 35):
        x, y, z = found.window(index).start
        by_nibabel = other.slicer[x : x + 50, y : y + 50, z : z + 50]
        part = found.cut(tensor(image.voxels), index)[0].numpy()
        np.testing.assert_array_equal(part, by_nibabel.get_fdata(dtype=np.float32))
        np.testing.assert_allclose(found.affine(image.affine, index), by_nibabel.affine)
    boxes = parts.of(RoiMode(), shape)
    assert all(boxes.cut(tensor(image.voxels), index).std() > 0 for index in (0, 1))


@pytest.mark.data
def test_real_masks_cut_the_regions_of_a_real_brain(real_data):
    caps = real_data / "ixi-caps-4mm"
    settings = RoiMode(
        roi_list=("hippocampusLeft", "hippocampusRight"), roi_custom_template="MNI152"
    )
    custom = PREPROCESSINGS["custom"](custom_suffix="desc-Brain_res-4x4x4_T1w.nii.gz")
    found_masks = masks.read(caps, settings, custom)
    path = min((caps / "subjects").rglob("*_T1w.nii.gz"))
    image = images.read(path)
    shape = (1, *image.voxels.shape)
    parts.check_grid(found_masks, shape, image.affine, path)
    found = parts.of(settings, shape, found_masks)
    for index, roi in enumerate(settings.roi_list):
        (mask,) = (caps / "masks").rglob(f"*_roi-{roi}_mask.nii.gz")
        product = image.voxels * nib.load(mask).get_fdata(dtype=np.float32)
        box = np.argwhere(nib.load(mask).get_fdata() == 1)
        expected = product[tuple(map(slice, box.min(0), box.max(0) + 1))]
        np.testing.assert_array_equal(found.cut(tensor(image.voxels), index)[0].numpy(), expected)
        centre = nib.affines.apply_affine(image.affine, box.mean(0))
        assert (centre[0] < 0) == roi.endswith("Left")
