"""Registration to MNI: seconds and memory an image, and how well brains and regions then agree.

Needs the extra preproc and real scans. The floor of the overlap is that of the same label maps
when only their centres are put on each other.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
from measure import REAL, line
from scipy.ndimage import affine_transform

from clinicadl.layouts import images
from clinicadl.preprocess.space import read_transform

DATA_SETS = (("forrest-bids", 1), ("open-ms-bids", 4), ("ixi-bids-2mm", 6))
GRID = np.array([[2.0, 0, 0, -96], [0, 2, 0, -132], [0, 0, 2, -78], [0, 0, 0, 1]])
SHAPE = (97, 115, 97)
Labels = np.ndarray


def run(data_set: str, caps: Path, who: str) -> tuple[float, float, float]:
    """Preprocess the sessions of a participant; return CPU and wall seconds, and peak GB."""
    words = ["preprocess", "t1-linear", REAL / data_set, caps, "--participant-label", who]
    command = [sys.executable, "-m", "clinicadl", "-q", *map(str, words), "-np", "1"]
    began = time.perf_counter()
    child = os.spawnv(os.P_NOWAIT, sys.executable, command)
    _, code, used = os.wait4(child, 0)
    if code:
        raise SystemExit(f"{data_set} {who} ended with {code}")
    wall = time.perf_counter() - began
    return used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024 / 1e9


def on_grid(path: Path, matrix: np.ndarray) -> Labels:
    """Return a label map on a grid of 2 mm, taken where a transform leads; by SciPy alone."""
    label_map = images.read(path)
    steps = np.linalg.inv(label_map.affine) @ matrix @ GRID
    return affine_transform(
        label_map.voxels.astype(np.int16), steps[:3, :3], steps[:3, 3], output_shape=SHAPE,
        order=0, mode="constant",
    )  # fmt: skip


def centred(path: Path) -> np.ndarray:
    """Return the transform that puts the centre of a label map on that of the brain in MNI."""
    label_map = images.read(path)
    centre = label_map.affine @ [*np.argwhere(label_map.voxels > 0).mean(axis=0), 1]
    matrix = np.eye(4)
    matrix[:3, 3] = centre[:3] - [0, -18, 10]
    return matrix


def overlap(maps: list[Labels]) -> tuple[float, float]:
    """Return the mean Dice of brains, and of regions, over all pairs of participants."""
    brains, regions = [], []
    for one, other in combinations(maps, 2):
        brains.append(_dice(one > 0, other > 0))
        names = np.union1d(np.unique(one), np.unique(other))
        regions += [_dice(one == name, other == name) for name in names if name]
    return mean(brains), mean(regions)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def main() -> None:
    """Print each ratio."""
    if find_spec("ants") is None or not REAL.is_dir():
        print("preprocess is not measured: it needs the extra preproc and the real scans")
        return
    with TemporaryDirectory() as folder:
        caps, label_maps = Path(folder) / "caps", []
        for data_set, most in DATA_SETS:
            people = sorted(path.name for path in (REAL / data_set).glob("sub-*"))[:most]
            for who in people:
                n = len(list((REAL / data_set / who).rglob("*_T1w.nii.gz")))
                cpu, wall, memory = run(data_set, caps, who)
                line(f"{data_set} {who}, CPU seconds an image", cpu / n, 60, "<= 1")
                line(f"{data_set} {who}, peak memory", memory, 2.5, "<= 1", unit="GB")
                print(f"  {wall / n:.1f} s by the clock", flush=True)
            if data_set == "ixi-bids-2mm":
                label_maps = [
                    next((REAL / data_set / "derivatives" / "dlmuse" / who).rglob("*dseg.nii.gz"))
                    for who in people
                ]
        for path in sorted(caps.rglob("*res-1x1x1_T1w.json")):
            if "desc-Crop" not in path.name:
                said = images_said(path)
                line(f"Dice of brains, {path.name[:20]}", said["BrainDice"], 1, ">= 0.9", unit="")
        registered = [
            on_grid(one, read_transform(next((caps / "subjects" / who).rglob("*_affine.mat"))))
            for one, who in zip(label_maps, people, strict=True)
        ]
        ours, floor = (
            overlap(registered),
            overlap([on_grid(one, centred(one)) for one in label_maps]),
        )
        line("Dice of brains between participants", ours[0], floor[0], ">= 1", unit="")
        line("Dice of 148 regions between participants", ours[1], floor[1], ">= 1", unit="")


def images_said(path: Path) -> dict[str, float]:
    """Return what a sidecar says."""
    from clinicadl.layouts.files import read_json

    return read_json(path, "sidecar")


if __name__ == "__main__":
    main()
