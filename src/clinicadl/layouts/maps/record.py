"""What ``maps.json`` says: the experiment, what it was made from, and by what."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from clinicadl.config import plugins
from clinicadl.config.base import Section
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.published import is_published
from clinicadl.config.read import with_settings
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError, listed
from clinicadl.layouts.files import read_json
from clinicadl.layouts.maps import moved, names
from clinicadl.layouts.maps.moved import Moved

logger = logging.getLogger(__name__)

FORMAT = "clinicadl-maps-2"
_FORMAT = "format"


class Parent(Section):
    """A MAPS whose weights came into this one, itself or through others."""

    path: str
    selection_metric: str
    train: dict[int, tuple[str, ...]]
    """Participants that its networks were fitted on, by split."""
    epochs: dict[int, tuple[int, ...]]
    """Epoch that the weights of each network are of, by split that was trained."""


class ImageGrid(Section):
    """Where the voxels of the images lay that the models were trained on."""

    shape: tuple[int, ...]
    """Of a stored image, channel first, before parts are cut and sizes are reduced."""
    affine: tuple[tuple[float, ...], ...] | None
    """Voxel to world, in mm, RAS+; None where images have one each, or nobody knows."""
    voxel_size: tuple[float, ...] | None
    """In mm, along x, y, z; None where they have several, or nobody knows."""


class Imported(Section):
    """Where a MAPS was read from that another release had written."""

    path: str
    format: str
    """Release that wrote it, as far as it says so."""
    date: str
    settings: dict[str, Any]
    """Its own record, whole."""


class Pulled(Section):
    """Where a MAPS was pulled from; who was seen is in it as hashes alone."""

    origin: str
    """Folder, file or repository."""
    sha256: str
    """Of the description that was pulled, which holds the hashes of all else."""
    date: str


class Record(Section):
    """One experiment, as it was run."""

    format: str = FORMAT
    config: ExperimentConfig
    extractions: tuple[dict[str, Any], ...]
    """Content of the extraction JSON of each channel of the input."""
    label_code: dict[str, int]
    input_shape: tuple[int, ...]
    """Shape of one sample, channel first."""
    image_grid: ImageGrid | None = None
    """None where an earlier release did not record it."""
    resolved: dict[str, Any]
    """What the machine decided: device, threads."""
    tables: dict[str, str]
    """SHA-256 of each table that was read, and of the file of first weights, by path."""
    parents: tuple[Parent, ...] = ()
    guard: tuple[dict[str, Any], ...] = ()
    """What the guard found before training."""
    loss_convention: str = "mean over samples"
    plugins: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each file of the user's that added rows to our tables, by name."""
    imported: Imported | None = None
    pulled: Pulled | None = None
    generated_by: dict[str, str]
    created: str


PACKAGES = ("clinicadl", "torch", "numpy", "pandas", "nibabel")
"""What the numbers of a result come from."""


@cache
def generated_by() -> dict[str, str]:
    """Return the versions that a result depends on."""
    import platform

    made = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return made | revision(Path(__file__).parent)


def revision(sources: Path) -> dict[str, str]:
    """Return the git revision of a folder of sources; none where git does not keep them.

    A revision with changes that were not committed ends in ``-dirty``.
    """
    import subprocess

    def git(*arguments: str) -> str | None:
        try:
            said = subprocess.run(  # noqa: S603  # our own words, and no shell
                ["git", "-C", str(sources), *arguments],  # noqa: S607  # wherever git is
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except OSError:
            return None  # there is no git
        return said.stdout.strip() if said.returncode == 0 else None

    # An environment may lie in a repository that knows nothing of what is installed in it.
    if not git("ls-files", "."):
        return {}
    found = git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return {"revision": found} if found else {}


def installed() -> str:
    """Return the installed packages, one ``name==version`` a line."""
    found = {f"{one.metadata['Name']}=={one.version}" for one in distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def read_content(maps: Path) -> dict[str, Any]:
    """Return the keys and values of the record of a MAPS of any release.

    Raises
    ------
    MissingInputError
        There is no MAPS at this path.
    InvalidDataError
        The record is no JSON.
    """
    path = names.record(maps)
    if not path.is_file():
        raise MissingInputError(
            "This is not a MAPS: it has no maps.json", where=maps, fix="Check the path"
        )
    return read_json(path, "record of the MAPS")


def read(maps: Path) -> Record:
    """Return the record of a MAPS, with the places where its data lie now; else as `sealed`.

    Raises
    ------
    InvalidDataError
        The record, or the list of moved data, was damaged.
    """
    record, since = sealed(maps), moved.read(maps)
    try:
        return record if since is None else with_places(record, since)
    except UsageError as error:
        raise InvalidDataError(
            "The list of moved data does not belong to the record", where=names.moved(maps),
            found=error.what,
            fix="Remove it, and resume with --caps_directory and --tsv_directory",
        ) from error  # fmt: skip


def with_places(record: Record, since: Moved) -> Record:
    """Return the record with the places where the data lie now.

    Raises
    ------
    UsageError
        The experiment has no such setting.
    """
    tables = {since.tables.get(path, path): digest for path, digest in record.tables.items()}
    return record.model_copy(
        update={
            "config": with_settings(record.config, since.config),
            "tables": {path: digest for path, digest in tables.items() if path is not None},
        }
    )


def sealed(maps: Path) -> Record:
    """Return the record of a MAPS, as it was written before training.

    Raises
    ------
    MissingInputError
        There is no MAPS at this path.
    InvalidDataError
        The record was damaged, or written by another release.
    UsageError
        It needs a plugin that was not named.
    """
    path, content = names.record(maps), read_content(maps)
    if content.get(_FORMAT) != FORMAT:
        raise InvalidDataError(
            "The MAPS was written by another release", where=path,
            found=content.get(_FORMAT, "release 1.x" if is_published(content) else "no format"),
            fix="Read it with: clinicadl maps import OLD_MAPS NEW_MAPS"
            if is_published(content) else f"Known here: {FORMAT}",
        )  # fmt: skip
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        needed = set(content.get("plugins") or {}) - set(plugins.loaded())
        if first["type"] == "unknown_name" and needed:
            raise UsageError(
                "The MAPS was made with a file that adds rows to our tables", where=path,
                found=listed(sorted(needed)), fix="Name it with --plugin: it is not run unasked",
            ) from error  # fmt: skip
        raise InvalidDataError(
            "The record of the MAPS is damaged", where=f"{path}, {place}", found=first["msg"]
        ) from error
    mine = plugins.loaded()
    other = [name for name, digest in record.plugins.items() if mine.get(name, digest) != digest]
    if other:
        logger.warning("%s changed since the MAPS was made: results may differ", listed(other))
    return record
