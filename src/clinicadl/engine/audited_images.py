"""The images of a CAPS as the leakage rules look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clinicadl.data import origin, tensors
from clinicadl.engine.pairs import Shown
from clinicadl.engine.rescans import Drawable
from clinicadl.errors import ClinicaDLError, InvalidDataError, listed
from clinicadl.guard.facts import Alike, Finding
from clinicadl.guard.identity import same_participants
from clinicadl.guard.likeness import alike, can_be_judged
from clinicadl.guard.rules import rescanned
from clinicadl.guard.wording import are, counted
from clinicadl.layouts import caps, images, signatures
from clinicadl.layouts.caps import ImageTensor, Session
from clinicadl.layouts.masks import SAME_AFFINE_MM
from clinicadl.layouts.signatures import Signature

UNREADABLE, REPEATED = "unreadable-image", "repeated-images"

_RAW_SPACES = re.compile(r"_space-(T1w|orig|native|individual)(?=_|$)", re.IGNORECASE)


class Scan(NamedTuple):
    """One image of a CAPS."""

    session: Session
    kind: str
    """What its name says beside participant and session; images of one kind compare."""
    sha256: str
    """Of the file that it is, or that its tensor was made from."""
    path: Path
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    signature: Signature


@dataclass(frozen=True)
class CapsImages:
    """All images of a CAPS."""

    caps: Path
    scans: tuple[Scan, ...]
    damaged: tuple[str, ...]
    """What is wrong with images that cannot be read, a sentence each."""
    n_passed_over: int
    """Files that are no single volume."""

    @property
    def signatures_of_kind(self) -> dict[str, dict[Session, Signature]]:
        """Kind -> signatures, of those kinds whose images lie on one grid."""
        found: dict[str, dict[Session, Signature]] = {}
        for kind, scans in self._by_kind().items():
            if _is_registered(kind, scans):
                found[kind] = {scan.session: scan.signature for scan in scans}
        return found

    @property
    def hashes(self) -> dict[str, list[Session]]:
        """SHA-256 -> the sessions that have the image."""
        found: dict[str, list[Session]] = {}
        for scan in self.scans:
            found.setdefault(scan.sha256, []).append(scan.session)
        return found

    def note(self) -> str:
        """Return the line that says what was looked at."""
        kinds = self._by_kind()
        people = {scan.session[0] for scan in self.scans}
        line = (
            f"CAPS: {self.caps}: {counted(self.scans, 'image')} of {counted(people, 'participant')}"
        )
        known = self.signatures_of_kind
        raw = [kind for kind in kinds if kind not in known]
        few = [kind for kind, some in known.items() if not can_be_judged(some)]
        if raw:
            line += f"; not compared by what they show, on several grids: {listed(raw)}"
        if few:
            line += f"; not compared by what they show, too few participants: {listed(few)}"
        if self.n_passed_over:
            line += f"; {counted(self.n_passed_over, 'file')} passed over: no single volume"
        return line

    def drawable(self) -> Drawable:
        """Return what gives an image of a session, to be drawn."""
        known = self.signatures_of_kind
        of_session = {
            scan.session: scan for scan in reversed(self.scans) if scan.kind in known
        } or {scan.session: scan for scan in reversed(self.scans)}

        def shown(key: Session) -> Shown | None:
            scan = of_session.get(key)
            return None if scan is None else Shown(_voxels(scan.path), np.array(scan.affine))

        return shown

    def _by_kind(self) -> dict[str, list[Scan]]:
        kinds: dict[str, list[Scan]] = {}
        for scan in self.scans:
            kinds.setdefault(scan.kind, []).append(scan)
        return kinds


def _is_registered(kind: str, scans: Sequence[Scan]) -> bool:
    first = scans[0]
    return not _RAW_SPACES.search(f"_{kind}") and all(
        scan.shape == first.shape
        and np.allclose(scan.affine, first.affine, rtol=0, atol=SAME_AFFINE_MM)
        for scan in scans
    )


def read(directory: Path) -> CapsImages:
    """Return all images of a CAPS, from their tensors where there are some, else from NIfTI.

    Raises
    ------
    MissingInputError
        A folder cannot be read.
    InvalidDataError
        This is no CAPS.
    """
    scans: list[Scan] = []
    damaged: list[str] = []
    n_passed_over = 0
    for session in caps.sessions(directory):
        home = directory / caps.SUBJECTS / session[0] / session[1]
        prepared = dict(_prepared(directory, home))
        for path in [*prepared.values(), *_not_prepared(home, prepared)]:
            try:
                scans.append(_scan(session, path))
            except InvalidDataError as error:
                if error.what.startswith(images.NOT_A_VOLUME):
                    n_passed_over += 1
                else:
                    damaged.append(str(error).rstrip("."))
            except ClinicaDLError as error:
                damaged.append(str(error).rstrip("."))
    return CapsImages(directory, tuple(scans), tuple(damaged), n_passed_over)


def _prepared(directory: Path, home: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the image that each tensor was made from, and the tensor."""
    for path in sorted((home / caps.TENSORS).glob("image_based/*/*.pt")):
        known = origin.of(ImageTensor(path, path.with_suffix(".json")))
        if known is not None and known.affine is not None and caps.is_own(known.source):
            yield directory / known.source, path


def _not_prepared(home: Path, prepared: Mapping[Path, Path]) -> list[Path]:
    return [
        path
        for path in sorted(home.rglob("*"))
        if path.name.lower().endswith(images.SUFFIXES)
        and not path.name.startswith(".")
        and caps.TENSORS not in path.relative_to(home).parts
        and path not in prepared
    ]


def _scan(session: Session, path: Path) -> Scan:
    """Return an image with its signature.

    Raises
    ------
    InvalidDataError
        It is damaged, or no single volume.
    MissingInputError
        It cannot be read.
    """
    if path.suffix == ".pt":
        known = origin.read(path.with_suffix(".json"))
        voxels, affine, sha256 = _voxels(path), np.array(known.affine), known.sha256
    else:
        image = images.read(path)
        voxels, affine, sha256 = image.voxels, image.affine, image.sha256
    stem = path.stem if path.suffix == ".pt" else images.stem(path)
    entities = [part for part in stem.split("_") if not part.startswith(("sub-", "ses-", "run-"))]
    rows = tuple(tuple(float(cell) for cell in row) for row in affine)
    return Scan(
        session, "_".join(entities), sha256, path, voxels.shape, rows,
        signatures.of(voxels, affine),
    )  # fmt: skip


def _voxels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if path.suffix == ".pt":
        return np.asarray(tensors.read(path)[0].numpy(), dtype=np.float32)
    return images.read(path).voxels


def damaged_images(one: CapsImages) -> Iterator[Finding]:
    """Yield a fault for images that cannot be read."""
    if one.damaged:
        yield Finding(
            UNREADABLE, "refuse",
            f"{counted(one.damaged, 'image')} of {one.caps} cannot be read: {listed(one.damaged)}",
            fixes=("Copy them again, or leave them out",),
        )  # fmt: skip


def repeated_images(these: CapsImages, those: CapsImages) -> Iterator[Finding]:
    """Yield a fault for files that are the same under the names of several participants."""
    owners = those.hashes
    same: dict[frozenset[Session], tuple[Session, Session]] = {}
    for content, sessions in these.hashes.items():
        for one in sessions:
            for other in owners.get(content, ()):
                if not same_participants([one[0]], [other[0]]):
                    same.setdefault(frozenset((one, other)), (one, other))
    if same:
        named = listed(f"{_shown(one)} = {_shown(other)}" for one, other in same.values())
        place = f"of {these.caps}" if these is those else f"of {these.caps} and {those.caps}"
        yield Finding(
            REPEATED, "refuse",
            f"{counted(same, 'pair')} of images {place} {are(same)} one image under the names of "
            f"two participants: {named}",
            tuple(dict.fromkeys(one[0] for pair in same.values() for one in pair)),
            ("Find out who is on these images, and keep one of each",),
        )  # fmt: skip


def rescanned_images(these: CapsImages, those: CapsImages) -> Iterator[Finding]:
    """Yield a warning for images that seem to show one head under two names."""
    contents = {scan.session: scan.sha256 for scan in (*these.scans, *those.scans)}
    found: dict[frozenset[Session], Alike] = {}
    for kind, own in these.signatures_of_kind.items():
        for other_kind, others in those.signatures_of_kind.items():
            if these is those and kind == other_kind:
                pairs = alike(own)
            elif these is not those and _suffix(kind) == _suffix(other_kind):
                pairs = alike(own, others)
            else:
                continue
            for pair in pairs:
                # The very same file is a fault, and named as such.
                if contents[pair.one] != contents[pair.other]:
                    found.setdefault(frozenset(pair[:2]), pair)
    ordered = sorted(found.values(), key=lambda pair: -pair.similarity)
    place = "it" if these is those else str(those.caps)
    yield from rescanned(ordered, f"of {these.caps}", f"is in {place} as well")


def _suffix(kind: str) -> str:
    return kind.rpartition("_")[2]


def _shown(session: Session) -> str:
    return f"({' | '.join(session)})"
