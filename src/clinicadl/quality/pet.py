"""Whether the images of pet-linear lie on the template: no signal around the brain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, distance_transform_edt

from clinicadl.config.preprocessing import PetLinear
from clinicadl.config.quality_caps import PetQualityConfig
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingExtraError, UsageError
from clinicadl.layouts import caps, images
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import refuse_existing, refuse_unwritable
from clinicadl.layouts.images import Frame
from clinicadl.quality import stored
from clinicadl.quality.stored import Mask, Written
from clinicadl.tables import sessions
from clinicadl.tables.quality import COLUMNS
from clinicadl.work import Outcome, outcomes

PUBLISHED_MASK = "0c561ce7de343219e42861b87a359420f9d485da37a8f64d1366ee9bb5460ee6"
"""SHA-256 of qc_pet_mask_contour.nii.gz."""
_ENDING = ".tsv"
_DIGITS_MM = 2
_LEAST_SIGNAL = 0.35
"""Of the range of an image: what is below counts as nothing."""
_NEAR_MM, _FAR_MM = 6.0, 9.0
"""Distance from the brain: nearer, the resolution of PET still shows the cortex."""


class Job(NamedTuple):
    """One image, and where its signal should not be."""

    image: StoredImage
    frame: Frame
    packed: bytes
    """The mask in bits, small enough to be handed to a process with every image."""


class Plan(NamedTuple):
    """A check that can begin."""

    config: PetQualityConfig
    jobs: tuple[Job, ...]
    mask: Mask


def quality_check_pet_linear(config: PetQualityConfig) -> Path:
    """Write how likely the images of pet-linear are well registered, and which of them pass.

    Parameters
    ----------
    config
        The images, and from where on they pass.

    Returns
    -------
    The table, sorted by probability.

    Raises
    ------
    UsageError
        The table is none.
    MissingExtraError
        No mask is given, and nilearn is not installed.
    MissingInputError
        There is no image, or a session has none.
    InvalidDataError
        The CAPS, the table or the mask is wrong, or no image can be read.
    OutputError
        The table exists, or cannot be written.
    PartialError
        Some images could not be looked at; the table is written, and they do not pass.
    """
    planned = plan(config)
    written = write(planned, look(planned))
    stored.refuse_failed(written.failed, len(planned.jobs))
    return config.output_tsv


def plan(config: PetQualityConfig) -> Plan:
    """Return which images are compared with which mask; everything that can be refused is refused.

    Raises
    ------
    UsageError
        The table is none.
    MissingExtraError
        No mask is given, and nilearn is not installed.
    MissingInputError
        There is no image, or a session has none.
    InvalidDataError
        The CAPS, the table or the mask is wrong, or no image can be read.
    OutputError
        The table exists, or cannot be written.
    """
    path = config.output_tsv
    if path.suffix != _ENDING:
        raise UsageError(
            "The table has another ending", where="OUTPUT_TSV", found=path,
            fix=f"End its name in {_ENDING}",
        )  # fmt: skip
    home = caps.check(config.caps_directory)
    if not config.overwrite:
        refuse_existing(path)
    refuse_unwritable(path)
    row = PetLinear(
        tracer=config.tracer, suvr_reference_region=config.suvr_reference_region,
        use_uncropped_image=config.use_uncropped_image,
    )  # fmt: skip
    found = stored.select(config, home, row)
    frame = _frame([one.path for one in found])
    if config.contour_mask is None:
        mask = _around_the_brain(frame)
    else:
        mask = stored.read_mask(config.contour_mask, PUBLISHED_MASK)
        stored.refuse_other_grid(mask.inside.shape, mask.affine, frame, config.contour_mask)
    packed = np.packbits(mask.inside).tobytes()
    return Plan(config, tuple(Job(image, frame, packed) for image in found), mask)


def look(planned: Plan) -> Generator[Outcome[Job, float], None, None]:
    """Yield the probability of each image, in order."""
    with closing(outcomes(_look, planned.jobs, n_proc=planned.config.n_proc)) as found:
        yield from found


def write(planned: Plan, looked: Iterable[Outcome[Job, float]]) -> Written:
    """Write the table; an image that cannot be looked at does not pass.

    Raises
    ------
    OutputError
        The table cannot be written.
    """
    threshold = planned.config.threshold
    rows, failed = [], []
    for one in looked:
        if one.error is not None:
            failed.append(one.error)
        known = one.result
        passed = known is not None and known > threshold
        rows.append((one.job.image.participant, one.job.image.session, known, passed))
    ordered = sorted(rows, key=lambda row: (-1 if row[2] is None else row[2], *row[:2]))
    table = pd.DataFrame(ordered, columns=list(COLUMNS), dtype=object)
    sessions.write(planned.config.output_tsv, table)
    return Written(table, tuple(failed))


def probability(voxels: NDArray[np.float32], contour: NDArray[np.bool_]) -> float:
    """Return 1 - the mean signal on the contour, after the image is scaled to 0 to 1.

    Parameters
    ----------
    voxels
        Finite, and not all the same, shape (x, y, z).
    contour
        Voxels that should have no signal; at least one.
    """
    low, high = float(voxels.min()), float(voxels.max())
    around = (voxels[contour] - low) / (high - low)
    return 1 - float(around[around >= _LEAST_SIGNAL].sum(dtype=np.float64)) / len(around)


def _look(job: Job) -> float:
    image = stored.loaded(job.image, job.frame)
    bits = np.unpackbits(np.frombuffer(job.packed, np.uint8), count=image.voxels.size)
    return probability(image.voxels, bits.astype(bool).reshape(job.frame.shape))


def _frame(paths: list[Path]) -> Frame:
    """Return the grid that most of the images have.

    Raises
    ------
    InvalidDataError
        None can be read.
    """
    frames: list[Frame] = []
    errors = []
    for path in paths:
        try:
            frames.append(images.read_frame(path))
        except ClinicaDLError as error:
            errors.append(error)
    if not frames:
        raise InvalidDataError(
            f"None of the {len(paths)} images can be read", found=f"first: {errors[0]}",
            fix="Preprocess them again",
        )  # fmt: skip
    # -0 and 0 are one place.
    keys = [(frame.shape, (frame.affine.round(_DIGITS_MM) + 0.0).tobytes()) for frame in frames]
    ((most, _),) = Counter(keys).most_common(1)
    return frames[keys.index(most)]


def _around_the_brain(frame: Frame) -> Mask:
    """Return what lies at some distance from the brain of MNI152, of the package nilearn.

    Raises
    ------
    MissingExtraError
        nilearn is not installed.
    """
    try:
        from nilearn.datasets import load_mni152_brain_mask
    except ModuleNotFoundError as error:
        raise MissingExtraError("nilearn", "report") from error
    brain = load_mni152_brain_mask(resolution=1)
    steps = np.linalg.inv(brain.affine) @ frame.affine
    there = affine_transform(
        np.asarray(brain.dataobj, dtype=np.float32), steps[:3, :3], steps[:3, 3],
        output_shape=frame.shape, order=1,
    )  # fmt: skip
    edges = np.linalg.norm(frame.affine[:3, :3], axis=0)
    distance = distance_transform_edt(there <= 0.5, sampling=edges)
    around = (distance > _NEAR_MM) & (distance <= _FAR_MM)
    said = f"what is {_NEAR_MM:g} to {_FAR_MM:g} mm outside of the brain of MNI152"
    return Mask(around, frame.affine, said)
