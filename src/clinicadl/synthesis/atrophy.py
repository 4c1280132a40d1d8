"""Generate atrophy: regions that lost, or gained, a known share of their volume."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from clinicadl.config.generate import AtrophyConfig
from clinicadl.draws import generator
from clinicadl.layouts.images import Image
from clinicadl.synthesis import regions
from clinicadl.synthesis.changed import UNTOUCHED, Changed, Kind, first_touched, plan_changed
from clinicadl.synthesis.deformation import deformation_of, deformed, in_world
from clinicadl.synthesis.generated import Plan, complete
from clinicadl.synthesis.regions import Regions
from clinicadl.synthesis.sources import listed_sources

ATROPHY, PERCENT = "atrophy", "atrophy_percent"
"""Columns of the table."""
DEFORMED = "deformed"
"""What the table says of an image that was changed."""


def generate_atrophy(config: AtrophyConfig) -> Path:
    """Write a CAPS of images whose regions have another volume, and return its folder.

    Raises
    ------
    MissingInputError
        An image, a mask or the label map is absent.
    InvalidDataError
        A region lies outside of the images or cannot change so much, or no image can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    PartialError
        Some images could not be made; the CAPS stands without them.
    """
    return complete(plan(config))


def plan(config: AtrophyConfig) -> Plan:
    """Return what will be made, and refuse what cannot be.

    Raises
    ------
    MissingInputError
        An image, a mask or the label map is absent.
    InvalidDataError
        A region lies outside of the first image that can be read, or cannot change so much.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    sources = listed_sources(config)
    where = _regions(config)
    kind = Kind(
        "atrophy", ATROPHY, "atr-deformed", partial(_facts, config),
        {ATROPHY: UNTOUCHED, PERCENT: "0"}, has_mask=True,
    )  # fmt: skip
    planned = plan_changed(config, kind, sources, partial(_change, config, where))
    path, image = first_touched(sources, config)
    inside = regions.on_grid(where, image, where=path)
    # What the most can do, less can do as well.
    for percent in dict.fromkeys(config.atrophy_percent):
        deformation_of(inside, image.affine, percent=percent, margin_mm=config.margin, where=path)
    return planned


def draw_percent(config: AtrophyConfig, number: int) -> float:
    """Draw the share of the volume that the regions of an image lose."""
    return float(
        generator(config.seed, "generate-atrophy", sample=number).uniform(*config.atrophy_percent)
    )


def _regions(config: AtrophyConfig) -> Regions:
    if config.atlas is None or config.atlas_labels is None:
        return regions.of_masks(config.mask)
    return regions.of_atlas(config.atlas, config.atlas_labels, config.regions)


def _facts(config: AtrophyConfig, number: int) -> Mapping[str, str]:
    return {ATROPHY: DEFORMED, PERCENT: f"{draw_percent(config, number):g}"}


def _change(
    config: AtrophyConfig, where: Regions, number: int, source: Image, path: Path
) -> Changed:
    inside = regions.on_grid(where, source, where=path)
    percent = draw_percent(config, number)
    found = deformation_of(
        inside, source.affine, percent=percent, margin_mm=config.margin, where=path
    )
    numbers = {
        "atrophy_percent": percent, "margin_mm": config.margin, "regions": list(where.names),
        "volume_ratio": float(found.jacobian[inside].mean()),
    }  # fmt: skip
    return Changed(
        deformed(source, found),
        numbers,
        {
            "mask": inside.astype(np.uint8),
            "jacobian": found.jacobian.astype(np.float32),
            "displacement": in_world(found.displacement, source.affine),
        },
    )
