"""Share the trained models of a MAPS."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from clinicadl.config.hub import PushConfig
from clinicadl.engine import domain, groups
from clinicadl.engine.groups import Model
from clinicadl.errors import MissingInputError, UsageError
from clinicadl.hub import hugging_face
from clinicadl.hub.card import card
from clinicadl.hub.described import described, refuse_names, source_names
from clinicadl.layouts import files
from clinicadl.layouts.maps import folder, names, signatures
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.shared import Domain, Shared, Stored
from clinicadl.layouts.signatures import KIND
from clinicadl.networks import weights

ZIP = ".zip"


@dataclass(frozen=True)
class PushPlan:
    """A MAPS that can be shared."""

    config: PushConfig
    maps: Maps
    target: str
    """A folder, a file .zip, or hf:ORGANISATION/NAME."""
    models: tuple[Model, ...]


def push(config: PushConfig, maps: Path, target: str) -> Shared:
    """Share the trained models of a MAPS: weights, settings, results, and nobody's name.

    Parameters
    ----------
    config
        What is told beside the weights.
    maps
        The MAPS.
    target
        A folder, a file ``.zip``, or ``hf:ORGANISATION/NAME`` for the Hugging Face hub.

    Returns
    -------
    What the models say of themselves there.

    Raises
    ------
    OutputError
        There is something at the target.
    MissingInputError
        No model is trained to its end.
    UsageError
        The MAPS was pulled itself, or the target cannot be one.
    InvalidDataError
        A participant or a place of this machine would be told.
    """
    return write(ready(config, maps, target))


def ready(config: PushConfig, maps: Path, target: str) -> PushPlan:
    """Return the plan of a push that may begin; nothing is written, and nothing is sent.

    Raises
    ------
    OutputError
        There is something at the target, or nothing can be written there.
    MissingInputError
        No model is trained to its end.
    UsageError
        The MAPS was pulled itself, or the target cannot be one.
    """
    opened = folder.open_maps(maps)
    if opened.record.pulled is not None:
        raise UsageError(
            "The MAPS was pulled: its models are shared already", where=maps,
            found=opened.record.pulled.origin, fix="Name that place to others",
        )  # fmt: skip
    models = tuple(groups.trained(maps))
    if not models:
        raise MissingInputError(
            "No model of the MAPS is trained to its end", where=maps, fix="Finish its training"
        )
    if hugging_face.is_one(target):
        hugging_face.check(target)
    else:
        if config.public:
            raise UsageError(
                "Only a repository of the Hugging Face hub is private or public",
                where="--public", found=target, fix="Leave it out",
            )  # fmt: skip
        files.refuse_existing(Path(target))
        files.refuse_unwritable(Path(target))
    if config.signatures and not names.seen_signatures(maps).exists():
        raise MissingInputError(
            "The MAPS has no signatures of its images", where=names.seen_signatures(maps),
            fix="Leave out --signatures: only registered images have some",
        )  # fmt: skip
    return PushPlan(config, opened, target, models)


def write(planned: PushPlan) -> Shared:
    """Write or send what was planned, whole or not at all."""
    target = Path(planned.target)
    if hugging_face.is_one(planned.target):
        with TemporaryDirectory(prefix="clinicadl-") as scratch:
            shared = _fill(planned, Path(scratch))
            hugging_face.send(Path(scratch), planned.target, public=planned.config.public)
        return shared
    if target.suffix == ZIP:
        with TemporaryDirectory(prefix="clinicadl-") as scratch:
            shared = _fill(planned, Path(scratch))
            with files.whole_file(target) as temporary:
                _zip(Path(scratch), temporary)
        return shared
    with files.whole_folder(target) as new:
        return _fill(planned, new)


def _fill(planned: PushPlan, home: Path) -> Shared:
    maps, config = planned.maps, planned.config
    found: Domain | None = domain.learnt(maps) if config.domain else None
    shared = described(maps, planned.models, config, found)
    network = shared.record.config.network.model_dump(mode="json")
    for model in shared.models:
        for number in model.networks:
            stored = weights.read(names.weights(maps.path, model.split, model.metric, number))
            facts = {"network": network, "epoch": stored.facts["epoch"]}
            target = names.weights(home, model.split, model.metric, number)
            weights.write(target, stored.state, facts)
    if config.signatures:
        _write_signatures(maps, names.shared_signatures(home))
    there = {
        path.relative_to(home).as_posix(): Stored(
            sha256=files.sha256(path), n_bytes=path.stat().st_size
        )
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }
    shared = shared.model_copy(update={"files": there})
    text, page = shared.model_dump_json(indent=1) + "\n", card(shared)
    refuse_names(maps, {names.shared(home).name: text, names.card(home).name: page})
    files.write_text(names.shared(home), text)
    files.write_text(names.card(home), page)
    return shared


def _write_signatures(maps: Maps, path: Path) -> None:
    """Write what the images show, in an order that tells nothing and without hashes of voxels."""
    called = source_names(maps.record)
    rows = [
        (called.get(who, who), key[0], one.values)
        for who, some in signatures.read(names.seen_signatures(maps.path)).items()
        for key, one in some.items()
    ]
    # What they show is an order that tells nothing of the table.
    chosen = sorted(rows, key=lambda row: row[2].tobytes())
    people: dict[tuple[str, str], int] = {}
    numbers = [people.setdefault((who, name), len(people)) for who, name, _ in chosen]
    values = torch.from_numpy(np.stack([one for _, _, one in chosen]))
    facts = {"kind": KIND, "seen_by": [who for who, _, _ in chosen], "participants": numbers}
    weights.write(path, {"values": values}, facts)


def _zip(home: Path, path: Path) -> None:
    # Weights cannot be made smaller; and the date of a file says when somebody worked.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for one in sorted(home.rglob("*")):
            if one.is_file():
                entry = zipfile.ZipInfo(one.relative_to(home).as_posix())
                with archive.open(entry, "w", force_zip64=True) as new, one.open("rb") as old:
                    shutil.copyfileobj(old, new, 1 << 20)
