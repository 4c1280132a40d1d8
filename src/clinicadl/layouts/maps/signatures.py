"""What a MAPS keeps of the images that were seen, so that it knows them without them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from clinicadl.errors import InvalidDataError
from clinicadl.layouts.files import whole_file
from clinicadl.layouts.signatures import KIND, Signature, n_places

Signatures = Mapping[tuple[str, str], Signature]
"""(participant, session) -> what the image shows."""
SeenSignatures = Mapping[str, Signatures]
"""Who saw the images, nobody for this MAPS -> what they show."""


def write(path: Path, shown: SeenSignatures) -> None:
    """Write signatures, whole; there is one at least."""
    rows = [(who, *key, *one) for who, some in shown.items() for key, one in some.items()]
    seen_by, participants, sessions, values, contents = zip(*rows, strict=True)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            kind=np.array(KIND),
            seen_by=np.array(seen_by, dtype=np.str_),
            participant_id=np.array(participants, dtype=np.str_),
            session_id=np.array(sessions, dtype=np.str_),
            content=np.array(contents, dtype=np.str_),
            values=np.stack(values),
        )


def read(path: Path) -> dict[str, dict[tuple[str, str], Signature]]:
    """Return signatures; none where no file is there, or one of another kind.

    Raises
    ------
    InvalidDataError
        The file is damaged.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["kind"]) != KIND:
                return {}
            columns = [
                [str(cell) for cell in stored[name]]
                for name in ("seen_by", "participant_id", "session_id", "content")
            ]
            values = stored["values"].astype(np.int8, casting="safe")
            rows = list(zip(*columns, values.reshape(-1, n_places()), strict=True))
    except (KeyError, ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InvalidDataError(
            "The signatures of images are damaged", where=path, found=error,
            fix="Restore the file, or remove it: the guard then goes without",
        ) from error  # fmt: skip
    found: dict[str, dict[tuple[str, str], Signature]] = {}
    for who, participant, session, content, row in rows:
        found.setdefault(who, {})[participant, session] = Signature(row, content)
    return found
