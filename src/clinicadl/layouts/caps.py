"""CAPS: which images it holds, and where their tensors and extraction descriptions lie."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clinicadl.config.base import Choice, from_table
from clinicadl.config.mode import MODES, MODES_GROUP
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.config.raw import RAW, RAW_GROUP, Raw
from clinicadl.config.read import settings
from clinicadl.errors import (
    InvalidDataError,
    MissingInputError,
    OutputError,
    UsageError,
    listed,
)
from clinicadl.layouts import naming
from clinicadl.layouts.files import (
    below,
    existing_folder,
    inside,
    read_json,
    turn,
    write_json,
    writing,
)
from clinicadl.layouts.images import SUFFIXES

logger = logging.getLogger(__name__)

SUBJECTS = "subjects"
TENSORS = "deeplearning_prepare_data"
EXTRACTIONS = "tensor_extraction"
_SOURCE, _BIDS = "source", "bids"
"""What the extraction JSON of raw images says of where they lie."""

Session = tuple[str, str]
"""(participant, session), as in ``("sub-01", "ses-M000")``."""

_RUN = re.compile(r"_run-(\d+)")
_OWN_KEYS = ("extract_json", "file_type", "masks_location")
"""What two extractions may say otherwise and still be the same."""


class StoredImage(NamedTuple):
    """One image of a CAPS."""

    participant: str
    session: str
    path: Path


def check_target(caps: Path, *, holds: Collection[str]) -> Path:
    """Return ``caps`` if it is a CAPS, or can become one.

    Parameters
    ----------
    caps
        A CAPS, or a folder that is absent or empty.
    holds
        Names of the folders that a CAPS may have before it has images.

    Raises
    ------
    MissingInputError
        It is a file, or closed to us.
    InvalidDataError
        It is a BIDS data set, or another folder.
    """
    if not caps.exists() or (
        existing_folder(caps, "CAPS")
        and {entry.name for entry in _entries(str(caps))} <= {EXTRACTIONS, *holds}
    ):
        return caps
    return check(caps)


def check(caps: Path) -> Path:
    """Return ``caps`` if it is a CAPS; an empty folder is one.

    Raises
    ------
    MissingInputError
        It does not exist or is closed to us.
    InvalidDataError
        It is a BIDS data set, or has no ``subjects`` folder.
    """
    existing_folder(caps, "CAPS")
    entries = _entries(str(caps))
    names = {entry.name for entry in entries}
    if any(entry.name.startswith("sub-") and entry.is_dir() for entry in entries):
        raise InvalidDataError(
            "This is a BIDS data set, not a CAPS", where=caps,
            fix="Give the CAPS, the folder that holds a folder named subjects",
        )  # fmt: skip
    if names and SUBJECTS not in names:
        raise InvalidDataError(
            "This is not a CAPS: it has no folder named subjects", where=caps,
            fix="Check the path; to make it one, add an empty folder of this name",
        )  # fmt: skip
    return caps


def index(
    caps: Path, preprocessing: Choice, *, only: Collection[Session] | None = None
) -> dict[Session, StoredImage]:
    """Return the image of each session that has one, in one walk of the folders.

    Several images that differ in ``run-<n>`` alone count as the last run.

    Parameters
    ----------
    caps
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    only
        Sessions that are looked at (default: all).

    Returns
    -------
    (participant, session) -> image, sorted.

    Raises
    ------
    MissingInputError
        A folder cannot be read.
    InvalidDataError
        This is no CAPS, or a session has several images that match; all such are named.
    """
    check(caps)
    wanted, where = naming.paths(preprocessing), naming.folder(preprocessing)
    looked_at = None if only is None else set(only)
    found: dict[Session, list[Path]] = {}
    for participant, session, home in _sessions(caps):
        if looked_at is None or (participant, session) in looked_at:
            names = [name for name in _files_below(home, where) if wanted.match(name)]
            if names:
                found[participant, session] = [Path(home, name) for name in names]
    several = sorted(key for key, paths in found.items() if len(paths) > 1)
    _refuse_ambiguous({key: found[key] for key in several}, caps)
    if several:
        logger.warning(
            "%d sessions have several runs, of which the last is taken: %s",
            len(several), listed(" | ".join(key) for key in several),
        )  # fmt: skip
    return {key: StoredImage(*key, max(found[key], key=_run)) for key in sorted(found)}


def sessions(caps: Path) -> list[Session]:
    """Return every session that has a folder in a CAPS, sorted.

    Raises
    ------
    MissingInputError
        A folder cannot be read.
    InvalidDataError
        This is no CAPS.
    """
    check(caps)
    return sorted((participant, session) for participant, session, _ in _sessions(caps))


def _sessions(caps: Path) -> Iterator[tuple[str, str, str]]:
    for participant in _entries(str(caps / SUBJECTS)):
        if participant.name.startswith("sub-") and participant.is_dir():
            for session in _entries(participant.path):
                if session.name.startswith("ses-") and session.is_dir():
                    yield participant.name, session.name, session.path


def _entries(home: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(home) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        # No such folder holds nothing.
        return []
    except OSError as error:
        raise MissingInputError(
            "A folder of the CAPS cannot be read", where=home, found=error.strerror,
            fix="Ask for permission to read it",
        ) from error  # fmt: skip


def _files_below(home: str, where: str) -> Iterator[str]:
    """Yield the images below one folder of a session, as paths relative to the session."""
    return _files(f"{home}/{where}", f"{where}/") if where else _files(home, "")


def _files(home: str, prefix: str) -> Iterator[str]:
    for entry in _entries(home):
        if entry.is_dir():
            if entry.name != TENSORS:
                yield from _files(entry.path, f"{prefix}{entry.name}/")
        elif entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
            yield prefix + entry.name


def _refuse_ambiguous(several: Mapping[Session, list[Path]], caps: Path) -> None:
    wrong = {
        key: sorted(path.name for path in paths)
        for key, paths in several.items()
        if len({(path.parent, _RUN.sub("", path.name)) for path in paths}) > 1
    }
    if wrong:
        raise InvalidDataError(
            f"Several images match in {len(wrong)} session{'s' if len(wrong) > 1 else ''}",
            where=caps,
            found=listed(f"({' | '.join(key)}): {listed(names)}" for key, names in wrong.items()),
            fix="Keep one a session, make the suffix longer, or leave the sessions out",
        )


def _run(path: Path) -> tuple[int, str]:
    match = _RUN.search(path.name)
    return (int(match.group(1)) if match else 0), path.name


def select(
    images: Mapping[Session, StoredImage], sessions: Iterable[Session], *, where: Path
) -> list[StoredImage]:
    """Return the image of each session, in the order of ``sessions``.

    Raises
    ------
    MissingInputError
        A session has no image; all such are named.
    """
    wanted = list(sessions)
    missing = [f"({participant} | {session})" for participant, session in wanted
               if (participant, session) not in images]  # fmt: skip
    if missing:
        raise MissingInputError(
            f"{len(missing)} of {len(wanted)} sessions have no image",
            where=where,
            found=listed(missing),
            fix="Make these images, or give a table without them",
        )
    return [images[key] for key in wanted]


def group_template(caps: Path, label: str) -> Path:
    """Return the template that t1-volume made for a group.

    Raises
    ------
    MissingInputError
        There is none; the known groups are given.
    """
    name = f"group-{label}"
    path = below(caps / "groups", name, "t1", f"{name}_template.nii.gz")
    if not path.is_file():
        groups = sorted(entry.name for entry in _entries(str(caps / "groups")) if entry.is_dir())
        raise MissingInputError(
            "The group has no template", where=path, found=f"groups {listed(groups) or 'none'}",
            fix="Check GROUP_LABEL, which is the name without group-",
        )  # fmt: skip
    return path


class ImageTensor(NamedTuple):
    """Where the tensor of an image lies, and the file that ties it to its source."""

    tensor: Path
    origin: Path


def image_tensor(caps: Path, image: StoredImage, preprocessing: Choice) -> ImageTensor:
    """Return the paths of the tensor of a whole image.

    Raises
    ------
    InvalidDataError
        A name leads out of the CAPS.
    """
    home = tensor_home(caps, (image.participant, image.session), preprocessing, "image")
    path = home / f"{naming.tensor_stem(image.path, preprocessing)}.pt"
    return ImageTensor(path, path.with_suffix(".json"))


def is_own(source: str) -> bool:
    """Return whether the image that an origin names is one of the CAPS, not of a BIDS data set."""
    return source.startswith(f"{SUBJECTS}/")


def tensor_home(caps: Path, session: Session, preprocessing: Choice, mode: str) -> Path:
    """Return the folder of what is made of a session's image in a mode.

    Raises
    ------
    InvalidDataError
        A name leads out of the CAPS.
    """
    # Links are followed, as they are to the image: a CAPS may be made of links into another.
    based = (TENSORS, f"{mode}_based", naming.tensor_folder(preprocessing))
    return below(caps / SUBJECTS, *session, *based)


def index_tensors(
    caps: Path, preprocessing: Choice, sessions: Iterable[Session]
) -> dict[Session, ImageTensor]:
    """Return the whole-image tensor of each of these sessions that has one.

    The image itself need not be there any more: a tensor is known by its name.

    Raises
    ------
    InvalidDataError
        A session has several.
    """
    found = index_made(caps, preprocessing, sessions, "image", ".pt")
    return {key: ImageTensor(path, path.with_suffix(".json")) for key, path in found.items()}


def index_made(
    caps: Path, preprocessing: Choice, sessions: Iterable[Session], mode: str, ending: str
) -> dict[Session, Path]:
    """Return the file of each session that is named like its image but for the ending.

    The image itself need not be there any more.

    Raises
    ------
    InvalidDataError
        A session has several.
    """
    check(caps)
    found: dict[Session, Path] = {}
    for key in sessions:
        home = tensor_home(caps, key, preprocessing, mode)
        names = [
            one.name
            for one in _entries(str(home))
            if naming.is_made_of(preprocessing, one.name, ending)
        ]
        if len(names) > 1:
            raise InvalidDataError(
                "Several tensors match", where=" | ".join(key),
                found=listed(sorted(names)), fix="Keep one, or make the suffix longer",
            )  # fmt: skip
        if names:
            found[key] = home / names[0]
    return found


class Extraction(NamedTuple):
    """What an extraction JSON says."""

    path: Path
    mode: str
    preprocessing: Choice
    content: dict[str, Any]

    @property
    def stores_parts(self) -> bool:
        """Whether the parts have tensors of their own, and not the images."""
        return bool(self.content.get("prepare_dl")) and self.mode != "image"


def extraction_path(caps: Path, name: str) -> Path:
    """Return where the extraction JSON of this name lies.

    Raises
    ------
    InvalidDataError
        The name leads out of the CAPS.
    """
    return inside(caps / EXTRACTIONS, name if name.endswith(".json") else f"{name}.json")


def failures(extraction: Path, shard: tuple[int, int] | None = None) -> Path:
    """Return the table of images that failed, beside an extraction JSON; one a shard (K, N)."""
    of_shard = f"_shard-{shard[0]}of{shard[1]}" if shard else ""
    return extraction.with_name(f"{extraction.stem}{of_shard}_failed.tsv")


def jobs_folder(extraction: Path) -> Path:
    """Return where jobs have their logs, beside the extraction JSON that they make."""
    return extraction.with_name(f"{extraction.stem}_jobs")


def extraction_content(
    path: Path, preprocessing: Choice, *, mode: str, parts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what an extraction JSON says, under the published keys.

    Parameters
    ----------
    path
        The file.
    preprocessing
        Which images were taken.
    mode
        What was made of them.
    parts
        The keys of the mode.
    """
    row = preprocessing.model_dump(mode="json", exclude_none=True)
    return {
        "preprocessing": row.pop("name"),
        **({_SOURCE: _BIDS} if isinstance(preprocessing, Raw) else {}),
        "mode": mode,
        "use_uncropped_image": row.pop("use_uncropped_image", None),
        "prepare_dl": False,
        "extract_json": path.name,
        "file_type": {
            "pattern": naming.pattern(preprocessing),
            "description": f"image of {preprocessing.name}",
        },
        **row,
        **(parts or {}),
    }


def refuse_other_extraction(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse to describe another extraction under a name that is taken.

    The same description is no conflict: the run then makes what is missing.

    Raises
    ------
    OutputError
        The file exists and says something else.
    """
    with writing(path):
        is_taken = path.exists()
    if is_taken and read_json(path, "extraction JSON") != content:
        raise OutputError(
            "An extraction JSON of this name describes another extraction", where=path,
            fix="Choose another name with --extract_json",
        )  # fmt: skip


def write_extraction(path: Path, content: Mapping[str, Any]) -> None:
    """Write an extraction JSON, whole; one that says the same is left alone.

    Raises
    ------
    OutputError
        The file exists and says something else, or cannot be written.
    """
    with turn(path.parent):
        refuse_other_extraction(path, content)
        if not path.exists():
            write_json(path, content)


def holds_extraction(caps: Path, given: str) -> bool:
    """Return whether a path, or a name in the CAPS, is an extraction JSON that is there.

    Raises
    ------
    MissingInputError
        The CAPS does not exist, or is closed to us.
    InvalidDataError
        This is no CAPS, or the name leads out of it.
    """
    check(caps)
    return Path(given).is_file() or extraction_path(caps, given).is_file()


def is_same(one: Extraction, other: Extraction) -> bool:
    """Return whether two extractions say the same, whatever their names and descriptions."""
    ours, theirs = (
        {key: value for key, value in some.content.items() if key not in _OWN_KEYS}
        for some in (one, other)
    )
    return ours == theirs


def read_extraction(caps: Path, given: str) -> Extraction:
    """Return the extraction that a path, or a name in the CAPS, stands for.

    Raises
    ------
    MissingInputError
        There is no such file; the known names are given.
    InvalidDataError
        The file is no extraction JSON.
    """
    check(caps)
    path = Path(given)
    if not path.is_file():
        path = extraction_path(caps, given)
    if not path.is_file():
        known = sorted(
            entry.name
            for entry in _entries(str(caps / EXTRACTIONS))
            if entry.name.endswith(".json") and not entry.name.startswith(".")
        )
        raise MissingInputError(
            "The extraction JSON does not exist", where=caps / EXTRACTIONS, found=given,
            fix=f"Known there: {listed(known)}" if known else "Run prepare-data first",
        )  # fmt: skip
    content = read_json(path, "extraction JSON")
    return parse_extraction(content, path)


def parse_extraction(content: dict[str, Any], path: Path) -> Extraction:
    """Return what the content of an extraction JSON means.

    Parameters
    ----------
    content
        Its keys and values.
    path
        The file that holds them, for messages.

    Raises
    ------
    InvalidDataError
        A key is absent or wrong.
    """
    absent = [key for key in ("preprocessing", "mode") if not isinstance(content.get(key), str)]
    if absent:
        raise InvalidDataError("The extraction JSON lacks a key", where=path, found=listed(absent))
    return Extraction(path, content["mode"], _preprocessing(content, path), content)


def _preprocessing(content: Mapping[str, Any], path: Path) -> Choice:
    name = content["preprocessing"]
    rows: Mapping[str, type[Choice]] = PREPROCESSINGS
    if content.get(_SOURCE) == _BIDS:
        rows = from_table(RAW, RAW_GROUP).all_rows()
    row = rows.get(name)
    if row is None:
        raise InvalidDataError(
            "The preprocessing is not known", where=path, found=name, fix=f"Known: {listed(rows)}"
        )
    # Older files say acq_label for the tracer, and may name custom images by their pattern alone.
    described = content.get("file_type")
    pattern = described.get("pattern") if isinstance(described, dict) else None
    older = {"tracer": content.get("acq_label"), "custom_suffix": pattern}
    said = {key: value for key, value in content.items() if value is not None}
    return _row(row, name, {**older, **said}, path)


def mode_settings(extraction: Extraction) -> Choice:
    """Return the mode of an extraction, with its settings: a row of `MODES`.

    What older files do not say is at its default.

    Raises
    ------
    InvalidDataError
        The mode is not known, or a setting is wrong.
    """
    content, rows = dict(extraction.content), from_table(MODES, MODES_GROUP).all_rows()
    if extraction.mode not in rows:
        raise InvalidDataError(
            "The mode is not known", where=extraction.path, found=extraction.mode,
            fix=f"Known: {listed(rows)}; another one comes with the package that declares it",
        )  # fmt: skip
    if isinstance(content.get("discarded_slices"), int):
        content["discarded_slices"] = [content["discarded_slices"]] * 2
    return _row(rows[extraction.mode], extraction.mode, content, extraction.path)


def _row(row: type[Choice], name: str, content: Mapping[str, Any], path: Path) -> Choice:
    given = {key: content[key] for key in row.model_fields if content.get(key) is not None}
    try:
        return settings(row, {**given, "name": name})
    except UsageError as error:
        raise InvalidDataError(error.what, where=path, found=error.found, fix=error.fix) from error
