"""How well an image lies on a template: two numbers, and a picture."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from clinicadl.layouts.images import Image
from clinicadl.preprocess.space import MNI, block_means

_CELL_MM = 4.0
"""Edge of the cells that are compared: people differ in their folds."""
_BINS = 32
_INNER = 0.8
"""Share of the brightest of the template above which it is white matter, about."""
_CUTS = (92, 114, 86)
"""Planes of the picture, in voxels of the grid."""
_OUTLINE, _TISSUE = (255, 80, 60), (70, 200, 255)

Mask = NDArray[np.bool_]


class Agreement(NamedTuple):
    """Numbers between 0 and 1; 1 is best."""

    explained: float
    """Share of the variance of the template that the image explains, whatever its contrast [1]_.

    .. [1] A. Roche et al., The correlation ratio as a new similarity measure for multimodal image
       registration, MICCAI 1998
    """
    dice: float | None
    """Of the brain of the image and that of the template; nothing where heads were matched."""


def of(image: Image, template: Image, inside: Mask, brain: Mask | None) -> Agreement:
    """Return how well an image lies on a template; all are on the same grid.

    Parameters
    ----------
    image, template
        What is compared.
    inside
        Voxels of the template that count.
    brain
        Brain of the image, if it is known; ``inside`` is then that of the template.
    """
    dice = None
    if brain is not None:
        both = int(np.count_nonzero(brain & inside))
        dice = 2 * both / max(1, int(np.count_nonzero(brain)) + int(np.count_nonzero(inside)))
    cells = [
        block_means(Image(one.astype(np.float32), MNI.affine, None), _CELL_MM)[0].voxels
        for one in (image.voxels, template.voxels, inside)
    ]
    counted = cells[2] > 0.5
    return Agreement(correlation_ratio(cells[0][counted], cells[1][counted]), dice)


def correlation_ratio(given: NDArray[np.float32], explained: NDArray[np.float32]) -> float:
    """Return the share of the variance of numbers that goes with the bins of others."""
    edges = np.unique(np.quantile(given, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, given, side="right")
    counts = np.bincount(bins)
    sums = np.bincount(bins, weights=explained)
    total = float(np.sum((explained - explained.mean(dtype=np.float64)) ** 2))
    if total == 0:
        return 0.0
    filled = counts > 0
    between = counts[filled] * (sums[filled] / counts[filled] - explained.mean(dtype=float)) ** 2
    return float(np.clip(between.sum() / total, 0, 1))


def picture(image: Image, template: Image, inside: Mask) -> bytes:
    """Return a PNG: three planes of an image with the contours of the template over them.

    The right is on the left, as radiologists have it.

    Parameters
    ----------
    image, template
        Both on the grid `MNI`.
    inside
        Voxels of the template whose outline is drawn.
    """
    from PIL import Image as Pillow

    top = float(np.quantile(image.voxels[inside], 0.99)) or 1.0
    grey = np.clip(image.voxels / (1.1 * top), 0, 1)
    tissue = template.voxels > _INNER * float(np.quantile(template.voxels[inside], 0.98))
    panels = []
    for axis, at in enumerate(_CUTS):
        plane = np.repeat((np.take(grey, at, axis) * 255).astype(np.uint8)[..., None], 3, axis=2)
        for mask, colour in ((tissue & inside, _TISSUE), (inside, _OUTLINE)):
            cut = np.take(mask, at, axis)
            plane[cut & ~binary_erosion(cut)] = colour
        # Up is up; the front and the right are on the left.
        panels.append(plane[::-1, ::-1].swapaxes(0, 1))
    height = max(panel.shape[0] for panel in panels)
    page = np.concatenate(
        [np.pad(one, ((0, height - one.shape[0]), (0, 0), (0, 0))) for one in panels], axis=1
    )
    stream = BytesIO()
    Pillow.fromarray(page).save(stream, "PNG", optimize=True)
    return stream.getvalue()
