"""One page of images beside what a network gave back of them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clinicadl.engine.events import Event, SplitEnded, SplitStarted
from clinicadl.engine.given_back import KINDS
from clinicadl.errors import MissingExtraError, MissingInputError
from clinicadl.layouts import images
from clinicadl.layouts.files import whole_file
from clinicadl.layouts.images import Image
from clinicadl.layouts.maps import names
from clinicadl.report.planes import draw, middle

SHEET = "reconstructions.png"
"""Name of the page, beside the tables of a data group."""
INCHES, DPI = 1.6, 150
"""Edge of a panel, and its resolution."""


class Kept(NamedTuple):
    """An image that was kept, and what was given back of it."""

    name: str
    given: Image
    got: Image


class Sheets:
    """Draws a page for each data group of a split whose images were kept, when the split ends.

    Raises
    ------
    MissingExtraError
        A package is not installed.
    """

    def __init__(self) -> None:
        if find_spec("matplotlib") is None:
            raise MissingExtraError("matplotlib", "report")
        self._maps: Path | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._maps = event.maps
        elif isinstance(event, SplitEnded) and self._maps is not None:
            for metric in names.selection_metrics(self._maps, event.split):
                for group in names.OWN_GROUPS:
                    folder = names.results(self._maps, event.split, metric, group)
                    if names.kept_images(folder).is_dir():
                        write(folder)


def write(folder: Path) -> Path:
    """Write one page of the kept images of a data group, whole; return it.

    A row an image: three planes of what the network got, of what it gave back, and of how far these
    are apart, all in the same grey scale.

    Parameters
    ----------
    folder
        Results of a data group, with ``nifti_images``.

    Raises
    ------
    MissingInputError
        No image was kept.
    InvalidDataError
        An image is damaged.
    OutputError
        The page cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    page = figure(_kept(folder))
    path = folder / SHEET
    with whole_file(path) as temporary:
        # No date: the same images are the same bytes.
        FigureCanvasAgg(page).print_figure(temporary, format="png", metadata={"Software": None})
    return path


def _kept(folder: Path) -> list[Kept]:
    found = sorted(names.kept_images(folder).glob(f"*_{KINDS[0]}.nii.gz"))
    if not found:
        raise MissingInputError(
            "No image of this data group was kept", where=folder,
            fix="Train with --visualization, or predict with --save_nifti",
        )  # fmt: skip
    stems = [path.name.removesuffix(f"_{KINDS[0]}.nii.gz") for path in found]
    return [
        Kept(stem, *(images.read(names.kept_image(folder, stem, kind)) for kind in KINDS))
        for stem in stems
    ]


def figure(kept: list[Kept]) -> Any:
    """Return the page: shape (images, 9) of panels."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9 * INCHES, (len(kept) + 0.2) * INCHES), dpi=DPI, facecolor="black")
    axes = drawn.subplots(len(kept), 9, squeeze=False)
    for row, one in zip(axes, kept, strict=True):
        difference = np.abs(one.given.voxels - one.got.voxels)
        low, high = float(one.given.voxels.min()), float(one.given.voxels.max())
        at = middle(one.given.voxels)
        for number, (what, voxels, ends) in enumerate(
            (
                ("input", one.given.voxels, (low, high)),
                ("output", one.got.voxels, (low, high)),
                ("difference", difference, (0.0, high - low)),
            )
        ):
            panels = row[3 * number : 3 * number + 3]
            look = {"cmap": "gray", "vmin": ends[0], "vmax": ends[1]}
            draw(panels, voxels, one.given.affine, at=at, **look)
            panels[1].set_title(f"{one.name}: {what}", color="white", fontsize=6)
    drawn.tight_layout(pad=0.3)
    return drawn
