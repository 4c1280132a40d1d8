"""Create and open a MAPS; write and read its groups and results."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.errors import (
    MissingInputError,
    OutputError,
    UsageError,
    listed,
)
from clinicadl.layouts.files import (
    existing_folder,
    is_held,
    lock,
    read_bytes,
    read_json,
    refuse_unwritable,
    remove_partial,
    turn,
    whole_folder,
    write_json,
    write_text,
    writing,
)
from clinicadl.layouts.maps import hashes, hidden, moved, names, signatures
from clinicadl.layouts.maps.hidden import Hidden
from clinicadl.layouts.maps.record import Record, installed, read
from clinicadl.layouts.maps.signatures import SeenSignatures, Signatures

_CAPS_OF, _HASHES = "caps_of_cohort", "image_sha256"
_IMAGES, _MASKS = "images", "caps_of_masks"


class Maps(NamedTuple):
    """A MAPS on disk."""

    path: Path
    record: Record


class Group(NamedTuple):
    """Who is in a data group, and where its images and table came from."""

    table: pd.DataFrame
    origin: dict[str, Any]


def create(
    path: Path,
    record: Record,
    *,
    seen: pd.DataFrame,
    groups: Mapping[tuple[str, int], pd.DataFrame],
    origin: Mapping[str, Any],
    layers: str,
    shown: SeenSignatures | None = None,
    unnamed: Sequence[Hidden] = (),
) -> Maps:
    """Make a MAPS, whole or not at all.

    Parameters
    ----------
    path
        Absent or an empty folder.
    record
        The experiment.
    seen
        Everybody that the models will have seen; see `names.seen`.
    groups
        (train or validation, split) -> its table.
    origin
        Where the groups came from.
    layers
        Printout of the network.
    shown
        What the images show that the models will have seen.
    unnamed
        Whom they will have seen besides, and nobody knows by name.

    Raises
    ------
    OutputError
        There is something at ``path``, or it cannot be written.
    """
    defined: dict[tuple[str, int | None], Group] = {
        key: Group(table, dict(origin)) for key, table in groups.items()
    }
    with whole_folder(path) as folder:
        fill(
            folder, record, seen=seen, groups=defined, environment=installed(),
            information=_information(path, record, layers), shown=shown, unnamed=unnamed,
        )  # fmt: skip
    return Maps(path, record)


def fill(
    folder: Path,
    record: Record,
    *,
    seen: pd.DataFrame,
    groups: Mapping[tuple[str, int | None], Group],
    environment: str,
    information: str,
    shown: SeenSignatures | None = None,
    unnamed: Sequence[Hidden] = (),
) -> None:
    """Write what a MAPS says of itself into an empty folder.

    Parameters
    ----------
    folder
        The MAPS to be.
    record
        The experiment.
    seen
        Everybody that the models will have seen; see `names.seen`.
    groups
        (name, split) -> who is in it.
    environment
        The installed packages.
    information
        Date, path and layers.
    shown
        What the images show that the models will have seen.
    unnamed
        Whom they will have seen besides, and nobody knows by name.
    """
    write_text(names.record(folder), record.model_dump_json(indent=2) + "\n")
    write_text(names.environment(folder), environment)
    write_text(names.information(folder), information)
    names.seen(folder).parent.mkdir()
    write_table(names.seen(folder), seen)
    if shown:
        signatures.write(names.seen_signatures(folder), shown)
    if unnamed:
        hidden.write(folder, unnamed)
    for (name, split), group in groups.items():
        _write_group(names.group(folder, name, split), group.table, group.origin)
    hashes.seal_maps(folder)


def _information(path: Path, record: Record, layers: str) -> str:
    date = datetime.fromisoformat(record.created).strftime("%d %b %Y, %H:%M:%S")
    return f"- Date :\t{date}\n\n- Path :\t{path}\n\n- Model :\t{layers}\n"


def open_maps(path: Path) -> Maps:
    """Return the MAPS at ``path``.

    Raises
    ------
    MissingInputError
        There is none.
    InvalidDataError
        Its record is damaged.
    """
    return Maps(path, read(existing_folder(path, "MAPS")))


def refuse_read_only(maps: Path, *folders: Path) -> None:
    """Refuse a MAPS into which nothing can be written, before any work is done.

    Parameters
    ----------
    maps
        The MAPS.
    folders
        Folders in it that are to be made, or replaced.

    Raises
    ------
    OutputError
        It, or what is above one of the folders, forbids writing.
    """
    try:
        for path in (names.lock(maps), *folders):
            refuse_unwritable(path)
    except OutputError as error:
        raise OutputError(
            "The MAPS cannot be written, and what is computed is written into it", where=maps,
            found=error.found, fix="Ask for permission, or copy the MAPS and go on with the copy",
        ) from error  # fmt: skip


@contextmanager
def held(maps: Path) -> Iterator[None]:
    """Keep other processes from writing to a MAPS; what a killed one had half-written goes.

    Raises
    ------
    OutputError
        Another process writes to it.
    """
    with lock(names.lock(maps), "MAPS"):
        remove_partial(maps)
        yield


@contextmanager
def shared(maps: Path) -> Iterator[None]:
    """Keep those from writing to a MAPS who want it alone; others may train their splits.

    What a killed process had half-written goes, but for that in the folders of splits, which is
    left to those who train them. Whoever writes outside of these folders and the groups meanwhile
    does so in its turn.

    Raises
    ------
    OutputError
        Another process has it alone.
    """
    with lock(names.lock(maps), "MAPS", is_shared=True):
        with turn(maps) as others_wait:
            if others_wait:
                remove_partial(maps, is_deep=False)
                remove_partial(names.groups(maps))
        yield


def check_group_name(name: str, *, what: str = "a data group") -> None:
    """Refuse a name that cannot be a folder.

    Parameters
    ----------
    name
        The name.
    what
        What it shall name, for the message.

    Raises
    ------
    UsageError
        It is empty, starts with a dot, or holds a slash or a blank.
    """
    allowed = name.replace("_", "").replace("-", "").replace(".", "").replace("+", "")
    if not allowed.isalnum() or name.startswith("."):
        raise UsageError(
            f"This cannot name {what}", found=name,
            fix="Use letters, digits, '-' and '_'",
        )  # fmt: skip


def has_group(maps: Path, name: str) -> bool:
    """Return whether a data group is defined."""
    return names.group_table(names.group(maps, name)).exists()


def read_group(maps: Path, name: str, split: int | None = None) -> Group:
    """Return a data group, whose images lie where they were moved to.

    Raises
    ------
    MissingInputError
        It is not defined; the known ones are named.
    """
    folder = names.group(maps, name, split)
    if not names.group_table(folder).exists():
        known = sorted(path.parent.name for path in maps.glob("groups/*/data.tsv"))
        raise MissingInputError(
            "The data group is not defined", where=maps, found=name,
            fix=f"Known: {listed(known) or 'none'}; a new one needs --caps_directory and "
            "--participants_tsv",
        )  # fmt: skip
    table = pd.read_csv(names.group_table(folder), sep="\t", dtype=str)
    origin = read_json(names.group_origin(folder), "origin of the data group")
    since = moved.read(maps)
    if since is not None and _CAPS_OF in origin:
        then = origin[_CAPS_OF]
        origin[_CAPS_OF] = {cohort: since.caps.get(path, path) for cohort, path in then.items()}
    return Group(table, origin)


def is_same_group(maps: Path, name: str, split: int, table: pd.DataFrame) -> bool:
    """Return whether a data group of a split is the one that was defined, row by row.

    Raises
    ------
    MissingInputError
        Its table is gone.
    """
    path = names.group_table(names.group(maps, name, split))
    return read_bytes(path, "table of the data group").decode() == _as_text(table)


def write_group(
    maps: Path,
    name: str,
    table: pd.DataFrame,
    origin: Mapping[str, Any],
    *,
    overwrite: bool,
    shown: Signatures | None = None,
) -> None:
    """Define a data group; with ``overwrite`` its former results go with its former definition.

    Parameters
    ----------
    maps
        The MAPS.
    name
        Of the group.
    table
        Who is in it.
    origin
        Where it came from.
    overwrite
        Whether a former definition is replaced.
    shown
        What its images show.

    Raises
    ------
    OutputError
        It is defined already, or cannot be written.
    """
    with whole_folder(names.group(maps, name), overwrite=overwrite) as folder:
        if shown:
            folder.mkdir(parents=True, exist_ok=True)
            signatures.write(names.group_signatures(folder), {"": shown})
        _write_group(folder, table, origin)
    for split in (*names.split_numbers(maps), None):
        for metric in names.selection_metrics(maps, split):
            # Results of the former definition would pass as results of the new one.
            shutil.rmtree(names.results(maps, split, metric, name), ignore_errors=True)


def group_origin(
    caps_directory: Path, caps_of: Mapping[str, Path], *, is_multi: bool
) -> dict[str, Any]:
    """Return what a data group says of its images.

    Parameters
    ----------
    caps_directory
        As it was given: a CAPS, or the table of those of several cohorts.
    caps_of
        Cohort -> CAPS.
    is_multi
        Whether several cohorts were given.
    """
    return {
        "caps_directory": str(caps_directory.absolute()),
        "multi_cohort": is_multi,
        _CAPS_OF: {cohort: str(path.absolute()) for cohort, path in caps_of.items()},
    }


def image_origin(images: Iterable[Path], masks: Path | None) -> dict[str, Any]:
    """Return what a data group says of itself that is one session, and no CAPS.

    Parameters
    ----------
    images
        One a channel.
    masks
        The CAPS that holds the masks of regions, where there are regions.
    """
    paths = [str(path.absolute()) for path in images]
    home = None if masks is None else str(masks.absolute())
    return {_IMAGES: paths, _MASKS: home, _CAPS_OF: {}}


def images_of(group: Group) -> tuple[Path, ...]:
    """Return the images of a data group of one session that is in no CAPS; none of any other."""
    return tuple(Path(path) for path in group.origin.get(_IMAGES, ()))


def masks_of(group: Group) -> Path | None:
    """Return the CAPS that holds the masks of such a group."""
    given = group.origin.get(_MASKS)
    return None if given is None else Path(given)


def caps_of(group: Group) -> dict[str, Path]:
    """Return cohort -> CAPS of a data group."""
    return {cohort: Path(path) for cohort, path in group.origin[_CAPS_OF].items()}


def with_hashes(group: Group, of_images: Mapping[tuple[str, str], str]) -> Group:
    """Return a data group that knows the hashes of its images."""
    known = {" | ".join(key): digest for key, digest in of_images.items()}
    return Group(group.table, {**group.origin, _HASHES: known})


def image_hashes(group: Group) -> dict[tuple[str, str], str]:
    """Return the hashes of the images of a data group, as far as they were known."""
    known = {
        tuple(key.split(" | ")): digest for key, digest in group.origin.get(_HASHES, {}).items()
    }
    return {(key[0], key[1]): digest for key, digest in known.items()}


def _write_group(folder: Path, table: pd.DataFrame, origin: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_table(names.group_table(folder), table)
    write_json(names.group_origin(folder), origin)
    hashes.seal(folder)


def read_seen(maps: Path) -> pd.DataFrame:
    """Return everybody that the models have seen, all cells as text."""
    return pd.read_csv(names.seen(maps), sep="\t", dtype=str, keep_default_na=False)


def write_training_log(
    maps: Path, split: int, rows: pd.DataFrame, network: int | None = None
) -> None:
    """Write the metrics of a network by epoch, whole."""
    write_table(names.training_log(maps, split, network), rows)


def is_unfinished(maps: Path, split: int) -> bool:
    """Return whether the training of a split was begun and not ended."""
    return names.unfinished(maps, split).is_dir()


def is_running(maps: Path, split: int) -> bool:
    """Return whether a process is training a split at this moment."""
    return is_held(names.split_lock(maps, split))


@contextmanager
def training(maps: Path, split: int) -> Iterator[None]:
    """Mark a split as running inside of the block; what a killed process had half-written goes.

    Raises
    ------
    OutputError
        Another process trains it, or it cannot be written.
    """
    with lock(names.split_lock(maps, split), f"MAPS, to its split {split}"):
        for place in (names.split(maps, split), *names.profiles(maps, split)):
            remove_partial(place)
        yield


def refuse_running(maps: Path, splits: Iterable[int]) -> None:
    """Refuse splits that a process is training at this moment.

    Raises
    ------
    OutputError
        There are some.
    """
    running = [split for split in splits if is_running(maps, split)]
    if running:
        raise OutputError(
            "Another process is writing to the MAPS: it trains one of these splits", where=maps,
            found=f"split {listed(running)}",
            fix="Wait until it is done, stop it, or choose other splits with --split",
        )  # fmt: skip


def begin(maps: Path, split: int) -> None:
    """Mark a split as begun, until `finish`.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    with writing(names.unfinished(maps, split)):
        names.unfinished(maps, split).mkdir(parents=True, exist_ok=True)


def finish(maps: Path, split: int) -> None:
    """Record what a split has become, and remove what it needed only while it was trained."""
    hashes.seal_split(maps, split)
    shutil.rmtree(names.unfinished(maps, split))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole, as every table of a MAPS is written: numbers with all their digits."""
    write_text(path, _as_text(table))


def _as_text(table: pd.DataFrame) -> str:
    return str(table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n"))
