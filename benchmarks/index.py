"""The index of a CAPS of 10,000 sessions: at most 2 s, and linear."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from measure import line

END = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w"


def make(folder: Path, n_sessions: int) -> Path:
    """Write a CAPS of empty images, each beside its tensor, two sessions a participant."""
    for number in range(n_sessions):
        participant, session = f"sub-{number // 2:05d}", f"ses-M{number % 2 * 12:03d}"
        home = folder / "subjects" / participant / session
        tensors = home / "deeplearning_prepare_data/image_based/t1_linear"
        for path, suffix in ((home / "t1_linear", ".nii.gz"), (tensors, ".pt")):
            path.mkdir(parents=True)
            (path / f"{participant}_{session}_{END}{suffix}").touch()
    return folder


def seconds(caps: Path, n_sessions: int) -> float:
    """Return the median time of an index."""
    from clinicadl.config.preprocessing import T1Linear
    from clinicadl.layouts.caps import index

    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = index(caps, T1Linear())
        times.append(time.perf_counter() - start)
        assert len(found) == n_sessions
    return median(times)


def glob(caps: Path, n_sessions: int) -> float:
    """Return the time of the floor: one recursive glob a participant."""
    start = time.perf_counter()
    found = [
        path
        for participant in sorted((caps / "subjects").iterdir())
        for path in participant.glob(f"*/**/*{END}.nii.gz")
    ]
    assert len(found) == n_sessions
    return time.perf_counter() - start


def main() -> None:
    """Print the time against a glob's, and ten times as many sessions against one."""
    with TemporaryDirectory() as name:
        few, many = make(Path(name) / "few", 1_000), make(Path(name) / "many", 10_000)
        small, large = seconds(few, 1_000), seconds(many, 10_000)
        line("index of 10,000 sessions, against a glob", large, glob(many, 10_000), "<= 2 s")
        line("index of 10,000 sessions, against 1,000", large, small, "about 10")


if __name__ == "__main__":
    main()
