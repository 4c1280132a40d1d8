"""Generate hypometabolic: uptake lowered where a kind of dementia lowers it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.generate import HypometabolicConfig
from clinicadl.layouts.images import Image
from clinicadl.layouts.masks import region_names
from clinicadl.synthesis import regions
from clinicadl.synthesis.changed import UNTOUCHED, Changed, Kind, first_touched, plan_changed
from clinicadl.synthesis.generated import Plan, complete
from clinicadl.synthesis.pathologies import regions_of
from clinicadl.synthesis.regions import Regions
from clinicadl.synthesis.sources import baseline_sources
from clinicadl.transforms.augment import lowered, smoothed

PATHOLOGY, PERCENTAGE = "pathology", "percentage"
"""Columns of the table."""


def generate_hypometabolic(config: HypometabolicConfig) -> Path:
    """Write a CAPS of images with less uptake in some regions, and return its folder.

    Raises
    ------
    UsageError
        There are fewer participants than asked for.
    MissingInputError
        An image, the mask or the label map is absent.
    InvalidDataError
        The region lies outside of the images, or no image can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    PartialError
        Some images could not be made; the CAPS stands without them.
    """
    return complete(plan(config))


def plan(config: HypometabolicConfig) -> Plan:
    """Return what will be made, and refuse what cannot be.

    Raises
    ------
    UsageError
        There are fewer participants than asked for.
    MissingInputError
        An image, the mask or the label map is absent.
    InvalidDataError
        The region lies outside of the first image that can be read, or none can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    sources = baseline_sources(config, config.n_subjects)
    where = _regions(config)
    percentage = f"{config.anomaly_degree:g}"
    kind = Kind(
        "hypometabolic", PATHOLOGY, f"pat-{config.pathology}_deg-{int(config.anomaly_degree)}",
        partial(_facts, config.pathology, percentage),
        {PATHOLOGY: UNTOUCHED, PERCENTAGE: "0"}, has_mask=True,
    )  # fmt: skip
    planned = plan_changed(config, kind, sources, partial(_change, config, where))
    path, image = first_touched(sources, config)
    regions.on_grid(where, image, where=path)
    return planned


def factors(inside: NDArray[np.bool_], *, percent: float, sigma: float) -> NDArray[np.float32]:
    """Return what each voxel is multiplied with: 1 outside, less inside, with a smooth edge.

    Parameters
    ----------
    inside
        The voxels with less uptake, shape (x, y, z).
    percent
        What they lose.
    sigma
        Standard deviation of the Gaussian, in voxels.
    """
    return lowered(smoothed(inside, sigma), percent / 100)


def _regions(config: HypometabolicConfig) -> Regions:
    if config.atlas is None or config.atlas_labels is None:
        return regions.of_masks([] if config.mask is None else [config.mask])
    known = region_names(config.atlas_labels).values()
    names = regions_of(config.pathology, known, where=config.atlas_labels)
    return regions.of_atlas(config.atlas, config.atlas_labels, names)


def _facts(pathology: str, percentage: str, number: int) -> Mapping[str, str]:
    return {PATHOLOGY: pathology, PERCENTAGE: percentage}


def _change(
    config: HypometabolicConfig, where: Regions, number: int, source: Image, path: Path
) -> Changed:
    inside = regions.on_grid(where, source, where=path)
    factor = factors(inside, percent=config.anomaly_degree, sigma=config.sigma)
    numbers = {
        "pathology": config.pathology, "anomaly_degree": config.anomaly_degree,
        "sigma": config.sigma, "regions": list(where.names),
    }  # fmt: skip
    return Changed(
        source.voxels * factor, numbers, {"mask": inside.astype(np.uint8), "factor": factor}
    )
