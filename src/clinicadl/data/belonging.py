"""Which stored tensors still belong to their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clinicadl.config.base import Choice
from clinicadl.config.raw import Raw
from clinicadl.data import adopted, origin, parts
from clinicadl.data.origin import Origin
from clinicadl.errors import InvalidDataError, MissingInputError, listed
from clinicadl.layouts import caps, part_files
from clinicadl.layouts.caps import Session
from clinicadl.layouts.masks import Mask


def verify(
    directory: Path, preprocessing: Choice, sessions: Sequence[Session]
) -> dict[Session, tuple[tuple[Path, ...], Origin]]:
    """Return the tensor of each session, which must still belong to its image.

    No tensor is read, and an image only if its time changed and its size did not. An image that is
    no longer there is no matter. A tensor of another program, which has no origin, is compared with
    its image.

    Parameters
    ----------
    directory
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    sessions
        Whose tensors are needed.

    Raises
    ------
    MissingInputError
        A session has no tensor; all such are named.
    InvalidDataError
        A tensor is damaged, or its image changed since; all such are named.
    """
    stored = caps.index_tensors(directory, preprocessing, sessions)
    _refuse_absent(directory, preprocessing, stored, sessions)
    known: dict[Session, tuple[tuple[Path, ...], Origin]] = {}
    is_raw = isinstance(preprocessing, Raw)
    # No other program stores tensors of raw images: without an origin they are unfinished.
    foreign = {key: found for key, found in stored.items() if not (is_raw or found.origin.exists())}
    wrong: dict[Session, str] = {}
    if foreign:
        known, wrong = adopted.of_images(directory, preprocessing, foreign)
    for key in sessions:
        if key in foreign:
            continue
        made_from = origin.of(stored[key])
        if made_from is None:
            wrong[key] = "incomplete"
        elif reason := _reason(directory, preprocessing, made_from):
            wrong[key] = reason
        else:
            known[key] = (stored[key].tensor,), made_from
    _refuse_wrong(directory, preprocessing, wrong, sessions)
    return known


def verify_parts(
    directory: Path,
    preprocessing: Choice,
    sessions: Sequence[Session],
    *,
    mode: Choice,
    masks: Sequence[Mask] = (),
) -> dict[Session, tuple[tuple[Path, ...], Origin]]:
    """Return the stored parts of each session, which must still belong to its image and masks.

    Parameters
    ----------
    directory
        The CAPS.
    preprocessing
        Row of `PREPROCESSINGS`.
    sessions
        Whose parts are needed.
    mode
        Row of `MODES`.
    masks
        What `layouts.masks.read` found for the mode.

    Returns
    -------
    The tensors in the order of the parts, and what they were made from.

    Raises
    ------
    MissingInputError
        A session has no stored parts; all such are named.
    InvalidDataError
        A part is absent or damaged, or image or mask changed since; all such sessions are named.
    """
    stored = part_files.index_parts(directory, preprocessing, sessions, mode.name)
    is_raw = isinstance(preprocessing, Raw)
    unclaimed = [key for key in sessions if not (is_raw or key in stored)]
    known: dict[Session, tuple[tuple[Path, ...], Origin]] = {}
    wrong: dict[Session, str] = {}
    if unclaimed:
        known, wrong = adopted.of_parts(directory, preprocessing, unclaimed, mode=mode, masks=masks)
    _refuse_absent(directory, preprocessing, {**stored, **known, **wrong}, sessions)
    for key in sessions:
        if key not in stored:
            continue
        home = stored[key]
        made_from = origin.of_parts(home)
        wanted = None if made_from is None else parts.of(mode, made_from.shape, masks)
        if made_from is None or wanted is None or not set(wanted.names) <= made_from.parts.keys():
            wrong[key] = "incomplete"
        elif origin.missing(made_from, wanted):
            wrong[key] = "a mask changed"
        elif reason := _reason(directory, preprocessing, made_from):
            wrong[key] = reason
        else:
            paths = tuple(part_files.part_tensor(home, name) for name in wanted.names)
            known[key] = paths, made_from
    _refuse_wrong(directory, preprocessing, wrong, sessions)
    return known


def _refuse_absent(
    directory: Path,
    preprocessing: Choice,
    stored: Mapping[Session, object],
    sessions: Sequence[Session],
) -> None:
    absent = [key for key in sessions if key not in stored]
    if absent:
        raise MissingInputError(
            f"{len(absent)} of {len(sessions)} sessions have no tensor", where=directory,
            found=listed(" | ".join(key) for key in absent),
            fix=f"Run {_command(preprocessing)}, or leave them out of the table",
        )  # fmt: skip


def _refuse_wrong(
    directory: Path,
    preprocessing: Choice,
    wrong: Mapping[Session, str],
    sessions: Sequence[Session],
) -> None:
    if wrong:
        raise InvalidDataError(
            f"{len(wrong)} of {len(sessions)} tensors do not belong to their images",
            where=directory,
            found=listed(f"{' | '.join(key)} ({reason})" for key, reason in wrong.items()),
            fix=f"Run {_command(preprocessing)} again: it makes these anew, and no others",
        )


def _command(preprocessing: Choice) -> str:
    return "prepare-data-from-bids" if isinstance(preprocessing, Raw) else "prepare-data"


def _reason(directory: Path, preprocessing: Choice, made_from: Origin) -> str:
    """Return why a tensor is not that of its image any more; nothing where it is."""
    if caps.is_own(made_from.source) == isinstance(preprocessing, Raw):
        return f"made from {made_from.source}"
    source = directory / made_from.source
    try:
        now = source.stat()
    except OSError:
        # Gone, or out of reach: the tensor stands for it.
        return ""
    return "" if origin.is_unchanged(made_from, source, now) else "the image changed"
