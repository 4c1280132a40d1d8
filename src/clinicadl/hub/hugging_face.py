"""Repositories of the Hugging Face hub; the only module that speaks to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from clinicadl.errors import (
    ClinicaDLError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    UsageError,
    listed,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX = "hf:"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_OURS = "ClinicaDL"
"""Organisation whose name is written in lower case as well."""
_ENDPOINT = "HF_ENDPOINT"


def is_one(place: str) -> bool:
    """Return whether a place is a repository of the Hugging Face hub."""
    return place.startswith(PREFIX)


def repository_of(place: str) -> str:
    """Return ORGANISATION/NAME of a place.

    Raises
    ------
    UsageError
        It is no such place.

    Examples
    --------
    >>> repository_of("hf:clinicadl/age")
    'ClinicaDL/age'
    """
    name = place.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise UsageError(
            "This names no repository of the Hugging Face hub", found=place,
            fix="Write hf:ORGANISATION/NAME",
        )  # fmt: skip
    organisation, _, own = name.partition("/")
    return f"{_OURS if organisation.lower() == _OURS.lower() else organisation}/{own}"


def check(place: str) -> None:
    """Refuse a repository that cannot be made: nobody is logged in, it is another's, it is there.

    Raises
    ------
    UsageError
        Nobody is logged in, or who is may not write there.
    OutputError
        There is one already.
    """
    name, api = repository_of(place), _api()
    with _said(place):
        me = api.whoami()
        mine = [me["name"], *(one["name"] for one in me.get("orgs", ()))]
        if name.partition("/")[0] not in mine:
            raise UsageError(
                "You are not a member of this organisation of the Hugging Face hub", where=place,
                found=f"you may write to {listed(mine)}", fix="Ask to be taken in, or choose one",
            )  # fmt: skip
        if api.repo_exists(name):
            raise OutputError(
                "The repository exists already", where=place, fix="Choose another name"
            )


def send(home: Path, place: str, *, public: bool) -> None:
    """Make a repository of a folder; where it cannot be filled, it goes again.

    Raises
    ------
    OutputError
        The hub refuses it, or cannot be reached.
    """
    name, api = repository_of(place), _api()
    with _said(place):
        api.create_repo(name, private=not public)
        try:
            api.upload_folder(repo_id=name, folder_path=home, commit_message="Share trained models")
        except BaseException:
            api.delete_repo(name, missing_ok=True)
            raise


class Repository:
    """A repository that is read file by file."""

    def __init__(self, place: str) -> None:
        self.place, self.name, self.api = place, repository_of(place), _api()
        with _said(place):
            found = self.api.model_info(self.name, files_metadata=True)
        # What comes later in this run is what is there now.
        self.revision = found.sha
        self.sizes = {one.rfilename: one.size or 0 for one in found.siblings or ()}

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each file."""
        yield from self.sizes.items()

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Give a file to be read, which was fetched for it; it goes with the block."""
        with TemporaryDirectory(prefix="clinicadl-") as scratch:
            with _said(self.place):
                path = self.api.hf_hub_download(
                    self.name, name, revision=self.revision, local_dir=scratch
                )
            with Path(path).open("rb") as stored:
                yield stored


def _api() -> HfApi:
    """Return what speaks to the hub.

    Raises
    ------
    MissingExtraError
        huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    disable_progress_bars()
    return HfApi(endpoint=os.environ.get(_ENDPOINT) or None, library_name="clinicadl")


@contextmanager
def _said(place: str) -> Iterator[None]:
    """Turn what the hub, or the way to it, says into one sentence; no token is in it.

    Raises
    ------
    MissingInputError
        There is no such repository, or the hub cannot be reached.
    UsageError
        Nobody is logged in.
    OutputError
        The hub refuses.
    ClinicaDLError
        As it was raised inside.
    """
    from huggingface_hub import errors

    # Of whatever library it speaks HTTP by.
    of_http = errors.HTTPError  # type: ignore[attr-defined]  # it is there, and not declared
    try:
        yield
    except ClinicaDLError:
        raise
    except errors.LocalTokenNotFoundError as error:
        raise UsageError(
            "Nobody is logged in to the Hugging Face hub", where=place, fix="Run: hf auth login"
        ) from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
        raise MissingInputError(
            "There is no such repository or file, or it is private", where=place,
            fix="Check the name; of a private one, log in by: hf auth login",
        ) from error  # fmt: skip
    except errors.HfHubHTTPError as error:
        raise OutputError(
            "The Hugging Face hub refuses", where=place,
            found=f"status {error.response.status_code}",
            fix="Check that your token may write there",
        ) from error  # fmt: skip
    except (errors.OfflineModeIsEnabled, of_http, OSError) as error:
        raise MissingInputError(
            "The Hugging Face hub cannot be reached", where=place, found=type(error).__name__,
            fix="Connect, or take a folder or a zip file",
        ) from error  # fmt: skip
