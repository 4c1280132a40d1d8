"""Whole-file writes, hashes, locks and paths that cannot leave their folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any, NoReturn

from clinicadl.errors import InvalidDataError, MissingInputError, OutputError

TEMPORARY = ".partial-"
"""Prefix of what is being written; a leftover of a killed run can be deleted at any time."""
_OURS = f"{TEMPORARY}{os.urandom(4).hex()}-"
"""Prefix of what this program writes: on another machine, or in another container, a process may
have the number of this one and write to the same folder."""

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)
"""What file systems say that have no locks, or none of folders."""
_LOOKS, _BETWEEN_LOOKS_S = 5, 0.02
"""How often a lock is asked for: who wants to know whether it is held holds it for a moment."""


@contextmanager
def whole_file(path: Path, *, durable: bool = True, former: Path | None = None) -> Iterator[Path]:
    """Give a path beside ``path`` to write to, and rename it to ``path`` when the block succeeds.

    Folders on the way are made. When the block fails, nothing is left and an old file is untouched.

    Parameters
    ----------
    path
        The file to be.
    durable
        Whether the content is on the disk before the file has its name. Without, a power cut soon
        after may leave a file that is empty or short: only for what can be told to be whole, and
        made again.
    former
        Where the old file goes once the new one is whole; it is lost when None. A process that is
        killed right then leaves the old file there, and none at ``path``.

    Raises
    ------
    OutputError
        The place cannot be written: no permission, no space, or a file where a folder should be.
    """
    temporary = _temporary(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if durable:
                flush(temporary)
            if former is not None and path.exists():
                path.replace(former)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Return when the content of a file is on the disk."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder beside ``path`` to fill, and rename it to ``path`` when the block succeeds.

    Parameters
    ----------
    path
        The folder to be.
    overwrite
        Whether an existing folder is replaced; the old one goes when the new one stands.

    Raises
    ------
    OutputError
        The folder exists and holds something, or cannot be written.
    """
    if not overwrite:
        refuse_existing(path)
    temporary = _temporary(path)
    old = path.with_name(f"{_OURS}{os.getpid()}-old-{path.name}")
    with writing(path):
        # A leftover of a killed process that had the number of this one is in nobody's way.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if path.exists():
                path.rename(old)
            temporary.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            for leftover in (temporary, old):
                shutil.rmtree(leftover, ignore_errors=True)


def remove_partial(folder: Path, *, is_deep: bool = True) -> None:
    """Remove what killed processes had half-written; for those who alone write to the folder.

    Parameters
    ----------
    folder
        What is looked into; nothing happens where there is none.
    is_deep
        Whether the folders in it are looked into as well.
    """
    pattern = f"{TEMPORARY}*"
    for leftover in [*(folder.rglob(pattern) if is_deep else folder.glob(pattern))]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_OURS}{os.getpid()}-{path.name}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing ``path`` into an `OutputError`.

    Raises
    ------
    OutputError
        No permission, no space, a read-only disk, or a file where a folder should be.
    RuntimeError
        Whatever else went wrong inside the block.
    """
    try:
        yield
    except OSError as error:
        refuse_writing(path, error)
    except RuntimeError as error:
        # torch reports a full disk as a RuntimeError of its own file writer.
        if "file write failed" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        refuse_writing(path, OSError(errno.ENOSPC, str(error).partition("\n")[0]))


def refuse_writing(path: Path, error: OSError) -> NoReturn:
    """Say why ``path`` cannot be written.

    Raises
    ------
    OutputError
        Always.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "Free some space, then run the same command again: finished work is kept"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = "Choose another place, or ask for permission to write there"
    else:
        fix = "Choose another place"
    raise OutputError(
        "The output cannot be written", where=path, found=error.strerror, fix=fix
    ) from error


def refuse_existing(path: Path) -> None:
    """Refuse a file, or a folder that holds something.

    Raises
    ------
    OutputError
        There is something at ``path``.
    """
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        refuse_writing(path, error)
    if taken:
        raise OutputError(
            "The output exists already",
            where=path,
            fix="Choose another name, or remove it if you are sure: nothing was changed",
        )


def refuse_unwritable(path: Path) -> None:
    """Refuse a place where nothing can be written, before any work is done.

    Raises
    ------
    OutputError
        The nearest existing folder above ``path`` is no folder, or forbids writing, or the name is
        too long for it.
    """
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        refuse_writing(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        refuse_writing(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    longest = os.pathconf(above, "PC_NAME_MAX")
    if len(os.fsencode(_temporary(path).name)) > longest:
        refuse_writing(path, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))


def existing_folder(path: Path, meaning: str) -> Path:
    """Return ``path`` if it is a folder that can be read.

    Raises
    ------
    MissingInputError
        It is absent, a file, or closed to us.
    """
    closed = MissingInputError(
        f"The {meaning} cannot be read", where=path, found=os.strerror(errno.EACCES),
        fix="Ask for permission to read it",
    )  # fmt: skip
    try:
        is_there = path.exists()
    except PermissionError as error:
        raise closed from error
    if not is_there:
        raise MissingInputError(f"The {meaning} does not exist", where=path, fix="Check the path")
    if not path.is_dir():
        raise MissingInputError(f"The {meaning} is not a folder", where=path, fix="Check the path")
    if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
        raise closed
    return path


def read_bytes(path: Path, meaning: str, *, most: int = -1) -> bytes:
    """Return what a file holds, or its first ``most`` bytes.

    Raises
    ------
    MissingInputError
        It is absent, a folder, or closed to us.
    """
    try:
        with path.open("rb") as content:
            return content.read(most)
    except FileNotFoundError as error:
        raise MissingInputError(
            f"The {meaning} does not exist", where=path, fix="Check the path"
        ) from error
    except OSError as error:
        raise MissingInputError(
            f"The {meaning} cannot be read", where=path, found=error.strerror
        ) from error


def status(path: Path, meaning: str) -> os.stat_result:
    """Return size and times of a file.

    Raises
    ------
    MissingInputError
        It is absent, or out of reach.
    """
    try:
        return path.stat()
    except OSError as error:
        raise MissingInputError(
            f"The {meaning} cannot be read", where=path, found=error.strerror, fix="Check the path"
        ) from error


def inside(folder: Path, *parts: str) -> Path:
    """Return ``folder`` joined with ``parts``, which must stay below it.

    Raises
    ------
    InvalidDataError
        The parts lead out of the folder.
    """
    joined = folder.joinpath(*parts)
    home, there = folder.resolve(), joined.resolve()
    if not there.is_relative_to(home) or there == home:
        raise InvalidDataError(
            "A name leads out of its folder", where=folder, found="/".join(parts),
            fix="Use names without '..' and without a leading '/'",
        )  # fmt: skip
    return joined


def below(folder: Path, *names: str) -> Path:
    """Return ``folder`` joined with names, each of one folder or file; nothing is looked up.

    Raises
    ------
    InvalidDataError
        A name is none, or holds a path.
    """
    wrong = [name for name in names if name in ("", ".", "..") or "/" in name or "\0" in name]
    if wrong:
        raise InvalidDataError(
            "A name leads out of its folder", where=folder, found=wrong[0],
            fix="Use names without '..' and without '/'",
        )  # fmt: skip
    return folder.joinpath(*names)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    """
    try:
        with path.open("rb") as content:
            return file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise MissingInputError(
            "The file cannot be read", where=path, found=error.strerror
        ) from error


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write a JSON object, whole; ``durable`` as in `whole_file`."""
    with whole_file(path, durable=durable) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, meaning: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is not JSON, or not an object.
    """
    try:
        content = json.loads(read_bytes(path, meaning).decode("utf-8-sig"))
    except ValueError as error:
        raise InvalidDataError(f"The {meaning} is not JSON", where=path, found=error) from error
    if not isinstance(content, dict):
        raise InvalidDataError(f"The {meaning} is not a JSON object", where=path)
    return content


def write_text(path: Path, content: str) -> None:
    """Write a text file, whole."""
    with whole_file(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


@contextmanager
def lock(path: Path, meaning: str, *, is_shared: bool = False) -> Iterator[None]:
    """Hold ``path`` for this process; the system lets go of it even after kill -9.

    Parameters
    ----------
    path
        A file, which is made.
    meaning
        What it stands for, for messages.
    is_shared
        Whether others who share it may hold it at the same time; else nobody may.

    Raises
    ------
    OutputError
        Another process holds it, or the file system has no locks.
    """
    with _opened(path) as handle:
        if not _is_ours(handle, path, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX):
            raise OutputError(
                f"Another process is writing to the {meaning}", where=path.parent,
                fix="Wait until it is done, or stop it",
            )  # fmt: skip
        yield


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold ``path`` if nobody does, as `lock` does, and tell the block whether this process does.

    Raises
    ------
    OutputError
        The file system has no locks, or the file cannot be made.
    """
    with _opened(path) as handle:
        yield _is_ours(handle, path, fcntl.LOCK_EX)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # On a disk of the network, to share a lock needs reading, and to have it alone writing.
        handle = path.open("a+")
    # A process that reads ahead is a fork, which would hold it when this one is gone.
    os.register_at_fork(after_in_child=handle.close)
    with handle:
        yield handle


def _is_ours(handle: IO[str], path: Path, how: int) -> bool:
    """Return whether a lock could be had."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN_LOOKS_S)
        except OSError as error:
            refuse_writing(path, error)
        else:
            return True
    return False


def is_held(path: Path) -> bool:
    """Return whether a process holds ``path`` by `lock`; nothing is written."""
    try:
        with path.open("rb") as handle:
            # Shared, and for a moment: it tells, and lets go when the file is closed.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # nobody made it, or there are no locks here
    return False


@contextmanager
def turn(folder: Path) -> Iterator[bool]:
    """Hold a folder, which is made, while others who ask for it wait; even kill -9 lets go of it.

    The block learns whether they do: where the file system has no such locks, nobody waits.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        others_wait = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                refuse_writing(folder, error)
            others_wait = False
        yield others_wait
    finally:
        os.close(handle)
