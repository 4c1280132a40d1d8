"""Make the CAPS of the demonstration: one real template, many individuals, a known atrophy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

from clinicadl.draws import generator
from clinicadl.errors import ClinicaDLError
from clinicadl.layouts import images, tsv
from clinicadl.layouts.files import whole_folder, write_json
from clinicadl.synthesis.atrophy import with_less_tissue

FACTOR = 4
"""Edge of a voxel in voxels of the t1-linear crop grid, which are 1 mm."""
SHAPE = (42, 52, 44)
CROP_ORIGIN_MM = (-84, -119, -78)
AFFINE = np.diag([FACTOR, FACTOR, FACTOR, 1.0])
# The centre of a large voxel lies between the centres of the small ones that it covers.
AFFINE[:3, 3] = np.array(CROP_ORIGIN_MM) + (FACTOR - 1) / 2

SUFFIX = "desc-Demo_res-4x4x4_T1w.nii.gz"
TEMPLATE = "MNI152"
TRUTH = "hippocampusAtrophy"
"""The region where tissue was taken away."""
REGIONS = {"leftHippocampus": (9, 18, 11), "rightHippocampus": (21, 18, 11)}
"""Regions that anybody would look at -> first voxel of the cube."""
REGION_EDGE = 12
"""Edge of these cubes in voxels: 48 mm, as the 50 mm that prepare-data takes of t1-linear."""
SESSIONS = {"ses-M000": 0.0, "ses-M012": 1.0}
"""Session -> years since the first."""

HIPPOCAMPI_MM = ((-26.0, -21.0, -14.0), (26.0, -21.0, -14.0))
RADIUS_MM = 9.0
ATROPHY = (0.05, 0.9)
"""Least and greatest share of the tissue that is lost at the centre, at the first session."""
YEARLY_LOSS = 0.05
"""Share of the tissue that is lost in a year."""
CSF = 0.15
"""Intensity that takes the place of lost tissue; the greatest of the template is 1."""

DEFORMATION_MM = 1.5
"""Root mean square of the displacement."""
DEFORMATION_WIDTH_MM = 30.0
FIELD = 0.03
FIELD_WIDTH_MM = 40.0
NOISE = 0.025
WHITE = 230
"""Stored value of the greatest intensity of the template; brighter voxels have room up to 255."""


class Participant(NamedTuple):
    """One made-up person, with the truth about the disease."""

    name: str
    diagnosis: str
    age: float
    sex: str
    sessions: tuple[str, ...]
    atrophy: float
    """Share of the tissue that is lost at the centre of the hippocampi at the first session."""

    def atrophy_at(self, session: str) -> float:
        """Return the share that is lost at a session; nothing where nothing was lost before."""
        return min(1.0, self.atrophy + YEARLY_LOSS * SESSIONS[session]) if self.atrophy else 0.0


class Template(NamedTuple):
    """What all images are made from."""

    voxels: NDArray[np.float64]
    """Intensities in [0, 1] on the grid of the demonstration."""
    spline: NDArray[np.float64]
    """Coefficients of the cubic spline through ``voxels``."""
    header: Any
    """The NIfTI header of the file it came from, with the affine of the grid."""


def read_template() -> Template:
    """Return the MNI152 T1w average that nilearn ships, on the grid of the demonstration.

    Its voxels of 1 mm lie on those of the crop grid, so nothing is interpolated: it is cut, filled
    with zeros below, and averaged over cubes of 4 mm, which blurs before it samples down.
    """
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=1)
    whole = image.get_fdata()
    corner = np.array(CROP_ORIGIN_MM) - image.affine[:3, 3].astype(int)
    crop = np.zeros(np.multiply(SHAPE, FACTOR))
    start, stop = np.maximum(corner, 0), np.minimum(corner + crop.shape, whole.shape)
    inside = tuple(slice(a, b) for a, b in zip(start - corner, stop - corner, strict=True))
    crop[inside] = whole[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    voxels = _averaged(crop)
    header = image.header.copy()
    header.set_sform(AFFINE, code="mni")
    header.set_qform(AFFINE, code="mni")
    header["descrip"] = b"MNI152 T1w average, individual made up"
    return Template(voxels, spline_filter(voxels, order=3), header)


def atrophy_profile() -> NDArray[np.float64]:
    """Return the share of the greatest loss in each voxel, from both centres to 9 mm away.

    With the distance r in units of 9 mm it is 1 - r^4: nearly all in the middle, nothing outside.

    Returns
    -------
    Shape (42, 52, 44), in [0, 1]; averaged over the voxel.
    """
    grid = np.indices(np.multiply(SHAPE, FACTOR)).transpose(1, 2, 3, 0) + CROP_ORIGIN_MM
    nearest = np.min([np.linalg.norm(grid - centre, axis=-1) for centre in HIPPOCAMPI_MM], axis=0)
    return _averaged(np.clip(1 - (nearest / RADIUS_MM) ** 4, 0, None))


def region_mask(region: str) -> NDArray[np.bool_]:
    """Return the cube of a region, shape (42, 52, 44)."""
    inside = np.zeros(SHAPE, dtype=bool)
    inside[tuple(slice(start, start + REGION_EDGE) for start in REGIONS[region])] = True
    return inside


def mask_path(region: str) -> Path:
    """Return where the mask of a region lies in the CAPS."""
    name = f"tpl-{TEMPLATE}_res-4x4x4_roi-{region}_mask.nii.gz"
    return Path("masks", f"tpl-{TEMPLATE}", name)


def draw_participants(n_participants: int, seed: int) -> list[Participant]:
    """Return the participants: half AD, half CN; age, sex and sessions know nothing of it."""
    order = generator(seed, "demo: diagnoses").permutation(n_participants)
    return [_participant(i, ill=order[i] % 2 == 0, seed=seed) for i in range(n_participants)]


def _participant(i: int, *, ill: bool, seed: int) -> Participant:
    person = generator(seed, "demo: demographics", sample=i)
    strength = generator(seed, "demo: atrophy", sample=i).uniform(*ATROPHY)
    age = float(np.round(np.clip(person.normal(72, 7), 55, 90), 1))
    sex = str(person.choice(["F", "M"]))
    n_sessions = int(person.integers(1, len(SESSIONS) + 1))
    return Participant(
        name=f"sub-DEMO{i:03d}",
        diagnosis="AD" if ill else "CN",
        age=age,
        sex=sex,
        sessions=tuple(SESSIONS)[:n_sessions],
        atrophy=round(float(strength), 3) if ill else 0.0,
    )


def shuffled(participants: Sequence[Participant], seed: int) -> list[Participant]:
    """Return the participants with each other's diagnoses, which then say nothing of the images."""
    order = generator(seed, "demo: shuffled labels").permutation(len(participants))
    return [
        participant._replace(diagnosis=participants[other].diagnosis)
        for participant, other in zip(participants, order, strict=True)
    ]


def draw_brain(template: Template, *, i: int, seed: int) -> NDArray[np.float64]:
    """Return the healthy brain of a participant: the template, deformed in a way of its own.

    Parameters
    ----------
    template
        What is deformed.
    i
        Index of the participant.
    seed
        Seed of all that is drawn.

    Returns
    -------
    Shape (42, 52, 44), in [0, 1].
    """
    random = generator(seed, "demo: deformation", sample=i)
    axes = _smooth(random, DEFORMATION_WIDTH_MM, n_fields=3)
    where = np.indices(SHAPE) + DEFORMATION_MM / np.sqrt(3) / FACTOR * axes
    return np.clip(map_coordinates(template.spline, where, order=3, prefilter=False), 0, 1)


def draw_image(
    brain: NDArray[np.float64], loss: NDArray[np.float64], *, i: int, session: str, seed: int
) -> NDArray[np.uint8]:
    """Return the image of one session: the brain, what it lost, an intensity field, and noise.

    Parameters
    ----------
    brain
        The healthy brain, shape (42, 52, 44).
    loss
        Share of the tissue that is lost in each voxel, shape (42, 52, 44).
    i
        Index of the participant.
    session
        One of `SESSIONS`.
    seed
        Seed of all that is drawn.

    Returns
    -------
    Shape (42, 52, 44).
    """
    tissue = with_less_tissue(brain, loss, fluid=CSF)
    random = generator(seed, f"demo: {session}", sample=i)
    field = np.exp(FIELD * _smooth(random, FIELD_WIDTH_MM)[0])
    # The template has no skull: where there is no brain there is nothing to be noisy.
    noise = NOISE * random.standard_normal(SHAPE) * (brain > CSF / 2)
    return np.clip(np.rint(WHITE * (tissue * field + noise)), 0, 255).astype(np.uint8)


def make_caps(
    folder: Path, *, n_participants: int, seed: int, labels_shuffled: bool = False
) -> Iterator[Path]:
    """Write the CAPS, whole, and yield the path in it of each image that is made.

    Parameters
    ----------
    folder
        The CAPS; refused where it exists.
    n_participants
        Half of them, rounded up, get the atrophy.
    seed
        Seed of all that is drawn.
    labels_shuffled
        Whether the table gives the diagnoses to other participants than those who have the atrophy.

    Raises
    ------
    OutputError
        The folder exists, or cannot be written.
    """
    people = draw_participants(n_participants, seed)
    with whole_folder(folder) as caps:
        template, profile = read_template(), atrophy_profile()
        (caps / "subjects").mkdir()
        for i, person in enumerate(people):
            brain = draw_brain(template, i=i, seed=seed)
            for session in person.sessions:
                loss = person.atrophy_at(session) * profile
                voxels = draw_image(brain, loss, i=i, session=session, seed=seed)
                path = _image_path(person.name, session)
                images.write(caps / path, voxels, affine=AFFINE, header=template.header)
                yield path
        masks = {TRUTH: profile > 0, **{region: region_mask(region) for region in REGIONS}}
        for region, inside in masks.items():
            path = caps / mask_path(region)
            images.write(path, inside.astype(np.uint8), affine=AFFINE, header=template.header)
        _write_tables(caps, shuffled(people, seed) if labels_shuffled else people)
        write_json(
            caps / "dataset_description.json",
            {
                "Name": "Demonstration: MNI152 with a known atrophy",
                "CAPSVersion": "1.0.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "examples/demo/make_caps.py"}],
            },
        )


def _image_path(participant: str, session: str) -> Path:
    name = f"{participant}_{session}_space-{TEMPLATE}_{SUFFIX}"
    return Path("subjects", participant, session, "custom", name)


def _write_tables(caps: Path, people: Sequence[Participant]) -> None:
    participants = [{"participant_id": p.name, "age": p.age, "sex": p.sex} for p in people]
    visits = [(person, session) for person in people for session in person.sessions]
    labels = [
        {
            "participant_id": person.name,
            "session_id": session,
            "diagnosis": person.diagnosis,
            "age": round(person.age + SESSIONS[session], 1),
            "sex": person.sex,
        }
        for person, session in visits
    ]
    truth = [
        {
            "participant_id": person.name,
            "session_id": session,
            "atrophy": round(person.atrophy_at(session), 3),
        }
        for person, session in visits
    ]
    for name, rows in (("participants", participants), ("labels", labels), ("truth", truth)):
        tsv.write(caps / f"{name}.tsv", pd.DataFrame(rows))


def _averaged(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means over cubes of the grid."""
    x, y, z = SHAPE
    averaged: NDArray[np.float64] = fine.reshape(x, FACTOR, y, FACTOR, z, FACTOR).mean((1, 3, 5))
    return averaged


def _smooth(
    random: np.random.Generator, width_mm: float, *, n_fields: int = 1
) -> NDArray[np.float64]:
    """Return smooth fields with a root mean square of 1, shape (n_fields, 42, 52, 44)."""
    rough = random.standard_normal((n_fields, *SHAPE))
    fields = np.stack([gaussian_filter(field, width_mm / FACTOR) for field in rough])
    size: NDArray[np.float64] = np.sqrt(np.mean(fields**2, axis=(1, 2, 3), keepdims=True))
    return fields / size


def main() -> None:
    """Make the CAPS that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="CAPS that is written")
    parser.add_argument("--n-participants", type=int, default=120, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--shuffle-labels", action="store_true", help="give the diagnoses to other participants"
    )
    given = parser.parse_args()
    try:
        made = list(
            make_caps(
                given.folder,
                n_participants=given.n_participants,
                seed=given.seed,
                labels_shuffled=given.shuffle_labels,
            )
        )
    except ClinicaDLError as error:
        print(f"make_caps: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{len(made)} images of {given.n_participants} participants in {given.folder}")


if __name__ == "__main__":
    main()
