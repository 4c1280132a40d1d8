"""t1-linear, flair-linear and t2-linear: bias field, one affine to MNI, a crop."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clinicadl.config.preprocess import LinearName, PreprocessLinearConfig
from clinicadl.config.preprocessing import FlairLinear, Linear, T1Linear, T2Linear
from clinicadl.config.raw import Raw, RawCustom, RawFlair, RawT1
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import files, images, preprocessed
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess import agreement, ants, brain, heads, plan, space
from clinicadl.preprocess.agreement import Agreement
from clinicadl.preprocess.brain import Mask
from clinicadl.preprocess.plan import Job, Made, Plan

_ROWS: dict[LinearName, tuple[Linear, Raw]] = {
    "t1-linear": (T1Linear(), RawT1()),
    "flair-linear": (FlairLinear(), RawFlair()),
    "t2-linear": (T2Linear(), RawCustom(custom_suffix="_T2w.nii*")),
}
"""Pipeline -> what images become, and the images of a data set that it takes."""


class Template(NamedTuple):
    """What images are registered to."""

    image: Image
    """Where it lies by itself."""
    on_grid: Image
    """On the grid of MNI."""
    inside: Mask
    """Its brain, or its head, on the grid."""


class Registered(NamedTuple):
    """An image in MNI space."""

    image: Image
    """On the whole grid."""
    matrix: space.Matrix
    """From points of the template to those of the source, in mm, RAS+, shape (4, 4)."""
    agreement: Agreement


def preprocess_linear(config: PreprocessLinearConfig) -> Path:
    """Register the images of a BIDS data set to MNI, and write them into a CAPS.

    Parameters
    ----------
    config
        The pipeline, the data set, the CAPS, the sessions and the template.

    Returns
    -------
    A page that shows every image of the CAPS on the template; where Slurm does the work, it is
    there when the first of the jobs is done.

    Raises
    ------
    PartialError
        Some images failed; the others are done, and a table lists the failures.
    InvalidDataError
        Every image failed, or the data set, the CAPS, the table or the template is wrong.
    MissingInputError
        A session of the table has no image.
    MissingExtraError
        A package of the extra preproc is not installed.
    OutputError
        There are other images already, or the CAPS cannot be written.
    """
    return plan.complete(planned(config))


def planned(config: PreprocessLinearConfig) -> Plan:
    """Return the plan of a linear pipeline; everything that can be refused is refused.

    Raises
    ------
    MissingExtraError
        A package of the extra preproc is not installed.
    MissingInputError
        There is no such image, or a session of the table has none.
    InvalidDataError
        The data set, the CAPS, the table or the template is wrong.
    OutputError
        There are other images already, or the CAPS cannot be written.
    """
    ants.check()
    if config.template is None and not config.skull_stripped:
        brain.check()
    path = _template_path(config)
    _read_template(path)
    settings = {
        "Template": path.name,
        "TemplateSHA256": files.sha256(path),
        "SkullStripped": config.skull_stripped,
    }
    row, raw = _ROWS[config.pipeline]
    return plan.of(config, row, raw, settings, partial(make, config))


def make(config: PreprocessLinearConfig, job: Job) -> Made:
    """Make what is missing of one session.

    Raises
    ------
    MissingInputError
        The image is gone or closed to us.
    InvalidDataError
        The image cannot be used, or is another one than before.
    OutputError
        The CAPS cannot be written any more.
    """
    path, outputs = job.image.path, job.outputs
    if plan.is_made(job):
        refuse_changed(job)
        return Made(written=False)
    image = heads.read(path)
    template = _template(_template_path(config), is_brain=config.template is None)
    done = register(image, template, config, path)
    content = {
        "Description": f"{config.pipeline}: registered to MNI152NLin2009cSym by one affine",
        "GeneratedBy": generated_by("antspyx", *([] if config.template else ["deepbet"])),
        "Sources": [job.source],
        "SourcesSHA256": [image.sha256],
        "Settings": dict(job.settings),
        "VarianceExplained": round(done.agreement.explained, 6),
        "BrainDice": None if done.agreement.dice is None else round(done.agreement.dice, 6),
    }
    with preprocessed.filling(outputs, content) as staging:
        plan.write(staging, outputs, done.image, done.matrix, content)
        drawn = agreement.picture(done.image, template.on_grid, template.inside)
        (staging / outputs.picture).write_bytes(drawn)
    return Made(written=True)


def register(
    image: Image, template: Template, config: PreprocessLinearConfig, path: Path
) -> Registered:
    """Return an image without its bias field, in MNI space.

    Parameters
    ----------
    image
        As `heads.read` gives it.
    template
        What it is registered to.
    config
        Whether heads or brains are matched.
    path
        The image, for messages.

    Raises
    ------
    InvalidDataError
        There is no brain in it, or it cannot be registered.
    """
    found: Mask | None = None
    inside = brain.head(image)
    if config.template is None:
        found, inside = _brain(image, inside, config.skull_stripped, path)
    corrected = ants.n4(image, inside)
    moving = corrected if found is None else brain.only(corrected, found)
    matrix = ants.register(template.image, moving, "affine")
    moved = ants.resample(corrected, space.MNI, matrix)
    images.check_content(moved.voxels, path)
    of_image = None
    if found is not None:
        mask = Image(found.astype(np.float32), image.affine, None)
        of_image = ants.resample(mask, space.MNI, matrix).voxels > 0.5
    fits = agreement.of(moved, template.on_grid, template.inside, of_image)
    return Registered(moved, matrix, fits)


def _brain(image: Image, head: Mask, skull_stripped: bool | None, path: Path) -> tuple[Mask, Mask]:
    """Return the brain of an image, and where its bias field is estimated."""
    if skull_stripped:
        alone = brain.shown_alone(image, path)
        return alone, alone
    found = brain.find(image, path)
    if skull_stripped is None and brain.is_alone(image, found):
        alone = brain.shown_alone(image, path)
        return alone, alone
    return found, head


def generated_by(*packages: str) -> list[dict[str, str]]:
    """Return what made an image, as sidecars say it."""
    return [
        {"Name": "ClinicaDL", "Version": version("clinicadl")},
        *({"Name": package, "Version": version(package)} for package in packages),
    ]


def refuse_changed(job: Job) -> None:
    """Refuse to leave what was made alone if the image is another one now.

    Raises
    ------
    InvalidDataError
        Its bytes are not those of then.
    MissingInputError
        It is gone, or closed to us.
    """
    content = preprocessed.known(job.outputs) or {}
    if content.get("SourcesSHA256") != [files.sha256(job.image.path)]:
        raise InvalidDataError(
            "The image is not the one that was preprocessed", where=job.image.path,
            fix="Make it again with --overwrite",
        )  # fmt: skip


def _template_path(config: PreprocessLinearConfig) -> Path:
    return config.template or brain.template_path()


def _read_template(path: Path) -> Image:
    image = brain.read_template(path)
    space.check_geometry(Frame(image.voxels.shape, image.affine), path)
    return image


@cache
def _template(path: Path, *, is_brain: bool) -> Template:
    """Return a template, read once a process."""
    image = _read_template(path)
    on_grid = ants.resample(image, space.MNI, np.eye(4))
    images.check_content(on_grid.voxels, path)
    inside = on_grid.voxels > 0 if is_brain else brain.head(on_grid)
    return Template(image, on_grid, inside)
