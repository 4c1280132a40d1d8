"""Images that a network gave back: put together from their parts, compared, kept as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from clinicadl.config.task import Reconstruction, TaskSettings
from clinicadl.config.transforms import TransformsConfig
from clinicadl.data import tensors
from clinicadl.data.assembly import Assembly
from clinicadl.engine.stored import Stored
from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.layouts import images as nifti
from clinicadl.layouts.caps import Session
from clinicadl.layouts.maps import names
from clinicadl.networks.codes import Code
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE, Task, part_column
from clinicadl.tasks.reconstruction import ReconstructionTask, given_back
from clinicadl.tasks.similarity import Pair
from clinicadl.transforms.pipeline import output_affine

KINDS = ("input", "output")
"""What the network got, and what it gave back."""


@dataclass(frozen=True)
class Keep:
    """Which files are written."""

    tensors: bool = False
    """The tensors of every sample."""
    nifti: bool = False
    """The NIfTI of every image."""
    latent: bool = False
    """The code of every sample."""
    first_tensors: bool = False
    """The tensors of the first image only."""
    first_nifti: int = 0
    """The NIfTI of the images of this many participants, the first of the table."""


@dataclass(frozen=True)
class _Growing:
    """An image whose parts have not all come by."""

    images: tuple[Assembly, ...]
    """What the network got, and what it gave back."""
    parts: set[int] = field(default_factory=set)
    """Those that have."""


class GivenBack:
    """Watches an evaluation, puts images together as their parts come by, and writes files.

    What is compared, and written, is what the network got: images and parts after the transforms.

    Parameters
    ----------
    task
        Says how near two images are.
    stored
        The prepared images.
    samples
        Their table of samples, all parts of an image before the next.
    transforms
        Of the experiment.
    folder
        Gets the files.
    keep
        Which files.
    code
        What holds the codes, where these are kept.
    """

    def __init__(
        self,
        task: ReconstructionTask,
        stored: Stored,
        samples: pd.DataFrame,
        transforms: TransformsConfig,
        folder: Path,
        keep: Keep,
        code: Code | None = None,
    ) -> None:
        self._task = task
        self._stored, self._samples, self._transforms = stored, samples, transforms
        self._folder, self._keep, self._code = folder, keep, code
        self._first: int | None = None
        self._shown: set[str] = set()
        self._open: dict[int, _Growing] = {}
        self._found: dict[int, Mapping[str, Any]] = {}

    def __call__(self, rows: Sequence[int], images: Tensor, outputs: Any) -> None:
        """Take note of a batch."""
        if self._code is not None:
            for row, one in zip(rows, self._code.of(outputs), strict=True):
                path = names.latent_tensor(self._folder, self._name(row))
                tensors.write_part(path, one.float().cpu().numpy())
        for row, true, given in zip(rows, images, given_back(outputs), strict=True):
            number, part = divmod(row, len(self._stored.parts))
            self._first = number if self._first is None else self._first
            if self._keep.tensors or (self._keep.first_tensors and number == self._first):
                self._write_tensors(row, (true, given))
            if self._stored.mode == IMAGE:
                self._finish(number, Pair(true, given), is_judged=False)
            else:
                self._grow(number, part, (true, given))

    def of_images(self) -> pd.DataFrame | None:
        """Return how near the images are that were put together, one row an image.

        None where no image was: an image that is its own only part is judged with the parts.
        """
        rows = [self._found[number] for number in sorted(self._found)]
        return pd.DataFrame(rows) if rows else None

    def _grow(self, number: int, part: int, both: tuple[Tensor, Tensor]) -> None:
        parts = self._stored.parts
        if number not in self._open:
            self._open[number] = _Growing(tuple(Assembly(parts, len(one)) for one in both))
        growing = self._open[number]
        for assembly, one in zip(growing.images, both, strict=True):
            assembly.add(part, one)
        growing.parts.add(part)
        if len(growing.parts) == len(parts):
            del self._open[number]
            true, given = (assembly.assembled() for assembly in growing.images)
            covered = None if true.covered.all() else true.covered
            self._finish(number, Pair(true.volume, given.volume, covered), is_judged=True)

    def _finish(self, number: int, pair: Pair, *, is_judged: bool) -> None:
        key = self._key(number * len(self._stored.parts))
        if self._keep.nifti or self._is_of_the_first(key[0]):
            affine = np.array(self._stored.origins[key].affine)
            affine = output_affine(self._transforms, affine)
            for kind, image in zip(KINDS, (pair.true, pair.given), strict=True):
                path = names.kept_image(self._folder, "_".join((*key, IMAGE)), kind)
                nifti.write(path, image[0].float().cpu().numpy(), affine=affine)
        if is_judged:
            ids = dict(zip((sessions.PARTICIPANT, sessions.SESSION), key, strict=True))
            self._found[number] = {**ids, part_column(IMAGE): 0, **self._task.likeness(pair)}

    def _is_of_the_first(self, participant: str) -> bool:
        if len(self._shown) < self._keep.first_nifti:
            self._shown.add(participant)
        return participant in self._shown

    def _write_tensors(self, row: int, both: tuple[Tensor, Tensor]) -> None:
        sample = self._name(row)
        for kind, image in zip(KINDS, both, strict=True):
            path = names.kept_tensor(self._folder, sample, kind)
            tensors.write_part(path, image.float().cpu().numpy())

    def _name(self, row: int) -> str:
        part = self._samples[part_column(self._stored.mode)].iloc[row]
        return "_".join((*self._key(row), f"{self._stored.mode}-{part}"))

    def _key(self, row: int) -> Session:
        one = self._samples.iloc[row]
        return str(one[sessions.PARTICIPANT]), str(one[sessions.SESSION])


def gives_back(task: Task) -> bool:
    """Return whether the networks of a task give back images."""
    return isinstance(task, ReconstructionTask)


def watching(
    task: Task,
    stored: Stored,
    samples: pd.DataFrame,
    transforms: TransformsConfig,
    folder: Path,
    keep: Keep,
    code: Code | None = None,
) -> GivenBack | None:
    """Return what watches the evaluation of a task, as `GivenBack` says; nothing if no image is."""
    if not isinstance(task, ReconstructionTask):
        return None
    return GivenBack(task, stored, samples, transforms, folder, keep, code)


N_SHOWN = 3
"""Participants of train, and of validation, of whom a training can keep images."""


def after_training(settings: TaskSettings) -> Keep:
    """Return which files are written when a training ends."""
    shows = isinstance(settings, Reconstruction) and settings.visualization
    return Keep(first_tensors=True, first_nifti=N_SHOWN if shows else 0)


def check_keep(task: Task, keep: Keep, stored: Stored, table: pd.DataFrame) -> None:
    """Refuse files that cannot be written.

    Parameters
    ----------
    task
        What was learnt.
    keep
        Which files are wanted.
    stored
        The prepared images.
    table
        Their sessions.

    Raises
    ------
    UsageError
        The task gives back no images.
    InvalidDataError
        Nobody knows where an image lies.
    """
    if (keep.tensors or keep.nifti) and not isinstance(task, ReconstructionTask):
        raise UsageError(
            "Only a reconstruction gives back images", where="--save_tensor, --save_nifti",
            fix="Leave them out",
        )  # fmt: skip
    if keep.nifti or keep.first_nifti:
        check_places(stored, table, "--save_nifti" if keep.nifti else "--visualization")


def check_places(stored: Stored, table: pd.DataFrame, where: str) -> None:
    """Refuse images of which no NIfTI can be written.

    Parameters
    ----------
    stored
        The prepared images.
    table
        Their sessions.
    where
        The option that asks for NIfTI.

    Raises
    ------
    InvalidDataError
        Nobody knows where an image lies.
    """
    lost = [key for key in sessions.sessions_of(table) if stored.origins[key].affine is None]
    if lost:
        raise InvalidDataError(
            "Nobody knows where these images lie: their tensors have no image", where=where,
            found=listed(" | ".join(key) for key in lost),
            fix="Leave it out, or put the images back into the CAPS",
        )  # fmt: skip
