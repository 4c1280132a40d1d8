"""Where shared models lie: a folder, a zip file, or the Hugging Face hub."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.hub import hugging_face, strangers
from clinicadl.hub.strangers import Entry
from clinicadl.layouts.files import existing_folder, writing
from clinicadl.layouts.maps import names
from clinicadl.layouts.maps.shared import Shared, Stored

_HOME = Path()
DESCRIPTION, CARD = names.shared(_HOME).name, names.card(_HOME).name
_IGNORED = (".gitattributes",)
"""Files that the Hugging Face hub adds to each repository."""
_MOST_RATIO = 100
"""Times that a file of an archive may be larger than what it takes there."""
_CHUNK = 1 << 20
_TOO_LONG = "A file is longer than it says"


class Source(ABC):
    """A place from which shared models can be read, file by file."""

    where: str

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Return the files that are there, links and other oddities refused."""

    @abstractmethod
    def opened(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Give a file to be read, whose name is among the entries."""


class FolderSource(Source):
    """A folder that `push` filled."""

    def __init__(self, path: Path) -> None:
        self.path = existing_folder(path, "folder of shared models")
        self.where = str(path)

    def entries(self) -> list[Entry]:
        """Return the files below the folder.

        Raises
        ------
        InvalidDataError
            There is a link, or what is no file.
        """
        found = []
        for home, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                path = Path(home, name)
                mode = path.lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise InvalidDataError(
                        "There is a link, or what is no file", where=path, fix="Remove it"
                    )
                if stat.S_ISREG(mode):
                    size = path.lstat().st_size
                    found.append(Entry(path.relative_to(self.path).as_posix(), size))
                if len(found) > strangers.MOST_FILES:
                    return found
        return found

    def opened(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Give a file to be read."""
        return os.fdopen(os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")


class ZipSource(Source):
    """A zip file that `push` wrote."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive, self.where = archive, where

    def entries(self) -> list[Entry]:
        """Return the files of the archive.

        Raises
        ------
        InvalidDataError
            One is a link, is encrypted, or unfolds to far more than it takes.
        """
        found = []
        for one in self.archive.infolist():
            mode = one.external_attr >> 16
            odd = stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) or one.flag_bits & 1
            if odd or one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InvalidDataError(
                    "A file of the archive is a link, is encrypted, or is packed in a way that we "
                    "do not read", where=self.where, found=ascii(one.filename), fix="Do not use it",
                )  # fmt: skip
            if one.file_size > _MOST_RATIO * max(one.compress_size, 1):
                raise InvalidDataError(
                    "A file of the archive unfolds to far more than it takes", where=self.where,
                    found=f"{one.filename!a}, {one.file_size} bytes of {one.compress_size}",
                    fix="Do not use it",
                )  # fmt: skip
            if not one.is_dir():
                found.append(Entry(one.orig_filename, one.file_size))
        return found

    def opened(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Give a file to be read."""
        return self.archive.open(name)


class RepositorySource(Source):
    """A repository of the Hugging Face hub."""

    def __init__(self, name: str) -> None:
        self.where = name
        self.repository = hugging_face.Repository(name)

    def entries(self) -> list[Entry]:
        """Return the files of the repository."""
        return [Entry(*one) for one in self.repository.files() if one[0] not in _IGNORED]

    def opened(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Give a file to be read."""
        return self.repository.opened(name)


@contextmanager
def opened(source: str) -> Iterator[Source]:
    """Give the source of a name: a folder, a file, or ``hf:ORGANISATION/NAME``.

    Raises
    ------
    MissingInputError
        There is nothing.
    InvalidDataError
        The file is no zip, or is damaged.
    """
    if hugging_face.is_one(source):
        yield RepositorySource(source)
        return
    path = Path(source)
    if not path.is_file():
        yield FolderSource(path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            yield ZipSource(archive, source)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InvalidDataError(
            "The file is no zip, or is damaged", where=path, found=error, fix="Ask for it again"
        ) from error


def read(source: Source) -> tuple[Shared, bytes]:
    """Return what shared models say of themselves, and the bytes that say it; no weight is read.

    Raises
    ------
    MissingInputError
        Nothing is described there.
    InvalidDataError
        Something is refused that strangers may have made: see `strangers`.
    """
    entries = source.entries()
    strangers.refuse_names(entries, source.where)
    sizes = dict(entries)
    if DESCRIPTION not in sizes:
        raise MissingInputError(
            f"There are no shared models: {DESCRIPTION} is missing", where=source.where,
            fix="Name what clinicadl hub push made",
        )  # fmt: skip
    content = text(source, DESCRIPTION, sizes[DESCRIPTION])
    shared = strangers.described(content, f"{source.where}, {DESCRIPTION}")
    wanted = {*shared.files, DESCRIPTION, CARD}
    odd = sorted({*sizes} ^ wanted)
    if odd:
        raise InvalidDataError(
            "The files are not those that are described", where=source.where,
            found=", ".join(odd[:10]), fix="Ask for all of them, and for nothing else",
        )  # fmt: skip
    wrong = [name for name, one in shared.files.items() if one.n_bytes != sizes[name]]
    if wrong:
        raise InvalidDataError(
            "A file has another size than described", where=source.where, found=wrong[0],
            fix="Ask for it again",
        )  # fmt: skip
    return shared, content


def text(source: Source, name: str, n_bytes: int) -> bytes:
    """Return a small file.

    Raises
    ------
    InvalidDataError
        It is too large.
    """
    if n_bytes > strangers.MOST_BYTES_OF_TEXT:
        raise InvalidDataError(
            "The file is too large", where=f"{source.where}, {name}", found=f"{n_bytes} bytes",
            fix=f"At most {strangers.MOST_BYTES_OF_TEXT} are read",
        )  # fmt: skip
    with source.opened(name) as stored:
        content = stored.read(strangers.MOST_BYTES_OF_TEXT + 1)
    if len(content) > strangers.MOST_BYTES_OF_TEXT:
        raise InvalidDataError(_TOO_LONG, where=f"{source.where}, {name}")
    return content


def copy(source: Source, name: str, known: Stored, target: Path) -> None:
    """Copy a file, which must be the one that is described.

    Raises
    ------
    InvalidDataError
        It is not.
    """
    digest, n_bytes = sha256(), 0
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with source.opened(name) as old, target.open("wb") as new:
        while chunk := old.read(_CHUNK):
            n_bytes += len(chunk)
            if n_bytes > known.n_bytes:
                raise InvalidDataError(_TOO_LONG, where=f"{source.where}, {name}")
            digest.update(chunk)
            with writing(target):
                new.write(chunk)
    if n_bytes != known.n_bytes or digest.hexdigest() != known.sha256:
        raise InvalidDataError(
            "A file is not the one that is described", where=f"{source.where}, {name}",
            found=f"{n_bytes} bytes", fix="Ask for it again",
        )  # fmt: skip
