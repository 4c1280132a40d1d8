"""Generate atrophy: regions that lost, or gained, a known share of their volume."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.generate import AtrophyConfig
from clinicadl.draws import generator
from clinicadl.layouts.images import Image
from clinicadl.synthesis import regions
from clinicadl.synthesis.changed import UNTOUCHED, Changed, Kind, first_touched, plan_changed
from clinicadl.synthesis.deformation import (
    Deformation,
    deformation_of,
    deformed,
    in_world,
    on_image,
)
from clinicadl.synthesis.generated import Plan, complete
from clinicadl.synthesis.regions import Regions
from clinicadl.synthesis.sources import listed_sources

ATROPHY, PERCENT = "atrophy", "atrophy_percent"
"""Columns of the table."""
TAG = {"deformation": "deformed", "loss": "lost"}
"""Method -> what names and table say of a changed image."""
MARGIN_MM = 20.0
"""Where nobody says another."""


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
        "atrophy", ATROPHY, f"atr-{TAG[config.method]}", partial(_facts, config),
        {ATROPHY: UNTOUCHED, PERCENT: "0"}, has_mask=True,
    )  # fmt: skip
    planned = plan_changed(config, kind, sources, partial(_change, config, where))
    path, image = first_touched(sources, config)
    inside = regions.on_grid(where, image, where=path)
    if config.method == "deformation":
        # What the most can do, less can do as well.
        for percent in dict.fromkeys(config.atrophy_percent):
            _deformation(config, inside, image, path, percent)
    return planned


def draw_percent(config: AtrophyConfig, number: int) -> float:
    """Draw the share of the volume that the regions of an image lose."""
    return float(
        generator(config.seed, "generate-atrophy", sample=number).uniform(*config.atrophy_percent)
    )


def with_less_tissue(
    voxels: NDArray[np.floating], loss: NDArray[np.floating], *, fluid: float
) -> NDArray[Any]:
    """Return an image in which fluid took the place of a share of the tissue.

    What is darker than fluid stays as it is.

    Parameters
    ----------
    voxels
        Intensities.
    loss
        Share of the tissue of each voxel that is lost, 0 to 1, same shape.
    fluid
        Intensity of fluid.
    """
    thinner: NDArray[Any] = voxels - loss * np.clip(voxels - fluid, 0, None)
    return thinner


def _regions(config: AtrophyConfig) -> Regions:
    if config.atlas is None or config.atlas_labels is None:
        return regions.of_masks(config.mask)
    return regions.of_atlas(config.atlas, config.atlas_labels, config.regions)


def _facts(config: AtrophyConfig, number: int) -> Mapping[str, str]:
    return {ATROPHY: TAG[config.method], PERCENT: f"{draw_percent(config, number):g}"}


def _deformation(
    config: AtrophyConfig, inside: NDArray[np.bool_], image: Image, path: Path, percent: float
) -> Deformation:
    margin_mm = MARGIN_MM if config.margin is None else config.margin
    return deformation_of(inside, image.affine, percent=percent, margin_mm=margin_mm, where=path)


def _change(
    config: AtrophyConfig, where: Regions, number: int, source: Image, path: Path
) -> Changed:
    inside = regions.on_grid(where, source, where=path)
    percent = draw_percent(config, number)
    numbers: dict[str, Any] = {
        "method": config.method, "atrophy_percent": percent, "regions": list(where.names),
    }  # fmt: skip
    mask = inside.astype(np.uint8)
    if config.fluid is not None:
        loss = np.where(inside, percent / 100, 0).astype(np.float32)
        thinner = with_less_tissue(source.voxels, loss, fluid=config.fluid)
        return Changed(thinner, {**numbers, "fluid": config.fluid}, {"mask": mask, "loss": loss})
    found = _deformation(config, inside, source, path, percent)
    numbers["volume_ratio"] = float(found.jacobian[inside[found.box]].mean())
    moved = in_world(found.displacement, source.affine)
    return Changed(
        deformed(source, found),
        numbers,
        {
            "mask": mask,
            "jacobian": on_image(found.jacobian, found.box, inside.shape, still=1),
            "displacement": on_image(moved, found.box, inside.shape, still=0),
        },
    )
