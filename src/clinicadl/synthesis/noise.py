"""Generate random: labels that nothing can learn, as every image is one and fresh noise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.generate import RandomConfig
from clinicadl.draws import generator
from clinicadl.layouts import images
from clinicadl.layouts.caps import StoredImage
from clinicadl.synthesis.generated import (
    AGE_AND_SEX,
    Job,
    NewImage,
    Plan,
    check_output,
    complete,
)
from clinicadl.synthesis.sources import first_source, new_path, read_source, write_origin

SESSION = "ses-M000"


def generate_random(config: RandomConfig) -> Path:
    """Write a CAPS of two labels that differ in nothing but noise, and return its folder.

    Raises
    ------
    MissingInputError
        The image of the first row is absent.
    InvalidDataError
        The image of the first row cannot be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    return complete(plan(config))


def plan(config: RandomConfig) -> Plan:
    """Return what will be made, and refuse what cannot be.

    Raises
    ------
    MissingInputError
        The image of the first row is absent.
    InvalidDataError
        The image of the first row cannot be read.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    check_output(config)
    source = first_source(config)
    image = read_source(source.path)
    jobs = tuple((_new_image(config, source, number),) for number in range(2 * config.n_subjects))
    return Plan("random", config, jobs, partial(_make, config, source.path, image))


def draw_noise(
    seed: int, number: int, shape: tuple[int, ...], *, mean: float, sigma: float
) -> NDArray[np.float32]:
    """Draw the noise of an image, normal and independent in every voxel."""
    draw = generator(seed, "generate-random", sample=number)
    standard = draw.standard_normal(shape, dtype=np.float32)
    return np.float32(mean) + np.float32(sigma) * standard


def _new_image(config: RandomConfig, source: StoredImage, number: int) -> NewImage:
    participant = f"sub-RAND{number}"
    label = "AD" if number < config.n_subjects else "CN"
    path = new_path(config, source, participant, SESSION)
    return NewImage(number, participant, SESSION, path, {"diagnosis": label, **AGE_AND_SEX})


def _make(config: RandomConfig, path: Path, source: images.Image, caps: Path, job: Job) -> None:
    for image in job:
        noise = draw_noise(
            config.seed,
            image.number,
            source.voxels.shape,
            mean=config.mean,
            sigma=config.sigma,
        )
        images.write(
            caps / image.path,
            source.voxels + noise,
            affine=source.affine,
            header=source.header,
        )
        changes = {"mean": config.mean, "sigma": config.sigma}
        write_origin(config, "random", caps / image.path, path, source.sha256, changes)
