"""Take shared models from others, as a MAPS that predicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from clinicadl.errors import InvalidDataError
from clinicadl.hub import sources, strangers
from clinicadl.hub.card import page
from clinicadl.layouts import files
from clinicadl.layouts.maps import folder, hashes, names
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.record import Pulled, Record
from clinicadl.layouts.maps.shared import Shared
from clinicadl.layouts.signatures import KIND, Signature, n_places
from clinicadl.networks import weights

_SEEN = ("participant_id", "session_id", "image_sha256", "seen_by")


class Found(NamedTuple):
    """Shared models that could be pulled."""

    shared: Shared
    content: bytes
    """What describes them."""


def pull(source: str, maps: Path) -> Maps:
    """Take shared models as a new MAPS, which predicts as the one did that they come from.

    Parameters
    ----------
    source
        A folder, a zip file, or ``hf:ORGANISATION/NAME``.
    maps
        The MAPS to be; absent or an empty folder.

    Returns
    -------
    The new MAPS. It knows whom its models have seen by hashes alone.

    Raises
    ------
    OutputError
        There is something at ``maps``.
    MissingInputError
        There is nothing at ``source``.
    InvalidDataError
        A file is damaged, could do harm, or is not what is described; nothing is left then.
    """
    files.refuse_existing(maps)
    files.refuse_unwritable(maps)
    with sources.opened(source) as opened:
        shared, content = sources.read(opened)
        with files.whole_folder(maps) as new:
            for name, known in shared.files.items():
                sources.copy(opened, name, known, files.inside(new, name))
            sizes = dict(opened.entries())
            card = sources.text(opened, sources.CARD, sizes[sources.CARD])
            record = _fill(new, shared, content, card, origin=_origin(source))
    return Maps(maps, record)


def show(source: str) -> str:
    """Return what shared models say of themselves, as a page of text; no weight is read.

    Parameters
    ----------
    source
        A folder, a zip file, or ``hf:ORGANISATION/NAME``.

    Raises
    ------
    MissingInputError
        There is nothing.
    InvalidDataError
        It is damaged, or could do harm.
    """
    with sources.opened(source) as opened:
        shared, content = sources.read(opened)
    return page(shared, source, sha256(content).hexdigest())


def _origin(source: str) -> str:
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


def _fill(new: Path, shared: Shared, content: bytes, card: bytes, *, origin: str) -> Record:
    """Turn the files of shared models into a MAPS, once they are what they say."""
    strangers.check_weights(shared, new)
    shown = _signatures(shared, new)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    pulled = Pulled(origin=origin, sha256=sha256(content).hexdigest(), date=now)
    record = shared.record.model_copy(update={"pulled": pulled})
    names.shared(new).write_bytes(content)
    names.card(new).write_bytes(card)
    made = "".join(f"{name}=={version}\n" for name, version in record.generated_by.items())
    folder.fill(
        new, record, seen=pd.DataFrame(columns=[*_SEEN]), groups={}, environment=made,
        information=f"- Date :\t{record.created}\n\n- Pulled :\t{now}, from {origin}\n",
        shown=shown, unnamed=shared.hidden,
    )  # fmt: skip
    for model in shared.models:
        votes = {level: [list(row) for row in rows] for level, rows in model.votes.items()}
        files.write_json(names.votes(new, model.split, model.metric), votes)
    for split in names.split_numbers(new):
        hashes.seal_split(new, split)
    return record


def _signatures(
    shared: Shared, new: Path
) -> Mapping[str, Mapping[tuple[str, str], Signature]] | None:
    """Return what the images show that were seen, under numbers; the file goes.

    Raises
    ------
    InvalidDataError
        The file is not what we know.
    """
    path = names.shared_signatures(new)
    if path.name not in shared.files:
        return None
    stored = weights.describe(path)
    shape = stored.shapes.get("values", ())
    if len(shape) != 2 or shape[1] != n_places() or stored.facts.get("kind") != KIND:
        raise InvalidDataError(
            "The signatures are not of a kind that we know", where=path, found=shape,
            fix=f"Known: {KIND}, of {n_places()} places",
        )  # fmt: skip
    strangers.check_header(path, {"values": (shape, "I8")})
    values = weights.read(path).state["values"].numpy()
    people, seen_by = stored.facts.get("participants"), stored.facts.get("seen_by")
    is_whole = (
        isinstance(people, list)
        and all(type(one) is int for one in people)
        and isinstance(seen_by, list)
        and len(people) == len(seen_by) == len(values)
    )
    if not is_whole:
        raise InvalidDataError("The signatures do not say whose they are", where=path)
    found: dict[str, dict[tuple[str, str], Signature]] = defaultdict(dict)
    rows = zip(people or (), seen_by or (), values, strict=True)
    for number, (person, who, row) in enumerate(rows):
        key = f"sub-hidden{person}", f"ses-hidden{number}"
        found[str(who)[:200]][key] = Signature(row, "")
    path.unlink()
    return found
