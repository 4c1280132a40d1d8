"""Generate trivial: labels that anything must learn, as half of the brain is darkened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.generate import TrivialConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import images
from clinicadl.layouts.caps import StoredImage
from clinicadl.synthesis import masks
from clinicadl.synthesis.generated import (
    AGE_AND_SEX,
    Job,
    NewImage,
    Plan,
    check_output,
    complete,
)
from clinicadl.synthesis.sources import (
    baseline_sources,
    new_path,
    read_source,
    write_origin,
)

LABELS = ("AD", "CN")
"""Each source gives one image of each label: the first mask is the first label's."""


def generate_trivial(config: TrivialConfig) -> Path:
    """Write a CAPS of two labels, darkened in two different places, and return its folder.

    Raises
    ------
    UsageError
        There are fewer participants than images of a label.
    MissingInputError
        An image or a mask is absent.
    InvalidDataError
        A mask is not on the grid of the images, or no image can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    PartialError
        Some images could not be made; the CAPS stands without them.
    """
    return complete(plan(config))


def plan(config: TrivialConfig) -> Plan:
    """Return what will be made, and refuse what cannot be.

    Raises
    ------
    UsageError
        There are fewer participants than images of a label.
    MissingInputError
        An image or a mask is absent.
    InvalidDataError
        A mask is not on the grid of the first image that can be read, or none can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    check_output(config)
    sources = [one.image for one in baseline_sources(config, config.n_subjects)]
    given = None if config.mask_path is None else masks.read_masks(config.mask_path)
    path, image = _first_readable(sources)
    masks.pair_of(image, given, where=path)
    jobs = tuple(
        tuple(_new_image(config, source, 2 * n + label) for label in range(len(LABELS)))
        for n, source in enumerate(sources)
    )
    paths = tuple(source.path for source in sources)
    return Plan("trivial", config, jobs, partial(_make, config, paths, given))


def mask_path(image: NewImage) -> Path:
    """Return where the mask of the darkened voxels lies, relative to the CAPS."""
    return Path("masks", f"{image.participant}_{image.session}_mask.nii.gz")


def draw_deviations(seed: int, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw the deviation of each voxel, normal with mean 0 and standard deviation 0.1."""
    draw = generator(seed, "generate-trivial", sample=number)
    return np.float32(0.1) * draw.standard_normal(shape, dtype=np.float32)


def darken(
    voxels: NDArray[np.float32],
    mask: NDArray[np.bool_],
    deviations: NDArray[np.float32],
    *,
    percent: float,
) -> NDArray[np.float32]:
    """Return an image whose masked voxels lost at least ``percent`` of their value.

    A voxel loses ``percent + 10 (g - min g)`` percent, at most all, where g is its deviation.

    Parameters
    ----------
    voxels
        Shape (x, y, z).
    mask
        The voxels that change, same shape.
    deviations
        Same shape.
    percent
        Least loss, 0 to 100.
    """
    loss = np.minimum(percent + 10 * (deviations - deviations.min()), 100) / 100
    darkened: NDArray[np.float32] = np.where(mask, voxels * (1 - loss), voxels).astype(np.float32)
    return darkened


def _new_image(config: TrivialConfig, source: StoredImage, number: int) -> NewImage:
    participant = f"sub-TRIV{number}"
    path = new_path(config, source, participant, source.session)
    facts = {"diagnosis": LABELS[number % 2], **AGE_AND_SEX}
    return NewImage(number, participant, source.session, path, facts)


def _first_readable(sources: list[StoredImage]) -> tuple[Path, images.Image]:
    """Return the first image that can be read; the others are reported when they are used."""
    for source in sources[:-1]:
        try:
            return source.path, read_source(source.path)
        except InvalidDataError:
            continue
    return sources[-1].path, read_source(sources[-1].path)


def _make(
    config: TrivialConfig,
    sources: tuple[Path, ...],
    given: tuple[masks.Mask, masks.Mask] | None,
    caps: Path,
    job: Job,
) -> None:
    path = sources[job[0].number // len(LABELS)]
    source = read_source(path)
    # Both masks are known to be good before the first of the two images is written.
    pair = masks.pair_of(source, given, where=path)
    for image, mask in zip(job, pair, strict=True):
        deviations = draw_deviations(config.seed, image.number, source.voxels.shape)
        darkened = darken(source.voxels, mask, deviations, percent=config.atrophy_percent)
        place = {"affine": source.affine, "header": source.header}
        images.write(caps / image.path, darkened, **place)
        images.write(caps / mask_path(image), mask.astype(np.uint8), **place)
        changes = {"atrophy_percent": config.atrophy_percent}
        write_origin(config, "trivial", caps / image.path, path, source.sha256, changes)
