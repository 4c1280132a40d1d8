"""What many tests share: real objects on tiny inputs."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import NormalDist

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


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with programs like those of Slurm, first in the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    record = 'cp "$1" "$(dirname "$0")/script.sh"; echo "Submitted batch job 77"'
    for name, text in (("sbatch", record), ("srun", "exit 1")):
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def by_hand(
    value: float, drawn: Sequence[float], left_out: Sequence[float]
) -> tuple[float, float, float]:
    """The BCa limits and the standard error, by the formulas of Efron 1987, without SciPy.

    Where all that was drawn lies on one side of the value, the limits are percentiles.
    """
    normal, n = NormalDist(), len(drawn)
    error = float(np.std(drawn, ddof=1))
    shares = [0.025, 0.975]
    gap = np.asarray(drawn) - value
    equal = abs(gap) < 1e-11 * np.abs(drawn).max()  # but for rounding
    below = float((gap < 0)[~equal].sum() + equal.sum() / 2) / n
    if 0 < below < 1:
        bias = normal.inv_cdf(below)
        gaps = np.mean(left_out) - np.asarray(left_out)
        spread = float(np.sum(gaps**2)) ** 1.5
        skew = float(np.sum(gaps**3)) / (6 * spread) if spread else 0.0
        moved = [bias + normal.inv_cdf(share) for share in shares]
        shares = [normal.cdf(bias + one / (1 - skew * one)) for one in moved]
    low, high = np.percentile(drawn, [100 * share for share in shares])
    return float(low), float(high), error


@pytest.fixture(scope="session")
def limits_by_hand() -> Callable[..., tuple[float, float, float]]:
    """Return a function that gives the interval of a metric by the formulas of a textbook."""
    return by_hand


def bits(maps: Path) -> dict[str, bytes]:
    """Every file that must not depend on when or by how many a MAPS was made."""
    import pandas as pd

    kept = {}
    for path in sorted(maps.glob("split-*/**/*")):
        if path.suffix == ".safetensors" or path.name.endswith(("prediction.tsv", "metrics.tsv")):
            kept[str(path.relative_to(maps))] = path.read_bytes()
        if path.name == "training.tsv":
            table = pd.read_csv(path, sep="\t").drop(columns="time")
            kept[str(path.relative_to(maps))] = table.to_csv().encode()
    return kept


def assert_same_bits(one: Path, other: Path) -> None:
    """Compare two MAPS of one training."""
    first, second = bits(one), bits(other)
    assert sorted(first) == sorted(second)
    assert len(first) >= 11
    assert [name for name in first if first[name] != second[name]] == []


@pytest.fixture(scope="session")
def bits_of() -> Callable[[Path], dict[str, bytes]]:
    """Return the function that reads every file that two runs of one training share."""
    return bits


@pytest.fixture(scope="session")
def same_bits() -> Callable[[Path, Path], None]:
    """Return the function that compares two MAPS of one training bit by bit."""
    return assert_same_bits


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


def make_published(maps: Path, caps: Path, network_of: Callable, **record: object) -> Path:
    """Write a MAPS as release 1.6.1 does: Conv4_FC3 on a prepared tiny CAPS, split 0 of 2 trained.

    Parameters
    ----------
    maps
        The MAPS to be.
    caps
        What `prepared_once` made.
    network_of
        Number of the part, or None -> the network that is stored for it.
    record
        Keys of the record with other values; ``None`` as a key's value leaves it out.
    """
    import json

    import pandas as pd

    extraction = json.loads((caps / "tensor_extraction" / "tiny.json").read_text())
    content = {**PUBLISHED_RECORD, "caps_directory": str(caps), "preprocessing_dict": extraction,
               "tsv_path": str(caps / "split" / "2_fold"), **record}  # fmt: skip
    content = {key: value for key, value in content.items() if value is not None}

    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write(maps / "maps.json", json.dumps(content))
    write(maps / "environment.txt", "clinicadl==1.6.1\nnumpy==1.26.4\ntorch==2.1.2\n")
    write(maps / "information.log", "- Date :\t03 Oct 2024, 11:30:00\n\n- Path :\tmaps\n")
    origin = json.dumps({"caps_directory": str(caps), "multi_cohort": False})
    seen = pd.read_csv(caps / "split" / "train.tsv", sep="\t")
    ids = ["participant_id", "session_id"]
    write(maps / "groups/train+validation.tsv", seen[ids].to_csv(sep="\t", index=False))
    for split in range(2):
        folder = caps / "split" / "2_fold" / f"split-{split}"
        columns = [*ids, "cohort", *([content["label"]] if content.get("label") else [])]
        for group, table in (("train", "train"), ("validation", "validation_baseline")):
            rows = pd.read_csv(folder / f"{table}.tsv", sep="\t").assign(cohort="single")
            # The release writes the index of the rows as well.
            text = rows[columns].to_csv(sep="\t")
            write(maps / f"groups/{group}/split-{split}/data.tsv", text)
            write(maps / f"groups/{group}/split-{split}/maps.json", origin)
    header = "epoch\titeration\ttime\tBA_train\tloss_train\tBA_valid\tloss_valid\n"
    parts = range(content["num_networks"]) if content["multi_network"] else [None]
    for part in parts:
        of_part = "" if part is None else f"network-{part}"
        write(maps / "split-0/training_logs" / of_part / "training.tsv", header)
        best = maps / "split-0" / "best-loss"
        best.mkdir(exist_ok=True)
        name = "model.pth.tar" if part is None else f"{of_part}_model.pth.tar"
        state, architecture = network_of(part).state_dict(), content["architecture"]
        torch.save({"model": state, "epoch": 1, "name": architecture}, best / name)
    for group in ("train", "validation"):
        said = maps / f"split-0/best-loss/{group}"
        mode = content["mode"]
        rows = pd.read_csv(maps / f"groups/{group}/split-0/data.tsv", sep="\t")[ids]
        rows = rows.merge(pd.DataFrame({f"{mode}_id": range(content["num_networks"])}), how="cross")
        true = (rows["participant_id"].str[-1].astype(int) + 1) % 2  # odd participants are AD
        # Part 0 is always right, each further one says AD of everybody.
        right = rows[f"{mode}_id"] == 0
        proba1 = np.where(right, true * 0.5 + 0.25, 0.25)
        rows = rows.assign(true_label=true, predicted_label=np.where(right, true, 0),
                           proba0=1 - proba1, proba1=proba1)  # fmt: skip
        table = rows.to_csv(sep="\t", index=False)
        write(said / f"{group}_{mode}_level_prediction.tsv", table)
        write(said / f"{group}_{mode}_level_metrics.tsv", PUBLISHED_METRICS)
        write(said / "description.log", f"Prediction {group} group - 2024-10-03 11:45:00\n")
    return maps


PUBLISHED_METRICS = (
    "Metrics\tBA\taccuracy\tF1_score\tsensitivity\tloss\nValues\t0.75\t0.8\t0.7\t0.6\t0.5\n"
    "Lower bound CI\t0.5\t0.6\t0.4\t0.3\tN/A\nUpper bound CI\t1.0\t0.9\t0.8\t0.7\tN/A\n"
    "SE\t0.1\t0.1\t0.1\t0.1\tN/A\n"
)

PUBLISHED_RECORD = {
    "architecture": "Conv4_FC3", "multi_network": False, "ssda_network": False, "dropout": 0.0,
    "latent_space_size": 128, "feature_size": 1024, "n_conv": 4, "io_layer_channels": 8,
    "recons_weight": 1, "kl_weight": 1, "normalization": "batch", "selection_metrics": ["loss"],
    "label": "diagnosis", "label_code": {"AD": 0, "CN": 1}, "selection_threshold": 0.0,
    "loss": "CrossEntropyLoss", "gpu": True, "n_proc": 2, "batch_size": 4, "evaluation_steps": 0,
    "fully_sharded_data_parallel": False, "amp": False, "seed": 0, "deterministic": False,
    "compensation": "memory", "track_exp": "", "transfer_path": False,
    "transfer_selection_metric": "loss", "nb_unfrozen_layer": 0, "use_extracted_features": False,
    "multi_cohort": False, "diagnoses": ["AD", "CN"], "baseline": False,
    "valid_longitudinal": False, "normalize": True, "data_augmentation": False,
    "sampler": "random", "size_reduction": False, "size_reduction_factor": 2, "caps_target": "",
    "tsv_target_lab": "", "tsv_target_unlab": "", "preprocessing_dict_target": "", "n_splits": 2,
    "split": [0], "optimizer": "Adam", "epochs": 2, "learning_rate": 0.0001,
    "adaptive_learning_rate": False, "weight_decay": 0.0001, "patience": 0, "tolerance": 0.0,
    "accumulation_steps": 1, "profiler": False, "save_all_models": False,
    "emissions_calculator": False, "network_task": "classification", "mode": "image",
    "validation": "KFoldSplit", "num_networks": 1, "output_size": 2, "input_size": [1, *GRID],
}  # fmt: skip
"""Every key of a record of release 1.6.1 but those of folders."""


class PlainConv4(torch.nn.Module):
    """Conv4_FC3 in plain PyTorch, by its published description."""

    def __init__(self, shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        nn, layers, sizes = torch.nn, [], shape[1:]
        for given, made in zip((shape[0], 8, 16, 32, 64), (8, 16, 32, 64, 128), strict=True):
            layers += [nn.Conv3d(given, made, 3, padding=1), nn.BatchNorm3d(made), nn.ReLU()]
            layers.append(PlainPool())
            sizes = [-(-size // 2) for size in sizes]
        self.convolutions = nn.Sequential(*layers)
        features = 128 * int(np.prod(sizes))
        self.fc = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.0), nn.Linear(features, 50), nn.ReLU(), nn.Linear(50, 40),
            nn.ReLU(), nn.Linear(40, n_outputs),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.convolutions(images))


class PlainPool(torch.nn.Module):
    """Pooling by 2; an odd axis gets a zero before its first element."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        pads = [pad for size in reversed(maps.shape[2:]) for pad in (size % 2, 0)]
        return torch.nn.functional.max_pool3d(torch.nn.functional.pad(maps, pads), 2)


@pytest.fixture(scope="session")
def plain_network() -> Callable:
    """Return a function that makes a plain network with weights that no draw of ours makes."""

    def of(shape: tuple[int, ...] = (1, *GRID), *, seed: int = 1, n_outputs: int = 2):
        network = PlainConv4(shape, n_outputs)
        draw = np.random.default_rng(seed)
        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                if tensor.dtype == torch.float32:
                    fan_in = tensor[0].numel() if tensor.ndim > 1 else 4
                    drawn = draw.uniform(-1.7, 1.7, tuple(tensor.shape)) / fan_in**0.5
                    drawn += ("running_var" in name) + ("bias" not in name and tensor.ndim == 1)
                    tensor.copy_(torch.from_numpy(drawn.astype(np.float32)))
        return network.eval()

    return of


@pytest.fixture(scope="session")
def published_of(prepared_once: Path, plain_network: Callable) -> Callable[..., Path]:
    """Return a function that writes a MAPS as release 1.6.1 does; its weights are plain."""

    def of(maps: Path, *, caps: Path | None = None, network_of: Callable | None = None, **record):
        stored = network_of or (lambda _: plain_network())
        return make_published(maps, caps or prepared_once, stored, **record)

    return of


@pytest.fixture
def published_maps(published_of: Callable[..., Path], tmp_path: Path) -> Path:
    """A MAPS as release 1.6.1 writes it, for tests that change it."""
    return published_of(tmp_path / "old")
