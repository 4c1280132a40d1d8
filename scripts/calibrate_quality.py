"""Fit the weights of quality-check t1-linear, as they stand in quality/registration.py.

    python scripts/calibrate_quality.py [DATA]

DATA holds ixi-caps-4mm and templates (default: shared/data beside the repository). Every fourth
participant is used, from the first on; every other one, from the second on, is left to
benchmarks/quality.py. Of each, good images are their own, as they are and as other scanners, brain
masks and heads would make them, off by what is no fault; bad ones have a fault of known kind and
size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from clinicadl.draws import generator
from clinicadl.layouts import images
from clinicadl.layouts.images import Image
from clinicadl.quality.registration import Measures, measures, scaled
from clinicadl.quality.registration_align import Template, on_grid, read_template
from clinicadl.quality.registration_simulated import DETECTABLE, FAULTS, LEAST, tolerated, varied

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SCANS = "ixi-caps-4mm/subjects/*/*/custom/*_T1w.nii.gz"
HEAD = "templates/tpl-MNI152NLin2009c_desc-SSW_res-1_T1w.nii.gz"
TWIN = "sub-IXI384"
"""The same person as sub-IXI383, who is on the other side: nobody may be on both."""
SEED = 0
N_GOOD = 3
"""Of each participant, one after another in each of the four looks."""
STRENGTH = 0.3
"""Inverse of the ridge penalty: the classes lie far apart, and odds should not be extreme."""


class Fitted(NamedTuple):
    """What stands in the source."""

    intercept: float
    slopes: dict[str, float]
    usual: dict[str, float]


CALIBRATION, EVALUATION = slice(0, None, 4), slice(1, None, 2)
"""Of the participants, in their order: nobody is on both sides."""


def scans(data: Path, side: slice) -> list[Path]:
    """Return the images of the participants of one side."""
    return sorted(data.glob(SCANS))[side]


def in_head(image: Image, head: np.ndarray, template: Template, draw: Generator) -> Image:
    """Return a brain in the head of the MNI152 2009c template, on the grid of the check."""
    brain = image.voxels > 0.02 * image.voxels.max()
    grey = float(np.median(image.voxels[brain & template.inside]))
    # Fat is bright in some sequences.
    bright = draw.uniform(0.7, 2.5) * grey / np.median(head[template.inside])
    around = np.where(template.voxels > 0, 0.3 * grey, head * bright)
    return image._replace(voxels=np.where(brain, image.voxels, around).astype(np.float32))


def looks(image: Image, head: np.ndarray, template: Template, draw: Generator) -> Iterator[Image]:
    """Yield an image as it is, as another scanner shows it, and both in a head, for ever."""
    while True:
        yield image
        yield varied(image, draw)
        yield in_head(image, head, template, draw)
        yield in_head(varied(image, draw), head, template, draw)


def samples(
    data: Path, side: slice, template: Template, *, every: bool = False
) -> Iterator[tuple[str, float, Measures]]:
    """Yield fault ("" for none), size and measures of simulated images of each person of one side.

    Parameters
    ----------
    data
        Folder of the real scans.
    side
        Who is taken: `CALIBRATION` or `EVALUATION`.
    template
        What images are compared with.
    every
        Whether faults too small to count, and those that nobody can see, are among them.
    """
    path = data / HEAD
    head = on_grid(images.read(path), path)
    for number, scan in enumerate(scans(data, side)):
        if scan.name.startswith(TWIN):
            continue
        draw = generator(SEED, f"quality/{side.start}", sample=number)
        look = looks(images.read(scan), head, template, draw)
        for _ in range(number % 4):
            next(look)  # so that every fault meets every look
        for _ in range(N_GOOD):
            yield "", 0.0, measures(tolerated(next(look), draw), template, scan)
        for name, fault in (FAULTS if every else DETECTABLE).items():
            for size in fault.sizes:
                if every or size >= LEAST.get(name, 0.0):
                    wrong = fault.make(next(look), size, draw)
                    yield name, size, measures(wrong, template, scan)


def fit(found: list[tuple[str, float, Measures]]) -> Fitted:
    """Return a logistic regression on the measures, both classes counting the same."""
    rows = np.array([scaled(one) for _, _, one in found], dtype=np.float64)
    good = np.array([name == "" for name, _, _ in found])
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(rows), good)
    slopes = model.coef_[0] / scaler.scale_
    intercept = float(model.intercept_[0] - slopes @ scaler.mean_)
    names = Measures._fields
    return Fitted(
        intercept, dict(zip(names, slopes, strict=True)),
        dict(zip(names, rows[good].mean(axis=0), strict=True)),
    )  # fmt: skip


def main(data: Path) -> None:
    """Print the weights."""
    found = list(samples(data, CALIBRATION, read_template(None)))
    fitted = fit(found)
    n_good = sum(name == "" for name, _, _ in found)
    n_people = len(scans(data, CALIBRATION))
    print(f"{n_good} good and {len(found) - n_good} bad images of {n_people} people")
    print(f"INTERCEPT = {fitted.intercept:.4g}")
    for name, slope in fitted.slopes.items():
        print(f"{name}: slope {slope:.4g}, usual {fitted.usual[name]:.4g}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
