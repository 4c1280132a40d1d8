"""Generate artifacts: what can go wrong in a scanner, at a known strength."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clinicadl.config.generate import ARTIFACTS, SEVERITIES, ArtifactsConfig, Strength
from clinicadl.config.transforms import BiasField, DownSampling, Ghosting, Motion, Spike
from clinicadl.draws import generator
from clinicadl.errors import MissingExtraError
from clinicadl.layouts.images import Image
from clinicadl.synthesis.changed import UNTOUCHED, Changed, Kind, first_touched, plan_changed
from clinicadl.synthesis.generated import Plan, complete
from clinicadl.synthesis.sources import listed_sources
from clinicadl.tables.sessions import DIAGNOSIS
from clinicadl.transforms.augment import Applied, blur, gamma, noise

logger = logging.getLogger(__name__)

SPREAD_PERCENTILES = (1, 99)
"""The spread of an image lies between these."""
_NEEDS_TORCHIO = ("motion", "ghosting", "spikes")


def generate_artifacts(config: ArtifactsConfig) -> Path:
    """Write a CAPS whose images have artefacts, and return its folder.

    Raises
    ------
    MissingExtraError
        An artefact needs TorchIO, which is not installed.
    MissingInputError
        An image is absent.
    InvalidDataError
        No image can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    PartialError
        Some images could not be made; the CAPS stands without them.
    """
    return complete(plan(config))


def plan(config: ArtifactsConfig) -> Plan:
    """Return what will be made, and refuse what cannot be.

    Raises
    ------
    MissingExtraError
        An artefact needs TorchIO, which is not installed.
    MissingInputError
        An image is absent.
    InvalidDataError
        No image can be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    chosen = chosen_of(config)
    if any(name in _NEEDS_TORCHIO for name in chosen) and find_spec("torchio") is None:
        raise MissingExtraError("torchio", "augment")
    sources = listed_sources(config)
    tag = "-".join(name[:3] for name in chosen)
    kind = Kind(
        "artifacts", DIAGNOSIS, f"art-{tag}", partial(_facts, tag, config.severity),
        {DIAGNOSIS: UNTOUCHED, "severity": "0"}, has_mask=False,
    )  # fmt: skip
    planned = plan_changed(config, kind, sources, partial(_change, config))
    path, image = first_touched(sources, config)
    if config.noise_std is not None and config.noise_std[1] > spread(image.voxels):
        logger.warning(
            "the noise of --noise_std %g %g drowns %s, whose intensities spread over %g: "
            "--noise_level is relative to them",
            *config.noise_std, path.name, spread(image.voxels),
        )  # fmt: skip
    return planned


def chosen_of(config: ArtifactsConfig) -> list[str]:
    """Return the artefacts that are selected, in the order in which they are applied."""
    return [name for name in ARTIFACTS if getattr(config, name)]


def strength_of(config: ArtifactsConfig) -> Strength:
    """Return the strength of each artefact: by the severity, unless said otherwise."""
    said = {
        name: getattr(config, name)
        for name in ("translation", "rotation", "num_transforms", "gamma", "noise_level")
    }
    given = {name: value for name, value in said.items() if value is not None}
    return SEVERITIES[config.severity]._replace(**given)


def spread(voxels: NDArray[np.float32]) -> float:
    """Return the distance of the 1st and the 99th percentile; of all where these are the same."""
    known = voxels[np.isfinite(voxels)]
    low, high = np.percentile(known, SPREAD_PERCENTILES)
    return float(high - low) or float(known.max() - known.min())


def draw(config: ArtifactsConfig, number: int, image: Image) -> dict[str, Applied]:
    """Draw what goes wrong with an image: artefact -> function of a tensor that draws no more.

    Each artefact has a stream of its own, so that another artefact changes no number of it.

    Parameters
    ----------
    config
        What is wanted.
    number
        Of the image.
    image
        The source: its voxel sizes and the spread of its intensities count.
    """
    size_mm = np.linalg.norm(image.affine[:3, :3], axis=0)
    strength = strength_of(config)
    shape = (1, *image.voxels.shape)
    draws: dict[str, Callable[[np.random.Generator], Applied]] = {
        "motion": lambda stream: partial(
            Motion(
                degrees=strength.rotation,
                translation=strength.translation,
                n_moves=strength.num_transforms,
            ).build(stream, shape),
            spacing=tuple(size_mm.tolist()),
        ),
        "ghosting": lambda stream: Ghosting(intensity=strength.ghosting).build(stream, shape),
        "spikes": lambda stream: Spike(intensity=strength.spikes).build(stream, shape),
        "bias_field": lambda stream: BiasField(coefficients=strength.bias_field).build(
            stream, shape
        ),
        "blur": lambda stream: partial(
            blur, stds=tuple((stream.uniform(*strength.blur, size=3) / size_mm).tolist())
        ),
        "down_sampling": lambda stream: DownSampling(factor=strength.down_sampling).build(
            stream, shape
        ),
        "contrast": lambda stream: partial(contrast, power=exp(stream.uniform(*strength.gamma))),
        "noise": lambda stream: partial(
            noise,
            std=stream.uniform(*config.noise_std)
            if config.noise_std is not None
            else stream.uniform(*strength.noise_level) * spread(image.voxels),
            seed=int(stream.integers(2**63)),
        ),
    }
    return {
        name: draws[name](generator(config.seed, f"generate-artifacts/{name}", sample=number))
        for name in chosen_of(config)
    }


def contrast(image: Tensor, *, power: float) -> Tensor:
    """Return the sample to a power, relative to its largest value, which stays."""
    largest = float(image.abs().max())
    return gamma(image / largest, power=power) * largest


def _facts(tag: str, severity: int, number: int) -> Mapping[str, str]:
    return {DIAGNOSIS: tag, "severity": str(severity)}


def _change(config: ArtifactsConfig, number: int, source: Image, path: Path) -> Changed:
    # What is no number would spread over the whole image.
    is_known = ~np.isnan(source.voxels)
    image = torch.from_numpy(np.where(is_known, source.voxels, 0)[None])
    changes = draw(config, number, source)
    for apply in changes.values():
        image = apply(image)
    kept = ~is_known if not config.keep_background else ~is_known | (source.voxels == 0)
    voxels = np.where(kept, source.voxels, image[0].numpy())
    numbers = {name: _plain(apply) for name, apply in changes.items()}
    return Changed(voxels, {"severity": config.severity, **numbers}, {})


def _plain(apply: Any) -> dict[str, Any]:
    """Return the numbers of a change as JSON has them."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in apply.keywords.items()
    }
