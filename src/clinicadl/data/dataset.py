"""Sample i as a pure function of the experiment and i."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from clinicadl.data import tensors
from clinicadl.data.parts import Parts
from clinicadl.transforms.intensity import laid
from clinicadl.transforms.pipeline import Augment, Transform

MAPPINGS = 4096
"""Stored tensors that a data set keeps mapped."""


class Sample(NamedTuple):
    """What the network gets, and what it should say."""

    image: Tensor
    """A part of an image, or all of it, channel first."""
    target: int | float | tuple[float, ...]
    row: int
    """Row in the table of samples."""


class PartDataset(Dataset[Sample]):
    """The parts of some images, all of an image before the next.

    What is stored is memory-mapped: a part is read when it is asked for, by whoever asks, and
    nothing of the image besides it.

    Parameters
    ----------
    files
        Of each image, for each channel, its tensor or the tensor of each of its parts.
    targets
        Of each image.
    parts
        Where the parts lie.
    transform
        From a part, of each channel by itself, to what the network gets.
    are_cut
        Of each channel, whether the tensors are those of the parts already.
    augment
        What changes a sample once more, in training: asked for ``(index, epoch)``, the data set
        applies it; asked for ``index``, it does not.
    one_draw_an_image
        Whether all parts of an image are changed by one draw, which is then the same whichever
        other parts there are.
    n_mapped
        Stored tensors that are kept mapped: where images come one after another, one a channel is
        enough, and memory does not grow with their number.
    """

    def __init__(
        self,
        files: Sequence[Sequence[Sequence[Path]]],
        targets: Sequence[int | float | tuple[float, ...]],
        parts: Parts,
        transform: Transform,
        *,
        are_cut: Sequence[bool] = (False,),
        augment: Augment | None = None,
        one_draw_an_image: bool = False,
        n_mapped: int = MAPPINGS,
    ) -> None:
        self.files = tuple(tuple(map(tuple, channels)) for channels in files)
        self.targets = tuple(targets)
        self.parts = parts
        self.transform = transform
        self.are_cut = tuple(are_cut)
        self.augment = augment
        self.one_draw_an_image = one_draw_an_image
        # A mapping costs no memory of ours, and to make it again costs a small image as much as to
        # read it; the number of mappings of a process is limited by the system.
        self.n_mapped = n_mapped
        self._mapped = lru_cache(n_mapped)(tensors.mapped)
        self._shapes = parts.shapes

    def __reduce__(self) -> tuple[object, ...]:
        # A worker that is not a fork maps for itself.
        inputs = (self.files, self.targets, self.parts, self.transform)
        again = partial(
            PartDataset, are_cut=self.are_cut, augment=self.augment,
            one_draw_an_image=self.one_draw_an_image, n_mapped=self.n_mapped,
        )  # fmt: skip
        return again, inputs

    def __len__(self) -> int:
        return len(self.files) * len(self.parts)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        return self.sample(key)

    def sample(self, key: int | tuple[int, int], *, out: Tensor | None = None) -> Sample:
        """Return a sample, whose image is ``out`` where that is given."""
        index, epoch = key if isinstance(key, tuple) else (key, None)
        image, part = divmod(index, len(self.parts))
        if self.augment is None or epoch is None:
            return Sample(self._image(image, part, out), self.targets[image], index)
        number = image if self.one_draw_an_image else index
        changed = self.augment(self._image(image, part, None), epoch, number)
        return Sample(laid(changed, out), self.targets[image], index)

    def _image(self, image: int, part: int, out: Tensor | None) -> Tensor:
        cuts = [
            self._cut(files, part, is_cut)
            for files, is_cut in zip(self.files[image], self.are_cut, strict=True)
        ]
        if len(cuts) == 1:
            return self.transform(cuts[0], out=out)
        return torch.cat([self.transform(cut) for cut in cuts], out=out)

    def _cut(self, files: Sequence[Path], part: int, is_cut: bool) -> Tensor:
        if is_cut:
            return self._mapped(files[part], self._shapes[part]).whole()
        return self.parts.cut(self._mapped(files[0], self.parts.image_shape).whole(), part)
