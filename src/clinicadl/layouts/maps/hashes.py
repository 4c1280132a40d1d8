"""SHA-256 of what was written into a folder of a MAPS, so that a change can be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from clinicadl.errors import ClinicaDLError
from clinicadl.layouts.files import inside, read_json, sha256, write_json
from clinicadl.layouts.maps import names


def seal(folder: Path, paths: Iterable[Path] | None = None) -> None:
    """Record the hashes of files below a folder, of all of them by default."""
    chosen = files_below(folder) if paths is None else paths
    write_json(
        names.hashes(folder),
        {str(path.relative_to(folder)): sha256(path) for path in sorted(chosen)},
    )


def seal_maps(maps: Path) -> None:
    """Record the hashes of what a MAPS says of itself; its groups have their own."""
    always = (names.record, names.environment, names.information, names.seen)
    if_any = (names.seen_signatures, names.seen_hidden, names.shared, names.card)
    kept = [name(maps) for name in if_any if name(maps).exists()]
    seal(maps, [*(name(maps) for name in always), *kept])


def seal_split(maps: Path, number: int) -> None:
    """Record the hashes of the weights and training logs of a split; its results have their own."""
    home = names.split(maps, number)
    votes = [names.votes(maps, number, one) for one in names.selection_metrics(maps, number)]
    kept = [
        *home.glob("*/*.safetensors"), *names.training_logs(maps, number),
        *(path for path in votes if path.exists()),
    ]  # fmt: skip
    seal(home, [path for path in kept if path.parent != names.unfinished(maps, number)])


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder whose hashes it records; interpretations have their own."""
    others = names.interpretations(folder)
    for path in folder.rglob("*"):
        is_ours = path != names.hashes(folder) and not any(one in path.parents for one in others)
        if is_ours and path.is_file():
            yield path


class Compared(NamedTuple):
    """A folder beside what was recorded of it."""

    same: tuple[str, ...]
    """Files that are as they were, by their paths in the folder."""
    different: tuple[str, ...]
    """What is not, a sentence each."""


def compare(folder: Path) -> Compared:
    """Return which files of a folder are still those that were written."""
    same, different = [], []
    try:
        recorded = read_json(names.hashes(folder), "list of hashes")
    except ClinicaDLError as error:
        return Compared((), (str(error),))
    for name, digest in recorded.items():
        try:
            path = inside(folder, name)
            if not path.is_file():
                different.append(f"{path} is gone")
            elif sha256(path) != digest:
                different.append(f"{path} is not what was written")
            else:
                same.append(name)
        except ClinicaDLError as error:
            different.append(str(error))
    return Compared(tuple(same), tuple(different))
