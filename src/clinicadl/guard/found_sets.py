"""Which tables in some folders may hold sets of participants."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clinicadl.config.audit import CheckConfig
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.guard.set_names import SetName, may_name_sets, of_file
from clinicadl.layouts import ids, splits
from clinicadl.layouts.files import TEMPORARY, existing_folder
from clinicadl.layouts.ids import PARTICIPANT
from clinicadl.tables import cohorts as cohort_tables
from clinicadl.tables.cohorts import COHORT, Cohort

EVERYBODY = "everybody"
"""The only set of a table that is not divided."""

OTHER_IDS = ("id", "subid", "subj", "subjid", "patient", "patientid", "rid")
"""More names of the column of participants, where nothing better is there."""

_PATHS = ("path", "paths", "file", "files", "filename", "image", "images", "scan")
_SUFFIXES = (".tsv", ".csv")
_SKIPPED = re.compile(
    r"\.|sub-|ses-|subjects$|missing_mods|sourcedata$|tensors$|" + re.escape(TEMPORARY)
)


class Candidate(NamedTuple):
    """A table that may hold sets, and what its name tells."""

    path: Path
    shown: str
    """How sentences call it."""
    root: str
    """What was asked for: divisions of two roots have nothing to do with each other."""
    parts: tuple[str, ...]
    """Names of the folders below the root, and of the file without its suffix."""
    name: SetName | None
    is_explicit: bool
    """Whether it was named itself, and not only a folder above it."""
    cohort: str | None = None


def find(config: CheckConfig) -> list[Candidate]:
    """Return the tables that may hold sets; nothing but headers is read.

    Raises
    ------
    MissingInputError
        A path does not exist, or holds no set.
    UsageError
        Persons are given and no cohorts.
    """
    found: list[Candidate] = []
    single: list[Path] = []
    has_cohorts = False
    for path in config.paths:
        if path.is_dir():
            inside = _nonempty(list(_in_folder(path, str(path))), path)
            found += [*inside, *_tests_above(path, inside)]
        elif path.suffix == ".tsv" and path.is_file() and _is_cohorts(path):
            has_cohorts = True
            found += [
                one for cohort in cohort_tables.read(path) for one in _of_cohort(cohort, path)
            ]
        else:
            single.append(path)
    for path in (*single, *(Path(one.partition("=")[2]) for one in config.sets)):
        if not path.is_file():
            existing_folder(path, "table or folder")
    if config.same_person is not None and not has_cohorts:
        raise UsageError(
            "same_person means nothing without cohorts", where="--same_person",
            fix="Give a table with the columns cohort and path",
        )  # fmt: skip
    found += _explicit(single)
    for one in config.sets:
        name, _, path_text = one.partition("=")
        parts = name.split("/")
        told = of_file(parts) or SetName(parts[-1], tuple(parts[:-1]))
        found.append(Candidate(Path(path_text), path_text, "--set", (), told, is_explicit=True))
    return found


def holds_sets(folder: Path) -> bool:
    """Return whether a table below a folder seems to be a set.

    Raises
    ------
    MissingInputError
        The folder cannot be read.
    """
    return next(_in_folder(folder, str(folder)), None) is not None


def _is_cohorts(path: Path) -> bool:
    header = _header(path)
    return COHORT in header and cohort_tables.PATH in header and PARTICIPANT not in header


def _header(path: Path) -> list[str]:
    """Return the words of the first line; none where it cannot be read."""
    try:
        with path.open("rb") as content:
            line = content.readline(100_000)
    except OSError:
        return []
    text = line.replace(b"\0", b"").decode("utf-8-sig", errors="replace")
    return [word.strip().strip('"') for word in re.split(r"[\t,;|]", text)]


def _of_cohort(cohort: Cohort, path: Path) -> Iterator[Candidate]:
    if cohort.path.is_dir():
        inside: Iterable[Candidate] = _nonempty(
            list(_in_folder(cohort.path, str(path))), cohort.path
        )
    else:
        name = of_file([cohort.path.stem]) or SetName(EVERYBODY, ())
        shown = str(cohort.path)
        inside = [Candidate(cohort.path, shown, str(path), (), name, is_explicit=True)]
    for one in inside:
        yield one._replace(cohort=cohort.name)


def _in_folder(folder: Path, root: str) -> Iterator[Candidate]:
    """Yield the tables of a folder that name a set, or have a column that may."""
    existing_folder(folder, "folder of tables")
    for home, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _SKIPPED.match(name))
        for name in sorted(files):
            path = Path(home, name)
            if path.suffix.lower() not in _SUFFIXES or _SKIPPED.match(name):
                continue
            parts = path.relative_to(folder).with_suffix("").parts
            told = of_file(parts)
            if told is not None or _names_sets(_header(path)):
                yield Candidate(path, str(path), root, parts, told, is_explicit=False)


def _names_sets(header: list[str]) -> bool:
    """Return whether a table seems to say who is in which set; one of results does not say who."""
    words = {re.sub(r"[\W_]+", "", word).lower() for word in header}
    people = {PARTICIPANT.replace("_", ""), *ids.SPELLINGS[PARTICIPANT], *OTHER_IDS, *_PATHS}
    return bool(words & people) and any(map(may_name_sets, header))


def _nonempty(found: list[Candidate], folder: Path) -> list[Candidate]:
    """Return what a folder holds.

    Raises
    ------
    MissingInputError
        That is nothing.
    """
    if not found:
        raise MissingInputError(
            "No table in this folder says which set it is", where=folder,
            fix="Names like train.tsv and validation.tsv tell, or a column called split; or give "
            "--set NAME=TABLE for each set",
        )  # fmt: skip
    return found


def _tests_above(folder: Path, inside: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield the recorded test sets outside a folder that it must not share anybody with."""
    try:
        tests = splits.test_tables(folder)
    except (MissingInputError, InvalidDataError):
        # A record that is damaged says nothing; those inside the folder are judged with it.
        return
    known = {one.path.resolve() for one in inside}
    for path in tests:
        if path.resolve() not in known:
            name = of_file([path.stem])
            yield Candidate(path, str(path), str(folder), (), name, is_explicit=True)


def _explicit(paths: Sequence[Path]) -> list[Candidate]:
    """Return tables that were named one by one; their common folder is their root."""
    if not paths:
        return []
    home = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    found = []
    for path in paths:
        parts = path.absolute().relative_to(home).with_suffix("").parts
        found.append(Candidate(path, str(path), "", (), of_file(parts), is_explicit=True))
    lonely = _lonely([one.name for one in found if one.name is not None])
    # a/train.csv and b/test.csv: two halves of one division, wherever they lie.
    return [
        one._replace(name=one.name._replace(location=()))
        if one.name is not None and one.name.location in lonely
        else one
        for one in found
    ]


def _lonely(names: Iterable[SetName]) -> set[tuple[str, ...]]:
    roles: dict[tuple[str, ...], set[str]] = {}
    for name in names:
        roles.setdefault(name.location, set()).add(name.role)
    return {location for location, own in roles.items() if len(own) == 1}
