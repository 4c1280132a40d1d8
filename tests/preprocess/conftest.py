"""What the tests of preprocess share: small heads, and a pipeline that needs no ANTs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clinicadl.config.preprocess import PreprocessLinearConfig
from clinicadl.layouts import images

AFFINE = np.array([[8.0, 0, 0, -90], [0, 8, 0, -110], [0, 0, 8, -80], [0, 0, 0, 1]])


def ball() -> np.ndarray:
    """Return a ball that is brighter inside, as int16."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 28, 25)), indexing="ij")
    radius = sum(grid**2 for grid in grids)
    return (600 * (radius < 0.8) + 300 * (radius < 0.4)).astype(np.int16)


def raw_path(bids: Path, participant="sub-01", session="ses-M000", name="T1w", end=".nii.gz"):
    who = f"{participant}_{session}" if session else participant
    home = bids / participant / session / "anat" if session else bids / participant / "anat"
    return home / f"{who}_{name}{end}"


@pytest.fixture
def bids(tmp_path) -> Path:
    """A data set of two participants, three sessions."""
    home = tmp_path / "bids"
    for key in (("sub-01", "ses-M000"), ("sub-01", "ses-M012"), ("sub-02", "ses-M000")):
        images.write(raw_path(home, *key), ball(), affine=AFFINE)
    (home / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    return home


@pytest.fixture
def config_of(bids, tmp_path):
    """Return a function that makes a configuration."""

    def of(**settings) -> PreprocessLinearConfig:
        given = {"pipeline": "t1-linear", "n_proc": 1, **settings}
        return PreprocessLinearConfig(
            bids_directory=bids, **{"caps_directory": tmp_path / "caps", **given}
        )

    return of
