"""A picture of a few samples: the parts on the brain, and what the network gets."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.base import Choice
from clinicadl.config.mode import ImageMode, RoiMode
from clinicadl.config.preview import PreviewConfig
from clinicadl.data import tensors
from clinicadl.data.parts import Affine, Parts, Voxel, Window
from clinicadl.engine.stored import Stored, prepared
from clinicadl.errors import InvalidDataError, MissingExtraError, MissingInputError
from clinicadl.layouts import caps, files, grids, images, part_files
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.report.planes import (
    Pixels,
    Plane,
    cut,
    edges,
    middle,
    planes_of,
    turned,
    voxel_size,
)
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, SINGLE
from clinicadl.transforms import pipeline
from clinicadl.transforms.augment import Applied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PART_COLOUR, SHOWN_COLOUR = "#56B4E9", "#E69F00"
REGION_COLOURS = ("#56B4E9", "#F0E442", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#FFFFFF")
# These colours are told apart with any colour vision (Okabe and Ito, 2008).
Line = Literal["-", "--", ":"]
REGION_LINES: tuple[Line, ...] = ("-", "--", ":")
MOST_LINES = 12
"""Slices that are drawn as lines, about."""
BRIGHTEST = (0.5, 99.5)
"""Percentiles of an image that are black and white."""

PANEL_INCHES, DOTS_PER_INCH = 2.3, 130
SMALL, READABLE = 7, 9
"""Sizes of type, in points."""
LETTERS_PER_INCH, MOST_LETTERS = 11, 38
"""How long a line of the heading is, and one below a panel."""
THIN, THICK = 0.8, 1.6
"""Widths of lines, in points."""
MOST_NUMBERS = 4
"""Drawn numbers of one kind that are written out."""


@dataclass(frozen=True)
class PreviewPlan:
    """A preview that can be drawn."""

    config: PreviewConfig
    extraction: Extraction
    mode: Choice
    keys: tuple[Session, ...]
    """The sessions that are shown."""
    rows: tuple[int, ...]
    """Where each is in the table."""
    stored: Stored

    @property
    def reads(self) -> list[Path]:
        """What is read of each session."""
        if self.extraction.stores_parts:
            return [
                self.config.caps_directory / self.stored.origins[key].source for key in self.keys
            ]
        return [self.stored.channels[0].files[key][0] for key in self.keys]

    def affine(self, key: Session) -> Affine:
        """Return voxel to world of the image of a session.

        Raises
        ------
        InvalidDataError
            Nobody knows it: the tensor is of another program, and the image is gone.
        """
        affine = self.stored.origins[key].affine
        if affine is None:
            raise InvalidDataError(
                "The image of the tensor is gone, and with it where its voxels lie",
                where=" | ".join(key), fix="Put the image back",
            )  # fmt: skip
        return np.array(affine)


def preview(config: PreviewConfig) -> Path:
    """Write one PNG of a few sessions: the parts on the image, one part, and it augmented.

    Parameters
    ----------
    config
        The CAPS, the extraction, the transforms and the PNG.

    Returns
    -------
    The PNG.

    Raises
    ------
    MissingInputError
        A folder, table, image or tensor is absent.
    InvalidDataError
        A table or extraction is wrong, or a tensor does not belong to its image any more.
    UsageError
        The mode or a transform cannot take such images.
    MissingExtraError
        A package is not installed.
    OutputError
        The PNG exists already, or cannot be written.
    """
    return write(plan(config))


def plan(config: PreviewConfig) -> PreviewPlan:
    """Return the plan of a preview; everything that can be refused is refused.

    Raises
    ------
    MissingInputError
        A folder, table, image or tensor is absent.
    InvalidDataError
        A table or extraction is wrong, or a tensor does not belong to its image any more.
    UsageError
        The mode or a transform cannot take such images.
    MissingExtraError
        A package is not installed.
    OutputError
        The PNG exists already, or cannot be written.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")
    if not config.overwrite:
        files.refuse_existing(config.output_png)
    files.refuse_unwritable(config.output_png)
    extraction = caps.read_extraction(config.caps_directory, config.preprocessing_json)
    table = _sessions(config, extraction)
    rows = _evenly(table, config.n_samples)
    keys = tuple(table[row] for row in rows)
    chosen = pd.DataFrame(keys, columns=[sessions.PARTICIPANT, sessions.SESSION])
    cohort = {SINGLE: config.caps_directory}
    stored = prepared(cohort, [extraction], chosen.assign(**{COHORT: SINGLE}))
    mode = caps.mode_settings(extraction)
    planned = PreviewPlan(config, extraction, mode, keys, tuple(rows), stored)
    for path in planned.reads:
        files.status(path, "image whose parts were stored")
    for key in keys:
        voxel_size(planned.affine(key))
    for shape in dict.fromkeys(stored.parts.shapes):
        given = pipeline.output_shape(config.transforms, shape)
        pipeline.check_augmentation(config.transforms, given)
    return planned


def _sessions(config: PreviewConfig, extraction: Extraction) -> list[Session]:
    """Return the sessions of the table, in its order, or those that have tensors, sorted.

    Raises
    ------
    InvalidDataError
        The table lists no session.
    MissingInputError
        No session has tensors.
    """
    if config.participants_tsv is not None:
        listed = sessions.sessions_of(sessions.read(config.participants_tsv))
        if not listed:
            raise InvalidDataError("The table lists no session", where=config.participants_tsv)
        return listed
    directory, preprocessing = config.caps_directory, extraction.preprocessing
    everyone = caps.sessions(directory)
    found: list[Session]
    if extraction.stores_parts:
        found = [*part_files.index_parts(directory, preprocessing, everyone, extraction.mode)]
    else:
        found = [*caps.index_tensors(directory, preprocessing, everyone)]
    if not found:
        raise MissingInputError(
            "No session of the CAPS has tensors of this extraction", where=directory,
            found=extraction.path.name, fix="Run prepare-data first",
        )  # fmt: skip
    return sorted(found)


def _evenly(keys: Sequence[Session], n_samples: int) -> list[int]:
    """Return the rows of some sessions, evenly over their sorted list, the first and last among."""
    in_order = sorted(range(len(keys)), key=lambda row: keys[row])
    places = np.linspace(0, len(keys) - 1, min(n_samples, len(keys))).round().astype(int)
    return [in_order[place] for place in places]


def write(planned: PreviewPlan) -> Path:
    """Draw a preview, write it whole, and return the PNG; the same input is the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = figure(planned)
    # Its own canvas, whatever a user has set for windows and files.
    canvas = FigureCanvasAgg(drawn)
    with files.whole_file(planned.config.output_png) as temporary:
        # Without the version of the library the same samples are the same bytes.
        canvas.print_figure(temporary, format="png", metadata={"Software": None})
    return planned.config.output_png


@dataclass(frozen=True)
class _View:
    """What a row shows."""

    row: int
    key: Session
    part: int
    volume: NDArray[np.float32]
    """First channel of the image."""
    at: Voxel
    """Where the three planes meet."""
    affine: Affine
    planes: tuple[Plane, Plane, Plane]


def figure(planned: PreviewPlan) -> Figure:
    """Return the picture: a row a session, whose axes are labelled ``<row> <panel>``."""
    from matplotlib.figure import Figure

    titles = ["sagittal", "coronal", "axial", "as the network gets it"]
    if planned.config.transforms.augmentation:
        titles.append(f"augmented, epoch {planned.config.epoch}")
    ranking = _ranking(planned)
    n_rows = len(planned.keys)
    widths = _widths(planned, _view(planned, 0, ranking[0]))[: len(titles)]
    height = PANEL_INCHES + 0.3 + 0.17 * len(planned.config.transforms.augmentation)
    size = (PANEL_INCHES * sum(widths) + 0.5, height * n_rows + 1.2)
    page = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    axes = page.subplots(n_rows, len(titles), squeeze=False, gridspec_kw={"width_ratios": widths})
    for row, line in enumerate(axes):
        # One image at a time is in memory.
        view = _view(planned, row, ranking[row % len(ranking)])
        for ax, title in zip(line, titles, strict=True):
            ax.set_label(f"{view.row} {title.partition(',')[0]}")
            if view.row == 0:
                ax.set_title(title, fontsize=READABLE)
        _draw_image(line[:3], planned, view)
        _draw_sample(line[3:], planned, view)
        line[0].set_ylabel("\n".join(view.key), fontsize=READABLE, parse_math=False)
    page.suptitle(
        _heading(planned, int(size[0] * LETTERS_PER_INCH)), fontsize=READABLE, parse_math=False
    )
    _draw_legend(page, planned)
    return page


def _view(planned: PreviewPlan, row: int, part: int) -> _View:
    key, volume = planned.keys[row], _volume(planned, row)
    window, affine = planned.stored.parts.windows[part], planned.affine(planned.keys[row])
    if isinstance(planned.mode, RoiMode):
        # A region may be far from the middle of the brain, and is what one wants to see.
        at = _centre(window)
    else:
        # The middle of the brain, or what of the part is next to it.
        last = np.minimum(window.stop, volume.shape) - 1
        x, y, z = (int(one) for one in np.clip(middle(volume), window.start, last))
        at = x, y, z
    return _View(row, key, part, volume, at, affine, planes_of(affine))


def _widths(planned: PreviewPlan, view: _View) -> list[float]:
    """Return the widths of the panels, with their heights as unit; of odd shapes not exactly."""
    parts, size = planned.stored.parts, voxel_size(view.affine)
    extents = [np.array(view.volume.shape)] * 3 + [np.array(parts.window(view.part).size)] * 2
    shown = [*view.planes, *[_plane_of_part(parts, view)] * 2]
    ratios = [
        float((extent * size)[plane.along] / (extent * size)[plane.up])
        for plane, extent in zip(shown, extents, strict=True)
    ]
    return [min(1.5, max(0.75, ratio)) for ratio in ratios]


def _plane_of_part(parts: Parts, view: _View) -> Plane:
    """Return the plane of a slice, and of a volume the coronal one."""
    across = view.planes[1].across if parts.axis is None else parts.axis
    return next(plane for plane in view.planes if plane.across == across)


def _heading(planned: PreviewPlan, width: int) -> str:
    config, parts = planned.config, planned.stored.parts
    transforms = config.transforms
    settings = planned.mode.model_dump(mode="json", exclude={"name"})
    said = [f"{name} {_plain(value)}" for name, value in settings.items() if value not in ("", [])]
    shapes = dict.fromkeys(pipeline.output_shape(transforms, shape) for shape in parts.shapes)
    sizes = dict.fromkeys(
        " x ".join(f"{edge:.4g}" for edge in voxel_size(planned.affine(key)))
        for key in planned.keys
    )
    lines = [
        f"{config.caps_directory.absolute().name}, {planned.extraction.preprocessing.name}: "
        f"{', '.join([planned.mode.name, *said])}",
        f"{len(parts)} {'part' if len(parts) == 1 else 'parts'} an image; "
        f"a sample is {' or '.join(map(_times, shapes))}"
        f"{' (a network takes one shape)' if len(shapes) > 1 else ''}; "
        f"voxels of the image are {' or '.join(sizes)} mm",
        f"normalisation: {transforms.normalization.name if transforms.normalize else 'none'}",
        "radiological: the participant's right (R) is on the left",
    ]
    if transforms.size_reduction:
        lines[2] += f"; one voxel in {transforms.size_reduction_factor} is kept along each axis"
    if transforms.augmentation:
        names = ", ".join(row.name for row in transforms.augmentation)
        lines[2] += f"; augmentation with seed {config.reproducibility.seed}: {names}"
    if parts.axis is not None and _step(parts) > 1:
        lines[3] += f"; one line in {_step(parts)} slices"
    return "\n".join(textwrap.fill(line, width) for line in lines)


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _name(planned: PreviewPlan, part: int) -> str:
    """Return what a part is called where everybody knows the mode."""
    parts = planned.stored.parts
    if isinstance(planned.mode, ImageMode):
        return "image"
    if isinstance(planned.mode, RoiMode):
        return parts.names[part].rpartition("roi-")[2]
    return f"{planned.mode.name} {parts.numbers[part]}"


def _volume(planned: PreviewPlan, row: int) -> NDArray[np.float32]:
    """Return the first channel of the image of a session."""
    path = planned.reads[row]
    if planned.extraction.stores_parts:
        grid, image = grids.of(planned.extraction.preprocessing), images.read(path)
        return (image if grid is None else grids.onto(image, grid, path)).voxels
    whole: NDArray[np.float32] = tensors.read(path)[0].numpy()
    return whole


def _ranking(planned: PreviewPlan) -> list[int]:
    """Return the parts, those next to the middle of the first brain first; regions in order."""
    windows = planned.stored.parts.windows
    if isinstance(planned.mode, RoiMode):
        return list(range(len(windows)))
    brain = np.array(middle(_volume(planned, 0)))
    away = [float(((np.array(_centre(window)) - brain) ** 2).sum()) for window in windows]
    return sorted(range(len(windows)), key=lambda index: (away[index], index))


def _centre(window: Window) -> Voxel:
    (x, y, z), (to_x, to_y, to_z) = window
    return (x + to_x - 1) // 2, (y + to_y - 1) // 2, (z + to_z - 1) // 2


def _draw_image(axes: Sequence[Axes], planned: PreviewPlan, view: _View) -> None:
    """Draw the three planes of an image, with its parts."""
    low, high = np.nanpercentile(view.volume, BRIGHTEST)
    for ax, plane in zip(axes, view.planes, strict=True):
        pixels = cut(view.volume, plane, view.at[plane.across])
        _show(ax, pixels, plane, view.affine, (float(low), float(high)))
        _outline(ax, planned, plane, view)


def _show(
    ax: Axes, pixels: Pixels, plane: Plane, affine: Affine, ends: tuple[float, float]
) -> None:
    """Draw a plane in its own voxels, each from half before its index to half behind."""
    size = voxel_size(affine)
    ax.imshow(
        np.nan_to_num(pixels).T, cmap="gray", origin="lower", vmin=ends[0], vmax=ends[1],
        aspect=size[plane.up] / size[plane.along],
    )  # fmt: skip
    _frame(ax, plane, pixels.shape)
    ax.set(xticks=[], yticks=[], facecolor="black")
    spots = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
    sides = ("left", "right", "center", "center")
    heights = ("center", "center", "bottom", "top")
    for mark, spot, side, height in zip(plane.marks, spots, sides, heights, strict=True):
        ax.text(
            *spot, mark, transform=ax.transAxes, ha=side, va=height, color="white",
            fontsize=READABLE, bbox={"facecolor": "black", "alpha": 0.5, "pad": 1, "lw": 0},
        )  # fmt: skip


def _frame(ax: Axes, plane: Plane, shape: Sequence[int]) -> None:
    """Turn the page so that its marks are right."""
    along, up = (-0.5, shape[0] - 0.5), (-0.5, shape[1] - 0.5)
    ax.set(xlim=along[::-1] if plane.runs_left else along, ylim=up[::-1] if plane.runs_down else up)


def _outline(ax: Axes, planned: PreviewPlan, plane: Plane, view: _View) -> None:
    """Draw where the parts lie in a plane; an image is its own only part and needs no outline."""
    parts, at = planned.stored.parts, view.at[plane.across]
    if isinstance(planned.mode, ImageMode):
        return
    if parts.axis is not None:
        _draw_slices(ax, parts, plane, view.part)
        return
    met = [
        index
        for index, (start, stop) in enumerate(parts.windows)
        if start[plane.across] <= at < stop[plane.across]
    ]
    if isinstance(planned.mode, RoiMode):
        for index in met:
            _draw_region(ax, parts, index, plane, at, is_shown=index == view.part)
        return
    for rectangle in dict.fromkeys(_rectangle(parts.windows[index], plane) for index in met):
        _draw_rectangle(ax, rectangle, edgecolor=PART_COLOUR, linewidth=THIN)
    chosen = _rectangle(parts.windows[view.part], plane)
    _draw_rectangle(ax, chosen, edgecolor=SHOWN_COLOUR, linewidth=THICK)
    # Padded parts reach behind the image.
    furthest = np.max([window.stop for window in (*parts.windows, _whole(parts))], axis=0)
    _frame(ax, plane, (int(furthest[plane.along]), int(furthest[plane.up])))


def _whole(parts: Parts) -> Window:
    x, y, z = parts.image_shape[1:]
    return Window((0, 0, 0), (x, y, z))


def _rectangle(window: Window, plane: Plane) -> tuple[int, int, int, int]:
    """Return the first voxel along and up, and the extent along and up."""
    start, size = window.start, window.size
    return start[plane.along], start[plane.up], size[plane.along], size[plane.up]


def _draw_rectangle(ax: Axes, rectangle: tuple[int, int, int, int], **look: Any) -> None:
    from matplotlib.patches import Rectangle

    along, up, width, height = rectangle
    ax.add_patch(
        Rectangle((along - 0.5, up - 0.5), width, height, fill=False, clip_on=False, **look)
    )


def _look(index: int) -> tuple[str, Line]:
    """Return the colour and the line of a region."""
    n_colours = len(REGION_COLOURS)
    line = REGION_LINES[index // n_colours % len(REGION_LINES)]
    return REGION_COLOURS[index % n_colours], line


def _draw_region(
    ax: Axes, parts: Parts, index: int, plane: Plane, at: int, *, is_shown: bool
) -> None:
    from matplotlib.collections import LineCollection

    (colour, line), wide = _look(index), THICK if is_shown else THIN
    box = _rectangle(parts.windows[index], plane)
    _draw_rectangle(ax, box, edgecolor=colour, linewidth=wide, linestyle=line)
    if parts.masks:
        mask = parts.masks[index]
        inside = cut(mask.voxels, plane, at - mask.start[plane.across])
        contour = edges(inside, (mask.start[plane.along], mask.start[plane.up]))
        ax.add_collection(LineCollection(list(contour), colors=colour, linewidths=wide))


def _step(parts: Parts) -> int:
    return ceil(len(parts) / MOST_LINES)


def _draw_slices(ax: Axes, parts: Parts, plane: Plane, shown: int) -> None:
    """Draw the slices as lines in the planes that cross them, the first and the last among."""
    axis = parts.axis
    if axis is None or plane.across == axis:
        return
    draw = ax.axvline if plane.along == axis else ax.axhline
    for index in sorted({*range(0, len(parts), _step(parts)), len(parts) - 1} - {shown}):
        draw(parts.windows[index].start[axis], color=PART_COLOUR, linewidth=THIN)
    draw(parts.windows[shown].start[axis], color=SHOWN_COLOUR, linewidth=THICK)


def _draw_sample(axes: Sequence[Axes], planned: PreviewPlan, view: _View) -> None:
    """Draw one part as the network gets it and, where there is augmentation, once more."""
    config, parts = planned.config, planned.stored.parts
    transforms, seed = config.transforms, config.reproducibility.seed
    table = pd.DataFrame([view.key], columns=[sessions.PARTICIPANT, sessions.SESSION])
    dataset = planned.stored.dataset(table, [0], pipeline.pipeline(transforms))
    sample = dataset[view.part].image
    voxels = sample[0].numpy()
    plane, at = _plane_of_part(parts, view), None
    if parts.axis is None:
        # The coronal plane that is shown of the image; a reduced sample has another grid.
        is_reduced = tuple(sample.shape) != parts.shapes[view.part]
        start = parts.window(view.part).start[plane.across]
        at = middle(voxels)[plane.across] if is_reduced else view.at[plane.across] - start
    ends = (float(voxels.min()), float(voxels.max()))
    _draw_voxels(axes[0], voxels, plane, at, view.affine, ends)
    name = f"{_name(planned, view.part)}: {_times(sample.shape)}"
    _say(axes[0], [name, _summary(voxels)])
    augment = pipeline.augmentation(transforms, seed=seed)
    if augment is None:
        return
    # The index that the part has in a training on this table.
    index = planned.rows[view.row] * len(parts) + view.part
    changed = augment(sample, config.epoch, index)[0].numpy()
    _draw_voxels(axes[1], changed, plane, at, view.affine, ends)
    shape = tuple(sample.shape)
    changes = pipeline.drawn(
        transforms.augmentation, shape, seed=seed, epoch=config.epoch, sample=index
    )
    said = [_numbers(change) for change in changes] or ["not changed in this epoch"]
    _say(axes[1], [*said, _summary(changed)])


def _draw_voxels(
    ax: Axes,
    voxels: NDArray[np.float32],
    plane: Plane,
    at: int | None,
    affine: Affine,
    ends: tuple[float, float],
) -> None:
    """Draw a plane of a sample, or a sample that is a plane already."""
    pixels = turned(voxels, plane) if at is None else cut(voxels, plane, at)
    _show(ax, pixels, plane, affine, ends)


def _say(ax: Axes, sentences: Sequence[str]) -> None:
    """Write below a panel."""
    text = "\n".join(textwrap.fill(sentence, MOST_LETTERS) for sentence in sentences)
    ax.set_xlabel(text, fontsize=SMALL, parse_math=False)


def _summary(voxels: NDArray[np.float32]) -> str:
    low, high, mean = voxels.min(), voxels.max(), voxels.mean(dtype=np.float64)
    return f"{low:.3g} to {high:.3g}, mean {mean:.3g}"


def _numbers(change: Applied) -> str:
    """Return what was drawn for a change, in short.

    Examples
    --------
    >>> from functools import partial
    >>> from clinicadl.transforms import augment
    >>> _numbers(partial(augment.crop_pad, shifts=(3, -4, 0)))
    'crop pad: shifts 3 -4 0'
    """
    function = getattr(change, "func", change)
    name = getattr(function, "__name__", type(function).__name__).replace("_", " ")
    drawn = getattr(change, "keywords", {})
    # The seed of a noise says nothing to anybody.
    said = [f"{key} {_short(value)}" for key, value in drawn.items() if key != "seed"]
    return f"{name}: {', '.join(said)}" if said else name


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    numbers = np.ravel(np.asarray(value, dtype=np.float64))
    if numbers.size <= MOST_NUMBERS:
        return " ".join(f"{number:.3g}" for number in numbers)
    return f"({numbers.size} from {numbers.min():.3g} to {numbers.max():.3g})"


def _draw_legend(page: Figure, planned: PreviewPlan) -> None:
    """Say the names of the regions, or which part is shown."""
    from matplotlib.lines import Line2D

    if isinstance(planned.mode, ImageMode):
        return
    if isinstance(planned.mode, RoiMode):
        looks = [_look(index) for index in range(len(planned.stored.parts))]
        names = [_name(planned, index) for index in range(len(looks))]
    else:
        looks = [(PART_COLOUR, REGION_LINES[0]), (SHOWN_COLOUR, REGION_LINES[0])]
        names = ["where the parts lie", "the part that is shown"]
    handles = [
        Line2D([], [], color=colour, linestyle=line, linewidth=2, label=name)
        for (colour, line), name in zip(looks, names, strict=True)
    ]
    page.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize=READABLE,
        facecolor="black", labelcolor="white",
    )  # fmt: skip
