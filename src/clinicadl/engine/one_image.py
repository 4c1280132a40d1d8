"""A data group of one session whose images are NIfTI files, and in no CAPS."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

import pandas as pd

from clinicadl.config.base import Choice
from clinicadl.config.groups import GroupConfig
from clinicadl.config.mode import RoiMode
from clinicadl.data import parts, prepare, tensors
from clinicadl.data.origin import Origin
from clinicadl.engine import stored
from clinicadl.engine.stored import Channel, Stored
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts import caps, files, grids, ids, images, masks, signatures
from clinicadl.layouts.caps import Extraction, Session
from clinicadl.layouts.images import Image
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.folder import Group, Maps
from clinicadl.layouts.maps.record import ImageGrid
from clinicadl.layouts.masks import Mask
from clinicadl.layouts.signatures import Signature
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT, SINGLE
from clinicadl.tasks.base import IMAGE

UNKNOWN = {ids.PARTICIPANT: "sub-unknown", ids.SESSION: "ses-unknown"}
"""What a session is called where neither its file nor the user names it."""

_NAMED = re.compile(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?(?:_|$)")


def defined(config: GroupConfig, maps: Maps) -> Group:
    """Return the data group of the images that were given.

    Raises
    ------
    UsageError
        There are more or fewer than the network has channels, the ids are none, or a CAPS is given
        that is not needed.
    """
    n_channels = len(maps.record.extractions)
    if len(config.image) != n_channels:
        raise UsageError(
            f"The models take {n_channels} image{'s' if n_channels > 1 else ''} of a session",
            where="--image", found=listed(config.image),
            fix="Give one for each channel, in the order of training",
        )  # fmt: skip
    key = _key(config)
    row = {sessions.PARTICIPANT: [key[0]], sessions.SESSION: [key[1]], COHORT: [SINGLE]}
    has_regions = isinstance(_mode(maps), RoiMode)
    if config.caps_directory is not None and not has_regions:
        raise UsageError(
            "Beside an image a CAPS gives masks of regions alone, and the models know no regions",
            where="--caps_directory", fix="Leave it out",
        )  # fmt: skip
    home = config.caps_directory or maps.record.config.data.caps_directory
    return Group(
        pd.DataFrame(row), folder.image_origin(config.image, home if has_regions else None)
    )


def _key(config: GroupConfig) -> Session:
    """Return the ids that were given, or those in the name of the image.

    Raises
    ------
    UsageError
        What was given is no id.
    """
    found = _NAMED.match(images.stem(config.image[0]))
    told = dict(zip(ids.PREFIX_OF, found.groups() if found else (None, None), strict=True))
    given = {ids.PARTICIPANT: config.participant, ids.SESSION: config.session}
    key = []
    for column, text in given.items():
        one = ids.as_id(text, column) if text else told[column] or UNKNOWN[column]
        if not ids.is_id(one, column):
            raise UsageError(
                "This is no id", where="--participant, --session", found=text,
                fix=f"Write {ids.PREFIX_OF[column]} with letters and digits behind it",
            )  # fmt: skip
        key.append(one)
    return key[0], key[1]


def extractions_of(maps: Maps) -> list[Extraction]:
    """Return the extraction of each channel of the models of a MAPS."""
    where = names.record(maps.path)
    return [caps.parse_extraction(content, where) for content in maps.record.extractions]


def _mode(maps: Maps) -> Choice:
    return caps.mode_settings(extractions_of(maps)[0])


def stored_of(maps: Maps, group: Group) -> Stored:
    """Return the images of such a group, whose tensors are there while they are `at_hand`.

    Raises
    ------
    MissingInputError
        An image is gone, or the masks of the regions are.
    InvalidDataError
        An image is damaged, or lies on another grid than those of training.
    """
    extractions = extractions_of(maps)
    mode = stored.one_mode(extractions)
    regions = _regions(maps, group)
    (key,) = sessions.sessions_of(group.table)
    scratch = Path(gettempdir()) / f"clinicadl-{uuid4().hex}"
    channels = []
    shown: dict[Session, Signature] = {}
    for number, (path, extraction) in enumerate(
        zip(folder.images_of(group), extractions, strict=True)
    ):
        now = files.status(path, "image")
        image, _ = prepare.loaded(path, grids.of(extraction.preprocessing))
        shape = (1, *image.voxels.shape)
        _refuse_other_grid(maps, image, path)
        parts.check_grid(regions, shape, image.affine, path)
        affine = tuple(tuple(float(cell) for cell in row) for row in image.affine)
        origin = Origin(
            str(path), image.sha256, now.st_size, now.st_mtime_ns, shape=shape, affine=affine
        )
        if number == 0 and _is_registered(maps, extraction):
            shown[key] = signatures.of(image.voxels, image.affine)
        tensor = scratch / f"channel-{number}.pt"
        channels.append(Channel({key: (tensor,)}, {key: origin}, are_cut=False))
    stored.refuse_apart(channels, extractions)
    return Stored(tuple(channels), parts.of(mode, shape, regions), extractions[0].mode, shown)


def _is_registered(maps: Maps, extraction: Extraction) -> bool:
    """Return whether images on the grid of training lie in one space, so that they are comparable.

    Raw ones are on one grid too, once they are resampled, but each head lies as it lay.
    """
    grid = maps.record.image_grid
    is_raw = grids.of(extraction.preprocessing) is not None
    return grid is not None and grid.affine is not None and not is_raw


@contextmanager
def at_hand(maps: Maps, group: Group, found: Stored) -> Iterator[None]:
    """Keep the tensors of a data group where they can be read, inside the block.

    Those of a CAPS lie there; those of single images are made, and go.

    Raises
    ------
    InvalidDataError
        An image changed since it was looked at first.
    """
    if not folder.images_of(group):
        yield
        return
    (key,) = sessions.sessions_of(group.table)
    homes = {channel.files[key][0].parent for channel in found.channels}
    try:
        for home in homes:
            with files.writing(home):
                home.mkdir(mode=0o700)
        for channel, extraction in zip(found.channels, extractions_of(maps), strict=True):
            origin = channel.origins[key]
            image, _ = prepare.loaded(Path(origin.source), grids.of(extraction.preprocessing))
            if image.sha256 != origin.sha256:
                raise InvalidDataError(
                    "The image changed while it was in use", where=origin.source,
                    fix="Run the same command again",
                )  # fmt: skip
            tensors.write(channel.files[key][0], image.voxels)
        yield
    finally:
        for home in homes:
            shutil.rmtree(home, ignore_errors=True)


def _regions(maps: Maps, group: Group) -> Sequence[Mask]:
    """Return the masks of the regions that the models were trained on.

    Raises
    ------
    MissingInputError
        The CAPS that holds them is not on this machine.
    """
    home = folder.masks_of(group)
    if home is None:
        return ()
    if not home.is_dir():
        raise MissingInputError(
            "The masks of the regions are not on this machine", where=home,
            fix="Name a CAPS that holds them, in its folder masks, with --caps_directory",
        )  # fmt: skip
    return masks.read(home, _mode(maps), extractions_of(maps)[0].preprocessing)


def _refuse_other_grid(maps: Maps, image: Image, path: Path) -> None:
    """Refuse an image whose voxels are not where those of training were.

    Raises
    ------
    InvalidDataError
        So it is, or nobody knows where those were.
    """
    trained, shape = maps.record.image_grid, (1, *image.voxels.shape)
    affine = tuple(tuple(float(cell) for cell in row) for row in image.affine)
    fix = "Bring it to that grid, by the preprocessing of the images of training"
    if trained is None:
        if _mode(maps).name == IMAGE:
            # Its shape is that of the sample, which is compared where parts are cut.
            return
        raise InvalidDataError(
            "The MAPS does not say on which grid its images lay", where=names.record(maps.path),
            fix="Put the image into a CAPS, prepare it, and give --caps_directory and a table",
        )  # fmt: skip
    if shape != trained.shape:
        raise InvalidDataError(
            "The image has another size than those of training", where=path,
            found=f"{_by(shape[1:])} voxels, trained on {_by(trained.shape[1:])}", fix=fix,
        )  # fmt: skip
    if not _lies_there(affine, trained):
        there = f"voxels of {_by(trained.voxel_size or ())} mm"
        there = stored.shown(trained.affine) if trained.affine else there
        raise InvalidDataError(
            "The voxels of the image lie elsewhere than those of training", where=path,
            found=f"{stored.shown(affine)}, trained on {there}", fix=fix,
        )  # fmt: skip


def _lies_there(affine: stored.Grid, trained: ImageGrid) -> bool:
    if trained.affine is not None:
        return stored.is_near(affine, trained.affine)
    size = trained.voxel_size
    return size is None or stored.is_one_size([stored.voxel_size(affine), size])


def _by(sizes: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
