"""One random patch or region of 50^3 of a stored volume, with one thread, against plain PyTorch."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from measure import line

SHAPE = (169, 208, 179)
N_IMAGES, N_CUTS = 20, 2000


def ball():
    """Return the mask of a ball that touches the sides of a box of 50^3 in the middle."""
    from clinicadl.layouts.masks import Mask

    inside = ((np.indices((50, 50, 50)) - 24.5) ** 2).sum(axis=0) <= 24.5**2
    return Mask("ball", Path("masks/tpl-B/ball.nii"), inside, (60, 80, 60), SHAPE, np.eye(4), "")


def by_hand(image, parts, part, torch):
    """Cut a part of an image in memory as one would write it down."""
    (x, y, z), (to_x, to_y, to_z) = parts.windows[part]
    cut = image[:, x:to_x, y:to_y, z:to_z]
    if parts.masks:
        cut = torch.where(torch.from_numpy(parts.masks[part].voxels), cut, torch.tensor(0.0))
    return cut


def measured(name: str, parts, paths: list[Path], goal: str) -> None:
    """Cut at random places, ours from disk and the floor from memory in turn, and print."""
    import torch

    from clinicadl.data.dataset import PartDataset
    from clinicadl.draws import generator
    from clinicadl.transforms.intensity import without_nan

    dataset = PartDataset([[(path,)] for path in paths], [0] * N_IMAGES, parts, without_nan)
    loaded = [torch.load(path, weights_only=True) for path in paths]
    ours, floor = [], []
    for key in generator(0, "places").integers(0, len(dataset), N_CUTS).tolist():
        start = time.perf_counter()
        dataset[key].image.clone()
        middle = time.perf_counter()
        image, part = divmod(key, len(parts))
        without_nan(by_hand(loaded[image], parts, part, torch)).clone()
        ours.append(middle - start)
        floor.append(time.perf_counter() - middle)
    line(name, 1e3 * median(ours), 1e3 * median(floor), goal, unit="ms")


def main() -> None:
    """Cut patches and a region of the same images."""
    import torch

    from clinicadl.config.mode import PatchMode, RoiMode
    from clinicadl.data import parts, tensors
    from clinicadl.draws import generator

    torch.set_num_threads(1)
    draw = generator(0, "benchmark")
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.pt" for i in range(N_IMAGES)]
        for path in paths:
            tensors.write(path, draw.random(SHAPE, dtype=np.float32))
        patches = parts.of(PatchMode(patch_size=50, stride_size=7), (1, *SHAPE))
        measured("a random patch of 50^3", patches, paths, "<= 0.3")
        region = parts.of(RoiMode(roi_list=["ball"]), (1, *SHAPE), [ball()])
        measured("a region inside of a mask of 50^3", region, paths, "<= 0.3")


if __name__ == "__main__":
    sys.exit(main())
