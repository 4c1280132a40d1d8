"""Images of full size to tensors: ours against plain nibabel and torch.save, and two processes.

What two processes can gain is up to the machine: two that know nothing of each other, each with
half of the images, are the limit that ours is shown against.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import torch
from measure import REAL, interleaved, line

N_IMAGES, ROUNDS = 96, 5
SHAPE = (169, 208, 179)
END = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"


def sources(folder: Path) -> list[Path]:
    """Return the real images of full size where there are any, else a smooth one of this size."""
    found = sorted(REAL.glob(f"t1-linear-caps/subjects/*/*/t1_linear/*{END}"))
    if found:
        return found
    from scipy.ndimage import gaussian_filter

    from clinicadl.draws import generator

    voxels = gaussian_filter(generator(0, "image").random(SHAPE, dtype=np.float32), 3)
    path = folder / "image.nii.gz"
    nib.save(nib.Nifti1Image((voxels * 1000).astype(np.int16), np.eye(4)), path)
    return [path]


def make(folder: Path) -> list[Path]:
    """Write a CAPS of copies of these images, each as often as the others."""
    known, copies = sources(folder), []
    for number in range(N_IMAGES):
        name = f"sub-{number:02d}"
        path = folder / "caps/subjects" / name / "ses-M000/t1_linear"
        path.mkdir(parents=True)
        copy = path / f"{name}_ses-M000_{END}"
        copies.append(Path(shutil.copy(known[number % len(known)], copy)))
    return copies


def prepared(folder: Path, **settings: object) -> None:
    """Run the whole command: index, checks, tensors, origins, JSON."""
    from clinicadl import PrepareConfig, prepare_data

    row = {"name": "t1-linear"}
    prepare_data(
        PrepareConfig(
            caps_directory=folder / "caps", preprocessing=row, extract_json="bench", **settings
        )
    )


def without_tensors(folder: Path) -> None:
    for made in (folder / "caps").glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(made)


def ours(folder: Path, n_proc: int) -> float:
    """Return seconds an image."""
    without_tensors(folder)
    start = time.perf_counter()
    prepared(folder, n_proc=n_proc)
    return (time.perf_counter() - start) / N_IMAGES


def strangers(folder: Path) -> float:
    """Return seconds an image of two processes that know nothing of each other."""
    without_tensors(folder)
    both = [
        multiprocessing.Process(
            target=prepared, args=(folder,), kwargs={"n_proc": 1, "shard": f"{half}/2"}
        )
        for half in (1, 2)
    ]
    start = time.perf_counter()
    for one in both:
        one.start()
    for one in both:
        one.join()
    return (time.perf_counter() - start) / N_IMAGES


def plain(images: list[Path], folder: Path) -> float:
    """Return seconds an image of the floor: what one would write, with no check at all."""
    shutil.rmtree(folder / "plain", ignore_errors=True)
    (folder / "plain").mkdir()
    start = time.perf_counter()
    for image in images:
        voxels = nib.load(image).get_fdata(dtype=np.float32)
        torch.save(torch.from_numpy(voxels)[None], folder / "plain" / f"{image.name}.pt")
    return (time.perf_counter() - start) / len(images)


def main() -> None:
    """Print seconds an image: ours against the floor, two processes against one."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        images = make(folder)
        ours(folder, 1)
        two: list[float] = []
        apart: list[float] = []

        def each_way() -> float:
            one = ours(folder, 1)
            two.append(ours(folder, 2))
            apart.append(strangers(folder))
            return one

        one, floor = interleaved(each_way, lambda: plain(images, folder), rounds=ROUNDS)
    line("extraction of an image, one process", one, floor, "<= 0.67 and <= 0.10 s")
    line("extraction of an image, two processes against one", median(two), one, "<= 0.62")
    line("the same against two strangers", median(two), median(apart), "<= 1.05")


if __name__ == "__main__":
    main()
