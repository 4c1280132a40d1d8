"""One page of pictures of raw images, those with findings first."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.layouts import images
from clinicadl.layouts.files import write_text
from clinicadl.quality.raw import Finding, Plan, Verdict
from clinicadl.quality.raw_checks import CHECKS, Seen
from clinicadl.work import Outcome, outcomes

MOST_PICTURES = 300
"""So that a browser can hold the page: one is 10 to 40 KB."""
_LONGEST = 128
"""Pixels."""
_BRIGHTEST = 99.5
"""Per cent of the voxels that are below white."""

Pixels = NDArray[np.uint8]
Picture = Outcome[Path, str]
"""An image, and its three middle planes as a PNG in base64."""


class Card(NamedTuple):
    """What the page shows of an image."""

    name: str
    findings: tuple[Finding, ...]
    facts: str
    picture: str
    """Empty of an image that is not shown."""


def shown(verdict: Verdict) -> list[Seen]:
    """Return the images in the order of the page: those with an error, a warning, nothing."""
    severity = {one.seen.file.path: 1 for one in verdict.findings}
    severity |= {one.seen.file.path: 0 for one in verdict.findings if one.severity == "error"}
    return sorted(verdict.seen, key=lambda seen: (severity.get(seen.file.path, 2), seen.file.path))


def draw(planned: Plan, verdict: Verdict) -> Generator[Picture, None, None]:
    """Yield the picture of each image that can be read, as many as a page holds."""
    paths = [seen.file.path for seen in shown(verdict) if seen.facts is not None]
    jobs = paths[:MOST_PICTURES]
    with closing(outcomes(_drawn, jobs, n_proc=planned.config.n_proc)) as pictures:
        yield from pictures


def write(path: Path, planned: Plan, verdict: Verdict, pictures: list[Picture]) -> None:
    """Write the page.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    home = planned.config.bids_directory
    of = {one.job: one.result or "" for one in pictures}
    found: dict[Path, list[Finding]] = {}
    for one in verdict.findings:
        found.setdefault(one.seen.file.path, []).append(one)
    cards = [
        Card(
            seen.file.path.relative_to(home).as_posix(),
            tuple(found.get(seen.file.path, ())), _said(seen), of.get(seen.file.path, ""),
        )
        for seen in shown(verdict)
        if seen.file.path in found or seen.file.path in of
    ]  # fmt: skip
    environment = Environment(
        loader=PackageLoader("clinicadl.quality", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    counts = {
        name: (check.severity, len({one.seen.file.path for one in verdict.findings
                                    if one.check == name}), check.advice)
        for name, check in planned.checks.items()
    }  # fmt: skip
    page = environment.get_template("raw_page.html.j2").render(
        home=home.name, verdict=verdict, cards=cards, advice=CHECKS,
        counts={name: row for name, row in counts.items() if row[1]},
        n_left_out=len(verdict.seen) - len(cards),
    )  # fmt: skip
    write_text(path, page)


def _said(seen: Seen) -> str:
    if seen.facts is None:
        return ""
    shape = " x ".join(map(str, seen.facts.shape))
    edges = " x ".join(f"{edge:.3g}" for edge in seen.facts.voxel_size)
    return f"{shape} voxels of {edges} mm, {images.orientation(seen.facts.affine)}"


def _drawn(path: Path) -> str:
    stored = images.read_stored(path)
    volume = stored.voxels.reshape((*stored.voxels.shape[:3], -1), order="F")[..., 0]
    with np.errstate(over="ignore"):
        numbers = np.nan_to_num(np.asarray(volume, dtype=np.float32), posinf=0, neginf=0)
    turned = images.to_ras(numbers, stored.affine)
    # How far a voxel reaches along each axis of the world, near enough for a picture.
    edges = np.abs(stored.affine[:3, :3]).max(axis=1)
    edges = edges if np.isfinite(edges).all() and edges.all() else np.ones(3)
    return b64encode(png(_planes(turned, edges))).decode()


def _planes(volume: NDArray[np.float32], edges: NDArray[np.float64]) -> Pixels:
    """Return the sagittal, coronal and axial middle planes; the right is on the left."""
    low, high = float(volume.min()), float(np.percentile(volume, _BRIGHTEST))
    scale = 255 / (high - low) if high > low else 0.0
    extents = np.array(volume.shape) * edges
    sizes = np.maximum(1, np.round(_LONGEST * extents / extents.max()).astype(int))
    strips = []
    for across in range(3):
        plane = np.take(volume, volume.shape[across] // 2, axis=across)
        wide, tall = (axis for axis in range(3) if axis != across)
        at = [
            ((np.arange(sizes[axis]) + 0.5) * volume.shape[axis] / sizes[axis]).astype(int)
            for axis in (wide, tall)
        ]
        grey = np.clip((plane[np.ix_(*at)] - low) * scale, 0, 255).astype(np.uint8)
        strip = np.zeros((_LONGEST, sizes[wide] + 4), np.uint8)
        top = (_LONGEST - sizes[tall]) // 2
        strip[top : top + sizes[tall], 2:-2] = grey.T[::-1, ::-1]
        strips.append(strip)
    return np.concatenate(strips, axis=1)


def png(pixels: Pixels) -> bytes:
    """Return a PNG of grey pixels, shape (rows, columns).

    References
    ----------
    .. [1] Portable Network Graphics, https://www.w3.org/TR/png-3/
    """
    rows, columns = pixels.shape
    lines = np.insert(pixels, 0, 0, axis=1).tobytes()  # each line begins with its filter: none
    chunks = (
        (b"IHDR", struct.pack(">2I5B", columns, rows, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )  # fmt: skip
