"""Where each dementia lowers the uptake of FDG, as the names of regions in label maps.

The regions are those that diagnostic criteria and studies name; what a label map calls them is
found by patterns, which know the spelling of AAL, DKT, Harvard-Oxford and MUSE. A region of a label
map is taken whole, also where the criteria name a part of it.

References
----------
.. [1] Landau et al., Associations between cognitive, functional, and FDG-PET measures of decline in
   AD and MCI, Neurobiology of Aging 32, 2011
.. [2] Rascovsky et al., Sensitivity of revised diagnostic criteria for the behavioural variant of
   frontotemporal dementia, Brain 134, 2011
.. [3] Gorno-Tempini et al., Classification of primary progressive aphasia and its variants,
   Neurology 76, 2011
.. [4] Crutch et al., Consensus classification of posterior cortical atrophy, Alzheimer's &
   Dementia 13, 2017
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from clinicadl.config.generate import Pathology
from clinicadl.errors import InvalidDataError, listed
from clinicadl.synthesis.regions import side_of


class Pattern(NamedTuple):
    """The regions that a dementia concerns."""

    source: str
    regions: tuple[str, ...]
    """Keys of `SPELLINGS`."""
    left_alone: bool = False
    """Whether the right hemisphere is spared."""


PATTERNS: dict[Pathology, Pattern] = {
    "ad": Pattern(
        "Landau et al. 2011",
        ("angular", "posterior cingulate", "precuneus", "inferior temporal", "middle temporal"),
    ),
    "bvftd": Pattern(
        "Rascovsky et al. 2011",
        (
            "medial frontal", "superior frontal", "middle frontal", "frontal pole", "orbital",
            "rectus", "anterior cingulate", "insula", "temporal pole",
        ),
    ),
    "lvppa": Pattern(
        "Gorno-Tempini et al. 2011",
        (
            "supramarginal", "angular", "inferior parietal", "superior temporal",
            "middle temporal", "planum temporale",
        ),
        left_alone=True,
    ),
    "nfvppa": Pattern(
        "Gorno-Tempini et al. 2011",
        ("inferior frontal", "insula", "supplementary motor", "precentral"),
        left_alone=True,
    ),
    "pca": Pattern(
        "Crutch et al. 2017",
        (
            "cuneus", "calcarine", "lingual", "occipital", "superior parietal", "angular",
            "fusiform",
        ),
    ),
    "svppa": Pattern(
        "Gorno-Tempini et al. 2011",
        ("temporal pole", "inferior temporal", "fusiform", "entorhinal"),
    ),
}  # fmt: skip
"""Pathology -> its regions."""

SPELLINGS: dict[str, str] = {
    "angular": "(?<!tri)angular",
    "anterior cingulate": "anteriorcingulate|cingulumant|cingulateant",
    "calcarine": "calcarine",
    "cuneus": "(?<!pre)cuneus",
    "entorhinal": "entorhinal|parahippocampal(anterior|gyrusanterior)",
    "frontal pole": "frontalpole",
    "fusiform": "fusiform",
    "inferior frontal": "(opercular|triangular)part|frontalinf(oper|tri)|pars(operc|triang)"
    "|inferiorfrontalgyruspars|frontaloperc",
    "inferior parietal": "inferiorparietal|parietalinf",
    "inferior temporal": "inferiortemporal|temporalinf",
    "insula": "insula",
    "lingual": "lingual",
    "medial frontal": "medialfrontal|frontalmedial|frontalsupmed|superiorfrontalgyrusmedial",
    "middle frontal": "middlefrontal|frontalmid",
    "middle temporal": "middletemporal|temporalmid",
    "occipital": "(superior|middle|inferior|lateral)occipital|occipital(sup|mid|inf|pole)",
    "orbital": "orbital|orbitofrontal|frontal(sup|mid|inf|med)orb|ofc",
    "planum temporale": "planumtemporale",
    "posterior cingulate": "posteriorcingulate|cingulumpost|cingulatepost|cingulategyrusposterior"
    "|isthmuscingulate",
    "precentral": "precentral",
    "precuneus": "precuneus",
    "rectus": "rectus",
    "superior frontal": "superiorfrontal|frontalsup",
    "superior parietal": "superiorparietal|parietalsup",
    "superior temporal": "superiortemporal|temporalsup",
    "supplementary motor": "supplementarymotor|suppmotor",
    "supramarginal": "supramarginal",
    "temporal pole": "temporalpole",
}
"""Region -> pattern of its names, without all that is no letter, in lower case."""


def regions_of(pathology: Pathology, known: Iterable[str], *, where: Path) -> tuple[str, ...]:
    """Return the regions of a label map that a dementia concerns.

    Parameters
    ----------
    pathology
        The dementia.
    known
        Names of the regions of the label map.
    where
        Their table, for messages.

    Raises
    ------
    InvalidDataError
        Fewer than half of the regions are there, or the names say no side where the side matters.
    """
    pattern = PATTERNS[pathology]
    spelt = {name: re.sub("[^a-z]", "", name.casefold()) for name in known}
    found = {
        region: [name for name, letters in spelt.items() if re.search(SPELLINGS[region], letters)]
        for region in pattern.regions
    }
    missing = [region for region, names in found.items() if not names]
    if 2 * len(missing) > len(found):
        raise InvalidDataError(
            f"The label map lacks most regions of {pathology}", where=where,
            found=f"nothing like {listed(missing)}", fix="Give another label map, or --mask",
        )  # fmt: skip
    names = list(dict.fromkeys(name for own in found.values() for name in own))
    if not pattern.left_alone:
        return tuple(names)
    sideless = [name for name in names if side_of(name) is None]
    if sideless:
        raise InvalidDataError(
            f"{pathology} is a disease of the left hemisphere, and regions have no side",
            where=where, found=listed(sideless),
            fix="Name them _L and _R in a label map that tells them apart, or give --mask",
        )  # fmt: skip
    return tuple(name for name in names if side_of(name) == "left")
