"""Where PET is found on a real head, when it was put there: in mm, over the voxels of the brain.

Needs the extra preproc and real scans. The PET is made from tissue maps with the uptake of a
tracer, blurred, noisy, turned and moved; the floor is half of its voxel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import REAL, line
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from clinicadl.draws import generator
from clinicadl.layouts import images
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess import ants
from clinicadl.preprocess.space import read_transform

UPTAKE = {"FDG": (1.0, 0.25), "taken": (0.6, 1.0), "left": (0.5, 0.45)}
"""Tracer -> uptake of grey and of white matter; amyloid that is taken up, and that is not."""
SKIN, BLUR_MM, NOISE = 0.05, 2.5, 30.0
EDGES, SHAPE = (-2.0, 2.0, 3.0), (128, 128, 75)
MASK = REAL / "pet-reference-masks" / (
    "region-cerebellumPons_remove-extrabrain_eroded-3it_mask.nii.gz"
)  # fmt: skip


def clinicadl(*words: object) -> float:
    """Run a command, and return the CPU seconds that it took."""
    before = os.times()
    command = [sys.executable, "-m", "clinicadl", "-q", *map(str, words), "-np", "1"]
    subprocess.run(command, check=True)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def moved() -> np.ndarray:
    """Return the transform from T1w to PET."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()
    matrix[:3, 3] = [15, -20, 30]
    return matrix


def write(bids: Path, tracer: str, to_t1: np.ndarray) -> None:
    """Write the PET of a tracer."""
    t1 = images.read(bids / "sub-02" / "anat" / "sub-02_T1w.nii.gz")
    name = "tpl-MNI152NLin2009aSym_desc-Crop_res-1_label-{}_probseg.nii.gz"
    maps = [images.read(REAL / "templates" / name.format(tissue)) for tissue in ("GM", "WM")]
    frame = Frame(maps[0].voxels.shape, maps[0].affine)
    head = t1._replace(voxels=(t1.voxels > t1.voxels.mean() / 2).astype(np.float32))
    uptake = SKIN * ants.resample(head, frame, to_t1).voxels
    for share, tissue in zip(UPTAKE[tracer], maps, strict=True):
        uptake = uptake + share * tissue.voxels / tissue.voxels.max()
    shown = Image(gaussian_filter(1000 * uptake, BLUR_MM).astype(np.float32), frame.affine, None)
    affine = np.diag([*EDGES, 1.0])
    centre = moved() @ t1.affine @ [*np.array(t1.voxels.shape) / 2, 1]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ (np.array(SHAPE) / 2)
    back = np.linalg.inv(moved() @ to_t1)
    pet = ants.resample(shown, Frame(SHAPE, affine), back).voxels
    noise = NOISE * generator(0, f"pet/{tracer}").normal(size=SHAPE)
    noisy = np.maximum(pet + noise * np.sqrt(np.maximum(pet, 1) / 500), 0)
    path = bids / "sub-02" / "pet" / f"sub-02_trc-{tracer}_pet.nii.gz"
    images.write(path, noisy.astype(np.float32), affine=affine)


def main() -> None:
    """Print each ratio."""
    if find_spec("ants") is None or not REAL.is_dir():
        print("pet-linear is not measured: it needs the extra preproc and the real scans")
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    brain = images.read(
        REAL / "templates" / "tpl-MNI152NLin2009aSym_desc-BrainCrop_res-1_T1w.nii.gz"
    )
    index = np.argwhere(brain.voxels > 0)[::500]
    with TemporaryDirectory() as folder:
        bids, caps = Path(folder) / "bids", Path(folder) / "caps"
        shutil.copytree(REAL / "forrest-bids", bids)
        clinicadl("preprocess", "t1-linear", bids, caps, "--participant-label", "02")
        to_t1 = read_transform(next(caps.rglob("t1_linear/*.mat")))
        points = to_t1 @ brain.affine @ np.c_[index, np.ones(len(index))].T
        for tracer in UPTAKE:
            write(bids, tracer, to_t1)
            where = ("preprocess", "pet-linear", bids, caps, tracer, "cerebellumPons2")
            seconds = clinicadl(*where, "--reference-mask", MASK)
            found = read_transform(next(caps.rglob(f"*trc-{tracer}_pet_space-T1w_rigid.mat")))
            off = np.linalg.norm(((found - moved()) @ points)[:3], axis=0)
            line(f"{tracer}, off on average", off.mean(), 1.0, "<= 1", unit="mm")
            line(f"{tracer}, off at most", off.max(), 1.5, "<= 1", unit="mm")
            line(f"{tracer}, CPU seconds an image", seconds, 60, "<= 1")


if __name__ == "__main__":
    main()
