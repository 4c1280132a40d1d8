"""Where the parts of an image lie, and how they are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.base import Choice
from clinicadl.config.mode import MODES, ImageMode, PatchMode, RoiMode, SliceMode
from clinicadl.errors import ClinicaDLError, UsageError, listed
from clinicadl.layouts import masks as roi_masks
from clinicadl.layouts.masks import Mask

if TYPE_CHECKING:
    from torch import Tensor

Affine = NDArray[np.float64]
"""Voxel to world, in mm, RAS+, shape (4, 4)."""
Voxel = tuple[int, int, int]

DIRECTIONS = ("sag", "cor", "axi")
"""Names of the axes across the slices."""
N_RGB = 3

CROPPED_GRID = (169, 208, 179)
BOX_SIZE = 50
BOXES: dict[str, Voxel] = {"hippocampusRight": (109, 96, 68), "hippocampusLeft": (61, 96, 68)}
"""Centres of the regions that t1-linear has without any mask, in voxels of the cropped grid."""


class Window(NamedTuple):
    """A box of voxels."""

    start: Voxel
    stop: Voxel
    """First voxel behind the box; behind the image too where it is padded."""

    @property
    def size(self) -> Voxel:
        """Voxels along x, y, z."""
        (x, y, z), (to_x, to_y, to_z) = self.start, self.stop
        return to_x - x, to_y - y, to_z - z


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of every image of one shape."""

    image_shape: tuple[int, ...]
    """Shape of the image, (channel, x, y, z)."""
    windows: tuple[Window, ...]
    """What is read of the image for each part."""
    names: tuple[str, ...]
    """What each part is called in messages and in file names."""
    numbers: tuple[int, ...]
    """What each part is called in tables: the index of a slice in the image, else 0, 1, 2, ..."""
    masks: tuple[Mask, ...] = ()
    """What is kept of each window; the other voxels become 0. None: all are kept."""
    uncropped: bool = False
    """Whether a part has the grid of the image, with 0 around the window."""
    axis: int | None = None
    """The axis (0, 1, 2) that a slice does not have; None: a part has all three."""
    n_copies: int = 1
    """Identical channels that each channel becomes."""

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each part, channel first."""
        return tuple(self._shape(index) for index in range(len(self)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every part, channel first.

        Raises
        ------
        UsageError
            The bounding boxes of the regions differ.
        """
        shapes = self.shapes
        if len(set(shapes)) > 1:
            pairs = zip(self.names, shapes, strict=True)
            raise UsageError(
                "The regions have several shapes, and a network takes one",
                found=listed(f"{name} {'x'.join(map(str, shape))}" for name, shape in pairs),
                fix="Take --uncropped_roi, or one region",
            )
        return shapes[0]

    def _shape(self, index: int) -> tuple[int, ...]:
        size = self.image_shape[1:] if self.uncropped else self.windows[index].size
        kept = tuple(n for axis, n in enumerate(size) if axis != self.axis)
        return (self.image_shape[0] * self.n_copies, *kept)

    def window(self, index: int) -> Window:
        """Return what the voxels of a part are in the image."""
        if self.uncropped:
            x, y, z = self.image_shape[1:]
            return Window((0, 0, 0), (x, y, z))
        return self.windows[index]

    def mask_sha256(self, index: int) -> str:
        """Return the SHA-256 of the mask of a region; empty for a part that has none."""
        return self.masks[index].sha256 if self.masks else ""

    def affine(self, affine: Affine, index: int) -> Affine:
        """Return the affine of a part, so that its voxels keep their place in the world [1]_.

        Parameters
        ----------
        affine
            Of the image: voxel to world, in mm, RAS+, shape (4, 4).
        index
            Of the part. A slice counts as a volume that is one voxel thick.

        Returns
        -------
        Shape (4, 4); ``affine`` with another origin.

        References
        ----------
        .. [1] NIfTI-1 standard, method 3, https://nifti.nimh.nih.gov/nifti-1
        """
        moved = np.array(affine, dtype=np.float64)
        moved[:3, 3] += moved[:3, :3] @ np.array(self.window(index).start, dtype=np.float64)
        return moved

    @cached_property
    def _kept(self) -> tuple[Tensor, ...]:
        """Of each mask: all bits of a float32 voxel inside, none of one outside."""
        import torch

        return tuple(
            torch.from_numpy(np.where(one.voxels, -1, 0).astype(np.int32)) for one in self.masks
        )

    def cut(self, image: Tensor, index: int) -> Tensor:
        """Return a part of an image, a view where nothing has to be changed.

        Parameters
        ----------
        image
            Shape `image_shape`, float32; only what lies in the window is read.
        index
            Of the part.

        Returns
        -------
        Shape ``shapes[index]``. What lies outside of the image or of the mask is 0.
        """
        start, stop = self.windows[index]
        x, y, z = (slice(*ends) for ends in zip(start, stop, strict=True))
        part = image[:, x, y, z]
        if self.masks:
            kept = self._kept[index]
            # A tenth of the time of torch.where, and 0 even where the image is no number.
            part = part.view(kept.dtype).bitwise_and(kept).view(part.dtype)
        if self.uncropped:
            whole = image.new_zeros(image.shape)
            whole[:, x, y, z] = part
            part = whole
        elif part.shape[1:] != self.windows[index].size:
            padded = image.new_zeros((image.shape[0], *self.windows[index].size))
            padded[:, : part.shape[1], : part.shape[2], : part.shape[3]] = part
            part = padded
        if self.axis is not None:
            part = part.select(self.axis + 1, 0)
        return part.expand(self.n_copies, *part.shape[1:]) if self.n_copies > 1 else part


def of(mode: Choice, shape: Sequence[int], masks: Sequence[Mask] = ()) -> Parts:
    """Return the parts of images of one shape.

    Parameters
    ----------
    mode
        Row of `MODES`.
    shape
        Shape of the images, (channel, x, y, z).
    masks
        What `layouts.masks.read` found for the mode.

    Raises
    ------
    UsageError
        The mode has no part of such an image.
    ClinicaDLError
        The mode, which comes with another package, makes parts that cannot be.
    """
    built: Parts = mode.build(tuple(shape), masks) if masks else mode.build(tuple(shape))
    if type(mode) not in MODES.values():
        _refuse_impossible(built, mode)
    return built


def _refuse_impossible(built: Parts, mode: Choice) -> None:
    """Refuse what a mode of another package gets wrong, before it becomes samples of zeros.

    Raises
    ------
    ClinicaDLError
        There is no part, one lies outside of the image, or two cannot be told apart.
    """
    bounds = np.array(built.windows, dtype=np.int64).reshape(-1, 2, 3)
    starts, stops = bounds[:, 0], bounds[:, 1]
    outside = (starts < 0) | (starts >= built.image_shape[1:]) | (stops <= starts)
    wrongs = {
        "there is none": len(built) == 0,
        "one begins outside of the image, or is empty": bool(outside.any()),
        "two have the same name": len(set(built.names)) < len(built),
        "two have the same number": len(set(built.numbers)) < len(built),
    }
    for wrong, is_so in wrongs.items():
        if is_so:
            raise ClinicaDLError(
                f"The parts of the mode {mode.name} cannot be: {wrong}", where=mode.builds,
                found=f"an image of {'x'.join(map(str, built.image_shape[1:]))}",
                fix="Mend the package that declares the mode",
            )  # fmt: skip


def check_grid(masks: Sequence[Mask], shape: Sequence[int], affine: Affine, where: object) -> None:
    """Refuse an image that does not lie on the grid of the masks.

    Parameters
    ----------
    masks
        What `layouts.masks.read` found.
    shape
        Shape of the image, (channel, x, y, z).
    affine
        Of the image.
    where
        The image, for the message.

    Raises
    ------
    InvalidDataError
        Shape or affine differ; both grids are shown.
    """
    # The masks share one grid: to look at one is to look at all.
    for mask in masks[:1]:
        roi_masks.refuse_other_grid(mask, tuple(shape[1:]), affine, where=where)


def whole(settings: ImageMode, shape: Sequence[int]) -> Parts:
    """Return the image as its own only part; ``shape`` is (channel, x, y, z)."""
    _, x, y, z = shape
    return Parts(tuple(shape), (Window((0, 0, 0), (x, y, z)),), ("image",), (0,))


def patches(settings: PatchMode, shape: Sequence[int]) -> Parts:
    """Return cubes in row-major order: the last axis counts fastest.

    An axis of n voxels has floor((n - size) / stride) + 1 windows, and with ``pad`` one more where
    that leaves a border and another window would meet it.

    Parameters
    ----------
    settings
        Size, stride, padding.
    shape
        Shape of the image, (channel, x, y, z).

    Raises
    ------
    UsageError
        The cube is larger than the image.
    """
    size, stride = settings.patch_size, settings.stride_size
    if size > min(shape[1:]):
        raise UsageError(
            "The patch is larger than the image",
            found=f"{size} voxels, the image has {'x'.join(map(str, shape[1:]))}",
            fix="Give a smaller --patch_size",
        )
    firsts = [_firsts(n, settings) for n in shape[1:]]
    windows = tuple(
        Window((x, y, z), (x + size, y + size, z + size)) for x, y, z in product(*firsts)
    )
    # Padded cubes are counted otherwise: another name keeps them apart from those of release 1.x.
    marks = f"patchsize-{size}_stride-{stride}{'_pad-zero' if settings.pad else ''}"
    numbers = tuple(range(len(windows)))
    return Parts(tuple(shape), windows, tuple(f"{marks}_patch-{i}" for i in numbers), numbers)


def _firsts(n: int, settings: PatchMode) -> list[int]:
    """Return where the windows begin along an axis of n voxels."""
    size, stride = settings.patch_size, settings.stride_size
    firsts = list(range(0, n - size + 1, stride))
    if settings.pad and firsts[-1] + size < n and firsts[-1] + stride < n:
        firsts.append(firsts[-1] + stride)
    return firsts


def slices(settings: SliceMode, shape: Sequence[int]) -> Parts:
    """Return the slices along one axis, in their order, without those discarded at either end.

    Parameters
    ----------
    settings
        Axis, channels, discarded slices, number of slices.
    shape
        Shape of the image, (channel, x, y, z).

    Raises
    ------
    UsageError
        All slices are discarded, fewer are left than wanted, or an image of several channels
        should become rgb.
    """
    axis, n = settings.slice_direction, shape[1 + settings.slice_direction]
    begin, end = settings.discarded_slices[0], settings.discarded_slices[-1]
    numbers = tuple(range(begin, n - end))
    if not numbers:
        raise UsageError(
            "All slices are discarded", found=f"{begin} and {end} of {n}",
            fix="Give smaller --discarded_slices",
        )  # fmt: skip
    if settings.num_slices is not None and settings.num_slices > len(numbers):
        raise UsageError(
            "There are fewer slices than wanted", where="--num_slices",
            found=f"{settings.num_slices} of {len(numbers)}", fix="Give a smaller number",
        )  # fmt: skip
    numbers = numbers[: settings.num_slices]
    is_rgb = settings.slice_mode == "rgb"
    if is_rgb and shape[0] != 1:
        raise UsageError(
            "An image of several channels cannot become rgb", found=f"{shape[0]} channels",
            fix="Take --slice_mode single",
        )  # fmt: skip
    marks = f"axis-{DIRECTIONS[axis]}_channel-{settings.slice_mode}"
    return Parts(
        tuple(shape),
        tuple(_slice_window(shape, axis, i) for i in numbers),
        tuple(f"{marks}_slice-{i}" for i in numbers),
        numbers,
        axis=axis,
        n_copies=N_RGB if is_rgb else 1,
    )


def _slice_window(shape: Sequence[int], axis: int, index: int) -> Window:
    start, stop = [0, 0, 0], list(shape[1:])
    start[axis], stop[axis] = index, index + 1
    return Window((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def rois(settings: RoiMode, shape: Sequence[int], masks: Sequence[Mask] = ()) -> Parts:
    """Return the regions in the order of the list, or the two boxes that t1-linear has without.

    A region is the image times the mask, cut to the bounding box of the mask unless
    ``uncropped_roi``; what is outside of the mask is 0 even where the image is no number.

    Parameters
    ----------
    settings
        Whether the regions are cut.
    shape
        Shape of the image, (channel, x, y, z).
    masks
        One a region; whether their affine is that of an image, `check_grid` tells.

    Raises
    ------
    InvalidDataError
        The masks have another shape than the image.
    UsageError
        There is no mask, and the image has not the grid of cropped t1-linear.
    """
    if masks:
        check_grid(masks, shape, masks[0].affine, "the images")
        keeps_grid = settings.uncropped_roi
        names = [roi_masks.entities(mask, uncropped_roi=keeps_grid) for mask in masks]
        windows = [_window_at(mask.start, mask.voxels.shape) for mask in masks]
    elif tuple(shape[1:]) == CROPPED_GRID:
        half = BOX_SIZE // 2
        names = [f"roi-{name}" for name in BOXES]
        windows = [
            _window_at((x - half, y - half, z - half), (BOX_SIZE,) * 3)
            for x, y, z in BOXES.values()
        ]
    else:
        raise UsageError(
            "Without a list of regions, images must have the grid of cropped t1-linear",
            found="x".join(map(str, shape[1:])), fix="Say which regions by --roi_list",
        )  # fmt: skip
    return Parts(
        tuple(shape),
        tuple(windows),
        tuple(names),
        tuple(range(len(names))),
        masks=tuple(masks),
        uncropped=settings.uncropped_roi,
    )


def _window_at(start: Voxel, size: Sequence[int]) -> Window:
    (x, y, z), (n_x, n_y, n_z) = start, size
    return Window(start, (x + n_x, y + n_y, z + n_z))
