"""pet-linear: PET on the T1-weighted image, by way of that in MNI space, relative to a region."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation

from clinicadl.config.preprocess import PreprocessPetConfig
from clinicadl.config.preprocessing import PetLinear, T1Linear
from clinicadl.config.raw import Grid, RawPet, RawT1
from clinicadl.data import from_bids
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import bids, files, grids, images, preprocessed
from clinicadl.layouts.caps import Session
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess import agreement, ants, brain, heads, plan, space
from clinicadl.preprocess.brain import Mask
from clinicadl.preprocess.linear import generated_by
from clinicadl.preprocess.plan import Job, Made, Plan

_MARGIN_MM = 6
"""Around the brain of the template: what is matched and judged ends there, not at the brain."""
_LEAST_SEEN = 0.95
"""Share of the reference region that the field of view must hold."""


class Anatomy(NamedTuple):
    """The T1-weighted image of a session, and where it lies in MNI space."""

    image: Path
    transform: Path
    """From points of MNI to those of the image."""
    expected: str | None
    """SHA-256 of the image that the transform was made from; None where nobody wrote it down."""


class Template(NamedTuple):
    """A brain on the grid of MNI."""

    image: Image
    brain: Mask
    about: Mask
    """The brain and a margin around it."""


class Region(NamedTuple):
    """The mean over a reference region."""

    mean: float
    n_voxels: int


def preprocess_pet(config: PreprocessPetConfig) -> Path:
    """Bring the PET images of a BIDS data set to MNI, relative to a region, in a CAPS.

    Parameters
    ----------
    config
        The data set, the CAPS that t1-linear was written to, the tracer and the region.

    Returns
    -------
    A page that shows every such image of the CAPS on the template; where Slurm does the work, it is
    there when the first of the jobs is done.

    Raises
    ------
    PartialError
        Some images failed; the others are done, and a table lists the failures.
    InvalidDataError
        Every image failed, or the data set, the CAPS, the table or the mask is wrong.
    MissingInputError
        A session of the table has no image, or the mask is gone.
    MissingExtraError
        A package of the extra preproc is not installed.
    OutputError
        There are other images already, or the CAPS cannot be written.
    """
    return plan.complete(planned(config))


def planned(config: PreprocessPetConfig) -> Plan:
    """Return the plan of the pipeline; everything that can be refused is refused.

    Raises
    ------
    MissingExtraError
        A package of the extra preproc is not installed.
    MissingInputError
        There is no such image, a session of the table has none, or the mask is gone.
    InvalidDataError
        The data set, the CAPS, the table or the mask is wrong.
    OutputError
        There are other images already, or the CAPS cannot be written.
    """
    ants.check()
    _template(brain.template_path())
    reference_region(config.reference_mask)
    row = PetLinear(tracer=config.tracer, suvr_reference_region=config.suvr_reference_region)
    raw = RawPet(tracer=config.tracer, reconstruction=config.reconstruction)
    settings = {
        "ReferenceMask": config.reference_mask.name,
        "ReferenceMaskSHA256": files.sha256(config.reference_mask),
    }
    return plan.of(config, row, raw, settings, partial(make, config, _anatomies(config)))


def _anatomies(config: PreprocessPetConfig) -> dict[Session, Anatomy]:
    """Return the T1-weighted image of each session that has one and its transform."""
    home = config.bids_directory
    found = bids.index(home)
    wanted = from_bids.sessions_with_images(found)
    anatomies = {}
    for key, image in from_bids.images_of(found, RawT1(), wanted, home).items():
        made = preprocessed.outputs(config.caps_directory, image, T1Linear())
        content = preprocessed.known(made) or {}
        expected = content.get("SourcesSHA256") or [None]
        anatomies[key] = Anatomy(image.path, made.home / made.transform, expected[0])
    return anatomies


def make(config: PreprocessPetConfig, anatomies: dict[Session, Anatomy], job: Job) -> Made:
    """Make what is missing of one session.

    Raises
    ------
    MissingInputError
        An image or the transform is gone or closed to us.
    InvalidDataError
        An image cannot be used, or is another one than before.
    OutputError
        The CAPS cannot be written any more.
    """
    anatomy = _of_session(anatomies, job)
    sources = [job.image.path, anatomy.image, anatomy.transform]
    hashes = [files.sha256(path) for path in sources]
    if plan.is_made(job):
        if (preprocessed.known(job.outputs) or {}).get("SourcesSHA256") != hashes:
            raise InvalidDataError(
                "An image or the transform is not the one that was used", where=job.image.path,
                fix="Make it again with --overwrite",
            )  # fmt: skip
        return Made(written=False)
    pet, t1 = heads.read(job.image.path), heads.read(anatomy.image)
    if anatomy.expected not in (None, hashes[1]):
        raise InvalidDataError(
            "The T1-weighted image is not the one that was registered", where=anatomy.image,
            fix="Run preprocess t1-linear with --overwrite",
        )  # fmt: skip
    template = _template(brain.template_path())
    to_t1 = space.read_transform(anatomy.transform)
    to_pet = ants.register(within_brain(t1, template, to_t1), pet, "rigid")
    # Points go from MNI to the T1-weighted image, and on to PET: voxels are interpolated once.
    matrix = to_pet @ to_t1
    moved = ants.resample(pet, space.MNI, matrix)
    images.check_content(moved.voxels, job.image.path)
    region = of_region(pet, moved, reference_region(config.reference_mask), matrix, job.image.path)
    ratio = moved._replace(voxels=moved.voxels / np.float32(region.mean))
    fits = agreement.of(ratio, template.image, template.about, None)
    content = {
        "Description": f"{config.pipeline}: rigidly on the T1-weighted image, by that in "
        f"MNI152NLin2009cSym, relative to the mean of {config.suvr_reference_region}",
        "GeneratedBy": generated_by("antspyx"),
        "Sources": [job.source, *(_from(config, path) for path in sources[1:])],
        "SourcesSHA256": hashes,
        "Settings": dict(job.settings),
        "ReferenceMean": region.mean,
        "ReferenceVoxels": region.n_voxels,
        "Units": "1",
        "VarianceExplained": round(fits.explained, 6),
        "BrainDice": None,
    }
    with preprocessed.filling(job.outputs, content) as staging:
        plan.write(staging, job.outputs, ratio, to_pet, content)
        drawn = agreement.picture(ratio, template.image, template.brain)
        (staging / job.outputs.picture).write_bytes(drawn)
    return Made(written=True)


def _of_session(anatomies: dict[Session, Anatomy], job: Job) -> Anatomy:
    anatomy = anatomies.get((job.image.participant, job.image.session))
    if anatomy is None:
        raise MissingInputError(
            "The session has no T1-weighted image", where=job.image.path,
            fix="Leave the session out",
        )  # fmt: skip
    if not anatomy.transform.is_file():
        raise MissingInputError(
            "The T1-weighted image of the session is not registered", where=anatomy.transform,
            fix="Run preprocess t1-linear into the same CAPS before",
        )  # fmt: skip
    return anatomy


def _from(config: PreprocessPetConfig, path: Path) -> str:
    """Return a path as seen from the CAPS."""
    from os.path import relpath

    return Path(relpath(path, config.caps_directory)).as_posix()


def within_brain(t1: Image, template: Template, to_t1: space.Matrix) -> Image:
    """Return a T1-weighted image with 0 outside of the brain, which is all that PET shows.

    Parameters
    ----------
    t1
        The image, of a head or a brain.
    template
        A brain in MNI space.
    to_t1
        From points of MNI to those of the image, in mm, RAS+, shape (4, 4).
    """
    mask = Image(template.about.astype(np.float32), space.MNI.affine, None)
    back: space.Matrix = np.linalg.inv(to_t1).astype(np.float64)
    there = ants.resample(mask, Frame(t1.voxels.shape, t1.affine), back, nearest=True)
    return brain.only(t1, there.voxels > 0)


def of_region(pet: Image, moved: Image, region: Mask, matrix: space.Matrix, path: Path) -> Region:
    """Return the mean of an image over a reference region.

    Parameters
    ----------
    pet
        The image where it was acquired.
    moved
        The same on the grid of MNI.
    region
        Voxels of that grid.
    matrix
        From points of MNI to those of ``pet``, in mm, RAS+, shape (4, 4).
    path
        The image, for messages.

    Raises
    ------
    InvalidDataError
        The field of view does not hold the region, or there is no uptake in it.
    """
    everywhere = Image(np.ones(pet.voxels.shape, np.float32), pet.affine, None)
    seen = region & (ants.resample(everywhere, space.MNI, matrix).voxels > 0.5)
    share = np.count_nonzero(seen) / np.count_nonzero(region)
    if share < _LEAST_SEEN:
        raise InvalidDataError(
            "The field of view does not hold the reference region", where=path,
            found=f"{100 * share:.0f} % of it", fix="Take another region, or leave the image out",
        )  # fmt: skip
    mean = float(moved.voxels[seen].mean(dtype=np.float64))
    if not mean > 0:
        raise InvalidDataError(
            "There is no uptake in the reference region", where=path, found=f"a mean of {mean:g}",
            fix="Look at the image and at the mask",
        )  # fmt: skip
    return Region(mean, int(np.count_nonzero(seen)))


def reference_region(path: Path) -> Mask:
    """Return the voxels of the grid of MNI that a mask holds, whatever its own grid.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is no image, or holds nothing of the grid.
    """
    mask = images.read(path)
    grid = Grid(shape=space.MNI.shape, affine=space.MNI.affine.tolist(), interpolation="nearest")
    nothing = InvalidDataError(
        "The mask of the reference region holds no voxel of MNI space", where=path,
        fix="Give a mask in MNI space that is not 0 in the region",
    )  # fmt: skip
    try:
        region: Mask = grids.onto(mask, grid, path).voxels > 0
    except InvalidDataError as error:
        raise nothing from error
    if not region.any():
        raise nothing
    return region


@cache
def _template(path: Path) -> Template:
    """Return a brain, read once a process."""
    image = ants.resample(brain.read_template(path), space.MNI, np.eye(4))
    inside: Mask = image.voxels > 0
    return Template(image, inside, binary_dilation(inside, iterations=_MARGIN_MM))
