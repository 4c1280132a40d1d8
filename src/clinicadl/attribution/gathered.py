"""The maps of a data group as they come by: their mean, and files of each image on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.config.transforms import TransformsConfig
from clinicadl.data import tensors
from clinicadl.data.assembly import Assembly
from clinicadl.data.parts import Affine
from clinicadl.engine.stored import Stored
from clinicadl.layouts import images as nifti
from clinicadl.layouts.caps import Session
from clinicadl.layouts.maps import names
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE
from clinicadl.transforms.pipeline import output_affine, output_shape

_TENSOR, _NIFTI = ".pt", ".nii.gz"
MEAN = "mean"
"""What stands for participant and session in the names of what is of all images."""


@dataclass(frozen=True)
class Geometry:
    """Where maps lie: those of the parts of an image make one of the image."""

    stored: Stored
    transforms: TransformsConfig

    @property
    def puts_back(self) -> bool:
        """Whether the parts have a place in the image; those of reduced size have none."""
        return self.stored.mode != IMAGE and not self.transforms.size_reduction

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """Shape of the map of an image; None where there is none."""
        if self.stored.mode != IMAGE and not self.puts_back:
            return None
        _, x, y, z = output_shape(self.transforms, self.stored.parts.image_shape)
        return x, y, z

    def affine(self, key: Session) -> Affine | None:
        """Return voxel to world of the map of an image; None where nobody knows."""
        known = self.stored.origins[key].affine
        return None if known is None else output_affine(self.transforms, np.array(known))

    def add(self, assembly: Assembly | None, part: int, of_part: Tensor) -> Assembly:
        """Put the map of a part into that of its image, which is begun where there is none."""
        n_copies = self.stored.parts.n_copies
        # A map of one channel stands for all identical ones.
        whole = of_part.expand(n_copies, *of_part.shape[1:]) if len(of_part) == 1 else of_part
        growing = Assembly(self.stored.parts, len(whole)) if assembly is None else assembly
        growing.add(part, whole)
        return growing


class Gathered:
    """Sums maps up, and writes those of each image on request; memory does not grow with images.

    Parameters
    ----------
    geometry
        Where the maps lie.
    samples
        Table of samples, all parts of an image before the next.
    folder
        Gets the files.
    individual
        Whether the maps of each image are written.
    as_nifti
        Whether maps of images are written as NIfTI too.
    judge
        Is told of each image, and of the mean, its name and its map.
    """

    def __init__(
        self,
        geometry: Geometry,
        samples: pd.DataFrame,
        folder: Path,
        *,
        individual: bool,
        as_nifti: bool,
        judge: Callable[[str, Tensor], None] | None = None,
    ) -> None:
        self._geometry, self._samples, self._folder = geometry, samples, folder
        self._individual, self._as_nifti = individual, as_nifti
        self._judge = judge
        self._parts = geometry.stored.parts
        self._sums: list[Tensor | None] = [None] * len(self._parts)
        self._open: dict[int, Assembly] = {}
        self._left: dict[int, int] = {}

    def __call__(self, rows: Sequence[int], maps: Tensor) -> None:
        """Take note of the maps of a batch; ``rows`` are those of the table of samples."""
        for row, map_ in zip(rows, maps.detach().float().cpu(), strict=True):
            number, part = divmod(row, len(self._parts))
            so_far = self._sums[part]
            self._sums[part] = map_.double() if so_far is None else so_far.add_(map_)
            if self._individual:
                self._write_tensor("_".join((*self._key(row), self._called(part))), map_)
            if self._individual or self._judge is not None:
                self._of_image(number, part, map_)

    def means(self) -> list[Tensor]:
        """Return the mean map of each part, float32."""
        n_images = len(self._samples) // len(self._parts)
        return [(one / n_images).float() for one in self._sums if one is not None]

    def image_of(self, maps: Sequence[Tensor]) -> Tensor | None:
        """Return the map of an image from those of its parts; None where they have no place."""
        if self._geometry.stored.mode == IMAGE:
            return maps[0]
        if not self._geometry.puts_back:
            return None
        growing: Assembly | None = None
        for part, map_ in enumerate(maps):
            growing = self._geometry.add(growing, part, map_)
        return None if growing is None else growing.assembled().volume

    def write_mean(self, affine: Affine | None) -> None:
        """Write the mean maps; as NIfTI too where that was asked for and their place is known.

        Parameters
        ----------
        affine
            Of all images; None where they lie on several grids.
        """
        means = self.means()
        for part, mean in enumerate(means):
            self._write_tensor(f"{MEAN}_{self._called(part)}", mean)
        whole = self.image_of(means)
        if whole is None:
            return
        if self._geometry.puts_back:
            self._write_tensor(f"{MEAN}_{IMAGE}", whole)
        self._write_nifti(MEAN, whole, affine)
        if self._judge is not None:
            self._judge(MEAN, whole)

    def _of_image(self, number: int, part: int, map_: Tensor) -> None:
        """Finish the map of an image when the last of its parts came by."""
        key = self._key(number * len(self._parts))
        if self._geometry.stored.mode == IMAGE:
            self._finish(key, map_)
        elif self._geometry.puts_back:
            self._open[number] = self._geometry.add(self._open.get(number), part, map_)
            self._left[number] = self._left.get(number, len(self._parts)) - 1
            if not self._left[number]:
                del self._left[number]
                whole = self._open.pop(number).assembled().volume
                if self._individual:
                    self._write_tensor("_".join((*key, IMAGE)), whole)
                self._finish(key, whole)

    def _finish(self, key: Session, whole: Tensor) -> None:
        if self._individual:
            self._write_nifti("_".join(key), whole, self._geometry.affine(key))
        if self._judge is not None:
            self._judge("_".join(key), whole)

    def _called(self, part: int) -> str:
        return f"{self._geometry.stored.mode}-{self._parts.numbers[part]}"

    def _key(self, row: int) -> Session:
        one = self._samples.iloc[row]
        return str(one[sessions.PARTICIPANT]), str(one[sessions.SESSION])

    def _write_tensor(self, what: str, map_: Tensor) -> None:
        tensors.write_part(names.attribution(self._folder, what, _TENSOR), map_.numpy())

    def _write_nifti(self, whose: str, volume: Tensor, affine: Affine | None) -> None:
        """Write one NIfTI for each channel; its name says which where there are several."""
        if not self._as_nifti or affine is None:
            return
        level = IMAGE if self._geometry.puts_back else self._called(0)
        for channel, voxels in enumerate(volume):
            marked = f"_channel-{channel}" if len(volume) > 1 else ""
            path = names.attribution(self._folder, f"{whose}_{level}{marked}", _NIFTI)
            nifti.write(path, _contiguous(voxels), affine=affine)


def _contiguous(voxels: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(voxels.numpy(), dtype=np.float32)
