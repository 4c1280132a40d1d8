"""Generate shepplogan: two-dimensional phantoms whose subtypes differ in the size of regions."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from time import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from clinicadl.config.generate import SheppLoganConfig
from clinicadl.config.preprocessing import Custom
from clinicadl.draws import generator
from clinicadl.layouts import images
from clinicadl.layouts.caps import (
    EXTRACTIONS,
    TENSORS,
    extraction_content,
    extraction_path,
    write_extraction,
)
from clinicadl.layouts.files import whole_file
from clinicadl.synthesis.generated import Job, NewImage, Plan, check_output, complete, in_caps

SESSION = "ses-M000"
LABELS = ("AD", "CN")
"""The place of a label is the digit behind CLNC in its participants' names."""
STEM = "space-SheppLogan"
PREPROCESSING = Custom(custom_suffix=f"_{STEM}_phantom.nii.gz")
LARGE, SMALL = (1.0, 1.2), (0.8, 0.9)
"""Bounds of the factor of a radius."""


class Ellipse(NamedTuple):
    """An ellipse of one grey value, in pixels and radians; pixels are counted from 0."""

    row: float
    column: float
    row_radius: float
    column_radius: float
    rotation: float
    value: float


def generate_shepplogan(config: SheppLoganConfig) -> Path:
    """Write a CAPS of phantoms, as images and as slice tensors, and return its folder.

    Raises
    ------
    InvalidDataError
        The name of the extraction JSON leads out of the CAPS.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    return complete(plan(config))


def plan(config: SheppLoganConfig) -> Plan:
    """Return what will be made, and refuse what cannot be.

    Raises
    ------
    InvalidDataError
        The name of the extraction JSON leads out of the CAPS.
    OutputError
        The generated CAPS exists already, or cannot be written.
    """
    check_output(config)
    name = config.extract_json or f"extract_{int(time())}.json"
    path = extraction_path(config.generated_caps_directory, name)
    name = path.relative_to(config.generated_caps_directory / EXTRACTIONS).as_posix()
    resolved = config.model_copy(update={"extract_json": name})
    jobs = tuple(
        (_new_image(config, label, number),)
        for label in LABELS
        for number in range(config.n_subjects)
    )
    return Plan(
        "shepplogan",
        resolved,
        jobs,
        partial(_make, config),
        finish=partial(_write_extraction, name),
    )


def tensor_path(participant: str, session: str) -> Path:
    """Return where the slice tensor of a phantom lies, relative to the CAPS."""
    name = f"{participant}_{session}_{STEM}_axis-axi_channel-single_slice-0_phantom.pt"
    return in_caps(participant, session, TENSORS, "slice_based", "custom", name)


def affine_of(size: int) -> NDArray[np.float64]:
    """Return the affine of a phantom: 1 mm, centred, its first row anterior, its first column left.

    Rows run towards the back and columns to the right, so that a viewer shows it upright.
    """
    half = (size - 1) / 2
    return np.array([[0, 1, 0, -half], [-1, 0, 0, half], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float)


def draw_subtype(seed: int, label: str, number: int, shares: tuple[float, float, float]) -> int:
    """Draw the subtype, 0, 1 or 2, of a phantom from the shares of its label."""
    bounds = np.cumsum(shares)[:-1] / sum(shares)
    point = generator(seed, f"generate-shepplogan-subtype/{label}", sample=number).random()
    return int(np.searchsorted(bounds, point, side="right"))


def draw_ellipses(draw: np.random.Generator, *, size: int, subtype: int) -> list[Ellipse]:
    """Draw the ellipses of a phantom, from the lowest to the topmost.

    The top region is small in subtype 2, the three bottom regions in subtype 1; all other regions
    are large.

    Parameters
    ----------
    draw
        The stream of this phantom.
    size
        Edge of the image in pixels.
    subtype
        0, 1 or 2.
    """
    centre = (size + 1) / 2
    height, width = centre - 2, 2 * centre / 3 - 2

    def region(
        row: float, column: float, row_radius: float, column_radius: float, *, small: bool = False
    ) -> Ellipse:
        value = draw.uniform(0.4, 0.6)
        rotation = draw.uniform(-np.pi, np.pi)
        down, right = draw.uniform(1, size / 32, 2)
        taller, wider = draw.uniform(*(SMALL if small else LARGE), 2)
        return Ellipse(
            row + down, column + right, row_radius * taller, column_radius * wider, rotation, value
        )

    def ventricle(column: float, side: int) -> Ellipse:
        radius = height * draw.uniform(0.8, 1.2)
        rotation = side * np.pi / 8 + draw.uniform(-np.pi / 16, np.pi / 16)
        return Ellipse(centre, column, radius / 3, radius / 6, rotation, 0.0)

    inset = draw.uniform(1, size / 32)
    return [
        Ellipse(centre, centre, height, width, 0.0, 1.0),
        Ellipse(centre + inset / 2, centre, height - inset, width - inset, 0.0, 0.2),
        region(centre, centre, width / 6, width / 6),
        region(0.6 * centre, centre, width / 3, width / 4, small=subtype == 2),
        *(
            region(1.5 * centre, across * centre, width / 10, width / 10, small=subtype == 1)
            for across in (1.0, 1.1, 0.9)
        ),
        ventricle(0.75 * centre, 1),
        ventricle(1.25 * centre, -1),
    ]


def paint(ellipses: list[Ellipse], size: int) -> NDArray[np.float32]:
    """Return the picture of ellipses, each over the ones before, shape (rows, columns).

    A pixel belongs to an ellipse if its centre lies inside. With a positive rotation the axis that
    points to the last rows turns towards the last columns.
    """
    picture = np.zeros((size, size), dtype=np.float32)
    rows, columns = np.ogrid[:size, :size]
    for one in ellipses:
        down, right = rows - one.row, columns - one.column
        cosine, sine = np.cos(one.rotation), np.sin(one.rotation)
        along = (down * cosine + right * sine) / one.row_radius
        across = (right * cosine - down * sine) / one.column_radius
        picture[along**2 + across**2 < 1] = one.value
    return picture


def draw_phantom(config: SheppLoganConfig, label: str, number: int) -> NDArray[np.float32]:
    """Draw one phantom, values from 0 to 1, shape (rows, columns)."""
    draw = generator(config.seed, f"generate-shepplogan/{label}", sample=number)
    subtype = _subtype(config, label, number)
    picture = paint(draw_ellipses(draw, size=config.image_size, subtype=subtype), config.image_size)
    if config.smoothing:
        purpose = f"generate-shepplogan-smoothing/{label}"
        sigma = generator(config.seed, purpose, sample=number).random() * config.image_size / 100
        picture = gaussian_filter(picture, sigma)
    clipped: NDArray[np.float32] = np.clip(picture, 0, 1)
    return clipped


def _subtype(config: SheppLoganConfig, label: str, number: int) -> int:
    shares = {"AD": config.ad_subtypes_distribution, "CN": config.cn_subtypes_distribution}
    return draw_subtype(config.seed, label, number, shares[label])


def _new_image(config: SheppLoganConfig, label: str, number: int) -> NewImage:
    participant = f"sub-CLNC{LABELS.index(label)}{number:04d}"
    name = f"{participant}_{SESSION}{PREPROCESSING.custom_suffix}"
    path = in_caps(participant, SESSION, "shepplogan", name)
    facts = {"diagnosis": label, "subtype": str(_subtype(config, label, number))}
    return NewImage(number, participant, SESSION, path, facts)


def _make(config: SheppLoganConfig, caps: Path, job: Job) -> None:
    for image in job:
        picture = draw_phantom(config, image.facts["diagnosis"], image.number)
        images.write(
            caps / image.path, picture[:, :, np.newaxis], affine=affine_of(config.image_size)
        )
        _write_tensor(caps / tensor_path(image.participant, image.session), picture)


def _write_tensor(path: Path, picture: NDArray[np.float32]) -> None:
    import torch

    # Into memory first: torch writes the name of a file into it, and the temporary one varies.
    content = io.BytesIO()
    torch.save(torch.from_numpy(picture[np.newaxis].copy()), content)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _write_extraction(name: str, caps: Path) -> None:
    path = extraction_path(caps, name)
    content = extraction_content(
        path,
        PREPROCESSING,
        mode="slice",
        parts={
            "use_uncropped_image": False,
            "prepare_dl": True,
            "slice_direction": 2,
            "slice_mode": "single",
            "discarded_slices": 0,
            "num_slices": 1,
        },
    )
    write_extraction(path, content)
