"""One random patch of 50^3 from a stored volume, with one thread, against cutting it in memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from measure import line


def main() -> None:
    """Cut 2,000 patches at random places of twenty images."""
    import torch

    from clinicadl.config.mode import PatchMode
    from clinicadl.data import tensors
    from clinicadl.data.dataset import PartDataset
    from clinicadl.data.parts import patches
    from clinicadl.draws import generator
    from clinicadl.transforms.intensity import without_nan

    torch.set_num_threads(1)
    shape = (169, 208, 179)
    draw = generator(0, "benchmark")
    parts = patches(PatchMode(patch_size=50, stride_size=7), (1, *shape))
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.pt" for i in range(20)]
        for path in paths:
            tensors.write(path, draw.random(shape, dtype=np.float32))
        dataset = PartDataset([[(path,)] for path in paths], [0] * 20, parts, without_nan)
        loaded = [torch.load(path, weights_only=True) for path in paths]
        ours, floor = [], []
        for key in draw.integers(0, len(dataset), 2000).tolist():
            start = time.perf_counter()
            dataset[key].image.clone()
            middle = time.perf_counter()
            image, part = divmod(key, len(parts))
            without_nan(parts.cut(loaded[image], part)).clone()
            ours.append(middle - start)
            floor.append(time.perf_counter() - middle)
    line("a random patch of 50^3", 1e3 * median(ours), 1e3 * median(floor), "<= 0.3", unit="ms")


if __name__ == "__main__":
    sys.exit(main())
