"""The participant level: images registered, judged, and shown to a model."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from clinicadl.bids_app import model as models
from clinicadl.bids_app import validated
from clinicadl.bids_app.model import Model
from clinicadl.config.bids_app import BidsAppConfig
from clinicadl.config.preprocess import PreprocessLinearConfig
from clinicadl.config.quality import T1LinearQualityConfig
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingInputError,
    OutputError,
    PartialError,
    listed,
)
from clinicadl.layouts import bids, derivatives, files, ids, tsv
from clinicadl.layouts.caps import Session
from clinicadl.layouts.derivatives import PREDICTION, QUALITY
from clinicadl.layouts.files import read_json, write_json
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.preprocess import linear
from clinicadl.preprocess import plan as preprocessing
from clinicadl.preprocess.plan import Job
from clinicadl.quality import linear as quality

logger = logging.getLogger(__name__)

_PIPELINE = "t1-linear"
_PLACE = "image"
"""Column of a quality table that holds a path of this machine."""


@dataclass(frozen=True)
class Plan:
    """What is done with the participants that were asked for."""

    config: BidsAppConfig
    preprocessing: preprocessing.Plan
    model: Model | None

    @property
    def jobs(self) -> tuple[Job, ...]:
        """One for each session."""
        return self.preprocessing.jobs

    @property
    def n_steps(self) -> int:
        """What `run` yields, if nothing fails."""
        return len(self.jobs) * (2 if self.model is None else 3)


def plan(config: BidsAppConfig) -> Plan:
    """Return what will be done; everything that can be refused is refused.

    Raises
    ------
    MissingExtraError
        A package of the extra preproc or report is not installed.
    MissingInputError
        A participant, a session, the template or the model is not there.
    InvalidDataError
        The data set, the folder of derivatives, the template or the model is wrong.
    UsageError
        The model takes other images.
    LeakageError
        The model has seen some of the participants.
    OutputError
        There are results of another model, or the folder cannot be written.
    """
    home = bids.check(config.bids_directory)
    target = derivatives.check(config.output_directory)
    if config.work_directory is not None:
        files.existing_folder(config.work_directory, "folder for work")
    if not config.skip_bids_validator:
        validated.check(home)
    planned = linear.planned(
        PreprocessLinearConfig(
            pipeline=_PIPELINE,
            bids_directory=home,
            caps_directory=derivatives.caps(target),
            participant_label=config.participant_label,
            skull_stripped=config.skull_stripped,
            template=config.template,
            n_proc=config.n_proc,
            overwrite=config.overwrite,
        )
    )
    jobs = _of_sessions(planned.jobs, config.session_label, home)
    found = None
    if config.model is not None:
        found = models.ready(config, config.model, [job.session for job in jobs])
    one = Plan(config, replace(planned, jobs=jobs), found)
    for participant in dict.fromkeys(job.session[0] for job in jobs):
        for what in (QUALITY, PREDICTION):
            files.refuse_unwritable(derivatives.table(target, participant, what))
        _refuse_other_model(one, participant)
    return one


def _of_sessions(jobs: tuple[Job, ...], labels: tuple[str, ...], home: Path) -> tuple[Job, ...]:
    if not labels:
        return jobs
    named = {ids.as_id(label, SESSION) for label in labels}
    kept = tuple(job for job in jobs if job.session[1] in named)
    unknown = sorted(named - {job.session[1] for job in kept})
    if unknown:
        raise MissingInputError(
            f"{len(unknown)} of {len(named)} sessions are not known", where=home,
            found=listed(unknown), fix="Check --session_label",
        )  # fmt: skip
    return kept


def _refuse_other_model(planned: Plan, participant: str) -> None:
    """Refuse to put what a model says beside what another said, unless it was asked for.

    Raises
    ------
    OutputError
        Another model spoke before.
    """
    config = planned.config
    path = derivatives.table(config.output_directory, participant, PREDICTION)
    sidecar = derivatives.sidecar(path)
    if planned.model is None or config.overwrite or not sidecar.is_file():
        return
    said = read_json(sidecar, "description of predictions")
    if said.get("ModelSHA256") != planned.model.sidecar["ModelSHA256"]:
        raise OutputError(
            "There are predictions of another model", where=path, found=said.get("Model"),
            fix="Replace them with --overwrite, or name another folder",
        )  # fmt: skip


def run(planned: Plan) -> Generator[str, None, None]:
    """Yield what was done with which session, one step after another.

    Raises
    ------
    PartialError
        At the end, if some images could not be used; the others are done.
    InvalidDataError
        No image could be used.
    OutputError
        The folder cannot be written any more.
    """
    config = planned.config
    derivatives.begin(config.output_directory, config.bids_directory)
    failed: dict[Session, ClinicaDLError] = {}
    yield from _registered(planned, failed)
    left = [job for job in planned.jobs if job.session not in failed]
    with TemporaryDirectory(dir=config.work_directory) as temporary:
        work = Path(temporary)
        yield from _judged(planned, left, work, failed)
        if planned.model is not None:
            yield from _shown(planned, planned.model, left, work, failed)
    if failed:
        raise PartialError(
            f"{len(failed)} of {len(planned.jobs)} images could not be used",
            where=config.output_directory, found="; ".join(map(str, failed.values())),
            fix="Mend them, and run the same command again",
        )  # fmt: skip


def _registered(planned: Plan, failed: dict[Session, ClinicaDLError]) -> Iterator[str]:
    try:
        with closing(preprocessing.run(planned.preprocessing)) as outcomes:
            for outcome in outcomes:
                if outcome.error is not None:
                    failed[outcome.job.session] = outcome.error
                yield f"registered {' | '.join(outcome.job.session)}"
    except PartialError:
        logger.info("the others go on")  # said at the end, with what fails later


def _judged(
    planned: Plan, jobs: list[Job], work: Path, failed: dict[Session, ClinicaDLError]
) -> Iterator[str]:
    """Judge the registrations, and write what was found into the tables of the participants."""
    config = planned.config
    wanted = T1LinearQualityConfig(
        caps_directory=derivatives.caps(config.output_directory),
        output_tsv=work / "quality.tsv",
        details=work / "details.tsv",
        participant_label=tuple(dict.fromkeys(job.session[0] for job in jobs)),
        n_proc=config.n_proc,
    )
    found = quality.plan(wanted)
    keys = {job.session for job in jobs}
    found = found._replace(jobs=tuple(one for one in found.jobs if one.session in keys))
    steps = []
    with closing(quality.run(found)) as judged:
        for step in judged:
            if step.error is not None:
                failed[step.job.session] = step.error
            steps.append(step)
            yield f"judged {' | '.join(step.job.session)}"
    try:
        quality.write(found, steps)
    except PartialError:
        logger.info("the others go on")  # said at the end
    _share_out(config.output_directory, QUALITY, tsv.read(work / "details.tsv", "quality table"))


def _shown(
    planned: Plan, model: Model, jobs: list[Job], work: Path, failed: dict[Session, ClinicaDLError]
) -> Iterator[str]:
    """Show each image to the model, and write what it says into the tables of the participants.

    Raises
    ------
    InvalidDataError
        It can use none of them.
    """
    said = []
    with models.copied(model, work) as copy:
        for job in jobs:
            name = job.outputs.image if model.uncropped else job.outputs.crop
            try:
                said.append(models.say(planned.config, copy, job.session, job.outputs.home / name))
            except (InvalidDataError, MissingInputError) as error:
                failed[job.session] = error
            yield f"shown {' | '.join(job.session)}"
    if not said:
        raise InvalidDataError(
            "The model can use none of the images", where=model.maps,
            found=next(iter(failed.values())),
            fix="Check that it was trained on images of t1-linear",
        )  # fmt: skip
    target = planned.config.output_directory
    _share_out(target, PREDICTION, pd.concat(said, ignore_index=True))
    made = {"GeneratedBy": [{"Name": "ClinicaDL", "Version": version("clinicadl")}]}
    for participant in {job.session[0] for job in jobs}:
        path = derivatives.table(target, participant, PREDICTION)
        if path.exists():
            write_json(derivatives.sidecar(path), {**model.sidecar, **made})


def _share_out(target: Path, what: str, table: pd.DataFrame) -> None:
    table = table.drop(columns=_PLACE, errors="ignore")
    for participant, rows in table.groupby(PARTICIPANT, sort=True):
        derivatives.merge(derivatives.table(target, str(participant), what), rows)
