"""What prepared images show of heads, for the guard, and pictures of those that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clinicadl.data import origin, tensors
from clinicadl.engine import pairs
from clinicadl.engine.pairs import Shown
from clinicadl.engine.stored import Stored
from clinicadl.errors import ClinicaDLError
from clinicadl.guard.facts import Finding
from clinicadl.guard.likeness import Signatures
from clinicadl.layouts import caps, signatures
from clinicadl.layouts.caps import Session
from clinicadl.layouts.maps import folder, names, published
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.masks import SAME_AFFINE_MM
from clinicadl.layouts.signatures import Signature
from clinicadl.tables import sessions
from clinicadl.tables.cohorts import COHORT

Drawable = Callable[[Session], Shown | None]
"""Session -> its image, or what is known of it."""


def signatures_of(stored: Stored) -> dict[Session, Signature]:
    """Return what the images of sessions show of heads; nothing where that means nothing.

    Images are compared place by place, so they must have been registered. Those of one grid are
    taken for registered, but for raw ones. Of images that are stored in parts only, nothing is
    known.

    Raises
    ------
    InvalidDataError
        A tensor is damaged.
    """
    if stored.channels[0].are_cut or not _is_registered(stored):
        return {}
    channel = stored.channels[0]

    def one(key: Session) -> Signature:
        (path,) = channel.files[key]
        return signatures.of(tensors.read(path)[0].numpy(), np.array(channel.origins[key].affine))

    # Reading, hashing and products of matrices leave other threads alone.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return dict(zip(channel.files, pool.map(one, channel.files), strict=True))


def _is_registered(stored: Stored) -> bool:
    first, *others = stored.origins.values()
    return first.affine is not None and all(
        caps.is_own(one.source)
        and one.affine is not None
        and np.allclose(one.affine, first.affine, rtol=0, atol=SAME_AFFINE_MM)
        for one in (first, *others)
    )


def with_picture(finding: Finding, picture: Path) -> Finding:
    """Return a finding whose sentence says where its pairs are drawn, or what is missing for it."""
    if not finding.pairs:
        return finding
    reason = pairs.refusal()
    place = f"look at {picture}" if reason is None else f"no picture was drawn: {reason}"
    return replace(finding, sentence=f"{finding.sentence}; {place}")


def draw(findings: Iterable[Finding], picture: Path, shown: Sequence[Drawable]) -> None:
    """Write the picture of the pairs of images that findings name, if there are any.

    Parameters
    ----------
    findings
        What the guard found.
    picture
        The file to be; a former one is replaced.
    shown
        Who may know an image, the best first.
    """
    found = sorted(
        (pair for finding in findings for pair in finding.pairs), key=lambda pair: -pair.similarity
    )

    def best(key: Session) -> Shown | None:
        return next((image for one in shown if (image := one(key)) is not None), None)

    if found and pairs.refusal() is None:
        pairs.write(picture, found, best)


def images_of(stored: Stored) -> Drawable:
    """Return what gives the prepared images of some sessions."""

    def shown(key: Session) -> Shown | None:
        known = stored.origins.get(key)
        if known is None or known.affine is None:
            return None
        (path, *_) = stored.channels[0].files[key]
        return Shown(tensors.read(path)[0].numpy(), np.array(known.affine))

    return shown


def seen_images(maps: Maps) -> Drawable:
    """Return what gives the images that the models of a MAPS have seen, where they still are."""
    extraction = caps.parse_extraction(maps.record.extractions[0], names.record(maps.path))
    homes: dict[Session, Path] = {}
    for name in names.OWN_GROUPS:
        for number in published.numbered(names.group(maps.path, name)):
            group = folder.read_group(maps.path, name, number)
            places = folder.caps_of(group)
            keys = sessions.sessions_of(group.table)
            homes |= {
                key: places[cohort] for key, cohort in zip(keys, group.table[COHORT], strict=True)
            }

    def shown(key: Session) -> Shown | None:
        if key not in homes:
            return None
        try:
            found = caps.index_tensors(homes[key], extraction.preprocessing, [key])
        except ClinicaDLError:
            # The CAPS is elsewhere: its signature is drawn instead.
            return None
        known = origin.of(found[key]) if key in found else None
        if known is None or known.affine is None:
            return None
        return Shown(tensors.read(found[key].tensor)[0].numpy(), np.array(known.affine))

    return shown


def shown_by(known: Signatures) -> Drawable:
    """Return what draws images from their signatures alone."""

    def shown(key: Session) -> Shown | None:
        if key not in known:
            return None
        return Shown(signatures.volume(known[key].values), signatures.volume_affine())

    return shown
