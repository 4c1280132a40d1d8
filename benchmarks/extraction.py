"""Images of full size to tensors: ours against plain nibabel and torch.save, and two processes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import torch
from measure import REAL, interleaved, line

COPIES = 6
SHAPE = (169, 208, 179)


def a_real_image(folder: Path) -> Path:
    """Return a real image of full size where there is one, else a smooth one of the same size."""
    found = sorted(REAL.glob("t1-linear-caps/subjects/sub-MSX19/*/t1_linear/*.nii.gz"))
    if found:
        return found[0]
    from scipy.ndimage import gaussian_filter

    from clinicadl.draws import generator

    voxels = gaussian_filter(generator(0, "image").random(SHAPE, dtype=np.float32), 3)
    path = folder / "image.nii.gz"
    nib.save(nib.Nifti1Image((voxels * 1000).astype(np.int16), np.eye(4)), path)
    return path


def make(folder: Path) -> list[Path]:
    """Write a CAPS of copies of one image."""
    source, copies = a_real_image(folder), []
    for number in range(COPIES):
        name = f"sub-{number:02d}"
        path = folder / "caps/subjects" / name / "ses-M000/t1_linear"
        path.mkdir(parents=True)
        end = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
        copies.append(Path(shutil.copy(source, path / f"{name}_ses-M000_{end}")))
    return copies


def ours(folder: Path, n_proc: int) -> float:
    """Return seconds an image."""
    from clinicadl import PrepareConfig, prepare_data

    for made in (folder / "caps").glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(made)
    config = PrepareConfig(
        caps_directory=folder / "caps",
        preprocessing={"name": "t1-linear"},
        extract_json="bench",
        n_proc=n_proc,
    )
    start = time.perf_counter()
    prepare_data(config)
    return (time.perf_counter() - start) / COPIES


def plain(images: list[Path], folder: Path) -> float:
    """Return seconds an image of the floor."""
    start = time.perf_counter()
    for image in images:
        voxels = nib.load(image).get_fdata(dtype=np.float32)
        torch.save(torch.from_numpy(voxels[None].copy()), folder / f"{image.name}.pt")
    return (time.perf_counter() - start) / len(images)


def main() -> None:
    """Print both ratios."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        images = make(folder)
        ours(folder, 1)
        one, floor = interleaved(
            lambda: ours(folder, 1), lambda: plain(images, folder), rounds=3
        )
        two = median(ours(folder, 2) for _ in range(3))
    line("extraction, seconds an image, one process", one, floor, "<= 0.67 and <= 0.10 s")
    line("extraction, two processes against one", two, one, "<= 0.62")


if __name__ == "__main__":
    main()
