"""What can be wrong with a raw image, and how each of it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from clinicadl.layouts.bids import BidsFile
from clinicadl.layouts.caps import Session
from clinicadl.layouts.ids import ONLY_SESSION
from clinicadl.quality.raw_copies import Pair, Picture, pairs
from clinicadl.quality.raw_facts import Affine, Facts, Looks

ANATOMY = "anat"
"""Folder of images that have one volume."""
_LARGEST_EDGE_MM, _SMALLEST_EDGE_MM = 15.0, 0.1
"""No head is imaged with larger voxels; below, a unit is wrong."""
_SMALLEST_FIELD_MM, _LARGEST_FIELD_MM = 20.0, 1200.0
"""A slab through the hippocampus has 30 mm, a whole-body PET 1.1 m."""
_SAME_EDGE = 0.01
"""Relative difference of two edges that are one."""
_MOST_SHEAR = 0.01
"""Cosine between two axes: 0.6 degrees. Rounding makes 1e-6, a tilted gantry 0.1 to 0.5."""
_APART = 0.5
"""Of the smallest edge: the qform and the sform put a corner this far apart."""
_MOST_CLIPPED = 0.005
"""Share of the foreground; real images have below 0.001, even those of 8 bits."""
_LEAST_CONTRAST = 0.1
"""Real heads, PET and SPECT have 0.31 to 0.60."""
_LEAST_CONTRAST_TO_NOISE = 6.0
"""Pure noise has 3.3, real heads 11 to 70."""
_LEAST_LEVELS = 32
"""Real images have 150 to 1600."""


def session_of(file: BidsFile) -> Session:
    """Return whose a file is; who has no level of sessions has the only one."""
    return file.participant, file.session or ONLY_SESSION


class Seen(NamedTuple):
    """A file that was looked at."""

    file: BidsFile
    facts: Facts | None
    """None of a file that cannot be read as an image."""
    complaint: str
    """Why it cannot; empty otherwise."""

    @property
    def session(self) -> Session:
        """Whose it is."""
        return session_of(self.file)


@dataclass(frozen=True)
class Images:
    """All files that were looked at."""

    seen: tuple[Seen, ...]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Those that show the same."""
        looks = [None if seen.facts is None else seen.facts.looks for seen in self.seen]
        pictures = [None if one is None else Picture(one.values, one.picture) for one in looks]
        return tuple(pairs(pictures))

    def are_of_one_session(self, pair: Pair) -> bool:
        """Return whether two images are of the same visit."""
        return self.seen[pair.one].session == self.seen[pair.other].session


class Found(NamedTuple):
    """Something that is wrong with one of some files."""

    number: int
    """Place of the file among those that were looked at."""
    what: str


Finds = Callable[[Images], Iterator[Found]]


@dataclass(frozen=True)
class Check:
    """One row of the table of checks."""

    severity: Literal["error", "warning"]
    """A session fails by an error."""
    finds: Finds
    advice: str


def _of_facts(say: Callable[[Facts, BidsFile], str | None]) -> Finds:
    """Return a search through the images one by one."""

    def finds(images: Images) -> Iterator[Found]:
        for number, seen in enumerate(images.seen):
            what = say(seen.facts, seen.file) if seen.facts is not None else None
            if what is not None:
                yield Found(number, what)

    return finds


def _of_looks(say: Callable[[Looks], str | None]) -> Finds:
    return _of_facts(lambda facts, _: say(facts.looks) if facts.looks is not None else None)


def _of_pairs(words: str, holds: Callable[[Images, Pair], bool]) -> Finds:
    """Return a search through the images that show the same."""

    def finds(images: Images) -> Iterator[Found]:
        for pair in images.pairs:
            if holds(images, pair):
                for number, other in ((pair.one, pair.other), (pair.other, pair.one)):
                    yield Found(number, f"{words} {images.seen[other].file.path.name}")

    return finds


def _unreadable(images: Images) -> Iterator[Found]:
    for number, seen in enumerate(images.seen):
        if seen.facts is None:
            yield Found(number, seen.complaint)


def _several_volumes(facts: Facts, file: BidsFile) -> str | None:
    if file.datatype != ANATOMY or len(facts.shape) <= 3:
        return None
    return f"{' x '.join(map(str, facts.shape))} voxels"


def _undefined(facts: Facts, file: BidsFile) -> str | None:
    return f"{facts.n_undefined} voxels" if facts.n_undefined else None


def _infinite(facts: Facts, file: BidsFile) -> str | None:
    return f"{facts.n_infinite} voxels" if facts.n_infinite else None


def _constant(facts: Facts, file: BidsFile) -> str | None:
    if facts.looks is not None:
        return None
    return "no voxel is a number" if np.isnan(facts.low) else f"{facts.low:g} everywhere"


def _blank_slices(looks: Looks) -> str | None:
    counts = [f"{n} across {axis}" for n, axis in zip(looks.n_blank, "xyz", strict=True) if n]
    return ", ".join(counts) or None


def _place(facts: Facts, file: BidsFile) -> str | None:
    if not np.isfinite(facts.affine).all():
        return "an affine that is not finite"
    if abs(np.linalg.det(facts.affine[:3, :3])) < 1e-9:
        return "an affine that gives the voxels no extent"
    return None


def _edges(affine: Affine) -> Affine:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def _voxel_size(facts: Facts, file: BidsFile) -> str | None:
    sizes = np.array(facts.voxel_size)
    is_possible = (sizes >= _SMALLEST_EDGE_MM) & (sizes <= _LARGEST_EDGE_MM)
    return None if is_possible.all() else f"{_times(facts.voxel_size)} mm"


def _two_sizes(facts: Facts, file: BidsFile) -> str | None:
    stated, of_affine = np.abs(facts.voxel_size), _edges(facts.affine)
    if not np.isfinite(of_affine).all() or np.allclose(stated, of_affine, rtol=_SAME_EDGE, atol=0):
        return None
    return f"voxels of {_times(facts.voxel_size)} mm, an affine of {_times(of_affine)} mm"


def _field_of_view(facts: Facts, file: BidsFile) -> str | None:
    extents = np.array(facts.shape[:3]) * _edges(facts.affine)
    if not ((extents < _SMALLEST_FIELD_MM) | (extents > _LARGEST_FIELD_MM)).any():
        return None
    return f"{_times(extents)} mm"


def _sheared(facts: Facts, file: BidsFile) -> str | None:
    edges = _edges(facts.affine)
    if not np.isfinite(edges).all() or not edges.all():
        return None
    axes = facts.affine[:3, :3] / edges
    largest = float(np.abs((axes.T @ axes)[np.triu_indices(3, 1)]).max())
    if largest <= _MOST_SHEAR:
        return None
    return f"axes at {np.degrees(np.arccos(largest)):.1f} degrees instead of 90"


def _unknown_place(facts: Facts, file: BidsFile) -> str | None:
    return "neither a qform nor an sform" if facts.qform is None and facts.sform is None else None


def _both_forms(facts: Facts) -> tuple[Affine, Affine] | None:
    if facts.qform is None or facts.sform is None:
        return None
    return facts.qform, facts.sform


def _two_places(facts: Facts, file: BidsFile) -> str | None:
    forms = _both_forms(facts)
    if forms is None:
        return None
    qform, sform = forms
    if not np.isfinite(qform).all():
        return "a qform that is no rotation"
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    corners[:, :3] *= np.array(facts.shape[:3]) - 1
    apart = float(np.linalg.norm(((qform - sform) @ corners.T)[:3], axis=0).max())
    if not apart > _APART * float(_edges(facts.affine).min()):
        return None
    return f"a corner of the image {apart:.1f} mm apart"


def _left_right(facts: Facts, file: BidsFile) -> str | None:
    forms = _both_forms(facts)
    if forms is None or not np.isfinite(forms).all():
        return None
    signs = [np.sign(np.linalg.det(form[:3, :3])) for form in forms]
    return "a qform and an sform of opposite handedness" if signs[0] * signs[1] < 0 else None


def _other_unit(facts: Facts, file: BidsFile) -> str | None:
    return facts.unit if facts.unit not in ("mm", "unknown") else None


def _unknown_unit(facts: Facts, file: BidsFile) -> str | None:
    return "no unit" if facts.unit == "unknown" else None


def _clipped(looks: Looks) -> str | None:
    if looks.clipped <= _MOST_CLIPPED:
        return None
    return f"{100 * looks.clipped:.1f} % of the foreground at the highest value"


def _few_levels(looks: Looks) -> str | None:
    return f"{looks.n_levels} values" if looks.n_levels < _LEAST_LEVELS else None


def _low_contrast(looks: Looks) -> str | None:
    return f"{looks.contrast:.3f}" if looks.contrast < _LEAST_CONTRAST else None


def _noisy(looks: Looks) -> str | None:
    if looks.contrast_to_noise >= _LEAST_CONTRAST_TO_NOISE:
        return None
    return f"contrast of {looks.contrast_to_noise:.1f} times the noise"


def _duplicate(images: Images, pair: Pair) -> bool:
    return pair.is_exact and not pair.is_mirrored and not images.are_of_one_session(pair)


def _repeated(images: Images, pair: Pair) -> bool:
    return pair.is_exact and not pair.is_mirrored and images.are_of_one_session(pair)


def _nearly_the_same(images: Images, pair: Pair) -> bool:
    # Two runs of one visit are nearly the same as they should be.
    is_between = not images.are_of_one_session(pair)
    return not pair.is_exact and not pair.is_mirrored and is_between


def _mirrored(images: Images, pair: Pair) -> bool:
    return pair.is_mirrored


def _times(numbers: Sequence[float] | Affine) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


CHECKS: dict[str, Check] = {
    "unreadable": Check("error", _unreadable, "Copy the file again, or convert it again"),
    "several-volumes": Check(
        "error", _of_facts(_several_volumes), "Take one volume, or their mean, out of it"
    ),
    "constant": Check("error", _of_facts(_constant), "Convert the image again"),
    "infinite": Check("error", _of_facts(_infinite), "Convert the image again"),
    "undefined": Check("warning", _of_facts(_undefined), "They will count as 0"),
    "blank-slices": Check(
        "error", _of_looks(_blank_slices), "Slices inside of the head were lost: convert it again"
    ),
    "affine": Check("error", _of_facts(_place), "Convert the image again"),
    "no-orientation": Check(
        "error", _of_facts(_unknown_place), "Left and right are not known: convert it again"
    ),
    "left-right": Check(
        "error", _of_facts(_left_right),
        "Programs disagree which side is left: find out, and correct the header",
    ),
    "two-places": Check(
        "warning", _of_facts(_two_places),
        "Programs put the image at different places: correct the qform or the sform",
    ),
    "sheared": Check(
        "error", _of_facts(_sheared), "Resample the image to axes at right angles"
    ),
    "voxel-size": Check("error", _of_facts(_voxel_size), "Correct the header"),
    "two-sizes": Check(
        "error", _of_facts(_two_sizes), "Programs measure differently: correct the header"
    ),
    "field-of-view": Check(
        "error", _of_facts(_field_of_view), "No head has this size: correct the header"
    ),
    "other-unit": Check(
        "error", _of_facts(_other_unit), "Readers take millimetres: correct the header"
    ),
    "unknown-unit": Check("warning", _of_facts(_unknown_unit), "Millimetres are assumed"),
    "clipped": Check(
        "warning", _of_looks(_clipped), "The brightest tissue is lost: convert it again"
    ),
    "few-levels": Check(
        "warning", _of_looks(_few_levels), "Values were rounded: convert it again"
    ),
    "low-contrast": Check(
        "warning", _of_looks(_low_contrast), "Tissues hardly differ: look at the image"
    ),
    "noisy": Check("warning", _of_looks(_noisy), "Noise hides the tissues: look at the image"),
    "duplicate": Check(
        "error", _of_pairs("all voxels as in", _duplicate),
        "Find out whose image it is, and when it was taken",
    ),
    "repeated": Check("warning", _of_pairs("all voxels as in", _repeated), "Keep one of them"),
    "near-duplicate": Check(
        "warning", _of_pairs("nearly as", _nearly_the_same),
        "Look at both: one may be a copy of the other",
    ),
    "mirrored": Check(
        "error", _of_pairs("left and right exchanged with respect to", _mirrored),
        "One of them has the wrong side left: find out which",
    ),
}  # fmt: skip
"""Name -> what is wrong, how bad it is, and what to do."""
