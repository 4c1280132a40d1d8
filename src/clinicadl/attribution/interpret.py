"""Maps of what the trained models of a MAPS rest on, for a data group, behind the guard."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from clinicadl.attribution.gathered import Gathered, Geometry
from clinicadl.attribution.judged import Judged
from clinicadl.attribution.methods import Method, Scored
from clinicadl.attribution.sanity import Others
from clinicadl.attribution.shuffled import shuffled_look
from clinicadl.attribution.tested import Tested, spread
from clinicadl.attribution.truth import Atlas, Truth, read_atlas, read_truth
from clinicadl.config.base import linked
from clinicadl.config.interpret import InterpretConfig
from clinicadl.data import order
from clinicadl.data.batches import Loader, readers_watched
from clinicadl.data.parts import Affine
from clinicadl.engine import groups, one_image
from clinicadl.engine.devices import memory
from clinicadl.engine.given_back import check_places, gives_back
from clinicadl.engine.groups import Look, Model
from clinicadl.engine.one_split import describe
from clinicadl.engine.stored import Stored
from clinicadl.errors import InvalidDataError, MissingExtraError, OutputError, UsageError
from clinicadl.guard.check import Verdict
from clinicadl.layouts.images import Frame
from clinicadl.layouts.maps import folder, names, outcomes
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.masks import SAME_AFFINE_MM
from clinicadl.networks.streams import seeded
from clinicadl.tables import sessions
from clinicadl.tasks.base import IMAGE, Target
from clinicadl.transforms.pipeline import pipeline

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InterpretPlan:
    """An interpretation that can begin."""

    config: InterpretConfig
    look: Look
    name: str
    stored: Stored
    verdict: Verdict
    affine: Affine | None
    """Of the mean map; None where the images lie on several grids, or nobody knows."""
    truth: Truth | None
    atlas: Atlas | None
    shuffled: Look | None
    """The same look of models that learnt shuffled labels."""


def interpret(config: InterpretConfig, maps: Path, group: str, name: str) -> Maps:
    """Write maps of what the outputs of trained models rest on.

    Parameters
    ----------
    config
        The images and the table of a new group, the method, and what is kept.
    maps
        The MAPS.
    group
        Name of the data group; once defined, it is used by its name alone.
    name
        Of the interpretation, beside the results of each model on the group.

    Returns
    -------
    The MAPS.

    Raises
    ------
    UsageError
        The network has no such output, or the method means nothing for it.
    MissingExtraError
        The package of the method is not installed.
    LeakageError
        The models have seen participants of the group.
    OutputError
        There is an interpretation of this name, or the MAPS cannot be written.
    MissingInputError
        A model, table or image is absent.
    InvalidDataError
        A table or image is wrong.
    """
    planned = ready(config, maps, group, name)
    for _ in run(planned):
        pass
    return planned.look.maps


def ready(config: InterpretConfig, maps: Path, group: str, name: str) -> InterpretPlan:
    """Return the plan of an interpretation that may begin; nothing is written.

    Raises
    ------
    ClinicaDLError
        As `interpret` says.
    MissingExtraError
        The package of the method is not installed.
    OutputError
        There is an interpretation of this name.
    """
    folder.check_group_name(name, what="an interpretation")
    package = config.method.package
    if package is not None and find_spec(package) is None:
        raise MissingExtraError(package, "interpret")
    look = groups.opened(config, maps, group, purpose="interpret")
    _check_method(config, look)
    places = [
        names.interpretation(names.results(maps, *model, group), name) for model in look.models
    ]
    there = [place for place in places if place.exists()]
    if there and not (config.overwrite_name or config.overwrite):
        raise OutputError(
            "There is an interpretation of this name", where=there[0],
            fix="Read it there, choose another name, or add --overwrite_name",
        )  # fmt: skip
    folder.refuse_read_only(maps, *places)
    stored = groups.images_of(look)
    affine = _one_affine(config, look, stored)
    frame = _frame(config, Geometry(stored, look.maps.record.config.transforms), affine)
    keys = sessions.sessions_of(look.group.table)
    truth = None if config.mask is None or frame is None else read_truth(config.mask, keys, frame)
    atlas = (
        None
        if config.atlas is None or frame is None
        else read_atlas(config.atlas, config.atlas_labels, frame)
    )
    verdict = groups.guarded(look, stored)
    shuffled = (
        None if config.shuffled_maps is None else shuffled_look(look, stored, config.shuffled_maps)
    )
    return InterpretPlan(config, look, name, stored, verdict, affine, truth, atlas, shuffled)


def run(planned: InterpretPlan) -> Iterator[Model]:
    """Interpret one model after another, and yield each whose maps are written.

    The look is entered in the ledger before the first map: a look that failed is a look.
    """
    look = planned.look
    path = look.maps.path
    with folder.held(path), memory("fast", look.device), readers_watched():
        groups.enter(look, planned.stored, planned.verdict)
        with one_image.at_hand(look.maps, look.group, planned.stored):
            loader = _loader(planned)
            for model in look.models:
                results = names.results(path, *model, look.name)
                with outcomes.new_interpretation(results, planned.name) as target:
                    _write(planned, model, loader, target)
                yield model


def _check_method(config: InterpretConfig, look: Look) -> None:
    """Refuse an output that is not there, and a method that means nothing for the network.

    Raises
    ------
    UsageError
        So it is.
    """
    n_outputs = 1 if gives_back(look.task) else look.task.n_outputs
    if config.target_node >= n_outputs:
        raise UsageError(
            "The network has no such output", where="--target_node", found=config.target_node,
            fix=f"Give 0 to {n_outputs - 1}" if n_outputs > 1 else "It has one: leave this out",
        )  # fmt: skip
    if config.method.needs is not None:
        record = look.maps.record
        with torch.device("meta"):
            network = record.config.network.build(record.input_shape, look.task.n_outputs)
        linked(config.method.needs)(config.method, network, record.input_shape)


def _one_affine(config: InterpretConfig, look: Look, stored: Stored) -> Affine | None:
    """Return the affine of the mean map.

    Raises
    ------
    UsageError
        NIfTI is asked for and parts have no place in the image, or the mean would be all that is
        kept, and has no place.
    InvalidDataError
        NIfTI is asked for, and nobody knows where an image lies.
    """
    geometry = Geometry(stored, look.maps.record.config.transforms)
    table = look.group.table
    affines = [geometry.affine(key) for key in sessions.sessions_of(table)]
    first = affines[0]
    is_one = first is not None and all(
        one is not None and np.allclose(one, first, rtol=0, atol=SAME_AFFINE_MM) for one in affines
    )
    if not config.save_nifti:
        return first if is_one else None
    check_places(stored, table, "--save_nifti")
    if not geometry.puts_back and stored.mode != IMAGE:
        raise UsageError(
            "Parts whose size was reduced have no place in the image", where="--save_nifti",
            fix="Leave it out",
        )  # fmt: skip
    if not is_one and not config.save_individual:
        raise InvalidDataError(
            "The images lie on several grids, so that their mean map has no place",
            where="--save_nifti", fix="Leave it out, or add --save_individual",
        )  # fmt: skip
    if not is_one:
        logger.warning("The images lie on several grids: their mean map is no NIfTI")
    return first if is_one else None


def _frame(config: InterpretConfig, geometry: Geometry, affine: Affine | None) -> Frame | None:
    """Return where the voxels of all maps lie, if a mask or an atlas is laid on them.

    Raises
    ------
    UsageError
        They lie nowhere, or in several places.
    """
    flag = "--mask" if config.mask is not None else "--atlas"
    if config.mask is None and config.atlas is None:
        return None
    if geometry.grid is None or affine is None:
        raise UsageError(
            "The maps of all images have no place in common", where=flag,
            fix="Leave it out, or interpret images that lie on one grid",
        )  # fmt: skip
    return Frame(geometry.grid, affine)


def _loader(planned: InterpretPlan) -> Loader:
    look = planned.look
    unknown: Target = look.task.target([None] * len(look.task.labels))
    targets = (unknown,) * len(look.group.table)
    transform = pipeline(look.maps.record.config.transforms)
    stored = planned.stored
    dataset = stored.dataset(look.group.table, targets, transform, n_mapped=len(stored.channels))
    return look.device.loader(dataset, planned.config.n_proc)


def _write(planned: InterpretPlan, model: Model, loader: Loader, target: Path) -> None:
    """Write the maps of a model into a folder, what they are, and what they are worth."""
    look, config = planned.look, planned.config
    record, n_parts = look.maps.record, len(planned.stored.parts)
    judged = _judged(planned)
    gathered = Gathered(
        Geometry(planned.stored, record.config.transforms),
        planned.stored.samples(look.group.table),
        target,
        individual=config.save_individual,
        as_nifti=config.save_nifti,
        judge=judged if judged.is_asked else None,
    )
    scored = _scored(planned, look, model)
    method: Method = config.method.build(record.config.reproducibility.seed)
    tested = _tested(planned, model, method, len(scored)) if config.sanity else None
    n_samples = len(look.group.table) * n_parts
    batches = order.in_batches(range(n_samples), config.batch_size * len(scored))
    for batch in loader(batches):
        for place, one in enumerate(scored):
            own = batch.share(place, len(scored))
            images = look.device.put(own.images)
            gathered(own.rows, method(one, images, own.rows))
            if tested is not None:
                tested(place, one, images, own.rows)
    gathered.write_mean(planned.affine)
    problems = [] if tested is None else tested.problems()
    said = [f"network {network}: {sentence}" for network, sentence in problems]
    if not any(mean.any() for mean in gathered.means()):
        said.insert(0, "The maps are 0 everywhere: the output does not depend on the images")
    for sentence in said:
        logger.warning("split %d by %s, %s", *model, sentence)
    tables = judged.tables() | ({} if tested is None else {"sanity": tested.table()})
    _write_facts(planned, target, tables, said)


def _judged(planned: InterpretPlan) -> Judged:
    look = planned.look
    keys = sessions.sessions_of(look.group.table)
    return Judged(
        planned.truth,
        planned.config.top_fraction,
        planned.atlas,
        participant_of={"_".join(key): key[0] for key in keys},
        seed=look.maps.record.config.reproducibility.seed,
    )


def _scored(planned: InterpretPlan, look: Look, model: Model) -> list[Scored]:
    """Return the networks of a model, each with the one number that is explained."""
    node = None if gives_back(look.task) else planned.config.target_node
    networks = groups.networks_of(look, planned.stored, model)
    return [Scored(network.eval(), look.device, node) for network in networks.values()]


def _tested(planned: InterpretPlan, model: Model, method: Method, n_networks: int) -> Tested:
    """Return what tests the maps of a model, with the networks that it is compared with."""
    look = planned.look
    record, device = look.maps.record, look.device.torch_device
    seed = record.config.reproducibility.seed
    shuffled: Sequence[Scored | None] = [None] * n_networks
    if planned.shuffled is not None:
        shuffled = _scored(planned, planned.shuffled, model)
    others = []
    for place, one in enumerate(shuffled):
        with seeded(seed, "attribution/weights", sample=place):
            fresh = record.config.network.build(record.input_shape, look.task.n_outputs)
        others.append(Others(fresh.to(device), one))
    chosen = spread(len(look.group.table), planned.config.sanity_images)
    return Tested(method, others, chosen, n_parts=len(planned.stored.parts), seed=seed)


def _write_facts(
    planned: InterpretPlan,
    target: Path,
    tables: Mapping[str, pd.DataFrame],
    problems: Sequence[str],
) -> None:
    look, config = planned.look, planned.config
    made: dict[str, Any] = {
        "method": config.method.model_dump(mode="json"),
        "target_node": config.target_node,
        "seed": look.maps.record.config.reproducibility.seed,
        "n_images": len(look.group.table),
        "computed_on": look.device.to_record(),
        "problems": [*problems],
    }
    if config.shuffled_maps is not None:
        made["shuffled_maps"] = str(config.shuffled_maps)
    places = folder.caps_of(look.group), folder.images_of(look.group)
    description = describe(look.name, look.group.table, *places, planned.verdict.accepted)
    outcomes.write_interpretation(target, made, planned.verdict.to_record(), description, tables)
