"""How likely it is that a brain lies where a template has it, from what can be measured of both."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from clinicadl.layouts.images import Image
from clinicadl.quality.registration_align import (
    Template,
    Volume,
    motion_onto,
    offset_mm,
    on_grid,
    seen_at,
    smoothed,
)

_SIGMA = 0.7
"""Of the smoothing before brains are compared, in voxels."""
_N_BINS = 32
_TAILS = (0.5, 99.5)
_SMALL = 0.02
"""Added to what becomes a logarithm: smaller differences mean nothing."""
_SLAB, _FEWEST = 2, 50
"""Voxels that a slab is thick, and of the brain that it must hold to count."""
_TISSUE, _BRIGHTEST = 0.05, 1.2
"""Of the intensity of white matter: what is darker was not seen, or was cut away; what is brighter
counts as this."""
_CLEAR, _MOST_SAID = 1.0, 3
"""Log-odds that a measure must cost an image to be said, and how many are."""
_DEPTH = 3
"""Voxels below the surface of the brain."""


class Measures(NamedTuple):
    """What is measured of an image inside of the brain of the template."""

    correlation: float
    """Of the intensities with those of the template, -1 to 1."""
    information: float
    """That intensities hold about those of the template: 2 MI / (H1 + H2), 0 to 1."""
    edges: float
    """Mean cosine between the slopes, weighted by those of the template, -1 to 1, not at the
    surface of the brain, where a head and a brain without its head differ."""
    symmetry: float
    """Correlation of the intensities with their mirror image at x = 0, -1 to 1."""
    overlap: float
    """Least share of the brain of the template in which the image shows something, over all slabs
    of 8 mm across x, y or z."""
    offset: float
    """How far the brain lies from its place, in mm."""


BEST = Measures(0.88, 0.17, 0.83, 0.95, 1.0, 2.5)
"""What good images reach: to be more like the template than these makes up for no fault."""


class Weight(NamedTuple):
    """What a measure counts for, as `scaled` gives it."""

    slope: float
    """Of the log-odds."""
    usual: float
    """Mean over well registered images."""
    said: str
    """Of an image that this measure speaks against."""


WEIGHTS = {
    "offset": Weight(1.724, -1.569, "off its place by about {:.0f} mm"),
    "overlap": Weight(4.665, 0.9646, "a part of the brain is not there (share {:.2f})"),
    "correlation": Weight(3.615, 1.776, "unlike the template (correlation {:.2f})"),
    "edges": Weight(3.143, 1.466, "edges in other directions (cosine {:.2f})"),
    "information": Weight(1.507, -1.785, "tissues where others should be (information {:.2f})"),
    "symmetry": Weight(0.949, 2.42, "not symmetric about x = 0 (correlation {:.2f})"),
}
"""In the order in which they are said of a bad image: what can be acted on first."""
INTERCEPT = -9.139
"""With the weights: what scripts/calibrate_quality.py fits to simulated faults of the T1-weighted
scans of 32 participants of IXI, brains alone and in heads."""


def measures(image: Image, template: Template, path: Path) -> Measures:
    """Return what is measured of an image.

    Parameters
    ----------
    image
        A brain or a head, of any voxel size.
    template
        Where its brain should be.
    path
        For messages.

    Raises
    ------
    InvalidDataError
        The image lies somewhere else.
    """
    inside = template.inside
    voxels = on_grid(image, path)
    white = np.percentile(voxels[inside], 90)
    # The scalp may be many times brighter than the brain.
    voxels = np.minimum(voxels, _BRIGHTEST * white)
    blurred, reference = smoothed(voxels, _SIGMA), smoothed(template.voxels, _SIGMA)
    seen, wanted = blurred[inside], reference[inside]
    mirrored = seen_at(blurred, np.diag([-1.0, 1, 1, 1]), template)
    tissue = inside & (voxels > _TISSUE * white)
    return Measures(
        correlation=correlation(seen, wanted),
        information=information(seen, template.voxels[inside]),
        edges=_edges(blurred, reference, binary_erosion(inside, iterations=_DEPTH)),
        symmetry=correlation(seen, mirrored),
        overlap=_least_share(tissue, inside),
        offset=offset_mm(motion_onto(voxels, template), template),
    )


def scaled(found: Measures) -> Measures:
    """Return measures, none better than `BEST`, on scales on which all images vary alike."""
    capped = Measures(*map(min, found, BEST))
    return Measures(
        correlation=-log(1 - capped.correlation + _SMALL),
        information=log(capped.information + _SMALL),
        edges=-log(1 - capped.edges + _SMALL),
        symmetry=-log(1 - capped.symmetry + _SMALL),
        overlap=capped.overlap,
        offset=-log(1 + max(found.offset, BEST.offset)),
    )


def probability(found: Measures) -> float:
    """Return how likely it is that an image with these measures is well registered."""
    values = scaled(found)._asdict()
    odds = INTERCEPT + sum(WEIGHTS[name].slope * value for name, value in values.items())
    return 1 / (1 + exp(-min(max(odds, -500.0), 500.0)))


def reason(found: Measures) -> str:
    """Return what speaks against an image, in words."""
    values = scaled(found)._asdict()
    against = {name: row.slope * (values[name] - row.usual) for name, row in WEIGHTS.items()}
    clear = [name for name, odds in against.items() if odds < -_CLEAR][:_MOST_SAID]
    named = clear or [min(against, key=lambda name: against[name])]
    return "; ".join(WEIGHTS[name].said.format(getattr(found, name)) for name in named)


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Pearson's correlation; 0 where one of them does not vary."""
    first, second = (np.subtract(some, some.mean(), dtype=np.float64) for some in (one, other))
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0


def information(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the normalised mutual information of two samples, in 32 x 32 bins.

    The bins divide what lies between the percentiles 0.5 and 99.5; the rest joins the outermost.

    Returns
    -------
    2 MI / (H1 + H2); 0 where one of them does not vary.
    """
    codes = [_bins(one), _bins(other)]
    joint = np.bincount(codes[0] * _N_BINS + codes[1], minlength=_N_BINS**2) / one.size
    table = joint.reshape(_N_BINS, _N_BINS)
    alone = _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0))
    return 2 * (alone - _entropy(joint)) / alone if alone > 0 else 0.0


def _bins(values: NDArray[np.float32]) -> NDArray[np.int64]:
    low, high = np.percentile(values, _TAILS)
    if not high > low:
        return np.zeros(values.size, np.int64)
    scaled = np.clip((values - low) / (high - low) * _N_BINS, 0, _N_BINS - 1)
    return np.asarray(scaled, dtype=np.int64)


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def _least_share(tissue: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    shares = [1.0]
    for axis in range(3):
        others = tuple(one for one in range(3) if one != axis)
        there, wanted = (
            np.convolve(some.sum(axis=others), np.ones(_SLAB), "valid") for some in (tissue, inside)
        )
        counts = wanted >= _FEWEST
        shares += (there[counts] / wanted[counts]).tolist()
    return min(shares)


def _edges(one: Volume, template: Volume, inside: NDArray[np.bool_]) -> float:
    ours, theirs = (np.array(np.gradient(some))[:, inside] for some in (one, template))
    lengths = np.linalg.norm(ours, axis=0)
    cosines = np.divide(
        (ours * theirs).sum(axis=0), lengths, out=np.zeros_like(lengths), where=lengths > 0
    )
    return float(cosines.sum() / np.linalg.norm(theirs, axis=0).sum())
