"""Images that are changed in a known way and keep the names of their participants.

A new image has the participant and the session of its source, so that everything that tells
participants apart (splits, the leakage guard) takes both for what they are: one person.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.generate import ChangedConfig
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import images
from clinicadl.layouts.files import whole_file
from clinicadl.layouts.images import Image
from clinicadl.synthesis.generated import Job, NewImage, Plan, check_output
from clinicadl.synthesis.sources import Listed, new_path, read_source, write_origin

UNTOUCHED = "untouched"
"""What the table says of an image that is a copy of its source."""
SOURCE_COLUMN = "source_{}"
"""What a column of the source's table is called where we have one of that name."""


class Changed(NamedTuple):
    """What an image became."""

    voxels: NDArray[np.float32]
    numbers: Mapping[str, Any]
    """What was drawn and done, for JSON."""
    maps: Mapping[str, NDArray[Any]]
    """Images of the truth on the same grid, by what they show: mask, jacobian, ..."""


Change: TypeAlias = Callable[[int, Image, Path], Changed]
"""(number of the image, source, its path) -> what it becomes; of a module, for other processes."""


class Kind(NamedTuple):
    """One way of changing images."""

    name: str
    """Name of the command."""
    label: str
    """Column of the table that tells changed images from untouched ones."""
    tag: str
    """Entities in the names of changed images."""
    facts: Callable[[int], Mapping[str, str]]
    """Number of a changed image -> its columns; of a module, for other processes."""
    untouched: Mapping[str, str]
    """Columns of untouched images."""
    has_mask: bool
    """Whether it changes a part of the image, shown by a mask."""


def plan_changed(
    config: ChangedConfig, kind: Kind, sources: Sequence[Listed], change: Change
) -> Plan:
    """Return the plan of a CAPS of changed images.

    Raises
    ------
    OutputError
        The generated CAPS exists already, or cannot be written.
    UsageError
        Under the new names the preprocessing would not find the images again.
    """
    check_output(config)
    touched = draw_touched([one.image.participant for one in sources], config)
    jobs = tuple(
        (_new_image(config, kind, source, number, touched=source.image.participant in touched),)
        for number, source in enumerate(sources)
    )
    paths = tuple(source.image.path for source in sources)
    make = partial(_make, config, kind, paths, change)
    return Plan(kind.name, config, jobs, make, label=kind.label)


def draw_touched(participants: Sequence[str], config: ChangedConfig) -> set[str]:
    """Draw the participants whose images are changed, all sessions of each: at least one."""
    people = list(dict.fromkeys(participants))
    order = generator(config.seed, "generate-share").permutation(len(people))
    n_touched = max(1, round(config.share * len(people)))
    return {people[i] for i in order[:n_touched]}


def first_touched(sources: Sequence[Listed], config: ChangedConfig) -> tuple[Path, Image]:
    """Return the first image to be changed that can be read, to see whether it can be.

    Raises
    ------
    MissingInputError
        An image is absent or closed to us.
    InvalidDataError
        None can be read; this is what is wrong with the last.
    """
    touched = draw_touched([one.image.participant for one in sources], config)
    paths = [one.image.path for one in sources if one.image.participant in touched]
    for path in paths[:-1]:
        try:
            return path, read_source(path)
        except InvalidDataError:
            continue  # reported when it is used
    return paths[-1], read_source(paths[-1])


def truth_path(image: NewImage, shown: str) -> Path:
    """Return where an image of the truth lies, relative to the CAPS."""
    return Path("masks" if shown == "mask" else shown,
                f"{image.participant}_{image.session}_{shown}.nii.gz")  # fmt: skip


def as_stored(source: Image, voxels: NDArray[np.float32]) -> NDArray[Any]:
    """Return voxels as their source stored its own.

    Whole numbers stay whole numbers of the same type, rounded and cut to its limits: what tells
    a changed image from its source is then the change, and no digits behind the point.
    """
    kind = np.dtype(source.header.get_data_dtype())
    if kind.kind not in "iu" or not np.array_equal(source.voxels, np.rint(source.voxels)):
        return voxels
    limits = np.iinfo(kind)
    if source.voxels.min() < limits.min or source.voxels.max() > limits.max:
        return voxels
    # float64 holds the limits of 32 bits, float32 does not.
    rounded = np.clip(np.rint(voxels.astype(np.float64)), limits.min, limits.max)
    stored: NDArray[Any] = rounded.astype(kind)
    return stored


def _new_image(
    config: ChangedConfig, kind: Kind, source: Listed, number: int, *, touched: bool
) -> NewImage:
    image = source.image
    own = kind.facts(number) if touched else kind.untouched
    others = {
        SOURCE_COLUMN.format(name) if name in own else name: value
        for name, value in source.columns.items()
    }
    path = new_path(
        config, image, image.participant, image.session, tag=f"{kind.tag}_" if touched else ""
    )
    return NewImage(number, image.participant, image.session, path, {**own, **others})


def _make(
    config: ChangedConfig, kind: Kind, sources: tuple[Path, ...], change: Change,
    caps: Path, job: Job,
) -> None:  # fmt: skip
    (image,) = job
    path = sources[image.number]
    source = read_source(path)
    done: dict[str, Any] = {}
    if image.facts[kind.label] == UNTOUCHED:
        nothing = np.zeros(source.voxels.shape, np.uint8)
        maps: Mapping[str, NDArray[Any]] = {"mask": nothing} if kind.has_mask else {}
        with whole_file(caps / image.path) as temporary:
            shutil.copyfile(path, temporary)
    else:
        voxels, numbers, maps = change(image.number, source, path)
        done = dict(numbers)
        images.write(
            caps / image.path, as_stored(source, voxels), affine=source.affine, header=source.header
        )
    for shown, content in maps.items():
        images.write(
            caps / truth_path(image, shown), content, affine=source.affine, header=source.header
        )
    write_origin(config, kind.name, caps / image.path, path, source.sha256, done)
