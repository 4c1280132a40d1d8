"""What many tests share: real objects on tiny inputs."""

from __future__ import annotations

import logging
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from clinicadl.draws import generator

# Two processes of tests share two cores, and a busy machine is no reason to fail.
torch.set_num_threads(1)
settings.register_profile("clinicadl", deadline=None, derandomize=True)
settings.load_profile("clinicadl")

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
SUFFIX = "desc-Tiny_T1w.nii.gz"

MNI = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1"
PIPELINES: dict[str, tuple[dict[str, object], str]] = {
    "t1-linear": ({}, f"t1_linear/{{}}_{MNI}_T1w.nii.gz"),
    "flair-linear": ({}, f"flair_linear/{{}}_{MNI}_flair.nii.gz"),
    "t2-linear": ({}, f"t2_linear/{{}}_{MNI}_T2w.nii.gz"),
    "pet-linear": (
        {"tracer": "18FFDG", "suvr_reference_region": "cerebellumPons2"},
        f"pet_linear/{{}}_trc-18FFDG_{MNI}_suvr-cerebellumPons2_pet.nii.gz",
    ),
    "t1-volume": (
        {},
        "t1/spm/segmentation/normalized_space/"
        "{}_T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability.nii.gz",
    ),
    "t1-extensive": (
        {}, "t1_extensive/{}_space-Ixi549Space_desc-skullstripped_T1w.nii.gz"
    ),
    "dwi-dti": (
        {"dti_measure": "MD", "dti_space": "normalized"},
        "dwi/dti_based_processing/normalized_space/{}_space-MNI152Lin_res-1x1x1_MD.nii.gz",
    ),
    "custom": ({"custom_suffix": "Tiny_T1w.nii.gz"}, "any/{}_Tiny_T1w.nii.gz"),
}  # fmt: skip
"""Preprocessing -> its settings, and the name that a pipeline gives to its images."""


@pytest.fixture(scope="session")
def pipelines() -> dict[str, tuple[dict[str, object], str]]:
    """Preprocessing -> its settings, and its images: ``{}`` is participant and session."""
    return PIPELINES


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Let no test that asks for silence silence the next one."""
    logger = logging.getLogger("clinicadl")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Let Ctrl-C reach the commands that tests start, also where the tests run in the background.

    A shell without job control starts what runs in the background deaf to it, and all of its
    children too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans, or a skip that says why."""
    if not REAL.is_dir():
        pytest.skip(
            f"the real scans are not beside the repository ({REAL.parent.name}/{REAL.name})"
        )
    return REAL


def make_caps(folder: Path, *, n_participants: int = 20, first: int = 0) -> Path:
    """Write a CAPS of tiny images whose class can be learnt, and its table.

    Odd participants are AD: a corner of their image is dark. Every fourth has a second session.
    """
    from clinicadl.layouts import images

    rows = ["participant_id\tsession_id\tdiagnosis\tage\tsex"]
    for number in range(first, first + n_participants):
        participant = f"sub-T{number:03d}"
        for session in ["ses-M000", "ses-M012"] if number % 4 == 0 else ["ses-M000"]:
            draw = generator(7, f"tiny/{session}", sample=number)
            voxels = draw.uniform(0.5, 1.0, GRID).astype(np.float32)
            if number % 2:
                voxels[2:9, 2:9, 2:9] *= 0.3
            path = folder / "subjects" / participant / session / "custom"
            images.write(path / f"{participant}_{session}_{SUFFIX}", voxels, affine=AFFINE)
            diagnosis = "AD" if number % 2 else "CN"
            age, sex = 60 + (number * 7) % 25, "FM"[number // 2 % 2]
            rows.append(f"{participant}\t{session}\t{diagnosis}\t{age}\t{sex}")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def caps_of() -> Callable[..., Path]:
    """Return the function that makes a tiny CAPS, for tests that need several."""
    return make_caps


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CAPS with tensors, a test set and two folds; nobody writes to it."""
    from clinicadl import KFoldConfig, PrepareConfig, SplitConfig, kfold, prepare_data, split

    caps = make_caps(tmp_path_factory.mktemp("tiny") / "caps")
    split(
        SplitConfig(
            data_tsv=caps / "labels.tsv", subset_name="test", n_test=6, ignore_demographics=True
        )
    )
    kfold(KFoldConfig(data_tsv=caps / "split" / "train.tsv", n_splits=2))
    prepare_data(
        PrepareConfig(
            caps_directory=caps,
            preprocessing={"name": "custom", "custom_suffix": SUFFIX},
            extract_json="tiny",
            n_proc=1,
        )
    )
    return caps


@pytest.fixture
def prepared(prepared_once: Path, tmp_path: Path) -> Path:
    """A copy of the prepared CAPS, for tests that change it."""
    return Path(shutil.copytree(prepared_once, tmp_path / "caps"))


@pytest.fixture(scope="session")
def config_of() -> Callable:
    """Return a function that makes a quick experiment on a prepared tiny CAPS."""
    from clinicadl import read_experiment

    def config(caps: Path, **sections):
        quick = {
            "data": {
                "caps_directory": caps,
                "preprocessing_json": "tiny",
                "tsv_directory": caps / "split" / "2_fold",
            },
            "network": {"name": "Conv4_FC3", "dropout": 0.3},
            "optimization": {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3},
            "validation": {"n_splits": 2, "split": [0]},
            "compute": {"n_proc": 0, "gpu": False},
            "task": {"name": "classification", "selection_metrics": ["loss", "BA"]},
        }
        for name, values in sections.items():
            quick[name] = {**quick.get(name, {}), **values}
        return read_experiment(quick)

    return config


@pytest.fixture(scope="session")
def trained_once(prepared_once: Path, config_of, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MAPS of one trained split; nobody writes to it."""
    from clinicadl import train

    maps = tmp_path_factory.mktemp("trained") / "maps"
    train(config_of(prepared_once), maps)
    return maps


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A copy of the trained MAPS, for tests that change it."""
    return Path(shutil.copytree(trained_once, tmp_path / "maps"))


def run_cli(*arguments: object, folder: Path | None = None):
    """Run the command line in a process of its own; return what it said and its exit code."""
    import subprocess
    import sys

    return subprocess.run(
        [sys.executable, "-m", "clinicadl", *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def clinicadl() -> Callable:
    """The command line, in a process of its own."""
    return run_cli


@pytest.fixture
def invoke(capfd):
    """The command line in this process: returns (exit code, standard output, standard error)."""
    from clinicadl.cli.main import run

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            run([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return int(done.value.code or 0), said.out, said.err

    return call
