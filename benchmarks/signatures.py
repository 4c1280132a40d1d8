"""How well heads are told apart from their images: strangers, and the same head scanned again.

All on real images (125 people of IXI on 4 mm, in MNI space). Among them are two images of one
person, whose ages agree to the day: the only real re-scan. The others are made by computation.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from measure import REAL, line
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from clinicadl.draws import generator
from clinicadl.guard.likeness import LEAST_SIMILARITY, alike
from clinicadl.layouts import images, signatures
from clinicadl.layouts.signatures import Signature

TWICE = ("sub-IXI383", "sub-IXI384")
"""One person: women of 74.01 years with one head."""
SESSION = "ses-M000"
FULL = (169, 208, 179)


def scanned_again(
    voxels: np.ndarray,
    affine: np.ndarray,
    stream: np.random.Generator,
    *,
    mm: float,
    degrees: float,
) -> np.ndarray:
    """Return an image of the same head on another day, by another scanner.

    It is moved by up to ``mm`` along and ``degrees`` around each axis, shrunk by 2 % and bent by
    0.7 mm here and there (atrophy, and what registration leaves), of another contrast (gamma
    between 0.78 and 1.28), with a bias field of up to 30 % and noise of 5 % of the brightest.
    """
    size = np.linalg.norm(affine[:3, :3], axis=0)
    turn = Rotation.from_euler("xyz", stream.uniform(-degrees, degrees, 3), degrees=True)
    middle = ((np.array(voxels.shape) - 1) / 2)[:, None]
    places = np.indices(voxels.shape).reshape(3, -1)
    bent = gaussian_filter(stream.standard_normal((3, *voxels.shape)), (0, *(16 / size)))
    world = turn.as_matrix() @ ((places - middle) * size[:, None] * 1.02)
    world += stream.uniform(-mm, mm, (3, 1)) + 0.7 * bent.reshape(3, -1) / bent.std()
    moved = map_coordinates(voxels, world / size[:, None] + middle, order=1).reshape(voxels.shape)
    bias = gaussian_filter(stream.standard_normal(voxels.shape), 32 / size)
    level = np.clip(moved / np.percentile(voxels, 99.5), 0, None)
    level = level ** np.exp(stream.uniform(-0.25, 0.25)) * (1 + 0.3 * bias / np.abs(bias).max())
    level += 0.05 * stream.standard_normal(level.shape) * (level > 0.02)
    return (level * stream.uniform(50, 2000)).astype(np.float32)


def read_ixi(data: Path) -> dict[str, images.Image]:
    """Return the image of each participant."""
    paths = sorted((data / "ixi-caps-4mm" / "subjects").glob("*/*/custom/*.nii.gz"))
    return {path.parts[-4]: images.read(path) for path in paths}


def signed(people: dict[str, images.Image]) -> dict[tuple[str, str], Signature]:
    """Return the signature of each image."""
    return {(who, SESSION): signatures.of(one.voxels, one.affine) for who, one in people.items()}


def signed_again(
    people: dict[str, images.Image], *, mm: float, degrees: float
) -> dict[tuple[str, str], Signature]:
    """Return the signature of each head scanned again, under the name of somebody else."""
    found = {}
    for number, (who, one) in enumerate(people.items()):
        stream = generator(0, "re-scan", sample=number)
        voxels = scanned_again(one.voxels, one.affine, stream, mm=mm, degrees=degrees)
        found[f"sub-AGAIN{who.removeprefix('sub-IXI')}x", SESSION] = signatures.of(
            voxels, one.affine
        )
    return found


def correlations(values: np.ndarray) -> np.ndarray:
    """Return how alike the images of one set are, by NumPy's own correlation."""
    return np.corrcoef(values - values.mean(axis=0))


def main() -> None:
    """Print the figures, each beside what it should reach."""
    if not REAL.is_dir():
        print("the real scans are not here: nothing is measured")
        return
    people = read_ixi(REAL)
    known = signed(people)
    names = [who for who, _ in known]
    table = correlations(np.stack([one.values for one in known.values()]).astype(float))
    upper = np.triu(np.ones_like(table, dtype=bool), 1)
    twice = table[names.index(TWICE[0]), names.index(TWICE[1])]
    upper[names.index(TWICE[0]), names.index(TWICE[1])] = False
    strangers = table[upper]
    found = alike(known)
    false = [pair for pair in found if {pair.one[0], pair.other[0]} != {*TWICE}]
    print(
        f"strangers: {strangers.size} pairs, mean {strangers.mean():.3f}, spread "
        f"{strangers.std():.3f}, most alike {strangers.max():.3f}; floor {LEAST_SIMILARITY}"
    )
    line("false alarms among strangers", len(false), strangers.size, "0", unit="pairs")
    n_found = len(found) - len(false)
    print(f"real re-scan: {' = '.join(TWICE)} at {twice:.3f}, found: {n_found} of 1")
    for mm, degrees in ((1.0, 1.0), (2.0, 2.0), (4.0, 4.0)):
        again = signed_again(people, mm=mm, degrees=degrees)
        pairs = alike(again, known)
        values = np.stack([one.values for one in (*again.values(), *known.values())]).astype(float)
        n, own = len(people), [values[: len(people)], values[len(people) :]]
        table = np.corrcoef(*(some - some.mean(axis=0) for some in own))[:n, n:]
        least, usual = table.diagonal().min(), np.median(table.diagonal())
        print(
            f"moved up to {mm:g} mm, {degrees:g} degrees: {usual:.3f} alike, {least:.3f} at least"
        )
        right = {pair.one for pair in pairs if pair.one[0] == _again(pair.other[0])}
        wrong = [pair for pair in pairs if pair.one[0] != _again(pair.other[0])]
        wrong = [pair for pair in wrong if pair.other[0] not in TWICE]
        line(f"re-scans found, up to {mm:g} mm and {degrees:g} degrees", len(right), len(again),
             ">= 0.95" if mm <= 2 else "told", unit="heads")  # fmt: skip
        line("  of them named as somebody else", len(wrong), len(again) * len(known), "0",
             unit="pairs")  # fmt: skip
    _time(people)


def _again(who: str) -> str:
    return f"sub-AGAIN{who.removeprefix('sub-IXI')}x"


def _time(people: dict[str, images.Image]) -> None:
    voxels = generator(0, "benchmark").random(FULL, dtype=np.float32)
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = (-84, -119, -78)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        signatures.of(voxels, affine)
        seconds.append(time.perf_counter() - start)
    line(f"signature of {' x '.join(map(str, FULL))}", float(np.median(seconds)), 0.05, "<= 0.05 s")
    known = signed(people)
    start = time.perf_counter()
    alike(known)
    print(f"{len(known)} images compared with each other: {time.perf_counter() - start:.3f} s")


if __name__ == "__main__":
    main()
