"""The folder of a generated CAPS: filled whole, or not there at all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from clinicadl.config.generate import GenerateConfig
from clinicadl.errors import PartialError, listed
from clinicadl.layouts.caps import SUBJECTS
from clinicadl.layouts.files import (
    refuse_existing,
    refuse_unwritable,
    whole_folder,
    write_json,
    write_text,
)
from clinicadl.tables import sessions
from clinicadl.work import Outcome, outcomes

TABLE = "data.tsv"
ARGUMENTS = "commandline.json"
FAILED = "failed.tsv"
AGE_AND_SEX = {"age_bl": "60", "sex": "F"}
"""Columns that make the table fit for what asks for them; they say nothing about the images."""


class NewImage(NamedTuple):
    """One image to be made."""

    number: int
    """Keys what is drawn for it."""
    participant: str
    session: str
    path: Path
    """Below the CAPS."""
    facts: Mapping[str, str]
    """Columns of its row in the table besides the identifiers."""


Job: TypeAlias = tuple[NewImage, ...]
"""Images that are made in one go."""

Step: TypeAlias = Outcome[Job, None]


@dataclass(frozen=True)
class Plan:
    """What will be made, after everything that can be refused was refused."""

    kind: str
    """Name of the command: trivial, random, ..."""
    config: GenerateConfig
    jobs: tuple[Job, ...]
    make: Callable[[Path, Job], None]
    """Writes the images of a job below a CAPS; runs in other processes."""
    label: str = "diagnosis"
    """Column of the table that tells its images apart."""
    finish: Callable[[Path], None] | None = None
    """Writes into a CAPS what this kind alone has."""

    @property
    def images(self) -> list[NewImage]:
        """The images in their natural order."""
        return [image for job in self.jobs for image in job]


def check_output(config: GenerateConfig) -> None:
    """Refuse a place where the CAPS cannot be written.

    Raises
    ------
    OutputError
        There is something already, or writing is forbidden.
    """
    refuse_existing(config.generated_caps_directory)
    refuse_unwritable(config.generated_caps_directory)


def in_caps(participant: str, session: str, *below: str) -> Path:
    """Return a path in the folder of a session, relative to the CAPS."""
    return Path(SUBJECTS, participant, session, *below)


def run(plan: Plan) -> Generator[Step, None, None]:
    """Make the images, and yield what became of each job, in the order of the jobs.

    The CAPS stands when the last job was yielded and the iterator is exhausted; an iterator that
    is closed before leaves nothing. Images that could not be made are missing in the table and
    listed, with the reason, in ``failed.tsv``.

    Raises
    ------
    OutputError
        The CAPS exists by now, or cannot be written.
    ClinicaDLError
        Not a single image could be made: the first reason.
    """
    made: list[NewImage] = []
    failed: list[Step] = []
    # An absolute path has a name even where "." was given.
    with whole_folder(plan.config.generated_caps_directory.absolute()) as caps:
        for outcome in outcomes(partial(plan.make, caps), plan.jobs, n_proc=plan.config.n_proc):
            if outcome.error is None:
                made += outcome.job
            else:
                failed.append(outcome)
            yield outcome
        if failed and not made and failed[0].error is not None:
            raise failed[0].error
        _describe(plan, caps, made)
        if failed:
            _list_failures(caps / FAILED, failed)
        if plan.finish is not None:
            plan.finish(caps)


def complete(
    plan: Plan, *, shown: Callable[[Iterator[Step]], Iterable[Step]] | None = None
) -> Path:
    """Make the whole CAPS, and return its folder.

    Parameters
    ----------
    plan
        What is made.
    shown
        Wraps the steps, to show progress.

    Raises
    ------
    PartialError
        Some images could not be made; the CAPS stands without them.
    OutputError
        The CAPS cannot be written.
    """
    # Closed at once when the reader is interrupted: what was begun is then removed.
    with closing(run(plan)) as steps:
        failed = [step for step in (shown(steps) if shown else steps) if step.error is not None]
    folder = plan.config.generated_caps_directory
    lost = [image.participant for step in failed for image in step.job]
    if lost:
        raise PartialError(
            f"{len(lost)} of {len(plan.images)} images could not be made",
            where=folder,
            found=listed(lost),
            fix=f"The others are complete; the reasons are in {folder / FAILED}",
        )
    return folder


def arguments(plan: Plan) -> dict[str, Any]:
    """Return what the command was told and what it took by default, in one level."""
    content = plan.config.model_dump(mode="json")
    row = content.pop("preprocessing", None)
    if row is not None:
        content |= {"preprocessing": row.pop("name"), **row}
    return {"command": f"generate {plan.kind}", "version": version("clinicadl"), **content}


def _describe(plan: Plan, caps: Path, made: list[NewImage]) -> None:
    rows = [
        {sessions.PARTICIPANT: image.participant, sessions.SESSION: image.session, **image.facts}
        for image in made
    ]
    sessions.write(caps / TABLE, pd.DataFrame(rows))
    write_json(caps / ARGUMENTS, arguments(plan))
    for session in sorted({image.session for image in made}):
        lines = [f"{image.participant}\t1" for image in made if image.session == session]
        write_text(
            caps / "missing_mods" / f"missing_mods_{session}.tsv",
            "\n".join([f"{sessions.PARTICIPANT}\tsynthetic", *lines]) + "\n",
        )


def _list_failures(path: Path, failed: list[Step]) -> None:
    rows = [
        {
            sessions.PARTICIPANT: image.participant,
            sessions.SESSION: image.session,
            # One line: an error of a library may hold tabs and line breaks.
            "reason": " ".join(str(step.error).split()),
        }
        for step in failed
        for image in step.job
    ]
    sessions.write(path, pd.DataFrame(rows))
