"""What images the models of a MAPS know, and whether others are like these."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.data import tensors
from clinicadl.engine import one_image
from clinicadl.engine.stored import Channel, Stored, prepared
from clinicadl.errors import ClinicaDLError, InvalidDataError, listed
from clinicadl.layouts import caps, naming
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import read_json
from clinicadl.layouts.maps import folder, names, published
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.layouts.maps.shared import ChannelDomain, Domain
from clinicadl.tables import sessions
from clinicadl.transforms.pipeline import Transform, pipeline

logger = logging.getLogger(__name__)

FEWEST_IMAGES = 10
"""Of fewer, nobody can tell what all are like."""

_LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
_CELLS = 16
"""Cells along each axis, at most, to which an image is averaged."""
_LEAST_SPREAD = 0.02
"""Share of the range of the quantiles that is the least spread of one."""
_FACTOR, _NEAR = 3.0, 2.5
"""Times the distance of the furthest training image, and the distance that is never too far."""
_UNLIKE_FACTOR, _UNLIKE = 4.0, 0.04
"""The same of 1 - correlation with the mean image. On real T1w images, of which 62 or 30 of 125
were trained on, all others were within; see the page on sharing."""

Numbers = NDArray[np.float64]


_MODALITY = re.compile(r"[_*](T1w|T2w|T2star|FLAIR|PDw|pet|dwi|bold|FA|MD|RD)\.nii", re.IGNORECASE)


class Looks(NamedTuple):
    """What is told of one image."""

    quantiles: Numbers
    """Of the voxels that are not background, then the share of these."""
    cells: Numbers


def learnt(maps: Maps) -> Domain | None:
    """Return what the images are like that a MAPS was trained on; None where nobody can tell.

    Of each channel, the quantiles of the intensities as the network gets them, and the mean image
    in a few large cells; each with a limit from how much the training images differ themselves.
    """
    try:
        group = _trained_on(maps)
        stored = prepared(folder.caps_of(group), one_image.extractions_of(maps), group.table)
    except ClinicaDLError as error:
        logger.warning("What the images of training are like is not told: %s", error)
        return None
    keys = list(dict.fromkeys(sessions.sessions_of(group.table)))
    if len(keys) < FEWEST_IMAGES or any(channel.are_cut for channel in stored.channels):
        logger.warning(
            "What the images of training are like is not told: there are fewer than %d, or only "
            "their parts are stored", FEWEST_IMAGES,
        )  # fmt: skip
        return None
    transform = pipeline(maps.record.config.transforms)
    return Domain(
        n_images=len(keys),
        channels=tuple(
            _learnt([_looks(transform, channel, key) for key in keys])
            for channel in stored.channels
        ),
    )


def differences(
    maps: Maps, stored: Stored, keys: Sequence[Session], given: Sequence[Path]
) -> dict[Session, str]:
    """Return what is off with images that the models of a pulled MAPS shall look at.

    Parameters
    ----------
    maps
        The MAPS; of one that was trained here, nothing is off.
    stored
        The images, whose tensors are there.
    keys
        Their sessions.
    given
        Files of a single session that is in no CAPS, one a channel.

    Returns
    -------
    Session -> a sentence.

    Raises
    ------
    InvalidDataError
        The description of the pulled models is damaged.
    """
    if maps.record.pulled is None:
        return {}
    found: dict[Session, list[str]] = {key: [] for key in keys}
    for path, content in zip(given, maps.record.extractions, strict=True) if given else ():
        found[keys[0]] += _named_otherwise(path, content)
    known = _read(maps.path)
    if known is None:
        logger.warning("What images the pulled models know was not told: grids alone are compared")
    elif any(channel.are_cut for channel in stored.channels):
        logger.warning("Of parts nobody can tell whether their images are like those of training")
    else:
        transform = pipeline(maps.record.config.transforms)
        for channel, domain in zip(stored.channels, known.channels, strict=True):
            for key in keys:
                found[key] += _off(domain, _looks(transform, channel, key))
    return {key: f"{' | '.join(key)}: {listed(said)}" for key, said in found.items() if said}


def _named_otherwise(path: Path, content: dict[str, Any]) -> Iterator[str]:
    """Yield that a file is named as one of another modality, if it is."""
    preprocessing = caps.parse_extraction(content, path).preprocessing
    wanted = _modality(naming.pattern(preprocessing))
    there = _modality(path.name)
    if wanted and there and wanted != there:
        yield f"it is named as {there}, and the models were trained on {wanted}"


def _modality(name: str) -> str | None:
    found = _MODALITY.search(name)
    return found[1].lower() if found else None


def _read(maps: Path) -> Domain | None:
    content = read_json(names.shared(maps), "description of the pulled models").get("domain")
    try:
        return None if content is None else Domain.model_validate(content)
    except ValueError as error:
        raise InvalidDataError(
            "The description of the pulled models is damaged", where=names.shared(maps),
            fix="Pull them again",
        ) from error  # fmt: skip


def _trained_on(maps: Maps) -> Group:
    """Return everybody that any split was fitted on."""
    groups = [
        folder.read_group(maps.path, names.TRAIN, split)
        for split in published.numbered(names.group(maps.path, names.TRAIN))
    ]
    table = pd.concat([one.table for one in groups])
    ids = [sessions.PARTICIPANT, sessions.SESSION]
    return Group(table.drop_duplicates(ids).reset_index(drop=True), groups[0].origin)


def _looks(transform: Transform, channel: Channel, key: Session) -> Looks:
    (path,) = channel.files[key]
    image = transform(tensors.read(path)).numpy()[0].astype(np.float64)
    least = image.min()
    shown = image[image > least]
    quantiles = np.quantile(shown, _LEVELS) if shown.size else np.full(len(_LEVELS), least)
    return Looks(np.append(quantiles, shown.size / image.size), _averaged(image).ravel())


def _averaged(image: Numbers) -> Numbers:
    """Return the means of blocks of voxels, of nearly one size."""
    for axis, size in enumerate(image.shape):
        edges = np.unique(np.linspace(0, size, min(_CELLS, size) + 1).astype(int))
        shape = [1] * image.ndim
        shape[axis] = -1
        counts = np.diff(edges).reshape(shape)
        image = np.add.reduceat(image, edges[:-1], axis=axis) / counts
    return image


def _learnt(looks: Sequence[Looks]) -> ChannelDomain:
    quantiles = np.stack([one.quantiles for one in looks])
    cells = np.stack([one.cells for one in looks])
    middle = np.median(quantiles, axis=0)
    span = np.append(np.full(len(_LEVELS), np.ptp(middle[:-1])), 1.0)
    # 1.4826: of a normal distribution, the standard deviation by the median absolute deviation.
    spread = 1.4826 * np.median(np.abs(quantiles - middle), axis=0) + _LEAST_SPREAD * span + 1e-12
    furthest = max(_distance(one.quantiles, middle, spread) for one in looks)
    n, total = len(looks), cells.sum(axis=0)
    # Each is compared with the mean of the others: its own would be like it in any case.
    least = min(_correlation(one, (total - one) / (n - 1)) for one in cells)
    return ChannelDomain(
        quantiles=tuple(middle.tolist()),
        spreads=tuple(spread.tolist()),
        likeness=tuple(np.round(total / n, 6).tolist()),
        furthest=max(_NEAR, _FACTOR * furthest),
        least=1 - max(_UNLIKE, _UNLIKE_FACTOR * (1 - least)),
    )


def _off(known: ChannelDomain, looks: Looks) -> Iterator[str]:
    distance = _distance(looks.quantiles, np.array(known.quantiles), np.array(known.spreads))
    if not distance <= known.furthest:
        yield f"its intensities are {distance:.1f} spreads away, at most {known.furthest:.1f} were"
    likeness = _correlation(looks.cells, np.array(known.likeness))
    if not likeness >= known.least:
        yield (
            f"it correlates by {likeness:.2f} with the mean image of training, at least "
            f"{known.least:.2f} are needed"
        )


def _distance(quantiles: Numbers, middle: Numbers, spread: Numbers) -> float:
    return float(np.sqrt(np.mean(((quantiles - middle) / spread) ** 2)))


def _correlation(one: Numbers, other: Numbers) -> float:
    """Return Pearson's correlation; 0 where one of both is the same everywhere."""
    first, second = one - one.mean(), other - other.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size > 0 else 0.0
