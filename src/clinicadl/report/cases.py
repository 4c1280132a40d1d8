"""Brains on a page: right and wrong cases, and where networks looked."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from clinicadl.config.task import Classification, Regression
from clinicadl.data import tensors
from clinicadl.data.parts import Affine, Voxel
from clinicadl.engine import one_image
from clinicadl.engine.groups import stored_of
from clinicadl.engine.stored import Stored
from clinicadl.errors import ClinicaDLError, InvalidDataError
from clinicadl.layouts import images, tsv
from clinicadl.layouts.caps import Session
from clinicadl.layouts.files import read_json
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.report.figures import STYLE, Drawn, drawn
from clinicadl.report.planes import draw, middle
from clinicadl.report.results import Result, classes
from clinicadl.report.story import Story
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT
from clinicadl.tasks.base import IMAGE, PREDICTED_LABEL, TRUE_LABEL
from clinicadl.tasks.judging import columns_of
from clinicadl.transforms.pipeline import output_affine

_INCHES = 1.5
"""Edge of a panel."""
_MOST_IN_MEAN = 16
"""Images that a mean image is made of, at most."""
_SMOOTH = 1.0
"""Standard deviation in voxels, before the strongest place of a map is looked for."""
_TAIL = 99.5
"""Percentile of a map at which colours end."""
_MOST_ROWS = 12


class Case(NamedTuple):
    """An image, and what a model said of it."""

    key: Session
    said: str


class Map(NamedTuple):
    """An interpretation of a model, as it is shown."""

    title: str
    figure: Drawn | None
    """None where no image can be read, or the parts have no place in it."""
    tables: tuple[tuple[str, pd.DataFrame], ...]
    """What the map was judged by."""
    problems: tuple[str, ...]
    """Why it may mean nothing."""


class Pair(NamedTuple):
    """A picture that the guard drew of heads that are there under two names."""

    name: str
    caption: str
    png: bytes

    @property
    def text(self) -> str:
        """The picture as text, as a page holds it."""
        return b64encode(self.png).decode("ascii")


class Pictures(NamedTuple):
    """What is shown of brains, and what could not be."""

    cases: tuple[Drawn, ...]
    maps: tuple[Map, ...]
    pairs: tuple[Pair, ...]
    remarks: tuple[str, ...]


class Volume(NamedTuple):
    """An image on its grid."""

    voxels: NDArray[np.float32]
    affine: Affine


class Mean(NamedTuple):
    """The mean of some images of a data group."""

    volume: Volume
    n_images: int


def pictures(told: Story, results: Sequence[Result], n_examples: int) -> Pictures:
    """Return brains of right and wrong cases, and the mean map of each interpretation.

    The images are read from where the data groups say that they lie; of those that are gone
    a remark is left.

    Parameters
    ----------
    told
        What the report says.
    results
        Those that are shown; cases of the first of each group.
    n_examples
        Right cases of a group, and as many wrong ones.
    """
    cases, maps, remarks = [], [], []
    firsts = {one.group: one for one in reversed(results)}
    for one in reversed(firsts.values()):
        try:
            cases += [*_cases(told, one, n_examples)]
        except ClinicaDLError as error:
            remarks.append(f"Images of {one.group} cannot be shown: {error}")
    below: dict[tuple[str, int | None], Mean] = {}
    for one in results:
        home = names.results(told.maps, one.split, one.chosen_by, one.group)
        for path in names.interpretations(home):
            try:
                maps.append(_map(told, one, path, below))
            except ClinicaDLError as error:
                remarks.append(f"The interpretation {path.name} cannot be shown: {error}")
    return Pictures(tuple(cases), tuple(maps), tuple(_pairs(told)), tuple(dict.fromkeys(remarks)))


def _pairs(told: Story) -> Iterator[Pair]:
    groups = [one.group for one in told.people if one.split is None]
    of_groups = [(one, names.group_pairs(names.group(told.maps, one))) for one in groups]
    for group, path in (("train and validation", names.seen_pairs(told.maps)), *of_groups):
        if path.is_file():
            yield Pair(
                f"pairs-{group.replace(' ', '-')}",
                f"Images of {group} that may show one head under two names.",
                path.read_bytes(),
            )


def _cases(told: Story, one: Result, n: int) -> Iterator[Drawn]:
    right, wrong = chosen(told, one, n)
    if not right and not wrong:
        return
    volumes = _volumes(told, one, [case.key for case in (*right, *wrong)])
    columns = [(title, some) for title, some in zip(_titles(told), (right, wrong), strict=True)]
    yield _mosaic(one, columns, volumes)


def _titles(told: Story) -> tuple[str, str]:
    if isinstance(told.record.config.task, Classification):
        return "surest of the right ones", "surest of the wrong ones"
    return "nearest to the truth", "furthest from the truth"


def chosen(told: Story, one: Result, n: int) -> tuple[list[Case], list[Case]]:
    """Return the cases that a model said most rightly, and those that it said most wrongly.

    Parameters
    ----------
    told
        What the report says.
    one
        The result.
    n
        Of each, at most.

    Returns
    -------
    Of classes the surest of the right and of the wrong ones; of numbers the nearest and the
    furthest, as many of each as there are; none without labels.
    """
    task, table = told.record.config.task, one.predictions
    if not one.is_labelled or not n:
        return [], []
    if isinstance(task, Classification):
        named = classes(told.record)
        sure = table[[f"proba{node}" for node in named]].max(axis=1)
        is_right = table[PREDICTED_LABEL] == table[TRUE_LABEL]
        said = [
            f"true {named[int(true)]}, said {named[int(node)]} (p {share:.2f})"
            for true, node, share in zip(
                table[TRUE_LABEL], table[PREDICTED_LABEL], sure, strict=True
            )
        ]
        order = sure.sort_values(ascending=False, kind="stable").index
        picked = [[row for row in order if is_right[row] == wanted] for wanted in (True, False)]
    elif isinstance(task, Regression):
        true, guess = (table[name] for name in columns_of(task.labels)[0])
        said = [f"true {a:.3g}, said {b:.3g}" for a, b in zip(true, guess, strict=True)]
        order = (true - guess).abs().sort_values(kind="stable").index
        half = min(n, len(order) // 2)
        picked = [[*order[:half]], [*order[::-1][:half]]]
    else:
        return [], []
    keys = sessions.sessions_of(table)
    right, wrong = ([Case(keys[row], said[row]) for row in rows[:n]] for rows in picked)
    return right, wrong


def _volumes(told: Story, one: Result, keys: Sequence[Session]) -> dict[Session, Volume]:
    """Return the first channel of some images of a data group.

    Raises
    ------
    MissingInputError
        An image is gone.
    InvalidDataError
        An image changed.
    """
    split = one.split if one.is_own else None
    group = folder.read_group(told.maps, one.group, split)
    own = [key in {*keys} for key in sessions.sessions_of(group.table)]
    table = group.table[own].reset_index(drop=True)
    maps, shown = Maps(told.maps, told.record), Group(table, group.origin)
    stored, homes = stored_of(maps, shown), folder.caps_of(group)
    cohorts = dict(zip(sessions.sessions_of(table), table[COHORT], strict=True))
    with one_image.at_hand(maps, shown, stored):
        return {key: _volume(stored, key, homes.get(cohorts[key], Path())) for key in keys}


def _volume(stored: Stored, key: Session, home: Path) -> Volume:
    channel = stored.channels[0]
    origin = channel.origins[key]
    affine = np.eye(4) if origin.affine is None else np.array(origin.affine)
    if not channel.are_cut:
        voxels: NDArray[np.float32] = tensors.read(channel.files[key][0])[0].numpy()
        return Volume(voxels, affine)
    image = images.read(home / origin.source)
    if image.voxels.shape != tuple(origin.shape[-3:]):
        raise InvalidDataError(
            "Its parts were cut from another grid than that of the image", where=origin.source
        )
    return Volume(image.voxels, image.affine)


def _mosaic(
    one: Result, columns: Sequence[tuple[str, Sequence[Case]]], volumes: dict[Session, Volume]
) -> Drawn:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    n_rows = max(len(cases) for _, cases in columns)
    with rc_context(STYLE):  # type: ignore[arg-type]  # it is known by its own names only
        page = Figure(figsize=(6 * _INCHES, n_rows * (_INCHES + 0.3) + 0.3), facecolor="black")
        axes = page.subplots(n_rows, 6, squeeze=False)
        for panel in axes.flat:
            panel.set_axis_off()
        for number, (title, cases) in enumerate(columns):
            page.text(
                0.25 + 0.5 * number, 0.995, title if cases else f"{title}: none",
                color="white", ha="center", va="top", fontsize=10,
            )  # fmt: skip
            for row, case in enumerate(cases):
                panels = axes[row, 3 * number : 3 * number + 3]
                voxels, affine = volumes[case.key]
                ends = np.percentile(voxels, (1, 99.8))
                look = {"cmap": "gray", "vmin": ends[0], "vmax": ends[1]}
                draw(panels, voxels, affine, at=middle(voxels), **look)
                panels[1].set_title(
                    f"{' '.join(case.key)}\n{case.said}", color="white", fontsize=7, pad=2
                )
        page.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.65 / page.get_figheight(), 0.03, 0.3)
        return drawn(
            page, f"cases-{one.group}",
            f"Images of {one.group}, and what was said of them ({one.model}); the right is on the "
            "left.",
        )  # fmt: skip


def _mean(told: Story, one: Result) -> Mean:
    keys = sessions.sessions_of(one.predictions)[:_MOST_IN_MEAN]
    volumes = [*_volumes(told, one, keys).values()]
    whole: NDArray[np.float32] = np.mean([one.voxels for one in volumes], axis=0)
    return Mean(Volume(whole, volumes[0].affine), len(volumes))


def _map(told: Story, one: Result, path: Path, below: dict[tuple[str, int | None], Mean]) -> Map:
    """Return an interpretation; the mean images of groups are kept for the next one."""
    made = read_json(names.method(path), "method of the interpretation")
    method = str(made["method"]["name"])
    named = classes(told.record)
    of = f" for {named[made['target_node']]}" if made["target_node"] in named else ""
    title = f"{method}{of}, {one.group}, {one.model}"
    tables = tuple(
        (table.stem, tsv.read(table, "table of an interpretation").head(_MOST_ROWS))
        for table in sorted(path.glob("*.tsv"))
    )
    problems = tuple(str(one) for one in made.get("problems", ()))
    mean = next((found for found in _mean_maps(path) if found.is_file()), None)
    if mean is None:
        return Map(title, None, tables, problems)
    of_whom = one.group, one.split if one.is_own else None
    mean_image = below[of_whom] = below.get(of_whom) or _mean(told, one)
    whole, whole_affine = mean_image.volume
    values: NDArray[np.float32] = tensors.read(mean).mean(0).numpy()
    affine = output_affine(told.record.config.transforms, whole_affine)
    shown = zoom(whole, np.array(values.shape) / whole.shape, order=1)
    caption = (
        f"Mean map of {method}{of} over {made['n_images']} images of {one.group} on the mean of "
        f"{mean_image.n_images} of them ({one.model}), through its "
        "strongest place: red above 0, blue below; the right is on the left."
    )
    name = f"map-{one.group}-{one.split}-{one.chosen_by}-{path.name}"
    return Map(title, _overlay(name, caption, shown, values, affine), tables, problems)


def _mean_maps(path: Path) -> Iterator[Path]:
    """Yield where the mean map of images may lie: of parts that were put back, or of images."""
    yield names.attribution(path, f"mean_{IMAGE}", ".pt")
    yield names.attribution(path, f"mean_{IMAGE}-0", ".pt")


def _overlay(
    name: str,
    caption: str,
    below: NDArray[np.float32],
    values: NDArray[np.float32],
    affine: Affine,
) -> Drawn:
    from matplotlib.figure import Figure

    most = float(np.percentile(np.abs(values), _TAIL)) or float(np.abs(values).max()) or 1.0
    at = strongest(values)
    page = Figure(figsize=(3 * 3.0, 3.0), facecolor="black")
    panels = page.subplots(1, 3)
    ends = np.percentile(below, (1, 99.8))
    draw(panels, below, affine, at=at, cmap="gray", vmin=ends[0], vmax=ends[1])
    shares = np.clip(np.abs(values) / most, 0, 1)
    draw(panels, values, affine, at=at, cmap="RdBu_r", vmin=-most, vmax=most, alpha=0.85 * shares)
    page.subplots_adjust(0.01, 0.01, 0.99, 0.99, 0.03)
    return drawn(page, name, caption)


def strongest(values: NDArray[np.float32]) -> Voxel:
    """Return the voxel about which a map is furthest from 0."""
    smooth = gaussian_filter(np.abs(values), _SMOOTH)
    x, y, z = (int(place) for place in np.unravel_index(int(smooth.argmax()), smooth.shape))
    return x, y, z
