"""Whom the models of a MAPS have seen, by name and without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from clinicadl.errors import MissingInputError
from clinicadl.guard import hidden
from clinicadl.guard.facts import Seen
from clinicadl.layouts.caps import Session
from clinicadl.layouts.maps import folder, names, signatures
from clinicadl.layouts.maps import hidden as hashes
from clinicadl.layouts.maps.hidden import Hidden
from clinicadl.layouts.maps.signatures import SeenSignatures
from clinicadl.tables import sessions

THIS_MAPS = "this MAPS"
"""How sentences call the MAPS that is looked at, among those its first weights come from."""


def seen_by(
    maps: Path, keys: Iterable[Session] = (), images: Mapping[Session, str] | None = None
) -> list[Seen]:
    """Return what each model of a MAPS saw, with what the images show of heads.

    Parameters
    ----------
    maps
        The MAPS.
    keys
        Whom somebody wants to show it: of those who were seen and are not known by name, these
        alone can be told.
    images
        SHA-256 of their images, as far as it is known.

    Raises
    ------
    InvalidDataError
        The signatures, or the hashes, are damaged.
    """
    shown = signatures.read(names.seen_signatures(maps))
    named = seen_of(folder.read_seen(maps), shown)
    known = {one.who for one in named}
    unnamed = []
    for one in unnamed_of(maps):
        found = hidden.seen(one, keys, images or {}, this=THIS_MAPS)
        own = {} if found.who in known else shown.get(one.who, {})
        unnamed.append(replace(found, signatures=own))
    return [*named, *unnamed]


def unnamed_of(maps: Path) -> tuple[Hidden, ...]:
    """Return what models saw that a MAPS keeps without names; see `clinicadl.guard.hidden`.

    Raises
    ------
    InvalidDataError
        The hashes are damaged.
    MissingInputError
        The MAPS was pulled, and they are gone.
    """
    found = hashes.read(maps)
    if not found and folder.open_maps(maps).record.pulled is not None:
        raise MissingInputError(
            "Nobody knows any more whom the pulled models have seen",
            where=names.seen_hidden(maps), fix="Pull them again",
        )  # fmt: skip
    return found


def seen_of(table: pd.DataFrame, shown: SeenSignatures | None = None) -> list[Seen]:
    """Return what each model saw: that of a MAPS, and those that its first weights come from.

    Parameters
    ----------
    table
        As `clinicadl.layouts.maps.names.seen` holds it; a hash that is not known is empty.
    shown
        As `clinicadl.layouts.maps.names.seen_signatures` holds it.
    """
    known = shown or {}
    return [
        Seen(
            str(who) or THIS_MAPS,
            tuple(sessions.sessions_of(rows)),
            dict(zip(rows["image_sha256"], sessions.sessions_of(rows), strict=True)),
            known.get(str(who), {}),
        )
        for who, rows in table.groupby("seen_by", sort=True)
    ]
