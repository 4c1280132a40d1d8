"""From images to tensors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clinicadl.config.prepare import PrepareConfig
from clinicadl.data import origin, tensors
from clinicadl.data.origin import Origin
from clinicadl.errors import PartialError
from clinicadl.layouts import caps, images
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import sha256
from clinicadl.tables import sessions
from clinicadl.work import Outcome, outcomes


@dataclass(frozen=True)
class Job:
    config: PrepareConfig
    image: StoredImage


@dataclass(frozen=True)
class PreparePlan:
    config: PrepareConfig
    jobs: tuple[Job, ...]
    extraction: Path


def plan(config: PrepareConfig) -> PreparePlan:
    stored = caps.index(config.caps_directory, config.preprocessing)
    chosen = list(stored.values())
    if config.participants_tsv is not None:
        table = sessions.read(config.participants_tsv)
        chosen = caps.select(stored, sessions.sessions_of(table), where=config.participants_tsv)
    name = config.extract_json or f"extract_{int(time.time())}"
    return PreparePlan(config, tuple(Job(config, image) for image in chosen),
                       caps.extraction_path(config.caps_directory, name))


def run(planned: PreparePlan) -> Iterator[Outcome[Job, None]]:
    failed = 0
    for outcome in outcomes(_one, planned.jobs, n_proc=planned.config.n_proc):
        failed += outcome.error is not None
        yield outcome
    caps.write_extraction(planned.extraction, planned.config.preprocessing, mode="image")
    if failed:
        raise PartialError(f"{failed} images failed")


def _one(job: Job) -> None:
    found = caps.image_tensor(job.config.caps_directory, job.image, job.config.preprocessing)
    image = images.read(job.image.path)
    images.check_content(image.voxels, job.image.path)
    tensors.write(found.tensor, image.voxels)
    stat = job.image.path.stat()
    origin.write(found.origin, Origin(
        str(job.image.path.relative_to(job.config.caps_directory)), sha256(job.image.path), stat.st_size,
        stat.st_mtime_ns, (1, *image.voxels.shape), tuple(map(tuple, image.affine.tolist()))))


def prepare_data(config: PrepareConfig) -> Path:
    planned = plan(config)
    for _ in run(planned):
        pass
    return planned.extraction
