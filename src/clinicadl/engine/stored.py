"""The prepared images of an experiment: which tensors stand for which sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from clinicadl.config.base import Choice
from clinicadl.data import belonging, parts
from clinicadl.data.dataset import MAPPINGS, PartDataset
from clinicadl.data.origin import Origin
from clinicadl.data.parts import Affine, Parts
from clinicadl.errors import InvalidDataError, UsageError, listed
from clinicadl.layouts import caps, masks
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.layouts.maps.record import ImageGrid
from clinicadl.layouts.maps.signatures import Signatures
from clinicadl.layouts.masks import SAME_AFFINE_MM, Mask
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT
from clinicadl.tasks.base import Target, part_column
from clinicadl.transforms.pipeline import Augment, Transform

Grid = tuple[tuple[float, ...], ...]
"""An affine: voxel to world, in mm, RAS+."""

SAME_SIZE_MM = 0.01
"""Voxel sizes that differ less are the same."""


@dataclass(frozen=True)
class Channel:
    """The tensors of one extraction, which become channels of the input."""

    files: Mapping[Session, tuple[Path, ...]]
    """The tensor of each image, or those of its parts."""
    origins: Mapping[Session, Origin]
    are_cut: bool
    """Whether the parts were stored, and not the images."""


@dataclass(frozen=True)
class Stored:
    """The prepared images of some sessions."""

    channels: tuple[Channel, ...]
    """One an extraction, in the order of the channels of the input."""
    parts: Parts
    """Of every image of every channel: they share one grid."""
    mode: str
    signatures: Signatures = field(default_factory=dict)
    """What the images of the first channel show of heads, as far as anybody looked."""

    @property
    def origins(self) -> Mapping[Session, Origin]:
        """What the images of the first channel were made from: they stand for the sessions."""
        return self.channels[0].origins

    @property
    def hashes(self) -> dict[Session, str]:
        """SHA-256 of the image of each session."""
        return {key: origin.sha256 for key, origin in self.origins.items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every stored sample, the channels of all extractions first.

        Raises
        ------
        UsageError
            The bounding boxes of the regions differ.
        """
        n_channels, *axes = self.parts.shape
        return (n_channels * len(self.channels), *axes)

    @property
    def grid(self) -> ImageGrid:
        """Where the voxels of the images lie, as far as they all lie there."""
        affines = [one.affine for one in self.origins.values()]
        grids = [affine for affine in dict.fromkeys(affines) if affine is not None]
        is_known = bool(grids) and None not in affines
        sizes = [tuple(voxel_size(one)) for one in grids]
        return ImageGrid(
            shape=self.parts.image_shape,
            affine=grids[0] if is_known and all(is_near(one, grids[0]) for one in grids) else None,
            voxel_size=sizes[0] if is_known and is_one_size(sizes) else None,
        )

    def dataset(
        self,
        table: pd.DataFrame,
        targets: Sequence[Target],
        transform: Transform,
        *,
        augment: Augment | None = None,
        one_draw_an_image: bool = False,
        n_mapped: int = MAPPINGS,
    ) -> PartDataset:
        """Return the samples of a table of sessions: all parts of a session before the next."""
        files = [
            [channel.files[key] for channel in self.channels] for key in sessions.sessions_of(table)
        ]
        are_cut = [channel.are_cut for channel in self.channels]
        return PartDataset(
            files, targets, self.parts, transform,
            are_cut=are_cut, augment=augment, one_draw_an_image=one_draw_an_image,
            n_mapped=n_mapped,
        )  # fmt: skip

    def samples(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return one row a part of each row of a table of sessions, with the number of the part."""
        n_parts = len(self.parts)
        rows = table.loc[table.index.repeat(n_parts)].reset_index(drop=True)
        return rows.assign(**{part_column(self.mode): [*self.parts.numbers] * len(table)})

    def affine(self, key: Session, part: int) -> Affine | None:
        """Return voxel to world of a part of a session, in mm, RAS+, shape (4, 4).

        None for a tensor of another program whose image is gone: nobody knows where it lies.
        """
        known = self.origins[key].affine
        return None if known is None else self.parts.affine(np.array(known), part)


def prepared(
    caps_of: Mapping[str, Path], extractions: Sequence[Extraction], table: pd.DataFrame
) -> Stored:
    """Return the tensors of the sessions of a table, which must still belong to their images.

    Parameters
    ----------
    caps_of
        Cohort -> CAPS.
    extractions
        One for each channel of the input.
    table
        participant_id, session_id, cohort.

    Raises
    ------
    MissingInputError
        A session has no tensor, or a region no mask; all such are named.
    InvalidDataError
        A tensor does not belong to its image any more, a session is in two cohorts, grids differ,
        or a mask has another grid.
    UsageError
        The mode has no part of such images, or the extractions have several modes.
    """
    sessions_of = _by_cohort(table)
    mode = one_mode(extractions)
    # One set of masks for all: a region is the same voxels in every cohort.
    first = next(iter(caps_of.values()))
    regions = masks.read(first, mode, extractions[0].preprocessing)
    channels = []
    for extraction in extractions:
        found: dict[Session, tuple[tuple[Path, ...], Origin]] = {}
        for cohort, wanted in sessions_of.items():
            found |= _verified(caps_of[cohort], extraction, wanted, mode, regions)
        channels.append(
            Channel(
                {key: files for key, (files, _) in found.items()},
                {key: made_from for key, (_, made_from) in found.items()},
                extraction.stores_parts,
            )
        )
    shape = _one_shape(channels, caps_of)
    refuse_apart(channels, extractions)
    if len(caps_of) > 1:
        _refuse_other_grids(channels[0].origins, sessions_of)
    for channel in channels:
        for key, made_from in channel.origins.items():
            if made_from.affine is not None:
                affine = np.array(made_from.affine)
                parts.check_grid(regions, made_from.shape, affine, " | ".join(key))
    return Stored(tuple(channels), parts.of(mode, shape, regions), extractions[0].mode)


def _by_cohort(table: pd.DataFrame) -> dict[str, list[Session]]:
    """Return the sessions of each cohort, each once.

    Raises
    ------
    InvalidDataError
        A session is in two cohorts: nobody knows which image is meant.
    """
    found = {
        str(cohort): list(dict.fromkeys(sessions.sessions_of(rows)))
        for cohort, rows in table.groupby(COHORT, sort=False)
    }
    home: dict[Session, str] = {}
    twice = {
        key: (home[key], cohort)
        for cohort, keys in found.items()
        for key in keys
        if home.setdefault(key, cohort) != cohort
    }
    if twice:
        raise InvalidDataError(
            f"{len(twice)} sessions are in two cohorts",
            found=listed(f"{' | '.join(key)} of {' and '.join(twice[key])}" for key in twice),
            fix="Leave them out of one, or, if they are other people, rename them in one",
        )  # fmt: skip
    return found


def one_mode(extractions: Sequence[Extraction]) -> Choice:
    """Return the mode of all extractions.

    Raises
    ------
    UsageError
        They have several, or other settings of one.
    """
    first, *others = [(one.path, caps.mode_settings(one)) for one in extractions]
    for path, mode in others:
        if mode != first[1]:
            raise UsageError(
                "The extractions of the channels have several modes", where=path,
                found=f"{mode.model_dump()}, not {first[1].model_dump()}",
                fix="Prepare all channels in one mode, with the same options",
            )  # fmt: skip
    return first[1]


def _verified(
    directory: Path,
    extraction: Extraction,
    wanted: Sequence[Session],
    mode: Choice,
    regions: Sequence[Mask],
) -> dict[Session, tuple[tuple[Path, ...], Origin]]:
    preprocessing = extraction.preprocessing
    if extraction.stores_parts:
        return belonging.verify_parts(directory, preprocessing, wanted, mode=mode, masks=regions)
    return belonging.verify(directory, preprocessing, wanted)


def _one_shape(channels: Sequence[Channel], caps_of: Mapping[str, Path]) -> tuple[int, ...]:
    """Return the shape of all images.

    Raises
    ------
    InvalidDataError
        They have several; those of the rarer one are named.
    """
    by_shape: dict[tuple[int, ...], list[Session]] = {}
    for channel in channels:
        for key, made_from in channel.origins.items():
            by_shape.setdefault(made_from.shape, []).append(key)
    if len(by_shape) > 1:
        rare = min(by_shape.items(), key=lambda item: len(item[1]))
        raise InvalidDataError(
            "The images have several shapes", where=listed(caps_of.values()),
            found=f"{rare[0]} in {listed(' | '.join(key) for key in rare[1])}",
            fix="Leave these sessions out, or bring all images to one grid",
        )  # fmt: skip
    return next(iter(by_shape))


def refuse_apart(channels: Sequence[Channel], extractions: Sequence[Extraction]) -> None:
    """Refuse channels whose voxels do not lie on each other.

    Raises
    ------
    InvalidDataError
        A session has images of several affines.
    """
    first, *others = channels
    for channel, extraction in zip(others, extractions[1:], strict=True):
        apart = [
            (key, made_from.affine, first.origins[key].affine)
            for key, made_from in channel.origins.items()
            if not is_near(made_from.affine, first.origins[key].affine)
        ]
        if apart:
            key, theirs, ours = apart[0]
            raise InvalidDataError(
                f"The channels of {len(apart)} sessions lie on several grids",
                where=f"{' | '.join(key)}, {extraction.path.name}",
                found=f"{shown(theirs)} and {shown(ours)} of the first channel",
                fix="Bring both to one grid: prepare-data-from-bids resamples",
            )  # fmt: skip


def _refuse_other_grids(
    origins: Mapping[Session, Origin], sessions_of: Mapping[str, Sequence[Session]]
) -> None:
    """Refuse cohorts whose voxels are elsewhere, or of another size, than those of the first.

    Images in native space have an affine each: then their voxel sizes alone are compared.

    Raises
    ------
    InvalidDataError
        So it is; both grids are shown. A network would learn to tell the cohorts apart.
    """
    first: tuple[str, dict[Grid, None]] | None = None
    for name, keys in sessions_of.items():
        affines = [origins[key].affine for key in keys]
        grids = dict.fromkeys(affine for affine in affines if affine is not None)
        if not grids:
            continue
        if first is None:
            first = name, grids
        elif not _agree(list(first[1]), list(grids)):
            raise InvalidDataError(
                f"The images of {name} lie on another grid than those of {first[0]}",
                found=f"{shown(next(iter(grids)))} and {shown(next(iter(first[1])))}",
                fix="Bring all cohorts to one grid: a network would tell them apart by it",
            )  # fmt: skip


def _agree(ours: Sequence[Grid], theirs: Sequence[Grid]) -> bool:
    if all(is_near(one, ours[0]) for one in ours):
        return all(is_near(one, ours[0]) for one in theirs)
    return is_one_size([voxel_size(one) for one in (*ours, *theirs)])


def is_one_size(sizes: Sequence[Sequence[float]]) -> bool:
    """Return whether voxels of these sizes, in mm, are the same."""
    return bool(np.allclose(sizes, sizes[0], rtol=0, atol=SAME_SIZE_MM))


def is_near(one: Grid | None, other: Grid | None) -> bool:
    """Return whether two affines are the same; what is not known contradicts nothing."""
    if one is None or other is None:
        return True
    return bool(np.allclose(one, other, rtol=0, atol=SAME_AFFINE_MM))


def voxel_size(affine: Grid) -> list[float]:
    """Return the edges of a voxel, in mm, along x, y, z."""
    return [float(size) for size in np.linalg.norm(np.array(affine)[:3, :3], axis=0)]


def shown(affine: Grid | None) -> str:
    """Return an affine in one line."""
    rows = (" ".join(f"{cell:g}" for cell in row) for row in (affine or ())[:3])
    return f"affine [{'; '.join(rows)}]"
