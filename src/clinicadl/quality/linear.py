"""Which T1-weighted images lie on their template, and the tables that say so."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinicadl.config.compute import ComputeConfig
from clinicadl.config.quality import T1LinearQualityConfig
from clinicadl.data import origin, tensors
from clinicadl.errors import InvalidDataError, MissingInputError, PartialError, listed
from clinicadl.layouts import caps, files, images, naming
from clinicadl.layouts.caps import Session
from clinicadl.layouts.images import Image
from clinicadl.quality import registration
from clinicadl.quality.linear_views import views
from clinicadl.quality.registration import Measures
from clinicadl.quality.registration_align import Template, read_template
from clinicadl.tables import chosen, failures, sessions
from clinicadl.tables.quality import COLUMNS
from clinicadl.work import Outcome, outcomes

if TYPE_CHECKING:
    from torch import nn

    from clinicadl.engine.devices import Device

logger = logging.getLogger(__name__)

_DIGITS = 6


class Job(NamedTuple):
    """One image, and what it is compared with."""

    session: Session
    path: Path
    affine: tuple[tuple[float, ...], ...] | None
    """Voxel to world of a tensor; an image says itself where it lies."""
    is_tensor: bool
    template: Path | None


class Judged(NamedTuple):
    """What is thought of an image."""

    probability: float
    measures: Measures | None = None
    """What was measured, where no network judged."""


Step: TypeAlias = Outcome[Job, Judged]


class Network(NamedTuple):
    """A published network, where it computes."""

    module: nn.Module
    device: Device


class Plan(NamedTuple):
    """A check that can begin."""

    config: T1LinearQualityConfig
    jobs: tuple[Job, ...]
    network: Network | None = None
    """What judges, if not our own measures."""


def quality_check_t1_linear(config: T1LinearQualityConfig) -> Path:
    """Write how likely it is that each image of a CAPS lies on its template.

    Parameters
    ----------
    config
        The images, and what judges them.

    Returns
    -------
    The table.

    Raises
    ------
    PartialError
        Some images cannot be judged; a table lists them, and the others are judged.
    InvalidDataError
        No image can be judged, or the CAPS, a table, the template or the weights are wrong.
    MissingInputError
        There is no image, or a session, the template or the weights are absent.
    UsageError
        A network has no weights, or there is no GPU.
    OutputError
        A file exists, or cannot be written.
    """
    planned = plan(config)
    write(planned, run(planned))
    return config.output_tsv


def plan(config: T1LinearQualityConfig) -> Plan:
    """Return which images are judged by what; everything that can be refused is refused.

    Raises
    ------
    InvalidDataError
        The CAPS, a table, the template or the weights are wrong.
    MissingInputError
        There is no image, or a session, the template or the weights are absent.
    UsageError
        A network has no weights, or there is no GPU.
    OutputError
        A file exists, or cannot be written.
    """
    for path in config.outputs:
        if not config.overwrite:
            files.refuse_existing(path)
        files.refuse_unwritable(path)
    network = None
    if config.judge == "none":
        _template(config.template)
    else:
        network = _network(config)
    found = _found(config)
    jobs = tuple(found[key] for key in chosen.of_shard(sorted(found), config.shard))
    if not jobs:
        raise MissingInputError(
            "No session is left for this shard", where="--shard", found=config.shard,
            fix=f"There are {len(found)} sessions: divide them among fewer",
        )  # fmt: skip
    return Plan(config, jobs, network)


def _network(config: T1LinearQualityConfig) -> Network:
    """Return the network that judges, and where it computes; torch is imported for it alone."""
    from clinicadl.engine import devices
    from clinicadl.quality import networks

    amp = "fp16" if config.amp else "no"
    device = devices.resolve(ComputeConfig(gpu=config.gpu, amp=amp))
    module = networks.read(config.judge, config.weights)
    return Network(module.to(device.torch_device), device)


def _found(config: T1LinearQualityConfig) -> dict[Session, Job]:
    """Return the image of each session that was asked for.

    Raises
    ------
    MissingInputError
        There is no image at all, or a session or a participant of the table has none.
    """
    directory, preprocessing = caps.check(config.caps_directory), config.preprocessing
    table = config.participants_tsv
    where = table or directory
    there = caps.sessions(directory)
    wanted = there if table is None else sessions.sessions_of(sessions.read(table))
    wanted = chosen.labelled(wanted, config.participant_label, where)
    jobs: dict[Session, Job] = {}
    if config.use_tensor:
        for key, one in caps.index_tensors(directory, preprocessing, wanted).items():
            known = origin.of(one)
            # A network needs no affine, which the tensor of another program may lack.
            if known is not None and (known.affine is not None or config.judge != "none"):
                jobs[key] = Job(key, one.tensor, known.affine, True, config.template)
    else:
        for key, image in caps.index(directory, preprocessing, only=wanted).items():
            jobs[key] = Job(key, image.path, None, False, config.template)
    absent = [key for key in wanted if key not in jobs]
    # Without a table, a session that has no such image is none of ours.
    if not jobs or (table is not None and absent):
        what = "tensor" if config.use_tensor else "image"
        raise MissingInputError(
            f"{len(absent)} of {len(wanted)} sessions have no {what} to check", where=where,
            found=f"nothing like {naming.pattern(preprocessing)} for "
            f"{listed(' | '.join(key) for key in absent)}",
            fix="Check --use_uncropped_image, --custom_suffix and the table; tensors are made by "
            "prepare-data image",
        )  # fmt: skip
    if absent:
        logger.warning(
            "%d of %d sessions have nothing like %s and are left out: %s", len(absent), len(wanted),
            naming.pattern(preprocessing), listed(" | ".join(key) for key in absent),
        )  # fmt: skip
    return jobs


def run(planned: Plan) -> Generator[Step, None, None]:
    """Yield what is thought of each image, in order; one that cannot be judged says why."""
    if planned.network is None:
        with closing(outcomes(_measured, planned.jobs, n_proc=planned.config.n_proc)) as found:
            yield from found
        return
    with closing(outcomes(_views, planned.jobs, n_proc=planned.config.n_proc)) as seen:
        while batch := list(islice(seen, planned.config.batch_size)):
            yield from _by_network(planned.network, batch)


def _by_network(network: Network, batch: list[Outcome[Job, Any]]) -> list[Step]:
    import torch

    from clinicadl.quality.networks import PASS as INDEX

    readable: list[Any] = [one.result for one in batch if one.error is None]
    likely: list[float] = []
    if readable:
        with torch.inference_mode(), network.device.autocast():
            logits = network.module(network.device.put(torch.from_numpy(np.stack(readable))))
        likely = torch.softmax(logits.float(), 1)[:, INDEX].tolist()
    left = iter(likely)
    return [
        Outcome(one.job, error=one.error)
        if one.error is not None
        else Outcome(one.job, result=Judged(next(left)))
        for one in batch
    ]


def _measured(job: Job) -> Judged:
    found = registration.measures(_image(job), _template(job.template), job.path)
    return Judged(registration.probability(found), found)


def _views(job: Job) -> NDArray[np.float32]:
    return views(_image(job).voxels)


def _image(job: Job) -> Image:
    if not job.is_tensor:
        image = images.read(job.path)
    else:
        affine = np.array(job.affine if job.affine is not None else np.eye(4))
        image = Image(tensors.read(job.path)[0].numpy(), affine, None)
    images.check_content(image.voxels, job.path)
    return image


@functools.cache
def _template(path: Path | None) -> Template:
    """Return the template, made once in each process."""
    return read_template(path)


def write(planned: Plan, steps: Iterable[Step]) -> None:
    """Write the tables of images that could be judged, and of those that could not.

    Parameters
    ----------
    planned
        What is judged.
    steps
        What `run` yields.

    Raises
    ------
    PartialError
        Some images cannot be judged; the tables stand.
    InvalidDataError
        No image can be judged; then there is but the table of the reasons.
    OutputError
        A table cannot be written.
    """
    config, done = planned.config, list(steps)
    judged = [(one.job, one.result) for one in done if one.result is not None]
    failed = [(one.job.session, one.error) for one in done if one.error is not None]
    judged.sort(key=lambda one: (-one[1].probability, one[0].session))
    failures.write(config.failures, failed)
    if not judged:
        raise InvalidDataError(
            f"None of the {len(failed)} images can be judged; the reasons are",
            where=config.failures, found=f"first: {failed[0][1]}",
            fix="Mend them, then run the same command again",
        )  # fmt: skip
    if config.details is not None:
        sessions.write(config.details, _table(config, judged, _details))
    sessions.write(config.output_tsv, _table(config, judged, None))
    if failed:
        raise PartialError(
            f"{len(failed)} of {len(done)} images could not be judged; the reasons are",
            where=config.failures, found=listed(" | ".join(session) for session, _ in failed),
            fix="They neither pass nor fail: mend them, or leave them out",
        )  # fmt: skip


def _table(
    config: T1LinearQualityConfig,
    judged: list[tuple[Job, Judged]],
    more: Callable[[T1LinearQualityConfig, Job, Judged], dict[str, object]] | None,
) -> pd.DataFrame:
    rows = [
        dict(zip(COLUMNS, (*job.session, round(one.probability, _DIGITS), is_passed(config, one)),
                 strict=True))
        | (more(config, job, one) if more else {})
        for job, one in judged
    ]  # fmt: skip
    return pd.DataFrame(rows)


def is_passed(config: T1LinearQualityConfig, one: Judged) -> bool:
    """Return whether an image passes."""
    return one.probability > config.threshold


def _details(config: T1LinearQualityConfig, job: Job, one: Judged) -> dict[str, object]:
    found: dict[str, object] = {}
    if one.measures is not None:
        reason = None if is_passed(config, one) else registration.reason(one.measures)
        numbers = {name: round(value, _DIGITS) for name, value in one.measures._asdict().items()}
        found = {**numbers, "reason": reason or None}
    return {**found, "judge": config.judge, "image": str(job.path)}
