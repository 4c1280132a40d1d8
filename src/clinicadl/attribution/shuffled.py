"""A MAPS whose labels were shuffled before training, beside the one that is interpreted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clinicadl.engine import groups
from clinicadl.engine.groups import Look
from clinicadl.engine.seen import seen_by
from clinicadl.engine.stored import Stored
from clinicadl.errors import MissingInputError, UsageError, listed
from clinicadl.guard import check
from clinicadl.layouts import caps
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.record import Record
from clinicadl.tables import sessions

FLAG = "--shuffled_maps"


def shuffled_look(look: Look, stored: Stored, path: Path) -> Look:
    """Return the same look of the models of another MAPS, which learnt shuffled labels.

    Parameters
    ----------
    look
        At the data group.
    stored
        Its images.
    path
        The other MAPS.

    Raises
    ------
    UsageError
        Its labels were not shuffled, or it is no experiment like the one that is interpreted.
    MissingInputError
        It lacks a model that is interpreted.
    LeakageError
        It has seen participants of the group.
    """
    other = folder.open_maps(path)
    if not other.record.config.data.shuffle_labels:
        raise UsageError(
            "The labels of this MAPS were not shuffled", where=f"{FLAG} {path}",
            fix="Train it as the other one, with --shuffle_labels and another --seed",
        )  # fmt: skip
    differing = _differing(look.maps.record, other.record)
    if differing:
        raise UsageError(
            "The MAPS with shuffled labels is not of an experiment like this one",
            where=f"{FLAG} {path}", found=f"another {listed(differing)}",
            fix="Train it as the other one, with --shuffle_labels and another --seed",
        )  # fmt: skip
    there = groups.trained(path)
    missing = [model for model in look.models if model not in there]
    if missing:
        raise MissingInputError(
            "The MAPS with shuffled labels lacks models that are interpreted",
            where=f"{FLAG} {path}",
            found=listed(f"split {model.split} by {model.metric}" for model in missing),
            fix="Train them, or name others by --split and --selection_metrics",
        )  # fmt: skip
    keys = sessions.sessions_of(look.group.table)
    check.evaluation(
        look.name,
        keys,
        seen=seen_by(path, keys, stored.hashes),
        hashes=stored.hashes,
    ).enforce(look.config.accept_leakage)
    return replace(look, maps=other)


def _differing(one: Record, other: Record) -> list[str]:
    """Return what an interpretation reads that is not the same in two experiments."""
    ours, theirs = one.config, other.config
    pairs = {
        "network": (ours.network, theirs.network),
        "multi_network": (ours.multi_network, theirs.multi_network),
        "task": (ours.task.kind, theirs.task.kind),
        "label": (ours.task.labels, theirs.task.labels),
        "code of the labels": (one.label_code, other.label_code),
        "normalization": (ours.transforms.normalization, theirs.transforms.normalization),
        "size": (one.input_shape, other.input_shape),
    }
    found = [name for name, (first, second) in pairs.items() if first != second]
    extractions = [
        [caps.parse_extraction(content, names.record(Path())) for content in record.extractions]
        for record in (one, other)
    ]
    same = len(extractions[0]) == len(extractions[1]) and all(
        caps.is_same(*pair) for pair in zip(*extractions, strict=True)
    )
    return found if same else [*found, "extraction"]
