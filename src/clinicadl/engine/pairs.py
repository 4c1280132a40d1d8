"""A picture of images that seem to show one head, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from clinicadl.errors import MissingExtraError
from clinicadl.guard.facts import Alike
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import whole_file

MOST_DRAWN = 10
"""Pairs on a picture, the most alike first."""

_BOX_MM = ((-92, 92), (-128, 92), (-74, 108))
"""What is drawn of the world, along its axes: to the right, to the front, up."""
_AT_MM = (12.0, -18.0, 10.0)
"""Where the three planes lie: beside the middle, where a head is most its own."""
_STEP_MM = 2.0
_INCHES, _DPI = 1.7, 100


class Shown(NamedTuple):
    """An image that can be drawn."""

    voxels: NDArray[np.float32]
    """Shape (x, y, z)."""
    affine: NDArray[np.float64]
    """Voxel to world, in mm, RAS+, shape (4, 4)."""


def refusal() -> str | None:
    """Return why nothing can be drawn; None where it can."""
    return (
        str(MissingExtraError("matplotlib", "report")) if find_spec("matplotlib") is None else None
    )


def write(path: Path, found: Sequence[Alike], shown: Callable[[Session], Shown | None]) -> None:
    """Write the picture of pairs of images, whole; a former one is replaced.

    A row a pair: three planes of one image, then the same planes of the other, where they lie in
    the world. The right is on the left.

    Parameters
    ----------
    path
        Ends in ``.png``.
    found
        The pairs; of many, the first are drawn.
    shown
        Session -> its image; None where nothing of it can be drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(found[:MOST_DRAWN])
    page = Figure(figsize=(6 * _INCHES, (len(rows) + 0.2) * _INCHES), dpi=_DPI, facecolor="black")
    axes = page.subplots(len(rows), 6, squeeze=False)
    for panels, pair in zip(axes, rows, strict=True):
        for panel in panels:
            panel.set_axis_off()
        _draw(panels[:3], pair.one, "", shown(pair.one))
        _draw(panels[3:], pair.other, f"  {pair.similarity:.2f}", shown(pair.other))
    page.tight_layout(pad=0.3)
    with whole_file(path) as temporary:
        # No date: the same images are the same bytes.
        FigureCanvasAgg(page).print_figure(temporary, format="png", metadata={"Software": None})


def _draw(panels: Any, name: Session, note: str, image: Shown | None) -> None:
    panels[1].set_title(f"{' | '.join(name)}{note}", color="white", fontsize=7)
    if image is None:
        panels[1].text(0.5, 0.5, "not here", color="white", fontsize=8, ha="center")
        return
    planes = planes_of(image)
    high = max(float(np.percentile(plane, 99.5)) for plane in planes)
    low = min(float(plane.min()) for plane in planes)
    for panel, plane in zip(panels, planes, strict=True):
        panel.imshow(plane.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower")


def planes_of(image: Shown) -> list[NDArray[np.float32]]:
    """Return the sagittal, coronal and axial plane of an image, along the page first, then upwards.

    From side to side of the page each goes from the front or the right to the back or the left.
    """
    axes = [np.arange(low, high + 1, _STEP_MM) for low, high in _BOX_MM]
    to_voxel = np.linalg.inv(image.affine)
    voxels = np.nan_to_num(image.voxels)
    planes = []
    for across in range(3):
        world = [*axes]
        world[across] = np.array([_AT_MM[across]])
        along = 1 if across == 0 else 0
        world[along] = world[along][::-1]
        places = np.stack(np.meshgrid(*world, indexing="ij"))
        at = np.tensordot(to_voxel[:3, :3], places, 1) + to_voxel[:3, 3, None, None, None]
        planes.append(map_coordinates(voxels, at, order=1, mode="constant").squeeze(across))
    return planes
